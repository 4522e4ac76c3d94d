/**
 * The routes of a SMART app for an `HttpLayerRouter`: launch, callback, logout and the published keys (SMART App Launch
 * 2.2). `HttpLayerRouter.toWebHandler` mounts them in frameworks that use `Request` and `Response`.
 *
 * @since 0.1.0
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { configurationError } from "../base/ConfigurationError.js"
import { withService } from "../base/FiberEnvironment.js"
import * as SecureRandom from "../base/SecureRandom.js"
import { span } from "../base/Span.js"
import type * as AuthorizationCallback from "../launch/AuthorizationCallback.js"
import { stateOf } from "../launch/AuthorizationCallback.js"
import * as AuthorizationPost from "../launch/AuthorizationPost.js"
import { LaunchError } from "../launch/LaunchError.js"
import * as LaunchRequest from "../launch/LaunchRequest.js"
import type { TrustedIssuers } from "../launch/TrustedIssuers.js"
import * as Sessions from "../session/Sessions.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import * as CallbackPaths from "./internal/callbackPaths.js"
import * as Cookies from "./internal/cookies.js"
import * as ErrorPage from "./internal/errorPage.js"
import { formOf, hideAddresses, isNavigation, layerRedactedHeaders, queryOf } from "./internal/requests.js"
import type { Problem } from "./Problem.js"
import * as WebApp from "./WebApp.js"

export { type JwksOptions, layerJwks } from "./internal/jwksRoute.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** The browser follows a 303 with GET. */
const seeOther = (app: WebApp.Service, location: string): Response =>
  HttpServerResponse.empty({ status: 303, headers: { location, ...ErrorPage.protection(app) } })

/** Handles defects and logs; the logger of the router is off, because it would log the whole URL. */
const handleSafely = (
  errors: ErrorPage.ErrorPage,
  name: string,
  handle: (request: Request) => Effect.Effect<Response>
): Effect.Effect<Response, never, Request> =>
  withService(HttpServerRequest.HttpServerRequest, (request) =>
    Effect.zipRight(
      hideAddresses,
      Effect.catchAllDefect(
        span(name)(handle(request)),
        (defect) => errors.respond(request, "AppFailed", Cause.pretty(Cause.die(defect)))
      )
    )).pipe(HttpMiddleware.withLoggerDisabled)

/** Accepts only navigations of a browser. */
const onNavigation =
  (app: WebApp.Service, errors: ErrorPage.ErrorPage, handle: (request: Request) => Effect.Effect<Response>) =>
  (request: Request): Effect.Effect<Response> =>
    isNavigation(app, request)
      ? handle(request)
      : errors.respond(request, "CrossSite", `a ${request.method} request was refused because it is not a navigation`)

/**
 * Parses a launch URL: an EHR launch of a trusted issuer, or a standalone launch with a server. One server is the
 * default.
 */
const readLaunch = (
  request: Request,
  params: URLSearchParams,
  servers: SmartServers.Service,
  services: Context.Context<TrustedIssuers>
): Effect.Effect<
  WebApp.Launch & { readonly client: SmartClient.Service },
  Effect.Effect.Error<ReturnType<typeof LaunchRequest.decode>> | Effect.Effect.Error<SmartServers.Service["only"]>
> =>
  Effect.gen(function*() {
    const [named, ...others] = params.getAll("server")
    if (others.length > 0) {
      return yield* new LaunchError({
        reason: "DuplicateParameter",
        detail: "the parameter server occurs more than once"
      })
    }
    if (params.has("iss") || params.has("launch")) {
      const decoded = Effect.provide(LaunchRequest.decode(request.url, { server: named }), services)
      const { iss, launch, server } = yield* decoded
      return { server, iss, launch, params, client: yield* servers.client(server) }
    }
    const client = yield* named === undefined ? servers.only : servers.client(named)
    return { server: client.name, params, client }
  })

/** The length is limited by the size of a cookie. */
const MAX_STANDALONE = 1024

/**
 * The query to repeat a standalone launch with. A return path outside of the app is left out; if the query is too long,
 * the parameters of the app are left out, too.
 */
const standaloneOf = (
  app: WebApp.Service,
  { iss, params, server }: WebApp.Launch
): URLSearchParams | undefined => {
  if (iss !== undefined) return undefined
  const back = WebApp.returnPath(app, params.get("return") ?? "")
  const own: ReadonlyArray<readonly [string, string]> = [
    ["server", server],
    ...(back === undefined ? [] : [["return", back] as const])
  ]
  const all = new URLSearchParams([
    ...own.map(([name, value]) => [name, value]),
    ...Array.from(params).filter(([name]) => name !== "server" && name !== "return")
  ])
  return all.toString().length <= MAX_STANDALONE ? all : new URLSearchParams(own.map(([name, value]) => [name, value]))
}

