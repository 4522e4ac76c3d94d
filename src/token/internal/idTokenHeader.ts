/**
 * The header of an id_token (RFC 7515, section 4): which algorithms are accepted, and which key is tried. Pure.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type * as Jose from "../../base/Jose.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { safeText } from "../../http/Redaction.js"

/**
 * The accepted algorithms: those with a public key.
 *
 * @since 0.1.0
 * @category models
 */
export type Algorithm = (typeof ALGORITHMS)[number]

export const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519"
] as const

/** The header of a compact JWS. It is not verified, and only selects the key to try. */
export const parseHeader = (
  jose: Jose.Jose,
  token: string
): Either.Either<{ readonly alg: string; readonly kid: string | undefined }, string> => {
  const parts = token.split(".").length
  if (parts === 5) return Either.left("it is encrypted, which this client does not request")
  const header = Either.getOrUndefined(Either.try((): JsonObject => ({ ...jose.decodeProtectedHeader(token) })))
  if (header === undefined) return Either.left("it is not a signed JWT")
  const { alg, crit, kid, typ } = header
  if (typeof alg !== "string") return Either.left("its header has no alg")
  if (crit !== undefined) {
    return Either.left("its header requires extensions (crit), which this client does not support")
  }
  // Tokens of other kinds from the same issuer, with the same keys.
  return typeof typ === "string" && /^(application\/)?(at|logout)\+jwt$/i.test(typ)
    ? Either.left("it is a token of another kind")
    : Either.right({ alg, kid: typeof kid === "string" ? kid : undefined })
}

export const listOf = (algorithms: ReadonlyArray<string>): string =>
  safeText(algorithms.join(", "), [], 100) || "nothing"

export const notAllowed = (
  alg: string,
  accepted: ReadonlyArray<Algorithm> | undefined,
  listed: ReadonlyArray<string> | undefined
): string => {
  // A header may contain any text.
  const shown = /^[A-Za-z][A-Za-z0-9]{1,15}$/.test(alg) ? alg : "another algorithm"
  const source = accepted === undefined ? "this client" : "idToken.algorithms"
  const server = listed === undefined ? "" : `; the server lists ${listOf(listed)}`
  return `it is signed with ${shown}, and ${source} accepts ${listOf(accepted ?? ALGORITHMS)}${server}`
}
