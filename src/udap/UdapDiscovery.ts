/**
 * From a FHIR base URL to its UDAP metadata, verified before use (UDAP Security STU2, section 2; UDAP-16, UDAP-20,
 * UDAP-21, UDAP-60, UDAP-61): fetched when first needed, cached by server and community, one request however many ask.
 * Before each use the clock is compared with the earliest end of certificates, CRLs and OCSP responses; once it has
 * passed, document and trust are looked at anew.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import * as SingleFlight from "../base/SingleFlight.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import { communityProblem, isUri } from "./internal/communities.js"
import type { MetadataRequest } from "./internal/fetchMetadata.js"
import { fetchMetadata } from "./internal/fetchMetadata.js"
import type { Algorithm } from "./internal/signedMetadata.js"
import { verify } from "./internal/signedMetadata.js"
import { TrustError } from "./TrustError.js"
import type { Service as TrustPolicyService } from "./TrustPolicy.js"
import { TrustPolicy } from "./TrustPolicy.js"
import { UdapDiscoveryError } from "./UdapDiscoveryError.js"
import type { UdapMetadata } from "./UdapMetadata.js"
import { fromDocument } from "./UdapMetadata.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /**
   * The URI of a trust community: sent as `?community=`, and its anchors are used. Without one the server chooses its
   * certificate, and the only community of the `TrustPolicy` is meant.
   */
  readonly community?: string | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The cached metadata while it is trusted, or fetched and verified ones. */
  readonly metadata: (
    fhirBaseUrl: string,
    request?: Request
  ) => Effect.Effect<UdapMetadata, UdapDiscoveryError | TrustError>
  /** Fetches and verifies anew. A failure leaves what is cached as it is. */
  readonly refresh: (
    fhirBaseUrl: string,
    request?: Request
  ) => Effect.Effect<UdapMetadata, UdapDiscoveryError | TrustError>
  /** Forgets what is cached for a server, of all communities. */
  readonly invalidate: (fhirBaseUrl: string) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class UdapDiscovery extends Context.Tag("effect-safire/udap/UdapDiscovery")<UdapDiscovery, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What `signed_metadata` may be signed with. STU2 asks for RS256, which is the default. */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** How long a document is fresh that says nothing about it itself. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for what `Cache-Control` and `Expires` may ask. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
  readonly maxTimeToLive?: Duration.DurationInput | undefined
  /** How long a failure is remembered. Default 3 seconds. */
  readonly failureTimeToLive?: Duration.DurationInput | undefined
  /** How many documents are cached. Default 10,000. */
  readonly capacity?: number | undefined
}

/** Metadata that was verified, and what the last failure was. */
interface Entry {
  readonly verified?: { readonly metadata: UdapMetadata; readonly freshUntil: number } | undefined
  readonly failure?: { readonly error: UdapDiscoveryError | TrustError; readonly until: number } | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, never, HttpClient.HttpClient | TrustPolicy> =>
  Effect.flatMap(TrustPolicy, (policy) => makeWith({ ...options, policy }))

const makeWith = (
  { policy, ...options }: Options & { readonly policy: TrustPolicyService }
): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const warnings = yield* ConformanceWarnings
    const withPolicy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    const algorithms = options.algorithms ?? ["RS256"]
    const timeToLive = Duration.toMillis(options.timeToLive ?? "1 hour")
    const minTimeToLive = Duration.toMillis(options.minTimeToLive ?? "1 minute")
    const maxTimeToLive = Duration.toMillis(options.maxTimeToLive ?? "1 day")
    const failureTimeToLive = Duration.toMillis(options.failureTimeToLive ?? "3 seconds")
    const capacity = options.capacity ?? 10_000
    /** By server, then by community: in order of the last write. */
    const servers = new Map<string, Map<string, Entry>>()
    const flights = SingleFlight.make<UdapMetadata, UdapDiscoveryError | TrustError>()

    const keyOf = ({ allowInsecureLocalhost, community }: MetadataRequest): string =>
      `${allowInsecureLocalhost} ${community ?? ""}`

    const keep = (server: string, key: string, entry: Entry): void => {
      const entries = servers.get(server) ?? new Map<string, Entry>()
      servers.delete(server)
      servers.set(server, entries.set(key, entry))
      if (servers.size <= capacity) return
      const [oldest] = servers.keys()
      if (oldest !== undefined) servers.delete(oldest)
    }

