import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Sha256 from "../../src/base/Sha256.js"

/** As in a browser, whose `process`, if there is one, has no modules of Node. */
const withoutNode = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const found = process.getBuiltinModule
      Reflect.deleteProperty(process, "getBuiltinModule")
      return found
    }),
    () => self,
    (found) =>
      Effect.sync(() => Object.defineProperty(process, "getBuiltinModule", { value: found, configurable: true }))
  )

describe.each([
  ["Node's own function", <A, E, R>(self: Effect.Effect<A, E, R>) => self],
  ["WebCrypto", withoutNode]
])("base64Url with %s", (_, within) => {
  it.effect("is the published digest of \"abc\" (FIPS 180-4)", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* within(Sha256.base64Url("abc")),
        Buffer.from("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "hex").toString("base64url")
      )
    }))

  it.effect.prop(
    "is the digest of any text in UTF-8",
    [FastCheck.string({ unit: "binary" })],
    ([text]) =>
      Effect.gen(function*() {
        const expected = createHash("sha256").update(new TextEncoder().encode(text)).digest("base64url")
        assert.strictEqual(yield* within(Sha256.base64Url(text)), expected)
      })
  )
})

describe("base64Url", () => {
  it("completes synchronously with Node's own function, and not with WebCrypto", () => {
    assert.lengthOf(Effect.runSync(Sha256.base64Url("abc")), 43)
    assert.throws(() => Effect.runSync(withoutNode(Sha256.base64Url("abc"))))
  })

  it("uses WebCrypto where the global `process` is absent", async () => {
    const { process } = globalThis
    Reflect.set(globalThis, "process", undefined)
    const digest = Effect.runPromise(Sha256.base64Url("abc"))
    Reflect.set(globalThis, "process", process)
    assert.strictEqual(await digest, Effect.runSync(Sha256.base64Url("abc")))
  })
})
