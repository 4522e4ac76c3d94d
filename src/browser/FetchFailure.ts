/**
 * The cause of a failed `fetch`. The browser's own message is "Failed to fetch", whether the server is down, does not
 * allow the app's origin (SMART App Launch 2.2 requires CORS), or never received the request. `explain` finds the
 * cause.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Url from "../base/Url.js"
import * as Page from "./Page.js"

/**
 * - `Cors`: the server responds, but does not allow this page to read the response.
 * - `ContentSecurityPolicy`: the page's own policy forbids the request.
 * - `MixedContent`: a page from https cannot send requests over http.
 * - `Offline`: the device has no network.
 * - `Unreachable`: the server does not respond to this browser.
 *
 * @since 0.1.0
 * @category models
 */
export type Cause = "Cors" | "ContentSecurityPolicy" | "MixedContent" | "Offline" | "Unreachable"

/**
 * The cause of a failed fetch, with a sentence for a log.
 *
 * @since 0.1.0
 * @category models
 */
export interface Explanation {
  readonly cause: Cause
  /** Without query and credentials. */
  readonly url: string
  /** The problem, who can solve it, and how: for the log and for the operator of the app. */
  readonly message: string
}

/**
 * Any error of a request: `DiscoveryError`, `TokenError`, `MetadataError`, `FhirError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Failed {
  readonly reason?: unknown
  readonly url?: unknown
  readonly fhirBaseUrl?: unknown
}

const message = (cause: Cause, { host, origin }: URL, own: string): string => {
  switch (cause) {
    case "Cors":
      return `${host} does not allow this page to read its response, which lacks "Access-Control-Allow-Origin: ${own}". Ask the ` +
        "server's operator to allow the app's origin, usually by registering its redirect URI; SMART requires it for " +
        "discovery, the token endpoint and the FHIR API"
    case "ContentSecurityPolicy":
      return `this page's own Content-Security-Policy forbids requests to ${host}: add ${origin} to its connect-src`
    case "MixedContent":
      return `this page was loaded over https, and browsers allow it requests over https only: ${host} needs https`
    case "Offline":
      return "this device is offline"
    case "Unreachable":
      return `${host} does not respond to this browser: check the address, DNS, the certificate, whether the server is up, and ` +
        "whether a browser extension or the network blocks it"
  }
}

/**
 * Sends a `no-cors` request, which needs no permission. It has no credentials, and its response cannot be read. It must
 * follow redirects (Fetch, section 4.1), so its settings are not those of the other requests.
 */
const responds = (url: URL): Effect.Effect<boolean, never, HttpClient.HttpClient> =>
  Effect.flatMap(
    HttpClient.HttpClient,
    (client) =>
      client.pipe(HttpClient.withTracerPropagation(false), HttpClient.withTracerDisabledWhen(() => true)).get(url)
  ).pipe(
    Effect.provideService(FetchHttpClient.RequestInit, { mode: "no-cors", credentials: "omit", cache: "no-store" }),
    Effect.timeout("10 seconds"),
    Effect.scoped,
    Effect.isSuccess
  )

const urlOf = ({ fhirBaseUrl, url }: Failed): URL | undefined =>
  typeof url === "string"
    ? Url.parse(url)
    : typeof fhirBaseUrl === "string"
    ? Url.parse(fhirBaseUrl)
    : undefined

/**
 * The cause of an error with the reason `Unreachable`; none for other errors. Sends one request without credentials to
 * the same URL. The `HttpClient` must be `FetchHttpClient`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const explain = (
  error: Failed
): Effect.Effect<Option.Option<Explanation>, never, HttpClient.HttpClient | Page.Page> =>
  Effect.gen(function*() {
    const url = urlOf(error)
    if (error.reason !== "Unreachable" || url === undefined) return Option.none()
    const page = yield* Page.Page
    const explained = (cause: Cause) =>
      Option.some<Explanation>({
        cause,
        url: Url.forDisplay(url),
        message: message(cause, url, Redacted.value(page.arrivedAt).origin)
      })
    const isRefused = Effect.map(page.network, ({ refusedByPolicy }) => refusedByPolicy.has(url.origin))
    const { isHttps, isOnline } = yield* page.network
    if (!isOnline) return explained("Offline")
    if (yield* isRefused) return explained("ContentSecurityPolicy")
    if (isHttps && url.protocol === "http:" && !Url.isLoopback(url)) return explained("MixedContent")
    if (yield* responds(url)) return explained("Cors")
    return explained((yield* isRefused) ? "ContentSecurityPolicy" : "Unreachable")
  })
