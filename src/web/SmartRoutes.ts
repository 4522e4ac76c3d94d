/**
 * The routes of a SMART app: launch, callback, logout and the published keys (SMART App Launch 2.2). They are mounted in an `HttpLayerRouter`, and through
 * `HttpLayerRouter.toWebHandler` in whatever speaks `Request` and `Response`.
 *
 * @since 0.1.0
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ConfigurationError } from "../base/ConfigurationError.js"
import * as SecureRandom from "../base/SecureRandom.js"
import { span } from "../base/Span.js"
import { KeyRotation } from "../client/KeyRotation.js"
import { SigningKeys } from "../client/SigningKeys.js"
import type * as AuthorizationCallback from "../launch/AuthorizationCallback.js"
import { stateOf } from "../launch/AuthorizationCallback.js"
import * as AuthorizationPost from "../launch/AuthorizationPost.js"
import { LaunchError } from "../launch/LaunchError.js"
import * as LaunchRequest from "../launch/LaunchRequest.js"
import type { TrustedIssuers } from "../launch/TrustedIssuers.js"
import type { StartLaunchOptions } from "../session/Sessions.js"
import * as Sessions from "../session/Sessions.js"
import type * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"
import * as CallbackPaths from "./internal/callbackPaths.js"
import * as Cookies from "./internal/cookies.js"
import * as ErrorPage from "./internal/errorPage.js"
import { formOf, hideAddresses, isNavigation, layerRedactedHeaders, queryOf } from "./internal/requests.js"
import type { Problem } from "./Problem.js"
import * as WebApp from "./WebApp.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** Followed with GET, whatever the request was. */
const seeOther = (app: WebApp.Service, location: string): Response =>
  HttpServerResponse.empty({ status: 303, headers: { location } }).pipe(ErrorPage.protect(app))

/** The routes log and answer for themselves: the router's own line would have the whole URL in it. */
const guarded = (
  errors: ErrorPage.ErrorPage,
  name: string,
  handle: (request: Request) => Effect.Effect<Response>
): Effect.Effect<Response, never, Request> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    yield* hideAddresses
    return yield* handle(request).pipe(
      span(name),
      Effect.catchAllDefect((defect) => errors.respond(request, "AppFailed", Cause.pretty(Cause.die(defect))))
    )
  }).pipe(HttpMiddleware.withLoggerDisabled)

/** For what a person goes to. */
const visited =
  (app: WebApp.Service, errors: ErrorPage.ErrorPage, handle: (request: Request) => Effect.Effect<Response>) =>
  (request: Request): Effect.Effect<Response> =>
    isNavigation(app, request)
      ? handle(request)
      : errors.respond(request, "CrossSite", `a ${request.method} that is no navigation was refused`)

/** What a launch URL asks for: an EHR's launch is followed only where the issuer is trusted, a person's names one of the servers or needs only one. */
const readLaunch = (
  request: Request,
  params: URLSearchParams
): Effect.Effect<
  WebApp.Launch & { readonly client: SmartClient.Service },
  Effect.Effect.Error<ReturnType<typeof LaunchRequest.decode>> | Effect.Effect.Error<SmartServers.Service["only"]>,
  SmartServers.SmartServers | TrustedIssuers
> =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const [named, ...others] = params.getAll("server")
    if (others.length > 0) {
      return yield* new LaunchError({ reason: "DuplicateParameter", detail: "server stands in it more than once" })
    }
    if (params.has("iss") || params.has("launch")) {
      const { iss, launch, server } = yield* LaunchRequest.decode(request.url, { server: named })
      return { server, iss, launch, params, client: yield* servers.client(server) }
    }
    const client = yield* named === undefined ? servers.only : servers.client(named)
    return { server: client.name, params, client }
  })

/** A cookie has to carry it. */
const MAX_STANDALONE = 1024

