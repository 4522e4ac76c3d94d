import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { authorizationUrl, authorize, exchange, type Fields, get, login, post, refresh } from "../support/rawApp.js"

const { Fault } = SandboxEhr

const page = "https://ehr.sandbox.test/ask?ticket="

const layer = SandboxEhr.layerHttpClient({
  consentPage: (ticket) => `${page}${ticket}`,
  clients: SandboxEhr.defaultClients.map((client) => ({
    ...client,
    scopes: ["openid", "launch", "patient/*.rs", "offline_access"]
  }))
})

/** Goes to the authorization endpoint as a browser does. */
const arrive = (scope: string, changes?: Fields) =>
  Effect.flatMap(authorizationUrl(scope, changes), (url) => get(url.href))

/** The ticket a browser arrives at the consent page with. */
const ask = (scope: string, changes?: Fields) =>
  Effect.map(arrive(scope, changes), ({ headers, status }) => {
    assert.strictEqual(status, 303)
    const location = headers["location"] ?? ""
    assert.isTrue(location.startsWith(page))
    return location.slice(page.length)
  })

describe("SandboxEhr with the option consentPage", () => {
  it.effect("shows the authorization request of a ticket and redirects with the user's decision", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const ticket = yield* ask("openid launch/patient patient/*.rs offline_access")
      const asked = yield* ehr.consent(ticket)
      assert.strictEqual(asked.client.clientId, "sandbox-public-app")
      assert.deepStrictEqual(asked.scopes, ["openid", "launch/patient", "patient/*.rs", "offline_access"])
      assert.deepStrictEqual(asked.grantable, ["openid", "patient/*.rs", "offline_access"])
      assert.isTrue(asked.needsPatient)
      assert.isUndefined(asked.launch)
      const target = yield* ehr.decide(ticket, {
        user: "Patient/patient-beta",
        patient: "patient-beta",
        scopes: ["openid", "patient/*.rs"]
      })
      const { body } = yield* exchange(target.searchParams.get("code") ?? "")
      assert.strictEqual(body["scope"], "openid patient/*.rs")
      assert.strictEqual(body["patient"], "patient-beta")
    }).pipe(Effect.provide(layer)))

  it.effect("does not need a patient in an EHR launch", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { launch } = yield* ehr.launch({ patient: "patient-gamma", user: "Practitioner/practitioner-two" })
      const asked = yield* ehr.consent(yield* ask("launch patient/*.rs", { launch }))
      assert.isFalse(asked.needsPatient)
      assert.deepInclude(asked.launch, { patient: "patient-gamma", user: "Practitioner/practitioner-two" })
    }).pipe(Effect.provide(layer)))

  it.effect("[SMART-53] redirects a denial as access_denied; a second decision gets the URL of the first", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const denied = yield* ask("patient/*.rs")
      const target = yield* ehr.decide(denied, "deny")
      assert.strictEqual(target.searchParams.get("error"), "access_denied")
      assert.strictEqual((yield* ehr.decide(denied, {})).href, target.href)
      assert.deepStrictEqual(yield* ehr.access, [])
      const allowed = yield* ask("patient/*.rs")
      const both = yield* Effect.all([ehr.decide(allowed, {}), ehr.decide(allowed, {})], { concurrency: 2 })
      assert.strictEqual(both[0].href, both[1].href)
      assert.lengthOf(yield* ehr.access, 1)
      assert.strictEqual((yield* Effect.flip(ehr.consent(allowed))).reason, "UnknownTicket")
      assert.strictEqual((yield* Effect.flip(ehr.decide("made-up", {}))).reason, "UnknownTicket")
    }).pipe(Effect.provide(layer)))

  it.effect("rejects a decision with an unknown resource; the request keeps waiting", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const ticket = yield* ask("patient/*.rs")
      const error = yield* Effect.flip(ehr.decide(ticket, { patient: "unknown" }))
      assert.strictEqual(error.reason, "UnknownResource")
      assert.isNotNull((yield* ehr.decide(ticket, {})).searchParams.get("code"))
    }).pipe(Effect.provide(layer)))

  it.effect("a fault that replaces the response of the authorization step replaces the consent page", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("authorize", Fault.status(503), 2)
      assert.strictEqual((yield* arrive("patient/*.rs")).status, 503)
      assert.strictEqual((yield* arrive("patient/*.rs")).status, 503)
      const ticket = yield* ask("patient/*.rs")
      yield* ehr.fault("authorize", Fault.status(503))
      // The fault waits for the next request and does not change this answer.
      assert.isNotNull((yield* ehr.decide(ticket, {})).searchParams.get("code"))
      assert.lengthOf(yield* ehr.pendingFaults, 1)
    }).pipe(Effect.provide(layer)))

  it.effect("a fault that changes the redirect applies after the user's decision", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("authorize", Fault.omit("iss"))
      const ticket = yield* ask("patient/*.rs")
      const target = yield* ehr.decide(ticket, {})
      assert.isNull(target.searchParams.get("iss"))
      assert.isNotNull(target.searchParams.get("code"))
      assert.deepStrictEqual(yield* ehr.pendingFaults, [])
      yield* ehr.fault("authorize", Fault.all(Fault.drop, Fault.omit("iss")))
      const lost = yield* ask("patient/*.rs")
      assert.strictEqual((yield* Effect.flip(ehr.decide(lost, {}))).reason, "NoRedirect")
      yield* ehr.fault("authorize", Fault.all(Fault.status(500), Fault.omit("iss")))
      const other = yield* ask("patient/*.rs")
      assert.strictEqual((yield* Effect.flip(ehr.decide(other, {}))).reason, "NoRedirect")
    }).pipe(Effect.provide(layer)))

  it.effect("does not serve the sandbox's own decision links", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const ticket = yield* ask("patient/*.rs")
      const { status } = yield* get(`${ehr.endpoints.authorization}/decision?ticket=${ticket}&decision=approve`)
      assert.strictEqual(status, 404)
    }).pipe(Effect.provide(layer)))
})

