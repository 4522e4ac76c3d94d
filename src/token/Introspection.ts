/**
 * The state of a token at its server (RFC 7662; SMART App Launch 2.2, "Token introspection"; requirements 270 to 283).
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { others, reader } from "../base/JsonReader.js"
import { JsonMembers } from "../base/SchemaFields.js"
import { type Parse, parseMembers, unusable } from "./internal/tokenResponse.js"
import { extensionsOf, fromMembers, LaunchContext } from "./LaunchContext.js"
import { scopesIn } from "./TokenSet.js"

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

const DECODED = new Set(["active", "client_id", "exp", "sub", "iss", "fhirUser"])

/**
 * The introspection in a response (RFC 7662, section 2.2). A response without a boolean `active` is unusable
 * (requirement 272); other members may be absent.
 *
 * @internal
 */
export const fromResponse: Parse<Introspection> = (response, context) =>
  Either.flatMap(parseMembers(response, context), (members) => {
    const { active, exp } = members
    if (typeof active !== "boolean") {
      return Either.left(unusable(response, context, "the response has no boolean active", members))
    }
    if (!active) {
      const none = { context: new LaunchContext({}), extensions: Redacted.make({}) }
      return Either.right(new Introspection({ active, scopes: [], ...none }))
    }
    const { string } = reader(
      members,
      (member, expected) =>
        context.warn("TokenMemberMalformed", `${member} of an introspection is not ${expected}; it counts as absent`)
    )
    const expiresAt = typeof exp === "number" ? Option.map(DateTime.make(exp * 1000), DateTime.toUtc) : Option.none()
    return Either.right(
      new Introspection({
        active,
        scopes: scopesIn(string("scope") ?? ""),
        clientId: string("client_id"),
        expiresAt: Option.getOrUndefined(expiresAt),
        sub: string("sub"),
        iss: string("iss"),
        fhirUser: string("fhirUser"),
        // The token response has already caused the warnings about deviations from SMART.
        context: fromMembers(members, (code, detail) => {
          if (code === "TokenMemberMalformed") context.warn(code, `introspection: ${detail}`)
        }),
        extensions: Redacted.make(others(extensionsOf(members), DECODED))
      })
    )
  })
