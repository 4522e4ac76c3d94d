import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import {
  BackendServices,
  ClientAuthentication,
  FhirClient,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartClient,
  TokenSet
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
// Only `Sessions` makes it; another process would write it.
import { StoredSession } from "../../src/session/internal/sessionEntry.js"
import { eventually, joinWithSteps } from "../support/eventually.js"
import { numbered } from "../support/increment.js"
import { config, requestsOf, scene, servers } from "../support/sessionScene.js"
import { keyOf } from "../support/sessionStoreContract.js"

const { value } = Redacted

describe("a token that is due for renewal", () => {
  it.scoped("is returned at once while the token endpoint hangs, and never after it has expired", () =>
    Effect.gen(function*() {
      const { ehr, first, id, sessions } = yield* scene()
      yield* TestClock.adjust("270 seconds")
      yield* ehr.fault("token", SandboxEhr.Fault.delay("1 hour"), 2)
      // The clock stands still: waiting for anything would hang.
      assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
      yield* eventually(requestsOf(ehr, "refresh_token"), ({ length }) => length === 1)
      assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
      const waiting = yield* Effect.fork(Effect.flip(sessions.accessToken(id).pipe(Effect.delay("30 seconds"))))
      yield* TestClock.adjust("31 seconds")
      yield* TestClock.adjust("31 seconds")
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag === "TokenError" ? error.reason : error._tag, "TimedOut")
    }).pipe(Effect.provide(servers)))

  it.scoped("is not returned after the FHIR server refused it", () =>
    Effect.gen(function*() {
      const { ehr, first, id, sessions } = yield* scene()
      yield* TestClock.adjust("270 seconds")
      yield* ehr.fault("token", SandboxEhr.Fault.status(503))
      const error = yield* Effect.flip(sessions.accessTokenAfter(id, first))
      assert.strictEqual(error._tag, "TokenError")
    }).pipe(Effect.provide(servers)))

  it.scoped("a new token that expires before it is stored is a TokenError with the reason Expired", () =>
    Effect.gen(function*() {
      const { ehr, id, place, sessions } = yield* scene()
      yield* TestClock.adjust("6 minutes")
      yield* ehr.fault("token", SandboxEhr.Fault.mutate((members) => ({ ...members, expires_in: 2 })))
      place.writeDelay = "3 seconds"
      const asking = yield* Effect.fork(Effect.flip(sessions.accessToken(id)))
      const error = yield* joinWithSteps(asking, "1 second")
      assert.strictEqual(error._tag === "TokenError" ? error.reason : error._tag, "Expired")
      assert.isTrue("isRetryable" in error && error.isRetryable)
      assert.include(error.message, "The token refresh at north (https://ehr.sandbox.test/fhir) failed (Expired)")
      assert.include(error.message, "was valid for 2s")
    }).pipe(Effect.provide(servers)))

  it.scoped("[SMART-263] BackendServices returns it at once, and never an expired one", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const backend = yield* BackendServices.BackendServices
      const first = yield* backend.accessToken()
      yield* TestClock.adjust("275 seconds")
      yield* ehr.fault("token", SandboxEhr.Fault.delay("1 hour"), 2)
      assert.strictEqual(value(yield* backend.accessToken()), value(first))
      yield* eventually(requestsOf(ehr, "client_credentials"), ({ length }) => length === 2)
      const waiting = yield* Effect.fork(Effect.flip(Effect.delay(backend.accessToken(), "26 seconds")))
      yield* TestClock.adjust("27 seconds")
      yield* TestClock.adjust("31 seconds")
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag === "TokenError" ? error.reason : error._tag, "TimedOut")
    }).pipe(Effect.provide(backendLayer)))
})

const backendLayer = BackendServices.layerFromClient.pipe(
  Layer.provideMerge(SmartClient.layer({ ...config, clientId: "sandbox-backend", scopes: ["system/Patient.rs"] })),
  Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
  Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })),
  Layer.provideMerge(SandboxEhr.layerHttpClient())
)

