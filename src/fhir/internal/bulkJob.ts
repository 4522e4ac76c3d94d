/**
 * The life of an export at the server: kick-off, status, manifests, cancellation (Bulk Data Access 3.0).
 *
 * @internal
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
import type { Options } from "../BulkExport.js"
import type { Authorized } from "../FhirClient.js"
import type { Fields } from "../FhirError.js"
import { FhirError, isFhirError } from "../FhirError.js"
import type { Manifest, ManifestPage } from "./bulkManifest.js"
import { Checkpoint, fromJson, joined } from "./bulkManifest.js"
import type { Request } from "./fhirRequest.js"
import * as Params from "./params.js"
import { isId } from "./resource.js"

type Fail = (fields: Fields) => FhirError

/** Whether all that the export holds has been read. */
export interface Job {
  isFinished: boolean
}

const MAX_POLL_MILLIS = 60_000
const DEFAULT_MAX_MANIFESTS = 10_000
const DEFAULT_MAX_FILES = 100_000

/** How long a caller that was interrupted waits for the server to forget the export. */
const SHUTDOWN_LIMIT = Duration.seconds(10)

/** Runs in its own fiber, within the limits of its requests; the caller, who may be shutting down, waits only so long. */
const atShutdown = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  Effect.flatMap(
    Effect.forkDaemon(Effect.interruptible(self)),
    (fiber) => Effect.interruptible(Fiber.await(fiber)).pipe(Effect.timeoutOption(SHUTDOWN_LIMIT), Effect.asVoid)
  )

const cancel = <E, R>(fhir: Authorized<E, R>, statusUrl: string) =>
  fhir.request({ interaction: "export cancel", method: "DELETE", url: statusUrl })

/**
 * Tells the server to forget the export when it is interrupted or left early. Not after a failure, which may be gone on from.
 */
export const cancelUnlessFinished = <E, R>(
  fhir: Authorized<E, R>,
  statusUrl: string,
  job: Job,
  { onInterrupt = "cancel" }: Options
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.addFinalizer((exit) => {
    const isLeft = Exit.isSuccess(exit) || Exit.isInterrupted(exit)
    return job.isFinished || !isLeft || onInterrupt === "keep" ? Effect.void : atShutdown(cancel(fhir, statusUrl))
  })

const kickOffRequest = (options: Options): Request => {
  const { allowPartialManifests, of = "system", params = {}, since, typeFilters, types } = options
  const place = of === "system" ? "" : of === "patients" ? "Patient/" : `Group/${of.group}/`
  const given = {
    _type: types?.join(","),
    _since: since,
    _typeFilter: typeFilters?.join(","),
    allowPartialManifests
  }
  return {
    interaction: "export",
    url: `${place}$export`,
    params: [...Params.pairs(given), ...Params.pairs(params)],
    headers: { accept: "application/fhir+json", prefer: "respond-async" },
    repeat: "never"
  }
}

/**
 * Asks for an export and registers its cancellation with the scope. An interruption does not cut a request that is under way: its answer is needed
 * to cancel the export.
 */
export const kickOff = <E, R>(
  fhir: Authorized<E, R>,
  options: Options,
  job: Job,
  fail: Fail
): Effect.Effect<Checkpoint, FhirError | E, R | Scope.Scope> => {
  const { of } = options
  if (typeof of === "object" && !isId(of.group)) {
    return fail({ reason: "InvalidReference", detail: "the group has no usable id", processed: "no" })
  }
  const ask = Effect.flatMap(fhir.request(kickOffRequest(options)), ({ headers, status }) => {
    const statusUrl = headers["content-location"]
    return status === 202 && statusUrl !== undefined
      ? Effect.succeed(new Checkpoint({ version: 1, statusUrl, lines: {}, done: [] }))
      : fail({
        reason: "NotFhir",
        detail: `it answered ${status} where 202 with a Content-Location was due`,
        status,
        processed: "unknown"
      })
  })
  let attempts = 0
  const attempt = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      attempts += 1
      const fiber = yield* Effect.forkDaemon(Effect.interruptible(ask))
      const started = yield* restore(Fiber.join(fiber)).pipe(
        // The caller never learned its URL: even with `keep` the export could not be resumed.
        Effect.onInterrupt(() => atShutdown(Effect.flatMap(Fiber.join(fiber), (late) => cancel(fhir, late.statusUrl))))
      )
      yield* cancelUnlessFinished(fhir, started.statusUrl, job, options)
      return started
    })
  )
  return Effect.flatMap(fhir.retryPolicy, (policy) =>
    // A repeat after a lost answer would start a second export.
    RetryPolicy.retryOurs("never", isFhirError<E>)(attempt).pipe(
      RetryPolicy.withPolicy(policy),
      Effect.mapError((error) => isFhirError(error) ? new FhirError({ ...error, attempts }) : error)
    ))
}

