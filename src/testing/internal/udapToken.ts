/**
 * The UDAP token endpoint: client authentication with an authentication token, and the B2B authorization extension
 * (UDAP Security STU2, sections 4.2, 5.2 and 5.3).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Client } from "./client.js"
import { assertionType } from "./clientAssertion.js"
import * as Http from "./http.js"
import { invalidClient, invalidRequest, OAuthError } from "./oAuthError.js"
import * as Scope from "./scope.js"
import * as Token from "./token.js"
import * as UdapJwt from "./udapJwt.js"
import { wildcardProblem } from "./udapRegistration.js"
import { MAX_LIFETIME, type UdapServer } from "./udapServer.js"

const invalidExtension = (description: string) =>
  new OAuthError({ error: "invalid_grant", description: `hl7-b2b: ${description}` })

/** An absolute URI (RFC 3986, section 4.3, with a fragment). */
const isUri = (value: unknown): boolean => typeof value === "string" && /^[A-Za-z][A-Za-z0-9+.-]*:\S+$/.test(value)

const isUrl = (value: unknown): boolean =>
  typeof value === "string" && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)

const isText = (value: unknown): boolean => typeof value === "string" && value.trim() !== ""

const isListOf = (value: unknown, isItem: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.length > 0 && value.every(isItem)

/** The problem of an `hl7-b2b` object (section 5.3.1). */
const problemOfB2B = (value: unknown): string | undefined => {
  if (!Predicate.isRecord(value)) return "it must be an object"
  if (value["version"] !== "1") return "version must be \"1\""
  for (const member of ["subject_name", "subject_id", "subject_role", "organization_name"]) {
    if (value[member] !== undefined && !isText(value[member])) return `${member} must be a string`
  }
  if ((value["subject_id"] ?? value["subject_role"]) !== undefined && value["subject_name"] === undefined) {
    return "subject_id and subject_role need subject_name"
  }
  if (!isUri(value["organization_id"])) return "organization_id is required, a URI"
  if (!isListOf(value["purpose_of_use"], isText)) return "purpose_of_use is required, an array of strings"
  const { consent_policy: policy, consent_reference: reference } = value
  if (policy !== undefined && !isListOf(policy, isUri)) return "consent_policy must be an array of URIs"
  if (reference !== undefined && !isListOf(reference, isUrl)) return "consent_reference must be an array of URLs"
  return reference !== undefined && policy === undefined ? "consent_reference needs consent_policy" : undefined
}

const checkExtensions = (
  server: UdapServer,
  extensions: unknown,
  grantType: string | undefined
): Effect.Effect<void, OAuthError> => {
  if (grantType !== "client_credentials") {
    return extensions === undefined
      ? Effect.void
      : invalidRequest("the authentication token has extensions only with client_credentials")
  }
  if (extensions === undefined) {
    return server.requireB2B ? invalidExtension("the extension is required") : Effect.void
  }
  if (!Predicate.isRecord(extensions)) {
    return new OAuthError({ error: "invalid_grant", description: "extensions must be an object" })
  }
  const b2b = extensions["hl7-b2b"]
  if (b2b === undefined) return server.requireB2B ? invalidExtension("the extension is required") : Effect.void
  const problem = problemOfB2B(b2b)
  return problem === undefined ? Effect.void : invalidExtension(problem)
}

/** An authenticated client, with the extensions that it asserts. */
interface Authenticated {
  readonly client: Client
  readonly extensions: unknown
}

/** Authenticates the client of a request whose authentication token may have one of these audiences. */
export const authenticate = (
  server: UdapServer,
  request: Http.SandboxRequest,
  params: ReadonlyMap<string, string>,
  audiences: ReadonlyArray<string> = [server.endpoints.token]
): Effect.Effect<Authenticated, OAuthError> =>
  Effect.gen(function*() {
    if (request.headers["authorization"] !== undefined || params.has("client_secret")) {
      return yield* invalidRequest("a UDAP request has no Authorization header and no client_secret")
    }
    if (params.get("udap") !== "1") return yield* invalidRequest("udap must be 1")
    const assertion = params.get("client_assertion")
    if (params.get("client_assertion_type") !== assertionType || assertion === undefined) {
      return yield* invalidClient(`client_assertion is required, and client_assertion_type must be ${assertionType}`)
    }
    const { claims, community, exp, jti, uris } = yield* Effect.mapError(
      UdapJwt.verify(server.pki, assertion, MAX_LIFETIME),
      ({ description }) => invalidClient(`client_assertion: ${description}`)
    )
    const { aud, extensions, iss, sub } = claims
    if (typeof iss !== "string" || sub !== iss) {
      return yield* invalidClient("iss and sub of the client_assertion must both be the client_id")
    }
    const client = server.sandbox.clients.get(iss)
    if (client === undefined || client.authentication.method !== "udap") {
      return yield* invalidClient("no such client is registered")
    }
    if (client.authentication.community !== community || !uris.includes(client.authentication.clientUri)) {
      return yield* invalidClient("the certificate is not one of the registered client URI and community")
    }
    if (params.has("client_id") && params.get("client_id") !== iss) {
      return yield* invalidClient("client_id differs from iss of the client_assertion")
    }
    if (typeof aud !== "string" || !audiences.includes(aud)) {
      return yield* invalidClient("aud must be, as one string, the URL of the token endpoint")
    }
    if (!(yield* server.sandbox.state.acceptJti(iss, jti, exp * 1000))) {
      return yield* invalidClient("this jti has been used")
    }
    return { client, extensions }
  })

/** Responds to a POST to the token endpoint. */
export const handle = (
  server: UdapServer,
  request: Http.SandboxRequest
): Effect.Effect<Http.SandboxResponse, OAuthError> =>
  Effect.gen(function*() {
    const params = yield* Http.formParams(request)
    const { client, extensions } = yield* authenticate(server, request, params)
    const grantType = params.get("grant_type")
    yield* checkExtensions(server, extensions, grantType)
    const problem = wildcardProblem(server, Scope.splitScopes(params.get("scope") ?? ""))
    if (problem !== undefined) return yield* new OAuthError({ error: "invalid_scope", description: problem })
    return yield* Token.issueTokens({ sandbox: server.sandbox, client, params, extensions, isUdap: true })
  })
