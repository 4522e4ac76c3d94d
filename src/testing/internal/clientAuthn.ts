/**
 * Client authentication with the registered method (RFC 6749 §2.3, SMART App Launch 2.2 "Client Authentication").
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type { Client } from "./client.js"
import * as ClientAssertion from "./clientAssertion.js"
import type { SandboxRequest } from "./http.js"
import { invalidClient, invalidRequest, type OAuthError } from "./oAuthError.js"
import type { Sandbox } from "./sandbox.js"

const secretOf = (client: Client): string | undefined =>
  client.authentication.method === "client_secret_basic" || client.authentication.method === "client_secret_post"
    ? Redacted.value(client.authentication.secret)
    : undefined

const formDecode = (value: string): string => new URLSearchParams(`v=${value.replace(/&/g, "%26")}`).get("v") ?? ""

// RFC 6749 §2.3.1 form-encodes id and secret; SMART's examples and its test kit do not. The sandbox accepts both.
const matchesBasic = (client: Client, credentials: string): boolean => {
  const expected = `${client.clientId}:${secretOf(client) ?? ""}`
  const colon = credentials.indexOf(":")
  return credentials === expected ||
    (colon >= 0 &&
      `${formDecode(credentials.slice(0, colon))}:${formDecode(credentials.slice(colon + 1))}` === expected)
}

const basic = (sandbox: Sandbox, authorization: string): Effect.Effect<Client, OAuthError> => {
  const encoded = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization)?.[1]
  const decoded = encoded === undefined ? undefined : Either.getOrUndefined(Encoding.decodeBase64String(encoded))
  if (decoded === undefined) {
    return invalidClient("the Authorization header must be Basic, in base64", { basic: true })
  }
  const client = Array.from(sandbox.clients.values()).find((candidate) =>
    candidate.authentication.method === "client_secret_basic" && matchesBasic(candidate, decoded)
  )
  return client === undefined
    ? invalidClient("no client with client_secret_basic has these credentials", { basic: true })
    : Effect.succeed(client)
}

const findClient = (sandbox: Sandbox, clientId: string): Effect.Effect<Client, OAuthError> => {
  const client = sandbox.clients.get(clientId)
  return client === undefined ? invalidClient("no such client is registered") : Effect.succeed(client)
}

/** Authenticates the client of a request to the token, introspection or revocation endpoint. */
export const authenticate = (
  sandbox: Sandbox,
  request: SandboxRequest,
  params: ReadonlyMap<string, string>,
  endpoint: string
): Effect.Effect<Client, OAuthError> =>
  Effect.gen(function*() {
    if (params.has("udap") && sandbox.certificates.authenticate !== undefined) {
      return yield* sandbox.certificates.authenticate(request, params, endpoint)
    }
    const authorization = request.headers["authorization"]
    const clientId = params.get("client_id")
    const secret = params.get("client_secret")
    const assertion = params.get("client_assertion")
    const assertionType = params.get("client_assertion_type")
    const methods = [authorization, secret, assertion ?? assertionType].filter((method) => method !== undefined)
    if (methods.length > 1) return yield* invalidRequest("more than one authentication method")
    if ((authorization !== undefined || methods.length > 0 && secret === undefined) && clientId !== undefined) {
      return yield* invalidRequest("client_id must not be in the body with this authentication method")
    }
    if (authorization !== undefined) return yield* basic(sandbox, authorization)

    if (assertion !== undefined || assertionType !== undefined) {
      if (assertionType !== ClientAssertion.assertionType || assertion === undefined) {
        return yield* invalidClient(`client_assertion_type must be ${ClientAssertion.assertionType}`)
      }
      const client = yield* findClient(sandbox, yield* ClientAssertion.claimedClientId(assertion))
      yield* ClientAssertion.verify(sandbox, client, assertion, [endpoint, sandbox.endpoints.token])
      return client
    }

    if (clientId === undefined) return yield* invalidClient("the request does not identify the client")
    const client = yield* findClient(sandbox, clientId)
    const expected = secret === undefined ? "none" : "client_secret_post"
    if (client.authentication.method !== expected) {
      return yield* invalidClient(`the client is registered for ${client.authentication.method}`)
    }
    return secret === undefined || secret === secretOf(client)
      ? client
      : yield* invalidClient("wrong client_secret")
  })
