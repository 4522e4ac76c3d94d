/**
 * Decides for each URL whether a request may go there, and whether with the token (SMART App Launch 2.2, requirements
 * 97, 98, 267 and 268). It applies to requests, redirects, `next` links, references and the files of a manifest.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import * as TokenAudience from "../../http/TokenAudience.js"
import type * as SmartClient from "../../smart/SmartClient.js"
import type { TokenSet } from "../../token/TokenSet.js"
import type { FhirError, Fields } from "../FhirError.js"
import type { FhirRequest } from "./fhirMessage.js"

/**
 * Which links are followed in addition to those under the FHIR base URL and the server's declared endpoints.
 *
 * @since 0.1.0
 * @category models
 */
export interface LinkOptions {
  /**
   * Origins whose links are followed, such as `https://files.example`: `anonymous` without the token, `token` with it.
   * Use `token` only for an origin that belongs to the same server.
   */
  readonly foreignOrigins?: Readonly<Record<string, "anonymous" | "token">> | undefined
  /**
   * Base URLs that a server behind a proxy writes into its links, such as `http://internal:8080/fhir`. A link under one
   * of them is resolved under the FHIR base URL instead; no request goes to these bases.
   */
  readonly rebaseLinks?: ReadonlyArray<string> | undefined
}

/** The policy for one server and one set of tokens. */
export interface LinkRules {
  readonly fhirBaseUrl: string
  readonly audience: TokenAudience.TokenAudience
  readonly anonymous: ReadonlySet<string>
  readonly rebaseLinks: ReadonlyArray<URL>
}

/** Where a request goes, and whether with the token. */
export interface Destination {
  readonly url: URL
  readonly withToken: boolean
}

export interface ForeignLink {
  readonly problem: TokenAudience.Problem
  /** Only the origin, because a path may contain an id. */
  readonly origin: string
}

const originOf = (origin: string): ReadonlyArray<string> => {
  const url = Url.parse(origin)
  // All opaque origins are "null": allowing one would allow all.
  return url === undefined || url.origin === "null" ? [] : [url.origin]
}

/** `issuedFor` is the FHIR base URL that the token was issued for; by default that of the server. */
export const rules = (
  server: {
    readonly fhirBaseUrl: string
    readonly allowInsecureLocalhost?: boolean | undefined
    readonly issuedFor?: string | undefined
  },
  declared: ReadonlyArray<string>,
  options: LinkOptions = {}
): LinkRules => {
  const origins = (kind: "anonymous" | "token") =>
    Object.entries(options.foreignOrigins ?? {}).flatMap(([origin, allowed]) =>
      allowed === kind ? originOf(origin) : []
    )
  return {
    fhirBaseUrl: server.fhirBaseUrl,
    audience: TokenAudience.make([server.issuedFor ?? server.fhirBaseUrl, ...declared, ...origins("token")], server),
    anonymous: new Set(origins("anonymous")),
    rebaseLinks: (options.rebaseLinks ?? []).flatMap((base) => Url.parse(base) ?? [])
  }
}

/** Moves a URL under one of the `rebaseLinks` to the FHIR base URL. */
const rebase = ({ fhirBaseUrl, rebaseLinks }: LinkRules, url: URL): URL => {
  for (const base of rebaseLinks) {
    const prefix = base.pathname.endsWith("/") ? base.pathname.slice(0, -1) : base.pathname
    const isUnder = url.pathname === prefix || url.pathname.startsWith(`${prefix}/`)
    // Protocol and host are compared, because the origins of two different opaque URLs are both "null".
    if (url.protocol === base.protocol && url.host === base.host && isUnder) {
      const path = url.pathname.slice(prefix.length + 1)
      const target = path === "" ? fhirBaseUrl : FhirBaseUrl.append(fhirBaseUrl as FhirBaseUrl.FhirBaseUrl, path)
      const rebased = Url.parse(target + url.search)
      if (rebased !== undefined) return rebased
    }
  }
  return url
}

/** The absolute URL of a link: relative to `base` (default: the FHIR base URL); a bare query is relative to `page`. */
export const resolve = (
  self: LinkRules,
  link: string,
  options: { readonly base?: string | undefined; readonly page?: string | undefined } = {}
): URL | undefined => {
  const base = options.base ?? self.fhirBaseUrl
  const directory = base.endsWith("/") ? base : `${base}/`
  const url = link === ""
    ? Url.parse(base)
    : Url.parse(link, link.startsWith("?") ? options.page ?? base : directory)
  return url === undefined ? undefined : rebase(self, url)
}

