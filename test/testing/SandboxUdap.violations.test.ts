import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as TestClock from "effect/TestClock"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import * as SandboxUdap from "../../src/testing/SandboxUdap.js"
import { challenge, post, redirectUri, verifier } from "../support/rawApp.js"
import * as App from "../support/rawUdapApp.js"

const layer = SandboxUdap.layerHttpClient()

/** The error of a response, or its status. */
const errorOf = ({ body, status }: { readonly body: App.Json; readonly status: number }): string =>
  typeof body["error"] === "string" ? `${status} ${body["error"]}` : String(status)

const credentials = (request: Partial<SandboxUdap.CertificateRequest> = {}) =>
  Effect.flatMap(
    SandboxUdap.SandboxUdap,
    (udap) => udap.issueCertificate({ uri: App.clientUri, keys: "p256", ...request })
  )

const seconds = 1000

// ---------------------------------------------------------------------------------------------------------------------
// Registration
// ---------------------------------------------------------------------------------------------------------------------

interface RegistrationViolation {
  readonly statement?: typeof App.backendStatement
  readonly claims?: App.Json
  readonly header?: App.Json
  readonly body?: App.Json
  readonly certificate?: Partial<SandboxUdap.CertificateRequest>
  readonly error: string
}

const invalidStatement = "400 invalid_software_statement"
const unapproved = "400 unapproved_software_statement"
const invalidMetadata = "400 invalid_client_metadata"
const invalidRequest = "400 invalid_request"

const ofUserApp = (claims: App.Json, error = invalidMetadata): RegistrationViolation => ({
  statement: App.userStatement,
  claims,
  error
})

const ofBackend = (claims: App.Json, error = invalidMetadata): RegistrationViolation => ({ claims, error })

