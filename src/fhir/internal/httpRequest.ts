/**
 * The HTTP request of a FHIR request (FHIR R4, section 3.1.0).
 *
 * @internal
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { Fields } from "../FhirError.js"
import type { FhirRequest } from "./fhirRequest.js"

/** Whether a 304 is a valid response to the request. */
export const isConditional = ({ headers = {} }: FhirRequest): boolean =>
  Object.keys(headers).some((name) => /^if-(?:none-match|modified-since)$/i.test(name))

const ACCEPT = { accept: "application/fhir+json, application/json;q=0.9" }

/** Encodes the body once for all attempts; fails if it is circular or nested too deeply for JSON. */
export const encodeBody = (request: FhirRequest): Either.Either<FhirRequest, Fields> => {
  const { body } = request
  if (body === undefined || "text" in body) return Either.right(request)
  const { contentType = "application/fhir+json", json } = body
  return Either.try({
    try: () => ({ ...request, body: { text: JSON.stringify(json), contentType } }),
    catch: () => ({ reason: "InvalidRequest", detail: "the body cannot be encoded as JSON", processed: "no" })
  })
}

export const toHttpRequest = (
  { body, headers, method = "GET" }: FhirRequest,
  url: URL,
  token: Redacted.Redacted | undefined
): HttpClientRequest.HttpClientRequest => {
  // Only the token source decides which token is sent.
  const accepted = headers === undefined
    ? ACCEPT
    : Headers.remove(Headers.fromInput({ ...ACCEPT, ...headers }), "authorization")
  const authorization = token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }
  const made = HttpClientRequest.make(method)(url.href, { headers: { ...accepted, ...authorization } })
  return body === undefined || !("text" in body)
    ? made
    : HttpClientRequest.bodyText(made, body.text, body.contentType)
}
