/**
 * An export job at the server: kick-off, status, manifests, deletion (Bulk Data Access 3.0).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as HttpDate from "../../base/HttpDate.js"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import * as RetryAfter from "../../http/RetryAfter.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import type { Authorized } from "../FhirClient.js"
import { errorsAt, FhirError, isFhirError } from "../FhirError.js"
import { Job } from "./bulkCheckpoint.js"
import { type KickOffOptions, kickOffRequest } from "./bulkKickOff.js"
import { areSameInstant, fromJson, type Manifest } from "./bulkManifest.js"
import { isTemporary, type Temporary } from "./bulkRetry.js"
import type { FhirResponse } from "./fhirMessage.js"
import { issueCodesOf } from "./resource.js"

/**
 * The maximum size of an export.
 *
 * @since 0.1.0
 * @category models
 */
export interface SizeOptions {
  /** The maximum number of manifests; more are an error, not a short result. Default 10,000. */
  readonly maxManifests?: number | undefined
  /** The maximum number of files in all manifests; more are an error. Default 100,000. */
  readonly maxFiles?: number | undefined
}

/**
 * The response to one status request. `Waiting`: ask again, after `retryAfter` if the server states it. `Manifest`:
 * `job` has more files than before; if it has a `nextManifest`, ask again at once.
 *
 * @since 0.1.0
 * @category models
 */
export type Status =
  | {
    readonly _tag: "Waiting"
    /** The `X-Progress` of the server. */
    readonly message: string | undefined
    readonly retryAfter: Duration.Duration | undefined
    /** A temporary failure; the export itself has not failed. */
    readonly error: Temporary | undefined
  }
  | { readonly _tag: "Manifest"; readonly job: Job }

const DEFAULT_MAX_MANIFESTS = 10_000
const DEFAULT_MAX_FILES = 100_000

/** How long an interrupted caller waits for the deletion. */
const SHUTDOWN_LIMIT = Duration.seconds(10)

/** Runs in its own fiber. The caller, which may be shutting down, waits for a limited time. */
export const atShutdown = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  Effect.flatMap(
    Effect.forkDaemon(Effect.interruptible(self)),
    (fiber) => Effect.interruptible(Fiber.await(fiber)).pipe(Effect.timeoutOption(SHUTDOWN_LIMIT), Effect.asVoid)
  )

/** Deletes the export when it is not needed any more. What was read stays valid if that fails. */
export const removeAtEnd = <E, R>(fhir: Authorized<E, R>, job: Job): Effect.Effect<void, never, R> =>
  Effect.catchAll(remove(fhir, job), (error) =>
    Effect.logWarning(
      "the export was not deleted at the server, which keeps its files until they expire" +
        (isFhirError(error) ? `. ${error.message}` : "")
    ))

/** Deletes the export and its files. An export that the server does not know is deleted. */
export const remove = <E, R>(fhir: Authorized<E, R>, { statusUrl }: Job): Effect.Effect<void, FhirError | E, R> =>
  fhir.request({ interaction: "export delete", method: "DELETE", url: statusUrl, retry: "unprocessed" }).pipe(
    Effect.asVoid,
    Effect.catchIf(
      (error) => isFhirError(error) && (error.reason === "NotFound" || error.reason === "Gone"),
      () => Effect.void
    )
  )

/**
 * Starts an export. An interruption does not abort the request, because its response is needed to delete the export.
 */
export const start = <E, R>(
  fhir: Authorized<E, R>,
  options: KickOffOptions
): Effect.Effect<Job, FhirError | E, R> =>
  Effect.gen(function*() {
    const fail = errorsAt(yield* fhir.fhirBaseUrl, "export")
    const request = kickOffRequest(options)
    if (Either.isLeft(request)) return yield* fail(request.left)
    const send = Effect.flatMap(fhir.request(request.right), ({ headers, json, status }) => {
      const statusUrl = headers["content-location"]
      return status === 202 && statusUrl !== undefined
        ? Effect.succeed(new Job({ version: 1, statusUrl, nextManifest: statusUrl, manifests: [], files: [] }))
        : fail({
          reason: "NotFhir",
          detail: status === 202 ? "the response has no Content-Location" : `HTTP status ${status} instead of 202`,
          issues: issueCodesOf(json),
          status,
          processed: "unknown"
        })
    })
    let attempts = 0
    const attempt = Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        attempts += 1
        const fiber = yield* Effect.forkDaemon(Effect.interruptible(send))
        return yield* restore(Fiber.join(fiber)).pipe(
          // The caller does not know the status URL: it could not resume the export.
          Effect.onInterrupt(() => atShutdown(Effect.flatMap(Fiber.join(fiber), (late) => removeAtEnd(fhir, late))))
        )
      })
    )
    // A retry after a lost response would start a second export.
    return yield* RetryPolicy.retryOurs("never", isFhirError<E>)(attempt).pipe(
      RetryPolicy.withPolicy(yield* fhir.retryPolicy),
      Effect.mapError((error) => isFhirError(error) ? new FhirError({ ...error, attempts }) : error)
    )
  })

/** The absolute URL without its fragment, which is not sent: two spellings of it are one file. */
const absolute = (url: string, base: string): string => {
  const parsed = Url.parse(url, base)
  if (parsed === undefined) return url
  parsed.hash = ""
  return parsed.href
}

/** The URLs of the files of a job: a manifest is compared with all before it, which may be thousands. */
const urlsOfJobs = new WeakMap<Job, Map<string, number>>()