describe("SandboxEhr: access", () => {
  it.effect("lists an approval with its expiry times until it is revoked", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* TestClock.setTime(1_000_000)
      const code = yield* authorize("offline_access patient/*.rs", { decision: { patient: "patient-beta" } })
      const waiting = (yield* ehr.access)[0]
      assert.deepInclude(waiting, {
        clientId: "sandbox-public-app",
        user: "Practitioner/practitioner-one",
        scopes: ["offline_access", "patient/*.rs"],
        approvedAt: 1_000_000,
        accessTokenExpiresAt: undefined,
        refreshTokenExpiresAt: undefined,
        active: true,
        revoked: false
      })
      assert.strictEqual(waiting?.context.patient, "patient-beta")
      const { body } = yield* exchange(code)
      const given = (yield* ehr.access)[0]
      assert.deepInclude(given, {
        accessTokenExpiresAt: 1_300_000,
        refreshTokenExpiresAt: 1_000_000 + 30 * 86_400_000,
        active: true
      })
      const shown = JSON.stringify(yield* ehr.access)
      for (const secret of yield* ehr.issued) assert.notInclude(shown, secret)

      assert.isTrue(yield* ehr.revokeAccess(waiting?.id ?? ""))
      assert.deepInclude((yield* ehr.access)[0], { active: false, revoked: true })
      assert.strictEqual((yield* get(`${ehr.fhirBaseUrl}/Patient/patient-beta`, body["access_token"])).status, 401)
      assert.strictEqual((yield* refresh(body["refresh_token"])).body["error"], "invalid_grant")
      assert.isFalse(yield* ehr.revokeAccess("made-up"))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("can be revoked before the code exchange", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const code = yield* authorize("patient/*.rs")
      yield* ehr.revokeAccess((yield* ehr.access)[0]?.id ?? "")
      assert.strictEqual((yield* exchange(code)).body["error"], "invalid_grant")
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("is inactive when its last token has expired", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* login("patient/*.rs")
      yield* TestClock.adjust("299 seconds")
      assert.isTrue((yield* ehr.access)[0]?.active)
      yield* TestClock.adjust("1 second")
      assert.deepInclude((yield* ehr.access)[0], { active: false, revoked: false })
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("of a backend service has no user", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const authorization = `Basic ${btoa("sandbox-backend:sandbox-symmetric-secret")}`
      const { body } = yield* post(
        ehr.endpoints.token,
        { grant_type: "client_credentials", scope: "system/*.rs" },
        { authorization }
      )
      const [access] = yield* ehr.access
      assert.deepInclude(access, { clientId: "sandbox-backend", user: undefined, active: true })
      assert.isTrue(yield* ehr.revokeAccess(access?.id ?? ""))
      assert.strictEqual((yield* get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, body["access_token"])).status, 401)
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})

describe("SandboxEhr: clients", () => {
  it.effect("can be registered and removed while it runs; removal revokes their access", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const late: SandboxEhr.Client = {
        clientId: "late-app",
        redirectUris: ["https://app.sandbox.test/callback"],
        authentication: { method: "none" }
      }
      const before = yield* ehr.clients
      yield* ehr.register(late)
      assert.deepStrictEqual(yield* ehr.clients, [...before, late])
      const own = { client_id: "late-app" }
      const code = yield* authorize("offline_access patient/*.rs", { changes: own })
      const { body } = yield* exchange(code, own)
      const patient = get(`${ehr.fhirBaseUrl}/Patient/patient-alpha`, body["access_token"])
      assert.strictEqual((yield* patient).status, 200)
      assert.isTrue(yield* ehr.unregister("late-app"))
      assert.isFalse(yield* ehr.unregister("late-app"))
      assert.deepStrictEqual(yield* ehr.clients, before)
      assert.strictEqual((yield* patient).status, 401)
      assert.strictEqual((yield* refresh(body["refresh_token"], own)).body["error"], "invalid_client")
      assert.deepInclude((yield* ehr.access)[0], { clientId: "late-app", revoked: true })
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})

describe("SandboxEhr: pending faults and recorded requests", () => {
  it.effect("lists the pending faults; each can be removed", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const late = Fault.delay("1 second")
      yield* ehr.fault("token", Fault.status(503), 2)
      yield* ehr.fault("token", late)
      yield* ehr.fault("fhir", Fault.drop, Infinity)
      const [first, second, third] = yield* ehr.pendingFaults
      assert.deepStrictEqual([first?.remaining, second?.remaining, third?.remaining], [2, 1, Infinity])
      assert.strictEqual(second?.fault, late)
      yield* exchange("made-up")
      assert.deepInclude((yield* ehr.pendingFaults)[0], { id: first?.id ?? "", remaining: 1 })
      assert.isTrue(yield* ehr.removeFault(first?.id ?? ""))
      assert.isFalse(yield* ehr.removeFault(first?.id ?? ""))
      assert.deepStrictEqual((yield* ehr.pendingFaults).map(({ step }) => step), ["token", "fhir"])
      yield* ehr.clearFaults
      assert.deepStrictEqual(yield* ehr.pendingFaults, [])
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))

  it.effect("records the time of the response or of the reset connection", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* HttpClient.HttpClient
      yield* ehr.fault("discovery", Fault.delay("3 seconds"))
      const slow = yield* Effect.fork(client.get(ehr.endpoints.smartConfiguration))
      yield* TestClock.adjust("1 second")
      assert.deepInclude((yield* ehr.requests)[0], { respondedAt: undefined, status: undefined })
      yield* TestClock.adjust("2 seconds")
      yield* slow.await
      assert.deepInclude((yield* ehr.requests)[0], { receivedAt: 0, respondedAt: 3000, status: 200 })
      yield* ehr.fault("discovery", Fault.drop)
      yield* Effect.flip(client.get(ehr.endpoints.smartConfiguration))
      assert.deepInclude((yield* ehr.requests)[1], { receivedAt: 3000, respondedAt: 3000, status: undefined })
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})
