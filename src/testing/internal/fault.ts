/**
 * Faults of a server, which `SandboxEhr.fault` injects into one step of the protocol.
 *
 * Used as a namespace: `sandbox.fault("token", SandboxEhr.Fault.status(503, { headers: { "retry-after": "7" } }))`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * The steps of the protocol that faults and recorded requests distinguish. `openid` is the OpenID Connect discovery
 * document. `udap` (UDAP metadata), `crl`, `ocsp` and `idp` (all requests to the identity provider) are steps of
 * `SandboxUdap`. A sandbox without UDAP has no endpoint for `register`: it responds only with a fault.
 *
 * @since 0.1.0
 * @category models
 */
export type Step =
  | "discovery"
  | "authorize"
  | "token"
  | "fhir"
  | "jwks"
  | "openid"
  | "userinfo"
  | "introspect"
  | "revoke"
  | "register"
  | "udap"
  | "crl"
  | "ocsp"
  | "idp"

/**
 * A fault. With `processed`, the server processes the request before the fault: the code is used up, the refresh token
 * is rotated.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | {
    readonly _tag: "Status"
    readonly status: number
    readonly body: string
    readonly headers: Readonly<Record<string, string>>
    readonly contentType: string
    readonly processed: boolean
  }
  | { readonly _tag: "Delay"; readonly duration: Duration.Duration; readonly processed: boolean }
  | { readonly _tag: "Oversize"; readonly bytes: number; readonly processed: boolean }
  | { readonly _tag: "Drop"; readonly processed: boolean }
  | { readonly _tag: "Mutate"; readonly f: (members: Readonly<Record<string, unknown>>) => unknown }
  | {
    readonly _tag: "Headers"
    readonly set: Readonly<Record<string, string>>
    readonly remove: ReadonlyArray<string>
  }
  | { readonly _tag: "All"; readonly faults: ReadonlyArray<Fault> }

/**
 * Whether the server processes the request before the fault (default: false).
 *
 * @since 0.1.0
 * @category models
 */
export interface ProcessedOption {
  readonly processed?: boolean | undefined
}

/**
 * A response with this status, and any body and headers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const status = (
  code: number,
  options: ProcessedOption & {
    readonly body?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly contentType?: string | undefined
  } = {}
): Fault => ({
  _tag: "Status",
  status: code,
  body: options.body ?? "",
  headers: options.headers ?? {},
  contentType: options.contentType ?? "text/plain",
  processed: options.processed ?? false
})

/**
 * An OAuth error response (RFC 6749 §5.2), with status 400 by default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const oauthError = (
  error: string,
  options: ProcessedOption & { readonly description?: string | undefined; readonly status?: number | undefined } = {}
): Fault =>
  status(options.status ?? 400, {
    body: JSON.stringify({ error, error_description: options.description }),
    contentType: "application/json",
    processed: options.processed
  })

/**
 * A delay by Effect's `Clock`: before the server processes the request, or after it with `processed`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const delay = (duration: Duration.DurationInput, options: ProcessedOption = {}): Fault => ({
  _tag: "Delay",
  duration: Duration.decode(duration),
  processed: options.processed ?? false
})

/**
 * A redirect to another URL, with status 302 by default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const redirect = (
  location: string,
  options: ProcessedOption & { readonly status?: number | undefined } = {}
): Fault => status(options.status ?? 302, { headers: { location }, processed: options.processed })

/**
 * A web page with status 200, like the page of a login proxy.
 *
 * @since 0.1.0
 * @category constructors
 */
export const html = (options: ProcessedOption & { readonly body?: string | undefined } = {}): Fault =>
  status(200, {
    body: options.body ?? "<!doctype html><html><body><h1>Please sign in</h1></body></html>",
    contentType: "text/html; charset=utf-8",
    processed: options.processed
  })

/**
 * A body with the content type of JSON that is not JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const notJson = (options: ProcessedOption & { readonly body?: string | undefined } = {}): Fault =>
  status(200, {
    body: options.body ?? "access_token: {not json",
    contentType: "application/json",
    processed: options.processed
  })

/**
 * A well-formed JSON body of this many bytes, without a `content-length`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const oversize = (bytes: number, options: ProcessedOption = {}): Fault => ({
  _tag: "Oversize",
  bytes,
  processed: options.processed ?? false
})

/**
 * Status 200 with an empty body.
 *
 * @since 0.1.0
 * @category constructors
 */
export const emptyBody = (options: ProcessedOption = {}): Fault => status(200, options)

/**
 * The connection fails with `ECONNRESET` before the server processes the request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const drop: Fault = { _tag: "Drop", processed: false }

/**
 * The connection fails with `ECONNRESET` after the server processed the request (used up the code, rotated the refresh
 * token).
 *
 * @since 0.1.0
 * @category constructors
 */
export const lostResponse: Fault = { _tag: "Drop", processed: true }

/**
 * Adds, removes or changes members of a JSON response, or parameters of the callback URL. Other responses do not
 * change.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mutate = (f: (members: Readonly<Record<string, unknown>>) => unknown): Fault => ({ _tag: "Mutate", f })

/**
 * Removes members of a JSON response, or parameters of the callback URL.
 *
 * @since 0.1.0
 * @category constructors
 */
export const omit = (...names: ReadonlyArray<string>): Fault =>
  mutate((members) => Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name))))

/**
 * Sets and removes headers of the response.
 *
 * @since 0.1.0
 * @category constructors
 */
export const headers = (change: {
  readonly set?: Readonly<Record<string, string>> | undefined
  readonly remove?: ReadonlyArray<string> | undefined
}): Fault => ({ _tag: "Headers", set: change.set ?? {}, remove: change.remove ?? [] })

/**
 * Several faults in one response, the first one outermost.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all = (...faults: ReadonlyArray<Fault>): Fault => ({ _tag: "All", faults })
