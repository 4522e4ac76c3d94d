/**
 * New URLs for the files of an export. Signed URLs often expire before the files do (Bulk Data Access 3.0, "Complete
 * Status"): the manifests are requested again, and the files continue where they were.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Authorized } from "../FhirClient.js"
import { FhirError, isFhirError } from "../FhirError.js"
import { Job } from "./bulkCheckpoint.js"
import { poll, type SizeOptions } from "./bulkJob.js"
import { areSameInstant, type ManifestFile } from "./bulkManifest.js"
import { makePatience, type RetryOptions, type Temporary } from "./bulkRetry.js"

/**
 * How the manifests are requested again when the URL of a file has expired.
 *
 * @since 0.1.0
 * @category models
 */
export interface RefreshOptions extends RetryOptions, SizeOptions {
  /** The maximum number of these requests; 0 turns them off. Default 1,000. */
  readonly maxRefreshes?: number | undefined
  /** Called when the files of the job have new URLs. Programs that store the job replace it. */
  readonly onRefresh?: ((job: Job) => Effect.Effect<void>) | undefined
}

/** Called before each wait after a temporary failure. */
export type OnWait = (delay: Duration.Duration, error: Temporary) => Effect.Effect<void>

/** The statuses of a URL that is not valid any more. */
const REFUSED_STATUSES: ReadonlySet<number | undefined> = new Set([401, 403, 404, 410])

/** Whether a new URL of the file may help. */
export const isUrlRefused = <E>(error: FhirError | E): error is FhirError =>
  isFhirError(error) && REFUSED_STATUSES.has(error.status)

