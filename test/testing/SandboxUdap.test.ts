import { createServer } from "node:http"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as jose from "jose"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import * as SandboxUdap from "../../src/testing/SandboxUdap.js"
import { get, redirectUri } from "../support/rawApp.js"
import * as App from "../support/rawUdapApp.js"

const layer = SandboxUdap.layerHttpClient()

const metadata = (community?: string) =>
  Effect.flatMap(
    SandboxUdap.SandboxUdap,
    ({ endpoints }) =>
      get(
        community === undefined
          ? endpoints.metadata
          : `${endpoints.metadata}?community=${encodeURIComponent(community)}`
      )
  )

/** Registration, an access token with the B2B extension, and a FHIR request. */
const backend = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const udap = yield* SandboxUdap.SandboxUdap
  const client = yield* App.registerBackend()
  const { body, status } = yield* App.clientCredentials(client)
  assert.strictEqual(status, 200, JSON.stringify(body))
  assert.isUndefined(body["scope"])
  assert.deepStrictEqual(yield* udap.tokenContext(String(body["access_token"])), { "hl7-b2b": App.b2b })
  const patients = yield* get(`${ehr.fhirBaseUrl}/Patient`, body["access_token"])
  assert.strictEqual(patients.status, 200)
})

/** Registration, authorization, code exchange, a FHIR request and a refresh. */
const consumer = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const client = yield* App.registerUserApp()
  const tokens = yield* App.exchangeCode(client, yield* App.codeFor(client))
  assert.strictEqual(tokens.status, 200, JSON.stringify(tokens.body))
  assert.isString(tokens.body["id_token"])
  const patient = yield* get(
    `${ehr.fhirBaseUrl}/Patient/${String(tokens.body["patient"])}`,
    tokens.body["access_token"]
  )
  assert.strictEqual(patient.status, 200)
  const again = yield* App.postToken(client, {
    grant_type: "refresh_token",
    refresh_token: String(tokens.body["refresh_token"])
  })
  assert.strictEqual(again.status, 200, JSON.stringify(again.body))
  assert.notStrictEqual(again.body["access_token"], tokens.body["access_token"])
  const token = String(again.body["refresh_token"])
  const introspected = yield* App.postTo(ehr.endpoints.introspection, client, { token })
  assert.strictEqual(introspected.body["active"], true, JSON.stringify(introspected.body))
  assert.strictEqual((yield* App.postTo(ehr.endpoints.revocation, client, { token })).status, 200)
  const revoked = yield* App.postTo(ehr.endpoints.introspection, client, { token })
  assert.deepStrictEqual(revoked.body, { active: false })
})

/** An authorization with an identity provider, which authenticates a patient. */
const tiered = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const udap = yield* SandboxUdap.SandboxUdap
  const client = yield* App.registerUserApp()
  const url = yield* App.udapAuthorizationUrl(client.clientId, {
    scope: "udap openid fhirUser patient/*.rs",
    idp: udap.identityProvider
  })
  const callback = yield* ehr.approve(url, { user: "Patient/patient-beta" })
  const tokens = yield* App.exchangeCode(client, callback.searchParams.get("code") ?? callback.href)
  assert.strictEqual(tokens.status, 200, JSON.stringify(tokens.body))
  const { fhirUser } = jose.decodeJwt(String(tokens.body["id_token"]))
  assert.strictEqual(fhirUser, `${ehr.fhirBaseUrl}/Patient/patient-beta`)
  const atIdp = (yield* ehr.requests).filter(({ step }) => step === "idp").map(({ path, status }) => [path, status])
  assert.deepStrictEqual(atIdp, [["/idp/.well-known/udap", 200], ["/idp/udap/register", 201], ["/idp/udap/token", 200]])
})

