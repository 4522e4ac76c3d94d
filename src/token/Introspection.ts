/**
 * What a server says a token is (RFC 7662; SMART App Launch 2.2, "Token introspection"; requirements 270 to 283).
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ConformanceWarning } from "../base/ConformanceWarning.js"
import { JsonMembers } from "../base/JsonMembers.js"
import { reader } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import { safeText } from "../http/Redaction.js"
import type { Judged, RequestContext } from "./internal/tokenResponse.js"
import { membersOf, receivedMembers } from "./internal/tokenResponse.js"
import { extensionsOf, fromAnswer, LaunchContext } from "./LaunchContext.js"
import { TokenError } from "./TokenError.js"

/**
 * An inactive token says nothing else. The launch context is that of the token's own answer (requirement 277).
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
  /** Members that neither RFC 7662 nor SMART defines; redacted, because servers repeat the token in them. */
  extensions: Schema.Redacted(JsonMembers)
}) {}

const DECODED = new Set(["active", "client_id", "exp", "sub", "iss", "fhirUser"])

/**
 * Without a boolean `active` an answer means nothing (requirement 272); everything else may be missing.
 *
 * @internal
 */
export const judge = (
  answer: ReceivedResponse,
  asked: RequestContext
): Either.Either<Judged<Introspection>, TokenError> =>
  Either.flatMap(membersOf(answer, asked), ({ value: members, warnings: soFar }) => {
    const warnings = [...soFar]
    const malformed = (member: string, expected: string) => {
      warnings.push(
        new ConformanceWarning({
          code: "TokenMemberMalformed",
          server: asked.server,
          detail: `${member} of an introspection is not ${expected}; it counts as absent`
        })
      )
    }
    const active = members["active"]
    if (typeof active !== "boolean") {
      return Either.left(
        new TokenError({
          reason: "Malformed",
          operation: asked.operation,
          server: asked.server,
          url: safeText(Url.forDisplay(answer.url), asked.secrets()),
          detail: "there is no boolean active in the answer",
          processed: "unknown",
          status: answer.status,
          received: receivedMembers(members, asked.secrets())
        })
      )
    }
    if (!active) {
      return Either.right({
        value: new Introspection({ active, scopes: [], context: new LaunchContext({}), extensions: Redacted.make({}) }),
        warnings
      })
    }
    const read = reader(members, malformed)
    const exp = members["exp"]
    const expiresAt = typeof exp === "number" ? DateTime.make(exp * 1000) : undefined
    return Either.right({
      value: new Introspection({
        active,
        scopes: (read.string("scope") ?? "").split(/\s+/).filter((scope) => scope !== ""),
        clientId: read.string("client_id"),
        expiresAt: expiresAt?._tag === "Some" ? DateTime.toUtc(expiresAt.value) : undefined,
        sub: read.string("sub"),
        iss: read.string("iss"),
        fhirUser: read.string("fhirUser"),
        context: fromAnswer(members, read, () => undefined, malformed),
        extensions: Redacted.make(
          Object.fromEntries(Object.entries(extensionsOf(members)).filter(([name]) => !DECODED.has(name)))
        )
      }),
      warnings
    })
  })
