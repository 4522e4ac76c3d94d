/**
 * How a web app is reached from outside: the address browsers know it by, its paths, and who may show it in a frame. Nothing of it is ever derived from
 * a request's `Host` or `X-Forwarded-*` headers, which anybody can write.
 *
 * @since 0.1.0
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ConfigurationError } from "../base/ConfigurationError.js"
import * as Url from "../base/Url.js"
import type { StartLaunchOptions } from "../session/Sessions.js"
import type { Problem } from "./Problem.js"

/**
 * A launch that is about to begin: at an EHR's request (`iss` and `launch` are there), or at a person's.
 *
 * @since 0.1.0
 * @category models
 */
export interface Launch {
  /** The key of the server. */
  readonly server: string
  readonly iss?: string | undefined
  readonly launch?: string | undefined
  /** All the parameters of the launch URL: anybody can have written them. */
  readonly params: URLSearchParams
}

/**
 * What an app may decide launch by launch.
 *
 * @since 0.1.0
 * @category models
 */
export type LaunchOptions = Pick<StartLaunchOptions, "scopes" | "addScopes" | "params" | "method" | "appState">

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The app's address as browsers see it, such as `https://app.example` or `https://hospital.example/app`. The paths below are added to it. A server's
   * `redirectUri` is this with the path of the callback.
   */
  readonly baseUrl: string
  /** Default `/launch`, `/callback`, `/logout`. */
  readonly paths?: {
    readonly launch?: string | undefined
    readonly callback?: string | undefined
    readonly logout?: string | undefined
  } | undefined
  /**
   * Where a person goes once logged in, if the launch did not name a return path. With `:session` as a segment (`/sessions/:session`) each launch has a
   * session, a cookie and a path of its own, so that two patients in two tabs never mix; without it a new launch takes the place of the one before, in all
   * tabs. Default `/`.
   */
  readonly afterLogin?: string | undefined
  /** Where a person goes once logged out, and where the page for an ended session leads. Default `/`. */
  readonly afterLogout?: string | undefined
  /** The origins of EHRs that show the app in a frame. Cookies are then `SameSite=None; Partitioned` rather than `SameSite=Lax`. */
  readonly embeddedBy?: ReadonlyArray<string> | undefined
  /** Log out at the server, too, where it offers that (OpenID Connect RP-Initiated Logout). Not for apps that an EHR launches: it ends the EHR's session. */
  readonly endServerSession?: boolean | undefined
  /** The name of the session cookie behind `__Host-`: cookies do not tell ports apart, so that two apps on one host need two names. Default `session`. */
  readonly sessionCookie?: string | undefined
  /** Scopes, parameters and state of a launch, where the configured ones are not enough. */
  readonly onLaunch?: ((launch: Launch) => Effect.Effect<LaunchOptions>) | undefined
  /** The page for a failure, in the app's own look. The headers that protect it are added. */
  readonly errorPage?: ((problem: Problem) => HttpServerResponse.HttpServerResponse) | undefined
  /** Accept `http` for loopback hosts. Browsers take secure cookies from `http://localhost`, but not from `http://127.0.0.1`. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly origin: string
  /** Paths as they stand in a browser's address bar, the base URL's own path included. */
  readonly paths: { readonly launch: string; readonly callback: string; readonly logout: string }
  /** What the `redirectUri` of a server is, if it has no path of its own. */
  readonly callbackUrl: string
  readonly afterLogin: string
  readonly afterLogout: string
  /** Whether each launch has a session of its own beside the others (`:session` in `afterLogin`). */
  readonly sessionPerLaunch: boolean
  readonly isEmbedded: boolean
  /** A CSP directive: who may show the app in a frame. */
  readonly frameAncestors: string
  /**
   * Whether a page of the app made the browser send this: by `Sec-Fetch-Site`, which no page can write, or by `Origin` where an old browser has only that.
   * A request with neither is not believed. For forms that belong to no session; those that do are judged by `CurrentSession`.
   */
  readonly isSameOrigin: (request: HttpServerRequest.HttpServerRequest) => boolean
  readonly sessionCookie: string
  readonly endServerSession: boolean
  readonly onLaunch: (launch: Launch) => Effect.Effect<LaunchOptions>
  readonly errorPage: Options["errorPage"]
  /** A path within the app, made ready for a redirect; nothing where it leads elsewhere. */
  readonly returnUrl: (path: string) => string | undefined
}

/**
 * @since 0.1.0
 * @category tags
 */
export class WebApp extends Context.Tag("effect-safire/WebApp")<WebApp, Service>() {}

