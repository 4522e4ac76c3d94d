/**
 * The parameters of an EHR launch (SMART App Launch 2.2, "Launch App: EHR Launch"; requirements 35, 41 and 161). Parsed
 * strictly, and followed only if the server is trusted.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import * as Url from "../base/Url.js"
import * as AuthorizationCallback from "./AuthorizationCallback.js"
import { LaunchError } from "./LaunchError.js"
import { TrustedIssuers } from "./TrustedIssuers.js"

/**
 * A launch from a trusted server. Pass it to `authorize` of the client `server`, or to `Sessions.startLaunch`.
 *
 * @since 0.1.0
 * @category models
 */
export class LaunchRequest extends Schema.Class<LaunchRequest>("effect-safire/LaunchRequest")({
  /** The key of the server in the configuration. */
  server: Schema.String,
  /** The FHIR base URL, exactly as received: it goes out as `aud`. */
  iss: FhirBaseUrl.FhirBaseUrl,
  /** The opaque `launch` value, exactly as received. */
  launch: Schema.String
}) {}

/**
 * The launch URL, its query, or its parameters. Prefer the URL: some routers remove a slash of an unencoded `iss`.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = AuthorizationCallback.Callback

/**
 * The parameters of a launch URL, not yet trusted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claimed {
  readonly iss: FhirBaseUrl.FhirBaseUrl
  readonly launch: string
}

const PROBLEMS: Record<FhirBaseUrl.Problem, string> = {
  NotAbsolute: "its iss is not an absolute URL",
  NotHttp: "its iss is not an https URL",
  HasCredentials: "its iss has credentials",
  HasQuery: "its iss has a query",
  HasFragment: "its iss has a fragment"
}

/**
 * Parses a launch URL. `decode` also checks that the server is trusted.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: Input): Either.Either<Claimed, LaunchError> => {
  const pairs = AuthorizationCallback.parametersOf(input)
  if (pairs === undefined) {
    return Either.left(new LaunchError({ reason: "NotALaunch", detail: "it has no parameters" }))
  }
  const received = [...pairs]
  const valuesOf = (name: string) => received.flatMap(([one, value]) => one === name ? [value] : [])
  const [iss, ...otherIss] = valuesOf("iss")
  const [launch, ...otherLaunches] = valuesOf("launch")
  const fail = (reason: LaunchError["reason"], detail: string) =>
    Either.left(
      new LaunchError({ reason, detail, iss: iss === undefined || iss === "" ? undefined : Url.forDisplay(iss) })
    )
  if (otherIss.length > 0 || otherLaunches.length > 0) {
    return fail("DuplicateParameter", `${otherIss.length > 0 ? "iss" : "launch"} occurs more than once`)
  }
  if (iss === undefined || iss === "") return fail("IssMissing", "it has no iss")
  if (launch === undefined || launch === "") return fail("LaunchMissing", "it has no launch")
  // A URL parser would correct blanks, backslashes and missing slashes, but `aud` repeats the received text.
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/\\\s]/i.test(iss) || !/^[\x21-\x5b\x5d-\x7e]+$/.test(iss)) {
    return fail("IssInvalid", PROBLEMS.NotAbsolute)
  }
  return Either.match(FhirBaseUrl.parse(iss), {
    onLeft: (problem) => fail("IssInvalid", PROBLEMS[problem]),
    onRight: (base) => Either.right({ iss: base, launch })
  })
}

/**
 * Options of `decode`.
 *
 * @since 0.1.0
 * @category models
 */
export interface DecodeOptions {
  /**
   * The key of the server that must have this `iss`, for an app that is registered at one server several times. Give
   * each registration its own launch URL: otherwise its `iss` is ambiguous.
   */
  readonly server?: string | undefined
}

/**
 * The launch, if its server is trusted. Makes no request.
 *
 * @example
 * import { LaunchRequest, SmartServers } from "effect-safire"
 * import * as Effect from "effect/Effect"
 *
 * export const begin = (launchUrl: string) =>
 *   Effect.gen(function*() {
 *     const launch = yield* LaunchRequest.decode(launchUrl)
 *     const servers = yield* SmartServers.SmartServers
 *     const client = yield* servers.client(launch.server)
 *     return yield* client.authorize(launch)
 *   })
 *
 * @since 0.1.0
 * @category constructors
 */
export const decode: (
  input: Input,
  options?: DecodeOptions
) => Effect.Effect<LaunchRequest, LaunchError, TrustedIssuers> = Effect.fn(
  "LaunchRequest.decode"
)(function*(input: Input, options: DecodeOptions = {}) {
  const { iss, launch } = yield* parse(input)
  const issuers = yield* TrustedIssuers
  const url = new URL(iss)
  const refuse = (detail: string) => new LaunchError({ reason: "IssInsecure", detail, iss: Url.forDisplay(iss) })
  if (!Url.isSecure(url, true)) return yield* refuse("its iss is not https")
  const { allowInsecureLocalhost, server } = yield* issuers.find(iss, options)
  if (!Url.isSecure(url, allowInsecureLocalhost)) return yield* refuse("its iss is not https")
  yield* Effect.annotateCurrentSpan("smart.server", server)
  return new LaunchRequest({ server, iss, launch })
})
