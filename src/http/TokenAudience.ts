/**
 * Where an access token may go: to the FHIR base it was issued for and to what that server declared beside it, over https, and nowhere else
 * (SMART App Launch 2.2, requirements 1, 97, 98, 267 and 268). A pure rule, checked on every request, redirect, link and reference.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Url from "../base/Url.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface TokenAudience {
  readonly bases: ReadonlyArray<URL>
  readonly allowInsecureLocalhost: boolean
}

/**
 * Why a token may not go there.
 *
 * @since 0.1.0
 * @category models
 */
export type Problem =
  | "NotAUrl"
  | "HasCredentials"
  | "Insecure"
  | "ForeignOrigin"
  | "OutsideBasePath"
  | "AmbiguousPath"

/**
 * Bases that are no URL are left out: less is admitted, never more.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  bases: ReadonlyArray<string>,
  options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
): TokenAudience => ({
  bases: bases.flatMap((base) => Url.parse(base) ?? []),
  allowInsecureLocalhost: options?.allowInsecureLocalhost ?? false
})

/**
 * Dot segments that the URL parser cannot see because they are encoded (once or more) or carry path parameters, or what a lenient server cuts off,
 * but that a server behind a proxy might resolve.
 */
const isAmbiguous = (pathname: string): boolean => {
  // Without a dot, written or encoded, there is nothing to be seen.
  if (!/[.%]/.test(pathname)) return false
  let path = pathname
  for (let round = 0; round < 4; round++) {
    if (path.split(/[/\\]/).some((segment) => /^\.{1,2}([;?#\u0000-\u0020\u007f].*)?$/s.test(segment))) return true
    const decoded = Either.try(() => decodeURIComponent(path))
    if (Either.isLeft(decoded)) return true
    if (decoded.right === path) return false
    path = decoded.right
  }
  return true
}

const isUnder = (url: URL, base: URL): boolean => {
  const prefix = base.pathname.endsWith("/") ? base.pathname.slice(0, -1) : base.pathname
  return url.pathname === prefix || url.pathname.startsWith(`${prefix}/`)
}

/**
 * The URL to send to, parsed once, so that what was judged and what is sent cannot differ; or why not.
 *
 * @since 0.1.0
 * @category combinators
 */
export const judge = (self: TokenAudience, target: string | URL): Either.Either<URL, Problem> => {
  const url = Url.parse(typeof target === "string" ? target : target.href)
  return url === undefined ? Either.left("NotAUrl") : judgeOwn(self, url)
}

/**
 * For a URL that nobody else can change.
 *
 * @internal
 */
export const judgeOwn = (self: TokenAudience, url: URL): Either.Either<URL, Problem> => {
  if (url.username !== "" || url.password !== "") return Either.left("HasCredentials")
  const { origin } = url
  const sameOrigin = self.bases.filter((base) => base.origin === origin)
  if (sameOrigin.length === 0) return Either.left("ForeignOrigin")
  if (!Url.isSecure(url, self.allowInsecureLocalhost)) return Either.left("Insecure")
  if (!sameOrigin.some((base) => isUnder(url, base))) return Either.left("OutsideBasePath")
  return isAmbiguous(url.pathname) ? Either.left("AmbiguousPath") : Either.right(url)
}
