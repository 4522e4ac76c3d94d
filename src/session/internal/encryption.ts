import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { CryptoKey } from "jose"
import { SessionError } from "../SessionError.js"
import type { Codec } from "./entryCodec.js"
import { Entry, Sealed } from "./sessionEntry.js"

/**
 * A key that encrypts entries of a store.
 *
 * @since 0.1.0
 * @category models
 */
export interface EncryptionKey {
  /** Stored with each entry, to find its key again: a date, a counter, or a name in your key store. */
  readonly id: string
  /** 32 random bytes in base64url. */
  readonly secret: Redacted.Redacted
}

const STORE = "encryption"

const fail = (reason: "Undecodable" | "KeyUnknown" | "KeyUnusable", detail: string, keyId?: string) =>
  new SessionError({ reason, store: STORE, detail, keyId })

const importKey = ({ id, secret }: EncryptionKey): Effect.Effect<CryptoKey, SessionError> =>
  Effect.gen(function*() {
    const bytes = Either.getOrUndefined(Encoding.decodeBase64Url(Redacted.value(secret).replace(/=$/, "")))
    if (bytes?.length !== 32) {
      return yield* fail("KeyUnusable", `the secret of key ${id} is not 32 bytes in base64url`, id)
    }
    return yield* Effect.tryPromise({
      try: () =>
        globalThis.crypto.subtle.importKey("raw", new Uint8Array(bytes), "AES-GCM", false, ["encrypt", "decrypt"]),
      catch: () => fail("KeyUnusable", `this platform does not take key ${id} for AES-GCM`, id)
    })
  })

/** With the key of the entry: a writer of the database cannot move one user's session to another id. */
const Plain = Schema.parseJson(Schema.Struct({ key: Schema.String, entry: Entry }))
const encodePlain = Schema.encode(Plain)
const decodePlain = Schema.decode(Plain)

/**
 * Seals entries as JWE (RFC 7516) in compact form, `dir` with `A256GCM` (RFC 7518). The first key seals, all keys open.
 *
 * @internal
 */
export const make = (
  keys: readonly [EncryptionKey, ...ReadonlyArray<EncryptionKey>],
  acceptUnsealed: boolean
): Effect.Effect<Codec, SessionError> =>
  Effect.gen(function*() {
    const jose = yield* Effect.tryPromise({
      try: () => import("./jose.js"),
      catch: () => fail("KeyUnusable", "the part of this program that encrypts could not be loaded")
    })
    const byId = new Map<string, CryptoKey>()
    for (const key of keys) {
      if (byId.has(key.id)) return yield* fail("KeyUnusable", `two keys have the id ${key.id}`, key.id)
      byId.set(key.id, yield* importKey(key))
    }
    const keyId = keys[0].id
    const sealing = yield* importKey(keys[0])

    const opened = (key: string, sealed: Sealed, secret: CryptoKey) =>
      Effect.gen(function*() {
        const { plaintext, protectedHeader } = yield* Effect.tryPromise(() =>
          jose.compactDecrypt(sealed.jwe, secret, {
            keyManagementAlgorithms: ["dir"],
            contentEncryptionAlgorithms: ["A256GCM"]
          })
        )
        const plain = yield* decodePlain(new TextDecoder().decode(plaintext))
        return protectedHeader.kid === sealed.keyId && plain.key === key
          ? plain.entry
          : yield* Effect.fail("another key")
      }).pipe(
        // The cause is dropped: errors of jose and of the decoder may quote the plaintext.
        Effect.mapError(() =>
          fail(
            "Undecodable",
            `an entry sealed with key ${sealed.keyId} cannot be opened with it under this id`,
            sealed.keyId
          )
        )
      )

    return {
      seal: (key, entry) =>
        Effect.gen(function*() {
          const plain = yield* encodePlain({ key, entry })
          const jwe = yield* Effect.tryPromise(() =>
            new jose.CompactEncrypt(new TextEncoder().encode(plain))
              .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: keyId })
              .encrypt(sealing)
          )
          return new Sealed({ version: 1, expiresAt: entry.expiresAt, keyId, jwe })
        }).pipe(Effect.mapError(() => fail("KeyUnusable", `an entry could not be sealed with key ${keyId}`, keyId))),
      open: (key, entry) =>
        Effect.suspend(() => {
          if (entry._tag !== "Sealed") {
            return acceptUnsealed
              ? Effect.succeed(entry)
              : fail("Undecodable", "an entry is stored without encryption, and acceptUnsealed is false")
          }
          const secret = byId.get(entry.keyId)
          return secret === undefined
            ? fail("KeyUnknown", `an entry is sealed with key ${entry.keyId}, which is not configured`, entry.keyId)
            : opened(key, entry, secret)
        })
    }
  })
