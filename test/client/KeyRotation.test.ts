import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as jose from "jose"
import { KeyRotation } from "../../src/client/KeyRotation.js"
import type { JwkSet } from "../../src/client/PublicJwk.js"
import * as SigningKey from "../../src/client/SigningKey.js"
import * as SigningKeys from "../../src/client/SigningKeys.js"
import { ec, pem, verifies } from "./keys.js"

const pairs = { one: ec(), two: ec(), three: ec(), four: ec() }
const key = (kid: keyof typeof pairs) => Effect.orDie(SigningKey.fromPem({ pem: pem(pairs[kid]), kid }))

const maxAge = "10 minutes"
const layer = (kid: keyof typeof pairs = "one") =>
  Effect.map(key(kid), (key) => SigningKeys.layerRotating({ key, maxAge }))

const rotation = KeyRotation
const signing = Effect.flatMap(SigningKeys.SigningKeys, (keys) => Effect.map(keys.sign({}), Redacted.value))
const kidOf = (jwt: string) => jose.decodeProtectedHeader(jwt).kid
const published = Effect.flatMap(
  SigningKeys.SigningKeys,
  ({ publicJwks }) => Effect.map(publicJwks, ({ keys }) => keys.map(({ kid }) => kid))
)

/** A server that keeps a client's JWKS exactly as long as it may, and never asks earlier. */
const server = (firstFetch: Duration.DurationInput, verify: typeof verifies) => {
  let cached: { readonly set: JwkSet; readonly until: number } | undefined
  return {
    accepts: (jwt: string) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const set = cached !== undefined && now < cached.until
          ? cached.set
          : yield* Effect.flatMap(SigningKeys.SigningKeys, ({ publicJwks }) => publicJwks)
        // The first fetch shifts this server's phase, so that several of them are never in step.
        if (cached === undefined) cached = { set, until: now + Duration.toMillis(firstFetch) }
        else if (now >= cached.until) cached = { set, until: now + Duration.toMillis(maxAge) }
        return yield* verify(jwt, set.keys)
      })
  }
}

/** Lets `minutes` pass. At each, an assertion is made, and all that live are shown to all servers. */
const watch = (servers: ReadonlyArray<ReturnType<typeof server>>, minutes: number) =>
  Effect.gen(function*() {
    const kids = new Set<string | undefined>()
    let living: ReadonlyArray<{ readonly jwt: string; readonly until: number }> = []
    for (let minute = 0; minute < minutes; minute++) {
      const now = yield* Clock.currentTimeMillis
      const jwt = yield* signing
      kids.add(kidOf(jwt))
      living = [...living.filter(({ until }) => now < until), { jwt, until: now + 5 * 60_000 }]
      for (const server of servers) {
        for (const one of [living[0], living[living.length - 1]]) {
          assert.isTrue(one !== undefined && (yield* server.accepts(one.jwt)), `refused ${minute} minutes in`)
        }
      }
      yield* TestClock.adjust("1 minute")
    }
    return [...kids]
  })

const servers = (verify: typeof verifies) => [1, 4, 7, 10].map((minutes) => server(Duration.minutes(minutes), verify))

/** Whether the set has the key, without the work of verifying: for the many minutes of the roll-back test. */
const hasKey: typeof verifies = (jwt, keys) =>
  Effect.succeed(keys.some((key) => "kid" in key && key.kid === kidOf(jwt)))