const registrations: Readonly<Record<string, RegistrationViolation>> = {
  "[UDAP-7] no alg": { header: { alg: undefined }, error: invalidStatement },
  "[UDAP-8] no x5c": { header: { x5c: undefined }, error: invalidStatement },
  "[UDAP-8] an empty x5c": { header: { x5c: [] }, error: invalidStatement },
  "[UDAP-8] x5c in base64url": { header: { x5c: ["MII-_w"] }, error: invalidStatement },
  "[UDAP-8] x5c as PEM": {
    header: { x5c: ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"] },
    error: invalidStatement
  },
  "[UDAP-8] a certificate that is not DER": { header: { x5c: ["AAAA"] }, error: invalidStatement },
  "[UDAP-75] an iss that the certificate does not have": ofBackend({
    iss: "https://other.sandbox.test",
    sub: "https://other.sandbox.test"
  }, invalidStatement),
  "[UDAP-75] an iss with a slash more": ofBackend(
    { iss: `${App.clientUri}/`, sub: `${App.clientUri}/` },
    invalidStatement
  ),
  "[UDAP-76] a sub that is not iss": ofBackend({ sub: "https://other.sandbox.test" }, invalidStatement),
  "[UDAP-76] no sub": ofBackend({ sub: undefined }, invalidStatement),
  "[UDAP-77] another aud": ofBackend({ aud: "https://other.sandbox.test/register" }, invalidStatement),
  "[UDAP-77] aud as a list": ofBackend({ aud: ["https://ehr.sandbox.test/auth/udap/register"] }, invalidStatement),
  "[UDAP-78] no exp": ofBackend({ exp: undefined }, invalidStatement),
  "[UDAP-78] exp as text": ofBackend({ exp: "300" }, invalidStatement),
  "[UDAP-79] an exp more than five minutes after iat": ofBackend({ exp: 301 }, invalidStatement),
  "[UDAP-79] an exp that is iat": ofBackend({ exp: 0 }, invalidStatement),
  "[UDAP-80] no iat": ofBackend({ iat: undefined }, invalidStatement),
  "[UDAP-80] an iat in the future": ofBackend({ iat: 10, exp: 100 }, invalidStatement),
  "[UDAP-81] no jti": ofBackend({ jti: undefined }, invalidStatement),
  "[UDAP-81] an empty jti": ofBackend({ jti: "" }, invalidStatement),
  "[UDAP-83] no client_name": ofBackend({ client_name: undefined }),
  "[UDAP-84] no redirect_uris with authorization_code": ofUserApp(
    { redirect_uris: undefined },
    "400 invalid_redirect_uri"
  ),
  "[UDAP-84] an empty redirect_uris": ofUserApp({ redirect_uris: [] }, "400 invalid_redirect_uri"),
  "[UDAP-84] a redirect URI over http": ofUserApp(
    { redirect_uris: ["http://127.0.0.1:8000/callback"] },
    "400 invalid_redirect_uri"
  ),
  "[UDAP-85] redirect_uris with client_credentials": ofBackend({ redirect_uris: [redirectUri] }),
  "[UDAP-86] no contacts": ofBackend({ contacts: undefined }),
  "[UDAP-86] a contact that is not a URI": ofBackend({ contacts: ["mailto:a@app.sandbox.test", "by phone"] }),
  "[UDAP-87] contacts without an e-mail address": ofBackend({ contacts: ["tel:+15550100"] }),
  "[UDAP-87] a mailto URI without an address": ofBackend({ contacts: ["mailto:operations"] }),
  "[UDAP-88] no logo_uri with authorization_code": ofUserApp({ logo_uri: undefined }),
  "[UDAP-90] a logo over http": ofUserApp({ logo_uri: "http://app.sandbox.test/logo.png" }),
  "[UDAP-91] a logo that is an SVG image": ofUserApp({ logo_uri: "https://app.sandbox.test/logo.svg" }),
  "[UDAP-92] no grant_types": ofBackend({ grant_types: undefined }),
  "[UDAP-92] both grants": ofUserApp({ grant_types: ["authorization_code", "client_credentials"] }),
  "[UDAP-92] refresh_token alone": ofBackend({ grant_types: ["refresh_token"] }),
  "[UDAP-92] refresh_token with client_credentials": ofBackend({
    grant_types: ["client_credentials", "refresh_token"]
  }),
  "[UDAP-92] an unknown grant": ofBackend({ grant_types: ["client_credentials", "password"] }),
  "[UDAP-92] grant_types as text": ofBackend({ grant_types: "client_credentials" }),
  "[UDAP-93] no response_types with authorization_code": ofUserApp({ response_types: undefined }),
  "[UDAP-94] response_types with token": ofUserApp({ response_types: ["code", "token"] }),
  "[UDAP-95] response_types with client_credentials": ofBackend({ response_types: ["code"] }),
  "[UDAP-96] another token_endpoint_auth_method": ofBackend({ token_endpoint_auth_method: "client_secret_basic" }),
  "[UDAP-97] no scope": ofBackend({ scope: undefined }),
  "[UDAP-97] only scopes that a backend service cannot have": ofBackend({ scope: "openid patient/*.rs" }),
  "a wildcard that the server does not list": ofBackend({ scope: "system/*.cruds" }),
  "a malformed scope": ofBackend({ scope: "system/patient.rs" }),
  "a cancellation of what is not registered": ofBackend({ grant_types: [], scope: undefined }),
  "a crit header": { header: { crit: ["b64"], b64: true }, error: invalidStatement },
  "udap as a number": { body: { udap: 1 }, error: invalidRequest },
  "no udap": { body: { udap: undefined }, error: invalidRequest },
  "no software statement": { body: { software_statement: undefined }, error: invalidStatement },
  "text in place of a software statement": { body: { software_statement: "a.b.c" }, error: invalidStatement },
  "certifications that are no list": { body: { certifications: "jwt" }, error: invalidRequest },
  "an expired certificate": { certificate: { kind: "Expired" }, error: unapproved },
  "a certificate that is not yet valid": { certificate: { kind: "NotYetValid" }, error: unapproved },
  "a revoked certificate": { certificate: { kind: "Revoked" }, error: unapproved },
  "a certificate with another URI": { certificate: { kind: "WrongSan" }, error: invalidStatement },
  "a certificate with a DNS name only": { certificate: { kind: "DnsOnlySan" }, error: invalidStatement },
  "a certificate whose key may not sign": { certificate: { kind: "KeyUsage" }, error: unapproved },
  "a certificate outside its issuer's name constraints": {
    certificate: { kind: "NameConstraint" },
    error: unapproved
  },
  "a certificate below an authority that may issue none": { certificate: { kind: "PathLength" }, error: unapproved },
  "a certificate signed with SHA-1": { certificate: { kind: "Sha1" }, error: unapproved },
  "a certificate of an unknown authority": { certificate: { kind: "UnknownRoot" }, error: unapproved }
}

describe("the UDAP sandbox rejects a registration with", () => {
  for (const [name, violation] of Object.entries(registrations)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const udap = yield* SandboxUdap.SandboxUdap
        const { body, certificate, claims, error, header, statement = App.backendStatement } = violation
        const client = yield* credentials(certificate)
        const jwt = yield* unchecked(yield* statement(App.clientUri, claims), client, header)
        const response = yield* App.postRegistration(jwt, body)
        assert.strictEqual(errorOf(response), error, JSON.stringify(response.body))
        assert.deepStrictEqual(yield* udap.registrations, [])
        // Only the violation was in the way.
        const good = yield* App.registerWith(yield* statement(App.clientUri), yield* credentials())
        assert.strictEqual(good.status, 201, JSON.stringify(good.body))
      }).pipe(Effect.provide(layer)))
  }

  it.effect("[UDAP-74] a signature by another key", () =>
    Effect.gen(function*() {
      const [client, other] = [yield* credentials(), yield* credentials()]
      const jwt = yield* App.signed(yield* App.backendStatement(App.clientUri), client, { key: other.privateKey })
      assert.strictEqual(errorOf(yield* App.postRegistration(jwt)), invalidStatement)
    }).pipe(Effect.provide(layer)))

  it.effect("[UDAP-82] a jti that was used, until it has expired", () =>
    Effect.gen(function*() {
      const client = yield* credentials()
      const claims = yield* App.backendStatement(App.clientUri)
      assert.strictEqual((yield* App.registerWith(claims, client)).status, 201)
      assert.strictEqual(errorOf(yield* App.registerWith(claims, client)), invalidStatement)
      yield* TestClock.adjust(301 * seconds)
      const later = yield* App.backendStatement(App.clientUri, { jti: claims["jti"] })
      assert.strictEqual((yield* App.registerWith(later, client)).status, 200)
    }).pipe(Effect.provide(layer)))

  it.effect("a form, or a body that is not a JSON object", () =>
    Effect.gen(function*() {
      const { endpoints } = yield* SandboxUdap.SandboxUdap
      assert.strictEqual(errorOf(yield* post(endpoints.registration, { udap: "1" })), invalidRequest)
    }).pipe(Effect.provide(layer)))

  const certification = "https://certification.sandbox.test/one"

  it.effect("no certification that the server requires; it ignores all others", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const client = yield* credentials()
      const signer = yield* credentials({ uri: "https://certifier.sandbox.test" })
      const foreign = yield* credentials({ uri: "https://certifier.sandbox.test", community: udap.communities[1] })
      const sign = (from: SandboxUdap.Credentials, subject: string, claims: App.Json = {}) =>
        udap.signCertification({ signer: from, subject, name: "One", uris: [certification], claims })
      const good = yield* sign(signer, App.clientUri)
      const ignored = [
        yield* sign(signer, "https://other.sandbox.test"),
        yield* sign(signer, App.clientUri, { exp: -1, iat: -100 }),
        yield* sign(signer, App.clientUri, { aud: "https://other.sandbox.test/register" }),
        yield* sign(signer, App.clientUri, { certification_uris: ["https://certification.sandbox.test/two"] }),
        yield* sign(signer, App.clientUri, { exp: 4 * 366 * 86_400 }),
        yield* sign(foreign, App.clientUri),
        "not a JWT"
      ]
      const register = (certifications: ReadonlyArray<string> | undefined) =>
        Effect.flatMap(App.backendStatement(App.clientUri), (claims) =>
          App.registerWith(claims, client, { certifications }))
      assert.strictEqual(errorOf(yield* register(undefined)), unapproved)
      for (const one of ignored) {
        assert.strictEqual(errorOf(yield* register([one])), unapproved)
      }
      const response = yield* register([...ignored, good])
      assert.strictEqual(response.status, 201)
      const accepted = (yield* udap.registrations)[0]?.certifications ?? []
      assert.include(accepted, good)
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient({ udap: { requiredCertifications: [certification] } }))))
})

