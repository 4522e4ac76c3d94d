/**
 * A FHIR request as it is asked for, and its answer as it came: the level below the interactions.
 *
 * @since 0.1.0
 */
import type { File } from "../FhirError.js"
import type * as Params from "./params.js"

/**
 * A request of one's own.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Its name in errors and spans: no id, no search value. */
  readonly interaction: string
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined
  /** Absolute, or relative to the FHIR base; `""` is the base itself. */
  readonly url: string
  readonly params?: Params.Params | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: { readonly text: string; readonly contentType: string } | undefined
  /**
   * What may be repeated by the retry policy: everything that went wrong for a while (`always`, the default of GET and HEAD), only what the server did
   * not act on (`refused`), or nothing (`never`, the default of the others).
   */
  readonly repeat?: "always" | "unprocessed" | "never" | undefined
  /** Instead of the FHIR base: what `url` is relative to. It needs to be one of the places the token may go to. */
  readonly base?: string | undefined
  /** The page `url` was written on: what a bare query is relative to. */
  readonly page?: string | undefined
  /** For what the server says needs no token. */
  readonly omitToken?: boolean | undefined
  /** The file of a bulk export, for errors. */
  readonly file?: File | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Answer {
  /** Where it came from, after redirects. */
  readonly url: string
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  /** What the body holds, if it is JSON. */
  readonly json: unknown
}
