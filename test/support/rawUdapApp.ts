/**
 * A UDAP client that is only HTTP requests, to test a server without the library: it signs JWTs with jose and posts
 * them.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as jose from "jose"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import * as SandboxUdap from "../../src/testing/SandboxUdap.js"
import { challenge, present, redirectUri, send, state, verifier } from "./rawApp.js"

export type Json = Readonly<Record<string, unknown>>

export const clientUri = "https://app.sandbox.test/udap"

/** Without the members that are `undefined`. */
const compacted = (json: Json): Json =>
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined))

export interface Signing {
  readonly header?: Json | undefined
  readonly key?: CryptoKey | undefined
}

/** Signs claims with the certificate of `credentials`; `undefined` removes a header member. */
export const signed = (claims: Json, credentials: SandboxUdap.Credentials, signing: Signing = {}) =>
  Effect.promise(() => {
    const { algorithm } = credentials.privateKey
    const alg = algorithm.name === "ECDSA"
      ? JSON.stringify(algorithm).includes("P-384") ? "ES384" : "ES256"
      : "RS256"
    const header = compacted({
      alg,
      x5c: credentials.chain.map((der) => Encoding.encodeBase64(der)),
      ...signing.header
    })
    return new jose.CompactSign(new TextEncoder().encode(JSON.stringify(compacted(claims))))
      .setProtectedHeader({ alg, ...header })
      .sign(signing.key ?? credentials.privateKey)
  })

const times = Effect.map(Clock.currentTimeMillis, (millis) => {
  const iat = Math.floor(millis / 1000)
  return { iat, exp: iat + 300, jti: globalThis.crypto.randomUUID() }
})

const registrationUrl = Effect.map(SandboxUdap.SandboxUdap, ({ endpoints }) => endpoints.registration)

/** The claims of a software statement for a backend service, with changes. */
export const backendStatement = (uri: string, changes: Json = {}) =>
  Effect.gen(function*() {
    return {
      iss: uri,
      sub: uri,
      aud: yield* registrationUrl,
      ...(yield* times),
      client_name: "A backend service",
      contacts: ["mailto:operations@app.sandbox.test"],
      grant_types: ["client_credentials"],
      token_endpoint_auth_method: "private_key_jwt",
      scope: "system/*.rs",
      ...changes
    }
  })

/** The claims of a software statement for an app with users, with changes. */
export const userStatement = (uri: string, changes: Json = {}) =>
  backendStatement(uri, {
    client_name: "An app with users",
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    redirect_uris: [redirectUri],
    logo_uri: "https://app.sandbox.test/logo.png",
    scope: "openid fhirUser offline_access udap launch/patient patient/*.rs",
    ...changes
  })

/** Posts a registration request; `body` changes its members. */
export const postRegistration = (statement: string, body: Json = {}) =>
  Effect.flatMap(registrationUrl, (url) =>
    send(
      HttpClientRequest.post(url).pipe(
        HttpClientRequest.bodyText(
          JSON.stringify(compacted({ software_statement: statement, udap: "1", ...body })),
          "application/json"
        )
      )
    ))

export const registerWith = (claims: Json, credentials: SandboxUdap.Credentials, body: Json = {}) =>
  Effect.flatMap(signed(claims, credentials), (statement) => postRegistration(statement, body))

export interface Registered {
  readonly clientId: string
  readonly credentials: SandboxUdap.Credentials
}

/** A registered client with a new certificate. */
const registered = (
  statement: typeof backendStatement,
  request: Partial<SandboxUdap.CertificateRequest>,
  changes: Json
) =>
  Effect.gen(function*() {
    const udap = yield* SandboxUdap.SandboxUdap
    const credentials = yield* udap.issueCertificate({ uri: clientUri, keys: "p256", ...request })
    const { body } = yield* registerWith(yield* statement(credentials.uri, changes), credentials)
    return { clientId: String(body["client_id"]), credentials }
  })

export const registerBackend = (request: Partial<SandboxUdap.CertificateRequest> = {}, changes: Json = {}) =>
  registered(backendStatement, request, changes)

export const registerUserApp = (request: Partial<SandboxUdap.CertificateRequest> = {}, changes: Json = {}) =>
  registered(userStatement, request, changes)

export const b2b: Json = {
  version: "1",
  subject_name: "Dr. Example",
  organization_id: "https://organization.sandbox.test",
  organization_name: "An organization",
  purpose_of_use: ["urn:oid:2.16.840.1.113883.5.8#TREAT"]
}

/** The claims of an authentication token. */
export const authenticationToken = (clientId: string, changes: Json = {}) =>
  Effect.gen(function*() {
    const { endpoints } = yield* SandboxUdap.SandboxUdap
    return { iss: clientId, sub: clientId, aud: endpoints.token, ...(yield* times), ...changes }
  })

export interface TokenChanges {
  readonly claims?: Json | undefined
  readonly form?: Readonly<Record<string, string | undefined>> | undefined
  readonly signing?: Signing | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** Posts to the token endpoint with an authentication token. */
export const postToken = (client: Registered, form: Readonly<Record<string, string>>, changes: TokenChanges = {}) =>
  Effect.flatMap(SandboxUdap.SandboxUdap, ({ endpoints }) => postTo(endpoints.token, client, form, changes))

/** Posts to an endpoint with an authentication token. */
export const postTo = (
  endpoint: string,
  { clientId, credentials }: Registered,
  form: Readonly<Record<string, string>>,
  changes: TokenChanges = {}
) =>
  Effect.gen(function*() {
    const claims = yield* authenticationToken(clientId, changes.claims)
    const fields = present({
      ...form,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: yield* signed(claims, credentials, changes.signing),
      udap: "1",
      ...changes.form
    })
    return yield* send(
      HttpClientRequest.post(endpoint, { headers: changes.headers ?? {} }).pipe(
        HttpClientRequest.bodyUrlParams(fields.map(([name, value]) => [name, value] as const))
      )
    )
  })

/** A client credentials request with the B2B extension. */
export const clientCredentials = (client: Registered, changes: TokenChanges = {}) =>
  postToken(client, { grant_type: "client_credentials", scope: "system/*.rs" }, {
    ...changes,
    claims: { extensions: { "hl7-b2b": b2b }, ...changes.claims }
  })

/** The authorization URL at the UDAP endpoint; `undefined` removes a parameter. */
export const udapAuthorizationUrl = (
  clientId: string,
  changes: Readonly<Record<string, string | undefined>> = {}
) =>
  Effect.map(SandboxUdap.SandboxUdap, ({ endpoints }) => {
    const url = new URL(endpoints.authorization)
    url.search = new URLSearchParams(
      present({
        response_type: "code",
        client_id: clientId,
        redirect_uri: redirectUri,
        scope: "openid fhirUser offline_access launch/patient patient/*.rs",
        state,
        code_challenge: challenge,
        code_challenge_method: "S256",
        ...changes
      }).map(([name, value]) => [name, value])
    ).toString()
    return url
  })

/** A code for an approved request. */
export const codeFor = (client: Registered, changes: Readonly<Record<string, string | undefined>> = {}) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const callback = yield* ehr.approve(yield* udapAuthorizationUrl(client.clientId, changes))
    return callback.searchParams.get("code") ?? ""
  })

export const exchangeCode = (client: Registered, code: string, changes: TokenChanges = {}) =>
  postToken(
    client,
    { grant_type: "authorization_code", code, redirect_uri: redirectUri, code_verifier: verifier },
    changes
  )
