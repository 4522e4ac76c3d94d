/**
 * Whether a request may be made, and whether with the token: to the FHIR base, to the token's own locations, to what the server declares beside it, and
 * to origins that were allowed by name (SMART App Launch 2.2, requirements 97, 98, 267 and 268).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { safeText } from "../../http/Redaction.js"
import type * as SmartClient from "../../smart/SmartClient.js"
import type { TokenSet } from "../../token/TokenSet.js"
import type { FhirError, Fields } from "../FhirError.js"
import * as FhirLink from "./fhirLink.js"
import type { Request } from "./fhirRequest.js"

const PROBLEMS: Record<FhirLink.Foreign["problem"], string> = {
  NotAUrl: "it is not a URL",
  HasCredentials: "it has credentials in it",
  Insecure: "it is not https",
  ForeignOrigin: "another origin",
  OutsideBasePath: "outside of the FHIR base",
  AmbiguousPath: "dots hide in its path"
}

/** The option that admits a link, where one does. The server chose the origin: one of any length is not shown twice. */
const remedyOf = (origin: string, problem: FhirLink.Foreign["problem"]): string => {
  if (origin.length > 100) return ""
  switch (problem) {
    case "OutsideBasePath":
      return `; if all of that origin belongs to this server, allow it with foreignOrigins: { "${origin}": "token" }`
    case "ForeignOrigin":
      return `; to follow it, allow foreignOrigins: { "${origin}": "anonymous" }, or "token" where the origin belongs to this server`
    default:
      return ""
  }
}

const locationsOf = (tokens: TokenSet): ReadonlyArray<string> =>
  (tokens.context.authorizationDetails ?? []).flatMap(({ locations }) => locations)

const declaredBy = (smart: SmartClient.Service): Effect.Effect<ReadonlyArray<string>> =>
  smart.configuration.pipe(
    Effect.map((found) => [
      ...(found.associatedEndpoints ?? []).map(({ url }) => url),
      ...(found.smartAppStateEndpoint === undefined ? [] : [found.smartAppStateEndpoint])
    ]),
    Effect.orElseSucceed(() => [])
  )

/** @internal */
export type LinkPolicy = (
  smart: SmartClient.Service,
  tokens: TokenSet,
  request: Request,
  locate: (rules: FhirLink.LinkRules) => URL | undefined,
  fail: (fields: Fields) => FhirError
) => Effect.Effect<FhirLink.Destination, FhirError>

/** Metadata is asked for only where the base and the token's own locations do not settle it. */
export const make = (options: FhirLink.LinkOptions): LinkPolicy => {
  /** The same for every request with the same tokens. */
  let latest: undefined | {
    readonly smart: SmartClient.Service
    readonly tokens: TokenSet
    readonly rules: FhirLink.LinkRules
  }

  const rulesOf = (
    smart: SmartClient.Service,
    tokens: TokenSet,
    declared: ReadonlyArray<string>
  ): FhirLink.LinkRules => {
    const { allowInsecureLocalhost, fhirBaseUrl } = smart.config
    const issuedFor = tokens.fhirBaseUrl ?? fhirBaseUrl
    return FhirLink.rules(
      { fhirBaseUrl, allowInsecureLocalhost, issuedFor },
      [...locationsOf(tokens), ...declared],
      options
    )
  }

  const undeclared = (smart: SmartClient.Service, tokens: TokenSet): FhirLink.LinkRules => {
    if (latest?.smart !== smart || latest.tokens !== tokens) {
      latest = { smart, tokens, rules: rulesOf(smart, tokens, []) }
    }
    return latest.rules
  }

  return (smart, tokens, request, locate, fail) => {
    const judged = (rules: FhirLink.LinkRules) => FhirLink.judge(rules, locate(rules), request)
    const refuse = ({ origin, problem }: FhirLink.Foreign) => {
      // A server may write a host that repeats the token.
      const shown = safeText(origin, [Redacted.value(tokens.accessToken)], 200)
      return fail({
        reason: request.file === undefined ? "ForeignLink" : "ForeignFile",
        detail: `the token may not go to ${shown} (${PROBLEMS[problem]})${
          shown === origin ? remedyOf(origin, problem) : ""
        }`,
        processed: "no"
      })
    }
    const first = judged(undeclared(smart, tokens))
    if (Either.isRight(first)) return Effect.succeed(first.right)
    const { problem } = first.left
    return problem === "NotAUrl" || problem === "HasCredentials" ||
        !FhirBaseUrl.areSame(tokens.fhirBaseUrl ?? smart.config.fhirBaseUrl, smart.config.fhirBaseUrl)
      ? refuse(first.left)
      : Effect.flatMap(
        declaredBy(smart),
        (declared) => Either.mapLeft(judged(rulesOf(smart, tokens, declared)), refuse)
      )
  }
}
