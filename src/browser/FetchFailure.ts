/**
 * Why `fetch` failed. A browser tells a page nothing but "Failed to fetch", whether the server is down, does not allow other origins (which SMART App Launch 2.2
 * requires of it for apps like this, "CORS"), or was never asked. This finds out as much as a page can.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Url from "../base/Url.js"
import { prepare } from "../http/OutgoingRequest.js"
import * as Page from "./Page.js"

/**
 * `Cors`: the server answers, but not to this page. `ContentSecurityPolicy`: this page's own policy forbids the request. `MixedContent`: a page from https may not
 * ask over http. `Offline`: there is no network. `Unreachable`: the server does not answer anybody here.
 *
 * @since 0.1.0
 * @category models
 */
export type Cause = "Cors" | "ContentSecurityPolicy" | "MixedContent" | "Offline" | "Unreachable"

/**
 * @since 0.1.0
 * @category models
 */
export interface Explanation {
  readonly cause: Cause
  /** Without query and credentials. */
  readonly url: string
  /** What is wrong, whose it is to mend, and how; for a log, or for whoever sets the app up. */
  readonly message: string
}

/**
 * Every error of this library that is about a request fits: `DiscoveryError`, `TokenError`, `MetadataError`, `FhirError`.
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
      return `${host} answers, but not to this page: its answer lacks "Access-Control-Allow-Origin: ${own}". The server's operator allows the app's origin, ` +
        `usually by registering its redirect URI; SMART asks it of discovery, token endpoint and FHIR API`
    case "ContentSecurityPolicy":
      return `this page's own Content-Security-Policy forbids requests to ${host}: add ${origin} to its connect-src`
    case "MixedContent":
      return `this page came over https, and browsers let it ask over https only: ${host} needs https`
    case "Offline":
      return "this device is offline"
    case "Unreachable":
      return `${host} does not answer this browser at all: check the address, DNS, the certificate, whether the server is up, and whether a browser extension ` +
        "or the network stands before it"
  }
}

/** Asks without wanting to read the answer, which needs nobody's permission. It carries nothing, and what comes back is opaque. */
const answers = (url: URL): Effect.Effect<boolean, never, HttpClient.HttpClient> =>
  Effect.flatMap(HttpClient.HttpClient, (client) => prepare(client).get(url)).pipe(
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
 * None where the error is not that a request got no answer. Sends one request without credentials to the same URL, over the `HttpClient` that is provided,
 * which must be `FetchHttpClient`.
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
    if (yield* answers(url)) return explained("Cors")
    return explained((yield* isRefused) ? "ContentSecurityPolicy" : "Unreachable")
  })
