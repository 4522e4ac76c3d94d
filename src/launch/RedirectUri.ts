/**
 * Comparison of redirect URIs (RFC 6749, section 3.1.2; RFC 9700, section 4.1).
 */
import * as Url from "../base/Url.js"

/**
 * A URL without its query, for comparison. `http` counts as `https`, and a slash at the end does not matter: a proxy
 * may change both.
 *
 * @internal
 */
export const locationOf = ({ host, pathname, protocol }: URL): string =>
  `${protocol === "http:" ? "https:" : protocol}//${host}${pathname.replace(/\/$/, "")}`

/** Only an absolute URL shows the redirect URI of a callback; a path or a query does not. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\//i

const isAt = (address: URL, redirectUri: string): boolean => {
  const expected = Url.parse(redirectUri)
  return expected !== undefined && locationOf(address) === locationOf(expected) &&
    Array.from(expected.searchParams).every(([name, value]) => address.searchParams.getAll(name).includes(value))
}

/**
 * The URL of a callback that arrived at another place than the redirect URI, or without the parameters of the redirect
 * URI's own query. `undefined` if it arrived there, or if the callback is not an absolute URL.
 *
 * @internal
 */
export const addressElsewhere = (callback: unknown, redirectUri: string): URL | undefined => {
  // Most callbacks are the redirect URI itself with a query, and need not be parsed.
  const isRedirectUri = typeof callback === "string" && callback.startsWith(`${redirectUri}?`) &&
    !redirectUri.includes("?")
  if (isRedirectUri) return undefined
  const address = callback instanceof URL
    ? callback
    : typeof callback === "string" && ABSOLUTE.test(callback)
    ? Url.parse(callback)
    : undefined
  return address === undefined || isAt(address, redirectUri) ? undefined : address
}
