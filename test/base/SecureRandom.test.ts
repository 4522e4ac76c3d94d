import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as SecureRandom from "../../src/base/SecureRandom.js"

const draw = Effect.flatMap(SecureRandom.SecureRandom, (random) => SecureRandom.base64Url(random, 32))

describe("SecureRandom", () => {
  it.effect("[SMART-39] 32 bytes are 43 characters of unpadded base64url, and ten thousand draws differ", () =>
    Effect.gen(function*() {
      const drawn = yield* Effect.replicateEffect(draw, 10_000)
      assert.strictEqual(new Set(drawn).size, 10_000)
      for (const value of drawn) assert.match(value, /^[A-Za-z0-9_-]{43}$/)
    }))

  it.effect("[SMART-39] does not use Effect's seeded Random", () =>
    Effect.gen(function*() {
      const seeded = () => Effect.withRandom(draw, Random.make("seed"))
      assert.notStrictEqual(yield* seeded(), yield* seeded())
    }))

  it.effect("a layer replaces the source", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* draw, "B".padEnd(43, "A").replace(/^B/, "A"))
    }).pipe(Effect.provide(SecureRandom.layer({ bytes: (count) => Effect.succeed(new Uint8Array(count)) }))))
})
