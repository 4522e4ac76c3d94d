/**
 * One request for a server's UDAP metadata (UDAP Security STU2, sections 2.1 and 2.4; UDAP-16, UDAP-60), and the
 * judgement of its response.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as ReceivedResponse from "../../http/ReceivedResponse.js"
import * as TransportFailure from "../../http/TransportFailure.js"
import { UdapDiscoveryError } from "../UdapDiscoveryError.js"

/** @internal */
export interface MetadataRequest {
  readonly fhirBaseUrl: FhirBaseUrl.FhirBaseUrl
  readonly community: string | undefined
  readonly allowInsecureLocalhost: boolean
}

/** @internal */
export interface Fetched {
  readonly members: JsonObject
  /** The lifetime that the response declares, in milliseconds. */
  readonly declaredMaxAge: number | undefined
}

const validate = (
  { community, fhirBaseUrl }: MetadataRequest,
  response: ReceivedResponse.ReceivedResponse,
  now: number
): Either.Either<JsonObject, UdapDiscoveryError> => {
  const fail = (reason: UdapDiscoveryError["reason"], detail: string) =>
    new UdapDiscoveryError({
      ...ReceivedResponse.errorFields(response, now),
      reason,
      fhirBaseUrl,
      detail,
      community
    })
  if (response.status === 204) return Either.left(fail("CommunityUnknown", "HTTP status 204, without metadata"))
  return Either.mapLeft(ReceivedResponse.parseJsonObject(response), ({ detail, reason }) =>
    reason !== "NotFound"
      ? fail(reason, detail)
      : fail(
        "NotSupported",
        community === undefined
          ? detail
          : `${detail}, which a server of STU1 also sends for an unknown community`
      ))
}

/**
 * One attempt.
 *
 * @internal
 */
export const fetchMetadata = (
  client: HttpClient.HttpClient,
  request: MetadataRequest
): Effect.Effect<Fetched, UdapDiscoveryError> =>
  Effect.gen(function*() {
    const { allowInsecureLocalhost, community, fhirBaseUrl } = request
    const limits = yield* HttpLimits
    const base = FhirBaseUrl.append(fhirBaseUrl, ".well-known/udap")
    const url = community === undefined ? base : `${base}?community=${encodeURIComponent(community)}`
    const response = yield* OutgoingRequest.send(
      client,
      HttpClientRequest.get(url).pipe(HttpClientRequest.setHeader("accept", "application/json")),
      { timeout: limits.discoveryTimeout, maxBytes: limits.maxResponseBytes, redirects: 3, allowInsecureLocalhost }
    ).pipe(
      Effect.mapError((failure) =>
        new UdapDiscoveryError({ ...TransportFailure.errorFields(failure), fhirBaseUrl, community })
      )
    )
    const now = yield* Clock.currentTimeMillis
    return {
      members: yield* validate(request, response, now),
      declaredMaxAge: ReceivedResponse.freshnessMillis(response.headers, now)
    }
  })
