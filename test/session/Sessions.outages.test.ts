import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as FileSessionStore from "../../src/node/FileSessionStore.js"
import * as RedisSessionStore from "../../src/redis/RedisSessionStore.js"
import { SessionError } from "../../src/session/SessionError.js"
import * as Sessions from "../../src/session/Sessions.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { redisProgram } from "../support/databases.js"
import { expiredSession } from "../support/expiredSession.js"
import { restartableRedis } from "../support/restartableRedis.js"
import { app, callers } from "../support/sessionCallers.js"
import { sharedPlaces } from "../support/sharedPlaces.js"

const ehr = SandboxEhr.layerServer().pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

const refreshes = Effect.map(
  Effect.flatMap(SandboxEhr.SandboxEhr, (sandbox) => sandbox.requests),
  (requests) => requests.filter(({ form }) => form["grant_type"] === "refresh_token")
)

const arrived = Effect.retry(
  Effect.filterOrFail(refreshes, ({ length }) => length > 0, () => "nothing yet"),
  Schedule.spaced("10 millis").pipe(Schedule.upTo("15 seconds"))
)

/** The sessions of one process over a store. */
const over = (store: Layer.Layer<SessionStore.SessionStore>) =>
  Effect.gen(function*() {
    const sandbox = yield* SandboxEhr.SandboxEhr
    return yield* Effect.provide(Sessions.Sessions, yield* Layer.build(app(sandbox.fhirBaseUrl, store)))
  })

/** Ten who ask are all told the same, within a bounded time. */
const ask = (sessions: Sessions.Service, id: Sessions.SessionId, refused?: Redacted.Redacted) =>
  Effect.gen(function*() {
    const [first, ...others] = yield* Effect.timeout(callers(sessions, id, 10, refused), "20 seconds")
    for (const other of others) assert.deepStrictEqual(other, first)
    return first ?? assert.fail("no caller made a request")
  })

const program = redisProgram()

describe(
  program === undefined ? "Sessions and Redis (left out: no redis-server in PATH)" : "Sessions and Redis",
  () => {
    const redis = (isDurable: boolean) =>
      Effect.gen(function*() {
        const server = yield* restartableRedis(program ?? "", isDurable)
        const store = RedisSessionStore.layer({ url: Redacted.make(server.url), operationTimeout: "1 second" })
        const sessions = yield* over(store)
        return { server, sessions, id: yield* expiredSession(sessions) }
      })

    it.scopedLive.skipIf(program === undefined)(
      "restarted during the refresh: the tokens are stored, and requested once",
      () =>
        Effect.gen(function*() {
          const sandbox = yield* SandboxEhr.SandboxEhr
          const { id, server, sessions } = yield* redis(true)
          yield* sandbox.fault("token", SandboxEhr.Fault.delay("700 millis", { processed: true }))
          const asking = yield* Effect.fork(ask(sessions, id))
          yield* arrived
          yield* server.stop
          yield* Effect.sleep("1 second")
          yield* server.start
          const fared = yield* Fiber.join(asking)
          assert.property(fared, "token")
          assert.deepStrictEqual(yield* ask(sessions, id), fared)
          assert.lengthOf(yield* refreshes, 1)
        }).pipe(Effect.provide(ehr))
    )

    it.scopedLive.skipIf(program === undefined)(
      "unresponsive: calls fail in bounded time without a token request, and succeed when it responds again",
      () =>
        Effect.gen(function*() {
          const { id, server, sessions } = yield* redis(true)
          yield* server.signal("SIGSTOP")
          assert.deepStrictEqual(yield* ask(sessions, id), { failure: "StoreUnavailable" })
          assert.lengthOf(yield* refreshes, 0)
          yield* server.signal("SIGCONT")
          assert.property(yield* ask(sessions, id), "token")
          assert.lengthOf(yield* refreshes, 1)
        }).pipe(Effect.provide(ehr))
    )

    it.scopedLive.skipIf(program === undefined)(
      "restarted empty: the session is NotFound",
      () =>
        Effect.gen(function*() {
          const sandbox = yield* SandboxEhr.SandboxEhr
          const { id, server, sessions } = yield* redis(false)
          yield* sandbox.fault("token", SandboxEhr.Fault.delay("700 millis", { processed: true }))
          const asking = yield* Effect.fork(ask(sessions, id))
          yield* arrived
          yield* server.stop
          yield* server.start
          assert.deepStrictEqual(yield* Fiber.join(asking), { failure: "NotFound" })
          // The new tokens belong to no session, so they are revoked.
          const revoked = (yield* sandbox.requests).filter(({ step }) => step === "revoke").map(({ form }) =>
            form["token"]
          )
          assert.deepStrictEqual(revoked, [
            (yield* sandbox.issued).filter((token) => token.startsWith("sandbox_refresh_")).at(-1)
          ])
        }).pipe(Effect.provide(ehr))
    )
  }
)

