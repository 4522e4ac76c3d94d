import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as jose from "jose"
// Forged entries, which only a writer to the store can make.
import { CompletedLaunch, Sealed } from "../../src/session/internal/sessionEntry.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { increment, numbered, numberIn } from "../support/increment.js"
import { keyOf, newId } from "../support/sessionStoreContract.js"

const key = (id: string, byte: number, length = 32): SessionStore.EncryptionKey => ({
  id,
  secret: Redacted.make(Encoding.encodeBase64Url(new Uint8Array(length).fill(byte)))
})
const first = key("2026-01", 1)
const second = key("2026-02", 2)

type Keys = Parameters<typeof SessionStore.layerEncrypted>[0]

const setUp = Effect.gen(function*() {
  const backing = yield* SessionStore.backingMemory
  const plain = yield* SessionStore.make(backing)
  const open = (keys: Keys, options?: { readonly acceptUnsealed?: boolean }) =>
    Effect.provide(
      SessionStore.SessionStore,
      SessionStore.layerEncrypted(keys, options).pipe(Layer.provide(Layer.succeed(SessionStore.SessionStore, plain)))
    )
  return { backing, plain, open }
})

const sealedIn = (entry: Option.Option<unknown>): Sealed => {
  const sealed = Option.getOrThrow(entry)
  assert.instanceOf(sealed, Sealed)
  return sealed
}

