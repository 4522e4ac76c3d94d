/**
 * Comparing addresses with redirect URIs: on which of them a callback arrived, and which of them are one.
 */
import * as Url from "../base/Url.js"

/**
 * The address without its query. A proxy may turn https into http, or add a slash at the end: both count as the same address.
 *
 * @internal
 */
export const locationOf = ({ host, pathname, protocol }: URL): string =>
  `${protocol === "http:" ? "https:" : protocol}//${host}${pathname.replace(/\/$/, "")}`

/** An absolute URL in the text of a callback. A path, a query and a host without a scheme say nothing about the redirect URI. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\//i

/**
 * The address that a callback was given with, if it was.
 *
 * @internal
 */
export const addressOf = (callback: unknown): URL | undefined =>
  callback instanceof URL
    ? callback
    : typeof callback === "string" && ABSOLUTE.test(callback)
    ? Url.parse(callback)
    : undefined

/**
 * Whether a callback at this address arrived at the redirect URI, whose own parameters it must have, too (RFC 6749, section 3.1.2).
 *
 * @internal
 */
export const isAt = (address: URL, redirectUri: string): boolean => {
  const expected = Url.parse(redirectUri)
  return expected !== undefined && locationOf(address) === locationOf(expected) &&
    Array.from(expected.searchParams).every(([name, value]) => address.searchParams.getAll(name).includes(value))
}
