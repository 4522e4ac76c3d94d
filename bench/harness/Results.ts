/**
 * The results of one run. Measurements that were not requested are absent.
 */
import type { BulkResults } from "./bulk.js"
import type { BundleResult } from "./bundles.js"
import type { GrowthResult } from "./growth.js"
import type { HeapResult } from "./heaps.js"
import type { Machine } from "./machine.js"
import type { RowResult } from "./rounds.js"
import type { StampedeResult } from "./stampede.js"
import type { StartupResult } from "./startups.js"

export interface Results {
  readonly rounds: number
  readonly before: Machine
  /** The load of the machine during the run. */
  readonly load: number
  readonly rows: ReadonlyArray<RowResult>
  readonly stampede?: ReadonlyArray<StampedeResult>
  readonly heaps?: ReadonlyArray<HeapResult>
  readonly startups?: ReadonlyArray<StartupResult>
  readonly bulk?: BulkResults
  readonly growth?: ReadonlyArray<GrowthResult>
  /** Session stores without rows, and why. */
  readonly skipped: ReadonlyArray<string>
  readonly bundles?: ReadonlyArray<BundleResult>
}
