import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import * as SecureRandom from "../../src/base/SecureRandom.js"
import * as Pkce from "../../src/launch/Pkce.js"

describe("Pkce", () => {
  it.effect.each([
    [
      "RFC 7636, Appendix B",
      "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
      "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    ],
    [
      "SMART App Launch 2.2, the app launch examples",
      "o28xyrYY7-lGYfnKwRjHEZWlFIPlzVnFPYMWbH-g_BsNnQNem-IAg9fDh92X0KtvHCPO5_C-RJd2QhApKQ-2cRp-S_W3qmTidTEPkeWyniKQSF9Q_k10Q5wMc8fGzoyF",
      "YPXe7B8ghKrj8PsT4L6ltupgI12NQJ5vblB07F4rGaw"
    ]
  ])("[SMART-44] makes the published challenge: %s", ([, verifier, challenge]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Pkce.challengeOf(Redacted.make(verifier ?? "")), challenge)
    }))

  it.effect.prop(
    "[SMART-45] makes a verifier of 43 to 128 unreserved characters and its S256 challenge from any random bytes",
    [FastCheck.uint8Array({ minLength: 32, maxLength: 32 })],
    ([bytes]) =>
      Effect.gen(function*() {
        const pkce = yield* Pkce.make.pipe(Effect.provide(SecureRandom.layer({ bytes: () => Effect.succeed(bytes) })))
        const { challenge, method, verifier } = yield* pkce.generate
        assert.strictEqual(method, "S256")
        assert.match(Redacted.value(verifier), /^[A-Za-z0-9._~-]{43,128}$/)
        assert.strictEqual(challenge, createHash("sha256").update(Redacted.value(verifier)).digest("base64url"))
      })
  )

  it.effect("[SMART-13] reads 32 random bytes for each request", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const pkce = yield* Pkce.make.pipe(
        Effect.provide(SecureRandom.layer({
          bytes: (count) =>
            Effect.sync(() => globalThis.crypto.getRandomValues(new Uint8Array(asked[asked.push(count) - 1] ?? 0)))
        }))
      )
      const made = yield* Effect.replicateEffect(pkce.generate, 100)
      assert.strictEqual(new Set(made.map(({ verifier }) => Redacted.value(verifier))).size, 100)
      assert.deepStrictEqual(new Set(asked), new Set([32]))
      assert.strictEqual(asked.length, 100)
    }))

  it.effect("does not show the verifier when it is printed", () =>
    Effect.gen(function*() {
      const pkce = yield* Effect.provide(Pkce.Pkce, Pkce.layer)
      const made = yield* pkce.generate
      assert.notInclude(`${JSON.stringify(made)}${String(made.verifier)}`, Redacted.value(made.verifier))
    }))
})