/** A JWT with any header, as jose signs only well-formed ones. */
const unchecked = (claims: App.Json, { chain, privateKey }: SandboxUdap.Credentials, header: App.Json = {}) => {
  const part = (json: unknown) => Encoding.encodeBase64Url(new TextEncoder().encode(JSON.stringify(json)))
  const x5c = chain.map((der) => Encoding.encodeBase64(der))
  const rsa = privateKey.algorithm.name !== "ECDSA"
  const input = `${part({ alg: rsa ? "RS256" : "ES256", x5c, ...header })}.${part(claims)}`
  return Effect.map(
    Effect.promise(() =>
      globalThis.crypto.subtle.sign(
        rsa ? "RSASSA-PKCS1-v1_5" : { name: "ECDSA", hash: "SHA-256" },
        privateKey,
        new TextEncoder().encode(input)
      )
    ),
    (signature) => `${input}.${Encoding.encodeBase64Url(new Uint8Array(signature))}`
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Token requests
// ---------------------------------------------------------------------------------------------------------------------

const invalidClient = "401 invalid_client"
const invalidGrant = "400 invalid_grant"

const b2b = (changes: App.Json): App.TokenChanges => ({
  claims: { extensions: { "hl7-b2b": { ...App.b2b, ...changes } } }
})

const tokenRequests: Readonly<Record<string, App.TokenChanges & { readonly error: string }>> = {
  "[UDAP-153] an iss that is the client URI": { claims: { iss: App.clientUri }, error: invalidClient },
  "[UDAP-153] a client id that is not registered": { claims: { iss: "x", sub: "x" }, error: invalidClient },
  "[UDAP-154] a sub that is not iss": { claims: { sub: "x" }, error: invalidClient },
  "[UDAP-155] aud of the SMART token endpoint": {
    claims: { aud: "https://ehr.sandbox.test/auth/token" },
    error: invalidClient
  },
  "[UDAP-155] aud as a list": {
    claims: { aud: ["https://ehr.sandbox.test/auth/udap/token"] },
    error: invalidClient
  },
  "[UDAP-156] no exp": { claims: { exp: undefined }, error: invalidClient },
  "[UDAP-157] no iat": { claims: { iat: undefined }, error: invalidClient },
  "[UDAP-157] an iat in the future": { claims: { iat: 5, exp: 10 }, error: invalidClient },
  "[UDAP-158] no jti": { claims: { jti: undefined }, error: invalidClient },
  "[UDAP-160] an exp more than five minutes after iat": { claims: { exp: 301 }, error: invalidClient },
  "[UDAP-164] an Authorization header": { headers: { authorization: "Basic eDp5" }, error: invalidRequest },
  "[UDAP-164] a client secret": { form: { client_secret: "secret" }, error: invalidRequest },
  "[UDAP-169] no client_assertion_type": { form: { client_assertion_type: undefined }, error: invalidClient },
  "[UDAP-169] the grant type's constant": {
    form: { client_assertion_type: "urn:ietf:params:oauth:grant-type:jwt-bearer" },
    error: invalidClient
  },
  "[UDAP-170] no client_assertion": { form: { client_assertion: undefined }, error: invalidClient },
  "[UDAP-171] no udap": { form: { udap: undefined }, error: invalidRequest },
  "[UDAP-171] another udap": { form: { udap: "2" }, error: invalidRequest },
  "[UDAP-175] no x5c": { signing: { header: { x5c: undefined } }, error: invalidClient },
  "[UDAP-178] another client_id": { form: { client_id: "x" }, error: invalidClient },
  "[UDAP-198] no extensions": { claims: { extensions: undefined }, error: invalidGrant },
  "[UDAP-198] extensions as text": {
    claims: { extensions: JSON.stringify({ "hl7-b2b": App.b2b }) },
    error: invalidGrant
  },
  "[UDAP-198] other extensions only": { claims: { extensions: { other: {} } }, error: invalidGrant },
  "[UDAP-202] no version": { ...b2b({ version: undefined }), error: invalidGrant },
  "[UDAP-202] version as a number": { ...b2b({ version: 1 }), error: invalidGrant },
  "[UDAP-203] a subject_name that is not text": { ...b2b({ subject_name: 1 }), error: invalidGrant },
  "[UDAP-204] a subject_id without subject_name": {
    ...b2b({ subject_name: undefined, subject_id: "urn:oid:2.16.840.1.113883.4.6#1234567890" }),
    error: invalidGrant
  },
  "[UDAP-208] a subject_role without subject_name": {
    ...b2b({ subject_name: undefined, subject_role: "207Q00000X" }),
    error: invalidGrant
  },
  "[UDAP-212] no organization_id": { ...b2b({ organization_id: undefined }), error: invalidGrant },
  "[UDAP-212] an organization_id that is not a URI": { ...b2b({ organization_id: "1234" }), error: invalidGrant },
  "[UDAP-215] no purpose_of_use": { ...b2b({ purpose_of_use: undefined }), error: invalidGrant },
  "[UDAP-215] an empty purpose_of_use": { ...b2b({ purpose_of_use: [] }), error: invalidGrant },
  "[UDAP-215] purpose_of_use as text": { ...b2b({ purpose_of_use: "TREAT" }), error: invalidGrant },
  "[UDAP-217] a consent_policy that is not a URI": { ...b2b({ consent_policy: ["none"] }), error: invalidGrant },
  "[UDAP-218] a relative consent_reference": {
    ...b2b({ consent_policy: ["urn:policy"], consent_reference: ["Consent/1"] }),
    error: invalidGrant
  },
  "[UDAP-221] a consent_reference without consent_policy": {
    ...b2b({ consent_reference: ["https://ehr.sandbox.test/fhir/Consent/1"] }),
    error: invalidGrant
  },
  "no scope": { form: { scope: undefined }, error: "400 invalid_scope" },
  "a wildcard that the server does not list": { form: { scope: "system/*.cruds" }, error: "400 invalid_scope" },
  "a scope that was not registered": { form: { scope: "system/Binary.c" }, error: "400 invalid_scope" },
  "another grant": {
    form: { grant_type: "password" },
    claims: { extensions: undefined },
    error: "400 unsupported_grant_type"
  },
  "a grant that was not registered": {
    form: { grant_type: "authorization_code", code: "x" },
    claims: { extensions: undefined },
    error: "400 unauthorized_client"
  }
}

describe("the UDAP sandbox rejects a token request with", () => {
  for (const [name, { error, ...changes }] of Object.entries(tokenRequests)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const client = yield* App.registerBackend()
        const response = yield* App.clientCredentials(client, changes)
        assert.strictEqual(errorOf(response), error, JSON.stringify(response.body))
        const good = yield* App.clientCredentials(client)
        assert.strictEqual(good.status, 200, JSON.stringify(good.body))
      }).pipe(Effect.provide(layer)))
  }

  it.effect("[UDAP-159] a jti that was used", () =>
    Effect.gen(function*() {
      const client = yield* App.registerBackend()
      const same: App.TokenChanges = { claims: { jti: "one" } }
      assert.strictEqual((yield* App.clientCredentials(client, same)).status, 200)
      assert.strictEqual(errorOf(yield* App.clientCredentials(client, same)), invalidClient)
    }).pipe(Effect.provide(layer)))

  it.effect("[UDAP-177] a certificate of another client or another community", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const client = yield* App.registerBackend()
      const others = [
        yield* credentials({ uri: "https://other.sandbox.test" }),
        yield* credentials({ community: udap.communities[1] })
      ]
      for (const other of others) {
        const response = yield* App.clientCredentials({ ...client, credentials: other })
        assert.strictEqual(errorOf(response), invalidClient)
      }
    }).pipe(Effect.provide(layer)))

  it.effect("a certificate that was revoked after the registration", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const client = yield* App.registerBackend()
      yield* udap.revokeCertificate(client.credentials.certificate)
      assert.strictEqual(errorOf(yield* App.clientCredentials(client)), invalidClient)
      const renewed = { ...client, credentials: yield* credentials() }
      assert.strictEqual((yield* App.clientCredentials(renewed)).status, 200)
    }).pipe(Effect.provide(layer)))

  it.effect("a certificate that has expired after the registration", () =>
    Effect.gen(function*() {
      const client = yield* App.registerBackend({ lifetime: 60 * seconds })
      assert.strictEqual((yield* App.clientCredentials(client)).status, 200)
      yield* TestClock.adjust(61 * seconds)
      assert.strictEqual(errorOf(yield* App.clientCredentials(client)), invalidClient)
    }).pipe(Effect.provide(layer)))

  const codeRequests: Readonly<Record<string, App.TokenChanges & { readonly error: string }>> = {
    "[UDAP-142] no code": { form: { code: undefined }, error: invalidRequest },
    "[UDAP-142] an unknown code": { form: { code: "made-up" }, error: invalidGrant },
    "[UDAP-143] no redirect_uri, after a request with one": { form: { redirect_uri: undefined }, error: invalidGrant },
    "[UDAP-168] another redirect_uri": { form: { redirect_uri: `${redirectUri}/two` }, error: invalidGrant },
    "[UDAP-199] extensions": { claims: { extensions: { "hl7-b2b": App.b2b } }, error: invalidRequest },
    "no code_verifier": { form: { code_verifier: undefined }, error: invalidRequest },
    "another code_verifier": { form: { code_verifier: "a".repeat(43) }, error: invalidGrant }
  }
  for (const [name, { error, ...changes }] of Object.entries(codeRequests)) {
    it.effect(`a code and ${name}`, () =>
      Effect.gen(function*() {
        const client = yield* App.registerUserApp()
        const response = yield* App.exchangeCode(client, yield* App.codeFor(client), changes)
        assert.strictEqual(errorOf(response), error, JSON.stringify(response.body))
      }).pipe(Effect.provide(layer)))
  }

  it.effect("[UDAP-136] a code that was used, and [UDAP-167] a redirect_uri that the authorization request had not", () =>
    Effect.gen(function*() {
      const client = yield* App.registerUserApp()
      const code = yield* App.codeFor(client)
      assert.strictEqual((yield* App.exchangeCode(client, code)).status, 200)
      assert.strictEqual(errorOf(yield* App.exchangeCode(client, code)), invalidGrant)
      const without = { redirect_uri: undefined }
      const added = yield* App.exchangeCode(client, yield* App.codeFor(client, without))
      assert.strictEqual(errorOf(added), invalidGrant)
      const omitted = yield* App.exchangeCode(client, yield* App.codeFor(client, without), { form: without })
      assert.strictEqual(omitted.status, 200, JSON.stringify(omitted.body))
    }).pipe(Effect.provide(layer)))

  it.effect("the credentials of a SMART client, whose token endpoint does not accept a UDAP client", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const udap = yield* SandboxUdap.SandboxUdap
      const client = yield* App.registerBackend()
      const claims = yield* App.authenticationToken(client.clientId, { aud: ehr.endpoints.token })
      const form = {
        grant_type: "client_credentials",
        scope: "system/*.rs",
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: yield* App.signed(claims, client.credentials)
      }
      assert.strictEqual(errorOf(yield* post(ehr.endpoints.token, form)), invalidClient)
      const secret = { grant_type: "client_credentials", client_id: "sandbox-symmetric-app", udap: "1" }
      assert.strictEqual(errorOf(yield* post(udap.endpoints.token, secret)), invalidClient)
    }).pipe(Effect.provide(layer)))
})