describe("SessionStore.layerEncrypted", () => {
  it.effect("stores a JWE (dir, A256GCM) with the id of its key and without readable parts of the entry", () =>
    Effect.gen(function*() {
      const { backing, open, plain } = yield* setUp
      const store = yield* open([first])
      const id = newId()
      yield* store.set(id, yield* numbered(424242))
      const sealed = sealedIn(yield* plain.get(id))
      assert.strictEqual(sealed.keyId, "2026-01")
      const header: unknown = JSON.parse(Buffer.from(sealed.jwe.split(".")[0]!, "base64url").toString())
      assert.deepStrictEqual(header, { alg: "dir", enc: "A256GCM", kid: "2026-01" })
      const text = Option.getOrThrow(yield* backing.read(keyOf(id)))
      assert.notInclude(text, "424242")
      assert.notInclude(text, Redacted.value(id))
      assert.strictEqual(numberIn(yield* store.get(id)), 424242)
    }))

  it.effect("seals with the first key and opens with all keys, so that keys can change", () =>
    Effect.gen(function*() {
      const { open, plain } = yield* setUp
      const id = newId()
      yield* (yield* open([first])).set(id, yield* numbered(1))
      const both = yield* open([second, first])
      assert.strictEqual(yield* increment(both, id), 2)
      assert.strictEqual(sealedIn(yield* plain.get(id)).keyId, "2026-02")
      assert.strictEqual(numberIn(yield* (yield* open([second])).get(id)), 2)
    }))

  it.effect("fails with the id of a missing key, and keeps the entry", () =>
    Effect.gen(function*() {
      const { backing, open } = yield* setUp
      const id = newId()
      const before = yield* open([first])
      yield* before.set(id, yield* numbered(7))
      const text = yield* backing.read(keyOf(id))
      const store = yield* open([second])
      let runs = 0
      const modified = store.modify(id, (current) => {
        runs += 1
        return Effect.succeed([undefined, current])
      })
      for (const result of [store.get(id), store.take(id), modified]) {
        const error = yield* Effect.flip(Effect.asVoid<unknown, unknown, never>(result))
        assert.propertyVal(error, "reason", "KeyUnknown")
        assert.propertyVal(error, "keyId", "2026-01")
        assert.include(String(error), "2026-01")
      }
      assert.strictEqual(runs, 0)
      assert.strictEqual(Option.getOrThrow(yield* backing.read(keyOf(id))), Option.getOrThrow(text))
      assert.strictEqual(numberIn(yield* before.take(id)), 7)
    }))

  it.effect("rejects entries that were changed, moved to another id, relabelled, or sealed with another key of the same id", () =>
    Effect.gen(function*() {
      const { open, plain } = yield* setUp
      const store = yield* open([first, second])
      const id = newId()
      const other = newId()
      yield* store.set(id, yield* numbered(1))
      const sealed = sealedIn(yield* plain.get(id))
      const [header, , iv, ciphertext = "", tag] = sealed.jwe.split(".")
      const flipped = `${ciphertext.startsWith("A") ? "B" : "A"}${ciphertext.slice(1)}`
      const forgeries: ReadonlyArray<readonly [Redacted.Redacted, Sealed]> = [
        [other, sealed],
        [id, new Sealed({ ...sealed, jwe: [header, "", iv, flipped, tag].join(".") })],
        [id, new Sealed({ ...sealed, jwe: "canary.not.a.jwe" })],
        [id, new Sealed({ ...sealed, keyId: "2026-02" })]
      ]
      for (const [target, forged] of forgeries) {
        yield* plain.set(target, forged)
        const error = yield* Effect.flip(store.get(target))
        assert.strictEqual(error.reason, "Undecodable")
        assert.notInclude(`${String(error)}${JSON.stringify(error)}`, "canary")
        assert.isTrue(Option.isSome(yield* plain.get(target)))
      }
      yield* plain.set(id, sealed)
      const namesake = yield* open([key("2026-01", 3)])
      assert.strictEqual((yield* Effect.flip(namesake.get(id))).reason, "Undecodable")
      assert.strictEqual(numberIn(yield* store.get(id)), 1)
    }))

  it.effect("rejects an entry that names another key than its JWE, and a JWE with another algorithm", () =>
    Effect.gen(function*() {
      const { open, plain } = yield* setUp
      const store = yield* open([first, { ...first, id: "alias" }])
      const id = newId()
      yield* store.set(id, yield* numbered(1))
      const sealed = sealedIn(yield* plain.get(id))
      yield* plain.set(id, new Sealed({ ...sealed, keyId: "alias" }))
      assert.strictEqual((yield* Effect.flip(store.get(id))).reason, "Undecodable")
      const secret = new Uint8Array(32).fill(1)
      const { plaintext } = yield* Effect.promise(() => jose.compactDecrypt(sealed.jwe, secret))
      const wrapped = (alg: string, enc: string) =>
        Effect.promise(() =>
          new jose.CompactEncrypt(plaintext).setProtectedHeader({ alg, enc, kid: sealed.keyId }).encrypt(secret)
        )
      yield* plain.set(id, new Sealed({ ...sealed, jwe: yield* wrapped("A256GCMKW", "A256GCM") }))
      assert.strictEqual((yield* Effect.flip(store.get(id))).reason, "Undecodable")
      yield* plain.set(id, new Sealed({ ...sealed, jwe: yield* wrapped("dir", "A256GCM") }))
      assert.strictEqual(numberIn(yield* store.get(id)), 1)
    }))

  it.effect("accepts a secret with the padding of base64 at its end only", () =>
    Effect.gen(function*() {
      const { open } = yield* setUp
      const text = Redacted.value(first.secret)
      const withSecret = (secret: string) => open([{ id: first.id, secret: Redacted.make(secret) }])
      const id = newId()
      yield* (yield* open([first])).set(id, yield* numbered(3))
      for (const padding of ["=", "=="]) {
        assert.strictEqual(numberIn(yield* (yield* withSecret(text + padding)).get(id)), 3)
      }
      const inside = yield* Effect.flip(withSecret(`${text.slice(0, 20)}=${text.slice(20)}`))
      assert.strictEqual(inside.reason, "KeyUnusable")
    }))

  it.effect("reads the expiry of an entry from the sealed content", () =>
    Effect.gen(function*() {
      const { open, plain } = yield* setUp
      const store = yield* open([first])
      const id = newId()
      yield* store.set(id, yield* numbered(1, 1000))
      const later = yield* numbered(0, 600_000)
      yield* plain.set(id, new Sealed({ ...sealedIn(yield* plain.get(id)), expiresAt: later.expiresAt }))
      assert.isTrue(Option.isSome(yield* store.get(id)))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isSome(yield* plain.get(id)))
      assert.isTrue(Option.isNone(yield* store.get(id)))
    }))

  it.effect("rejects unsealed entries without `acceptUnsealed`, and always writes sealed entries", () =>
    Effect.gen(function*() {
      const backing = yield* SessionStore.backingMemory
      const plain = yield* SessionStore.make(backing)
      const layer = (options?: { readonly acceptUnsealed?: boolean }) =>
        SessionStore.layerEncrypted([first], options).pipe(
          Layer.provide(Layer.succeed(SessionStore.SessionStore, plain))
        )
      const id = newId()
      const { expiresAt } = yield* numbered(1)
      yield* plain.set(id, new CompletedLaunch({ version: 1, expiresAt, sessionId: Redacted.make("canary") }))
      for (const options of [undefined, {}, { acceptUnsealed: false }]) {
        const strict = yield* Effect.provide(SessionStore.SessionStore, layer(options))
        assert.strictEqual((yield* Effect.flip(strict.get(id))).reason, "Undecodable")
      }
      const lenient = yield* Effect.provide(SessionStore.SessionStore, layer({ acceptUnsealed: true }))
      const entry = Option.getOrThrow(yield* lenient.get(id))
      assert.strictEqual(entry._tag, "CompletedLaunch")
      yield* lenient.set(id, entry)
      assert.strictEqual(sealedIn(yield* plain.get(id)).keyId, "2026-01")
      const strict = yield* Effect.provide(SessionStore.SessionStore, layer())
      assert.strictEqual(Option.getOrThrow(yield* strict.get(id))._tag, "CompletedLaunch")
    }))

  it.effect("imports its keys so that they cannot be exported, and fails if the platform does not take them", () =>
    Effect.gen(function*() {
      const { open } = yield* setUp
      const spy = vi.spyOn(globalThis.crypto.subtle, "importKey")
      yield* Effect.addFinalizer(() => Effect.sync(() => spy.mockRestore()))
      yield* open([first, second])
      assert.isAtLeast(spy.mock.calls.length, 2)
      for (const [, , , isExtractable] of spy.mock.calls) assert.isFalse(isExtractable)
      spy.mockRejectedValue(new Error("canary"))
      const error = yield* Effect.flip(open([first]))
      assert.deepStrictEqual([error.reason, error.keyId], ["KeyUnusable", "2026-01"])
      assert.notInclude(error.message, "canary")
    }).pipe(Effect.scoped))

  it.effect("fails with the id of its key for an entry that JSON cannot have, without a part of it", () =>
    Effect.gen(function*() {
      const { open } = yield* setUp
      const store = yield* open([first])
      const { expiresAt } = yield* numbered(1)
      const entry = new SessionStore.StoredValue({ version: 1, expiresAt, value: { canary: 7n } })
      const error = yield* Effect.flip(store.set(newId(), entry))
      assert.deepStrictEqual([error.reason, error.keyId], ["KeyUnusable", "2026-01"])
      assert.notInclude(error.message, "canary")
    }))

  it.effect("fails with the id of an invalid key when the layer is built, without the key itself", () =>
    Effect.gen(function*() {
      const { open } = yield* setUp
      const canary: SessionStore.EncryptionKey = { id: "bad", secret: Redacted.make("canary secret!") }
      for (
        const keys of [[key("bad", 1, 16)], [first, key("bad", 1, 33)], [canary], [first, first]] satisfies Array<Keys>
      ) {
        const error = yield* Effect.flip(open(keys))
        assert.deepStrictEqual([error.reason, error.keyId], ["KeyUnusable", keys.at(-1)?.id])
        assert.notInclude(`${String(error)}${JSON.stringify(error)}`, "canary")
      }
    }))
})
