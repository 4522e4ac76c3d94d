/**
 * Parsing and display of URLs from untrusted sources.
 *
 * @since 0.1.0
 */

/**
 * The parsed URL, or `undefined`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: string, base?: string | undefined): URL | undefined => {
  // `canParse` first would parse every good one twice.
  try {
    return new URL(input, base)
  } catch {
    return undefined
  }
}

const MAX_DISPLAYED = 200

/**
 * The URL for errors, logs and spans: without credentials, query and fragment, which may hold a secret or name a
 * patient. At most 200 characters.
 *
 * @since 0.1.0
 * @category accessors
 */
export const forDisplay = (input: string | URL): string => {
  const url = typeof input === "string" ? parse(input) : input
  if (url === undefined) return "(not a URL)"
  const shown = `${url.protocol}//${url.host}${url.pathname}`
  return shown.length > MAX_DISPLAYED ? `${shown.slice(0, MAX_DISPLAYED - 1)}…` : shown
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"])

/**
 * Whether the URL has a user name or a password. They would be sent, stored and logged with it.
 *
 * @internal
 */
export const hasCredentials = ({ password, username }: URL): boolean => username !== "" || password !== ""

/**
 * Whether the host is this machine by one of its three literal names.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isLoopback = (url: URL): boolean => LOOPBACK.has(url.hostname)

/**
 * Whether the URL is https, or http of a loopback host with `allowInsecureLocalhost` (SMART App Launch 2.2, app
 * protection: sensitive information is sent over TLS only).
 *
 * @since 0.1.0
 * @category predicates
 */
export const isSecure = (url: URL, allowInsecureLocalhost: boolean): boolean =>
  url.protocol === "https:" || (allowInsecureLocalhost && url.protocol === "http:" && isLoopback(url))

/**
 * One value as `application/x-www-form-urlencoded`.
 *
 * @internal
 */
export const formEncode = (value: string): string => new URLSearchParams([["", value]]).toString().slice(1)
