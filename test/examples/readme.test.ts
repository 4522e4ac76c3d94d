// Its tests are examples by themselves, and run here.
import "../../examples/readme/testing.js"
import { readdirSync } from "node:fs"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { BackendServices, ClientAuthentication, RetryPolicy, SessionStore, SmartApp, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Backend from "../../examples/readme/backend.js"
import * as Clients from "../../examples/readme/clients.js"
import { SmartLive } from "../../examples/readme/live.js"
import * as Retry from "../../examples/readme/retry.js"
import * as Servers from "../../examples/readme/servers.js"
import * as Examples from "../../examples/readme/sessions.js"
import * as SmartAppExample from "../../examples/readme/smartApp.js"
import * as Web from "../../examples/readme/web.js"
import { assertLinksExist, assertShowsExamples, file } from "../support/shownExamples.js"

const sandboxConfig = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}

const sandboxClient = SmartClient.layer(sandboxConfig).pipe(Layer.provide(ClientAuthentication.layerPublic))

describe("README", () => {
  const readme = file("README.md")

  it("shows the examples as they are compiled and run", () => assertShowsExamples(readme, 11))

  it("links to files that are there", () => assertLinksExist(readme, ""))

  it("so do the documents", () => {
    const documents = readdirSync(new URL("../../docs", import.meta.url)).filter((name) => name.endsWith(".md"))
    assert.isAtLeast(documents.length, 8)
    for (const name of documents) assertLinksExist(file(`docs/${name}`), "docs/")
  })
})

describe("README examples", () => {
  it.scoped("live: nothing is requested when a layer is built", () =>
    Effect.gen(function*() {
      assert.isDefined(yield* Layer.build(Layer.merge(SmartLive, SmartAppExample.SmartLive)))
    }))

  it.scoped("clients: every kind is one layer", () =>
    Effect.gen(function*() {
      const environment = ConfigProvider.fromMap(
        new Map([["CLIENT_SECRET", "hunter2"], ["SMART_PRIVATE_KEY", file("test/vectors/ES384.private.json")]]),
        { pathDelim: "_" }
      )
      const methods = yield* Effect.forEach([Clients.publicApp, Clients.symmetricApp, Clients.asymmetricApp], (layer) =>
        Effect.provide(
          Effect.map(ClientAuthentication.ClientAuthentication, ({ method }) =>
            method),
          Layer.provide(layer, Layer.setConfigProvider(environment))
        ))
      assert.deepStrictEqual(methods, ["none", "client_secret_basic", "private_key_jwt"])
    }))

  it.effect("servers: closed by default", () => {
    const offline = HttpClient.make((request) =>
      new HttpClientError.RequestError({ request, reason: "Transport", description: "nothing is to be sent" })
    )
    return Effect.gen(function*() {
      assert.strictEqual((yield* Servers.serverOf("https://south.example.org/r4/")).name, "south")
      assert.strictEqual((yield* Effect.flip(Servers.serverOf("https://evil.example.org/r4"))).reason, "UnknownIssuer")
    }).pipe(Effect.provide(Servers.ServersLive), Effect.provideService(HttpClient.HttpClient, offline))
  })

  it.effect("smartApp: login, callback and a FHIR read", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const cookie = Redacted.make("a random value")
      const { url } = yield* SmartAppExample.login(cookie)
      const session = yield* SmartAppExample.callback(yield* ehr.approve(url, { patient: "patient-beta" }), cookie)
      assert.propertyVal(yield* SmartAppExample.patient(session), "id", "patient-beta")
    }).pipe(Effect.provide(
      SmartApp.layer(sandboxConfig).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  it.effect("sessions", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const cookie = Redacted.make("a random value")
      const { url } = yield* Examples.login(cookie)
      const session = yield* Examples.callback(yield* ehr.approve(url), cookie)
      assert.isTrue(Redacted.isRedacted(yield* Examples.token(session)))
    }).pipe(Effect.provide(
      Examples.SessionsLive.pipe(Layer.provide(sandboxClient), Layer.provideMerge(SandboxEhr.layerHttpClient()))
    )))

  it.scoped("web: the routes are there, and who is not logged in is told so", () =>
    Effect.gen(function*() {
      const { dispose, handler } = HttpLayerRouter.toWebHandler(
        Web.AppLive.pipe(Layer.provide(Servers.ServersLive), Layer.provide(SandboxEhr.layerHttpClient())),
        { disableLogger: true }
      )
      yield* Effect.addFinalizer(() => Effect.promise(dispose))
      const get = (path: string) => Effect.promise(() => handler(new Request(`https://app.example.org${path}`)))
      assert.strictEqual((yield* get("/patient")).status, 401)
      assert.strictEqual((yield* get("/launch?server=nowhere")).status, 400)
      assert.strictEqual((yield* get("/callback")).status, 400)
    }))

  it.effect("backend", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Backend.countPatients("https://ehr.sandbox.test/fhir"), 3)
    }).pipe(Effect.provide(
      BackendServices.layerFromClient.pipe(
        Layer.provide(SmartClient.layer({ fhirBaseUrl: "https://ehr.sandbox.test/fhir", clientId: "sandbox-backend" })),
        Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })),
        Layer.provide(SandboxEhr.layerHttpClient())
      )
    )))

  it.scoped("retry: a policy for a layer, and one for a call", () =>
    Effect.gen(function*() {
      assert.isDefined(yield* Layer.build(Retry.PatientLive))
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const { pending, url } = yield* client.authorize()
      const tokens = yield* client.exchange(yield* ehr.approve(url), pending)
      yield* ehr.fault("token", SandboxEhr.Fault.status(503))
      yield* Effect.flip(Retry.refreshOnce(tokens))
      const refreshes = (yield* ehr.requests).filter(({ form }) => form?.["grant_type"] === "refresh_token")
      assert.strictEqual(refreshes.length, 1)
    }).pipe(Effect.provide(
      sandboxClient.pipe(
        Layer.provide(RetryPolicy.layer(RetryPolicy.transient)),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))
})
