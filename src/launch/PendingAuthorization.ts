/**
 * What a client keeps from an authorization request until its callback arrives: who was asked, and the secrets the answer is checked against.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Single use. Encoded it holds `state` and the PKCE verifier in clear: keep it where the person's browser cannot read or change it, as
 * `Sessions` does, never in the `state` parameter itself.
 *
 * @since 0.1.0
 * @category models
 */
export class PendingAuthorization extends Schema.Class<PendingAuthorization>("effect-safire/PendingAuthorization")({
  version: Schema.Literal(1),
  /** The name of the server it was started with. */
  server: Schema.String,
  state: Schema.Redacted(Schema.String),
  verifier: Schema.Redacted(Schema.String),
  /** What the id_token must repeat; there where `openid` was asked for. */
  nonce: Schema.optional(Schema.Redacted(Schema.String)),
  /** `max_age` in seconds, where it was sent: the id_token must show that the person logged in since. */
  maxAge: Schema.optional(Schema.Number),
  redirectUri: Schema.String,
  /** The scopes that were asked for. */
  scopes: Schema.Array(Schema.String),
  /** The issuer the callback must name if it names one (RFC 9207), where the server says who it is. */
  issuer: Schema.optional(Schema.String),
  /** Whether the server promised to name itself in the callback. */
  issuerPromised: Schema.Boolean,
  createdAt: Schema.DateTimeUtc
}) {}