    const load = (
      server: string,
      request: MetadataRequest
    ): Effect.Effect<UdapMetadata, UdapDiscoveryError | TrustError> => {
      const key = keyOf(request)
      return flights.run(`${key} ${server}`, (isCurrent) =>
        Effect.gen(function*() {
          const { declaredMaxAge, members } = yield* fetchMetadata(client, request).pipe(RetryPolicy.retry("always"))
          const { chain, claims, until } = yield* verify(members, { ...request, policy, algorithms })
          const metadata = fromDocument(members, {
            fhirBaseUrl: request.fhirBaseUrl,
            claims,
            community: chain.community,
            certificatePath: chain.path,
            trustedUntil: until
          })
          const now = yield* Clock.currentTimeMillis
          const freshUntil = now + (declaredMaxAge === undefined
            ? timeToLive
            : Math.min(maxTimeToLive, Math.max(minTimeToLive, declaredMaxAge)))
          if (isCurrent()) keep(server, key, { verified: { metadata, freshUntil } })
          yield* Effect.forEach(metadata.deviations, ({ expected, member }) =>
            warnings.report(
              new ConformanceWarning({
                code: "MetadataMemberMalformed",
                server: request.fhirBaseUrl,
                detail: `${member} of the UDAP metadata is not ${expected}; it counts as absent`
              })
            ), { discard: true })
          return metadata
        }).pipe(
          Effect.tapError((error) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              const verified = servers.get(server)?.get(key)?.verified
              if (isCurrent()) keep(server, key, { verified, failure: { error, until: now + failureTimeToLive } })
            })
          ),
          withPolicy,
          withLimits,
          Effect.withSpan("UdapDiscovery.load", {
            kind: "client",
            attributes: { "smart.fhir_base_url": request.fhirBaseUrl, "udap.community": request.community ?? "" }
          })
        ))
    }

    /** While a server is in trouble, what was verified serves as long as it is trusted. */
    const staleOrFail = (
      error: UdapDiscoveryError | TrustError,
      cached: UdapMetadata | undefined,
      now: number
    ): Effect.Effect<UdapMetadata, UdapDiscoveryError | TrustError> =>
      cached === undefined || now >= cached.trustedUntil || error._tag === "TrustError" || !error.isRetryable
        ? Effect.fail(error)
        : Effect.as(
          warnings.report(
            new ConformanceWarning({
              code: "MetadataStale",
              server: cached.fhirBaseUrl,
              detail:
                `the server does not give its UDAP metadata (${error.reason}); the last verified ones serve meanwhile`
            })
          ),
          cached
        )

    const withServer = <A>(
      input: string,
      request: Request | undefined,
      use: (server: string, request: MetadataRequest) => Effect.Effect<A, UdapDiscoveryError | TrustError>
    ): Effect.Effect<A, UdapDiscoveryError | TrustError> =>
      Effect.suspend((): Effect.Effect<A, UdapDiscoveryError | TrustError> => {
        const parsed = FhirBaseUrl.parse(input)
        const community = request?.community
        const fail = (reason: "InvalidUrl" | "InvalidCommunity", detail: string) =>
          new UdapDiscoveryError({ reason, fhirBaseUrl: input, url: "(not requested)", detail, community })
        if (Either.isLeft(parsed)) return fail("InvalidUrl", "it is not a FHIR base URL")
        if (community !== undefined && !isUri(community)) return fail("InvalidCommunity", "the community is not a URI")
        const unknown = communityProblem(policy.communities, community)
        if (unknown !== undefined) {
          return new TrustError({ reason: unknown.reason, problems: [unknown], subject: input, community })
        }
        return use(FhirBaseUrl.key(parsed.right), {
          fhirBaseUrl: parsed.right,
          community,
          allowInsecureLocalhost: request?.allowInsecureLocalhost ?? false
        })
      })

    return {
      metadata: (fhirBaseUrl, request) =>
        withServer(fhirBaseUrl, request, (server, metadataRequest) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            const { failure, verified } = servers.get(server)?.get(keyOf(metadataRequest)) ?? {}
            const cached = verified?.metadata
            if (verified !== undefined && now < verified.freshUntil && now < verified.metadata.trustedUntil) {
              return Effect.succeed(verified.metadata)
            }
            if (failure !== undefined && now < failure.until) return staleOrFail(failure.error, cached, now)
            return Effect.catchAll(
              load(server, metadataRequest),
              (error) => Effect.flatMap(Clock.currentTimeMillis, (then) => staleOrFail(error, cached, then))
            )
          })),
      refresh: (fhirBaseUrl, request) => withServer(fhirBaseUrl, request, load),
      invalidate: (fhirBaseUrl) =>
        Effect.sync(() => {
          const parsed = FhirBaseUrl.parse(fhirBaseUrl)
          if (Either.isLeft(parsed)) return
          const server = FhirBaseUrl.key(parsed.right)
          for (const key of servers.get(server)?.keys() ?? []) flights.forget(`${key} ${server}`)
          servers.delete(server)
        })
    }
  })

const shared = perHttpClient(UdapDiscovery, makeWith)

/**
 * Layers that are built together share one cache where they have the same `HttpClient`, the same `TrustPolicy`, equal
 * options and the same settings (`RetryPolicy` …). Call it for each use.
 *
 * @example
 * import { UdapDiscovery } from "effect-safire/udap"
 * import * as Effect from "effect/Effect"
 *
 * export const tokenEndpoint = (fhirBaseUrl: string) =>
 *   Effect.gen(function*() {
 *     const discovery = yield* UdapDiscovery.UdapDiscovery
 *     const metadata = yield* discovery.metadata(fhirBaseUrl, { community: "https://community.example.org/udap" })
 *     return metadata.tokenEndpoint
 *   })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<UdapDiscovery, never, HttpClient.HttpClient | TrustPolicy> =>
  Layer.unwrapEffect(Effect.map(TrustPolicy, (policy) => shared({ ...options, policy })))
