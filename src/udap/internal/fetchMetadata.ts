/**
 * One request for a server's UDAP metadata (UDAP Security STU2, sections 2.1 and 2.4; UDAP-16, UDAP-60), and the
 * judgement of its answer.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, parseJson } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import * as Freshness from "../../http/Freshness.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as RetryAfter from "../../http/RetryAfter.js"
import { UdapDiscoveryError } from "../UdapDiscoveryError.js"

/** @internal */
export interface Asked {
  readonly fhirBaseUrl: FhirBaseUrl.FhirBaseUrl
  readonly community: string | undefined
  readonly allowInsecureLocalhost: boolean
}

/** @internal */
export interface Fetched {
  readonly members: JsonObject
  /** How long the answer says that it may be kept, in milliseconds. */
  readonly declaredMaxAge: number | undefined
}

const judge = (
  { community, fhirBaseUrl }: Asked,
  answer: OutgoingRequest.ReceivedResponse,
  now: number
): Either.Either<JsonObject, UdapDiscoveryError> => {
  const fail = (reason: UdapDiscoveryError["reason"], detail: string) =>
    Either.left(
      new UdapDiscoveryError({
        reason,
        fhirBaseUrl,
        url: Url.forDisplay(answer.url),
        detail,
        community,
        status: answer.status,
        retryAfter: RetryAfter.parse(answer.headers["retry-after"], now)
      })
    )
  const said = `it answered ${answer.status}`
  if (answer.status === 204) return fail("CommunityUnknown", `${said}, without metadata`)
  if (answer.status === 404 || answer.status === 410) {
    return fail(
      "NotSupported",
      community === undefined
        ? said
        : `${said}, with which a server of STU1 also says that it does not know a community`
    )
  }
  if (answer.status < 200 || answer.status > 299) return fail("Status", said)
  const json = parseJson(answer.body)
  if (json === undefined) return fail("NotJson", `${said} with something that is not JSON`)
  return isJsonObject(json.value)
    ? Either.right(json.value)
    : fail("NotObject", `${said} with ${Array.isArray(json.value) ? "an array" : typeof json.value}`)
}

/**
 * One attempt.
 *
 * @internal
 */
export const fetchMetadata = (
  client: HttpClient.HttpClient,
  asked: Asked
): Effect.Effect<Fetched, UdapDiscoveryError> =>
  Effect.gen(function*() {
    const { allowInsecureLocalhost, community, fhirBaseUrl } = asked
    const limits = yield* HttpLimits
    const base = FhirBaseUrl.append(fhirBaseUrl, ".well-known/udap")
    const url = community === undefined ? base : `${base}?community=${encodeURIComponent(community)}`
    const answer = yield* OutgoingRequest.send(
      client,
      HttpClientRequest.get(url).pipe(HttpClientRequest.setHeader("accept", "application/json")),
      { timeout: limits.discoveryTimeout, maxBytes: limits.maxResponseBytes, redirects: 3, allowInsecureLocalhost }
    ).pipe(
      Effect.mapError(({ detail, reason, status, url }) =>
        new UdapDiscoveryError({ reason, fhirBaseUrl, url, detail, community, status })
      )
    )
    const now = yield* Clock.currentTimeMillis
    return { members: yield* judge(asked, answer, now), declaredMaxAge: Freshness.millis(answer.headers, now) }
  })
