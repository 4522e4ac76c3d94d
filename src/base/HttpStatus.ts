/**
 * The meaning of HTTP status codes for a client (RFC 9110, section 15).
 */

/** @internal */
export const isSuccess = (status: number): boolean => status >= 200 && status <= 299

/**
 * Whether the same request may succeed later.
 *
 * @internal
 */
export const isTransient = (status: number | undefined): boolean =>
  status === 408 || status === 429 || status === 502 || status === 503 || status === 504

/**
 * Whether the server acted on a request that failed with this status: after a client error and while it was too busy it
 * did not. Other errors may come from a proxy, and leave open what the server behind it did.
 *
 * @internal
 */
export const processedAt = (status: number): "no" | "unknown" =>
  (status >= 400 && status < 500 && status !== 408) || status === 503 ? "no" : "unknown"