describe("BackendServices and a server that refuses", () => {
  it.scoped.each(["invalid_grant", "invalid_scope", "unsupported_grant_type"])(
    "after %s no request is sent before the cool-down is over, and the message mentions no launch",
    (error) =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const backend = yield* BackendServices.BackendServices
        yield* ehr.fault("token", SandboxEhr.Fault.oauthError(error))
        for (let i = 0; i < 5; i++) {
          const failed = yield* Effect.flip(backend.accessToken())
          assert.strictEqual(failed._tag === "TokenError" ? failed.error : failed._tag, error)
          assert.notInclude(failed.message, "launch")
        }
        assert.lengthOf(yield* requestsOf(ehr, "client_credentials"), 1)
        yield* TestClock.adjust("61 seconds")
        yield* backend.accessToken()
      }).pipe(Effect.provide(backendLayer))
  )
})

describe("a session that is used", () => {
  it.scoped("is written once when half of its idle time is over, in the background", () =>
    Effect.gen(function*() {
      const { id, place, sessions } = yield* scene({ idleTimeout: "4 minutes" })
      yield* TestClock.adjust("130 seconds")
      const before = { ...place }
      place.writeDelay = "1 second"
      const tokens = yield* Effect.all(Array.from({ length: 100 }, () => sessions.accessToken(id)), {
        concurrency: "unbounded"
      })
      assert.lengthOf(tokens, 100)
      yield* eventually(Effect.sync(() => place.writes), (writes) => writes === before.writes + 1)
      yield* TestClock.adjust("1 second")
      yield* eventually(Effect.sync(() => place.locks), (locks) => locks === before.locks + 1)
      yield* TestClock.adjust("115 seconds")
      yield* sessions.accessToken(id)
      assert.strictEqual(place.writes, before.writes + 1)
    }).pipe(Effect.provide(servers)))

  it.scoped("returns its valid token when the store cannot be written, and pauses the writes", () =>
    Effect.gen(function*() {
      const { first, id, place, sessions } = yield* scene({ idleTimeout: "4 minutes" })
      yield* TestClock.adjust("130 seconds")
      place.writable = false
      const before = { ...place }
      assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
      yield* eventually(Effect.sync(() => place.writes), (writes) => writes > before.writes)
      // The write is repeated for a while; requests in the meantime add nothing.
      for (let i = 0; i < 60; i++) {
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
      }
      assert.isAtMost(place.locks - before.locks, 3)
      place.writable = true
      yield* TestClock.adjust("30 seconds")
      yield* sessions.accessToken(id)
      yield* eventually(
        Effect.zipRight(TestClock.adjust("1 second"), sessions.accessToken(id)),
        () => place.writes > before.writes
      )
    }).pipe(Effect.provide(servers)))

  it.scoped("stores an infinite idle time or launch lifetime as the last possible date", () =>
    Effect.gen(function*() {
      const { first, id, sessions, store } = yield* scene({
        idleTimeout: Duration.infinity,
        completedLaunchLifetime: Duration.infinity
      })
      assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
      const entry = Option.getOrThrow(yield* store.get(Redacted.make(`session.${value(id)}`)))
      assert.strictEqual(entry.expiresAt.epochMillis, 253_402_300_799_999)
    }).pipe(Effect.provide(servers)))

  it.scoped("reads the store once for its token and the client of its server", () =>
    Effect.gen(function*() {
      const { first, id, place, sessions } = yield* scene()
      const before = place.reads
      const { client, tokens } = yield* sessions.authorization(id)
      assert.strictEqual(place.reads - before, 1)
      assert.strictEqual(client.name, "north")
      assert.strictEqual(value(tokens.accessToken), value(first))
    }).pipe(Effect.provide(servers)))

  it.scoped("reads the store once for a FHIR request, also with the HttpClient", () =>
    Effect.gen(function*() {
      const { id, place, sessions } = yield* scene()
      const client = yield* FhirClient.FhirClient
      const fhir = client.forSession(id)
      const readsOf = <A, E>(self: Effect.Effect<A, E, Sessions.Sessions>) =>
        Effect.gen(function*() {
          const before = place.reads
          yield* Effect.provideService(self, Sessions.Sessions, sessions)
          return place.reads - before
        })
      assert.strictEqual(yield* readsOf(fhir.read("Patient", "patient-alpha")), 1)
      assert.strictEqual(yield* readsOf(fhir.httpClient.get("https://ehr.sandbox.test/fhir/Patient/patient-alpha")), 1)
    }).pipe(Effect.provide(FhirClient.layer.pipe(Layer.provideMerge(servers)))))

  it.scoped.each([
    "9".repeat(309),
    "9".repeat(20),
    "Fri, 31 Dec 275759 23:59:59 GMT",
    "Mon, 01 Jan -200000 00:00:00 GMT"
  ])(
    "a Retry-After of %s leaves it readable",
    (retryAfter) =>
      Effect.gen(function*() {
        const { ehr, first, id, sessions, store } = yield* scene()
        yield* TestClock.adjust("275 seconds")
        yield* ehr.fault("token", SandboxEhr.Fault.status(503, { headers: { "retry-after": retryAfter } }))
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        const stored = yield* eventually(
          store.get(Redacted.make(`session.${value(id)}`)),
          (entry) =>
            Option.isSome(entry) && entry.value._tag === "StoredSession" && entry.value.renewalFailure !== undefined
        )
        assert.isTrue(Option.isSome(stored))
        assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
        yield* TestClock.adjust("6 minutes")
        assert.notStrictEqual(value(yield* sessions.accessToken(id)), value(first))
      }).pipe(Effect.provide(servers))
  )
})

