/**
 * Fetching the JSON documents that a server publishes for everybody, and keeping them by URL: what OpenID Connect metadata, key sets and styles have
 * in common.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { withBuildTimeDefault } from "../base/BuildTimeDefault.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import type { JsonObject } from "../base/JsonReader.js"
import * as SingleFlight from "../base/SingleFlight.js"
import * as Url from "../base/Url.js"
import * as Freshness from "../http/Freshness.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import * as ReceivedResponse from "../http/ReceivedResponse.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TransportFailure from "../http/TransportFailure.js"
import type { Subject } from "./MetadataError.js"
import { MetadataError } from "./MetadataError.js"

/** @internal */
export interface Request {
  readonly allowInsecureLocalhost?: boolean | undefined
}

/** @internal */
export interface CachedDocument<A> {
  readonly value: A
  readonly fetchedAt: number
  readonly freshUntil: number
}

/** @internal */
export interface Documents<A> {
  /** The document for a key, from memory while it is fresh. */
  readonly get: (key: string, request?: Request) => Effect.Effect<CachedDocument<A>, MetadataError>
  /** Fetches anew. A failure leaves what is in memory. */
  readonly refetch: (key: string, request?: Request) => Effect.Effect<CachedDocument<A>, MetadataError>
  readonly forget: (key: string) => Effect.Effect<void>
}

/** @internal */
export interface Options<A> {
  readonly subject: Subject
  readonly client: HttpClient.HttpClient
  readonly accept: string
  readonly capacity: number
  /** How long a document is good whose answer does not say; and the bounds for what answers say. */
  readonly timeToLive: Duration.DurationInput
  readonly minTimeToLive: Duration.DurationInput
  readonly maxTimeToLive: Duration.DurationInput
  /** Where the document may be: the next place is tried where there is none at the one before. */
  readonly urls: (key: string) => ReadonlyArray<string>
  readonly decode: (members: JsonObject, key: string) => Effect.Effect<A, MetadataError>
}

/** Judges an answer: a pure step. */
const judge = (
  subject: Subject,
  answer: ReceivedResponse.ReceivedResponse,
  nowMillis: number
): Either.Either<JsonObject, MetadataError> => {
  return Either.mapLeft(
    ReceivedResponse.parseJsonObject(answer),
    (problem) => new MetadataError({ subject, ...problem, ...ReceivedResponse.errorFields(answer, nowMillis) })
  )
}

/**
 * To be run where a service is made: settings of its layer hold from then on.
 *
 * @internal
 */
export const make = <A>(options: Options<A>): Effect.Effect<Documents<A>> =>
  Effect.gen(function*() {
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    const timeToLive = Duration.toMillis(options.timeToLive)
    const minTimeToLive = Duration.toMillis(options.minTimeToLive)
    const maxTimeToLive = Duration.toMillis(options.maxTimeToLive)
    // In order of arrival, the oldest first.
    const kept = new Map<string, CachedDocument<A>>()
    const flights = SingleFlight.make<CachedDocument<A>, MetadataError>()

    const keep = (key: string, document: CachedDocument<A>): void => {
      kept.delete(key)
      kept.set(key, document)
      for (const oldest of kept.keys()) {
        if (kept.size <= options.capacity) return
        kept.delete(oldest)
      }
    }

    const attempt = (url: string, request: Request | undefined) =>
      Effect.gen(function*() {
        const target = Url.parse(url)
        if (target === undefined || target.username !== "" || target.password !== "") {
          return yield* new MetadataError({
            subject: options.subject,
            reason: "InvalidUrl",
            url: Url.forDisplay(url),
            detail: "it is no absolute URL without credentials"
          })
        }
        const limits = yield* HttpLimits
        const answer = yield* OutgoingRequest.send(
          options.client,
          HttpClientRequest.get(target.href).pipe(HttpClientRequest.setHeader("accept", options.accept)),
          {
            timeout: limits.discoveryTimeout,
            maxBytes: limits.maxResponseBytes,
            redirects: 3,
            allowInsecureLocalhost: request?.allowInsecureLocalhost ?? false
          }
        ).pipe(
          Effect.mapError((failure) =>
            new MetadataError({ subject: options.subject, ...TransportFailure.errorFields(failure) })
          )
        )
        const now = yield* Clock.currentTimeMillis
        return {
          members: yield* judge(options.subject, answer, now),
          declaredMaxAge: Freshness.millis(answer.headers, now)
        }
      }).pipe(RetryPolicy.retry("always"))

    const fetch = (key: string, request: Request | undefined) => {
      const [first = "", ...others] = options.urls(key)
      return others.reduce(
        (so, url) => Effect.catchIf(so, ({ reason }) => reason === "NotFound", () => attempt(url, request)),
        attempt(first, request)
      )
    }

    /** What one caller is allowed must not be had by another that is not. */
    const slot = (key: string, request: Request | undefined) => `${request?.allowInsecureLocalhost === true} ${key}`

    const refetch: Documents<A>["refetch"] = (key, request) =>
      flights.run(slot(key, request), (isCurrent) =>
        Effect.gen(function*() {
          const { members, declaredMaxAge } = yield* fetch(key, request)
          const value = yield* Effect.suspend(() => options.decode(members, key)).pipe(
            failOnDefect((exception) =>
              new MetadataError({
                subject: options.subject,
                reason: "NotObject",
                url: Url.forDisplay(key),
                detail: `it answered with a document that cannot be read (${exception})`
              })
            )
          )
          const fetchedAt = yield* Clock.currentTimeMillis
          const fresh = declaredMaxAge === undefined
            ? timeToLive
            : Math.min(maxTimeToLive, Math.max(minTimeToLive, declaredMaxAge))
          const document = { value, fetchedAt, freshUntil: fetchedAt + fresh }
          if (isCurrent()) keep(slot(key, request), document)
          return document
        }).pipe(
          withPolicy,
          withLimits,
          Effect.withSpan(`${options.subject}.fetch`, {
            kind: "client",
            attributes: { "smart.url": Url.forDisplay(key) }
          })
        ))

    return {
      get: (key, request) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const found = kept.get(slot(key, request))
          return found !== undefined && now < found.freshUntil ? Effect.succeed(found) : refetch(key, request)
        }),
      refetch,
      forget: (key) =>
        Effect.sync(() => {
          for (const allowInsecureLocalhost of [true, false]) {
            flights.forget(slot(key, { allowInsecureLocalhost }))
            kept.delete(slot(key, { allowInsecureLocalhost }))
          }
        })
    }
  })
