// Its tests are examples themselves, and run here.
import "../../examples/guides/testing.js"
import { generateKeyPairSync } from "node:crypto"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import {
  BackendServices,
  ClientAuthentication,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartApp,
  SmartClient,
  SmartServers
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import type * as jose from "jose"
import * as Border from "../../examples/effect-4/smart.js"
import * as Settings from "../../examples/ehrs/settings.js"
import * as Backend from "../../examples/guides/backend.js"
import * as Clients from "../../examples/guides/clients.js"
import { SmartLive } from "../../examples/guides/live.js"
import * as Retry from "../../examples/guides/retry.js"
import * as Servers from "../../examples/guides/servers.js"
import * as Examples from "../../examples/guides/sessions.js"
import * as GettingStarted from "../../examples/guides/smartApp.js"
import * as Tokens from "../../examples/guides/tokens.js"
import * as Web from "../../examples/guides/web.js"
import * as Fhirclient from "../../examples/moving/fhirclient.js"
import * as OpenidClient from "../../examples/moving/openidClient.js"
import * as Readme from "../../examples/readme/smartApp.js"
import * as Sandbox from "../../examples/support/sandbox.js"
import { runExample } from "../support/runExample.js"
import { file } from "../support/shownExamples.js"

const sandboxConfig = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}

const sandboxClient = SmartClient.layer(sandboxConfig).pipe(Layer.provide(ClientAuthentication.layerPublic))

