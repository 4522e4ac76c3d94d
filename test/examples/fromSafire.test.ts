import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import {
  BackendServices,
  ClientAuthentication,
  Discovery,
  KeyRotation,
  Sessions,
  SessionStore,
  SmartServers
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Client from "../../examples/from-safire/client.js"
import * as Clients from "../../examples/from-safire/clients.js"
import * as Errors from "../../examples/from-safire/errors.js"
import * as Key from "../../examples/from-safire/key.js"
import * as Metadata from "../../examples/from-safire/metadata.js"
import * as Registry from "../../examples/from-safire/registry.js"
import * as Retry from "../../examples/from-safire/retry.js"
import * as Scopes from "../../examples/from-safire/scopes.js"
import * as Secret from "../../examples/from-safire/secret.js"
import * as Tokens from "../../examples/from-safire/tokens.js"
import * as Web from "../../examples/from-safire/web.js"
import { ec, pem } from "../client/keys.js"
import { eventually, joinWithSteps } from "../support/eventually.js"
import { assertLinksExist, assertShowsExamples, file } from "../support/shownExamples.js"

const fhirBaseUrl = "https://ehr.example.org/fhir"

const ehr = (authentication: SandboxEhr.Client["authentication"] = { method: "none" }) =>
  SandboxEhr.layerHttpClient({
    fhirBaseUrl,
    clients: [{
      clientId: "growth-chart",
      redirectUris: ["https://app.example.org/callback"],
      authentication
    }]
  })

/** The program of a block, and the EHR it talks to. */
const TestLive = Client.SmartLive.pipe(
  Layer.provide(ClientAuthentication.layerPublic),
  Layer.provideMerge(ehr())
)

const approved = Effect.gen(function*() {
  const sandbox = yield* SandboxEhr.SandboxEhr
  const { pending, url } = yield* Client.launch
  return [yield* sandbox.approve(url), pending] as const
})

const environment = (variables: Readonly<Record<string, string>>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" }))

describe("docs/from-safire.md", () => {
  const document = file("docs/from-safire.md")

  it("shows programs that are compiled and tested", () => assertShowsExamples(document, 11))

  it("links to files and names examples that exist", () => {
    assertLinksExist(document, "docs/")
    for (const [, name = ""] of document.matchAll(/`examples\/([\w-]+)`/g)) {
      assert.include(file("examples/README.md"), `\`${name}/`)
    }
  })
})

describe("the patterns of Safire", () => {
  it.effect("client: launch, callback, renew", () =>
    Effect.gen(function*() {
      const tokens = yield* Client.callback(...(yield* approved))
      assert.strictEqual(tokens.identity?.fhirUser?.resourceType, "Practitioner")
      const renewed = yield* Client.renew(tokens)
      assert.notStrictEqual(Redacted.value(renewed.accessToken), Redacted.value(tokens.accessToken))
    }).pipe(Effect.provide(TestLive)))

  it.effect("metadata: one request until it is invalidated", () =>
    Effect.gen(function*() {
      const { endpoints, requests } = yield* SandboxEhr.SandboxEhr
      assert.strictEqual(yield* Metadata.tokenEndpoint(fhirBaseUrl), endpoints.token)
      yield* Metadata.tokenEndpoint(fhirBaseUrl)
      assert.lengthOf(yield* requests, 1)
      yield* Metadata.invalidate(fhirBaseUrl)
      yield* Metadata.tokenEndpoint(fhirBaseUrl)
      assert.lengthOf(yield* requests, 2)
    }).pipe(Effect.provide(Layer.provideMerge(Discovery.layer(), ehr()))))

  it.effect("registry: by key and by issuer; an unknown key fails", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Registry.clientFor("south")).config.clientId, "4711")
      assert.strictEqual((yield* Registry.clientForIssuer("https://north.example.org/fhir/")).name, "north")
      assert.strictEqual((yield* Effect.flip(Registry.clientFor("west"))).reason, "UnknownKey")
      assert.strictEqual((yield* Effect.flip(Registry.invalidate("west"))).reason, "UnknownKey")
    }).pipe(Effect.provide(Layer.provide(Registry.ServersLive, ehr()))))

  it.effect("clients: each type is a layer", () =>
    Effect.gen(function*() {
      const secret = { SMART_CLIENT_SECRET: "hunter2" }
      const key = { SMART_PRIVATE_KEY: file("test/vectors/ES384.private.json") }
      const methodOf = <E>(
        layer: Layer.Layer<ClientAuthentication.ClientAuthentication, E>,
        variables: Readonly<Record<string, string>>
      ) =>
        Effect.map(ClientAuthentication.ClientAuthentication, ({ method }) => method).pipe(
          Effect.provide(Layer.provide(layer, environment(variables)))
        )
      assert.deepStrictEqual(
        yield* Effect.all([
          methodOf(Clients.Public, {}),
          methodOf(Clients.ConfidentialSymmetric, secret),
          methodOf(Clients.ConfidentialAsymmetric, key),
          methodOf(Clients.FromEnvironment, {}),
          methodOf(Clients.FromEnvironment, secret),
          methodOf(Clients.FromEnvironment, key)
        ]),
        ["none", "client_secret_basic", "private_key_jwt", "none", "client_secret_basic", "private_key_jwt"]
      )
    }))

  it.effect("scopes: adds scopes to the configured ones", () =>
    Effect.gen(function*() {
      const { pending } = yield* Scopes.launchToWrite
      assert.includeMembers([...pending.scopes], ["openid", "patient/Observation.cus", "user/Practitioner.rs"])
    }).pipe(Effect.provide(TestLive)))

  it.scopedLive("web: launch, callback, dashboard, logout", () =>
    Effect.gen(function*() {
      const services = yield* Layer.build(ehr())
      const App = Web.Routes.pipe(
        Layer.provide(ClientAuthentication.layerPublic),
        Layer.provideMerge(Layer.succeedContext(services))
      )
      const { handler } = yield* Effect.acquireRelease(
        Effect.sync(() => HttpLayerRouter.toWebHandler(App, { disableLogger: true })),
        ({ dispose }) => Effect.promise(dispose)
      )
      let cookie = ""
      const send = (path: string, init: RequestInit = {}) =>
        Effect.map(
          Effect.promise(() =>
            handler(new Request(`https://app.example.org${path}`, { ...init, headers: { ...init.headers, cookie } }))
          ),
          (response) => {
            cookie = response.headers.getSetCookie().map((set) => set.split(";")[0]).join("; ")
            return response
          }
        )
      const sandbox = yield* Effect.provide(SandboxEhr.SandboxEhr, services)
      const launched = yield* send("/launch")
      const returned = yield* sandbox.approve(launched.headers.get("location") ?? "")
      const loggedIn = yield* send(returned.pathname + returned.search)
      assert.strictEqual(loggedIn.headers.get("location"), "https://app.example.org/dashboard")
      const session = cookie
      const dashboard = yield* send("/dashboard")
      assert.strictEqual(
        yield* Effect.promise(() => dashboard.text()),
        "patient in context: patient-alpha"
      )
      cookie = session
      const left = yield* send("/logout", { method: "POST", headers: { origin: "https://app.example.org" } })
      assert.strictEqual(left.status, 303)
      cookie = session
      assert.strictEqual((yield* send("/dashboard")).status, 401)
    }))

  it.effect("tokens: a due token is returned at once, and the next call gets the renewed one", () =>
    Effect.gen(function*() {
      const tokens = yield* Client.callback(...(yield* approved))
      const session = yield* Effect.flatMap(Sessions.Sessions, (sessions) => sessions.importTokens(tokens))
      const first = Redacted.value(yield* Tokens.validToken(session))
      assert.strictEqual(first, Redacted.value(tokens.accessToken))
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(Redacted.value(yield* Tokens.validToken(session)), first)
      yield* eventually(Tokens.validToken(session), (token) => Redacted.value(token) !== first)
    }).pipe(Effect.provide(
      Tokens.SessionsLive.pipe(
        Layer.provide([SessionStore.layerMemory, SmartServers.layerFromClient]),
        Layer.provideMerge(TestLive)
      )
    )))

  it.effect("retry: after two seconds and four", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      const callback = yield* approved
      yield* sandbox.fault("token", SandboxEhr.Fault.status(503), 2)
      // Parts of the library are loaded before the exchange, in real time.
      const tokens = yield* joinWithSteps(yield* Effect.fork(Retry.exchangeWithRetry(...callback)))
      assert.include(tokens.scopes, "openid")
      assert.lengthOf((yield* sandbox.requests).filter(({ step }) => step === "token"), 3)
    }).pipe(Effect.provide(TestLive)))

  it.effect("errors: each has its handler", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      const { pending, url } = yield* Client.launch
      assert.strictEqual(yield* Errors.handled(yield* sandbox.deny(url), pending), "You said no.")
      const callback = yield* sandbox.approve(url)
      assert.strictEqual(yield* Errors.handled(callback, (yield* Client.launch).pending), "Please start again.")
      assert.strictEqual(yield* Errors.handled(callback, pending), "Welcome.")
      assert.strictEqual(yield* Errors.handled(callback, pending), "Please start again.")
    }).pipe(Effect.provide(TestLive)))

  it.effect("secret, backend: sends the previous secret while the server does not accept the new one", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      assert.isTrue(Redacted.isRedacted(yield* Tokens.backendToken))
      const answers = (yield* sandbox.requests).filter(({ step }) => step === "token").map(({ status }) => status)
      assert.deepStrictEqual(answers, [401, 200])
    }).pipe(Effect.provide(
      BackendServices.layerFromClient.pipe(
        Layer.provide(Client.SmartLive),
        Layer.provide(Secret.RotatingSecret),
        Layer.provide(environment({ SMART_CLIENT_SECRET: "new", SMART_CLIENT_SECRET_PREVIOUS: "old" })),
        Layer.provideMerge(ehr({ method: "client_secret_basic", secret: Redacted.make("old") }))
      )
    )))

  it.effect("key: publishes the new key at once, and signs with it later", () =>
    Effect.gen(function*() {
      const { next, signing } = yield* Key.rotate(pem(ec()))
      assert.deepStrictEqual([signing, next?.kid], ["key-v1", "key-v2"])
      const rotation = yield* KeyRotation.KeyRotation
      yield* TestClock.adjust(rotation.maxAge)
      assert.strictEqual((yield* rotation.state).signing, "key-v2")
    }).pipe(Effect.provide(Key.RotatingKey(pem(ec())))))
})
