import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { backingKeyValue } from "../../src/session/BackingSessionStore.js"
// The codec of `layerEncrypted`, for each backing store.
import * as Encryption from "../../src/session/internal/encryption.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import { Place, sessionStoreContract } from "../support/sessionStoreContract.js"

const memory = Layer.effect(
  Place,
  Effect.map(SessionStore.backingMemory, (backing) => ({ connect: Effect.succeed(backing) }))
)

sessionStoreContract("SessionStore.layerMemory", memory)

sessionStoreContract(
  "SessionStore.layerKeyValueStore",
  Layer.effect(
    Place,
    Effect.map(KeyValueStore.KeyValueStore, (values) => ({
      connect: Effect.provideService(backingKeyValue("test/"), KeyValueStore.KeyValueStore, values)
    }))
  ).pipe(Layer.provide(KeyValueStore.layerMemory))
)

const key = (id: string, byte: number): Encryption.EncryptionKey => ({
  id,
  secret: Redacted.make(Buffer.alloc(32, byte).toString("base64url"))
})

sessionStoreContract("SessionStore.layerEncrypted", memory, Encryption.make([key("new", 1), key("old", 2)], false))
