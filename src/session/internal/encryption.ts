import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as jose from "jose"
import { SessionError } from "../SessionError.js"
import { Entry, Sealed } from "./sessionEntry.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface EncryptionKey {
  /** Stored beside what is sealed, so that years later it is known which key opens it: a date, a counter, a key store's name. */
  readonly id: string
  /** 32 random bytes in base64url. */
  readonly secret: Redacted.Redacted
}

/**
 * What happens to entries on their way in and out of a store. `key` is the hash they are stored under.
 *
 * @since 0.1.0
 * @category models
 */
export interface Codec {
  readonly seal: (key: string, entry: Entry) => Effect.Effect<Entry, SessionError>
  readonly open: (key: string, entry: Entry) => Effect.Effect<Entry, SessionError>
}

const STORE = "encryption"

const fail = (reason: "Undecodable" | "KeyUnknown" | "KeyUnusable", detail: string, keyId?: string) =>
  new SessionError({ reason, store: STORE, detail, ...(keyId === undefined ? {} : { keyId }) })

const imported = ({ id, secret }: EncryptionKey): Effect.Effect<jose.CryptoKey, SessionError> =>
  Effect.gen(function*() {
    const bytes = Either.getOrUndefined(Encoding.decodeBase64Url(Redacted.value(secret).replace(/=+$/, "")))
    if (bytes?.length !== 32) {
      return yield* fail("KeyUnusable", `the secret of key ${id} is not 32 bytes in base64url`, id)
    }
    return yield* Effect.tryPromise({
      try: () =>
        globalThis.crypto.subtle.importKey("raw", new Uint8Array(bytes), "AES-GCM", false, ["encrypt", "decrypt"]),
      catch: () => fail("KeyUnusable", `this platform does not take key ${id} for AES-GCM`, id)
    })
  })

/** What is sealed names the place it belongs to, so that one who can write to the store cannot put one person's session in another's place. */
const Plain = Schema.parseJson(Schema.Struct({ key: Schema.String, entry: Entry }))
const encodePlain = Schema.encode(Plain)
const decodePlain = Schema.decode(Plain)

/**
 * JWE (RFC 7516) in compact form, `dir` with `A256GCM` (RFC 7518). The first key seals, all of them open.
 *
 * @internal
 */
export const make = (
  keys: readonly [EncryptionKey, ...ReadonlyArray<EncryptionKey>],
  acceptUnsealed: boolean
): Effect.Effect<Codec, SessionError> =>
  Effect.gen(function*() {
    const byId = new Map<string, jose.CryptoKey>()
    for (const key of keys) {
      if (byId.has(key.id)) return yield* fail("KeyUnusable", `two keys have the id ${key.id}`, key.id)
      byId.set(key.id, yield* imported(key))
    }
    const keyId = keys[0].id
    const sealing = yield* imported(keys[0])

    const opened = (key: string, sealed: Sealed, secret: jose.CryptoKey) =>
      Effect.gen(function*() {
        const { plaintext, protectedHeader } = yield* Effect.tryPromise(() =>
          jose.compactDecrypt(sealed.jwe, secret, {
            keyManagementAlgorithms: ["dir"],
            contentEncryptionAlgorithms: ["A256GCM"]
          })
        )
        const plain = yield* decodePlain(new TextDecoder().decode(plaintext))
        return protectedHeader.kid === sealed.keyId && plain.key === key ? plain.entry : yield* Effect.fail("misplaced")
      }).pipe(
        // Neither a decoding error nor one of jose is kept: both may quote the plaintext.
        Effect.mapError(() =>
          fail(
            "Undecodable",
            `what was sealed with key ${sealed.keyId} does not open with it, or not here`,
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
              : fail("Undecodable", "an entry is stored in clear where only sealed ones are accepted")
          }
          const secret = byId.get(entry.keyId)
          return secret === undefined
            ? fail("KeyUnknown", `an entry is sealed with key ${entry.keyId}, which was not given`, entry.keyId)
            : opened(key, entry, secret)
        })
    }
  })
