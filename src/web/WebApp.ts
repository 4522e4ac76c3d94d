/**
 * The public address of a web app: its base URL, its paths, and the sites that may show it in a frame. None of it comes
 * from the `Host` or `X-Forwarded-*` headers of a request, which any client can set.
 *
 * @since 0.1.0
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Url from "../base/Url.js"
import type { StartLaunchOptions } from "../session/Sessions.js"
import type { Problem } from "./Problem.js"

/**
 * A launch before it starts: an EHR launch (with `iss` and `launch`) or a standalone launch.
 *
 * @since 0.1.0
 * @category models
 */
export interface Launch {
  /** The key of the server. */
  readonly server: string
  /** The FHIR base URL of an EHR launch; absent in a standalone launch. */
  readonly iss?: string | undefined
  /** The launch parameter of an EHR launch. */
  readonly launch?: string | undefined
  /** All parameters of the launch URL. They are not trusted. */
  readonly params: URLSearchParams
}

/**
 * The options that an app can choose for each launch.
 *
 * @since 0.1.0
 * @category models
 */
export type LaunchOptions = Pick<StartLaunchOptions, "scopes" | "addScopes" | "params" | "method" | "appState">

/**
 * The public address and the settings of a web app.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The address of the app in a browser, such as `https://app.example` or `https://hospital.example/app`. The paths
   * below are appended to it. The `redirectUri` of a server is this address with the path of the callback.
   */
  readonly baseUrl: string
  /** Default `/launch`, `/callback`, `/logout`. */
  readonly paths?: {
    readonly launch?: string | undefined
    readonly callback?: string | undefined
    readonly logout?: string | undefined
  } | undefined
  /**
   * The path after login, if the launch has no return path. With `:session` as a segment (`/sessions/:session`) each
   * launch has its own session, cookie and path, so that two tabs can show two patients. Without it a new launch
   * replaces the session in all tabs. Default `/`.
   */
  readonly afterLogin?: string | undefined
  /** The path after logout, and the link on the page for an ended session. Default `/`. */
  readonly afterLogout?: string | undefined
  /** The origins of EHRs that show the app in a frame. Cookies are then `SameSite=None; Partitioned`. */
  readonly embeddedBy?: ReadonlyArray<string> | undefined
  /**
   * Also log out at the server (OpenID Connect RP-Initiated Logout). Not for EHR launches: it ends the session of the
   * EHR.
   */
  readonly endServerSession?: boolean | undefined
  /** The cookie name after `__Host-`. Cookies ignore ports: two apps on one host need two names. Default `session`. */
  readonly sessionCookie?: string | undefined
  /** Scopes, parameters and state of one launch, in addition to the configured ones. */
  readonly onLaunch?: ((launch: Launch) => Effect.Effect<LaunchOptions>) | undefined
  /** Renders the page for a failure. The library adds security headers. */
  readonly errorPage?: ((problem: Problem) => HttpServerResponse.HttpServerResponse) | undefined
  /**
   * Accept `http` for loopback hosts. Browsers take secure cookies from `http://localhost`, but not from
   * `http://127.0.0.1`.
   */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * The settings of a web app, validated.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The origin of the base URL. */
  readonly origin: string
  /** Paths including the path of the base URL. */
  readonly paths: { readonly launch: string; readonly callback: string; readonly logout: string }
  /** The default `redirectUri` of a server. */
  readonly callbackUrl: string
  /** The path after login, which may have `:session`. */
  readonly afterLogin: string
  /** The path after logout. */
  readonly afterLogout: string
  /** Whether each launch has its own session (`:session` in `afterLogin`). */
  readonly sessionPerLaunch: boolean
  /** Whether EHRs show the app in a frame (`embeddedBy`). */
  readonly isEmbedded: boolean
  /** The CSP directive `frame-ancestors`. */
  readonly frameAncestors: string
  /**
   * Whether a page of the app sent the request, by `Sec-Fetch-Site`, or by `Origin` in old browsers; `false` if both
   * are absent. Use it for forms without a session; `CurrentSession` checks the others.
   */
  readonly isSameOrigin: (request: HttpServerRequest.HttpServerRequest) => boolean
  /** The name of the session cookie, with `__Host-`. */
  readonly sessionCookie: string
  /** Whether a logout also ends the session at the server. */
  readonly endServerSession: boolean
  /** What a launch adds to the configuration. */
  readonly onLaunch: (launch: Launch) => Effect.Effect<LaunchOptions>
  /** The page for a failure; `undefined` for that of the library. */
  readonly errorPage: Options["errorPage"]
  /** The URL of a path within the app, for a redirect; `undefined` if the path leads elsewhere. */
  readonly returnUrl: (path: string) => string | undefined
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class WebApp extends Context.Tag("effect-safire/WebApp")<WebApp, Service>() {}

