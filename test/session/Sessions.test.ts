import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import {
  AuthorizationError,
  ClientAuthentication,
  ClientAuthenticationError,
  ConfigurationError,
  DiscoveryError,
  IdTokenError,
  RetryPolicy,
  SessionError,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers,
  TokenError,
  UnknownServerError
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { eventually } from "../support/eventually.js"

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}

const smart = (more?: Partial<SmartClient.Config>) =>
  SmartClient.layer({ ...config, ...more }).pipe(
    Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
    Layer.provide(ClientAuthentication.layerPublic)
  )

const world = (options?: Sessions.Options, more?: Partial<SmartClient.Config>) =>
  Sessions.layerWith(options ?? {}).pipe(
    Layer.provide(SmartServers.layerFromClient),
    Layer.provideMerge(smart(more)),
    Layer.provideMerge(SessionStore.layerMemory),
    Layer.provideMerge(SandboxEhr.layerHttpClient())
  )

/** A person's whole launch. */
const login = (options?: Sessions.StartLaunchOptions) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const sessions = yield* Sessions.Sessions
    const { url } = yield* sessions.startLaunch(options)
    return yield* sessions.completeLaunch(yield* ehr.approve(url), options)
  })

const tokenRequests = Effect.map(
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.requests),
  (requests) => requests.filter(({ path }) => path.endsWith("/token"))
)

const refreshes = Effect.map(
  tokenRequests,
  (requests) => requests.filter(({ form }) => form?.["grant_type"] === "refresh_token")
)

const value = Redacted.value

describe("isCallbackRetryable", () => {
  const token = { operation: "exchangeCode", server: "s", url: "u", detail: "d" } as const
  const discovery = { fhirBaseUrl: "b", url: "u", detail: "d" }
  it.each<[string, Sessions.CompleteLaunchError, boolean]>([
    [
      "the token endpoint did not process the code",
      new TokenError({ ...token, reason: "Unavailable", status: 503, processed: "no" }),
      true
    ],
    [
      "the token endpoint may have processed the code",
      new TokenError({ ...token, reason: "Unavailable", status: 503, processed: "unknown" }),
      false
    ],
    ["the code was refused", new TokenError({ ...token, reason: "Refused", processed: "no" }), false],
    [
      "the verification could not be loaded",
      new IdTokenError({ reason: "ModuleUnavailable", server: "s", detail: "d" }),
      true
    ],
    ["the id_token is invalid", new IdTokenError({ reason: "SignatureInvalid", server: "s", detail: "d" }), false],
    ["no metadata", new DiscoveryError({ ...discovery, reason: "Unreachable" }), true],
    ["a missing endpoint", new DiscoveryError({ ...discovery, reason: "EndpointMissing" }), true],
    ["a configuration to correct", new ConfigurationError({ reason: "Missing", fields: [], detail: "d" }), true],
    [
      "a client that is not registered yet",
      new ClientAuthenticationError({ reason: "RegistrationFailed", server: "s", detail: "d", temporary: false }),
      true
    ],
    ["a server to configure", new UnknownServerError({ reason: "UnknownKey", requested: "s", candidates: [] }), true],
    ["access denied", new AuthorizationError({ reason: "AccessDenied", server: "s", detail: "d" }), false],
    ["a store that is unavailable", new SessionError({ reason: "StoreUnavailable", detail: "d" }), true],
    ["an unknown launch", new SessionError({ reason: "LaunchNotFound", detail: "d" }), false]
  ])("%s", (_, error, expected) => {
    assert.strictEqual(Sessions.isCallbackRetryable(error), expected)
  })
})

