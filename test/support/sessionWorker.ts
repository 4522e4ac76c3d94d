/**
 * A process that uses sessions in a shared store, by the messages of its parent.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Sessions from "../../src/session/Sessions.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { connectTo } from "./places.js"
import { app, callers } from "./sessionCallers.js"
import type { Command, Hold, Report } from "./sessionWorkerMessages.js"

const report = (message: Report) => Effect.sync(() => void process.send?.(message))

/** Stops once, at the given step. */
const holding = (holdAt: Hold | undefined, go: Effect.Effect<void>) => {
  let hasHeld = false
  return (place: Hold) =>
    Effect.suspend(() => {
      if (place !== holdAt || hasHeld) return Effect.void
      hasHeld = true
      return Effect.zipRight(report({ _tag: "Held" }), go)
    })
}

const holdingBacking = (
  backing: SessionStore.BackingSessionStore,
  hold: (place: Hold) => Effect.Effect<void>
): SessionStore.BackingSessionStore => ({
  ...backing,
  tryLock: (key, owner, leaseMillis) =>
    Effect.tap(backing.tryLock(key, owner, leaseMillis), (isOurs) => isOurs ? hold("locked") : Effect.void),
  replace: (key, expected, next) =>
    Option.isNone(expected)
      ? backing.replace(key, expected, next)
      : hold("answered").pipe(
        Effect.zipRight(backing.replace(key, expected, next)),
        Effect.tap(hold("written"))
      ),
  ...(backing.lockAndRead === undefined ? {} : {
    lockAndRead: (key, owner, leaseMillis) =>
      Effect.tap(
        backing.lockAndRead?.(key, owner, leaseMillis) ?? Effect.dieMessage("no lockAndRead"),
        (read) => Option.isSome(read) ? hold("locked") : Effect.void
      )
  }),
  ...(backing.replaceAndUnlock === undefined ? {} : {
    replaceAndUnlock: (key, owner, expected, next) =>
      hold("answered").pipe(
        Effect.zipRight(
          backing.replaceAndUnlock?.(key, owner, expected, next) ?? Effect.dieMessage("no replaceAndUnlock")
        ),
        Effect.tap(hold("written"))
      )
  })
})

const open = (command: Extract<Command, { readonly _tag: "Open" }>, go: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const hold = holding(command.holdAt, go)
    const backing = holdingBacking(yield* connectTo(command.kind, command.address), hold)
    const store = yield* SessionStore.make(backing, {
      lease: command.leaseMillis,
      saveTimeout: command.saveMillis,
      // The worker holds inside an operation of the store, which must wait for it.
      operationTimeout: command.operationMillis ?? "1 minute"
    })
    const http = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.tapRequest(({ method }) => method === "POST" ? hold("sending") : Effect.void)
      )
    ).pipe(Layer.provide(FetchHttpClient.layer))
    const context = yield* Layer.build(
      app(command.fhirBaseUrl, Layer.succeed(SessionStore.SessionStore, store), http)
    )
    return yield* Effect.provide(Sessions.Sessions, context)
  })

const use = (sessions: Sessions.Service, { callers: count, id, refused }: Extract<Command, { readonly _tag: "Use" }>) =>
  Effect.flatMap(
    callers(sessions, Redacted.make(id), count, refused === undefined ? undefined : Redacted.make(refused)),
    (fared) => report({ _tag: "Used", callers: fared })
  )

let offsetMillis = 0

/** A clock that is wrong; timers are right. */
const shifted = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.clockWith((clock) =>
    Effect.withClock(self, {
      ...clock,
      unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + offsetMillis,
      unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos() + BigInt(offsetMillis) * 1_000_000n,
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + offsetMillis),
      currentTimeNanos: Effect.map(clock.currentTimeNanos, (now) => now + BigInt(offsetMillis) * 1_000_000n),
      sleep: (duration) => clock.sleep(duration)
    })
  )

Effect.gen(function*() {
  const commands = yield* Queue.unbounded<Command>()
  const go = yield* Deferred.make<void>()
  // The channel has only messages of sessionWorkers.ts.
  process.on("message", (message) => void Queue.unsafeOffer(commands, message as Command))
  process.once("disconnect", () => process.exit(0))
  yield* report({ _tag: "Ready" })
  let sessions: Sessions.Service | undefined
  for (;;) {
    const command = yield* Queue.take(commands)
    if (command._tag === "Go") yield* Deferred.succeed(go, undefined)
    else if (command._tag === "SetClock") offsetMillis = command.offsetMillis
    else if (command._tag === "Open") {
      sessions = yield* open(command, Deferred.await(go))
      yield* report({ _tag: "Opened" })
    } else if (sessions !== undefined) yield* Effect.fork(use(sessions, command))
  }
}).pipe(shifted, Effect.scoped, Effect.runPromise).catch((failure: unknown) => {
  process.stderr.write(String(failure))
  process.exit(1)
})