describe("the programs of the guides", () => {
  it.scoped("live: building the layer sends no request", () =>
    Effect.gen(function*() {
      assert.isDefined(yield* Layer.build(Layer.merge(SmartLive, GettingStarted.SmartLive)))
    }))

  it.scoped("clients: each kind of client is a layer", () =>
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

  it.effect("servers: refuses servers that are not configured", () => {
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
      const { url } = yield* GettingStarted.login(cookie)
      const session = yield* GettingStarted.callback(yield* ehr.approve(url, { patient: "patient-beta" }), cookie)
      assert.propertyVal(yield* GettingStarted.patient(session), "id", "patient-beta")
    }).pipe(Effect.provide(
      SmartApp.layer(sandboxConfig).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  it.effect("README: the callback reads the patient", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const cookie = Redacted.make("a random value")
      const { url } = yield* GettingStarted.login(cookie)
      const returned = yield* ehr.approve(url, { patient: "patient-beta" })
      assert.propertyVal(yield* Readme.callback(returned.href, cookie), "id", "patient-beta")
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

  it.scoped("web: serves the routes, and a page for users without a session", () =>
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

  it.effect("tokens: a token from elsewhere reads once, or becomes a session that is renewed", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const { pending, url } = yield* client.authorize()
      const issued = yield* client.exchange(yield* ehr.approve(url, { patient: "patient-beta" }), pending)
      const received: Tokens.Received = {
        access_token: Redacted.value(issued.accessToken),
        refresh_token: Redacted.value(issued.refreshToken ?? Redacted.make("")),
        expires_in: 3600,
        scope: issued.scopes.join(" "),
        patient: "patient-beta"
      }
      assert.propertyVal(yield* Tokens.readOnce(received), "id", "patient-beta")
      const session = yield* Tokens.importSession(received)
      const sessions = yield* Sessions.Sessions
      const first = yield* sessions.tokens(session)
      assert.strictEqual(
        DateTime.distance(yield* DateTime.now, first.expiresAt ?? DateTime.unsafeNow()),
        3_600_000
      )
      const renewed = yield* sessions.accessTokenAfter(session, first.accessToken)
      assert.notStrictEqual(Redacted.value(renewed), received.access_token)
    }).pipe(Effect.provide(
      SmartApp.layer(sandboxConfig).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  it.effect("moving from fhirclient: the same report from a session", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const cookie = Redacted.make("a random value")
      const { url } = yield* GettingStarted.login(cookie)
      const session = yield* GettingStarted.callback(yield* ehr.approve(url, { patient: "patient-beta" }), cookie)
      const { conditions, patient } = yield* Fhirclient.report(session)
      assert.strictEqual(patient, "patient-beta")
      assert.isAtLeast(conditions, 1)
    }).pipe(Effect.provide(
      SmartApp.layer(sandboxConfig).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provideMerge(SandboxEhr.layerHttpClient())
      )
    )))

  it.effect("moving from openid-client: login, callback, refresh and revocation", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { pending, url } = yield* OpenidClient.login
      const tokens = yield* OpenidClient.callback((yield* ehr.approve(url)).href, pending)
      const renewed = yield* OpenidClient.refresh(tokens)
      assert.notStrictEqual(Redacted.value(renewed.accessToken), Redacted.value(tokens.accessToken))
      yield* OpenidClient.logout(renewed)
      assert.strictEqual((yield* Effect.flip(OpenidClient.refresh(renewed)))._tag, "TokenError")
    }).pipe(Effect.provide(sandboxClient.pipe(Layer.provideMerge(SandboxEhr.layerHttpClient())))))
})

describe("docs/ehrs.md", () => {
  const sandbox = (fhirBaseUrl: string, extra: Partial<SandboxEhr.Options> = {}) =>
    SandboxEhr.layerHttpClient({ fhirBaseUrl, ...extra })

  const environment = (variables: Readonly<Record<string, string>>) =>
    Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "_" }))

  it.effect("a secret with special characters is form-encoded", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* Effect.either(
        Effect.flatMap(SmartClient.SmartClient, (client) => client.clientCredentials({ scopes: ["system/*.rs"] }))
      )
      const request = (yield* ehr.requests).find(({ path }) => path.endsWith("/token"))
      const credentials = atob((request?.headers["authorization"] ?? "").replace("Basic ", ""))
      assert.strictEqual(credentials, "a%3Ab:p%26ss%2Fword")
    }).pipe(Effect.provide(
      SmartClient.layer({ fhirBaseUrl: sandboxConfig.fhirBaseUrl, clientId: "a:b" }).pipe(
        Layer.provide(Settings.formEncodedSecret),
        Layer.provide(environment({ CLIENT_SECRET: "p&ss/word" })),
        Layer.provideMerge(sandbox(sandboxConfig.fhirBaseUrl))
      )
    )))

  it.effect("the assertion has the issuer as audience and the stricter typ", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* Effect.either(
        Effect.flatMap(SmartClient.SmartClient, (client) => client.clientCredentials({ scopes: ["system/*.rs"] }))
      )
      const request = (yield* ehr.requests).find(({ path }) => path.endsWith("/token"))
      const [header = "", claims = ""] = (request?.form?.["client_assertion"] ?? "").split(".")
      const decode = (part: string) =>
        JSON.parse(Buffer.from(part, "base64url").toString()) as Readonly<Record<string, unknown>>
      assert.strictEqual(decode(header)["typ"], "client-authentication+jwt")
      assert.strictEqual(decode(claims)["aud"], "https://login.example.org")
    }).pipe(Effect.provide(
      SmartClient.layer({ fhirBaseUrl: sandboxConfig.fhirBaseUrl, clientId: "app" }).pipe(
        Layer.provide(Settings.strictAssertion),
        Layer.provide(environment({ SMART_PRIVATE_KEY: file("test/vectors/ES384.private.json") })),
        Layer.provideMerge(sandbox(sandboxConfig.fhirBaseUrl))
      )
    )))

  it.effect("another aud is sent, and consent is requested", () =>
    Effect.gen(function*() {
      const client = yield* Effect.flatMap(SmartServers.SmartServers, (servers) => servers.client("clinic"))
      const { url } = yield* client.authorize({ params: { prompt: "consent" } })
      assert.strictEqual(url.searchParams.get("aud"), "https://clinic.example.org/fhir")
      assert.strictEqual(url.searchParams.get("prompt"), "consent")
    }).pipe(Effect.provide(
      Settings.servers.pipe(Layer.provide(sandbox("https://clinic.example.org/fhir/r4")))
    )))

  it.effect("startLaunch passes prompt=consent on; a server without discovery document needs no request", () =>
    Effect.gen(function*() {
      const { url } = yield* Settings.login(Redacted.make("a random value"))
      assert.strictEqual(url.searchParams.get("prompt"), "consent")
      assert.strictEqual(url.origin, "https://login.example.org")
    }).pipe(Effect.provide(
      Sessions.layerFromClient.pipe(
        Layer.provide(Layer.effect(
          SmartClient.SmartClient,
          Effect.flatMap(SmartServers.SmartServers, (servers) => servers.client("practice"))
        )),
        Layer.provide(Settings.servers),
        Layer.provide(SessionStore.layerMemory),
        Layer.provide(Layer.succeed(
          HttpClient.HttpClient,
          HttpClient.make((request) =>
            new HttpClientError.RequestError({ request, reason: "Transport", description: "nothing is to be sent" })
          )
        ))
      )
    )))
})

