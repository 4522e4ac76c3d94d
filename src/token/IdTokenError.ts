/**
 * The failure to verify an id_token, or the claims of the userinfo endpoint.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { inMemory } from "../base/SchemaFields.js"
import { TokenSet } from "./TokenSet.js"

/**
 * Why an id_token is refused, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "Malformed",
  "AlgorithmNotAllowed",
  "KeyNotFound",
  "KeyAmbiguous",
  "KeysUnavailable",
  "SignatureInvalid",
  "IssuerMismatch",
  "AudienceMismatch",
  "AuthorizedPartyMismatch",
  "SubjectInvalid",
  "Expired",
  "NotYetValid",
  "IssuedInFuture",
  "ClaimMissing",
  "ClaimMalformed",
  "NonceMissing",
  "NonceMismatch",
  "AuthenticationTooOld",
  "SubjectChanged",
  "SubjectMismatch",
  "NoIdentity"
)

/**
 * Why an id_token is refused.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const ADVICE: Record<Reason, string> = {
  Malformed: "report it to the server's operator",
  AlgorithmNotAllowed:
    "only signatures with a public key count, and idToken.algorithms says which; the server's operator can change how it signs",
  KeyNotFound: "another party signed it, or the server does not publish its new key yet",
  KeyAmbiguous: "the server must give each key a kid of its own, and name it in what it signs",
  KeysUnavailable: "without the keys no login can be verified; start again when the server publishes them",
  SignatureInvalid: "it was not signed by the server, or was changed on its way",
  IssuerMismatch: "issuers are compared to the letter; idToken.issuer says which one is expected if metadata does not",
  AudienceMismatch: "it was issued to another app; idToken.trustedAudiences names audiences that may stand beside",
  AuthorizedPartyMismatch: "it was issued to another app",
  SubjectInvalid: "report it to the server's operator",
  Expired: "compare the clocks of server and client; idToken.clockSkew says how far they may differ",
  NotYetValid: "compare the clocks of server and client; idToken.clockSkew says how far they may differ",
  IssuedInFuture: "compare the clocks of server and client; idToken.clockSkew says how far they may differ",
  ClaimMissing: "OpenID Connect requires it; report it to the server's operator",
  ClaimMalformed: "report it to the server's operator",
  NonceMissing: "the configuration says that a nonce is required; not all SMART servers send one",
  NonceMismatch: "it belongs to another login; start again",
  AuthenticationTooOld: "the person must log in anew",
  SubjectChanged: "the session now belongs to another person: end it, and revoke the tokens in `tokens`",
  SubjectMismatch: "it is about another person and is not used; report it to the server's operator",
  NoIdentity: "ask for the scopes openid and fhirUser"
}

/**
 * Holds no claim and no part of the token.
 *
 * @since 0.1.0
 * @category errors
 */
export class IdTokenError extends Schema.TaggedError<IdTokenError>("effect-safire/IdTokenError")("IdTokenError", {
  reason: Reason,
  /** The name of the server. */
  server: Schema.String,
  /** What was seen, in a few words that repeat nothing of the token. */
  detail: Schema.String,
  /** The member concerned. */
  claim: Schema.optional(Schema.String),
  /**
   * The tokens that came with the id_token, at a login or (`SubjectChanged`) at a refresh. Nothing else
   * holds these tokens: revoke them. Not part of the encoded error.
   */
  tokens: inMemory(Schema.RedactedFromSelf(Schema.typeSchema(TokenSet)))
}) {
  override get message(): string {
    const what = this.reason === "NoIdentity"
      ? `The person who logged in at ${this.server} is not known`
      : `The ${this.reason === "SubjectMismatch" ? "userinfo" : "id_token"} of ${this.server} was refused`
    return `${what} (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return false
  }
}
