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
  /** Its FHIR base URL: another server may have the name by the time of the callback. */
  fhirBaseUrl: Schema.String,
  /** Where the person was sent. With the token endpoint it tells servers apart that claim one issuer. */
  authorizationEndpoint: Schema.String,
  /** Where the code goes, even if the server's metadata says something else by then. */
  tokenEndpoint: Schema.String,
  state: Schema.Redacted(Schema.String),
  verifier: Schema.Redacted(Schema.String),
  /** What the id_token must repeat; there where `openid` was asked for. */
  nonce: Schema.optional(Schema.Redacted(Schema.String)),
  /** `max_age` in seconds, where it was sent: the id_token must show that the person logged in since. */
  maxAge: Schema.optional(Schema.Number),
  redirectUri: Schema.String,
  /** The scopes that were asked for. */
  scopes: Schema.Array(Schema.String),
  /** The issuer that the server's metadata named: what a callback's `iss` must be (RFC 9207), unless one is configured. */
  issuer: Schema.optional(Schema.String),
  /** Whether the server promised to name itself in the callback. */
  issuerPromised: Schema.Boolean,
  createdAt: Schema.DateTimeUtc
}) {}
