/**
 * An export job at the server: kick-off, status, manifests, cancellation (Bulk Data Access 3.0).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import * as RetryAfter from "../../http/RetryAfter.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import type { Authorized } from "../FhirClient.js"
import type { Fields } from "../FhirError.js"
import { FhirError, isFhirError } from "../FhirError.js"
import type { Manifest, ManifestPage, Progress } from "./bulkManifest.js"
import { Checkpoint, fromJson, join } from "./bulkManifest.js"
import type { FhirRequest } from "./fhirRequest.js"
import * as Params from "./params.js"
import { isId } from "./resource.js"

/**
 * Which data the server exports, and how long to wait for them.
 *
 * @since 0.1.0
 * @category models
 */
export interface JobOptions {
  /** Everything (the default), all patients, or a group. */
  readonly of?: "system" | "patients" | { readonly group: string } | undefined
  readonly types?: ReadonlyArray<string> | undefined
  /** An instant, such as the `transactionTime` of the previous export. */
  readonly since?: string | undefined
  /** Searches, such as `Observation?category=vital-signs`. */
  readonly typeFilters?: ReadonlyArray<string> | undefined
  /** Asks the server to split the result into several manifests. All are read, with or without this option. */
  readonly allowPartialManifests?: boolean | undefined
  /** Other parameters of the kick-off request. */
  readonly params?: Params.Params | undefined
  /** Called while waiting, after each status request. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  /** Whether the export is cancelled if the stream is interrupted or left before its end. Default `cancel`. */
  readonly onInterrupt?: "cancel" | "keep" | undefined
  /** The first delay between status requests without a `Retry-After`; it grows to a minute. Default 2 seconds. */
  readonly pollInterval?: Duration.DurationInput | undefined
  /** How long the server may take for all manifests. Default 1 day. */
  readonly timeout?: Duration.DurationInput | undefined
  /** The maximum number of manifests; more are an error, not a short result. Default 10,000. */
  readonly maxManifests?: number | undefined
  /** The maximum number of files in all manifests; more are an error. Default 100,000. */
  readonly maxFiles?: number | undefined
}

type Fail = (fields: Fields) => FhirError

/** Whether all files were read. */
export interface Job {
  isFinished: boolean
}

const MAX_POLL_MILLIS = 60_000
const DEFAULT_MAX_MANIFESTS = 10_000
const DEFAULT_MAX_FILES = 100_000

/** How long an interrupted caller waits for the cancellation. */
const SHUTDOWN_LIMIT = Duration.seconds(10)

/** Runs in its own fiber. The caller, which may be shutting down, waits for a limited time. */
const atShutdown = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  Effect.flatMap(
    Effect.forkDaemon(Effect.interruptible(self)),
    (fiber) => Effect.interruptible(Fiber.await(fiber)).pipe(Effect.timeoutOption(SHUTDOWN_LIMIT), Effect.asVoid)
  )

const cancel = <E, R>(fhir: Authorized<E, R>, statusUrl: string) =>
  fhir.request({ interaction: "export cancel", method: "DELETE", url: statusUrl })

/** Cancels an export that is interrupted or left early. After a failure it is kept, so that the app can resume it. */
export const cancelUnlessFinished = <E, R>(
  fhir: Authorized<E, R>,
  statusUrl: string,
  job: Job,
  { onInterrupt = "cancel" }: JobOptions
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.addFinalizer((exit) => {
    const isFailure = Exit.isFailure(exit) && !Exit.isInterrupted(exit)
    return job.isFinished || isFailure || onInterrupt === "keep" ? Effect.void : atShutdown(cancel(fhir, statusUrl))
  })

const kickOffRequest = (options: JobOptions): FhirRequest => {
  const { allowPartialManifests, of = "system", params = {}, since, typeFilters, types } = options
  const level = of === "system" ? "" : of === "patients" ? "Patient/" : `Group/${of.group}/`
  const standard = {
    _type: types?.join(","),
    _since: since,
    _typeFilter: typeFilters?.join(","),
    allowPartialManifests
  }
  return {
    interaction: "export",
    url: `${level}$export`,
    params: [...Params.pairs(standard), ...Params.pairs(params)],
    headers: { accept: "application/fhir+json", prefer: "respond-async" },
    retry: "never"
  }
}

/**
 * Starts an export and registers its cancellation with the scope. An interruption does not abort the request, because
 * its response is needed to cancel the export.
 */
export const kickOff = <E, R>(
  fhir: Authorized<E, R>,
  options: JobOptions,
  job: Job,
  fail: Fail
): Effect.Effect<Checkpoint, FhirError | E, R | Scope.Scope> => {
  const { of } = options
  if (typeof of === "object" && !isId(of.group)) {
    return fail({
      reason: "InvalidReference",
      detail: "the id of the group has characters that FHIR does not allow",
      processed: "no"
    })
  }
  const start = Effect.flatMap(fhir.request(kickOffRequest(options)), ({ headers, status }) => {
    const statusUrl = headers["content-location"]
    return status === 202 && statusUrl !== undefined
      ? Effect.succeed(new Checkpoint({ version: 1, statusUrl, lines: {}, done: [] }))
      : fail({
        reason: "NotFhir",
        detail: `HTTP status ${status} instead of 202 with a Content-Location`,
        status,
        processed: "unknown"
      })
  })
  let attempts = 0
  const attempt = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      attempts += 1
      const fiber = yield* Effect.forkDaemon(Effect.interruptible(start))
      const started = yield* restore(Fiber.join(fiber)).pipe(
        // The caller does not know the status URL: even with `keep` it could not resume the export.
        Effect.onInterrupt(() => atShutdown(Effect.flatMap(Fiber.join(fiber), (late) => cancel(fhir, late.statusUrl))))
      )
      yield* cancelUnlessFinished(fhir, started.statusUrl, job, options)
      return started
    })
  )
  return Effect.flatMap(fhir.retryPolicy, (policy) =>
    // A retry after a lost response would start a second export.
    RetryPolicy.retryOurs("never", isFhirError<E>)(attempt).pipe(
      RetryPolicy.withPolicy(policy),
      Effect.mapError((error) => isFhirError(error) ? new FhirError({ ...error, attempts }) : error)
    ))
}

