import type * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import {
  ClientAuthentication,
  FhirClient,
  LaunchRequest,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartApp,
  SmartClient,
  SmartServers
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { transport } from "../support/layerContract.js"

const config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}

const symmetric = {
  ...config,
  clientId: "sandbox-symmetric-app",
  authentication: ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })
}

const browserBinding = Redacted.make("a random value")

/** The patient of a login at the sandbox. */
const logIn = (options?: Omit<Sessions.StartLaunchOptions, "browserBinding">) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const sessions = yield* Sessions.Sessions
    const fhir = yield* FhirClient.FhirClient
    const { url } = yield* sessions.startLaunch({ ...options, browserBinding })
    const session = yield* sessions.completeLaunch(yield* ehr.approve(url, { patient: "patient-beta" }), {
      browserBinding
    })
    return (yield* fhir.forSession(session).patient()).id
  })

const run = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R | SandboxEhr.SandboxEhr | HttpClient.HttpClient>,
  app: Layer.Layer<R, E2, HttpClient.HttpClient | SessionStore.SessionStore>
) =>
  Effect.provide(
    effect,
    app.pipe(Layer.provide(SessionStore.layerMemory), Layer.provideMerge(SandboxEhr.layerHttpClient()))
  )

describe("SmartApp.layer", () => {
  it.effect("gives a public app its client, sessions and FHIR client", () =>
    run(
      Effect.gen(function*() {
        assert.strictEqual(yield* logIn(), "patient-beta")
        const client = yield* SmartClient.SmartClient
        assert.strictEqual(yield* Effect.flatMap(SmartServers.SmartServers, ({ only }) => only), client)
      }),
      SmartApp.layer(config)
    ))

  it.effect("takes another kind of client as a layer", () =>
    run(Effect.map(logIn(), (patient) => assert.strictEqual(patient, "patient-beta")), SmartApp.layer(symmetric)))

  it.effect("passes the options of its sessions on", () =>
    run(
      Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const { url } = yield* sessions.startLaunch({ browserBinding })
        const callback = yield* Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.approve(url))
        yield* sessions.completeLaunch(callback, { browserBinding })
        const again = yield* Effect.flip(sessions.completeLaunch(callback, { browserBinding }))
        assert.strictEqual(again._tag, "SessionError")
      }),
      SmartApp.layer(config, { sessions: { completedLaunchLifetime: 0 } })
    ))

  it.effect("uses the RetryPolicy that its layer is provided with", () =>
    run(
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        yield* ehr.fault("discovery", SandboxEhr.Fault.status(503))
        yield* Effect.flip(Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize()))
        assert.strictEqual((yield* ehr.requests).length, 1)
      }),
      Layer.provide(SmartApp.layer(config), RetryPolicy.layer(RetryPolicy.none))
    ))

  it.effect("two apps in one build have their own transport, registry and sessions", () => {
    class North extends Context.Tag("test/North")<North, Sessions.Service>() {}
    class South extends Context.Tag("test/South")<South, Sessions.Service>() {}
    const [north, south] = [transport(), transport()]
    const app = (host: string) =>
      SmartApp.layer({ ...config, fhirBaseUrl: "https://ehr.test/fhir", name: host }).pipe(
        Layer.provide(SessionStore.layerMemory)
      )
    return Effect.gen(function*() {
      assert.notStrictEqual(yield* North, yield* South)
      yield* Effect.flatMap(North, (sessions) => sessions.startLaunch({ browserBinding }))
      assert.deepStrictEqual([north.requests.length, south.requests.length], [1, 0])
      yield* Effect.flatMap(South, (sessions) => sessions.startLaunch({ browserBinding }))
      assert.deepStrictEqual([north.requests.length, south.requests.length], [1, 1])
    }).pipe(Effect.provide(Layer.merge(
      Layer.effect(North, Sessions.Sessions).pipe(Layer.provide(app("north")), Layer.provide(north.layer)),
      Layer.effect(South, Sessions.Sessions).pipe(Layer.provide(app("south")), Layer.provide(south.layer))
    )))
  })
})

describe("SmartApp.layerConfig", () => {
  it.effect("reads the client from the environment", () =>
    run(
      Effect.flatMap(SmartClient.SmartClient, (client) => {
        assert.strictEqual(client.config.clientId, config.clientId)
        return Effect.map(logIn(), (patient) => assert.strictEqual(patient, "patient-beta"))
      }),
      Layer.provide(
        SmartApp.layerConfig(),
        Layer.setConfigProvider(ConfigProvider.fromMap(
          new Map([
            ["SMART.FHIR_BASE_URL", config.fhirBaseUrl],
            ["SMART.CLIENT_ID", config.clientId],
            ["SMART.REDIRECT_URI", config.redirectUri],
            ["SMART.SCOPES", config.scopes.join(" ")]
          ])
        ))
      )
    ))
})

describe("SmartApp.layerServers", () => {
  it.effect("logs in at each server with its own kind of client, and refuses launches of other servers", () =>
    run(
      Effect.gen(function*() {
        assert.strictEqual(yield* logIn({ server: "public" }), "patient-beta")
        assert.strictEqual(yield* logIn({ server: "symmetric" }), "patient-beta")
        const launch = LaunchRequest.decode("https://app.sandbox.test/launch?iss=https://evil.test/fhir&launch=1")
        assert.strictEqual((yield* Effect.flip(launch)).reason, "IssUntrusted")
      }),
      SmartApp.layerServers({
        public: { ...config, authentication: ClientAuthentication.layerPublic },
        symmetric
      })
    ))
})
