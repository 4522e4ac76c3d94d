/**
 * The life of an export at the server: kick-off, status, cancellation (Bulk Data Access 2.0).
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as RetryAfter from "../http/RetryAfter.js"
import { safeText } from "../http/wireFields.js"
import type { Options } from "./BulkExport.js"
import type { Manifest } from "./BulkManifest.js"
import { Checkpoint, fromJson } from "./BulkManifest.js"
import type { Authorized } from "./FhirClient.js"
import type { FhirError, Fields } from "./FhirError.js"
import { isFhirError } from "./FhirError.js"
import type { Answer } from "./FhirRequest.js"
import * as Params from "./Params.js"
import { isId } from "./Resource.js"

type Fail = (fields: Fields) => FhirError

const MAX_POLL_MILLIS = 60_000

export const kickOff = <E, R>(
  fhir: Authorized<E, R>,
  { of = "system", params = {}, since, typeFilters, types }: Options,
  fail: Fail
): Effect.Effect<Checkpoint, FhirError | E, R> =>
  Effect.gen(function*() {
    if (typeof of === "object" && !isId(of.group)) {
      return yield* fail({ reason: "InvalidReference", detail: "the group has no usable id", outcome: "refused" })
    }
    const place = of === "system" ? "" : of === "patients" ? "Patient/" : `Group/${of.group}/`
    const given = {
      _type: types?.join(","),
      _since: since,
      _typeFilter: typeFilters?.join(",")
    }
    const answer = yield* fhir.request({
      interaction: "export",
      url: `${place}$export`,
      params: [...Params.pairs(given), ...Params.pairs(params)],
      headers: { accept: "application/fhir+json", prefer: "respond-async" },
      // Asking twice would start two exports.
      repeat: "refused"
    })
    const statusUrl = answer.headers["content-location"]
    if (answer.status !== 202 || statusUrl === undefined) {
      return yield* fail({
        reason: "NotFhir",
        detail: `it answered ${answer.status} where 202 with a Content-Location was due`,
        status: answer.status
      })
    }
    return new Checkpoint({ version: 1, statusUrl, lines: {}, done: [] })
  })

/** Too many questions, or a server that is busy for a while: both say when to come back. */
const isComeBackLater = <E>(error: FhirError | E): error is FhirError =>
  isFhirError(error) && error.reason === "Unavailable" && error.retryAfter !== undefined

/** Asks until the server has finished. */
export const wait = <E, R>(
  fhir: Authorized<E, R>,
  statusUrl: string,
  { onProgress = () => Effect.void, pollInterval = "2 seconds", timeout = "1 day" }: Options,
  fail: Fail
): Effect.Effect<Manifest, FhirError | E, R> =>
  Effect.gen(function*() {
    let interval = Duration.toMillis(pollInterval)
    while (true) {
      const answer = yield* fhir.request({
        interaction: "export status",
        url: statusUrl,
        headers: { accept: "application/json" }
      }).pipe(
        Effect.catchIf(isComeBackLater, (error) => Effect.succeed(error))
      )
      if (!isFhirError(answer) && answer.status !== 202) return yield* finished(answer, fail)
      const asked = isFhirError(answer)
        ? answer.retryAfter
        : RetryAfter.parse(answer.headers["retry-after"], yield* Clock.currentTimeMillis)
      const message = isFhirError(answer) ? undefined : answer.headers["x-progress"]
      yield* onProgress({
        phase: "Waiting",
        // Long words may be anything, also the token.
        message: message === undefined ? undefined : safeText(message, [], 100).replace(/\S{16,}/g, "…"),
        files: 0,
        filesDone: 0,
        resources: 0,
        expected: undefined
      })
      // A server that says "at once" is still not asked without a pause.
      yield* Effect.sleep(asked === undefined ? Duration.millis(interval) : Duration.max(asked, Duration.millis(100)))
      interval = Math.min(interval * 1.5, Math.max(MAX_POLL_MILLIS, interval))
    }
  }).pipe(Effect.timeoutFail({
    duration: timeout,
    onTimeout: () => fail({ reason: "TimedOut", detail: "the server has not finished in time" })
  }))

const finished = (answer: Answer, fail: Fail): Effect.Effect<Manifest, FhirError> => {
  const manifest = fromJson(answer.json)
  return typeof manifest === "string"
    ? fail({ reason: "NotFhir", detail: manifest, status: answer.status })
    : Effect.succeed(manifest)
}

/**
 * Tells the server to forget the export when nobody reads on: interrupted, or left early. Not after a failure, which may be gone on from.
 */
export const cancelUnlessFinished = <E, R>(
  fhir: Authorized<E, R>,
  statusUrl: string,
  job: { readonly isFinished: boolean },
  { onInterrupt = "cancel" }: Options
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.addFinalizer((exit) => {
    const isLeft = Exit.isSuccess(exit) || Exit.isInterrupted(exit)
    if (job.isFinished || !isLeft || onInterrupt === "keep") return Effect.void
    // In a fiber of its own, because the time limit of a request cannot cut what runs as a finalizer.
    return fhir.request({ interaction: "export cancel", method: "DELETE", url: statusUrl }).pipe(
      Effect.interruptible,
      Effect.forkDaemon,
      Effect.flatMap(Fiber.await),
      Effect.asVoid
    )
  })
