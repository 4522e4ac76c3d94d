/**
 * The URLs that an access token may be sent to: the FHIR base URL that it was issued for and the endpoints that its
 * server declares, over https only (SMART App Launch 2.2, requirements 1, 97, 98, 267 and 268). Pure; checked on every
 * request, redirect, link and reference.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Url from "../base/Url.js"

/**
 * The URLs to which an access token may be sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenAudience {
  readonly bases: ReadonlyArray<URL>
  readonly allowInsecureLocalhost: boolean
}

/**
 * The reason why a URL is outside of the audience.
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
 * The audience of these base URLs. A string that is not a URL is left out.
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
 * Whether the path has dot segments that the URL parser does not resolve, because they are encoded (once or more) or
 * have path parameters or a suffix that lenient servers cut off. A server behind a proxy may resolve them.
 */
const isAmbiguous = (pathname: string): boolean => {
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
 * The parsed URL of a target within the audience. Send to this URL, so that the URL that was checked and the URL that
 * is used cannot differ.
 *
 * @since 0.1.0
 * @category combinators
 */
export const check: {
  (target: string | URL): (self: TokenAudience) => Either.Either<URL, Problem>
  (self: TokenAudience, target: string | URL): Either.Either<URL, Problem>
} = dual(2, (self: TokenAudience, target: string | URL): Either.Either<URL, Problem> => {
  const url = Url.parse(String(target))
  return url === undefined ? Either.left("NotAUrl") : checkUrl(self, url)
})

/**
 * `check` without a copy: for a URL that no other code can change.
 *
 * @internal
 */
export const checkUrl = (self: TokenAudience, url: URL): Either.Either<URL, Problem> => {
  if (Url.hasCredentials(url)) return Either.left("HasCredentials")
  const { origin } = url
  const sameOrigin = self.bases.filter((base) => base.origin === origin)
  if (sameOrigin.length === 0) return Either.left("ForeignOrigin")
  if (!Url.isSecure(url, self.allowInsecureLocalhost)) return Either.left("Insecure")
  if (!sameOrigin.some((base) => isUnder(url, base))) return Either.left("OutsideBasePath")
  return isAmbiguous(url.pathname) ? Either.left("AmbiguousPath") : Either.right(url)
}
