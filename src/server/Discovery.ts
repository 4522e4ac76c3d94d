/**
 * From a FHIR base URL to its SMART configuration: fetched when first needed, cached, one request however many ask (SMART App Launch 2.2,
 * "Retrieve .well-known/smart-configuration"; requirements 29, 226, 227).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { captured } from "../base/captured.js"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { isJsonObject, parseJson } from "../base/members.js"
import * as SingleFlight from "../base/SingleFlight.js"
import * as Url from "../base/Url.js"
import * as Freshness from "../http/Freshness.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as Outbound from "../http/Outbound.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import { DiscoveryError } from "./DiscoveryError.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"
import { fromDocument } from "./SmartConfiguration.js"

/**
 * What may differ from one server to the next.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The cached document, or a fetched one. */
  readonly configuration: (fhirBaseUrl: string, request?: Request) => Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Fetches anew. A failure leaves what is cached as it is. */
  readonly refresh: (fhirBaseUrl: string, request?: Request) => Effect.Effect<SmartConfiguration, DiscoveryError>
  /** Forgets: the next `configuration` fetches, even if a fetch is under way. */
  readonly invalidate: (fhirBaseUrl: string) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Discovery extends Context.Tag("effect-safire/Discovery")<Discovery, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a document is fresh that says nothing about it itself. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for what `Cache-Control` and `Expires` may ask. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
  readonly maxTimeToLive?: Duration.DurationInput | undefined
  /** How long after its freshness a document still serves while the server fails. Default 1 day; zero: never. */
  readonly staleIfError?: Duration.DurationInput | undefined
  /** How long a failure is remembered, so that a dead server is not hammered. Default 3 seconds. */
  readonly failureTimeToLive?: Duration.DurationInput | undefined
  /** How many servers are remembered. Default 10,000. */
  readonly capacity?: number | undefined
}

/** What is known of one server: its last good document, its last failure, or both. */
interface Entry {
  readonly good?: {
    readonly configuration: SmartConfiguration
    readonly freshUntil: number
    readonly staleUntil: number
  }
  readonly failure?: { readonly error: DiscoveryError; readonly until: number }
  /** How long the entry is worth keeping, from when it was set. */
  readonly keepMillis: number
}

const ACCEPT = "application/json, application/fhir+json;q=0.9"

/** Judges an answer: a pure step, so that every shape of answer can be tested without a server. */
const judge = (
  fhirBaseUrl: FhirBaseUrl.FhirBaseUrl,
  answer: Outbound.Answer,
  nowMillis: number
): Either.Either<SmartConfiguration, DiscoveryError> => {
  const fail = (reason: DiscoveryError["reason"], detail: string) =>
    Either.left(
      new DiscoveryError({
        reason,
        fhirBaseUrl,
        url: Url.forDisplay(answer.url),
        detail,
        status: answer.status,
        retryAfter: RetryAfter.parse(answer.headers["retry-after"], nowMillis)
      })
    )
  if (answer.status === 404 || answer.status === 410) return fail("NotFound", `it answered ${answer.status}`)
  if (answer.status < 200 || answer.status > 299) return fail("Status", `it answered ${answer.status}`)
  const json = parseJson(answer.body)
  if (json === undefined) {
    return fail(
      "NotJson",
      `it answered ${answer.status} with ${mediaType(answer) ?? "no content type"}, which is not JSON`
    )
  }
  if (!isJsonObject(json.value)) {
    return fail("NotObject", `it answered ${Array.isArray(json.value) ? "an array" : typeof json.value}`)
  }
  return Either.right(fromDocument(fhirBaseUrl, json.value))
}

const mediaType = (answer: Outbound.Answer): string | undefined =>
  /^[\w.+-]+\/[\w.+-]+/.exec(answer.headers["content-type"] ?? "")?.[0].toLowerCase()

