/**
 * The claims of the userinfo endpoint (OpenID Connect Core, section 5.3; SMART App Launch 2.2 leaves it to servers,
 * requirement 214).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { reader } from "../base/JsonReader.js"
import { JsonMembers } from "../base/SchemaFields.js"
import { FhirUser, parseFhirUser } from "./Identity.js"
import { type Parse, parseMembers, unusable } from "./internal/tokenResponse.js"

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

/**
 * The claims in a response (OpenID Connect Core, section 5.3.2). A response without `sub` is unusable.
 *
 * @internal
 */
export const fromResponse = (fhirBaseUrl: string | undefined): Parse<UserInfo> => (response, context) =>
  Either.flatMap(parseMembers(response, context), (members) => {
    const { string } = reader(members, () => undefined)
    const sub = string("sub")
    if (sub === undefined) return Either.left(unusable(response, context, "the response has no sub", members))
    const claim = fhirBaseUrl === undefined ? undefined : string("fhirUser")
    const fhirUser = parseFhirUser(claim ?? "", fhirBaseUrl ?? "")
    if (claim !== undefined && fhirUser === undefined) {
      const detail = "fhirUser is not a reference to a person's resource; it counts as absent"
      context.warn("FhirUserMalformed", detail, "199")
    }
    return Either.right(new UserInfo({ sub, fhirUser, claims: Redacted.make(members) }))
  })