describe("Sessions that stop", () => {
  it.scoped("wait for work in progress at most shutdownTimeout in total, and log the interrupted work", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { ehr, id, sessions } = yield* scene({ shutdownTimeout: "10 seconds" }).pipe(
        Effect.provideService(Scope.Scope, scope)
      )
      yield* TestClock.adjust("6 minutes")
      yield* ehr.fault("token", SandboxEhr.Fault.delay("1 hour"), 9)
      const { url } = yield* sessions.startLaunch()
      const callback = yield* ehr.approve(url)
      const callers = [
        yield* Effect.fork(sessions.accessToken(id)),
        yield* Effect.fork(sessions.completeLaunch(callback))
      ]
      yield* eventually(ehr.requests, (requests) => requests.filter(({ path }) => path.endsWith("/token")).length >= 3)
      const changes = yield* Effect.fork(Stream.runDrain(sessions.onChange))
      yield* Effect.yieldNow()
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow()
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(closing)
      // The stream of changes ends with the service.
      yield* Fiber.join(changes)
      assert.lengthOf(lines.filter((line) => line.includes("Sessions stopped")), 1)
      assert.include(lines.at(-1), "Sessions stopped after 10s (shutdownTimeout) and interrupted 2 ")
      for (const caller of callers) yield* Fiber.await(caller)
    }).pipe(Effect.provide(servers), Effect.provide(Logger.add(logger)))
  })

  it.scoped("complete a logout that starts during the shutdown", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { id, sessions } = yield* Effect.provideService(scene(), Scope.Scope, scope)
      yield* Scope.close(scope, Exit.void)
      yield* sessions.revoke(id)
      assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
    }).pipe(Effect.provide(servers)))
})

