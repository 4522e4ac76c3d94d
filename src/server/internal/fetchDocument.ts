/**
 * One GET request for a JSON document that a server publishes, and the checks of its response.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { JsonObject } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import * as Freshness from "../../http/Freshness.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as ReceivedResponse from "../../http/ReceivedResponse.js"
import * as TransportFailure from "../../http/TransportFailure.js"

/**
 * Why a document could not be fetched or is not a JSON object: the fields that the errors of all subjects share.
 *
 * @internal
 */
export interface Problem {
  readonly reason: TransportFailure.Reason | ReceivedResponse.ObjectProblem["reason"] | "InvalidUrl"
  /** Without query and credentials. */
  readonly url: string
  readonly detail: string
  readonly code?: string | undefined
  readonly status?: number | undefined
  readonly retryAfter?: Duration.Duration | undefined
}

/** @internal */
export interface Source {
  readonly client: HttpClient.HttpClient
  readonly url: string
  readonly accept: string
  /** Which of the `HttpLimits` apply: those of metadata, or those of FHIR resources. */
  readonly limits: "metadata" | "fhir"
  readonly allowInsecureLocalhost: boolean | undefined
  /** The `ETag` of the cached document, sent as `If-None-Match`. */
  readonly etag?: string | undefined
}

/** @internal */
export interface Fetched {
  /** Absent where the server responded 304 to a conditional request. */
  readonly members: JsonObject | undefined
  readonly response: ReceivedResponse.ReceivedResponse
  readonly fetchedAt: number
  /** From `Cache-Control` and `Expires`, in milliseconds. */
  readonly declaredMaxAge: number | undefined
}

/**
 * Sends one request and reads its response, of any status.
 *
 * @internal
 */
export const request = (source: Source): Effect.Effect<ReceivedResponse.ReceivedResponse, Problem> =>
  Effect.gen(function*() {
    const { accept, client, etag, limits, url } = source
    const target = Url.parse(url)
    if (target === undefined || target.username !== "" || target.password !== "") {
      const detail = "the URL is not absolute, or it contains credentials"
      return yield* Effect.fail<Problem>({ reason: "InvalidUrl", url: Url.forDisplay(url), detail })
    }
    const { discoveryTimeout, fhirTimeout, maxFhirResponseBytes, maxResponseBytes } = yield* HttpLimits
    const headers = { accept, ...(etag === undefined ? {} : { "if-none-match": etag }) }
    return yield* OutgoingRequest.send(client, HttpClientRequest.get(target.href, { headers }), {
      timeout: limits === "fhir" ? fhirTimeout : discoveryTimeout,
      maxBytes: limits === "fhir" ? maxFhirResponseBytes : maxResponseBytes,
      redirects: 3,
      allowInsecureLocalhost: source.allowInsecureLocalhost ?? false
    }).pipe(Effect.mapError((failure): Problem => TransportFailure.errorFields(failure)))
  })

/**
 * Checks status and body of a response.
 *
 * @internal
 */
export const parse = (
  response: ReceivedResponse.ReceivedResponse,
  etag?: string | undefined
): Effect.Effect<Fetched, Problem> =>
  Effect.flatMap(Clock.currentTimeMillis, (fetchedAt): Either.Either<Fetched, Problem> => {
    const declaredMaxAge = Freshness.millis(response.headers, fetchedAt)
    if (response.status === 304 && etag !== undefined) {
      return Either.right({ members: undefined, response, fetchedAt, declaredMaxAge })
    }
    return Either.mapBoth(ReceivedResponse.parseJsonObject(response), {
      onLeft: (problem) => ({ ...problem, ...ReceivedResponse.errorFields(response, fetchedAt) }),
      onRight: (members) => ({ members, response, fetchedAt, declaredMaxAge })
    })
  })

/**
 * Sends one request and checks its response.
 *
 * @internal
 */
export const fetch = (source: Source): Effect.Effect<Fetched, Problem> =>
  Effect.flatMap(request(source), (response) => parse(response, source.etag))