describe("Sessions and a store that cannot be reached", () => {
  const down = new SessionError({ reason: "StoreUnavailable", store: "test", detail: "writing failed: ECONNREFUSED" })

  /** A place whose operations fail while it is down. */
  const place = Effect.map(SessionStore.backingMemory, (memory) => {
    const state = { isDown: false, failing: 0 }
    const unless = <A>(self: Effect.Effect<A, SessionError>) =>
      Effect.suspend(() => {
        if (!state.isDown) return self
        state.failing += 1
        return down
      })
    const backing: SessionStore.BackingSessionStore = {
      name: "test",
      read: (key) => unless(memory.read(key)),
      replace: (key, expected, next) => unless(memory.replace(key, expected, next)),
      tryLock: (key, owner, leaseMillis) => unless(memory.tryLock(key, owner, leaseMillis)),
      unlock: (key, owner) => unless(memory.unlock(key, owner))
    }
    return { state, backing }
  })

  const scene = (options: SessionStore.Options) =>
    Effect.gen(function*() {
      const { backing, state } = yield* place
      const open = over(SessionStore.layerBacking(Effect.succeed(backing), options))
      const sessions = yield* open
      return { state, sessions, open, id: yield* expiredSession(sessions) }
    })

  it.scopedLive("before the request: no request is sent, and the session is unchanged", () =>
    Effect.gen(function*() {
      const { id, sessions, state } = yield* scene({})
      state.isDown = true
      assert.deepStrictEqual(yield* ask(sessions, id), { failure: "StoreUnavailable" })
      assert.lengthOf(yield* refreshes, 0)
      state.isDown = false
      assert.property(yield* ask(sessions, id), "token")
      assert.lengthOf(yield* refreshes, 1)
    }).pipe(Effect.provide(ehr)))

  it.scopedLive("between request and write, also longer than the write is repeated: one request, and the tokens are stored", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      for (const saveTimeout of ["20 seconds", "200 millis"] as const) {
        yield* sandbox.clearRequests
        const { id, open, sessions, state } = yield* scene({ saveTimeout: saveTimeout, lease: "1 second" })
        yield* sandbox.fault("token", SandboxEhr.Fault.delay("300 millis", { processed: true }))
        const asking = yield* Effect.fork(ask(sessions, id))
        yield* arrived
        state.isDown = true
        yield* Effect.sleep("1500 millis")
        if (saveTimeout === "200 millis") {
          assert.deepStrictEqual(yield* Fiber.join(asking), { failure: "StoreUnavailable" })
        }
        state.isDown = false
        const fared = saveTimeout === "20 seconds" ? yield* Fiber.join(asking) : yield* ask(sessions, id)
        assert.property(fared, "token")
        assert.isAbove(state.failing, 0)
        assert.deepStrictEqual(yield* ask(yield* open, id), fared)
        assert.lengthOf(yield* refreshes, 1)
      }
    }).pipe(Effect.provide(ehr)))
})