describe("a session that changes during its renewal", () => {
  /** Runs `change` between the refresh request and its response, and returns what the caller gets. */
  const renewing = (
    change: (session: StoredSession) => StoredSession | undefined,
    fault: ReturnType<typeof SandboxEhr.Fault.delay> = SandboxEhr.Fault.delay("5 seconds", { processed: true })
  ) =>
    Effect.gen(function*() {
      const world = yield* scene()
      const { ehr, id, sessions, store } = world
      const key = Redacted.make(`session.${value(id)}`)
      const changes: Array<string> = []
      yield* Effect.fork(Stream.runForEach(sessions.onChange, ({ kind }) => Effect.sync(() => changes.push(kind))))
      yield* TestClock.adjust("6 minutes")
      yield* ehr.fault("token", fault)
      const asking = yield* Effect.fork(Effect.either(sessions.accessToken(id)))
      yield* eventually(requestsOf(ehr, "refresh_token"), ({ length }) => length === 1)
      const stored = Option.getOrThrow(yield* store.get(key))
      const next = stored._tag === "StoredSession" ? change(stored) : assert.fail(stored._tag)
      yield* next === undefined ? store.remove(key) : store.set(key, next)
      const outcome = yield* joinWithSteps(asking, "1 second")
      const refreshTokens = (yield* ehr.issued).filter((token) => token.startsWith("sandbox_refresh_"))
      const revoked = (yield* ehr.requests).filter(({ step }) => step === "revoke").map(({ form }) => form["token"])
      assert.lengthOf(yield* requestsOf(ehr, "refresh_token"), 1)
      yield* Effect.yieldNow()
      return { ...world, changes, outcome, current: Effect.either(sessions.accessToken(id)), refreshTokens, revoked }
    })
  const reasonOf = (outcome: Either.Either<Redacted.Redacted, Sessions.SessionFailure>) =>
    Either.match(outcome, { onLeft: ({ reason }) => reason, onRight: value })
  const withTokens = (session: StoredSession, changes: Partial<TokenSet.TokenSet>) =>
    new StoredSession({ ...session, tokens: new TokenSet.TokenSet({ ...session.tokens, ...changes }) })
  const valid = { accessToken: Redacted.make("of another process"), expiresAt: DateTime.unsafeMake(3_600_000) }

  it.scoped("has the tokens of the renewal if its own tokens are the replaced ones", () =>
    Effect.gen(function*() {
      const { current, first, outcome, revoked } = yield* renewing((session) =>
        new StoredSession({ ...session, appState: "changed" })
      )
      assert.notInclude(["LockLost", value(first)], reasonOf(outcome))
      assert.strictEqual(reasonOf(yield* current), reasonOf(outcome))
      assert.deepStrictEqual(revoked, [])
    }).pipe(Effect.provide(servers)))

  it.scoped("keeps the valid tokens that another process stored", () =>
    Effect.gen(function*() {
      const { current, outcome } = yield* renewing((session) => withTokens(session, valid))
      assert.deepStrictEqual([reasonOf(outcome), reasonOf(yield* current)], [
        "of another process",
        "of another process"
      ])
    }).pipe(Effect.provide(servers)))

  it.scoped("fails with LockLost if the tokens that another process stored have expired, and renews them at the next call", () =>
    Effect.gen(function*() {
      const { current, ehr, outcome } = yield* renewing((session) =>
        withTokens(session, { accessToken: Redacted.make("expired") })
      )
      assert.strictEqual(reasonOf(outcome), "LockLost")
      assert.isTrue(Either.isLeft(outcome) && outcome.left.isRetryable)
      yield* current
      assert.lengthOf(yield* requestsOf(ehr, "refresh_token"), 2)
    }).pipe(Effect.provide(servers)))

  it.scoped("revokes the received tokens if the session was removed", () =>
    Effect.gen(function*() {
      const { current, outcome, refreshTokens, revoked } = yield* renewing(() => undefined)
      assert.deepStrictEqual([reasonOf(outcome), reasonOf(yield* current)], ["NotFound", "NotFound"])
      assert.deepStrictEqual(revoked, refreshTokens.slice(-1))
    }).pipe(Effect.provide(servers)))

  const refusedLater = SandboxEhr.Fault.all(
    SandboxEhr.Fault.delay("5 seconds"),
    SandboxEhr.Fault.oauthError("invalid_grant")
  )

  it.scoped("keeps the tokens that another process stored when the server refuses the replaced refresh token", () =>
    Effect.gen(function*() {
      const { changes, current, id, outcome, sessions } = yield* renewing(
        (session) => withTokens(session, { ...valid, refreshToken: Redacted.make("another") }),
        refusedLater
      )
      assert.deepStrictEqual(changes, ["Renewed"])
      assert.deepStrictEqual([reasonOf(outcome), reasonOf(yield* current)], [
        "of another process",
        "of another process"
      ])
      assert.isTrue(Option.isNone(yield* sessions.relaunchReason(id)))
    }).pipe(Effect.provide(servers)))

  it.scoped("sends a refresh token that another process stored with the old access token at the next call", () =>
    Effect.gen(function*() {
      const { changes, current, ehr, outcome } = yield* renewing(
        (session) => withTokens(session, { refreshToken: Redacted.make("another") }),
        refusedLater
      )
      assert.strictEqual(reasonOf(outcome), "Expired")
      assert.deepStrictEqual(changes, [])
      yield* current
      assert.deepStrictEqual(
        (yield* requestsOf(ehr, "refresh_token")).slice(1).map(({ form }) => form?.["refresh_token"]),
        ["another"]
      )
    }).pipe(Effect.provide(servers)))
})