/** The part of a URL that is not a signature, in most storage services. */
const pathOf = (url: string): string | undefined => url.split(/[?#]/, 1)[0]

/** The index of each path that only one file has. */
const indexesByPath = (files: ReadonlyArray<ManifestFile>): Map<string | undefined, number> => {
  const indexes = new Map<string | undefined, number>()
  const repeated = new Set<string | undefined>()
  for (const [index, { url }] of files.entries()) {
    const path = pathOf(url)
    if (indexes.has(path)) repeated.add(path)
    indexes.set(path, index)
  }
  for (const path of repeated) indexes.delete(path)
  return indexes
}

interface Difference {
  readonly detail: string
  /** The index of the file that differs. */
  readonly file?: number
}

/**
 * The difference between the files of a job and those of manifests that were requested again. A file is identified by
 * its position. Its kind, type, count and organization must be as before, and a path must not have another position.
 */
export const difference = (job: Job, fresh: Job): Difference | undefined => {
  const isSameTime = (job.transactionTime === undefined) === (fresh.transactionTime === undefined) &&
    areSameInstant(job.transactionTime, fresh.transactionTime)
  if (!isSameTime) return { detail: "the manifest has another transactionTime than before" }
  if (fresh.manifests.length !== job.manifests.length || fresh.isComplete !== job.isComplete) {
    return { detail: `the server has another number of manifests than before (${job.manifests.length})` }
  }
  if (fresh.files.length !== job.files.length) {
    return { detail: `the manifests list ${fresh.files.length} files instead of ${job.files.length}` }
  }
  const indexes = indexesByPath(job.files)
  for (const [index, file] of job.files.entries()) {
    const next = fresh.files[index]
    const at = next === undefined ? undefined : indexes.get(pathOf(next.url))
    if (at !== undefined && at !== index) {
      return { detail: `the manifest lists it at the position of file ${index + 1}`, file: at }
    }
    const differs = (["kind", "type", "count", "organizedBy"] as const).find((name) => file[name] !== next?.[name])
    if (differs !== undefined) return { detail: `the manifest has another ${differs} than before`, file: index }
  }
  return undefined
}

/** The manifests of the job, requested again. `undefined`: the server does not return them in time. */
const requestManifests = <E, R>(
  fhir: Authorized<E, R>,
  { manifests, statusUrl }: Job,
  options: RefreshOptions,
  onWait: OnWait
): Effect.Effect<Job | undefined, FhirError | E, R> =>
  Effect.gen(function*() {
    const patience = makePatience(options)
    const nextManifest = manifests[0] ?? statusUrl
    let fresh = new Job({ version: 1, statusUrl, nextManifest, manifests: [], files: [] })
    while (fresh.manifests.length < manifests.length && !fresh.isComplete) {
      const status = yield* poll(fhir, fresh, options)
      if (status._tag === "Manifest") {
        fresh = status.job
        patience.reset()
        continue
      }
      const error = status.error ?? {
        _tag: "Waiting",
        message: "the server is preparing the manifest again",
        retryAfter: status.retryAfter
      }
      const delay = yield* Effect.option(patience.next(error))
      if (Option.isNone(delay)) return undefined
      yield* onWait(delay.value, error)
      yield* Effect.sleep(delay.value)
    }
    return fresh
  })

/** The job of an export that is being read: manifests are added, and files get new URLs. */
export interface CurrentJob<E, R> {
  readonly get: () => Job
  /** Adds the files that `next` has more than `before`; the URLs of the others may be newer than those of `next`. */
  readonly advance: (before: Job, next: Job) => void
  /**
   * A file with another URL than the refused one. Fails with `error` if the server has no other. Several files at the
   * same time share one request.
   */
  readonly refresh: (
    index: number,
    refused: ManifestFile,
    error: FhirError,
    onWait: OnWait
  ) => Effect.Effect<ManifestFile, FhirError | E, R>
}

const DEFAULT_MAX_REFRESHES = 1_000

const withChanges = (job: Job, changes: Partial<ConstructorParameters<typeof Job>[0]>): Job =>
  new Job({ ...job, ...changes }, { disableValidation: true })

/** `onJob` gets each new version. */
export const makeCurrentJob = <E, R>(
  fhir: Authorized<E, R>,
  first: Job,
  options: RefreshOptions,
  onJob: (job: Job) => void = () => undefined
): CurrentJob<E, R> => {
  const { maxRefreshes = DEFAULT_MAX_REFRESHES, onRefresh = () => Effect.void } = options
  const oneAtATime = Effect.unsafeMakeSemaphore(1).withPermits(1)
  let job = first
  let refreshes = 0
  const set = (next: Job) => {
    job = next
    onJob(next)
  }
  const request = (
    index: number,
    refused: ManifestFile,
    error: FhirError,
    onWait: OnWait
  ): Effect.Effect<ManifestFile, FhirError | E, R> =>
    Effect.gen(function*() {
      const known = job.files[index]
      if (known !== undefined && known.url !== refused.url) return known
      if (known === undefined || refreshes >= maxRefreshes) return yield* error
      refreshes += 1
      const before = job
      const explain = (why: string) => new FhirError({ ...error, detail: `${error.detail}; ${why}` })
      const fresh = yield* Effect.mapError(requestManifests(fhir, before, options, onWait), (failure) =>
        isFhirError(failure)
          ? explain(`the request for a new URL failed, too (${failure.reason}, status ${failure.status ?? "unknown"})`)
          : failure)
      if (fresh === undefined) {
        return yield* explain("the server did not return the manifest with its URL again")
      }
      const found = difference(before, fresh)
      if (found !== undefined) {
        const file = found.file === undefined ? undefined : before.files[found.file]
        return yield* new FhirError({
          ...error,
          reason: "ManifestChanged",
          detail: `its URL was refused with status ${error.status ?? "unknown"}, and ${found.detail}${
            file === undefined || found.file === index ? "" : ` (file ${(found.file ?? 0) + 1}, ${file.type})`
          }`
        })
      }
      const isExtended = job.manifests.length > before.manifests.length
      set(withChanges(job, {
        files: [...fresh.files, ...job.files.slice(fresh.files.length)],
        manifests: [...fresh.manifests, ...job.manifests.slice(fresh.manifests.length)],
        // A server may prolong it with the URLs.
        ...(fresh.expiresAt === undefined ? {} : { expiresAt: fresh.expiresAt }),
        ...(isExtended || fresh.nextManifest === undefined ? {} : { nextManifest: fresh.nextManifest })
      }))
      yield* onRefresh(job)
      const renewed = job.files[index]
      return renewed === undefined || renewed.url === refused.url ? yield* error : renewed
    })
  return {
    get: () => job,
    advance: (before, next) =>
      set(
        before === job
          ? next
          : withChanges(next, {
            files: [...job.files, ...next.files.slice(job.files.length)],
            manifests: [...job.manifests, ...next.manifests.slice(job.manifests.length)]
          })
      ),
    refresh: (index, refused, error, onWait) => oneAtATime(request(index, refused, error, onWait))
  }
}