describe("docs/effect-4.md", () => {
  // Live: the functions use the clock of their own runtime.
  it.scopedLive("a launch over functions of standard types ends in a page of the app", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const http = yield* HttpClient.HttpClient
      const smart = Border.make({
        baseUrl: "https://app.sandbox.test",
        fhirBaseUrl: ehr.fhirBaseUrl,
        clientId: "sandbox-public-app"
      }, Layer.succeed(HttpClient.HttpClient, http))
      yield* Effect.addFinalizer(() => Effect.promise(smart.close))
      const get = (path: string, cookie = "") =>
        Effect.promise(() => smart.handler(new Request(`https://app.sandbox.test${path}`, { headers: { cookie } })))
      const cookieOf = (response: Response) =>
        response.headers.getSetCookie().map((one) => one.split(";")[0]).join("; ")
      const launch = yield* get("/launch")
      const returned = yield* ehr.approve(new URL(launch.headers.get("location") ?? ""), { patient: "patient-beta" })
      const callback = yield* get(`${returned.pathname}${returned.search}`, cookieOf(launch))
      assert.strictEqual(callback.headers.get("location"), "https://app.sandbox.test/patient")
      const session = /__Host-session=([^;]+)/.exec(cookieOf(callback))?.[1] ?? ""
      assert.propertyVal(yield* Effect.promise(() => smart.patient(session)), "id", "patient-beta")
      const error = yield* Effect.flip(Effect.tryPromise({ try: () => smart.patient("unknown"), catch: (one) => one }))
      assert.include(String(error), "NotFound")
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())))
})

describe("docs/backend.md", () => {
  it.live("the program prints the first page of patients, the other the public keys", () =>
    Effect.gen(function*() {
      const pem = yield* Effect.sync(() =>
        generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({ type: "pkcs8", format: "pem" })
          .toString()
      )
      const environment = { SMART_PRIVATE_KEY: pem, SMART_KEY_ID: "2026-11" }
      const printed = yield* runExample("first-bundle/jwks.ts", { environment })
      const jwks = JSON.parse(printed.output) as { readonly keys: ReadonlyArray<jose.JWK> }
      assert.deepStrictEqual(jwks.keys.map(({ d, kid }) => ({ d, kid })), [{ d: undefined, kid: "2026-11" }])

      const authentication = { method: "private_key_jwt", jwks } as const
      const ehr = yield* Sandbox.start({
        clients: [{ clientId: "my-service", redirectUris: [], authentication, grantTypes: ["client_credentials"] }]
      })
      const { code, output } = yield* runExample("first-bundle/main.ts", {
        environment: {
          ...environment,
          SMART_FHIR_BASE_URL: ehr.fhirBaseUrl,
          SMART_CLIENT_ID: "my-service",
          SMART_SCOPES: "system/Patient.rs",
          SMART_ALLOW_INSECURE_LOCALHOST: "true"
        }
      })
      assert.include(output, "3 patients on the first page")
      assert.strictEqual(code, 0)
    }).pipe(Effect.scoped), 60_000)
})
