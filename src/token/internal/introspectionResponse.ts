/** The introspection in a response (RFC 7662, section 2.2). Pure. */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { others, reader } from "../../base/JsonReader.js"
import type { ReceivedResponse } from "../../http/ReceivedResponse.js"
import { Introspection } from "../Introspection.js"
import { LaunchContext } from "../LaunchContext.js"
import type { TokenError } from "../TokenError.js"
import { extensionsOf, readLaunchContext } from "./launchContext.js"
import type { RequestContext, Validated } from "./oauthResponse.js"
import { collectWarnings, parseMembers, unusable } from "./oauthResponse.js"

const DECODED = new Set(["active", "client_id", "exp", "sub", "iss", "fhirUser"])

/** A response without a boolean `active` is unusable (requirement 272); other members may be absent. */
export const parseIntrospection = (
  response: ReceivedResponse,
  context: RequestContext
): Either.Either<Validated<Introspection>, TokenError> =>
  Either.flatMap(parseMembers(response, context), ({ value: members, warnings: earlier }) => {
    const { warn, warnings } = collectWarnings(context.server, earlier)
    const { active, exp } = members
    if (typeof active !== "boolean") {
      return Either.left(unusable(response, context, "the response has no boolean active", members))
    }
    if (!active) {
      return Either.right({
        value: new Introspection({ active, scopes: [], context: new LaunchContext({}), extensions: Redacted.make({}) }),
        warnings
      })
    }
    const { string } = reader(
      members,
      (member, expected) =>
        warn("TokenMemberMalformed", `${member} of an introspection is not ${expected}; it counts as absent`)
    )
    return Either.right({
      value: new Introspection({
        active,
        scopes: (string("scope") ?? "").split(/\s+/).filter((scope) => scope !== ""),
        clientId: string("client_id"),
        expiresAt: typeof exp === "number"
          ? Option.getOrUndefined(Option.map(DateTime.make(exp * 1000), DateTime.toUtc))
          : undefined,
        sub: string("sub"),
        iss: string("iss"),
        fhirUser: string("fhirUser"),
        // The token response has already caused the warnings about deviations from SMART.
        context: readLaunchContext(members, (code, detail) => {
          if (code === "TokenMemberMalformed") warn(code, `introspection: ${detail}`)
        }),
        extensions: Redacted.make(others(extensionsOf(members), DECODED))
      }),
      warnings
    })
  })
