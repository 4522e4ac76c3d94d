/**
 * The state of a token at its server (RFC 7662; SMART App Launch 2.2, "Token introspection"; requirements 270 to 283).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { JsonMembers } from "../base/SchemaFields.js"
import { LaunchContext } from "./LaunchContext.js"

/**
 * The introspection of a token. Of an inactive token, only `active` is known. The launch context is that of the token
 * response (requirement 277).
 *
 * @since 0.1.0
 * @category models
 */
export class Introspection extends Schema.Class<Introspection>("effect-safire/Introspection")({
  active: Schema.Boolean,
  scopes: Schema.Array(Schema.String),
  clientId: Schema.optional(Schema.String),
  expiresAt: Schema.optional(Schema.DateTimeUtc),
  sub: Schema.optional(Schema.String),
  iss: Schema.optional(Schema.String),
  fhirUser: Schema.optional(Schema.String),
  context: LaunchContext,
  /** Members that neither RFC 7662 nor SMART defines. Redacted, because servers may repeat the token in them. */
  extensions: Schema.Redacted(JsonMembers)
}) {}
