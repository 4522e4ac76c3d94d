/**
 * The failure to verify an id_token, or the claims of the userinfo endpoint.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OnDemand from "../base/OnDemand.js"
import { inMemory, reasonsOf } from "../base/SchemaFields.js"
import { TokenSet } from "./TokenSet.js"

const CLOCKS = "compare the clocks of server and client; idToken.clockSkew is the accepted difference"
const OTHER_APP = "it was issued to another app"
const REPORT = "report it to the server's operator"

const ADVICE = {
  Malformed: REPORT,
  AlgorithmNotAllowed:
    "only algorithms with a public key are accepted, and of these the ones in idToken.algorithms; ask the server's operator for another algorithm",
  KeyNotFound: "another party signed it, or the server does not publish its new key yet",
  KeyAmbiguous: "the server must give each key its own kid and name it in the header of what it signs",
  KeysUnavailable: "without the keys no login can be verified; start again when the server publishes them",
  SignatureInvalid: "the server did not sign it, or it was changed after that",
  IssuerMismatch: "issuers must be equal; configure idToken.issuer if the metadata does not have the right one",
  AudienceMismatch:
    `${OTHER_APP}; idToken.trustedAudiences lists audiences that are accepted in addition to this client`,
  AuthorizedPartyMismatch: OTHER_APP,
  SubjectInvalid: REPORT,
  Expired: CLOCKS,
  NotYetValid: CLOCKS,
  IssuedInFuture: CLOCKS,
  ClaimMissing: `OpenID Connect requires it; ${REPORT}`,
  ClaimMalformed: REPORT,
  NonceMissing: "the configuration requires a nonce; some SMART servers send none",
  NonceMismatch: "it belongs to another login; start again",
  AuthenticationTooOld: "the person must log in again",
  SubjectChanged: "the session now belongs to another person: end it, and revoke the tokens in `tokens`",
  SubjectMismatch: `it describes another person and is not used; ${REPORT}`,
  NoIdentity: "request the scopes openid and fhirUser",
  ModuleUnavailable: OnDemand.ADVICE
}

/**
 * The reasons of an `IdTokenError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of an `IdTokenError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * It has no claim and no part of the token in it.
 *
 * @since 0.1.0
 * @category errors
 */
export class IdTokenError extends Schema.TaggedError<IdTokenError>("effect-safire/IdTokenError")("IdTokenError", {
  reason: Reason,
  /** The name of the server. */
  server: Schema.String,
  /** The cause in a few words, without any part of the token. */
  detail: Schema.String,
  /** The invalid claim. */
  claim: Schema.optional(Schema.String),
  /**
   * The tokens of the same response, at a login or (`SubjectChanged`) at a refresh. They are nowhere else: revoke
   * them. Not part of the encoded error.
   */
  tokens: inMemory(Schema.RedactedFromSelf(Schema.typeSchema(TokenSet)))
}) {
  override get message(): string {
    const what = this.reason === "NoIdentity"
      ? `The person who logged in at ${this.server} is not known`
      : this.reason === "ModuleUnavailable"
      ? `The id_token of ${this.server} cannot be verified`
      : `The ${this.reason === "SubjectMismatch" ? "userinfo" : "id_token"} of ${this.server} was refused`
    return `${what} (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  /** Only `ModuleUnavailable` without `tokens`: the code of the login is unused. */
  get isRetryable(): boolean {
    return this.reason === "ModuleUnavailable" && this.tokens === undefined
  }
}
