import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import {
  ClientAuthentication,
  IdTokenError,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers,
  TokenError
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
// Only `Sessions` makes it; another process would write it.
import { StoredSession } from "../../src/session/internal/sessionEntry.js"
import { eventually, joinWithSteps } from "../support/eventually.js"
import { config, requestsOf, scene, servers } from "../support/sessionScene.js"
import { keyOf } from "../support/sessionStoreContract.js"

const { value } = Redacted

const entryId = (id: Sessions.SessionId) => Redacted.make(`session.${value(id)}`)

/** Real time for work in the background; the test clock does not move. */
const settle = TestServices.provideLive(Effect.sleep("20 millis"))

const unavailable = new TokenError({
  reason: "Unavailable",
  operation: "refresh",
  server: "north",
  url: "https://ehr.sandbox.test/token",
  detail: "it answered 503",
  status: 503,
  processed: "no"
})

describe("a renewal that waits for the lock of another process", () => {
  /** Runs `change` before the other process releases the lock, and returns the error of the caller. */
  const waiting = (change: (session: StoredSession, now: DateTime.Utc) => StoredSession | undefined) =>
    Effect.gen(function*() {
      const { backing, ehr, id, place, sessions, store } = yield* scene()
      const key = entryId(id)
      yield* TestClock.adjust("6 minutes")
      assert.isTrue(yield* backing.tryLock(keyOf(key), "another process", 3_600_000))
      const { locks } = place
      const asking = yield* Effect.fork(Effect.flip(sessions.accessToken(id)))
      yield* eventually(Effect.sync(() => place.locks), (now) => now > locks)
      const stored = Option.getOrThrow(yield* store.get(key))
      const next = stored._tag === "StoredSession" ? change(stored, yield* DateTime.now) : assert.fail(stored._tag)
      yield* next === undefined ? store.remove(key) : store.set(key, next)
      yield* backing.unlock(keyOf(key), "another process")
      const error = yield* joinWithSteps(asking)
      const requests = yield* ehr.requests
      assert.lengthOf(yield* requestsOf(ehr, "refresh_token"), 0)
      assert.lengthOf(requests.filter(({ step }) => step === "revoke"), 0)
      return error
    })

  it.scoped("fails with NeedsRelaunch, without a request, if the server refused the refresh token there", () =>
    Effect.gen(function*() {
      const error = yield* waiting((session) =>
        new StoredSession({ ...session, relaunchReason: "the server refused the refresh token (invalid_grant)" })
      )
      assert.strictEqual(error.reason, "NeedsRelaunch")
      assert.include(error.message, "the server refused the refresh token (invalid_grant)")
    }).pipe(Effect.provide(servers)))

  it.scoped("fails with the error of the renewal that failed there, without a request", () =>
    Effect.gen(function*() {
      const error = yield* waiting((session, now) =>
        new StoredSession({
          ...session,
          renewalFailure: { error: unavailable, retryAt: DateTime.add(now, { minutes: 1 }) }
        })
      )
      assert.deepStrictEqual([error._tag, error.reason], ["TokenError", "Unavailable"])
    }).pipe(Effect.provide(servers)))

  it.scoped("fails with NotFound, without a request, if the session was removed there", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* waiting(() => undefined)).reason, "NotFound")
    }).pipe(Effect.provide(servers)))
})

describe("background work of a session whose store cannot be written", () => {
  const warnings: Array<Date> = []
  const logger = Logger.make(({ date, message }) => {
    if (String(message).startsWith("A session was not written")) warnings.push(date)
  })

  it.scoped("starts again after failureCooldown, or when the clock has jumped back", () =>
    Effect.gen(function*() {
      warnings.length = 0
      const { first, id, place, sessions } = yield* scene(
        { idleTimeout: "4 minutes", failureCooldown: "10 seconds", shutdownTimeout: 0 },
        { saveTimeout: "1 second" }
      )
      yield* TestClock.adjust("130 seconds")
      place.writable = false
      /** Calls once; whether work starts in the background. */
      const call = (isStarting: boolean) =>
        Effect.gen(function*() {
          const { locks } = place
          assert.strictEqual(value(yield* sessions.accessToken(id)), value(first))
          if (isStarting) yield* eventually(Effect.sync(() => place.locks), (now) => now > locks)
          else yield* settle
          assert.strictEqual(place.locks, locks + Number(isStarting))
        })
      /** Until the write, which is repeated for a second, has failed. */
      const failed = (count: number) =>
        Effect.gen(function*() {
          for (let step = 0; warnings.length < count && step < 50; step++) {
            yield* Effect.zipRight(TestClock.adjust("100 millis"), settle)
          }
          return warnings[count - 1]?.getTime() ?? Number.NaN
        })
      yield* call(true)
      const at = yield* failed(1)
      for (const [millis, isStarting] of [[0, false], [5_000, false], [9_999, false], [10_000, true]] as const) {
        yield* TestClock.setTime(at + millis)
        yield* call(isStarting)
      }
      const again = yield* failed(2)
      yield* TestClock.setTime(again - 1)
      yield* call(true)
    }).pipe(Effect.withRandom(Random.fixed([0.5])), Effect.provide(servers), Effect.provide(Logger.add(logger))))

  it.scoped("starts again with the next request after the lock was busy", () =>
    Effect.gen(function*() {
      warnings.length = 0
      const { backing, id, place, sessions } = yield* scene(
        { idleTimeout: "4 minutes", failureCooldown: "10 seconds", shutdownTimeout: 0 },
        { lockWait: "1 second" }
      )
      yield* TestClock.adjust("130 seconds")
      const key = keyOf(entryId(id))
      assert.isTrue(yield* backing.tryLock(key, "another process", 3_600_000))
      yield* sessions.accessToken(id)
      yield* settle
      yield* TestClock.adjust("2 seconds")
      yield* settle
      yield* backing.unlock(key, "another process")
      const { writes } = place
      yield* sessions.accessToken(id)
      yield* eventually(Effect.sync(() => place.writes), (now) => now > writes)
      assert.lengthOf(warnings, 0)
    }).pipe(Effect.withRandom(Random.fixed([0.5])), Effect.provide(servers), Effect.provide(Logger.add(logger))))
})

