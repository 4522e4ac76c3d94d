/**
 * Certificates and CRLs as people have them: PEM (RFC 7468), also several in one text, or DER.
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g

/**
 * The DER of all blocks with a label; `undefined` without such a block, or if one of them is not base64.
 *
 * @internal
 */
export const toDer = (input: string | Uint8Array, label: string): ReadonlyArray<Uint8Array> | undefined => {
  if (typeof input !== "string") return [input]
  const blocks = [...input.matchAll(BLOCK)].filter(([, found]) => found === label)
  const decoded = blocks.map(([, , body = ""]) => Encoding.decodeBase64(body.replace(/\s/g, "")))
  return blocks.length > 0 && decoded.every(Either.isRight) ? decoded.map(({ right }) => right) : undefined
}
