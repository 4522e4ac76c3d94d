/**
 * SHA-256 (FIPS 180-4). Node's own function is used where it exists, also in Deno and Bun: WebCrypto computes each
 * digest in another thread, which takes ten times as long for a short text.
 */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"

interface Hash {
  readonly update: (text: string) => Hash
  readonly digest: (encoding: "base64url") => string
}

/** The part of Node's global `process` that is used. Without an import, bundlers for browsers do not see it. */
interface Process {
  readonly getBuiltinModule?: (name: "node:crypto") => { readonly createHash: (name: "sha256") => Hash } | undefined
}

/**
 * The digest of a text in UTF-8 as unpadded base64url: 43 characters.
 *
 * @internal
 */
export const base64Url = (text: string): Effect.Effect<string> =>
  Effect.suspend(() => {
    const { process } = globalThis as { readonly process?: Process }
    const node = process?.getBuiltinModule?.("node:crypto")
    if (node !== undefined) return Effect.succeed(node.createHash("sha256").update(text).digest("base64url"))
    return Effect.map(
      // WebCrypto's digest of a byte array cannot fail: a rejection would be a defect of the platform.
      Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
      (digest) => Encoding.encodeBase64Url(new Uint8Array(digest))
    )
  })
