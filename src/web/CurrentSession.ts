/**
 * The session of a request, for the handlers that need one.
 *
 * @since 0.1.0
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConfigurationError } from "../base/ConfigurationError.js"
import { FhirError } from "../fhir/FhirError.js"
import { AuthorizationError } from "../launch/AuthorizationError.js"
import { LaunchError } from "../launch/LaunchError.js"
import { DiscoveryError } from "../server/DiscoveryError.js"
import { isUnreadable, SessionError } from "../session/SessionError.js"
import * as Sessions from "../session/Sessions.js"
import type * as SmartClient from "../smart/SmartClient.js"
import { UnknownServerError } from "../smart/UnknownServerError.js"
import { IdTokenError } from "../token/IdTokenError.js"
import { TokenError } from "../token/TokenError.js"
import type { TokenSet } from "../token/TokenSet.js"
import * as Cookies from "./internal/cookies.js"
import * as ErrorPage from "./internal/errorPage.js"
import { isChanging } from "./internal/requests.js"
import type { Failure } from "./Problem.js"
import * as WebApp from "./WebApp.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** For `FhirClient.forSession` and `Sessions`. A credential: never for a page or a log. */
  readonly id: Sessions.SessionId
  /** Stands for the session in paths, and is no credential. */
  readonly handle: string
  /** As it was stored when the request came: who, which server, which patient. Its access token may be out of date. */
  readonly stored: Sessions.Session
  /** The tokens, renewed as they need to be. */
  readonly tokens: Effect.Effect<TokenSet, Sessions.SessionFailure>
  readonly client: Effect.Effect<SmartClient.Service, SessionError | UnknownServerError>
  /** Where a form of the app posts to, to log out. */
  readonly logoutPath: string
}

/**
 * @since 0.1.0
 * @category tags
 */
export class CurrentSession extends Context.Tag("effect-safire/CurrentSession")<CurrentSession, Service>() {}

/**
 * @since 0.1.0
 * @category tags
 */
export class MaybeSession extends Context.Tag("effect-safire/MaybeSession")<MaybeSession, Option.Option<Service>>() {}

/** What a page with somebody's record on it should say, unless it says something else. */
const DEFAULTS = (app: WebApp.Service): Readonly<Record<string, string>> => ({
  "cache-control": "no-store",
  "content-security-policy": app.frameAncestors,
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff"
})

const withDefaults = (
  app: WebApp.Service,
  response: HttpServerResponse.HttpServerResponse
): HttpServerResponse.HttpServerResponse => {
  const policy = response.headers["content-security-policy"]
  return HttpServerResponse.setHeaders(response, {
    ...Object.fromEntries(Object.entries(DEFAULTS(app)).filter(([name]) => response.headers[name] === undefined)),
    ...(policy === undefined ? {} : { "content-security-policy": WebApp.withFrameAncestors(app, policy) })
  })
}

/**
 * All the sessions of a browser, the latest first.
 *
 * @since 0.1.0
 * @category tags
 */
export class BrowserSessions
  extends Context.Tag("effect-safire/BrowserSessions")<BrowserSessions, ReadonlyArray<Service>>()
{}

const prepare = Effect.gen(function*() {
  const app = yield* WebApp.WebApp
  const sessions = yield* Sessions.Sessions
  const errors = yield* ErrorPage.make(app)

  const found = (id: Sessions.SessionId): Effect.Effect<Option.Option<Service>, SessionError> =>
    Effect.gen(function*() {
      const stored = yield* sessions.session(id)
      const handle = yield* Cookies.handleOf(id)
      return Option.some({
        id,
        handle,
        stored,
        tokens: sessions.tokens(id),
        client: sessions.client(id),
        logoutPath: app.sessionPerLaunch ? `${app.paths.logout}/${handle}` : app.paths.logout
      })
    }).pipe(
      Effect.catchIf(
        isUnreadable,
        (error) =>
          // What cannot be read any more must not keep the person from a new launch.
          Effect.as(error.reason === "NotFound" ? Effect.void : Effect.logWarning(error.message), Option.none())
      )
    )

  const find: Effect.Effect<
    Option.Option<Service>,
    SessionError,
    HttpServerRequest.HttpServerRequest | HttpLayerRouter.RouteContext
  > = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { params } = yield* HttpLayerRouter.RouteContext
    const id = Cookies.sessionOf(app, request, params["session"])
    return Option.isNone(id) ? Option.none() : yield* found(id.value)
  })

  const findAll = (request: HttpServerRequest.HttpServerRequest) =>
    Effect.map(
      Effect.forEach(Cookies.sessionsOf(app, request), found),
      (all) =>
        all.flatMap(Option.toArray).sort((one, other) => DateTime.Order(other.stored.createdAt, one.stored.createdAt))
    )

  const answer = (request: HttpServerRequest.HttpServerRequest, error: Failure) =>
    errors.failed(request, error, { label: "Go to the start page", href: app.afterLogout })

  /** A request that changes something and that another site sent has no session: a cookie for frames (`SameSite=None`) would come with it. */
  const isForged = (request: HttpServerRequest.HttpServerRequest) => isChanging(request) && !app.isSameOrigin(request)

  return { app, errors, find, findAll, answer, isForged }
})