/** A busy server that states when to try again. */
const isRetryLater = <E>(error: FhirError | E): error is FhirError =>
  isFhirError(error) && error.reason === "Unavailable" && error.retryAfter !== undefined

interface Polled {
  readonly page: ManifestPage
  /** The URL that its links are relative to. */
  readonly url: string
}

/** Polls until a manifest is final: the export is complete (200), or the manifest links to the next one. */
const poll = <E, R>(
  fhir: Authorized<E, R>,
  url: string,
  { onProgress = () => Effect.void, pollInterval = "2 seconds" }: JobOptions,
  files: number,
  fail: Fail
): Effect.Effect<Polled, FhirError | E, R> =>
  Effect.gen(function*() {
    let interval = Duration.toMillis(pollInterval)
    while (true) {
      const response = yield* fhir.request({
        interaction: "export status",
        url,
        headers: { accept: "application/json" }
      }).pipe(
        Effect.catchIf(isRetryLater, (error) => Effect.succeed(error))
      )
      if (!isFhirError(response)) {
        const page = fromJson(response.json)
        const isComplete = response.status !== 202
        if (isComplete && typeof page === "string") {
          return yield* fail({ reason: "NotFhir", detail: page, status: response.status })
        }
        if (typeof page !== "string" && (isComplete || page.next !== undefined)) return { page, url: response.url }
      }
      const retryAfter = isFhirError(response)
        ? response.retryAfter
        : RetryAfter.parse(response.headers["retry-after"], yield* Clock.currentTimeMillis)
      const message = isFhirError(response) ? undefined : response.headers["x-progress"]
      yield* onProgress({
        phase: "Waiting",
        // Long words are hidden: one may be the token.
        message: message === undefined ? undefined : safeText(message, [], 100).replace(/\S{16,}/g, "…"),
        files,
        filesDone: 0,
        resources: 0,
        expected: undefined
      })
      // Also `Retry-After: 0` gets a pause.
      yield* Effect.sleep(
        retryAfter === undefined ? Duration.millis(interval) : Duration.max(retryAfter, Duration.millis(100))
      )
      interval = Math.min(interval * 1.5, Math.max(MAX_POLL_MILLIS, interval))
    }
  })

/** Waits for all manifests and joins them. No file is read before, because the last manifest may fail. */
export const wait = <E, R>(
  fhir: Authorized<E, R>,
  statusUrl: string,
  options: JobOptions,
  fail: Fail
): Effect.Effect<Manifest, FhirError | E, R> =>
  Effect.gen(function*() {
    const { maxFiles = DEFAULT_MAX_FILES, maxManifests = DEFAULT_MAX_MANIFESTS } = options
    const manifests: Array<Manifest> = []
    const visited = new Set<string>()
    let files = 0
    let next: string | undefined = statusUrl
    while (next !== undefined) {
      const { page: { manifest, next: link }, url }: Polled = yield* poll(fhir, next, options, files, fail)
      visited.add(url)
      manifests.push(manifest)
      files += manifest.files.length
      if (files > maxFiles) {
        return yield* fail({ reason: "TooManyPages", detail: `the manifests list more than ${maxFiles} files` })
      }
      next = link === undefined ? undefined : Url.parse(link, url)?.href ?? link
      if (next !== undefined) {
        if (visited.has(next)) {
          return yield* fail({
            reason: "PageLoop",
            detail: `manifest ${manifests.length} links to a manifest that was already read`
          })
        }
        if (manifests.length >= maxManifests) {
          return yield* fail({ reason: "TooManyPages", detail: `there are more than ${maxManifests} manifests` })
        }
        visited.add(next)
      }
    }
    const [first = { requiresAccessToken: true, files: [] }, ...rest] = manifests
    const manifest = join(first, rest)
    return typeof manifest === "string" ? yield* fail({ reason: "NotFhir", detail: manifest }) : manifest
  }).pipe(Effect.timeoutFail({
    duration: options.timeout ?? "1 day",
    onTimeout: () => fail({ reason: "TimedOut", detail: "the server did not complete the export in time" })
  }))
