/** The secrets of a request to the token endpoint, which must not be in an error, and a hint about them. */
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import { formEncode } from "../../base/Url.js"

/** The client id and secret of HTTP Basic, joined by a colon; empty for other requests. */
const basicOf = (request: HttpClientRequest): string => {
  const [scheme = "", credentials = ""] = request.headers["authorization"]?.split(" ") ?? []
  return scheme.toLowerCase() === "basic" ? Either.getOrElse(Encoding.decodeBase64String(credentials), () => "") : ""
}

/**
 * A hint for an error: names the option for the encoding of HTTP Basic, if client id or secret differ in the two
 * encodings that servers expect.
 */
export const encodingHint = (request: HttpClientRequest): string => {
  const basic = basicOf(request)
  return /^[A-Za-z0-9*._-]*(?::[A-Za-z0-9*._-]*)?$/.test(basic)
    ? ""
    : ", and the client id or secret has special characters, which some servers want form-encoded and others as they are: the option encoding of " +
      "ClientAuthentication.layerClientSecretBasic, or SMART_CLIENT_SECRET_ENCODING, is \"form\" or \"raw\""
}

const SECRET_PARAMS = [
  "code",
  "code_verifier",
  "refresh_token",
  "token",
  "client_secret",
  "client_assertion",
  "assertion",
  "password"
]

/** The secrets of a request: servers repeat them in error messages. */
export const secretsOf = (request: HttpClientRequest, clientId: string): ReadonlyArray<string> => {
  const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
  const params = new URLSearchParams(body)
  const authorization = request.headers["authorization"]
  const credentials = authorization?.slice(authorization.indexOf(" ") + 1)
  const basic = basicOf(request)
  // The client id is not a secret, and may be part of URLs. Both parts may be form-encoded and may have colons.
  const id = [clientId, formEncode(clientId)].find((one) => basic.startsWith(`${one}:`))
  const suffixes = id === undefined
    ? [...basic.matchAll(/:/g)].map(({ index }) => basic.slice(index + 1))
    : [basic.slice(id.length + 1)]
  return [
    ...SECRET_PARAMS.flatMap((name) => params.getAll(name)),
    ...(credentials === undefined ? [] : [credentials]),
    ...(id === undefined ? [basic] : []),
    ...suffixes,
    ...suffixes.map((suffix) => new URLSearchParams(`=${suffix.replaceAll("&", "%26")}`).get("") ?? "")
  ]
}