/** `omitToken` is for files that the server declares public: these may be anywhere at the server's own origin. */
export const check = (
  self: LinkRules,
  url: URL | undefined,
  { omitToken = false }: { readonly omitToken?: boolean | undefined } = {}
): Either.Either<Destination, ForeignLink> => {
  if (url === undefined) return Either.left({ problem: "NotAUrl", origin: "(not a URL)" })
  const checked = TokenAudience.checkUrl(self.audience, url)
  if (Either.isRight(checked)) return Either.right({ url: checked.right, withToken: !omitToken })
  const problem = checked.left
  const isAllowed = self.anonymous.has(url.origin) ||
    (omitToken && problem === "OutsideBasePath" && url.origin === Url.parse(self.fhirBaseUrl)?.origin)
  return isAllowed && url.username === "" && url.password === "" &&
      Url.isSecure(url, self.audience.allowInsecureLocalhost)
    ? Either.right({ url, withToken: false })
    : Either.left({ problem, origin: url.origin })
}

const PROBLEMS: Record<TokenAudience.Problem, string> = {
  NotAUrl: "it is not a URL",
  HasCredentials: "it contains credentials",
  Insecure: "it is not https",
  ForeignOrigin: "another origin",
  OutsideBasePath: "outside of the FHIR base",
  AmbiguousPath: "its path contains hidden dot segments"
}

/** The option that allows the link, if one does. The server chose the origin: a long one is not shown twice. */
const adviceFor = (origin: string, problem: TokenAudience.Problem): string => {
  if (origin.length > 100 || !origin.startsWith("https:")) return ""
  switch (problem) {
    case "OutsideBasePath":
      return `; if all of that origin belongs to this server, allow it with foreignOrigins: { "${origin}": "token" }`
    case "ForeignOrigin":
      return `; to follow it, set foreignOrigins: { "${origin}": "anonymous" }, or "token" if the origin belongs to this server`
    default:
      return ""
  }
}

/** The endpoints that the server's metadata declare for the token. */
const declaredBy = ({ configuration }: SmartClient.Service): Effect.Effect<ReadonlyArray<string>> =>
  configuration.pipe(
    Effect.map(({ associatedEndpoints = [], smartAppStateEndpoint }) => [
      ...associatedEndpoints.map(({ url }) => url),
      ...(smartAppStateEndpoint === undefined ? [] : [smartAppStateEndpoint])
    ]),
    Effect.orElseSucceed(() => [])
  )

/**
 * Checks the URL that `locate` finds for a request, and fails with a `ForeignLink` or `ForeignFile`. The destination of
 * most requests is known without an effect.
 */
export type LinkPolicy = (
  smart: SmartClient.Service,
  tokens: TokenSet,
  request: FhirRequest,
  locate: (rules: LinkRules) => URL | undefined,
  fail: (fields: Fields) => FhirError
) => Destination | Effect.Effect<Destination, FhirError>

/** The metadata are read only if the FHIR base URL and the token's own locations do not cover the URL. */
export const make = (options: LinkOptions): LinkPolicy => {
  /** The rules are equal for all requests with the same tokens. */
  let latest: undefined | {
    readonly smart: SmartClient.Service
    readonly tokens: TokenSet
    readonly rules: LinkRules
  }

  const rulesOf = (
    { config }: SmartClient.Service,
    { context, fhirBaseUrl }: TokenSet,
    declared: ReadonlyArray<string>
  ): LinkRules =>
    rules(
      { ...config, issuedFor: fhirBaseUrl },
      [...(context.authorizationDetails ?? []).flatMap(({ locations }) => locations), ...declared],
      options
    )

  return (smart, tokens, request, locate, fail) => {
    if (latest?.smart !== smart || latest.tokens !== tokens) {
      latest = { smart, tokens, rules: rulesOf(smart, tokens, []) }
    }
    const checkWith = (rules: LinkRules) => check(rules, locate(rules), request)
    const refuse = ({ origin, problem }: ForeignLink) => {
      // The server may have written the token into the host name.
      const shown = safeText(origin, [Redacted.value(tokens.accessToken)], 200)
      return fail({
        reason: request.file === undefined ? "ForeignLink" : "ForeignFile",
        detail: `the token may not go to ${shown} (${PROBLEMS[problem]})${
          shown === origin ? adviceFor(origin, problem) : ""
        }`,
        processed: "no"
      })
    }
    const first = checkWith(latest.rules)
    if (Either.isRight(first)) return first.right
    const { problem } = first.left
    const { fhirBaseUrl } = smart.config
    return problem === "NotAUrl" || problem === "HasCredentials" ||
        !FhirBaseUrl.areSame(tokens.fhirBaseUrl ?? fhirBaseUrl, fhirBaseUrl)
      ? refuse(first.left)
      : Effect.flatMap(
        declaredBy(smart),
        (declared) => Either.mapLeft(checkWith(rulesOf(smart, tokens, declared)), refuse)
      )
  }
}
