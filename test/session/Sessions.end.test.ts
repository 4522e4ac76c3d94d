import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { SessionError, Sessions, SessionStore } from "effect-safire"
// Only `Sessions` makes it; another process would write it.
import { StoredSession } from "../../src/session/internal/sessionEntry.js"
import { eventually, joinWithSteps } from "../support/eventually.js"
import { scene, servers } from "../support/sessionScene.js"

const { value } = Redacted

const entryId = (id: Sessions.SessionId) => Redacted.make(`session.${value(id)}`)

const storedSession = (store: SessionStore.Service, id: Sessions.SessionId) =>
  Effect.map(store.get(entryId(id)), (entry) => {
    const stored = Option.getOrThrow(entry)
    return stored._tag === "StoredSession" ? stored : assert.fail(stored._tag)
  })

describe("Sessions.revoke", () => {
  it.scoped("removes a session that another process changes at the same time, and revokes its tokens", () =>
    Effect.gen(function*() {
      const { ehr, id, place, sessions, store } = yield* scene()
      const stored = yield* storedSession(store, id)
      const { writes } = place
      place.writeDelay = "1 second"
      const ending = yield* Effect.fork(sessions.revoke(id))
      yield* eventually(Effect.sync(() => place.writes), (now) => now > writes)
      place.writeDelay = 0
      yield* store.set(entryId(id), new StoredSession({ ...stored, appState: "changed" }))
      yield* joinWithSteps(ending)
      assert.isTrue(Option.isNone(yield* store.get(entryId(id))))
      assert.lengthOf((yield* ehr.requests).filter(({ step }) => step === "revoke"), 1)
    }).pipe(Effect.provide(servers)))

  it.scoped("fails and leaves the session if the store is unavailable, or the key of the entry is not configured", () =>
    Effect.gen(function*() {
      const { ehr, id, place, sessions, store } = yield* scene()
      place.writable = false
      const unavailable = yield* joinWithSteps(yield* Effect.fork(Effect.flip(sessions.revoke(id))), "1 second")
      assert.strictEqual(unavailable.reason, "StoreUnavailable")
      place.writable = true
      const unknown = new SessionError({ reason: "KeyUnknown", detail: "no such key" })
      const other = yield* Effect.provideService(
        Sessions.make(),
        SessionStore.SessionStore,
        store.withCodec({ seal: (_, entry) => Effect.succeed(entry), open: () => unknown })
      )
      yield* store.set(entryId(id), new StoredSession({ ...(yield* storedSession(store, id)), appState: ["sealed"] }))
      assert.strictEqual((yield* Effect.flip(other.revoke(id))).reason, "KeyUnknown")
      assert.strictEqual((yield* sessions.session(id)).server, "north")
      assert.lengthOf((yield* ehr.requests).filter(({ step }) => step === "revoke"), 0)
    }).pipe(Effect.provide(servers)))

  it.scoped("inside `modify` for the same session fails with Reentrant, and leaves the session", () =>
    Effect.gen(function*() {
      const { id, sessions, store } = yield* scene()
      for (const end of [sessions.revoke, sessions.remove]) {
        const error = yield* Effect.flip(
          store.modify(entryId(id), (current) => Effect.as(end(id), [undefined, current] as const))
        )
        assert.strictEqual(error.reason, "Reentrant")
      }
      assert.strictEqual((yield* sessions.session(id)).server, "north")
    }).pipe(Effect.provide(servers)))

  it.scoped("of a session that does not exist succeeds, and its span names no server", () =>
    Effect.gen(function*() {
      const { sessions } = yield* scene()
      const spans: Array<Tracer.Span> = []
      const silent = yield* Effect.tracer
      const tracer = Tracer.make({
        context: (f) => f(),
        span: (...args) => {
          const span = silent.span(...args)
          spans.push(span)
          return span
        }
      })
      const id = Redacted.make("absent")
      yield* Effect.zipRight(sessions.revoke(id), sessions.remove(id)).pipe(
        Effect.withSpan("program"),
        Effect.withTracer(tracer)
      )
      for (const name of ["Sessions.revoke", "Sessions.remove"]) {
        const span = spans.find((span) => span.name === name)
        assert.isFalse(span?.attributes.has("smart.server"), name)
      }
    }).pipe(Effect.provide(servers)))

  it.scoped("continues when its caller is interrupted, and concurrent calls send one request", () =>
    Effect.gen(function*() {
      const { ehr, id, place, sessions, store } = yield* scene()
      const { writes } = place
      place.writeDelay = "1 second"
      const callers = [yield* Effect.fork(sessions.revoke(id)), yield* Effect.fork(sessions.revoke(id))]
      yield* eventually(Effect.sync(() => place.writes), (now) => now > writes)
      yield* Fiber.interruptAll(callers)
      yield* TestClock.adjust("1 second")
      yield* eventually(store.get(entryId(id)), Option.isNone)
      const requests = yield* eventually(ehr.requests, (all) => all.some(({ step }) => step === "revoke"))
      assert.lengthOf(requests.filter(({ step }) => step === "revoke"), 1)
    }).pipe(Effect.provide(servers)))
})

describe("Sessions that stop", () => {
  it.effect("log nothing if no work is in progress", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { id, sessions } = yield* Effect.provideService(scene(), Scope.Scope, scope)
      yield* sessions.revoke(id)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(lines.filter((line) => line.includes("Sessions stopped")), [])
    }).pipe(Effect.provide(servers), Effect.provide(Logger.add(logger)))
  })
})

describe("an id", () => {
  it.scoped("is hashed at its first use only, because each FHIR request reads its session", () =>
    Effect.gen(function*() {
      const { id, sessions } = yield* scene()
      let hashes = 0
      const { getBuiltinModule } = process
      const counting = Effect.acquireRelease(
        Effect.sync(() => {
          process.getBuiltinModule = ((name: "node:crypto") => {
            hashes += 1
            return getBuiltinModule(name)
          }) as typeof getBuiltinModule
        }),
        () => Effect.sync(() => (process.getBuiltinModule = getBuiltinModule))
      )
      yield* Effect.scoped(Effect.gen(function*() {
        yield* counting
        for (let use = 0; use < 5; use++) yield* sessions.accessToken(id)
        assert.strictEqual(hashes, 0)
        // The same id in another object.
        for (const same of [Redacted.make(value(id))]) {
          for (let use = 0; use < 5; use++) yield* sessions.accessToken(same)
        }
        assert.strictEqual(hashes, 1)
      }))
    }).pipe(Effect.provide(servers)))
})
