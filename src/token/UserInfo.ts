/**
 * What the userinfo endpoint says of a person (OpenID Connect Core, section 5.3; SMART App Launch 2.2 leaves it to servers, requirement 214).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ConformanceWarning } from "../base/ConformanceWarning.js"
import { JsonMembers } from "../base/JsonMembers.js"
import { reader } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import { safeText } from "../http/Redaction.js"
import { FhirUser, parseFhirUser } from "./Identity.js"
import type { Judged, RequestContext } from "./internal/tokenResponse.js"
import { membersOf, receivedMembers } from "./internal/tokenResponse.js"
import { TokenError } from "./TokenError.js"

/**
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
 * Without `sub` nobody knows whom an answer is about.
 *
 * @internal
 */
export const judge =
  (fhirBaseUrl: string | undefined) =>
  (answer: ReceivedResponse, asked: RequestContext): Either.Either<Judged<UserInfo>, TokenError> =>
    Either.flatMap(membersOf(answer, asked), ({ value: members, warnings }) => {
      const { string } = reader(members, () => undefined)
      const sub = string("sub")
      const fhirUser = string("fhirUser")
      if (sub === undefined) {
        return Either.left(
          new TokenError({
            reason: "Malformed",
            operation: asked.operation,
            server: asked.server,
            url: safeText(Url.forDisplay(answer.url), asked.secrets()),
            detail: "there is no sub in the answer",
            processed: "no",
            status: answer.status,
            received: receivedMembers(members, asked.secrets())
          })
        )
      }
      const user = fhirUser === undefined || fhirBaseUrl === undefined
        ? undefined
        : parseFhirUser(fhirUser, fhirBaseUrl)
      return Either.right({
        value: new UserInfo({ sub, fhirUser: user, claims: Redacted.make(members) }),
        warnings: fhirUser === undefined || fhirBaseUrl === undefined || user !== undefined ? warnings : [
          ...warnings,
          new ConformanceWarning({
            code: "FhirUserMalformed",
            server: asked.server,
            detail: "fhirUser is no reference to a person's resource; it counts as absent",
            requirement: "199"
          })
        ]
      })
    })
