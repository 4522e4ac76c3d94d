/**
 * From a FHIR base URL to its UDAP metadata, verified before use (UDAP Security STU2, section 2; UDAP-16, UDAP-20,
 * UDAP-21, UDAP-60, UDAP-61): fetched when first needed, cached by server and community, one request for concurrent
 * callers. Cached metadata are used until the first certificate, CRL or OCSP response ends; then document and trust are
 * verified again.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { span } from "../base/Span.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as PublishedDocument from "../server/PublishedDocument.js"
import { communityProblem, isUri } from "./internal/communities.js"
import { fetchMetadata, type MetadataRequest } from "./internal/fetchMetadata.js"
import type { Algorithm } from "./internal/jws.js"
import { verify } from "./internal/signedMetadata.js"
import { TrustError } from "./TrustError.js"
import { type Service as TrustPolicyService, TrustPolicy } from "./TrustPolicy.js"
import { UdapDiscoveryError } from "./UdapDiscoveryError.js"
import { fromDocument, type UdapMetadata } from "./UdapMetadata.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Algorithm
} from "./internal/jws.js"

/**
 * Options of one call.
 *
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
 * Fetches, verifies and caches UDAP metadata.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The cached metadata while it is trusted, or fetched and verified ones. */
  readonly metadata: (
    fhirBaseUrl: string,
    request?: Request
  ) => Effect.Effect<UdapMetadata, UdapDiscoveryError | TrustError>
  /** Fetches and verifies the metadata again. A failure leaves the cached ones. */
  readonly refresh: (
    fhirBaseUrl: string,
    request?: Request
  ) => Effect.Effect<UdapMetadata, UdapDiscoveryError | TrustError>
  /** Forgets what is cached for a server, of all communities. */
  readonly invalidate: (fhirBaseUrl: string) => Effect.Effect<void>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class UdapDiscovery extends Context.Tag("effect-safire/udap/UdapDiscovery")<UdapDiscovery, Service>() {}

/**
 * Options of the cache and of the verification.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What `signed_metadata` may be signed with. STU2 asks for RS256, which is the default. */
  readonly algorithms?: ReadonlyArray<Algorithm> | undefined
  /** How long a response without `Cache-Control` and `Expires` is fresh. Default 1 hour. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** Bounds for what `Cache-Control` and `Expires` may ask. Default 1 minute to 1 day. */
  readonly minTimeToLive?: Duration.DurationInput | undefined
  readonly maxTimeToLive?: Duration.DurationInput | undefined
  /** How long a failure is cached. Default 3 seconds. */
  readonly failureTimeToLive?: Duration.DurationInput | undefined
  /** How many documents are cached. Default 10,000. */
  readonly capacity?: number | undefined
}

/**
 * Makes the service.
 *
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
    const algorithms = options.algorithms ?? ["RS256"]
    const documents = yield* PublishedDocument.make<UdapMetadata, UdapDiscoveryError | TrustError>({
      ...options,
      capacity: options.capacity ?? 10_000,
      failureTimeToLive: options.failureTimeToLive ?? "3 seconds",
      // The requests for CRLs and OCSP responses were already repeated.
      mayRepeat: ({ _tag }) => _tag !== "TrustError",
      staleIfError: {
        // As long as the metadata are trusted: see `usableUntil`.
        duration: Infinity,
        accepts: (error) => error._tag === "UdapDiscoveryError" && error.isRetryable,
        report: (error) =>
          warnings.report(
            new ConformanceWarning({
              code: "MetadataStale",
              server: error._tag === "TrustError" ? error.subject : error.fhirBaseUrl,
              detail: `the UDAP metadata could not be fetched (${error.reason}); the last verified ones are used`
            })
          )
      }
    })

    const load = (request: MetadataRequest) =>
      Effect.gen(function*() {
        const { declaredMaxAge, members } = yield* fetchMetadata(client, request)
        const { chain, claims, until } = yield* verify(members, { ...request, policy, algorithms })
        const metadata = fromDocument(members, {
          fhirBaseUrl: request.fhirBaseUrl,
          claims,
          community: chain.community,
          certificatePath: chain.path,
          trustedUntil: until
        })
        yield* Effect.forEach(metadata.deviations, ({ expected, member }) =>
          warnings.report(
            new ConformanceWarning({
              code: "MetadataMemberMalformed",
              server: request.fhirBaseUrl,
              detail: `${member} of the UDAP metadata is not ${expected}; it counts as absent`
            })
          ), { discard: true })
        return { value: metadata, declaredMaxAge, usableUntil: until }
      }).pipe(
        span("UdapDiscovery.load", {
          kind: "client",
          attributes: { "smart.fhir_base_url": request.fhirBaseUrl, "udap.community": request.community ?? "" }
        })
      )

    /** Identifies the metadata that a server has for a community. */
    const idOf = (fhirBaseUrl: FhirBaseUrl.FhirBaseUrl, community: string | undefined): string =>
      `${community ?? ""} ${FhirBaseUrl.key(fhirBaseUrl)}`

    const call = (method: "get" | "refresh"): Service["metadata"] => (input, { community, ...permissions } = {}) =>
      Effect.suspend(() => {
        const parsed = FhirBaseUrl.parse(input)
        const fail = (reason: "InvalidUrl" | "InvalidCommunity", detail: string) =>
          new UdapDiscoveryError({ reason, fhirBaseUrl: input, url: "(not requested)", detail, community })
        if (Either.isLeft(parsed)) return fail("InvalidUrl", "it is not a FHIR base URL")
        if (community !== undefined && !isUri(community)) return fail("InvalidCommunity", "the community is not a URI")
        const unknown = communityProblem(policy.communities, community)
        if (unknown !== undefined) {
          return new TrustError({ reason: unknown.reason, problems: [unknown], subject: input, community })
        }
        const fhirBaseUrl = parsed.right
        const allowInsecureLocalhost = permissions.allowInsecureLocalhost ?? false
        return documents[method](
          PublishedDocument.cacheKey(idOf(fhirBaseUrl, community), permissions),
          () => load({ fhirBaseUrl, community, allowInsecureLocalhost })
        )
      })

    return {
      metadata: call("get"),
      refresh: call("refresh"),
      invalidate: (input) =>
        Either.match(FhirBaseUrl.parse(input), {
          onLeft: () => Effect.void,
          onRight: (fhirBaseUrl) =>
            Effect.forEach(
              [undefined, ...policy.communities],
              (community) => documents.invalidate(idOf(fhirBaseUrl, community)),
              { discard: true }
            )
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
  Layer.unwrapEffect(Effect.map(TrustPolicy, (policy) => shared.layer({ ...options, policy })))