const urlsOf = (job: Job, base: string): Map<string, number> => {
  const known = urlsOfJobs.get(job)
  // The caller adds the files of another manifest.
  urlsOfJobs.delete(job)
  return known ?? new Map(job.files.map(({ url }, index) => [absolute(url, base), index]))
}

interface Problem {
  readonly reason: FhirError["reason"]
  readonly detail: string
  /** The index of the file in the job that would result. */
  readonly file?: number
}

/** Adds the files of a manifest, or describes the problem. */
const withManifest = (
  job: Job,
  { files, next, transactionTime }: Manifest,
  url: string,
  base: string,
  expiresAt: number | undefined,
  { maxFiles = DEFAULT_MAX_FILES, maxManifests = DEFAULT_MAX_MANIFESTS }: SizeOptions
): Either.Either<Job, Problem> => {
  const manifests = [...job.manifests, ...(job.nextManifest === undefined ? [] : [job.nextManifest])]
  const nextManifest = next === undefined ? undefined : absolute(next, url)
  const refuse = (reason: Problem["reason"], detail: string) => Either.left({ reason, detail })
  if (!areSameInstant(job.transactionTime, transactionTime)) {
    return refuse("NotFhir", `manifest ${manifests.length} has another transactionTime than the manifests before`)
  }
  if (job.files.length + files.length > maxFiles) {
    return refuse("TooManyPages", `the manifests list more than ${maxFiles} files`)
  }
  if (nextManifest !== undefined && [...manifests, url].includes(nextManifest)) {
    return refuse("PageLoop", `manifest ${manifests.length} links to a manifest that was already read`)
  }
  if (nextManifest !== undefined && manifests.length >= maxManifests) {
    return refuse("TooManyPages", `there are more than ${maxManifests} manifests`)
  }
  const urls = urlsOf(job, base)
  for (const [offset, file] of files.entries()) {
    const index = job.files.length + offset
    const fileUrl = absolute(file.url, base)
    const first = urls.get(fileUrl)
    if (first !== undefined) {
      const detail = `its URL is that of file ${first + 1}, so its resources would arrive twice`
      return Either.left({ reason: "DuplicateFile", detail, file: index })
    }
    urls.set(fileUrl, index)
  }
  const instant = job.transactionTime ?? transactionTime
  const expires = job.expiresAt ?? expiresAt
  const updated = new Job({
    version: 1,
    statusUrl: job.statusUrl,
    manifests,
    files: [...job.files, ...files],
    ...(nextManifest === undefined ? {} : { nextManifest }),
    ...(instant === undefined ? {} : { transactionTime: instant }),
    ...(expires === undefined ? {} : { expiresAt: expires })
  }, { disableValidation: true })
  urlsOfJobs.set(updated, urls)
  return Either.right(updated)
}

/** The instant of an `Expires` header; 0 and other texts that are not a date count as absent. */
const expiresAtOf = ({ headers: { expires } }: FhirResponse): number | undefined => {
  const at = expires === undefined ? Number.NaN : HttpDate.parse(expires)
  return Number.isNaN(at) ? undefined : at
}

/** Sends one status request. */
export const poll = <E, R>(
  fhir: Authorized<E, R>,
  job: Job,
  options: SizeOptions
): Effect.Effect<Status, FhirError | E, R> =>
  Effect.gen(function*() {
    const { nextManifest } = job
    if (nextManifest === undefined) return { _tag: "Manifest", job }
    const fhirBaseUrl = yield* fhir.fhirBaseUrl
    const fail = errorsAt(fhirBaseUrl, "export status")
    const response = yield* fhir.request({
      interaction: "export status",
      url: nextManifest,
      headers: { accept: "application/json" },
      retry: "never"
    }).pipe(
      Effect.flatMap((response) => {
        // Some servers report a failure with the status of a success.
        const issues = response.status === 202 ? [] : issueCodesOf(response.json)
        return issues.length === 0
          ? Effect.succeed(response)
          : fail({
            reason: "Refused",
            detail: "the server responded with an OperationOutcome instead of a manifest",
            status: response.status,
            issues
          })
      }),
      Effect.catchIf(isTemporary, (error) => Effect.succeed({ error }))
    )
    if ("error" in response) {
      const { error } = response
      return { _tag: "Waiting", message: undefined, retryAfter: error.retryAfter, error }
    }
    const isComplete = response.status !== 202
    const manifest = fromJson(response.json)
    if (typeof manifest === "string" ? isComplete : isComplete || manifest.next !== undefined) {
      if (typeof manifest === "string") {
        return yield* fail({ reason: "NotFhir", detail: manifest, status: response.status })
      }
      const updated = withManifest(
        job,
        manifest,
        response.url,
        fhirBaseUrl.endsWith("/") ? fhirBaseUrl : `${fhirBaseUrl}/`,
        expiresAtOf(response),
        options
      )
      if (Either.isRight(updated)) return { _tag: "Manifest", job: updated.right }
      const { detail, file: index, reason } = updated.left
      const file = index === undefined ? undefined : manifest.files[index - job.files.length]
      return yield* fail({
        reason,
        detail,
        file: index === undefined || file === undefined
          ? undefined
          : { index, type: file.type, url: Url.forDisplay(file.url) }
      })
    }
    const message = response.headers["x-progress"]
    return {
      _tag: "Waiting",
      // Long words are hidden: one may be the token.
      message: message === undefined ? undefined : safeText(message, [], 100).replace(/\S{16,}/g, "…"),
      retryAfter: RetryAfter.parse(response.headers["retry-after"], yield* Clock.currentTimeMillis),
      error: undefined
    }
  })