describe("the end of a session", () => {
  it.scoped("revokes tokens that are not stored yet", () =>
    Effect.gen(function*() {
      const { ehr, id, place, sessions } = yield* scene()
      yield* TestClock.adjust("6 minutes")
      place.writable = false
      const asking = yield* Effect.fork(Effect.flip(sessions.accessToken(id)))
      assert.strictEqual((yield* joinWithSteps(asking, "1 second"))._tag, "SessionError")
      place.writable = true
      yield* sessions.revoke(id)
      const [revocation] = (yield* ehr.requests).filter(({ path }) => path.endsWith("/revoke"))
      assert.strictEqual(
        revocation?.form?.["token"],
        (yield* ehr.issued).filter((token) => token.startsWith("sandbox_refresh_")).at(-1)
      )
    }).pipe(Effect.provide(servers)))
})

describe("a store that fails at the end of a launch or of a session", () => {
  const revokedTokens = (ehr: SandboxEhr.Service) =>
    Effect.map(
      ehr.requests,
      (requests) => requests.filter(({ step }) => step === "revoke").map(({ form }) => form["token"])
    )
  const lastRefreshToken = (ehr: SandboxEhr.Service) =>
    Effect.map(ehr.issued, (tokens) => tokens.filter((token) => token.startsWith("sandbox_refresh_")).at(-1))

  it.scoped("the tokens of a launch whose session cannot be stored are revoked", () =>
    Effect.gen(function*() {
      const { ehr, place, sessions } = yield* scene()
      const callback = yield* ehr.approve((yield* sessions.startLaunch()).url)
      place.writable = false
      const error = yield* joinWithSteps(yield* Effect.fork(Effect.flip(sessions.completeLaunch(callback))), "1 second")
      assert.strictEqual(error._tag === "SessionError" && error.reason, "StoreUnavailable")
      assert.deepStrictEqual(yield* revokedTokens(ehr), [yield* lastRefreshToken(ehr)])
    }).pipe(Effect.provide(servers)))

  it.scoped("tokens that could not be stored are those of the next call, which sends no second request", () =>
    Effect.gen(function*() {
      const { ehr, first, id, place, sessions, store } = yield* scene()
      yield* TestClock.adjust("6 minutes")
      place.writable = false
      const failed = yield* joinWithSteps(yield* Effect.fork(Effect.flip(sessions.accessToken(id))), "1 second")
      assert.strictEqual(failed.reason, "StoreUnavailable")
      place.writable = true
      const token = value(yield* sessions.accessToken(id))
      assert.notStrictEqual(token, value(first))
      assert.lengthOf(yield* requestsOf(ehr, "refresh_token"), 1)
      const other = yield* Effect.provideService(Sessions.make(), SessionStore.SessionStore, store)
      assert.strictEqual(value(yield* other.accessToken(id)), token)
      yield* sessions.revoke(id)
      assert.deepStrictEqual(yield* revokedTokens(ehr), [yield* lastRefreshToken(ehr)])
    }).pipe(Effect.provide(servers)))

  it.scoped("`remove` forgets tokens that are not stored yet", () =>
    Effect.gen(function*() {
      const { ehr, id, place, sessions, store } = yield* scene()
      yield* TestClock.adjust("6 minutes")
      place.writable = false
      yield* joinWithSteps(yield* Effect.fork(Effect.flip(sessions.accessToken(id))), "1 second")
      place.writable = true
      const key = Redacted.make(`session.${value(id)}`)
      const entry = Option.getOrThrow(yield* store.get(key))
      yield* sessions.remove(id)
      assert.deepStrictEqual(yield* revokedTokens(ehr), [])
      assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
      // A session with the same id, such as one of a backup, does not get them.
      yield* store.set(key, entry)
      yield* Effect.exit(sessions.accessToken(id))
      assert.lengthOf(yield* requestsOf(ehr, "refresh_token"), 2)
    }).pipe(Effect.provide(servers)))

  it.scoped("a damaged session and one whose lock stays busy are removed, too", () =>
    Effect.gen(function*() {
      const { backing, ehr, id, sessions } = yield* scene()
      const key = keyOf(Redacted.make(`session.${value(id)}`))
      assert.isTrue(yield* backing.tryLock(key, "another process", 3_600_000))
      yield* joinWithSteps(yield* Effect.fork(sessions.revoke(id)), "5 seconds")
      assert.isTrue(Option.isNone(yield* backing.read(key)))
      assert.deepStrictEqual(yield* revokedTokens(ehr), [yield* lastRefreshToken(ehr)])
      yield* backing.unlock(key, "another process")

      const damaged = { text: "{\"entry\":", expiresAt: Number.MAX_SAFE_INTEGER }
      for (const end of [sessions.revoke, sessions.remove]) {
        assert.isTrue(yield* backing.replace(key, Option.none(), Option.some(damaged)))
        assert.strictEqual((yield* Effect.flip(sessions.accessToken(id))).reason, "Undecodable")
        yield* end(id)
        assert.isTrue(Option.isNone(yield* backing.read(key)))
      }
      assert.lengthOf(yield* revokedTokens(ehr), 1)
    }).pipe(Effect.provide(servers)))

  it.scoped("the id of another kind of entry is NotFound", () =>
    Effect.gen(function*() {
      const { sessions, store } = yield* scene()
      const id = Redacted.make("a-launch")
      const { expiresAt } = yield* numbered(1)
      yield* store.set(
        Redacted.make("session.a-launch"),
        new SessionStore.StoredValue({ version: 1, expiresAt, value: 1 })
      )
      assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
      yield* sessions.revoke(id)
    }).pipe(Effect.provide(servers)))
})