/** Too many questions, or a server that is busy for a while: both say when to come back. */
const isComeBackLater = <E>(error: FhirError | E): error is FhirError =>
  isFhirError(error) && error.reason === "Unavailable" && error.retryAfter !== undefined

interface Polled {
  readonly page: ManifestPage
  /** Where it came from: what its links are relative to. */
  readonly url: string
}

/** Asks until there is a manifest that stays as it is: one of a server that has finished (200), or one that links to the next. */
const poll = <E, R>(
  fhir: Authorized<E, R>,
  url: string,
  { onProgress = () => Effect.void, pollInterval = "2 seconds" }: Options,
  files: number,
  fail: Fail
): Effect.Effect<Polled, FhirError | E, R> =>
  Effect.gen(function*() {
    let interval = Duration.toMillis(pollInterval)
    while (true) {
      const answer = yield* fhir.request({
        interaction: "export status",
        url,
        headers: { accept: "application/json" }
      }).pipe(
        Effect.catchIf(isComeBackLater, (error) => Effect.succeed(error))
      )
      if (!isFhirError(answer)) {
        const page = fromJson(answer.json)
        const isComplete = answer.status !== 202
        if (isComplete && typeof page === "string") {
          return yield* fail({ reason: "NotFhir", detail: page, status: answer.status })
        }
        if (typeof page !== "string" && (isComplete || page.next !== undefined)) return { page, url: answer.url }
      }
      const asked = isFhirError(answer)
        ? answer.retryAfter
        : RetryAfter.parse(answer.headers["retry-after"], yield* Clock.currentTimeMillis)
      const message = isFhirError(answer) ? undefined : answer.headers["x-progress"]
      yield* onProgress({
        phase: "Waiting",
        // Long words may be anything, also the token.
        message: message === undefined ? undefined : safeText(message, [], 100).replace(/\S{16,}/g, "…"),
        files,
        filesDone: 0,
        resources: 0,
        expected: undefined
      })
      // A server that says "at once" is still not asked without a pause.
      yield* Effect.sleep(asked === undefined ? Duration.millis(interval) : Duration.max(asked, Duration.millis(100)))
      interval = Math.min(interval * 1.5, Math.max(MAX_POLL_MILLIS, interval))
    }
  })

/** All manifests of an export as one. No file is read before: only then is it known that none is missing. */
export const wait = <E, R>(
  fhir: Authorized<E, R>,
  statusUrl: string,
  options: Options,
  fail: Fail
): Effect.Effect<Manifest, FhirError | E, R> =>
  Effect.gen(function*() {
    const { maxFiles = DEFAULT_MAX_FILES, maxManifests = DEFAULT_MAX_MANIFESTS } = options
    const manifests: Array<Manifest> = []
    const visited = new Set<string>()
    let files = 0
    let asked: string | undefined = statusUrl
    while (asked !== undefined) {
      const { page: { manifest, next }, url }: Polled = yield* poll(fhir, asked, options, files, fail)
      visited.add(url)
      manifests.push(manifest)
      files += manifest.files.length
      if (files > maxFiles) {
        return yield* fail({ reason: "TooManyPages", detail: `its manifests list more than ${maxFiles} files` })
      }
      asked = next === undefined ? undefined : Url.parse(next, url)?.href ?? next
      if (asked !== undefined) {
        if (visited.has(asked)) {
          return yield* fail({
            reason: "PageLoop",
            detail: `the manifest after number ${manifests.length} was there before`
          })
        }
        if (manifests.length >= maxManifests) {
          return yield* fail({ reason: "TooManyPages", detail: `there are more than ${maxManifests} manifests` })
        }
        visited.add(asked)
      }
    }
    const [first = { requiresAccessToken: true, files: [] }, ...rest] = manifests
    const manifest = joined(first, rest)
    return typeof manifest === "string" ? yield* fail({ reason: "NotFhir", detail: manifest }) : manifest
  }).pipe(Effect.timeoutFail({
    duration: options.timeout ?? "1 day",
    onTimeout: () => fail({ reason: "TimedOut", detail: "the server has not finished in time" })
  }))