const PLACEHOLDER = /\/:session(?=[/?#]|$)/g

/**
 * A path that a router can take and that stands for itself: no query, no fragment, no pattern.
 *
 * @internal
 */
export const isPlainPath = (path: string): boolean => /^\/(?!\/)[\w\-.~/]*$/.test(path)

/** A path as a lenient router may read it: decoded, in lower case, without parameters and doubled slashes. */
const asRouted = (pathname: string): string | undefined => {
  try {
    return decodeURIComponent(pathname).toLowerCase().replace(/;[^/]*/g, "").replace(/\/{2,}/g, "/")
  } catch {
    return undefined
  }
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, ConfigurationError> =>
  Effect.gen(function*() {
    const fail = (field: string, detail: string, reason: ConfigurationError["reason"] = "Invalid") =>
      new ConfigurationError({ reason, fields: [field], detail })
    const allowInsecure = options.allowInsecureLocalhost ?? false

    const base = Url.parse(options.baseUrl)
    if (base === undefined || base.search !== "" || base.hash !== "" || base.username !== "" || base.password !== "") {
      return yield* fail("baseUrl", "an absolute URL without query, fragment and credentials, as browsers see the app")
    }
    if (!Url.isSecure(base, allowInsecure)) {
      return yield* fail(
        "baseUrl",
        "only https is used; http needs a loopback host and allowInsecureLocalhost",
        "Insecure"
      )
    }
    const basePath = base.pathname.replace(/\/$/, "")
    if (basePath !== "" && !isPlainPath(basePath)) return yield* fail("baseUrl", "its path cannot be a route's")

    const paths = { launch: "/launch", callback: "/callback", logout: "/logout" }
    for (const name of ["launch", "callback", "logout"] as const) {
      const path = options.paths?.[name] ?? paths[name]
      if (!isPlainPath(path) || path === "/") {
        return yield* fail(`paths.${name}`, "a plain path such as /smart/callback")
      }
      paths[name] = basePath + path
    }
    if (new Set(Object.values(paths)).size < 3) return yield* fail("paths", "they must differ", "Conflict")

    const embeddedBy: Array<string> = []
    for (const origin of options.embeddedBy ?? []) {
      const url = Url.parse(origin)
      if (url === undefined || !Url.isSecure(url, allowInsecure) || url.origin !== origin.replace(/\/$/, "")) {
        return yield* fail("embeddedBy", "origins such as https://ehr.example, without a path")
      }
      embeddedBy.push(url.origin)
    }

    const sessionCookie = options.sessionCookie ?? "session"
    if (!/^[A-Za-z0-9_]{1,64}$/.test(sessionCookie)) {
      return yield* fail("sessionCookie", "letters, digits and underscores; __Host- is put in front of it")
    }

    /** What a browser would make of the path decides, not what it looks like: `/.//evil.example` is `//evil.example` to it. */
    const returnUrl = (path: string): string | undefined => {
      // A backslash is a slash to a browser, and it drops tabs and line breaks.
      if (!/^\/[\x21-\x5b\x5d-\x7e]*$/.test(path) || path.length > 1024) return undefined
      const url = Url.parse(path, base.origin)
      if (url === undefined || url.origin !== base.origin || url.pathname.startsWith("//")) return undefined
      if (basePath !== "" && url.pathname !== basePath && !url.pathname.startsWith(`${basePath}/`)) return undefined
      const routed = asRouted(url.pathname)
      if (routed === undefined) return undefined
      return Object.values(paths).some((own) => `${routed}/`.startsWith(`${own.toLowerCase()}/`)) ? undefined : url.href
    }

    const after = { afterLogin: "/", afterLogout: "/" }
    for (const name of ["afterLogin", "afterLogout"] as const) {
      const path = basePath + (options[name] ?? after[name])
      if (returnUrl(path) === undefined) return yield* fail(name, "a path within the app, and none of its own routes")
      after[name] = path
    }
    const placeholders = after.afterLogin.match(PLACEHOLDER)?.length ?? 0
    if (placeholders > 1 || after.afterLogout.match(PLACEHOLDER) !== null) {
      return yield* fail("afterLogin", ":session stands there once, and only there")
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
 * @example
 * import { WebApp } from "effect-safire/web"
 *
 * export const Web = WebApp.layer({ baseUrl: "https://app.example", afterLogin: "/sessions/:session" })
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<WebApp, ConfigurationError> => Layer.effect(WebApp, make(options))

/** Longer ones are rare, and a cookie has to carry them. */
const MAX_RETURN = 512

/**
 * Where a launch is to lead, if that is in the app. Where each launch has a session of its own, it must be a path of a session: another's handle in it gives way to
 * that of the session that comes to be.
 *
 * @internal
 */
export const returnPath = (app: Service, asked: string): string | undefined => {
  if (encodeURIComponent(asked).length > MAX_RETURN || app.returnUrl(asked) === undefined) return undefined
  if (!app.sessionPerLaunch) return asked
  const before = app.afterLogin.slice(0, app.afterLogin.search(PLACEHOLDER))
  const rest = asked.startsWith(`${before}/`) ? asked.slice(before.length + 1) : undefined
  const segment = rest === undefined ? undefined : /^(?::session|[\w-]{22})(?=[/?#]|$)/.exec(rest)?.[0]
  return segment === undefined || rest === undefined ? undefined : `${before}/:session${rest.slice(segment.length)}`
}

/**
 * A content security policy that says who may frame the page, which one without a word of it leaves to everybody.
 *
 * @internal
 */
export const withFrameAncestors = (app: Service, policy: string): string =>
  /(?:^|[;,])\s*frame-ancestors\b/i.test(policy) ? policy : `${policy.replace(/[;\s]*$/, "")}; ${app.frameAncestors}`

/**
 * The path with the session's handle in it.
 *
 * @internal
 */
export const withHandle = (path: string, handle: string): string => path.replace(PLACEHOLDER, `/${handle}`)