const launchRoute = (owners: CallbackPaths.Owners) =>
  Effect.gen(function*() {
    const app = yield* WebApp.WebApp
    const sessions = yield* Sessions.Sessions
    const random = yield* SecureRandom.SecureRandom
    const errors = yield* ErrorPage.make(app)
    const servers = yield* SmartServers.SmartServers
    const services = yield* Effect.context<TrustedIssuers>()

    const start = (request: Request) =>
      Effect.gen(function*() {
        const { client, ...launch } = yield* readLaunch(request, queryOf(request), servers, services)
        if (!CallbackPaths.isMounted(owners, app, client.config.redirectUri)) {
          return yield* configurationError(
            "Conflict",
            ["redirectUri", "baseUrl"],
            `the redirect URI ${
              client.config.redirectUri ?? "(none)"
            } has no route: the app has routes at ${app.callbackUrl}, one segment below it, and at the redirect URIs that were configured when the layer was built`,
            client.name
          )
        }
        const chosen = yield* app.onLaunch(launch)
        const secret = Redacted.make(yield* SecureRandom.base64Url(random, 32))
        const options: Sessions.StartLaunchOptions = { ...chosen, server: launch.server, browserBinding: secret }
        const { post, url } = yield* sessions.startLaunch(
          launch.iss === undefined ? options : { ...options, iss: launch.iss, launch: launch.launch }
        )
        const response = post === undefined
          ? seeOther(app, url.href)
          : HttpServerResponse.text(AuthorizationPost.toHtml(post), { contentType: "text/html; charset=utf-8" }).pipe(
            ErrorPage.protect(app, AuthorizationPost.contentSecurityPolicy)
          )
        return yield* Cookies.setLaunch(
          app,
          request,
          Redacted.make(url.searchParams.get("state") ?? ""),
          { secret, standalone: standaloneOf(app, launch) },
          client.config.authorizationMaxAge ?? "30 minutes"
        )(response)
      }).pipe(Effect.catchAll((error) => errors.failed(request, error)))

    return HttpLayerRouter.route(
      "GET",
      routePath(app.paths.launch),
      handleSafely(errors, "SmartRoutes.launch", onNavigation(app, errors, start))
    )
  })

/** A form of an authorization server is much smaller. */
const MAX_FORM_BYTES = 64 * 1024

const callbackRoutes = (owners: CallbackPaths.Owners) =>
  Effect.gen(function*() {
    const app = yield* WebApp.WebApp
    const servers = yield* SmartServers.SmartServers
    const sessions = yield* Sessions.Sessions
    const errors = yield* ErrorPage.make(app)

    const startAgain = (standalone: URLSearchParams | undefined): Problem["action"] =>
      standalone === undefined
        ? undefined
        : { label: "Start again", href: `${app.paths.launch}?${standalone.toString()}` }

    /** Removes the session that the new session replaces: only an attacker could still use its id. */
    const removeReplaced = (old: Sessions.SessionId, id: Sessions.SessionId): Effect.Effect<void> =>
      Redacted.value(old) === Redacted.value(id)
        ? Effect.void
        : Effect.catchAll(
          sessions.remove(old),
          (error) => Effect.logWarning(`The replaced session could not be removed: ${error.message}`)
        )

    const complete = (request: Request, callback: AuthorizationCallback.Callback): Effect.Effect<Response> =>
      Effect.gen(function*() {
        const state = stateOf(callback)
        if (Either.isLeft(state)) return yield* errors.failed(request, state.left)
        const found = yield* Cookies.launchOf(request, state.right)
        if (Option.isNone(found)) {
          return yield* errors.respond(
            request,
            "LaunchOver",
            "the browser has no pending launch with the state of this callback"
          )
        }
        const launch = found.value
        const outcome = yield* Effect.either(sessions.completeLaunch(callback, { browserBinding: launch.secret }))
        if (Either.isLeft(outcome)) {
          const page = yield* errors.failed(request, outcome.left, startAgain(launch.standalone))
          return Sessions.isCallbackRetryable(outcome.left) ? page : yield* Cookies.clearLaunch(app, state.right)(page)
        }
        const id = outcome.right
        const handle = yield* Cookies.handleOf(id)
        const path = WebApp.returnPath(app, launch.standalone?.get("return") ?? "") ?? app.afterLogin
        const response = seeOther(app, app.origin + WebApp.withHandle(path, handle))
        const replaced = app.sessionPerLaunch ? Option.none() : Cookies.sessionOf(app, request, undefined)
        if (Option.isSome(replaced)) yield* removeReplaced(replaced.value, id)
        return yield* response.pipe(
          Cookies.setSession(app, request, id, handle),
          Cookies.clearCompletedLaunches(app, request, () => !app.sessionPerLaunch),
          // For ten minutes a reload or a double click of the callback finds its session.
          Cookies.setLaunch(app, request, state.right, { ...launch, session: handle }, "10 minutes")
        )
      })

    const parametersOf = (method: string, request: Request): Effect.Effect<URLSearchParams> =>
      method === "GET"
        ? Effect.succeed(queryOf(request))
        // A malformed form has no parameters, and `stateOf` reports it. The redirect URI may have parameters of its
        // own.
        : Effect.map(
          formOf(request, MAX_FORM_BYTES),
          (form) => new URLSearchParams([...queryOf(request), ...form])
        )

    return CallbackPaths.routes(owners, app, yield* servers.redirectUris, (method, path) =>
      handleSafely(
        errors,
        "SmartRoutes.callback",
        onNavigation(app, errors, (request) =>
          Effect.flatMap(parametersOf(method, request), (parameters) => {
            // `completeLaunch` compares the URL with the redirect URI of the launch.
            const address = new URL(app.origin + path)
            address.search = parameters.toString()
            return complete(request, address)
          }))
      ))
  })

