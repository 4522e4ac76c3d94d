/**
 * A deviation of a published document from its specification, with advice. Findings inform: no operation of this
 * library fails because of one.
 *
 * @since 0.1.0
 */

/**
 * - `error`: a requirement of the specification is violated
 * - `warning`: a recommendation is not followed, or two members contradict each other
 * - `information`: allowed, and worth knowing
 *
 * @since 0.1.0
 * @category models
 */
export type Severity = "error" | "warning" | "information"

/**
 * A deviation in a document, with its severity, requirement and advice.
 *
 * @since 0.1.0
 * @category models
 */
export interface Finding<Code extends string> {
  readonly code: Code
  readonly severity: Severity
  /** The name of the member in the document. */
  readonly member?: string | undefined
  /** Number of the requirement in `hl7.fhir.uv.smart-app-launch_2.2.0`. */
  readonly requirement?: string | undefined
  /** The deviation, in one line. */
  readonly message: string
  /** The action for the operator of the server, or the consequence for a client. */
  readonly advice: string
}

/** @internal */
export const finding = <Code extends string>(
  code: Code,
  severity: Severity,
  member: string | undefined,
  requirement: string | undefined,
  message: string,
  advice: string
): Finding<Code> => ({
  code,
  severity,
  ...(member === undefined ? {} : { member }),
  ...(requirement === undefined ? {} : { requirement }),
  message,
  advice
})

/**
 * Reports a finding about a member, or about a member and its requirement.
 *
 * @internal
 */
export type Report<Code extends string> = (
  code: Code,
  about: string | undefined | readonly [member: string | undefined, requirement: string | undefined],
  message: string,
  advice: string
) => void

/** @internal */
export type Reporter<Code extends string> = { readonly [S in Severity]: Report<Code> }

/**
 * Collects findings, equal ones about the same member once.
 *
 * @internal
 */
export const collector = <Code extends string>(): {
  readonly report: Reporter<Code>
  readonly findings: () => ReadonlyArray<Finding<Code>>
} => {
  const findings = new Map<string, Finding<Code>>()
  const report = (severity: Severity): Report<Code> => (code, about, message, advice) => {
    const [member, requirement] = typeof about === "object" ? about : [about, undefined]
    findings.set(`${code} ${member} ${message}`, finding(code, severity, member, requirement, message, advice))
  }
  return {
    report: { error: report("error"), warning: report("warning"), information: report("information") },
    findings: () => [...findings.values()]
  }
}