const warningsOf = (configuration: SmartConfiguration, answer: Outbound.Answer): ReadonlyArray<ConformanceWarning> => {
  const server = configuration.fhirBaseUrl
  const type = mediaType(answer)
  return [
    ...configuration.deviations.map(({ expected, member, problem }) =>
      new ConformanceWarning(
        problem === "Relative"
          ? {
            code: "MetadataEndpointRelative",
            server,
            detail: `${member} is relative; it was resolved`,
            requirement: "379"
          }
          : { code: "MetadataMemberMalformed", server, detail: `${member} is not ${expected}; it counts as absent` }
      )
    ),
    ...(type === undefined || !/^application\/(.+\+)?json$/.test(type)
      ? [
        new ConformanceWarning({
          code: "MetadataContentType",
          server,
          detail: `the SMART configuration came as ${type ?? "no content type"}`,
          requirement: "374"
        })
      ]
      : [])
  ]
}

/** Failures after which the last good document still serves: the server is in trouble, it did not say that SMART is gone. */
const mayServeStale = (error: DiscoveryError): boolean => error.reason !== "NotFound" && error.reason !== "InvalidUrl"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = Outbound.prepare(yield* HttpClient.HttpClient)
    const warnings = yield* ConformanceWarnings
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* captured(HttpLimits)
    const timeToLive = Duration.toMillis(options.timeToLive ?? "1 hour")
    const minTimeToLive = Duration.toMillis(options.minTimeToLive ?? "1 minute")
    const maxTimeToLive = Duration.toMillis(options.maxTimeToLive ?? "1 day")
    const staleIfError = Duration.toMillis(options.staleIfError ?? "1 day")
    const failureTimeToLive = Duration.toMillis(options.failureTimeToLive ?? "3 seconds")

    // The cache holds and expires; the single flight looks up. `Cache`'s own look-up would make followers share the fate of an interrupted first
    // caller, keep failures and let a failed refresh replace a good document.
    const cache = yield* Cache.makeWith<string, Entry>({
      capacity: options.capacity ?? 10_000,
      lookup: () => Effect.succeed({ keepMillis: 0 }),
      timeToLive: Exit.match({ onFailure: () => 0, onSuccess: ({ keepMillis }) => keepMillis })
    })
    const flights = SingleFlight.make<SmartConfiguration, DiscoveryError>()

    const attempt = Effect.fn("Discovery.fetch")(
      function*(fhirBaseUrl: FhirBaseUrl.FhirBaseUrl, request: Request | undefined) {
        const limits = yield* HttpLimits
        const url = FhirBaseUrl.append(fhirBaseUrl, ".well-known/smart-configuration")
        yield* Effect.annotateCurrentSpan("smart.fhir_base_url", fhirBaseUrl)
        const answer = yield* Outbound.send(
          client,
          HttpClientRequest.get(url).pipe(HttpClientRequest.setHeader("accept", ACCEPT)),
          {
            timeout: limits.discoveryTimeout,
            maxBytes: limits.maxResponseBytes,
            redirects: 3,
            allowInsecureLocalhost: request?.allowInsecureLocalhost ?? false
          }
        ).pipe(
          Effect.mapError(({ detail, reason, status, url }) =>
            new DiscoveryError({ reason, fhirBaseUrl, url, detail, status })
          )
        )
        const now = yield* Clock.currentTimeMillis
        const configuration = yield* judge(fhirBaseUrl, answer, now)
        yield* Effect.forEach(warningsOf(configuration, answer), warnings.report, { discard: true })
        const ownWord = Freshness.millis(answer.headers, now)
        const fresh = ownWord === undefined ? timeToLive : Math.min(maxTimeToLive, Math.max(minTimeToLive, ownWord))
        return { configuration, fresh }
      }
    )

    const look = (key: string): Effect.Effect<Entry | undefined> =>
      Effect.map(cache.getOptionComplete(key), Option.getOrUndefined)

    /** Fetches and remembers what came of it; a failure is remembered beside the last good document, never in its place. */
    const fetch = (
      key: string,
      fhirBaseUrl: FhirBaseUrl.FhirBaseUrl,
      request: Request | undefined,
      isCurrent: () => boolean
    ): Effect.Effect<SmartConfiguration, DiscoveryError> =>
      attempt(fhirBaseUrl, request).pipe(
        RetryPolicy.retry("always"),
        Effect.matchEffect({
          onSuccess: ({ configuration, fresh }) =>
            Clock.currentTimeMillis.pipe(
              Effect.tap((now) =>
                isCurrent()
                  ? cache.set(key, {
                    good: { configuration, freshUntil: now + fresh, staleUntil: now + fresh + staleIfError },
                    keepMillis: fresh + staleIfError
                  })
                  : Effect.void
              ),
              Effect.as(configuration)
            ),
          onFailure: (error) =>
            Effect.gen(function*() {
              const now = yield* Clock.currentTimeMillis
              const good = (yield* look(key))?.good
              const remembered = Math.max(
                failureTimeToLive,
                Math.min(
                  Duration.toMillis(error.retryAfter ?? Duration.zero),
                  Duration.toMillis(RetryPolicy.retryAfterCap)
                )
              )
              if (isCurrent()) {
                yield* cache.set(key, {
                  ...(good === undefined ? {} : { good }),
                  failure: { error, until: now + remembered },
                  keepMillis: Math.max(remembered, (good?.staleUntil ?? 0) - now)
                })
              }
              return yield* error
            })
        }),
        withPolicy,
        withLimits
      )

    const fly = (key: string, fhirBaseUrl: FhirBaseUrl.FhirBaseUrl, request: Request | undefined) =>
      flights.run(key, (isCurrent) => fetch(key, fhirBaseUrl, request, isCurrent))

    const stale = (entry: Entry | undefined, now: number, error: DiscoveryError) => {
      const good = entry?.good
      if (good === undefined || now >= good.staleUntil || !mayServeStale(error)) return Effect.fail(error)
      return Effect.as(
        warnings.report(
          new ConformanceWarning({
            code: "MetadataStale",
            server: error.fhirBaseUrl,
            detail:
              `the server does not give its SMART configuration (${error.reason}); the last good one serves meanwhile`
          })
        ),
        good.configuration
      )
    }

    /** Runs with a valid URL and its cache key. */
    const withKey = <A>(
      input: string,
      use: (key: string, fhirBaseUrl: FhirBaseUrl.FhirBaseUrl) => Effect.Effect<A, DiscoveryError>
    ): Effect.Effect<A, DiscoveryError> =>
      Either.match(FhirBaseUrl.parse(input), {
        onLeft: (problem) =>
          new DiscoveryError({
            reason: "InvalidUrl",
            fhirBaseUrl: Url.forDisplay(input),
            url: Url.forDisplay(input),
            detail: `it is no FHIR base URL (${problem})`
          }),
        onRight: (fhirBaseUrl) => use(FhirBaseUrl.key(fhirBaseUrl), fhirBaseUrl)
      })

    return {
      configuration: (input, request) =>
        withKey(
          input,
          (key, fhirBaseUrl) =>
            Effect.flatMap(Effect.zip(look(key), Clock.currentTimeMillis), ([entry, now]) => {
              if (entry?.good !== undefined && now < entry.good.freshUntil) {
                return Effect.succeed(entry.good.configuration)
              }
              if (entry?.failure !== undefined && now < entry.failure.until) {
                return stale(entry, now, entry.failure.error)
              }
              return Effect.catchAll(
                fly(key, fhirBaseUrl, request),
                (error) => Effect.flatMap(Clock.currentTimeMillis, (later) => stale(entry, later, error))
              )
            })
        ),
      refresh: (input, request) => withKey(input, (key, fhirBaseUrl) => fly(key, fhirBaseUrl, request)),
      invalidate: (input) =>
        Effect.suspend(() => {
          const parsed = FhirBaseUrl.parse(input)
          if (Either.isLeft(parsed)) return Effect.void
          const key = FhirBaseUrl.key(parsed.right)
          flights.forget(key)
          return cache.invalidate(key)
        })
    }
  })

const layerDefault: Layer.Layer<Discovery, never, HttpClient.HttpClient> = Layer.effect(Discovery, make())

/**
 * Without options always the same layer value, so that all that is built together shares one cache; with options bind it to a `const`.
 *
 * @example
 * import { Discovery } from "effect-safire"
 *
 * export const DiscoveryLive = Discovery.layer({ timeToLive: "5 minutes" })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options | undefined): Layer.Layer<Discovery, never, HttpClient.HttpClient> =>
  options === undefined ? layerDefault : Layer.effect(Discovery, make(options))
