/**
 * Middleware that provides handlers with the session of their request.
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
import { ClientAuthenticationError } from "../client/ClientAuthenticationError.js"
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
 * The session of a request.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** For `FhirClient.forSession` and `Sessions`. It is a credential: do not write it into a page or a log. */
  readonly id: Sessions.SessionId
  /** Identifies the session in paths. It is not a credential. */
  readonly handle: string
  /** The session as stored when the request came. Its access token may have expired. */
  readonly stored: Sessions.Session
  /** The tokens, renewed when necessary. */
  readonly tokens: Effect.Effect<TokenSet, Sessions.SessionFailure>
  readonly client: Effect.Effect<SmartClient.Service, SessionError | UnknownServerError>
  /** The `action` of a logout form. */
  readonly logoutPath: string
}

/**
 * The tag of the session that `required` provides.
 *
 * @since 0.1.0
 * @category tags
 */
export class CurrentSession extends Context.Tag("effect-safire/CurrentSession")<CurrentSession, Service>() {}

/**
 * The tag of the session that `optional` provides.
 *
 * @since 0.1.0
 * @category tags
 */
export class MaybeSession extends Context.Tag("effect-safire/MaybeSession")<MaybeSession, Option.Option<Service>>() {}

/** The default headers of a page with health data. */
const defaultHeaders = (app: WebApp.Service): Readonly<Record<string, string>> => ({
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
    ...Object.fromEntries(Object.entries(defaultHeaders(app)).filter(([name]) => response.headers[name] === undefined)),
    ...(policy === undefined ? {} : { "content-security-policy": WebApp.withFrameAncestors(app, policy) })
  })
}

/**
 * All sessions of a browser, the latest first.
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
  const startPage = { label: "Go to the start page", href: app.afterLogout }

  const load = (id: Sessions.SessionId): Effect.Effect<Option.Option<Service>, SessionError> =>
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
          // An unreadable session must not prevent a new launch.
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
    return Option.isNone(id) ? Option.none() : yield* load(id.value)
  })

  const findAll = (request: HttpServerRequest.HttpServerRequest) =>
    Effect.map(
      Effect.forEach(Cookies.sessionsOf(app, request), load),
      (all) =>
        all.flatMap(Option.toArray).sort((one, other) => DateTime.Order(other.stored.createdAt, one.stored.createdAt))
    )

  const failed = (request: HttpServerRequest.HttpServerRequest, error: Failure) =>
    errors.failed(request, error, startPage)

  /** Another site made the browser send it. In frames (`SameSite=None`) the session cookie comes with it. */
  const isForged = (request: HttpServerRequest.HttpServerRequest) => isChanging(request) && !app.isSameOrigin(request)

  return { app, errors, failed, find, findAll, isForged, startPage }
})

/**
 * A new instance for each use: two apps in one program need different cookies. The type states which errors the
 * middleware handles, so that the other errors of a handler stay visible.
 */
const fresh = <Handles>() =>
<A, E, R, M extends { readonly layer: Layer.Layer<A, E, R> }>(
  middleware: M & { readonly layer: Layer.Layer<A, E, R> }
): M & { readonly layer: Layer.Layer<A | HttpLayerRouter.Request.From<"Error", Handles>, E, R> } =>
  Object.assign(middleware, {
    layer: Layer.fresh(middleware.layer) as Layer.Layer<A | HttpLayerRouter.Request.From<"Error", Handles>, E, R>
  })

/**
 * For routes that need a session. Without one, and for the errors of this library (`Problem.Failure`), the browser gets
 * a page. The response is not cached, and may not be framed by other sites.
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
    Effect.map(prepare, ({ app, errors, failed, find, isForged, startPage }) => (handler) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        if (isForged(request)) {
          return yield* errors.respond(
            request,
            "CrossSite",
            `a ${request.method} request from outside of the app was refused`
          )
        }
        const found = yield* find
        if (Option.isNone(found)) {
          return yield* errors.respond(request, "SignedOut", "a request had no session, or one that has ended", {
            action: startPage
          })
        }
        return withDefaults(app, yield* Effect.provideService(handler, CurrentSession, found.value))
      }).pipe(
        Effect.catchIf(
          isFailure,
          (error) => Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => failed(request, error))
        )
      ))
  )
)

/** Exhaustive: a class of `Failure` that is missing here is a compile error. */
const CLASSES: { readonly [Tag in Failure["_tag"]]: new(...args: never) => Extract<Failure, { readonly _tag: Tag }> } =
  {
    AuthorizationError,
    ClientAuthenticationError,
    ConfigurationError,
    DiscoveryError,
    FhirError,
    IdTokenError,
    LaunchError,
    SessionError,
    TokenError,
    UnknownServerError
  }

/** By class, not by tag: an error of the app may have the same tag, and the middleware does not handle it. */
function isFailure<E>(error: E | Failure): error is Failure {
  return Object.values(CLASSES).some((one) => error instanceof one)
}

/** Provides a handler with the sessions that `find` finds; a forged request has none. */
const provideSessions = <Id, A, E, R, R1>(
  { app, failed, isForged }: Effect.Effect.Success<typeof prepare>,
  tag: Context.Tag<Id, A>,
  none: A,
  find: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<A, SessionError, R1>,
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const found = isForged(request) ? Either.right(none) : yield* Effect.either(find(request))
    return Either.isLeft(found)
      ? yield* failed(request, found.left)
      : withDefaults(app, yield* Effect.provideService(handler, tag, found.right))
  })

/**
 * For routes with and without a session, such as a start page.
 *
 * @since 0.1.0
 * @category middleware
 */
export const optional = fresh<never>()(
  HttpLayerRouter.middleware<{ provides: MaybeSession }>()(
    Effect.map(
      prepare,
      (prepared) => (handler) =>
        provideSessions(prepared, MaybeSession, Option.none<Service>(), () => prepared.find, handler)
    )
  )
)

/**
 * All sessions of the browser, for a start page of an app with a session for each launch (`:session` in `afterLogin`).
 *
 * @since 0.1.0
 * @category middleware
 */
export const every = fresh<never>()(
  HttpLayerRouter.middleware<{ provides: BrowserSessions }>()(
    Effect.map(
      prepare,
      (prepared) => (handler) => provideSessions(prepared, BrowserSessions, [], prepared.findAll, handler)
    )
  )
)