const PLACEHOLDER = /\/:session(?=[/?#]|$)/g

/**
 * A path without query, fragment and pattern.
 *
 * @internal
 */
export const isPlainPath = (path: string): boolean => /^\/(?!\/)[\w\-.~/]*$/.test(path)

/** A path as lenient routers normalize it: decoded, in lower case, without parameters and duplicate slashes. */
const asRouted = (pathname: string): string | undefined => {
  try {
    return decodeURIComponent(pathname).toLowerCase().replace(/;[^/]*/g, "").replace(/\/{2,}/g, "/")
  } catch {
    return undefined
  }
}

/**
 * Makes the service. It fails if the settings contradict each other.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, ConfigurationError> =>
  Effect.gen(function*() {
    const fail = (field: string, detail: string, reason: ConfigurationError["reason"] = "Invalid") =>
      configurationError(reason, [field], detail)
    const allowInsecure = options.allowInsecureLocalhost ?? false

    const base = Url.parse(options.baseUrl)
    if (base === undefined || base.search !== "" || base.hash !== "" || Url.hasCredentials(base)) {
      return yield* fail("baseUrl", "must be an absolute URL without query, fragment and credentials")
    }
    if (!Url.isSecure(base, allowInsecure)) {
      return yield* fail(
        "baseUrl",
        "only https is used; http needs a loopback host and allowInsecureLocalhost",
        "Insecure"
      )
    }
    const basePath = base.pathname.replace(/\/$/, "")
    if (basePath !== "" && !isPlainPath(basePath)) {
      return yield* fail("baseUrl", "its path has characters that a route cannot have")
    }

    const paths = { launch: "/launch", callback: "/callback", logout: "/logout" }
    for (const name of ["launch", "callback", "logout"] as const) {
      const path = options.paths?.[name] ?? paths[name]
      if (!isPlainPath(path) || path === "/") {
        return yield* fail(`paths.${name}`, "must be a path such as /smart/callback")
      }
      paths[name] = basePath + path
    }
    if (new Set(Object.values(paths)).size < 3) {
      return yield* fail("paths", "launch, callback and logout must have different paths", "Conflict")
    }

    const embeddedBy: Array<string> = []
    for (const origin of options.embeddedBy ?? []) {
      const url = Url.parse(origin)
      if (url === undefined || !Url.isSecure(url, allowInsecure) || url.origin !== origin.replace(/\/$/, "")) {
        return yield* fail("embeddedBy", "must be origins such as https://ehr.example, without a path")
      }
      embeddedBy.push(url.origin)
    }

    const sessionCookie = options.sessionCookie ?? "session"
    if (!/^[A-Za-z0-9_]{1,64}$/.test(sessionCookie)) {
      return yield* fail("sessionCookie", "must have letters, digits and underscores only, without the prefix __Host-")
    }

    /** Resolved as a browser does: `/.//evil.example` is `//evil.example` to it. */
    const returnUrl = (path: string): string | undefined => {
      // Browsers read a backslash as a slash, and drop tabs and line breaks.
      if (!/^\/[\x21-\x5b\x5d-\x7e]*$/.test(path) || path.length > 1024) {
        return undefined
      }
      const url = Url.parse(path, base.origin)
      if (url === undefined || url.origin !== base.origin || url.pathname.startsWith("//")) {
        return undefined
      }
      if (basePath !== "" && url.pathname !== basePath && !url.pathname.startsWith(`${basePath}/`)) return undefined
      const routed = asRouted(url.pathname)
      if (routed === undefined) return undefined
      return Object.values(paths).some((own) => `${routed}/`.startsWith(`${own.toLowerCase()}/`)) ? undefined : url.href
    }

    const after = { afterLogin: "/", afterLogout: "/" }
    for (const name of ["afterLogin", "afterLogout"] as const) {
      const path = basePath + (options[name] ?? after[name])
      if (returnUrl(path) === undefined) {
        return yield* fail(name, "must be a path within the app, and not one of the SMART routes")
      }
      after[name] = path
    }
    const placeholders = after.afterLogin.match(PLACEHOLDER)?.length ?? 0
    if (placeholders > 1 || after.afterLogout.match(PLACEHOLDER) !== null) {
      return yield* fail("afterLogin", "`:session` may occur once in afterLogin, and not in afterLogout")
    }

    return {
      origin: base.origin,
      paths,
      callbackUrl: base.origin + paths.callback,
      ...after,
      sessionPerLaunch: placeholders === 1,
      isEmbedded: embeddedBy.length > 0,
      frameAncestors: `frame-ancestors ${embeddedBy.length === 0 ? "'none'" : ["'self'", ...embeddedBy].join(" ")}`,
      isSameOrigin: ({ headers }) => {
        const site = headers["sec-fetch-site"]
        return site === undefined ? headers["origin"] === base.origin : site === "same-origin"
      },
      sessionCookie: `__Host-${sessionCookie}`,
      endServerSession: options.endServerSession ?? false,
      onLaunch: options.onLaunch ?? (() => Effect.succeed({})),
      errorPage: options.errorPage,
      returnUrl
    }
  })

