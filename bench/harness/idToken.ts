/**
 * The id_token that is verified, and the keys that the server publishes.
 */
import * as Jose from "jose"
import type { Setting } from "./Setting.js"

export const NONCE = "nonce-0123456789abcdef"

const PRIVATE = new Set(["d", "p", "q", "dp", "dq", "qi", "key_ops"])

/** The public halves of the keys. */
export const jwks = ({ keys }: Setting): object => ({
  keys: Object.values(keys).map((key) => Object.fromEntries(Object.entries(key).filter(([name]) => !PRIVATE.has(name))))
})

export const signedIdToken = async (setting: Setting): Promise<string> => {
  const jwk = setting.keys.RS384
  return new Jose.SignJWT({ nonce: NONCE, fhirUser: `${setting.fhirBaseUrl}/Practitioner/p-1` })
    .setProtectedHeader({ alg: "RS384", kid: jwk.kid, typ: "JWT" })
    .setIssuer(setting.origin)
    .setSubject("user-1")
    .setAudience(setting.clientId)
    .setIssuedAt()
    .setExpirationTime("8h")
    .sign(await Jose.importJWK(jwk, "RS384"))
}
