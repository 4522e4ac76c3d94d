/**
 * The claims of the userinfo endpoint (OpenID Connect Core, section 5.3; SMART App Launch 2.2 leaves it to servers,
 * requirement 214).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { JsonMembers } from "../base/SchemaFields.js"
import { FhirUser } from "./Identity.js"

/**
 * The person who logged in, according to the userinfo endpoint.
 *
 * @since 0.1.0
 * @category models
 */
export class UserInfo extends Schema.Class<UserInfo>("effect-safire/UserInfo")({
  sub: Schema.String,
  fhirUser: Schema.optional(FhirUser),
  /** All claims: a name or an e-mail address may be among them. */
  claims: Schema.Redacted(JsonMembers)
}) {}