// ---------------------------------------------------------------------------------------------------------------------
// Authorization requests
// ---------------------------------------------------------------------------------------------------------------------

describe("the UDAP sandbox rejects an authorization request with", () => {
  const violations: Readonly<Record<string, readonly [Readonly<Record<string, string | undefined>>, string]>> = {
    "[UDAP-128] no response_type": [{ response_type: undefined }, "invalid_request"],
    "[UDAP-128] another response_type": [{ response_type: "token" }, "unsupported_response_type"],
    "no state": [{ state: undefined }, "invalid_request"],
    "no code_challenge": [{ code_challenge: undefined }, "invalid_request"],
    "a plain code_challenge": [
      { code_challenge: verifier, code_challenge_method: "plain" },
      "invalid_request"
    ],
    "a code_challenge without method": [
      { code_challenge: challenge, code_challenge_method: undefined },
      "invalid_request"
    ],
    "no scope": [{ scope: undefined }, "invalid_scope"],
    "another aud": [{ aud: "https://other.sandbox.test/fhir" }, "invalid_request"],
    "[UDAP-236] idp without the scope udap": [{ idp: "https://ehr.sandbox.test/idp" }, "invalid_request"],
    "[UDAP-237] an unknown idp": [
      { scope: "udap patient/*.rs", idp: "https://idp.other.test" },
      "invalid_idp"
    ],
    "[UDAP-237] an idp with a slash more": [
      { scope: "udap patient/*.rs", idp: "https://ehr.sandbox.test/idp/" },
      "invalid_idp"
    ]
  }
  for (const [name, [changes, error]] of Object.entries(violations)) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const { clientId } = yield* App.registerUserApp()
        const callback = yield* ehr.approve(yield* App.udapAuthorizationUrl(clientId, changes))
        assert.strictEqual(callback.searchParams.get("error"), error, callback.href)
      }).pipe(Effect.provide(layer)))
  }

  it.effect("a client that is not registered for UDAP, or is cancelled", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { clientId, credentials: client } = yield* App.registerUserApp()
      const smart = yield* Effect.flip(ehr.approve(yield* App.udapAuthorizationUrl("sandbox-public-app")))
      assert.strictEqual(smart.error, "invalid_client")
      const cancellation = yield* App.backendStatement(App.clientUri, { grant_types: [], scope: undefined })
      yield* App.registerWith(cancellation, client)
      const cancelled = yield* Effect.flip(ehr.approve(yield* App.udapAuthorizationUrl(clientId)))
      assert.strictEqual(cancelled.error, "invalid_client")
    }).pipe(Effect.provide(layer)))

  const providers: Readonly<
    Record<NonNullable<SandboxUdap.Misbehaviour["identityProvider"]>, string>
  > = {
    Untrusted: "invalid_idp",
    Unreachable: "invalid_idp",
    InvalidIdToken: "invalid_idp",
    UnknownUser: "access_denied"
  }
  it.effect.each(Object.entries(providers))(
    "an identity provider that is wrong: %j",
    ([wrong, error]) =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const udap = yield* SandboxUdap.SandboxUdap
        const { clientId } = yield* App.registerUserApp()
        const url = yield* App.udapAuthorizationUrl(clientId, {
          scope: "udap patient/*.rs",
          idp: udap.identityProvider
        })
        yield* udap.misbehave({
          identityProvider: wrong === "Untrusted" || wrong === "Unreachable" || wrong === "InvalidIdToken"
            ? wrong
            : "UnknownUser"
        })
        const callback = yield* ehr.approve(url)
        assert.strictEqual(callback.searchParams.get("error"), error, callback.href)
        yield* udap.behave
        assert.isNotNull((yield* ehr.approve(url)).searchParams.get("code"))
      }).pipe(Effect.provide(layer))
  )
})