describe("spans of Sessions", () => {
  it.scoped("name the server, and do not change spans of the program", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Effect.map(Effect.tracer, (silent) =>
      Tracer.make({
        context: (f) => f(),
        span: (...args) => {
          const span = silent.span(...args)
          spans.push(span)
          return span
        }
      }))
    return Effect.gen(function*() {
      const { ehr, id, sessions } = yield* scene()
      const recording = yield* tracer
      const run = Effect.gen(function*() {
        const { url } = yield* sessions.startLaunch()
        yield* sessions.completeLaunch(yield* ehr.approve(url))
        yield* TestClock.adjust("6 minutes")
        yield* sessions.accessToken(id)
        yield* sessions.revoke(id)
      })
      yield* run.pipe(Effect.withSpan("program"), Effect.withTracer(recording))
      for (const name of ["Sessions.startLaunch", "Sessions.completeLaunch", "Sessions.renew", "Sessions.revoke"]) {
        const span = spans.find((span) => span.name === name)
        assert.strictEqual(span?.attributes.get("smart.server"), "north", name)
      }
      assert.isUndefined(spans.find(({ name }) => name === "program")?.attributes.get("smart.server"))
    }).pipe(Effect.provide(servers))
  })

  it.scoped("do not exist without a tracer of the program", () =>
    Effect.gen(function*() {
      const { sessions } = yield* scene()
      const program = yield* Effect.makeSpan("program")
      yield* Effect.withParentSpan(sessions.startLaunch(), program)
      assert.isFalse(program.attributes.has("smart.server"))
    }).pipe(Effect.provide(servers)))
})
