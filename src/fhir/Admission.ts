/**
 * Whether a request may be made, and whether with the token: to the FHIR base, to the token's own locations, to what the server declares beside it, and
 * to origins that were allowed by name (SMART App Launch 2.2, requirements 97, 98, 267 and 268).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import type * as SmartClient from "../SmartClient.js"
import type { TokenSet } from "../token/TokenSet.js"
import type { FhirError, Fields } from "./FhirError.js"
import * as FhirLink from "./FhirLink.js"
import type { Request } from "./FhirRequest.js"

const PROBLEMS: Record<FhirLink.Foreign["problem"], string> = {
  NotAUrl: "it is no URL",
  HasCredentials: "it has credentials in it",
  Insecure: "it is not https",
  ForeignOrigin: "another origin",
  OutsideBasePath: "outside of the FHIR base",
  AmbiguousPath: "dots hide in its path"
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

/** Metadata is asked for only where the base and the token's own locations do not settle it. */
export const admit = (
  smart: SmartClient.Service,
  tokens: TokenSet,
  request: Request,
  locate: (rules: FhirLink.LinkRules) => URL | undefined,
  options: FhirLink.LinkOptions,
  fail: (fields: Fields) => FhirError
): Effect.Effect<FhirLink.Destination, FhirError> => {
  const locations = locationsOf(tokens)
  const { allowInsecureLocalhost, fhirBaseUrl } = smart.config
  const issuedFor = tokens.fhirBaseUrl ?? fhirBaseUrl
  const judged = (declared: ReadonlyArray<string>) => {
    const rules = FhirLink.rules(
      { fhirBaseUrl, allowInsecureLocalhost, issuedFor },
      [...locations, ...declared],
      options
    )
    return FhirLink.judge(rules, locate(rules), request)
  }
  const first = judged([])
  return Effect.flatMap(
    Either.isRight(first) || first.left.problem === "NotAUrl" || first.left.problem === "HasCredentials" ||
      !FhirBaseUrl.areSame(issuedFor, fhirBaseUrl)
      ? Effect.succeed(first)
      : Effect.map(declaredBy(smart), judged),
    Either.match({
      onRight: (destination) => Effect.succeed(destination),
      onLeft: ({ origin, problem }) =>
        fail({
          reason: request.file === undefined ? "ForeignLink" : "ForeignFile",
          detail: `the token may not go to ${origin} (${PROBLEMS[problem]})`,
          outcome: "refused"
        })
    })
  )
}