describe("a renewal at a server that is no longer configured", () => {
  it.scoped("fails with UnknownServerError and keeps the session", () =>
    Effect.gen(function*() {
      const registry = yield* SmartServers.SmartServers
      const server = { ...config, authentication: ClientAuthentication.layerPublic }
      yield* registry.add("north", server)
      const { ehr, first, id, place, sessions } = yield* scene()
      yield* TestClock.adjust("6 minutes")
      yield* registry.remove("north")
      const { locks } = place
      const error = yield* Effect.flip(sessions.accessToken(id))
      assert.strictEqual(error._tag, "UnknownServerError")
      assert.strictEqual(place.locks, locks + 1)
      yield* registry.add("north", server)
      assert.notStrictEqual(value(yield* sessions.accessToken(id)), value(first))
      assert.lengthOf(yield* requestsOf(ehr, "refresh_token"), 1)
    }).pipe(Effect.provide(SmartServers.layer({}).pipe(Layer.provideMerge(SandboxEhr.layerHttpClient())))))
})

/** Sessions over a client of which some steps are replaced. */
const withClient = (change: (client: SmartClient.Service) => Partial<SmartClient.Service>) =>
  Sessions.layer.pipe(
    Layer.provide(SmartServers.layerFromClient),
    Layer.provideMerge(
      Layer.map(
        SmartClient.layer(config),
        (context) => {
          const client = Context.get(context, SmartClient.SmartClient)
          return Context.add(context, SmartClient.SmartClient, { ...client, ...change(client) })
        }
      ).pipe(Layer.provide(ClientAuthentication.layerPublic))
    ),
    Layer.provideMerge(SessionStore.layerMemory),
    Layer.provideMerge(SandboxEhr.layerHttpClient())
  )

const revocations = Effect.map(
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.requests),
  (requests) => requests.filter(({ step }) => step === "revoke").map(({ form }) => form["token"])
)

describe("tokens that arrived with a failure", () => {
  it.effect("of a launch are revoked: the refresh token, or else the access token, if there is one", () =>
    Effect.forEach(
      [
        [{}, []],
        [{ accessToken: Redacted.make("access") }, ["access"]],
        [{ accessToken: Redacted.make("access"), refreshToken: Redacted.make("refresh") }, ["refresh"]]
      ] as const,
      ([issued, expected]) => {
        const error = new TokenError({ ...unavailable, operation: "exchangeCode", reason: "Malformed", issued })
        return Effect.gen(function*() {
          const ehr = yield* SandboxEhr.SandboxEhr
          const sessions = yield* Sessions.Sessions
          const callback = yield* ehr.approve((yield* sessions.startLaunch()).url)
          assert.strictEqual((yield* Effect.flip(sessions.completeLaunch(callback))).reason, "Malformed")
          assert.deepStrictEqual(yield* revocations, [...expected])
        }).pipe(Effect.provide(withClient(() => ({ exchange: () => Effect.fail(error) }))))
      }
    ))

  it.effect("an invalid id_token at a refresh, without tokens, ends the session and revokes nothing", () => {
    const error = new IdTokenError({ reason: "SubjectChanged", server: "north", detail: "another sub" })
    return Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const sessions = yield* Sessions.Sessions
      const changes: Array<string> = []
      yield* Effect.fork(Stream.runForEach(sessions.onChange, ({ kind }) => Effect.sync(() => changes.push(kind))))
      const id = yield* sessions.completeLaunch(yield* ehr.approve((yield* sessions.startLaunch()).url))
      yield* TestClock.adjust("6 minutes")
      assert.strictEqual((yield* Effect.flip(sessions.accessToken(id)))._tag, "IdTokenError")
      assert.strictEqual((yield* Effect.flip(sessions.session(id))).reason, "NotFound")
      assert.deepStrictEqual(yield* revocations, [])
      assert.deepStrictEqual(changes, ["Started", "Ended"])
    }).pipe(Effect.provide(withClient(() => ({ refresh: () => Effect.fail(error) }))))
  })
})
