/**
 * The deviations of a SMART configuration from SMART App Launch 2.2 (conformance: metadata and capabilities; the
 * metadata rules of the asymmetric profile; user-access brands). The library uses deviating servers wherever that is
 * safe.
 *
 * @since 0.1.0
 */
import { collector } from "./Finding.js"
import { claimRules } from "./internal/claimRules.js"
import {
  type ConformanceCode,
  type ConformanceFinding,
  type ConformanceOptions,
  memberRules
} from "./internal/memberRules.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

export type { Finding, Severity } from "./Finding.js"
export type { ConformanceCode, ConformanceFinding, ConformanceOptions } from "./internal/memberRules.js"

/**
 * All deviations, in an order that does not depend on the order of the document's members.
 *
 * @since 0.1.0
 * @category accessors
 */
export const findings = (
  self: SmartConfiguration,
  options: ConformanceOptions = {}
): ReadonlyArray<ConformanceFinding> => {
  const { findings, report } = collector<ConformanceCode>()
  for (const rule of [...memberRules, ...claimRules]) rule(self, report, options)
  return findings()
}
