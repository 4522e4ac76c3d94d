import { createServer } from "node:http"
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as jose from "jose"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import {
  authorizationUrl,
  authorize,
  exchange,
  get,
  login,
  post,
  redirectUri,
  refresh,
  state
} from "../support/rawApp.js"

const layer = SandboxEhr.layerHttpClient()

const everything = "openid fhirUser offline_access launch/patient launch/encounter patient/*.rs user/Practitioner.r"

/** Discovery, authorization, exchange, read, refresh: the walk every app makes. */
const walk = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const { body: metadata } = yield* get(ehr.endpoints.smartConfiguration)
  assert.strictEqual(metadata["token_endpoint"], ehr.endpoints.token)
  const callback = yield* ehr.approve(yield* authorizationUrl(everything), { patient: "patient-beta" })
  assert.strictEqual(callback.searchParams.get("state"), state)
  assert.strictEqual(callback.searchParams.get("iss"), ehr.issuer)
  const tokens = yield* exchange(callback.searchParams.get("code") ?? "")
  assert.strictEqual(tokens.status, 200)
  assert.strictEqual(tokens.headers["cache-control"], "no-store")
  assert.strictEqual(tokens.body["token_type"], "Bearer")
  assert.strictEqual(tokens.body["scope"], everything)
  assert.strictEqual(tokens.body["patient"], "patient-beta")
  assert.strictEqual(tokens.body["encounter"], "encounter-beta-1")
  const patient = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-beta`, tokens.body["access_token"])
  assert.strictEqual(patient.status, 200)
  assert.strictEqual(patient.headers["etag"], "W/\"1\"")
  const again = yield* refresh(tokens.body["refresh_token"])
  assert.strictEqual(again.status, 200)
  assert.notStrictEqual(again.body["access_token"], tokens.body["access_token"])
  assert.notStrictEqual(again.body["refresh_token"], tokens.body["refresh_token"])
  return { metadata, tokens: tokens.body }
})

const hasAll = (list: unknown, ...members: ReadonlyArray<string>) => {
  assert.isTrue(Array.isArray(list))
  assert.includeMembers(Array.isArray(list) ? list : [], [...members])
}

describe("SandboxEhr", () => {
  it.effect("[SMART-29] [SMART-385] supports discovery, authorization, token exchange and refresh in memory", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { metadata, tokens } = yield* walk
      hasAll(metadata["capabilities"], "launch-ehr", "launch-standalone", "authorize-post", "permission-v2")
      hasAll(metadata["grant_types_supported"], "authorization_code", "client_credentials")
      assert.deepStrictEqual(metadata["code_challenge_methods_supported"], ["S256"])
      assert.strictEqual(metadata["authorization_response_iss_parameter_supported"], true)
      assert.isUndefined(metadata["registration_endpoint"])
      const steps = (yield* ehr.requests).map((request) => [request.step, request.status])
      assert.deepStrictEqual(steps, [["discovery", 200], ["token", 200], ["fhir", 200], ["token", 200]])
      hasAll(
        yield* ehr.issued,
        String(tokens["access_token"]),
        String(tokens["refresh_token"]),
        String(tokens["id_token"])
      )
      yield* ehr.clearRequests
      assert.deepStrictEqual(yield* ehr.requests, [])
    }).pipe(Effect.provide(layer)))

  it.scopedLive("goes from discovery to a refresh over a port", () =>
    walk.pipe(
      Effect.zipRight(SandboxEhr.SandboxEhr),
      Effect.tap((ehr) => Effect.sync(() => assert.match(ehr.fhirBaseUrl, /^http:\/\/127\.0\.0\.1:\d+\/fhir$/))),
      Effect.provide(
        SandboxEhr.layerServer().pipe(
          Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
          Layer.merge(NodeHttpClient.layerUndici)
        )
      )
    ))

  it.effect("records requests", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* TestClock.setTime(1_000_000)
      yield* post(`${ehr.endpoints.token}?x=1`, { grant_type: "authorization_code", code: "a b" }, { "X-Test": "Yes" })
      const [request] = yield* ehr.requests
      assert.strictEqual(request?.step, "token")
      assert.strictEqual(request?.method, "POST")
      assert.strictEqual(request?.url, "/auth/token?x=1")
      assert.deepStrictEqual(request?.query, { x: "1" })
      assert.deepStrictEqual(request?.form, { grant_type: "authorization_code", code: "a b" })
      assert.strictEqual(request?.body, "grant_type=authorization_code&code=a+b")
      assert.strictEqual(request?.headers["x-test"], "Yes")
      assert.strictEqual(request?.receivedAt, 1_000_000)
      assert.strictEqual(request?.status, 400)
    }).pipe(Effect.provide(layer)))

  it.effect("fails requests to another origin with ENOTFOUND", () =>
    Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      const error = yield* Effect.flip(client.get("https://elsewhere.sandbox.test/fhir"))
      assert.strictEqual(error._tag === "RequestError" ? error.reason : error._tag, "Transport")
      assert.propertyVal(error.cause, "code", "ENOTFOUND")
      const unknown = yield* client.get("https://ehr.sandbox.test/nothing/here")
      assert.strictEqual(unknown.status, 404)
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-62] responds to an unsupported method with 405, and to HEAD without a body", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* HttpClient.HttpClient
      const token = yield* get(`${ehr.endpoints.token}?grant_type=authorization_code`)
      assert.deepStrictEqual([token.status, token.headers["allow"]], [405, "POST"])
      const head = yield* client.head(ehr.endpoints.smartConfiguration)
      assert.deepStrictEqual([head.status, yield* head.text], [200, ""])
    }).pipe(Effect.provide(layer)))

  describe("authorization", () => {
    it.effect("[SMART-53] redirects a denial with state and iss", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const callback = yield* ehr.deny(yield* authorizationUrl("patient/*.rs"))
        assert.strictEqual(`${callback.origin}${callback.pathname}`, redirectUri)
        assert.strictEqual(callback.searchParams.get("error"), "access_denied")
        assert.strictEqual(callback.searchParams.get("state"), state)
        assert.strictEqual(callback.searchParams.get("iss"), ehr.issuer)
        assert.isNull(callback.searchParams.get("code"))
        const other = yield* ehr.deny(yield* authorizationUrl("patient/*.rs"), "temporarily_unavailable")
        assert.strictEqual(other.searchParams.get("error"), "temporarily_unavailable")
      }).pipe(Effect.provide(layer)))

    it.effect("[SMART-79] grants fewer scopes, none, or others than requested", () =>
      Effect.gen(function*() {
        const fewer = yield* login("patient/*.rs openid", { decision: { scopes: ["patient/Observation.rs"] } })
        assert.strictEqual(fewer.body["scope"], "patient/Observation.rs")
        assert.isUndefined(fewer.body["id_token"])
        const none = yield* login("patient/*.rs", { decision: { scopes: [] } })
        assert.strictEqual(none.status, 200)
        assert.strictEqual(none.body["scope"], "")
        const wider = yield* login("patient/Observation.rs", { decision: { scopes: ["patient/*.rs"] } })
        assert.strictEqual(wider.body["scope"], "patient/*.rs")
      }).pipe(Effect.provide(layer)))

    it.effect("grants no scope that the sandbox or the client does not support", () =>
      Effect.gen(function*() {
        const tokens = yield* login("patient/*.rs system/*.rs __vendor https://example.org/scope")
        assert.strictEqual(tokens.body["scope"], "patient/*.rs")
      }).pipe(Effect.provide(layer)))

    it.effect("rejects a decision with a resource that the store does not have", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const url = yield* authorizationUrl("launch/patient")
        const error = yield* Effect.flip(ehr.approve(url, { patient: "unknown" }))
        assert.strictEqual(error.message, "UnknownResource: the store has no Patient/unknown")
        const launch = yield* Effect.flip(ehr.launch({ user: "Practitioner/unknown" }))
        assert.strictEqual(launch.reason, "UnknownResource")
      }).pipe(Effect.provide(layer)))

    it.effect("never redirects to an unknown client or an unregistered redirect URI", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const unknown = yield* Effect.flip(ehr.approve(yield* authorizationUrl("openid", { client_id: "unknown" })))
        assert.deepStrictEqual([unknown.reason, unknown.error], ["Refused", "invalid_client"])
        const evil = yield* authorizationUrl("openid", { redirect_uri: "https://evil.sandbox.test/" })
        const redirect = yield* Effect.flip(ehr.deny(evil))
        assert.deepStrictEqual([redirect.reason, redirect.error], ["Refused", "invalid_request"])
        const elsewhere = yield* Effect.flip(ehr.approve("https://elsewhere.sandbox.test/authorize"))
        assert.strictEqual(elsewhere.reason, "NotAuthorizationEndpoint")
      }).pipe(Effect.provide(layer)))

    it.effect("redirects every other error to the app", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const callback = yield* ehr.approve(yield* authorizationUrl("openid", { aud: "https://other.sandbox.test" }))
        assert.strictEqual(callback.searchParams.get("error"), "invalid_request")
        assert.strictEqual(callback.searchParams.get("state"), state)
      }).pipe(Effect.provide(layer)))

    it.effect("[SMART-50] accepts a form POST", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const url = yield* authorizationUrl("patient/*.rs")
        const params = Object.fromEntries(url.searchParams)
        const callback = yield* ehr.approve({ url: ehr.endpoints.authorization, params })
        assert.isNotNull(callback.searchParams.get("code"))
        const page = yield* post(ehr.endpoints.authorization, params)
        assert.strictEqual(page.status, 200)
        assert.match(String(page.headers["content-type"]), /^text\/html/)
      }).pipe(Effect.provide(layer)))

    it.effect("decides by the links of the consent page; only the first decision counts", () =>
      Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const html = yield* client.get(yield* authorizationUrl("launch/patient patient/*.rs")).pipe(
          Effect.flatMap((response) => response.text)
        )
        const links = Array.from(html.matchAll(/href="([^"]+)"/g), (match) => match[1]?.replaceAll("&amp;", "&") ?? "")
        assert.strictEqual(links.length, 4)
        const beta = links.find((link) => link.includes("patient-beta")) ?? ""
        const { headers, status } = yield* client.get(beta)
        assert.strictEqual(status, 302)
        const code = new URL(headers["location"] ?? "").searchParams.get("code") ?? ""
        assert.strictEqual((yield* exchange(code)).body["patient"], "patient-beta")
        const alpha = links.find((link) => link.includes("patient-alpha")) ?? ""
        assert.strictEqual((yield* client.get(alpha)).headers["location"], headers["location"])
        assert.strictEqual((yield* client.get(beta.replace(/ticket=[^&]+/, "ticket=unknown"))).status, 400)
        assert.notInclude(html, "<script")
      }).pipe(Effect.provide(layer)))

    it.effect("approves without a page with autoApprove", () =>
      Effect.gen(function*() {
        const page = yield* get((yield* authorizationUrl("launch/patient")).href)
        assert.strictEqual(page.status, 302)
        const code = new URL(String(page.headers["location"])).searchParams.get("code") ?? ""
        assert.strictEqual((yield* exchange(code)).body["patient"], "patient-gamma")
      }).pipe(Effect.provide(SandboxEhr.layerHttpClient({ autoApprove: { patient: "patient-gamma" } }))))

    it.effect("lists and revokes access at the management endpoint", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const client = yield* HttpClient.HttpClient
        const tokens = yield* login("patient/*.rs")
        const html = yield* Effect.flatMap(client.get(ehr.endpoints.management), (response) => response.text)
        const grant = /name="grant" value="([^"]+)"/.exec(html)?.[1]
        yield* post(ehr.endpoints.management, { grant })
        const patient = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, tokens.body["access_token"])
        assert.strictEqual(patient.status, 401)
      }).pipe(Effect.provide(layer)))
  })

  describe("launch context", () => {
    it.effect("[SMART-35] [SMART-161] of an EHR launch is in the token response", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const { iss, launch } = yield* ehr.launch({
          patient: "patient-gamma",
          encounter: "encounter-gamma-1",
          user: "Practitioner/practitioner-two",
          intent: "review",
          tenant: "ward-1",
          fhirContext: [{ reference: "Observation/vital-gamma-1" }],
          extensions: { __shelf: 3 }
        })
        assert.strictEqual(iss, ehr.fhirBaseUrl)
        const { body } = yield* login("launch openid fhirUser patient/*.rs", { changes: { launch } })
        const style = `${ehr.issuer}/style.json`
        assert.deepInclude(body, {
          patient: "patient-gamma",
          encounter: "encounter-gamma-1",
          intent: "review",
          tenant: "ward-1",
          fhirContext: [{ reference: "Observation/vital-gamma-1" }],
          need_patient_banner: true,
          smart_style_url: style,
          __shelf: 3
        })
        assert.strictEqual(
          jose.decodeJwt(String(body["id_token"]))["fhirUser"],
          `${ehr.fhirBaseUrl}/Practitioner/practitioner-two`
        )
        assert.strictEqual((yield* get(style)).body["color_text"], "#1d2733")
      }).pipe(Effect.provide(layer)))

    it.effect("[SMART-150] of a standalone launch has the context that the scopes request", () =>
      Effect.gen(function*() {
        const none = yield* login("user/*.rs")
        assert.isUndefined(none.body["patient"])
        assert.isUndefined(none.body["smart_style_url"])
        const patient = yield* login("launch/patient")
        assert.strictEqual(patient.body["patient"], "patient-alpha")
        assert.isUndefined(patient.body["encounter"])
        const implied = yield* login("patient/*.rs")
        assert.strictEqual(implied.body["patient"], "patient-alpha")
        const own = yield* login("launch/patient", { decision: { user: "Patient/patient-beta" } })
        assert.strictEqual(own.body["patient"], "patient-beta")
      }).pipe(Effect.provide(layer)))
  })

  it.effect("[SMART-201] signs an id_token that its JWKS verifies", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* TestClock.setTime(1_700_000_000_000)
      const { body } = yield* login("openid fhirUser", { changes: { nonce: "a-nonce" } })
      const openid = yield* get(ehr.endpoints.openidConfiguration)
      assert.strictEqual(openid.body["issuer"], ehr.issuer)
      assert.strictEqual(openid.body["jwks_uri"], ehr.endpoints.jwks)
      const client = yield* HttpClient.HttpClient
      const jwks = yield* Effect.flatMap(client.get(ehr.endpoints.jwks), (response) => response.text)
      const now = yield* DateTime.now
      const { payload, protectedHeader } = yield* Effect.promise(() =>
        jose.jwtVerify(String(body["id_token"]), jose.createLocalJWKSet(JSON.parse(jwks)), {
          issuer: ehr.issuer,
          audience: "sandbox-public-app",
          algorithms: ["RS256"],
          currentDate: DateTime.toDate(now)
        })
      )
      assert.strictEqual(protectedHeader.alg, "RS256")
      assert.strictEqual(payload["nonce"], "a-nonce")
      assert.strictEqual(payload.exp, 1_700_000_300)
      assert.strictEqual(payload["fhirUser"], `${ehr.fhirBaseUrl}/Practitioner/practitioner-one`)
      const info = yield* get(ehr.endpoints.userinfo, body["access_token"])
      assert.deepStrictEqual(info.body, { sub: payload.sub, fhirUser: payload["fhirUser"] })
      assert.strictEqual((yield* get(ehr.endpoints.userinfo)).status, 401)
    }).pipe(Effect.provide(layer)))

  describe("lifetimes", () => {
    it.effect("a code expires after its lifetime", () =>
      Effect.gen(function*() {
        const early = yield* authorize("patient/*.rs")
        const late = yield* authorize("patient/*.rs")
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual((yield* exchange(early)).status, 200)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* exchange(late)).body["error"], "invalid_grant")
      }).pipe(Effect.provide(layer)))

    it.effect("an access token expires after expires_in", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const { body } = yield* login("patient/*.rs")
        assert.strictEqual(body["expires_in"], 90)
        const patient = get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, body["access_token"])
        yield* TestClock.adjust("89 seconds")
        assert.strictEqual((yield* patient).status, 200)
        yield* TestClock.adjust("1 second")
        const expired = yield* patient
        assert.strictEqual(expired.status, 401)
        assert.strictEqual(expired.headers["www-authenticate"], "Bearer realm=\"sandbox\", error=\"invalid_token\"")
        assert.strictEqual(expired.body["resourceType"], "OperationOutcome")
      }).pipe(Effect.provide(SandboxEhr.layerHttpClient({ accessTokenLifetime: "90 seconds" }))))

    it.effect("a refresh token expires after its lifetime", () =>
      Effect.gen(function*() {
        const { body } = yield* login("offline_access patient/*.rs")
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* refresh(body["refresh_token"])).body["error"], "invalid_grant")
      }).pipe(Effect.provide(SandboxEhr.layerHttpClient({ refreshTokenLifetime: "1 hour" }))))
  })

  describe("refresh tokens", () => {
    it.effect("are issued for offline_access or online_access only", () =>
      Effect.gen(function*() {
        assert.isUndefined((yield* login("patient/*.rs")).body["refresh_token"])
        assert.isDefined((yield* login("patient/*.rs offline_access")).body["refresh_token"])
        assert.isDefined((yield* login("patient/*.rs online_access")).body["refresh_token"])
      }).pipe(Effect.provide(layer)))

    it.effect("[SMART-117] rotate; using one again revokes all tokens of its grant", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const first = (yield* login("offline_access patient/*.rs")).body
        const second = (yield* refresh(first["refresh_token"])).body
        assert.strictEqual(second["patient"], "patient-alpha")
        const read = get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, second["access_token"])
        assert.strictEqual((yield* read).status, 200)
        assert.strictEqual((yield* refresh(first["refresh_token"])).body["error"], "invalid_grant")
        assert.strictEqual((yield* refresh(second["refresh_token"])).body["error"], "invalid_grant")
        assert.strictEqual((yield* read).status, 401)
      }).pipe(Effect.provide(layer)))

    it.effect("do not rotate with rotateRefreshTokens: false", () =>
      Effect.gen(function*() {
        const { body } = yield* login("offline_access patient/*.rs")
        const first = yield* refresh(body["refresh_token"])
        assert.isUndefined(first.body["refresh_token"])
        assert.strictEqual((yield* refresh(body["refresh_token"])).status, 200)
      }).pipe(Effect.provide(SandboxEhr.layerHttpClient({ rotateRefreshTokens: false }))))

    it.effect("[SMART-108] can request fewer scopes for one access token", () =>
      Effect.gen(function*() {
        const { body } = yield* login("offline_access patient/*.rs")
        const narrow = yield* refresh(body["refresh_token"], { scope: "patient/Observation.r" })
        assert.strictEqual(narrow.body["scope"], "patient/Observation.r")
        const whole = yield* refresh(narrow.body["refresh_token"])
        assert.strictEqual(whole.body["scope"], "offline_access patient/*.rs")
      }).pipe(Effect.provide(layer)))

    it.effect("rotate once for fifty concurrent requests", () =>
      Effect.gen(function*() {
        const { body } = yield* login("offline_access patient/*.rs")
        const answers = yield* Effect.all(
          Array.from({ length: 50 }, () => refresh(body["refresh_token"])),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(answers.filter(({ status }) => status === 200).length, 1)
      }).pipe(Effect.provide(layer)))
  })

  it.effect("a code that is used twice revokes its tokens", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const code = yield* authorize("offline_access patient/*.rs")
      const { body } = yield* exchange(code)
      assert.strictEqual((yield* exchange(code)).body["error"], "invalid_grant")
      const patient = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, body["access_token"])
      assert.strictEqual(patient.status, 401)
      assert.strictEqual((yield* refresh(body["refresh_token"])).body["error"], "invalid_grant")
    }).pipe(Effect.provide(layer)))

  it.effect("revokes an access token alone, and a refresh token with all tokens of its grant", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* login("offline_access patient/*.rs")
      const read = get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, body["access_token"])
      yield* ehr.revoke(String(body["access_token"]))
      assert.strictEqual((yield* read).status, 401)
      const { body: renewed } = yield* refresh(body["refresh_token"])
      yield* ehr.revoke(String(renewed["refresh_token"]))
      const after = yield* get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, renewed["access_token"])
      assert.strictEqual(after.status, 401)
      assert.strictEqual((yield* Effect.flip(ehr.revoke("made-up"))).reason, "UnknownToken")
    }).pipe(Effect.provide(layer)))

  it.effect("keeps the trailing slash of a FHIR base URL", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      assert.strictEqual(ehr.fhirBaseUrl, "https://ehr.sandbox.test/r4/tenant-1/")
      assert.strictEqual(
        ehr.endpoints.smartConfiguration,
        "https://ehr.sandbox.test/r4/tenant-1/.well-known/smart-configuration"
      )
      const { body } = yield* login("patient/*.rs")
      assert.strictEqual((yield* get(`${ehr.fhirBaseUrl}Patient/patient-alpha`, body["access_token"])).status, 200)
      const callback = yield* ehr.approve(yield* authorizationUrl("openid", { aud: ehr.fhirBaseUrl.slice(0, -1) }))
      assert.strictEqual(callback.searchParams.get("error"), "invalid_request")
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient({ fhirBaseUrl: "https://ehr.sandbox.test/r4/tenant-1/" }))))

  it.effect("declares its options in the metadata", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { body } = yield* get(ehr.endpoints.smartConfiguration)
      assert.isUndefined(body["authorization_response_iss_parameter_supported"])
      assert.strictEqual(body["token_endpoint"], "/relative/token")
      assert.notProperty(body, "introspection_endpoint")
      const callback = yield* ehr.approve(yield* authorizationUrl("openid"))
      assert.isNull(callback.searchParams.get("iss"))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient({
      issueIss: false,
      metadata: { token_endpoint: "/relative/token", introspection_endpoint: undefined }
    }))))
})
