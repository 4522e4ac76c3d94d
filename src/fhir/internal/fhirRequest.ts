/**
 * A FHIR request and its response, below the level of the RESTful interactions (FHIR R4, section 3.1.0).
 *
 * @since 0.1.0
 */
import type * as Stream from "effect/Stream"
import type { FhirError, File } from "../FhirError.js"
import type * as Params from "./params.js"

/**
 * A request that the interactions do not cover.
 *
 * @since 0.1.0
 * @category models
 */
export interface FhirRequest {
  /** The name of the request in errors and spans. It must not contain ids or search values. */
  readonly interaction: string
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined
  /** Absolute, or relative to the FHIR base URL; `""` is the base itself. */
  readonly url: string
  readonly params?: Params.Params | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A text, or a value that is encoded as JSON (by default with the content type `application/fhir+json`). */
  readonly body?:
    | { readonly text: string; readonly contentType: string }
    | { readonly json: unknown; readonly contentType?: string | undefined }
    | undefined
  /**
   * Which failures the retry policy may repeat: all transient ones (`always`, the default of GET and HEAD), only those
   * where the server did not act (`unprocessed`), or none (`never`, the default of the other methods).
   */
  readonly retry?: "always" | "unprocessed" | "never" | undefined
  /** What `url` is relative to, instead of the FHIR base URL. The token must be allowed to go there. */
  readonly base?: string | undefined
  /** The URL of the page that contained `url`: what a bare query (`?page=2`) is relative to. */
  readonly page?: string | undefined
  /** Sends the request without the token. */
  readonly omitToken?: boolean | undefined
  /** The file of a bulk export, for errors. */
  readonly file?: File | undefined
}

/**
 * A response whose body was read.
 *
 * @since 0.1.0
 * @category models
 */
export interface FhirResponse {
  /** The URL of the response, after redirects. */
  readonly url: string
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  /** The body decoded as JSON; `undefined` if it is not JSON. */
  readonly json: unknown
}

/**
 * A response whose body is read as a stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface StreamedResponse {
  readonly status: number
  readonly headers: FhirResponse["headers"]
  readonly body: Stream.Stream<Uint8Array, FhirError>
}