describe("Sessions", () => {
  describe("startLaunch and completeLaunch", () => {
    it.effect("a callback is completed when its server is configured again", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const servers = yield* SmartServers.SmartServers
        const sessions = yield* Sessions.Sessions
        const server = { ...config, authentication: ClientAuthentication.layerPublic }
        yield* Effect.scoped(servers.add("ehr", server))
        const { url } = yield* sessions.startLaunch({ server: "ehr" })
        const callback = yield* ehr.approve(url)
        yield* servers.remove("ehr")
        const error = yield* Effect.flip(sessions.completeLaunch(callback))
        assert.strictEqual(error._tag, "UnknownServerError")
        assert.isTrue(Sessions.isCallbackRetryable(error))
        yield* Effect.scoped(servers.add("ehr", server))
        const id = yield* sessions.completeLaunch(callback)
        assert.strictEqual((yield* sessions.session(id)).server, "ehr")
        const unknown = yield* Effect.flip(sessions.startLaunch({ server: "other" }))
        assert.strictEqual(unknown._tag, "UnknownServerError")
        const tokens = yield* sessions.tokens(id)
        assert.strictEqual(
          (yield* sessions.session(yield* sessions.importTokens(tokens, { server: "ehr" }))).server,
          "ehr"
        )
        assert.strictEqual((yield* sessions.session(yield* sessions.importTokens(tokens))).server, "ehr")
        assert.strictEqual(
          (yield* Effect.flip(sessions.importTokens(tokens, { server: "other" })))._tag,
          "UnknownServerError"
        )
      }).pipe(Effect.provide(
        Sessions.layer.pipe(
          Layer.provideMerge(SmartServers.layer({})),
          Layer.provideMerge(SessionStore.layerMemory),
          Layer.provideMerge(SandboxEhr.layerHttpClient())
        )
      )))

    it.effect("tokens of a launch whose identity cannot be verified are revoked", () => {
      const unverified = (withTokens: boolean) =>
        Layer.map(smart(), (context) => {
          const client = Context.get(context, SmartClient.SmartClient)
          return Context.add(context, SmartClient.SmartClient, {
            ...client,
            exchange: (callback, pending) =>
              Effect.flatMap(client.exchange(callback, pending), (tokens) =>
                new IdTokenError({
                  reason: "SignatureInvalid",
                  server: client.name,
                  detail: "d",
                  tokens: withTokens ? Redacted.make(tokens) : undefined
                }))
          })
        })
      return Effect.forEach([true, false], (withTokens) =>
        Effect.gen(function*() {
          const ehr = yield* SandboxEhr.SandboxEhr
          const error = yield* Effect.flip(login())
          assert.strictEqual(error._tag, "IdTokenError")
          assert.lengthOf(
            (yield* ehr.requests).filter(({ step }) => step === "revoke"),
            withTokens ? 1 : 0
          )
        }).pipe(Effect.provide(
          Sessions.layer.pipe(
            Layer.provide(SmartServers.layerFromClient),
            Layer.provide(unverified(withTokens)),
            Layer.provideMerge(SessionStore.layerMemory),
            Layer.provideMerge(SandboxEhr.layerHttpClient())
          )
        )))
    })

    it.effect("the server may have no revocation endpoint, and an access token is revoked without a refresh token", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        yield* ehr.fault("token", SandboxEhr.Fault.omit("refresh_token"))
        const single = yield* login()
        const { accessToken } = yield* sessions.tokens(single)
        yield* sessions.revoke(single)
        const revocations = (yield* ehr.requests).filter(({ step }) => step === "revoke")
        assert.deepStrictEqual(
          revocations.map(({ form }) => [form["token"], form["token_type_hint"]]),
          [[value(accessToken), "access_token"]]
        )
        const renewable = yield* login()
        const { refreshToken } = yield* sessions.tokens(renewable)
        yield* sessions.revoke(renewable)
        assert.deepInclude((yield* ehr.requests).at(-1)?.form, {
          token: refreshToken === undefined ? "" : value(refreshToken),
          token_type_hint: "refresh_token"
        })
        const client = yield* SmartClient.SmartClient
        const last = yield* login()
        yield* client.invalidate
        yield* ehr.fault("discovery", SandboxEhr.Fault.omit("revocation_endpoint"), 9)
        const before = (yield* ehr.requests).length
        yield* sessions.revoke(last)
        assert.deepStrictEqual((yield* ehr.requests).slice(before).map(({ step }) => step), ["discovery"])
      }).pipe(Effect.provide(world())))

    it.effect("a completed launch is a session with a token", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login({ appState: { returnTo: "/chart" } })
        assert.include(yield* ehr.issued, value(yield* sessions.accessToken(id)))
        const session = yield* sessions.session(id)
        assert.strictEqual(session.server, config.fhirBaseUrl)
        assert.deepStrictEqual(session.appState, { returnTo: "/chart" })
        assert.strictEqual(session.tokens.context.patient, "patient-alpha")
        assert.strictEqual((yield* sessions.client(id)).name, config.fhirBaseUrl)
      }).pipe(Effect.provide(world())))

    it.effect("[SMART-60] a second delivery of a callback, also a concurrent one, returns the same session without a request", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const { url } = yield* sessions.startLaunch()
        const callback = yield* ehr.approve(url)
        const ids = yield* Effect.all(Array.from({ length: 5 }, () => sessions.completeLaunch(callback)), {
          concurrency: "unbounded"
        })
        ids.push(yield* sessions.completeLaunch(callback))
        assert.strictEqual(new Set(ids.map(value)).size, 1)
        assert.strictEqual((yield* tokenRequests).length, 1)
        yield* TestClock.adjust("11 minutes")
        const late = yield* Effect.flip(sessions.completeLaunch(callback))
        assert.strictEqual(late._tag === "SessionError" ? late.reason : late._tag, "LaunchNotFound")
        assert.strictEqual((yield* tokenRequests).length, 1)
      }).pipe(Effect.provide(world())))

    it.effect("[SMART-4] [SMART-61] a callback without a pending launch is refused before any request", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const { url } = yield* sessions.startLaunch()
        const callback = yield* ehr.approve(url)
        const forged = new URL(callback)
        forged.searchParams.set("state", "A".repeat(43))
        const withoutState = new URL(callback)
        withoutState.searchParams.delete("state")
        const refusals = [
          [forged, "LaunchNotFound"],
          [withoutState, "StateMissing"],
          [`${callback.href}&state=x`, "DuplicateParameter"],
          ["", "NotACallback"]
        ] as const
        for (const [hostile, reason] of refusals) {
          const error = yield* Effect.flip(sessions.completeLaunch(hostile))
          assert.strictEqual("reason" in error ? error.reason : undefined, reason)
        }
        assert.strictEqual((yield* tokenRequests).length, 0)
        // The launch is not harmed by what others made of it.
        yield* sessions.completeLaunch(callback)
      }).pipe(Effect.provide(world())))

    it.effect("[SMART-39] a launch with a browser binding is completed by that browser only, at each delivery", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const mine = Redacted.make("browser-secret-of-alpha")
        const { url } = yield* sessions.startLaunch({ browserBinding: mine })
        const callback = yield* ehr.approve(url)
        const others = [undefined, {}, { browserBinding: Redacted.make("browser-secret-of-omega") }, {
          browserBinding: Redacted.make("")
        }]
        for (const other of others) {
          const error = yield* Effect.flip(sessions.completeLaunch(callback, other))
          assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "BindingMismatch")
        }
        assert.strictEqual((yield* tokenRequests).length, 0)
        yield* sessions.completeLaunch(callback, { browserBinding: mine })
        for (const other of others) {
          const error = yield* Effect.flip(sessions.completeLaunch(callback, other))
          assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "BindingMismatch")
        }
      }).pipe(Effect.provide(world())))

    it.effect("a denied consent ends the launch", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const { url } = yield* sessions.startLaunch()
        const callback = yield* ehr.deny(url)
        const error = yield* Effect.flip(sessions.completeLaunch(callback))
        assert.strictEqual(error._tag === "AuthorizationError" ? error.reason : error._tag, "AccessDenied")
        const again = yield* Effect.flip(sessions.completeLaunch(yield* ehr.approve(url)))
        assert.strictEqual(again._tag === "SessionError" ? again.reason : again._tag, "LaunchNotFound")
      }).pipe(Effect.provide(world())))

    it.effect("a callback can be delivered again while its code is unused", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const first = yield* ehr.approve((yield* sessions.startLaunch()).url)
        yield* ehr.fault("token", SandboxEhr.Fault.status(503))
        assert.strictEqual((yield* Effect.flip(sessions.completeLaunch(first)))._tag, "TokenError")
        assert.isTrue(Redacted.isRedacted(yield* sessions.completeLaunch(first)))

        const second = yield* ehr.approve((yield* sessions.startLaunch()).url)
        yield* ehr.fault("token", SandboxEhr.Fault.lostResponse)
        assert.strictEqual((yield* Effect.flip(sessions.completeLaunch(second)))._tag, "TokenError")
        const before = (yield* tokenRequests).length
        const again = yield* Effect.flip(sessions.completeLaunch(second))
        assert.strictEqual(again._tag === "SessionError" ? again.reason : again._tag, "LaunchNotFound")
        assert.strictEqual((yield* tokenRequests).length, before)
      }).pipe(Effect.provide(world())))

    it.effect("an interrupted delivery continues: the code is exchanged once, and the session is stored", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const callback = yield* ehr.approve((yield* sessions.startLaunch()).url)
        yield* ehr.fault("token", SandboxEhr.Fault.delay("5 seconds", { processed: true }))
        const closedTab = yield* Effect.fork(sessions.completeLaunch(callback))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(closedTab)
        yield* TestClock.adjust("10 seconds")
        const tokens = yield* sessions.tokens(yield* sessions.completeLaunch(callback))
        assert.strictEqual(tokens.context.patient, "patient-alpha")
        assert.strictEqual((yield* tokenRequests).length, 1)
      }).pipe(Effect.provide(world())))

    it.effect("a launch waits for `authorizationMaxAge`", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const callback = yield* ehr.approve((yield* sessions.startLaunch()).url)
        yield* TestClock.adjust("6 minutes")
        const error = yield* Effect.flip(sessions.completeLaunch(callback))
        assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "LaunchNotFound")
      }).pipe(Effect.provide(world({}, { authorizationMaxAge: "5 minutes" }))))

    it.effect("launches of one user for several patients do not disturb each other", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const browser = { browserBinding: Redacted.make("one-browser") }
        const alpha = yield* sessions.startLaunch(browser)
        const beta = yield* sessions.startLaunch(browser)
        const callbackOfBeta = yield* ehr.approve(beta.url, { patient: "patient-beta" })
        const callbackOfAlpha = yield* ehr.approve(alpha.url, { patient: "patient-alpha" })
        const idOfBeta = yield* sessions.completeLaunch(callbackOfBeta, browser)
        const idOfAlpha = yield* sessions.completeLaunch(callbackOfAlpha, browser)
        assert.strictEqual((yield* sessions.tokens(idOfAlpha)).context.patient, "patient-alpha")
        assert.strictEqual((yield* sessions.tokens(idOfBeta)).context.patient, "patient-beta")
      }).pipe(Effect.provide(world())))

    it.effect("a launch is completed at the server where it started", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        assert.strictEqual((yield* Effect.flip(sessions.startLaunch()))._tag, "UnknownServerError")
        assert.strictEqual(
          (yield* Effect.flip(sessions.startLaunch({ iss: "https://evil.test/fhir" })))._tag,
          "UnknownServerError"
        )
        assert.strictEqual((yield* ehr.requests).length, 0)
        const { iss, launch } = yield* ehr.launch({ patient: "patient-gamma" })
        const { url } = yield* sessions.startLaunch({ iss, launch })
        assert.strictEqual(url.searchParams.get("launch"), launch)
        const id = yield* sessions.completeLaunch(yield* ehr.approve(url))
        assert.strictEqual((yield* sessions.session(id)).server, "sandbox")
        assert.strictEqual((yield* sessions.tokens(id)).context.patient, "patient-gamma")
      }).pipe(Effect.provide(
        Sessions.layer.pipe(
          Layer.provideMerge(SmartServers.layer({
            sandbox: { ...config, authentication: ClientAuthentication.layerPublic },
            other: {
              ...config,
              fhirBaseUrl: "https://other.test/fhir",
              authentication: ClientAuthentication.layerPublic
            }
          })),
          Layer.provideMerge(SessionStore.layerMemory),
          Layer.provideMerge(SandboxEhr.layerHttpClient())
        )
      )))
  })

  describe("renewal", () => {
    it.effect("a thousand callers with an expired token cause one request and all succeed, with rotation and reuse detection", () =>
      Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const old = yield* sessions.accessToken(id)
        for (let round = 1; round <= 3; round++) {
          yield* TestClock.adjust("10 minutes")
          const tokens = yield* Effect.all(Array.from({ length: 1_000 }, () => sessions.accessToken(id)), {
            concurrency: "unbounded"
          })
          assert.strictEqual(new Set(tokens.map(value)).size, 1)
          assert.notStrictEqual(value(tokens[0]!), value(old))
          assert.strictEqual((yield* refreshes).length, round)
        }
      }).pipe(Effect.provide(world())))

    it.effect("renews before expiry, and not before the token is due", () =>
      Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const first = yield* sessions.accessToken(id)
        yield* TestClock.adjust("254 seconds")
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        yield* TestClock.adjust("17 seconds")
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        yield* eventually(sessions.accessToken(id), (token) => value(token) !== value(first))
        assert.strictEqual((yield* refreshes).length, 1)
      }).pipe(Effect.provide(world())))

    it.effect("`renewalMargin` sets how long before its expiry a token is due", () =>
      Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        // Half of the five minutes a sandbox token lives: no margin takes more.
        yield* TestClock.adjust("149 seconds")
        yield* sessions.accessToken(id)
        assert.strictEqual((yield* refreshes).length, 0)
        yield* TestClock.adjust("2 seconds")
        yield* sessions.accessToken(id)
        yield* eventually(refreshes, ({ length }) => length === 1)
      }).pipe(Effect.provide(world({ renewalMargin: Duration.minutes(5) }))))

    it.effect("a valid token is used while its renewal fails, and the next attempt waits for the cool-down", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const first = yield* sessions.accessToken(id)
        yield* TestClock.adjust("275 seconds")
        yield* ehr.fault("token", SandboxEhr.Fault.status(503), 10)
        const store = yield* SessionStore.SessionStore
        const failed = (retryAt: number) =>
          eventually(
            store.get(Redacted.make(`session.${value(id)}`)),
            (entry) =>
              Option.isSome(entry) && entry.value._tag === "StoredSession" &&
              entry.value.renewalFailure?.retryAt.epochMillis === retryAt
          )
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        yield* failed(277_000)
        for (let i = 0; i < 20; i++) assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        assert.strictEqual((yield* refreshes).length, 1)
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        yield* failed(280_000)
        assert.strictEqual((yield* refreshes).length, 2)
        // Past its expiry there is nothing to serve: all that ask fail at once, with the server's own words, then it
        // heals.
        yield* TestClock.adjust("25 seconds")
        const outcomes = yield* Effect.all(
          Array.from({ length: 100 }, () => Effect.either(sessions.accessToken(id))),
          { concurrency: "unbounded" }
        )
        for (const outcome of outcomes) {
          const error = Either.getOrThrow(Either.flip(outcome))
          assert.strictEqual(error._tag === "TokenError" ? error.status : error._tag, 503)
        }
        assert.strictEqual((yield* refreshes).length, 3)
        yield* ehr.clearFaults
        yield* TestClock.adjust("3 seconds")
        assert.notStrictEqual(value(yield* sessions.accessToken(id)), value(first))
      }).pipe(Effect.provide(world())))

    it.effect("a refused refresh token is never sent again, and the session needs a launch", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const first = yield* sessions.accessToken(id)
        assert.isTrue(Option.isNone(yield* sessions.relaunchReason(id)))
        yield* ehr.fault("token", SandboxEhr.Fault.oauthError("invalid_grant"))
        yield* TestClock.adjust("275 seconds")
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        yield* eventually(sessions.relaunchReason(id), Option.isSome)
        yield* TestClock.adjust("1 minute")
        for (let i = 0; i < 3; i++) {
          const error = yield* Effect.flip(sessions.accessToken(id))
          assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "NeedsRelaunch")
          assert.include(error.message, "invalid_grant")
        }
        assert.strictEqual((yield* refreshes).length, 1)
      }).pipe(Effect.provide(world())))

    it.effect.each([400, 401, 403, 404, 422])(
      "HTTP %i without an OAuth error is final, too",
      (status) =>
        Effect.gen(function*() {
          const ehr = yield* SandboxEhr.SandboxEhr
          const sessions = yield* Sessions.Sessions
          const id = yield* login()
          yield* ehr.fault("token", SandboxEhr.Fault.status(status))
          yield* TestClock.adjust("6 minutes")
          const error = yield* Effect.flip(sessions.accessToken(id))
          assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "NeedsRelaunch")
        }).pipe(Effect.provide(world()))
    )

    it.effect.each(
      [
        ["408", SandboxEhr.Fault.status(408)],
        ["429", SandboxEhr.Fault.status(429)],
        ["500", SandboxEhr.Fault.status(500)],
        ["503", SandboxEhr.Fault.status(503)],
        ["a web page", SandboxEhr.Fault.html()],
        ["a lost connection", SandboxEhr.Fault.drop],
        ["no body", SandboxEhr.Fault.emptyBody()]
      ] as const
    )("%s keeps the tokens", ([_, fault]) =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const first = yield* sessions.accessToken(id)
        yield* TestClock.adjust("6 minutes")
        yield* ehr.fault("token", fault)
        assert.strictEqual((yield* Effect.flip(sessions.accessToken(id)))._tag, "TokenError")
        yield* TestClock.adjust("1 minute")
        assert.notStrictEqual(value(yield* sessions.accessToken(id)), value(first))
      }).pipe(Effect.provide(world())))

    it.effect.each(["invalid_client", "unauthorized_client"])(
      "%s keeps the tokens, and no request follows before the cool-down is over",
      (oauthError) =>
        Effect.gen(function*() {
          const ehr = yield* SandboxEhr.SandboxEhr
          const sessions = yield* Sessions.Sessions
          const id = yield* login()
          yield* TestClock.adjust("6 minutes")
          yield* ehr.fault("token", SandboxEhr.Fault.oauthError(oauthError, { status: 401 }))
          for (let i = 0; i < 5; i++) {
            const error = yield* Effect.flip(sessions.accessToken(id))
            assert.strictEqual(error._tag === "TokenError" ? error.error : error._tag, oauthError)
            yield* TestClock.adjust("10 seconds")
          }
          assert.strictEqual((yield* refreshes).length, 1)
          yield* TestClock.adjust("11 seconds")
          yield* sessions.accessToken(id)
          assert.strictEqual((yield* refreshes).length, 2)
        }).pipe(Effect.provide(world()))
    )

    it.effect("callers whose token the FHIR server refused cause one renewal", () =>
      Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const refused = yield* sessions.accessToken(id)
        const next = yield* Effect.all(Array.from({ length: 20 }, () => sessions.accessTokenAfter(id, refused)), {
          concurrency: "unbounded"
        })
        assert.strictEqual(new Set(next.map(value)).size, 1)
        assert.strictEqual(value(yield* sessions.accessTokenAfter(id, refused)), value(next[0]!))
        assert.strictEqual((yield* refreshes).length, 1)
      }).pipe(Effect.provide(world())))

    it.effect("a session without a refresh token needs a launch, independent of its scopes", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        yield* ehr.fault("token", SandboxEhr.Fault.mutate((members) => ({ ...members, scope: "patient/*.rs" })))
        const renewable = yield* login()
        yield* ehr.fault("token", SandboxEhr.Fault.omit("refresh_token"))
        const single = yield* login()
        yield* TestClock.adjust("6 minutes")
        yield* sessions.accessToken(renewable)
        const error = yield* Effect.flip(sessions.accessToken(single))
        assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "NeedsRelaunch")
        assert.isTrue(Option.isSome(yield* sessions.relaunchReason(single)))
      }).pipe(Effect.provide(world())))

    it.effect("interrupting one caller, or all, neither cancels nor repeats a renewal", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        yield* TestClock.adjust("6 minutes")
        yield* ehr.fault("token", SandboxEhr.Fault.delay("5 seconds", { processed: true }))
        const callers = yield* Effect.all(Array.from({ length: 10 }, () => Effect.fork(sessions.accessToken(id))))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interruptAll(callers)
        yield* TestClock.adjust("10 seconds")
        yield* sessions.accessToken(id)
        assert.strictEqual((yield* refreshes).length, 1)
      }).pipe(Effect.provide(world())))

    it.effect("several instances over one store renew once", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const first = yield* Sessions.make()
        const instances = [first, ...(yield* Effect.all(Array.from({ length: 7 }, () => Sessions.make())))]
        const { url } = yield* first.startLaunch()
        const callback = yield* ehr.approve(url)
        const ids = yield* Effect.all(instances.map((sessions) => sessions.completeLaunch(callback)), {
          concurrency: "unbounded"
        })
        assert.strictEqual(new Set(ids.map(value)).size, 1)
        const id = ids[0]!
        yield* TestClock.adjust("6 minutes")
        const callers = instances.flatMap((sessions) => Array.from({ length: 125 }, () => sessions.accessToken(id)))
        const fiber = yield* Effect.fork(Effect.all(callers, { concurrency: "unbounded" }))
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(new Set((yield* Fiber.join(fiber)).map(value)).size, 1)
        assert.strictEqual((yield* refreshes).length, 1)
        yield* instances[3]!.revoke(id)
        for (const sessions of instances) {
          const error = yield* Effect.flip(sessions.accessToken(id))
          assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "NotFound")
        }
      }).pipe(
        Effect.scoped,
        Effect.provide(SmartServers.layerFromClient.pipe(
          Layer.provideMerge(smart()),
          Layer.provideMerge(SessionStore.layerMemory),
          Layer.provideMerge(SandboxEhr.layerHttpClient())
        ))
      ))

    it.effect("an id_token of another user at a refresh ends the session and revokes the new tokens", () => {
      const someoneElse = Layer.map(smart(), (context) => {
        const client = Context.get(context, SmartClient.SmartClient)
        return Context.add(context, SmartClient.SmartClient, {
          ...client,
          refresh: (tokens) =>
            Effect.flatMap(client.refresh(tokens), (theirs) =>
              new IdTokenError({
                reason: "SubjectChanged",
                server: client.name,
                detail: "another sub",
                tokens: Redacted.make(theirs)
              }))
        })
      })
      return Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const other = yield* login()
        // Due, but still valid: the renewal in the background ends the session.
        yield* TestClock.adjust("275 seconds")
        yield* sessions.accessToken(other)
        yield* eventually(Effect.either(sessions.session(other)), Either.isLeft)
        yield* TestClock.adjust("1 minute")
        const error = yield* Effect.flip(sessions.accessToken(id))
        assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "SubjectChanged")
        assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
        const [_, revocation] = (yield* ehr.requests).filter(({ path }) => path.endsWith("/revoke"))
        assert.strictEqual(
          revocation?.form?.["token"],
          (yield* ehr.issued).filter((token) => token.startsWith("sandbox_refresh_")).at(-1)
        )
      }).pipe(Effect.provide(
        Sessions.layer.pipe(
          Layer.provide(SmartServers.layerFromClient),
          Layer.provideMerge(someoneElse),
          Layer.provideMerge(SessionStore.layerMemory),
          Layer.provideMerge(SandboxEhr.layerHttpClient())
        )
      ))
    })

    it.effect("a program that stops waits for renewals in progress", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const stopping = yield* Deferred.make<Sessions.SessionId>()
        const program = Effect.gen(function*() {
          const sessions = yield* Sessions.make()
          const id = yield* sessions.completeLaunch(yield* ehr.approve((yield* sessions.startLaunch()).url))
          yield* TestClock.adjust("6 minutes")
          yield* ehr.fault("token", SandboxEhr.Fault.delay("5 seconds", { processed: true }))
          const caller = yield* Effect.fork(sessions.accessToken(id))
          // The request has been acted on; its answer is under way.
          yield* Effect.repeat(
            Effect.sleep("0 millis").pipe(Effect.zipRight(Effect.yieldNow()), Effect.zipRight(refreshes)),
            {
              until: (requests) => requests.length > 0
            }
          )
          yield* Fiber.interrupt(caller)
          yield* Deferred.succeed(stopping, id)
        })
        const running = yield* Effect.fork(Effect.scoped(program))
        const id = yield* Deferred.await(stopping)
        yield* TestClock.adjust("6 seconds")
        yield* Fiber.join(running)
        const restarted = yield* Sessions.make()
        yield* restarted.accessToken(id)
        assert.strictEqual((yield* refreshes).length, 1)
      }).pipe(
        Effect.scoped,
        Effect.provide(SmartServers.layerFromClient.pipe(
          Layer.provideMerge(smart()),
          Layer.provideMerge(SessionStore.layerMemory),
          Layer.provideMerge(SandboxEhr.layerHttpClient())
        ))
      ))
  })

  describe("revoke and remove", () => {
    it.effect("`revoke` revokes the grant and removes the session", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const { refreshToken } = yield* sessions.tokens(id)
        yield* sessions.revoke(id)
        const revocations = (yield* ehr.requests).filter(({ path }) => path.endsWith("/revoke"))
        assert.deepStrictEqual(revocations.map(({ form }) => form?.["token"]), [value(refreshToken!)])
        assert.strictEqual((yield* Effect.flip(sessions.accessToken(id)))._tag, "SessionError")
        yield* sessions.revoke(id)
      }).pipe(Effect.provide(world())))

    it.effect("`remove` sends no revocation, so that another session of the grant continues", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        const { refreshToken } = yield* sessions.tokens(id)
        yield* sessions.remove(id)
        assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
        assert.deepStrictEqual((yield* ehr.requests).filter(({ path }) => path.endsWith("/revoke")), [])
        yield* ehr.revoke(value(refreshToken!))
        yield* sessions.remove(id)
      }).pipe(Effect.provide(world())))

    it.effect.each(
      [
        ["refuses", SandboxEhr.Fault.status(400)],
        ["is down", SandboxEhr.Fault.status(503)],
        ["cannot be reached", SandboxEhr.Fault.drop]
      ] as const
    )("`revoke` succeeds when the revocation fails: %s", ([_, fault]) =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        yield* ehr.fault("revoke", fault)
        yield* sessions.revoke(id)
        const error = yield* Effect.flip(sessions.session(id))
        assert.strictEqual(error.reason, "NotFound")
      }).pipe(Effect.provide(world())))

    it.effect("`revoke` waits for a renewal in progress and revokes its tokens", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const id = yield* login()
        yield* TestClock.adjust("6 minutes")
        yield* ehr.fault("token", SandboxEhr.Fault.delay("5 seconds", { processed: true }))
        const renewing = yield* Effect.fork(Effect.either(sessions.accessToken(id)))
        yield* TestClock.adjust("1 second")
        const ending = yield* Effect.fork(sessions.revoke(id))
        yield* TestClock.adjust("30 seconds")
        yield* Fiber.join(ending)
        yield* Fiber.join(renewing)
        assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
        const [revocation] = (yield* ehr.requests).filter(({ path }) => path.endsWith("/revoke"))
        assert.strictEqual(
          revocation?.form?.["token"],
          (yield* ehr.issued).filter((token) => token.startsWith("sandbox_refresh_")).at(-1)
        )
      }).pipe(Effect.provide(world())))
  })

  describe("lifetime", () => {
    it.effect("an unused session ends after `idleTimeout`, a used one continues", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        yield* ehr.fault("token", SandboxEhr.Fault.omit("expires_in"), 2)
        const used = yield* login()
        const idle = yield* login()
        for (let i = 0; i < 6; i++) {
          yield* TestClock.adjust("20 minutes")
          yield* sessions.accessToken(used)
        }
        const error = yield* Effect.flip(sessions.accessToken(idle))
        assert.strictEqual(error._tag === "SessionError" ? error.reason : error._tag, "NotFound")
      }).pipe(Effect.provide(world({ idleTimeout: "30 minutes" }))))

    it.effect("imported tokens are a session that is renewed", () =>
      Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const tokens = yield* sessions.tokens(yield* login())
        const id = yield* sessions.importTokens(tokens, { appState: 1 })
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(tokens.accessToken))
        yield* TestClock.adjust("6 minutes")
        assert.notStrictEqual(value(yield* sessions.accessToken(id)), value(tokens.accessToken))
      }).pipe(Effect.provide(world())))

    it.effect("`onChange` has the changes of each session", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const sessions = yield* Sessions.Sessions
        const changes = yield* Effect.fork(sessions.onChange.pipe(Stream.take(4), Stream.runCollect))
        yield* Effect.yieldNow()
        const id = yield* login()
        yield* TestClock.adjust("6 minutes")
        yield* sessions.accessToken(id)
        yield* ehr.fault("token", SandboxEhr.Fault.oauthError("invalid_grant"))
        yield* TestClock.adjust("6 minutes")
        yield* Effect.flip(sessions.accessToken(id))
        yield* sessions.revoke(id)
        const seen = Chunk.toReadonlyArray(yield* Fiber.join(changes))
        assert.deepStrictEqual(seen.map(({ kind }) => kind), ["Started", "Renewed", "RelaunchNeeded", "Ended"])
        assert.isTrue(seen.every(({ sessionId }) => value(sessionId) === value(id)))
      }).pipe(Effect.provide(world())))
  })
})