/**
 * The settings of a web app.
 *
 * @example
 * import { WebApp } from "effect-safire/web"
 *
 * export const Web = WebApp.layer({ baseUrl: "https://app.example", afterLogin: "/sessions/:session" })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<WebApp, ConfigurationError> => Layer.effect(WebApp, make(options))

/** The path is stored in a cookie. */
const MAX_RETURN = 512

/**
 * The return path of a launch; `undefined` if it leads out of the app. With a session for each launch it must be the
 * path of a session, whose handle is replaced by that of the new session.
 *
 * @internal
 */
export const returnPath = (app: Service, path: string): string | undefined => {
  if (encodeURIComponent(path).length > MAX_RETURN || app.returnUrl(path) === undefined) return undefined
  if (!app.sessionPerLaunch) return path
  const before = app.afterLogin.slice(0, app.afterLogin.search(PLACEHOLDER))
  const rest = path.startsWith(`${before}/`) ? path.slice(before.length + 1) : undefined
  const segment = rest === undefined ? undefined : /^(?::session|[\w-]{22})(?=[/?#]|$)/.exec(rest)?.[0]
  return segment === undefined || rest === undefined ? undefined : `${before}/:session${rest.slice(segment.length)}`
}

/**
 * The policy with `frame-ancestors`. Without this directive any site may frame the page.
 *
 * @internal
 */
export const withFrameAncestors = (app: Service, policy: string): string =>
  /(?:^|[;,])\s*frame-ancestors\b/i.test(policy) ? policy : `${policy.trim().replace(/;$/, "")}; ${app.frameAncestors}`

/**
 * The path with the session's handle in it.
 *
 * @internal
 */
export const withHandle = (path: string, handle: string): string => path.replace(PLACEHOLDER, `/${handle}`)
