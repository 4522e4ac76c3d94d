/**
 * The bulk exports of a sandbox.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/** A file of an export. */
export interface ExportFile {
  readonly kind: "output" | "deleted" | "error"
  /** Undefined if the file has several types. */
  readonly type: string | undefined
  /** The number of resources without headers. */
  readonly count: number
  readonly lines: ReadonlyArray<unknown>
}

/**
 * How a sandbox exports bulk data.
 *
 * @since 0.1.0
 * @category models
 */
export interface BulkDataOptions {
  /**
   * The URLs of files are signed, need no token and expire after this time; each request of a manifest signs them anew.
   * Default: files need the token, and their URLs do not expire.
   */
  readonly fileUrlLifetime?: Duration.DurationInput | undefined
  /** When an export and its files are removed (`Expires`). Default: 1 day. */
  readonly exportLifetime?: Duration.DurationInput | undefined
  /** The number of files in each manifest of an export with `allowPartialManifests`. Default: 2. */
  readonly filesPerManifest?: number | undefined
}

/** A bulk export, running or complete. */
export interface ExportJob {
  readonly clientId: string
  readonly request: string
  readonly transactionTime: string
  readonly expiresAt: number
  readonly isOrganizedByPatient: boolean
  /** The files of each manifest. */
  readonly manifests: ReadonlyArray<ReadonlyArray<ExportFile>>
  /** The number of status requests for each manifest. */
  readonly polls: Array<number>
  /** When the signatures of file URLs expire, in milliseconds since 1970. */
  readonly signatures: Map<string, number>
}

/** The exports of a sandbox. */
export interface BulkState {
  readonly jobs: Map<string, ExportJob>
  readonly options: BulkDataOptions
  /** The number of exports so far: ids are not used again. */
  count: number
}

/** No export yet. */
export const makeState = (options: BulkDataOptions): BulkState => ({ jobs: new Map(), options, count: 0 })
