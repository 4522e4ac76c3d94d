import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as WebStorageSessionStore from "../../src/browser/WebStorageSessionStore.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { numbered, numberIn } from "../support/increment.js"
import { newId, Place, sessionStoreContract } from "../support/sessionStoreContract.js"
import { fakeLocks, fakeStorage } from "../support/webPlatform.js"

sessionStoreContract(
  "WebStorageSessionStore",
  Layer.sync(Place, () => {
    const storage = fakeStorage()
    const locks = fakeLocks()
    return { connect: Effect.sync(() => WebStorageSessionStore.backing(storage, locks)) }
  })
)

describe("WebStorageSessionStore", () => {
  it.live("removes its own expired entries, and no other items of the page", () =>
    Effect.gen(function*() {
      const storage = fakeStorage()
      storage.setItem("theirs", "1|kept")
      const locks = fakeLocks()
      const first = yield* SessionStore.make(WebStorageSessionStore.backing(storage, locks))
      yield* first.set(newId(), yield* numbered(1, -2 * 3_600_000))
      const id = newId()
      const second = yield* SessionStore.make(WebStorageSessionStore.backing(storage, locks))
      yield* second.set(id, yield* numbered(2))
      assert.strictEqual(storage.length, 2)
      assert.strictEqual(storage.getItem("theirs"), "1|kept")
      assert.strictEqual(numberIn(yield* second.get(id)), 2)
    }))

  it.live("fails with StoreUnavailable when the page's storage is full", () =>
    Effect.gen(function*() {
      const full = (): never => {
        throw new DOMException("canary", "QuotaExceededError")
      }
      const storage = { ...fakeStorage(), setItem: full }
      const store = yield* SessionStore.make(WebStorageSessionStore.backing(storage, fakeLocks()))
      const error = yield* Effect.flip(Effect.flatMap(numbered(1), (entry) => store.set(newId(), entry)))
      assert.strictEqual(error.reason, "StoreUnavailable")
      assert.include(error.message, "QuotaExceededError")
      assert.notInclude(error.message, "canary")
    }))

  it.effect("fails with a ConfigurationError outside of a page", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(WebStorageSessionStore.layerLocalStorage()))
      assert.strictEqual(error.reason, "Missing")
    }).pipe(Effect.scoped))
})