/**
 * Built anew wherever it is provided: two apps in one program would share the first one's, and with it whose cookies count. And its type says what it
 * handles, so that what a handler fails with besides stays visible.
 */
const fresh = <Handles>() =>
<A, E, R, M extends { readonly layer: Layer.Layer<A, E, R> }>(
  middleware: M & { readonly layer: Layer.Layer<A, E, R> }
): M & { readonly layer: Layer.Layer<A | HttpLayerRouter.Request.From<"Error", Handles>, E, R> } =>
  Object.assign(middleware, {
    layer: Layer.fresh(middleware.layer) as Layer.Layer<A | HttpLayerRouter.Request.From<"Error", Handles>, E, R>
  })

/**
 * For routes that need a session: gives it to the handler, answers with a page where there is none, and turns what goes wrong with the session or at the
 * server (`Problem.Failure`) into a page, too. The answer is kept out of caches and of foreign frames.
 *
 * @example
 * import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
 * import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
 * import { CurrentSession } from "effect-safire/web"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * export const WhoAmI = HttpLayerRouter.add(
 *   "GET",
 *   "/who-am-i",
 *   Effect.gen(function*() {
 *     const session = yield* CurrentSession.CurrentSession
 *     const tokens = yield* session.tokens
 *     return HttpServerResponse.text(`patient ${tokens.context.patient}`)
 *   })
 * ).pipe(Layer.provide(CurrentSession.required.layer))
 *
 * @since 0.1.0
 * @category middleware
 */
export const required = fresh<Failure>()(
  HttpLayerRouter.middleware<{ provides: CurrentSession; handles: Failure }>()(
    Effect.map(prepare, ({ answer, app, errors, find, isForged }) => (handler) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (isForged(request)) {
          return yield* errors.respond(
            request,
            "CrossSite",
            `a ${request.method} that no page of the app sent was refused`
          )
        }
        const found = yield* find
        if (Option.isNone(found)) {
          return yield* errors.respond(
            request,
            "SignedOut",
            "a request came without a session, or with one that has ended",
            {
              action: { label: "Go to the start page", href: app.afterLogout }
            }
          )
        }
        return withDefaults(app, yield* Effect.provideService(handler, CurrentSession, found.value))
      }).pipe(
        Effect.catchIf(
          isFailure,
          (error) => Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => answer(request, error))
        )
      ))
  )
)

/** Exhaustive: what `Failure` has and this has not does not compile. */
const CLASSES: { readonly [Tag in Failure["_tag"]]: new(...args: never) => Extract<Failure, { readonly _tag: Tag }> } =
  {
    AuthorizationError,
    ConfigurationError,
    DiscoveryError,
    FhirError,
    IdTokenError,
    LaunchError,
    SessionError,
    TokenError,
    UnknownServerError
  }

/** What the middleware does not handle passes it by unseen: its type says nothing of it, even where an error of the app's has a name of ours. */
function isFailure<E>(error: E | Failure): error is Failure {
  return Object.values(CLASSES).some((one) => error instanceof one)
}

/**
 * For routes that are for everybody and look different with a session: a start page, say.
 *
 * @since 0.1.0
 * @category middleware
 */
export const optional = fresh<never>()(
  HttpLayerRouter.middleware<{ provides: MaybeSession }>()(
    Effect.map(prepare, ({ answer, app, find, isForged }) => (handler) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const found = isForged(request) ? Either.right(Option.none<Service>()) : yield* Effect.either(find)
        if (Either.isLeft(found)) return yield* answer(request, found.left)
        return withDefaults(app, yield* Effect.provideService(handler, MaybeSession, found.right))
      }))
  )
)

/**
 * For a start page where each launch has a session of its own (`WebApp`'s `afterLogin` with `:session`): all that this browser has, and that have not ended.
 *
 * @since 0.1.0
 * @category middleware
 */
export const every = fresh<never>()(
  HttpLayerRouter.middleware<{ provides: BrowserSessions }>()(
    Effect.map(prepare, ({ answer, app, findAll, isForged }) => (handler) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const found = isForged(request) ? Either.right([]) : yield* Effect.either(findAll(request))
        if (Either.isLeft(found)) return yield* answer(request, found.left)
        return withDefaults(app, yield* Effect.provideService(handler, BrowserSessions, found.right))
      }))
  )
)