describe("KeyRotation", () => {
  it.effect("[SMART-303] `rotate` publishes, then signs, then retires the old key; servers with cached key sets refuse no assertion", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const all = servers(verifies)
        const handle = yield* rotation
        assert.deepStrictEqual(yield* watch(all, 12), ["one"])
        const state = yield* handle.rotate(yield* key("two"))
        const now = yield* Clock.currentTimeMillis
        assert.deepStrictEqual(state, { signing: "one", next: { kid: "two", signsFrom: now + 600_000 }, retired: [] })
        assert.deepStrictEqual(yield* published, ["one", "two"])
        assert.deepStrictEqual(yield* watch(all, 10), ["one"])
        assert.deepStrictEqual(yield* watch(all, 14), ["two"])
        assert.deepStrictEqual(yield* published, ["two", "one"])
        assert.deepStrictEqual((yield* handle.state).retired, [{ kid: "one", publishedUntil: now + 600_000 + 900_000 }])
        yield* watch(all, 1)
        assert.deepStrictEqual(yield* published, ["two"])
        assert.deepStrictEqual(yield* watch(all, 20), ["two"])
      })
      yield* Effect.provide(program, yield* layer())
    }))

  it.effect("`rollback` at any minute of a rotation causes no refusal", () =>
    Effect.gen(function*() {
      for (let minute = 0; minute <= 24; minute += 2) {
        const program = Effect.gen(function*() {
          const all = servers(hasKey)
          const handle = yield* rotation
          yield* watch(all, 2)
          yield* handle.rotate(yield* key("two"))
          yield* watch(all, minute)
          const state = yield* handle.rollback
          assert.strictEqual(state.signing, "one")
          assert.deepStrictEqual(state.retired.map(({ kid }) => kid), minute < 10 ? [] : ["two"])
          assert.deepStrictEqual(yield* watch(all, 30), ["one"])
          assert.deepStrictEqual(yield* published, ["one"])
        })
        yield* Effect.provide(program, yield* layer())
      }
    }), 60_000)

  it.effect("`rollback` goes back one key at a time, and not to a withdrawn key", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const handle = yield* rotation
        yield* handle.rotate(yield* key("two"))
        yield* TestClock.adjust("11 minutes")
        yield* handle.rotate(yield* key("three"))
        yield* TestClock.adjust("11 minutes")
        assert.deepStrictEqual(yield* published, ["three", "one", "two"])
        assert.strictEqual((yield* handle.rollback).signing, "two")
        assert.strictEqual((yield* handle.rollback).signing, "one")
        const end = yield* Effect.flip(handle.rollback)
        assert.strictEqual(end.reason, "Conflict")
        assert.strictEqual(kidOf(yield* signing), "one")
      })
      yield* Effect.provide(program, yield* layer())
    }))

  it.effect("refuses a second rotation, a published kid, and a rollback without a previous key", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const handle = yield* rotation
        const refused = (effect: Effect.Effect<unknown, { readonly reason: string; readonly detail: string }>) =>
          Effect.map(Effect.flip(effect), ({ detail, reason }) => `${reason}: ${detail}`)
        assert.include(yield* refused(handle.rollback), "Conflict: the previous key is no longer published")
        const same = yield* Effect.orDie(SigningKey.fromPem({ pem: pem(pairs.four), kid: "one" }))
        assert.include(yield* refused(handle.rotate(same)), "Conflict: a key with the kid one is already published")
        yield* handle.rotate(yield* key("two"))
        assert.include(yield* refused(handle.rotate(yield* key("three"))), "Conflict: a rotation to two is in progress")
        yield* handle.rollback
        assert.strictEqual((yield* handle.rotate(yield* key("three"))).next?.kid, "three")
        yield* TestClock.adjust("1 hour")
        assert.include(yield* refused(handle.rollback), "Conflict: the previous key is no longer published")
        assert.deepStrictEqual(yield* published, ["three"])
        assert.strictEqual((yield* handle.rotate(yield* key("one"))).signing, "three")
      })
      yield* Effect.provide(program, yield* layer())
    }))

  it.effect("[SMART-303] changes at the first millisecond of each period, and logs the keys", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make(({ annotations }) => void logged.push(Object.fromEntries(annotations)))
    return Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const handle = yield* rotation
        assert.deepStrictEqual(yield* handle.state, { signing: "one", next: undefined, retired: [] })
        yield* handle.rotate(yield* key("two"))
        yield* TestClock.adjust("599999 millis")
        assert.deepStrictEqual([(yield* handle.state).signing, yield* published], ["one", ["one", "two"]])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* handle.state, {
          signing: "two",
          next: undefined,
          retired: [{ kid: "one", publishedUntil: 1_500_000 }]
        })
        const again = yield* Effect.flip(handle.rotate(yield* key("one")))
        assert.deepStrictEqual([again.reason, again.fields], ["Conflict", ["signingKey"]])
        yield* TestClock.adjust("899999 millis")
        assert.deepStrictEqual(yield* published, ["two", "one"])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* published, ["two"])
        yield* handle.rotate(yield* key("three"))
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(yield* handle.rollback, {
          signing: "two",
          next: undefined,
          retired: [{ kid: "three", publishedUntil: 2_100_000 + 900_000 }]
        })
        assert.deepStrictEqual(logged, [
          { "smart.signing": "one", "smart.next": "two" },
          { "smart.signing": "two", "smart.next": "three" },
          { "smart.signing": "two", "smart.next": "none" }
        ])
      })
      yield* Effect.provide(program, yield* layer())
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.effect("`maxAge` is the longest max-age of the published set", () =>
    Effect.gen(function*() {
      const handle = yield* Effect.provide(rotation, yield* layer())
      assert.strictEqual(Duration.toMinutes(handle.maxAge), 10)
    }))
})