describe("SandboxUdap", () => {
  it.effect("supports registration, B2B client credentials and FHIR requests", () =>
    backend.pipe(Effect.provide(layer)))

  it.effect("supports authorization code with PKCE, refresh, introspection and revocation", () =>
    consumer.pipe(Effect.provide(layer)))

  it.effect("supports Tiered OAuth with its identity provider", () => tiered.pipe(Effect.provide(layer)))

  it.effect("supports all grants over a port", () =>
    Effect.all([backend, consumer, tiered], { discard: true }).pipe(
      Effect.provide(
        SandboxUdap.layerServer().pipe(
          Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
          Layer.merge(NodeHttpClient.layerUndici)
        )
      )
    ))

  it.effect("publishes signed metadata for two communities, and 204 for another one", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const udap = yield* SandboxUdap.SandboxUdap
      const roots = yield* Effect.forEach(udap.communities, (community) => udap.anchors(community))
      assert.strictEqual(roots.length, 2)
      for (const community of [undefined, ...udap.communities]) {
        const { body } = yield* metadata(community)
        const jwt = String(body["signed_metadata"])
        const { x5c = [] } = jose.decodeProtectedHeader(jwt)
        const key = yield* Effect.promise(() =>
          jose.importX509(`-----BEGIN CERTIFICATE-----\n${String(x5c[0])}\n-----END CERTIFICATE-----`, "RS256")
        )
        const { payload } = yield* Effect.promise(() => jose.jwtVerify(jwt, key, { currentDate: new Date(1) }))
        assert.strictEqual(payload.iss, ehr.fhirBaseUrl)
        assert.strictEqual(payload["token_endpoint"], udap.endpoints.token)
        assert.deepStrictEqual(body["udap_profiles_supported"], ["udap_dcr", "udap_authn", "udap_authz", "udap_to"])
      }
      assert.strictEqual((yield* metadata("https://unknown.sandbox.test/community")).status, 204)
      yield* udap.misbehave({ withoutUdap: true })
      assert.strictEqual((yield* metadata()).status, 404)
      yield* udap.behave
      assert.strictEqual((yield* metadata()).status, 200)
    }).pipe(Effect.provide(layer)))

  it.effect("has no UDAP metadata at a sandbox without UDAP", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      assert.strictEqual((yield* get(`${ehr.fhirBaseUrl}/.well-known/udap`)).status, 404)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("keeps the registrations of two communities apart", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const [one, two] = udap.communities
      const first = yield* App.registerBackend({ community: one })
      const second = yield* App.registerBackend({ community: two })
      assert.notStrictEqual(first.clientId, second.clientId)
      const cancelled = yield* App.registerWith(
        yield* App.backendStatement(App.clientUri, { grant_types: [], scope: undefined }),
        first.credentials
      )
      assert.deepStrictEqual([cancelled.status, cancelled.body["grant_types"]], [200, []])
      const statuses = (yield* udap.registrations).map(({ community, status }) => [community, status])
      assert.deepStrictEqual(statuses, [[one, "Cancelled"], [two, "Active"]])
      assert.strictEqual((yield* App.clientCredentials(first)).body["error"], "invalid_client")
      assert.strictEqual((yield* App.clientCredentials(second)).status, 200)
      const mixed = yield* App.clientCredentials({ ...second, credentials: first.credentials })
      assert.strictEqual(mixed.body["error"], "invalid_client")
    }).pipe(Effect.provide(layer)))

  it.effect("keeps the client id of a modified registration, and replaces its values", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const { clientId, credentials } = yield* App.registerUserApp()
      const renewed = yield* udap.issueCertificate({ uri: credentials.uri })
      const modified = yield* App.registerWith(
        yield* App.userStatement(App.clientUri, { redirect_uris: [redirectUri, `${redirectUri}/two`] }),
        renewed
      )
      assert.deepStrictEqual([modified.status, modified.body["client_id"]], [200, clientId])
      const registration = (yield* udap.registrations)[0]
      assert.deepStrictEqual(registration?.redirectUris, [redirectUri, `${redirectUri}/two`])
      yield* udap.misbehave({ registration: "NewClientId" })
      const replaced = yield* App.registerWith(yield* App.userStatement(App.clientUri), renewed)
      assert.notStrictEqual(replaced.body["client_id"], clientId)
      const statuses = (yield* udap.registrations).map((one) => [one.clientId, one.status])
      assert.deepStrictEqual(statuses, [[clientId, "Cancelled"], [replaced.body["client_id"], "Active"]])
    }).pipe(Effect.provide(layer)))
})