describe("Sessions and a clock that jumps", () => {
  /** A clock of one process alone: the server's, and that of the timers, go on. */
  const wayward = Effect.map(Effect.clock, (clock) => {
    let millis = 0
    const nanos = () => BigInt(millis) * 1_000_000n
    const jumping: Clock.Clock = {
      ...clock,
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + millis,
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() + nanos(),
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
      currentTimeNanos: Effect.map(clock.currentTimeNanos, (now) => now + nanos()),
      sleep: (duration) => clock.sleep(duration)
    }
    return {
      jump: (duration: Duration.DurationInput, back = false) => {
        millis += Duration.toMillis(duration) * (back ? -1 : 1)
      },
      inside: Effect.withClock(jumping)
    }
  })

  const scene = Effect.gen(function*() {
    const store = yield* Effect.flatMap(SessionStore.backingMemory, (backing) => SessionStore.make(backing))
    const open = over(Layer.succeed(SessionStore.SessionStore, store))
    const [sessions, other] = yield* Effect.all([open, open])
    return { sessions, other, id: yield* expiredSession(sessions), ...(yield* wayward) }
  })

  it.scopedLive("ahead by an hour and back: each reading renews at most once, the token is the server's, the session lives", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      const { id, inside, jump, other, sessions } = yield* scene
      const first = yield* inside(ask(sessions, id))
      jump("1 hour")
      const second = yield* inside(ask(sessions, id))
      assert.notDeepEqual(second, first)
      assert.lengthOf(yield* refreshes, 2)
      jump("1 hour", true)
      assert.deepStrictEqual(yield* inside(ask(sessions, id)), second)
      // The entry says that it is good for another hour; the server knows better, and its refusal is enough.
      const token = "token" in second ? second.token : assert.fail(second.failure)
      assert.include(yield* sandbox.issued, token)
      const third = yield* ask(other, id, Redacted.make(token))
      assert.property(third, "token")
      assert.notDeepEqual(third, second)
      assert.deepStrictEqual(yield* inside(ask(sessions, id)), third)
      assert.lengthOf(yield* refreshes, 3)
    }).pipe(Effect.provide(ehr)))

  it.scopedLive("back by an hour: an expired token seems valid, and its refusal causes one renewal", () =>
    Effect.gen(function*() {
      const { id, inside, jump, sessions } = yield* scene
      jump("1 hour", true)
      const stale = yield* inside(ask(sessions, id))
      assert.lengthOf(yield* refreshes, 0)
      const token = "token" in stale ? stale.token : assert.fail(stale.failure)
      const fresh = yield* inside(ask(sessions, id, Redacted.make(token)))
      assert.property(fresh, "token")
      assert.deepStrictEqual(yield* inside(ask(sessions, id)), fresh)
      assert.lengthOf(yield* refreshes, 1)
      // What that clock wrote is long over by the right one.
      assert.property(yield* ask(sessions, id), "token")
      assert.lengthOf(yield* refreshes, 2)
    }).pipe(Effect.provide(ehr)))

  it.scopedLive("a failure stored by a clock that was ahead does not prevent the next attempt", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      const { id, inside, jump, other, sessions } = yield* scene
      jump("1 hour")
      yield* sandbox.fault("token", SandboxEhr.Fault.status(500))
      assert.deepStrictEqual(yield* inside(ask(sessions, id)), { failure: "Unavailable" })
      assert.deepStrictEqual(yield* inside(ask(sessions, id)), { failure: "Unavailable" })
      assert.lengthOf(yield* refreshes, 1)
      assert.property(yield* ask(other, id), "token")
      assert.lengthOf(yield* refreshes, 2)
    }).pipe(Effect.provide(ehr)))

  it.scopedLive("a lock of a dead process with a wrong clock ends", () =>
    Effect.gen(function*() {
      const [folder] = sharedPlaces()
      const address = folder !== undefined && "kind" in folder ? yield* folder.address : assert.fail("no directory")
      const sandbox = yield* SandboxEhr.SandboxEhr
      for (const back of [false, true]) {
        yield* sandbox.clearRequests
        const { inside, jump } = yield* wayward
        jump("1 hour", back)
        const backing = FileSessionStore.backing({ directory: address })
        let key = ""
        const watched: SessionStore.BackingSessionStore = {
          ...backing,
          read: (asked) => {
            key = asked
            return backing.read(asked)
          }
        }
        const sessions = yield* over(SessionStore.layerBacking(Effect.succeed(watched), { lease: "2 seconds" }))
        const id = yield* expiredSession(sessions)
        yield* sessions.session(id)
        assert.isTrue(yield* inside(backing.tryLock(key, "dead", 2000)))
        const before = yield* Clock.currentTimeMillis
        assert.property(yield* ask(sessions, id), "token")
        assert.isBelow((yield* Clock.currentTimeMillis) - before, 10_000)
        assert.lengthOf(yield* refreshes, 1)
        assert.isTrue(Option.isNone(yield* sessions.relaunchReason(id)))
      }
    }).pipe(Effect.provide(ehr)))
})

describe("Sessions and a damaged entry", () => {
  it.scopedLive("calls fail with Undecodable without a token request; `revoke` and `remove` remove the entry", () =>
    Effect.gen(function*() {
      const memory = yield* SessionStore.backingMemory
      let key = ""
      const backing: SessionStore.BackingSessionStore = {
        ...memory,
        read: (asked) => {
          key = asked
          return memory.read(asked)
        }
      }
      const sessions = yield* over(SessionStore.layerBacking(Effect.succeed(backing)))
      for (const end of [sessions.revoke, sessions.remove]) {
        const id = yield* expiredSession(sessions)
        yield* sessions.session(id)
        const expiresAt = (yield* Clock.currentTimeMillis) + 60_000
        yield* memory.replace(key, yield* memory.read(key), Option.some({ text: "{\"version\":1,\"da", expiresAt }))
        const before = (yield* refreshes).length
        assert.strictEqual((yield* Effect.flip(sessions.accessToken(id))).reason, "Undecodable")
        assert.lengthOf(yield* refreshes, before)
        yield* end(id)
        assert.isTrue(Option.isNone(yield* memory.read(key)))
        assert.strictEqual((yield* Effect.flip(sessions.accessToken(id))).reason, "NotFound")
      }
    }).pipe(Effect.provide(ehr)))
})