const logoutRoute = Effect.gen(function*() {
  const app = yield* WebApp.WebApp
  const servers = yield* SmartServers.SmartServers
  const sessions = yield* Sessions.Sessions
  const errors = yield* ErrorPage.make(app)

  /** The URL that ends the session at the server. An error here does not prevent the logout. */
  const serverLogout = ({ server, tokens }: Sessions.Session): Effect.Effect<Option.Option<string>> =>
    Effect.gen(function*() {
      const client = yield* servers.client(server)
      const url = yield* client.logoutUrl(tokens, { postLogoutRedirectUri: app.origin + app.afterLogout })
      return Option.map(url, (redacted) => Redacted.value(redacted).href)
    }).pipe(
      Effect.tapError((error) =>
        Effect.logWarning(`The session ends in this app, but not at the server: ${error.message}`)
      ),
      Effect.orElseSucceed(() => Option.none())
    )

  const logout = (request: Request, handle: string | undefined): Effect.Effect<Response> =>
    Effect.gen(function*() {
      if (!app.isSameOrigin(request)) {
        return yield* errors.respond(request, "CrossSite", "a logout from outside of the app was refused")
      }
      const id = Cookies.sessionOf(app, request, handle)
      if (Option.isNone(id)) return seeOther(app, app.origin + app.afterLogout)
      // Read before the session is removed: its id_token identifies the session at the server.
      const stored = app.endServerSession ? yield* Effect.option(sessions.session(id.value)) : Option.none()
      const revoked = yield* Effect.either(sessions.revoke(id.value))
      const serverLogoutUrl = yield* Option.match(stored, { onNone: () => Effect.succeedNone, onSome: serverLogout })
      const response = Either.isLeft(revoked)
        ? yield* errors.failed(request, revoked.left)
        : seeOther(app, Option.getOrElse(serverLogoutUrl, () => app.origin + app.afterLogout))
      // The cookies are cleared even if the session store failed.
      return response.pipe(
        Cookies.clearSession(app, handle),
        Cookies.clearCompletedLaunches(app, request, (session) => !app.sessionPerLaunch || session === handle)
      )
    })

  return HttpLayerRouter.route(
    "POST",
    routePath(app.sessionPerLaunch ? `${app.paths.logout}/:session` : app.paths.logout),
    Effect.flatMap(
      HttpLayerRouter.RouteContext,
      ({ params }) => handleSafely(errors, "SmartRoutes.logout", (request) => logout(request, params["session"]))
    )
  )
})

/** `WebApp.make` has validated the paths. */
const routePath = (path: string): HttpLayerRouter.PathInput => path as HttpLayerRouter.PathInput

/**
 * The routes: `GET` launch for EHRs (`iss`, `launch`, and `server` if the app is registered twice) and for users
 * (`server`, and `return` with a path of the app); `GET` and `POST` callback at the path of `WebApp`, one segment below
 * it, and at the redirect URIs of the servers that are configured when the layer is built; `POST` logout, only from
 * pages of the app. A failure becomes a page for the user (`Problem`) and a log message, with the same reference.
 *
 * @example
 * import { SmartServers } from "effect-safire"
 * import { SmartRoutes, WebApp } from "effect-safire/web"
 * import * as Layer from "effect/Layer"
 *
 * export const Routes = SmartRoutes.layer.pipe(
 *   Layer.provide(WebApp.layer({ baseUrl: "https://app.example", afterLogin: "/patient" })),
 *   Layer.provide(SmartServers.layerTrustedIssuers)
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  never,
  never,
  HttpLayerRouter.HttpRouter | WebApp.WebApp | Sessions.Sessions | SmartServers.SmartServers | TrustedIssuers
> = Layer.fresh(Layer.merge(
  layerRedactedHeaders,
  HttpLayerRouter.use((router) =>
    Effect.gen(function*() {
      const app = [yield* WebApp.WebApp, yield* Sessions.Sessions]
      const { apps, owners } = CallbackPaths.mountedOn(router)
      if (apps.some((other) => other.every((service, i) => service === app[i]))) return
      apps.push(app)
      yield* router.addAll([yield* launchRoute(owners), ...(yield* callbackRoutes(owners)), yield* logoutRoute])
    })
  )
))