/**
 * The query of a person's launch, to begin again with. A return path that does not lead into the app is left out, and where all of it is too long, whatever is
 * not the routes' own.
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
    const services = yield* Effect.context<SmartServers.SmartServers | TrustedIssuers>()

    const begin = (request: Request) =>
      Effect.gen(function*() {
        const { client, ...launch } = yield* readLaunch(request, queryOf(request))
        if (!CallbackPaths.isMounted(owners, app, client.config.redirectUri)) {
          return yield* new ConfigurationError({
            reason: "Conflict",
            fields: ["redirectUri", "baseUrl"],
            server: client.name,
            detail: `the server is told ${
              client.config.redirectUri ?? "no redirect URI"
            }, the app waits at ${app.callbackUrl}, at the paths one segment below it, and at the redirect URIs that were configured when its routes were made`
          })
        }
        const chosen = yield* app.onLaunch(launch)
        const secret = Redacted.make(yield* SecureRandom.base64Url(random, 32))
        const options: StartLaunchOptions = { ...chosen, server: launch.server, browserBinding: secret }
        const { post, url } = yield* sessions.startLaunch(
          launch.iss === undefined ? options : { ...options, iss: launch.iss, launch: launch.launch }
        )
        const response = post === undefined
          ? seeOther(app, url.href)
          : HttpServerResponse.text(post.html, { contentType: "text/html; charset=utf-8" }).pipe(
            ErrorPage.protect(app, AuthorizationPost.contentSecurityPolicy)
          )
        return yield* Cookies.setLaunch(
          app,
          request,
          Redacted.make(url.searchParams.get("state") ?? ""),
          { secret, standalone: standaloneOf(app, launch) },
          client.config.authorizationMaxAge ?? "30 minutes"
        )(response)
      }).pipe(
        Effect.provide(services),
        Effect.catchAll((error) => errors.failed(request, error))
      )

    return HttpLayerRouter.route(
      "GET",
      routePath(app.paths.launch),
      guarded(errors, "SmartRoutes.launch", visited(app, errors, begin))
    )
  })

/** A form is small; whoever sends more is no authorization server. */
const MAX_FORM_BYTES = 64 * 1024

