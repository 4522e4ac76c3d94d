/** The claims in a response of the userinfo endpoint (OpenID Connect Core, section 5.3.2). Pure. */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { reader } from "../../base/JsonReader.js"
import type { ReceivedResponse } from "../../http/ReceivedResponse.js"
import { parseFhirUser } from "../Identity.js"
import type { TokenError } from "../TokenError.js"
import { UserInfo } from "../UserInfo.js"
import type { RequestContext, Validated } from "./oauthResponse.js"
import { collectWarnings, parseMembers, unusable } from "./oauthResponse.js"

/** A response without `sub` is unusable. */
export const parseUserInfo =
  (fhirBaseUrl: string | undefined) =>
  (response: ReceivedResponse, context: RequestContext): Either.Either<Validated<UserInfo>, TokenError> =>
    Either.flatMap(parseMembers(response, context), ({ value: members, warnings: earlier }) => {
      const { warn, warnings } = collectWarnings(context.server, earlier)
      const { string } = reader(members, () => undefined)
      const sub = string("sub")
      if (sub === undefined) return Either.left(unusable(response, context, "the response has no sub", members))
      const claim = fhirBaseUrl === undefined ? undefined : string("fhirUser")
      const fhirUser = claim === undefined ? undefined : parseFhirUser(claim, fhirBaseUrl ?? "")
      if (claim !== undefined && fhirUser === undefined) {
        warn("FhirUserMalformed", "fhirUser is not a reference to a person's resource; it counts as absent", "199")
      }
      return Either.right({ value: new UserInfo({ sub, fhirUser, claims: Redacted.make(members) }), warnings })
    })
