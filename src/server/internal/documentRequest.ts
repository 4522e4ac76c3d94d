/**
 * The request for a JSON document that a server publishes, and its response.
 *
 * @internal
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { mapFailure } from "../../base/CatchFailure.js"
import { unsafeMillis } from "../../base/FiberEnvironment.js"
import type { JsonObject } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as ReceivedResponse from "../../http/ReceivedResponse.js"
import * as TransportFailure from "../../http/TransportFailure.js"

/**
 * The problem of a document that could not be fetched or is not a JSON object, for the errors of all subjects.
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

export interface Source {
  readonly client: HttpClient.HttpClient
  readonly url: string
  readonly accept: string
  /** The `HttpLimits` that apply: those of metadata, or those of FHIR resources. */
  readonly limits: "metadata" | "fhir"
  readonly allowInsecureLocalhost: boolean | undefined
  /** The `ETag` of the cached document, sent as `If-None-Match`. */
  readonly etag?: string | undefined
}

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
 */
export const request = (source: Source): Effect.Effect<ReceivedResponse.ReceivedResponse, Problem> => {
  const { accept, client, etag, limits, url } = source
  const target = Url.parse(url)
  if (target === undefined || Url.hasCredentials(target)) {
    const detail = "the URL is not absolute, or it contains credentials"
    return Effect.fail({ reason: "InvalidUrl", url: Url.forDisplay(url), detail })
  }
  const headers = { accept, ...(etag === undefined ? {} : { "if-none-match": etag }) }
  return Effect.withFiberRuntime((fiber) => {
    const { discoveryTimeout, fhirTimeout, maxFhirResponseBytes, maxResponseBytes } = Context.get(
      fiber.currentContext,
      HttpLimits
    )
    return mapFailure(
      OutgoingRequest.send(client, HttpClientRequest.get(target.href, { headers }), {
        timeout: limits === "fhir" ? fhirTimeout : discoveryTimeout,
        maxBytes: limits === "fhir" ? maxFhirResponseBytes : maxResponseBytes,
        redirects: 3,
        allowInsecureLocalhost: source.allowInsecureLocalhost ?? false
      }),
      (failure): Problem => TransportFailure.errorFields(failure)
    )
  })
}

/**
 * Checks status and body of a response that was received at `fetchedAt`, in epoch milliseconds.
 */
export const parse = (
  response: ReceivedResponse.ReceivedResponse,
  fetchedAt: number,
  etag?: string | undefined
): Either.Either<Fetched, Problem> => {
  const declaredMaxAge = ReceivedResponse.freshnessMillis(response.headers, fetchedAt)
  if (response.status === 304 && etag !== undefined) {
    return Either.right({ members: undefined, response, fetchedAt, declaredMaxAge })
  }
  return Either.mapBoth(ReceivedResponse.parseJsonObject(response), {
    onLeft: (problem) => ({ ...problem, ...ReceivedResponse.errorFields(response, fetchedAt) }),
    onRight: (members) => ({ members, response, fetchedAt, declaredMaxAge })
  })
}

export const fetch = (source: Source): Effect.Effect<Fetched, Problem> =>
  Effect.flatMap(request(source), (response) => parse(response, unsafeMillis(), source.etag))