const callbackRoutes = (owners: CallbackPaths.Owners) =>
  Effect.gen(function*() {
    const app = yield* WebApp.WebApp
    const servers = yield* SmartServers.SmartServers
    const sessions = yield* Sessions.Sessions
    const errors = yield* ErrorPage.make(app)

    const again = (standalone: URLSearchParams | undefined): Problem["action"] =>
      standalone === undefined
        ? undefined
        : { label: "Start again", href: `${app.paths.launch}?${standalone.toString()}` }

    /** The session that the new one takes the place of: nobody has its id any more, but for thieves. */
    const forget = (old: Sessions.SessionId, id: Sessions.SessionId): Effect.Effect<void> =>
      Redacted.value(old) === Redacted.value(id)
        ? Effect.void
        : Effect.catchAll(
          sessions.remove(old),
          (error) => Effect.logWarning(`A replaced session stays: ${error.message}`)
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
            "a callback came to a browser that waits for none with its state"
          )
        }
        const launch = found.value
        const outcome = yield* Effect.either(sessions.completeLaunch(callback, { browserBinding: launch.secret }))
        if (Either.isLeft(outcome)) {
          const page = yield* errors.failed(request, outcome.left, again(launch.standalone))
          return Sessions.isCallbackRetryable(outcome.left) ? page : yield* Cookies.clearLaunch(app, state.right)(page)
        }
        const id = outcome.right
        const handle = yield* Cookies.handleOf(id)
        const path = WebApp.returnPath(app, launch.standalone?.get("return") ?? "") ?? app.afterLogin
        const response = seeOther(app, app.origin + WebApp.withHandle(path, handle))
        const replaced = app.sessionPerLaunch ? Option.none() : Cookies.sessionOf(app, request, undefined)
        if (Option.isSome(replaced)) yield* forget(replaced.value, id)
        return yield* response.pipe(
          Cookies.setSession(app, request, id, handle),
          Cookies.clearCompletedLaunches(app, request, () => !app.sessionPerLaunch),
          // Kept a while, so that a second delivery (a double click, a reload) finds its session.
          Cookies.setLaunch(app, request, state.right, { ...launch, session: handle }, "10 minutes")
        )
      })

    const parametersOf = (method: string, request: Request): Effect.Effect<URLSearchParams> =>
      method === "GET"
        ? Effect.succeed(queryOf(request))
        // What cannot be read has no parameters, which is what `stateOf` will say. A redirect URI may have parameters of its own.
        : Effect.map(
          formOf(request, MAX_FORM_BYTES),
          (form) => new URLSearchParams([...queryOf(request), ...form])
        )

    return CallbackPaths.routes(owners, app, yield* servers.redirectUris, (method, path) =>
      guarded(
        errors,
        "SmartRoutes.callback",
        visited(app, errors, (request) =>
          Effect.flatMap(parametersOf(method, request), (parameters) => {
            // As a URL: a callback counts only at the redirect URI that its launch sent.
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

  /** Where the server ends its own session. What cannot be found out keeps nobody from leaving. */
  const serverLogout = ({ server, tokens }: Sessions.Session): Effect.Effect<Option.Option<string>> =>
    Effect.gen(function*() {
      const client = yield* servers.client(server)
      const url = yield* client.logoutUrl(tokens, { postLogoutRedirectUri: app.origin + app.afterLogout })
      return Option.map(url, (redacted) => Redacted.value(redacted).href)
    }).pipe(
      Effect.tapError((error) => Effect.logWarning(`The session ends here, not at the server: ${error.message}`)),
      Effect.orElseSucceed(() => Option.none())
    )

  const logout = (request: Request, handle: string | undefined): Effect.Effect<Response> =>
    Effect.gen(function*() {
      if (!app.isSameOrigin(request)) {
        return yield* errors.respond(request, "CrossSite", "a logout that no page of the app sent was refused")
      }
      const id = Cookies.sessionOf(app, request, handle)
      if (Option.isNone(id)) return seeOther(app, app.origin + app.afterLogout)
      // Read while it is there: the server knows the session by its id_token.
      const stored = app.endServerSession ? yield* Effect.option(sessions.session(id.value)) : Option.none()
      const ended = yield* Effect.either(sessions.revoke(id.value))
      const elsewhere = yield* Option.match(stored, { onNone: () => Effect.succeedNone, onSome: serverLogout })
      const response = Either.isLeft(ended)
        ? yield* errors.failed(request, ended.left)
        : seeOther(app, Option.getOrElse(elsewhere, () => app.origin + app.afterLogout))
      // Whatever the store said: this browser is out.
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
      ({ params }) => guarded(errors, "SmartRoutes.logout", (request) => logout(request, params["session"]))
    )
  )
})

/** The paths were judged when the app was made. */
const routePath = (path: string): HttpLayerRouter.PathInput => path as HttpLayerRouter.PathInput

/**
 * The routes: `GET` launch, for EHRs (`iss`, `launch`, and `server` where an app is registered twice) and for people (`server`, and `return` with a path
 * of the app); `GET` and `POST` callback, at the path of `WebApp`, one segment below it, and at the redirect URIs of the servers that are configured when the
 * layer is built; `POST` logout, from the app's own pages only. What goes wrong becomes a page for the person (`Problem`) and a line in the log, with the
 * same reference.
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

/**
 * @since 0.1.0
 * @category models
 */
export interface JwksOptions {
  /** Default `/.well-known/jwks.json`. */
  readonly path?: HttpLayerRouter.PathInput | undefined
  /** How long servers may keep the keys. Default 5 minutes; where `KeyRotation` is provided, never longer than it waits for. */
  readonly maxAge?: Duration.DurationInput | undefined
}

/**
 * The public half of the signing keys, for the servers this app is registered at by `jwks_uri` (SMART App Launch 2.2, "Client Authentication: Asymmetric").
 * Read anew for each request, since keys rotate.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerJwks = (
  options: JwksOptions = {}
): Layer.Layer<never, never, HttpLayerRouter.HttpRouter | SigningKeys> =>
  HttpLayerRouter.addAll(Effect.gen(function*() {
    const { publicJwks } = yield* SigningKeys
    const rotation = yield* Effect.serviceOption(KeyRotation)
    const asked = Duration.decode(options.maxAge ?? "5 minutes")
    const maxAge = Option.match(rotation, {
      onNone: () => asked,
      onSome: (rotation) => Duration.min(asked, rotation.maxAge)
    })
    const headers = {
      "cache-control": `public, max-age=${Math.floor(Duration.toSeconds(maxAge))}`,
      "x-content-type-options": "nosniff"
    }
    return [
      HttpLayerRouter.route(
        "GET",
        options.path ?? "/.well-known/jwks.json",
        Effect.map(
          publicJwks,
          (jwks) => HttpServerResponse.text(JSON.stringify(jwks), { contentType: "application/json", headers })
        )
      )
    ]
  }))
