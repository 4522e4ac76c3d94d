/**
 * An authorization request whose callback has not arrived yet: the server, and the secrets that validate the callback.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Use it once. Its encoded form contains `state` and the PKCE verifier in clear: store it where the browser cannot
 * read or change it, as `Sessions` does, and never in the `state` parameter.
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
  /** With the token endpoint it distinguishes servers that claim the same issuer. */
  authorizationEndpoint: Schema.String,
  /** The code goes there, even if the server's metadata changes before the callback. */
  tokenEndpoint: Schema.String,
  state: Schema.Redacted(Schema.String),
  verifier: Schema.Redacted(Schema.String),
  /** The id_token must repeat it; present if `openid` was requested. */
  nonce: Schema.optional(Schema.Redacted(Schema.String)),
  /** `max_age` in seconds, if sent: the id_token must have an `auth_time` that is not older. */
  maxAge: Schema.optional(Schema.Number),
  redirectUri: Schema.String,
  /** The requested scopes. */
  scopes: Schema.Array(Schema.String),
  /** The issuer in the server's metadata: a callback's `iss` must equal it (RFC 9207), unless one is configured. */
  issuer: Schema.optional(Schema.String),
  /** The metadata's `authorization_response_iss_parameter_supported`: the callback must have an `iss`. */
  issuerPromised: Schema.Boolean,
  createdAt: Schema.DateTimeUtc
}) {}
