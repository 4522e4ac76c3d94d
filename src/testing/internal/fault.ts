/**
 * Ways in which a server goes wrong, to be switched on for one step of the sandbox.
 *
 * Used as a namespace: `sandbox.fault("token", SandboxEhr.Fault.status(503, { headers: { "retry-after": "7" } }))`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
/**
 * The steps of the protocol, as the sandbox tells its requests apart. `openid` is the OpenID Connect discovery document; `register` has no
 * endpoint behind it, a fault is all that can answer there.
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

/**
 * Something that goes wrong. With `acted`, the request has been acted on before the answer went wrong: the code is used up, the refresh token
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
    readonly acted: boolean
  }
  | { readonly _tag: "Delay"; readonly duration: Duration.Duration; readonly acted: boolean }
  | { readonly _tag: "Redirect"; readonly location: string; readonly status: number; readonly acted: boolean }
  | { readonly _tag: "Text"; readonly body: string; readonly contentType: string; readonly acted: boolean }
  | { readonly _tag: "Oversize"; readonly bytes: number; readonly acted: boolean }
  | { readonly _tag: "Empty"; readonly acted: boolean }
  | { readonly _tag: "Drop"; readonly acted: boolean }
  | { readonly _tag: "Mutate"; readonly f: (members: Readonly<Record<string, unknown>>) => unknown }
  | {
    readonly _tag: "Headers"
    readonly set: Readonly<Record<string, string>>
    readonly remove: ReadonlyArray<string>
  }
  | { readonly _tag: "All"; readonly faults: ReadonlyArray<Fault> }

/**
 * Whether the request is acted on before the answer goes wrong (default: no).
 *
 * @since 0.1.0
 * @category models
 */
export interface ActedOption {
  readonly acted?: boolean | undefined
}

/**
 * Another status, with any body and headers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const status = (
  code: number,
  options: ActedOption & {
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
  acted: options.acted ?? false
})

/**
 * An OAuth error of one's choice, as JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const oauthError = (
  error: string,
  options: ActedOption & { readonly description?: string | undefined; readonly status?: number | undefined } = {}
): Fault =>
  status(options.status ?? 400, {
    body: JSON.stringify({ error, error_description: options.description }),
    contentType: "application/json",
    acted: options.acted
  })

/**
 * The answer comes later, by Effect's `Clock`: before the request is acted on, or after it with `acted`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const delay = (duration: Duration.DurationInput, options: ActedOption = {}): Fault => ({
  _tag: "Delay",
  duration: Duration.decode(duration),
  acted: options.acted ?? false
})

/**
 * A redirect to somewhere else.
 *
 * @since 0.1.0
 * @category constructors
 */
export const redirect = (
  location: string,
  options: ActedOption & { readonly status?: number | undefined } = {}
): Fault => ({ _tag: "Redirect", location, status: options.status ?? 302, acted: options.acted ?? false })

/**
 * A web page with status 200, as a login wall answers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const html = (options: ActedOption & { readonly body?: string | undefined } = {}): Fault => ({
  _tag: "Text",
  body: options.body ?? "<!doctype html><html><body><h1>Please sign in</h1></body></html>",
  contentType: "text/html; charset=utf-8",
  acted: options.acted ?? false
})

/**
 * A body that says it is JSON, and is not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const notJson = (options: ActedOption & { readonly body?: string | undefined } = {}): Fault => ({
  _tag: "Text",
  body: options.body ?? "access_token: {not json",
  contentType: "application/json",
  acted: options.acted ?? false
})

/**
 * A well-formed JSON body of this many bytes, without a `content-length`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const oversize = (bytes: number, options: ActedOption = {}): Fault => ({
  _tag: "Oversize",
  bytes,
  acted: options.acted ?? false
})

/**
 * Status 200 and nothing else.
 *
 * @since 0.1.0
 * @category constructors
 */
export const emptyBody = (options: ActedOption = {}): Fault => ({ _tag: "Empty", acted: options.acted ?? false })

/**
 * The connection fails before the request has been acted on: `ECONNRESET`, in memory and over a socket.
 *
 * @since 0.1.0
 * @category constructors
 */
export const drop: Fault = { _tag: "Drop", acted: false }

/**
 * The request is acted on, the code used up or the refresh token rotated, and then the connection fails.
 *
 * @since 0.1.0
 * @category constructors
 */
export const lostResponse: Fault = { _tag: "Drop", acted: true }

/**
 * Changes the members of a JSON answer, or the parameters of the redirect back to the app: add, remove or change them. Other answers stay
 * as they are.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mutate = (f: (members: Readonly<Record<string, unknown>>) => unknown): Fault => ({ _tag: "Mutate", f })

/**
 * Takes members out of a JSON answer, or parameters out of the redirect back to the app.
 *
 * @since 0.1.0
 * @category constructors
 */
export const omit = (...names: ReadonlyArray<string>): Fault =>
  mutate((members) => Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name))))

/**
 * Changes the headers of the answer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const headers = (change: {
  readonly set?: Readonly<Record<string, string>> | undefined
  readonly remove?: ReadonlyArray<string> | undefined
}): Fault => ({ _tag: "Headers", set: change.set ?? {}, remove: change.remove ?? [] })

/**
 * Several faults in one answer, the first one outermost.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all = (...faults: ReadonlyArray<Fault>): Fault => ({ _tag: "All", faults })
