/**
 * Where a link leads that a server wrote: a reference, a `next` link, a redirect, a `Location`, a file of a manifest. Pure rules on top of
 * `TokenAudience` (SMART App Launch 2.2, requirements 97, 98, 267 and 268): what is foreign is followed only where its origin was allowed by name.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import * as TokenAudience from "../../http/TokenAudience.js"

/**
 * What may be followed beside the server's own links.
 *
 * @since 0.1.0
 * @category models
 */
export interface LinkOptions {
  /**
   * Origins whose links are followed, such as `https://files.example`: `anonymous` without the token, `token` with it. Give the token only to an
   * origin that belongs to the same server.
   */
  readonly foreignOrigins?: Readonly<Record<string, "anonymous" | "token">> | undefined
  /**
   * Bases that a server behind a proxy writes into its links, such as `http://internal:8080/fhir`. Links under them are read as links under the FHIR
   * base; nothing is ever sent to them.
   */
  readonly rebaseLinks?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LinkRules {
  readonly fhirBaseUrl: string
  readonly audience: TokenAudience.TokenAudience
  readonly anonymous: ReadonlySet<string>
  readonly rebaseLinks: ReadonlyArray<URL>
}

/**
 * Where a request may go, and whether with the token.
 *
 * @since 0.1.0
 * @category models
 */
export interface Destination {
  readonly url: URL
  readonly withToken: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Foreign {
  readonly problem: TokenAudience.Problem
  /** Only the origin, because a path may name a patient. */
  readonly origin: string
}

const originOf = (origin: string): ReadonlyArray<string> => {
  const url = Url.parse(origin)
  // An opaque origin is "null" for all: it allows nobody.
  return url === undefined || url.origin === "null" ? [] : [url.origin]
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const rules = (
  server: {
    readonly fhirBaseUrl: string
    readonly allowInsecureLocalhost?: boolean | undefined
    /** The base the token came from, where that is known: a token of another server has no business here. */
    readonly issuedFor?: string | undefined
  },
  declared: ReadonlyArray<string>,
  options: LinkOptions = {}
): LinkRules => {
  const allowed = Object.entries(options.foreignOrigins ?? {})
  const origins = (kind: "anonymous" | "token") =>
    allowed.filter(([, how]) => how === kind).flatMap(([origin]) => originOf(origin))
  return {
    fhirBaseUrl: server.fhirBaseUrl,
    audience: TokenAudience.make([server.issuedFor ?? server.fhirBaseUrl, ...declared, ...origins("token")], server),
    anonymous: new Set(origins("anonymous")),
    rebaseLinks: (options.rebaseLinks ?? []).flatMap((base) => Url.parse(base) ?? [])
  }
}

const withSlash = (base: string): string => base.endsWith("/") ? base : `${base}/`

/** A link under one of the bases that stand for the FHIR base, moved there. */
const rebased = ({ fhirBaseUrl, rebaseLinks }: LinkRules, url: URL): URL => {
  for (const base of rebaseLinks) {
    const prefix = base.pathname.endsWith("/") ? base.pathname.slice(0, -1) : base.pathname
    const isUnder = url.pathname === prefix || url.pathname.startsWith(`${prefix}/`)
    // Two opaque origins are both "null" and nothing alike: the protocol and the host are compared.
    if (url.protocol === base.protocol && url.host === base.host && isUnder) {
      const path = url.pathname.slice(prefix.length + 1)
      const moved = Url.parse(
        `${path === "" ? fhirBaseUrl : FhirBaseUrl.append(fhirBaseUrl as FhirBaseUrl.FhirBaseUrl, path)}${url.search}`
      )
      if (moved !== undefined) return moved
    }
  }
  return url
}

/**
 * The absolute URL a link spells: relative ones are relative to `base` (by default the FHIR base), a bare query to the page it stands on.
 *
 * @since 0.1.0
 * @category combinators
 */
export const resolve = (
  self: LinkRules,
  link: string,
  options: { readonly base?: string | undefined; readonly page?: string | undefined } = {}
): URL | undefined => {
  const base = options.base ?? self.fhirBaseUrl
  const url = link === ""
    ? Url.parse(base)
    : Url.parse(link, link.startsWith("?") ? options.page ?? base : withSlash(base))
  return url === undefined ? undefined : rebased(self, url)
}

/**
 * What may be done with a URL that `resolve` gave. `omitToken` is for what the server itself says needs none: then any path of the server's own origin will do.
 *
 * @since 0.1.0
 * @category combinators
 */
export const judge = (
  self: LinkRules,
  url: URL | undefined,
  options: { readonly omitToken?: boolean | undefined } = {}
): Either.Either<Destination, Foreign> => {
  if (url === undefined) return Either.left({ problem: "NotAUrl", origin: "(not a URL)" })
  const { omitToken = false } = options
  const judged = TokenAudience.judgeOwn(self.audience, url)
  if (Either.isRight(judged)) return Either.right({ url: judged.right, withToken: !omitToken })
  const problem = judged.left
  const isAllowed = self.anonymous.has(url.origin) ||
    (omitToken && problem === "OutsideBasePath" && url.origin === Url.parse(self.fhirBaseUrl)?.origin)
  return isAllowed && url.username === "" && url.password === "" &&
      Url.isSecure(url, self.audience.allowInsecureLocalhost)
    ? Either.right({ url, withToken: false })
    : Either.left({ problem, origin: url.origin })
}
