import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as OnDemand from "../../src/base/OnDemand.js"

describe("OnDemand.module", () => {
  it.effect("imports a module once, and then provides it without a promise", () =>
    Effect.gen(function*() {
      let imports = 0
      const module = OnDemand.module("counts", () => Promise.resolve({ number: ++imports }))
      assert.deepStrictEqual(yield* module, { number: 1 })
      assert.deepStrictEqual(Effect.runSync(module), { number: 1 })
    }))

  it.effect("repeats a failed import at the next use", () =>
    Effect.gen(function*() {
      let imports = 0
      const module = OnDemand.module("counts", () =>
        ++imports === 1 ? Promise.reject(new Error("offline")) : Promise.resolve({ number: imports }))
      assert.strictEqual(yield* Effect.flip(module), "the part of this program that counts could not be loaded")
      assert.deepStrictEqual(yield* module, { number: 2 })
    }))

  it.effect("another importer imports for itself", () =>
    Effect.gen(function*() {
      const module = OnDemand.module("counts", () => Promise.resolve({ number: 1 }))
      assert.deepStrictEqual(yield* module, { number: 1 })
      const failing = Effect.provideService(module, OnDemand.Importer, () => Promise.reject(new Error("offline")))
      assert.strictEqual(yield* Effect.flip(failing), "the part of this program that counts could not be loaded")
    }))
})
