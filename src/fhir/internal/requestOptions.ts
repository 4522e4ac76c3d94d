/**
 * Options of all requests of a client.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import type { LinkOptions } from "./linkPolicy.js"

/**
 * Options of all requests of a client.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestOptions extends LinkOptions {
  /**
   * Headers that the server or its gateway requires, such as `Cache-Control` or a key. They go only where the token
   * goes. The headers of an interaction have precedence; `Authorization` is ignored.
   */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
}

export interface ClientHeaders {
  /** Absent without headers. */
  readonly values: Readonly<Record<string, string>> | undefined
  /** The values that must not appear in an error. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

export const headersOf = ({ headers }: RequestOptions): ClientHeaders =>
  headers === undefined ? { values: undefined, secrets: [] } : {
    values: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
    ),
    secrets: Object.values(headers).flatMap((value) => Redacted.isRedacted(value) ? [value] : [])
  }
