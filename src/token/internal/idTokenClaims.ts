/**
 * Validates the claims of an id_token with a valid signature (OpenID Connect Core, section 3.1.3.7; SMART App Launch
 * 2.2, requirements 198 to 204, 214 and 218). Pure.
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { Code } from "../../base/ConformanceWarning.js"
import { ConformanceWarning } from "../../base/ConformanceWarning.js"
import { equal } from "../../base/ConstantTime.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { skipValidation } from "../../base/SchemaFields.js"
import { safeText } from "../../http/Redaction.js"
import { Identity, parseFhirUser } from "../Identity.js"
import { IdTokenError } from "../IdTokenError.js"

/** @internal */
export interface Expected {
  readonly server: string
  readonly fhirBaseUrl: string
  readonly issuer: string
  readonly clientId: string
  readonly trustedAudiences: ReadonlyArray<string>
  /** What was sent; nothing where none was. */
  readonly nonce: Redacted.Redacted | undefined
  /** What follows if it is not repeated: an error, a warning, nothing. */
  readonly nonceMissing: "refused" | "warned" | "accepted"
  /** Seconds since the person logged in, where the request had a limit for it. */
  readonly maxAge: number | undefined
  /** Whether the scope `fhirUser` was granted. */
  readonly fhirUser: boolean
  readonly nowSeconds: number
  readonly skewSeconds: number
}

/** @internal */
export interface ValidatedClaims {
  readonly identity: Identity
  readonly warnings: ReadonlyArray<ConformanceWarning>
}

/** @internal */
export const validateClaims = (
  claims: JsonObject,
  expected: Expected
): Either.Either<ValidatedClaims, IdTokenError> => {
  const { clientId, maxAge, nonce, nowSeconds: now, server, skewSeconds: skew } = expected
  const warnings: Array<ConformanceWarning> = []
  const warn = (code: Code, detail: string, requirement?: string) => {
    warnings.push(new ConformanceWarning({ code, server, detail, requirement }))
  }
  const fail = (reason: IdTokenError["reason"], detail: string, claim?: string) =>
    Either.left(new IdTokenError({ reason, server, detail, claim }))
  const has = (claim: string): boolean =>
    Object.hasOwn(claims, claim) && claims[claim] !== undefined && claims[claim] !== null
  const missing = ["iss", "sub", "aud", "exp", "iat"].find((claim) => !has(claim))
  if (missing !== undefined) return fail("ClaimMissing", `it has no ${missing}`, missing)
  const notNumber = ["exp", "iat", "nbf", "auth_time"].find((claim) => has(claim) && !Number.isFinite(claims[claim]))
  if (notNumber !== undefined) return fail("ClaimMalformed", `its ${notNumber} is not a number`, notNumber)
  const { aud, auth_time: authTime, azp, exp, fhirUser, iat, iss, nbf, sub } = claims

  if (typeof iss !== "string" || iss !== expected.issuer) {
    const slash = typeof iss === "string" && (iss === `${expected.issuer}/` || `${iss}/` === expected.issuer)
    return fail(
      "IssuerMismatch",
      `its iss is not "${safeText(expected.issuer, [], 200)}"${slash ? "; they differ in a slash at the end" : ""}`,
      "iss"
    )
  }
  const audiences: ReadonlyArray<unknown> = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(clientId)) return fail("AudienceMismatch", "its aud is not this client", "aud")
  if (audiences.some((one) => one !== clientId && !expected.trustedAudiences.some((trusted) => trusted === one))) {
    return fail("AudienceMismatch", "its aud names others beside this client", "aud")
  }
  if (has("azp") ? azp !== clientId : audiences.length > 1) {
    return fail(
      "AuthorizedPartyMismatch",
      has("azp") ? "its azp is not this client" : "it has several aud and no azp",
      "azp"
    )
  }
  if (typeof exp !== "number" || exp <= now - skew) return fail("Expired", "its exp has passed", "exp")
  if (typeof iat !== "number" || iat > now + skew) return fail("IssuedInFuture", "its iat is in the future", "iat")
  if (typeof nbf === "number" && nbf > now + skew) return fail("NotYetValid", "its nbf is in the future", "nbf")
  // Printable ASCII, the usual meaning of "ASCII characters" in an identifier.
  if (typeof sub !== "string" || !/^[\x20-\x7e]{1,255}$/.test(sub)) {
    return fail("SubjectInvalid", "its sub is not a string of 1 to 255 ASCII characters", "sub")
  }
  if (nonce !== undefined) {
    const received = claims["nonce"]
    if (!has("nonce")) {
      if (expected.nonceMissing === "refused") return fail("NonceMissing", "it has no nonce", "nonce")
      if (expected.nonceMissing === "warned") {
        warn("IdTokenNonceMissing", "the id_token does not repeat the nonce that was sent")
      }
    } else if (typeof received !== "string" || !equal(received, Redacted.value(nonce))) {
      return fail("NonceMismatch", "its nonce is not the one that was sent", "nonce")
    }
  }
  if (maxAge !== undefined) {
    if (!has("auth_time")) return fail("ClaimMissing", "it has no auth_time, and max_age was sent", "auth_time")
    if (typeof authTime !== "number" || now - authTime > maxAge + skew) {
      return fail("AuthenticationTooOld", "the person logged in longer ago than max_age allows", "auth_time")
    }
  }

  const user = typeof fhirUser === "string" ? parseFhirUser(fhirUser, expected.fhirBaseUrl) : undefined
  if (user === undefined && has("fhirUser")) {
    warn("FhirUserMalformed", "fhirUser is not a reference to a person's resource; it counts as absent", "199")
  } else if (user === undefined && expected.fhirUser) {
    warn("FhirUserMissing", "fhirUser was granted and is not in the id_token")
  }
  return Either.right({
    identity: new Identity({ iss, sub, fhirUser: user, claims: Redacted.make(claims) }, skipValidation),
    warnings
  })
}
