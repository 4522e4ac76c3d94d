/**
 * The two kinds of cookie: a session's, and a pending launch's. Both have the prefix `__Host-`, so that neither another host of the domain nor a
 * connection without TLS can plant one.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SessionId } from "../session/Sessions.js"
import type * as WebApp from "./WebApp.js"

/** Too many cookies make a header that servers refuse; whoever has so many can do without the oldest. */
const MAX_SESSIONS = 20
const MAX_LAUNCHES = 12

const LAUNCH = "__Host-launch-"

const digest = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (bytes) => Encoding.encodeBase64Url(new Uint8Array(bytes)).slice(0, 22)
  )

/** What stands for a session in a path: says nothing of the session's id, and is the same whenever it is asked for. */
export const handleOf = (id: SessionId): Effect.Effect<string> => digest(`handle ${Redacted.value(id)}`)

const attributes = (app: WebApp.Service) =>
  ({ httpOnly: true, secure: true, path: "/", partitioned: app.isEmbedded || undefined }) as const

const sessionCookieName = (app: WebApp.Service, handle: string | undefined): string =>
  handle === undefined ? app.sessionCookie : `${app.sessionCookie}-${handle}`

const sessionAttributes = (app: WebApp.Service) =>
  ({ ...attributes(app), sameSite: app.isEmbedded ? "none" : "lax" }) as const

const expire = (
  response: HttpServerResponse.HttpServerResponse,
  name: string,
  options: ReturnType<typeof attributes>
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeSetCookie(response, name, "", { ...options, maxAge: 0 })

/** A browser names the cookies it got first first. */
const beyond = (request: HttpServerRequest.HttpServerRequest, prefix: string, max: number, keep: string) => {
  const names = Object.keys(request.cookies).filter((name) => name.startsWith(prefix) && name !== keep)
  return names.slice(0, Math.max(0, names.length + 1 - max))
}

/** The session a request comes with: `handle` is the one in its path, where each launch has its own. */
export const sessionOf = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  handle: string | undefined
): Option.Option<SessionId> => {
  if (app.sessionPerLaunch && handle === undefined) return Option.none()
  const value = request.cookies[sessionCookieName(app, app.sessionPerLaunch ? handle : undefined)]
  return value === undefined || value === "" ? Option.none() : Option.some(Redacted.make(value))
}

/** The browser has this session from now on. */
export const setSession = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  id: SessionId,
  handle: string
) =>
(response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse => {
  const name = sessionCookieName(app, app.sessionPerLaunch ? handle : undefined)
  const options = sessionAttributes(app)
  const set = HttpServerResponse.unsafeSetCookie(response, name, Redacted.value(id), options)
  return beyond(request, `${app.sessionCookie}-`, MAX_SESSIONS, name)
    .reduce((response, old) => expire(response, old, options), set)
}

export const clearSession =
  (app: WebApp.Service, handle: string | undefined) =>
  (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
    expire(response, sessionCookieName(app, app.sessionPerLaunch ? handle : undefined), sessionAttributes(app))

/** What a browser keeps while the person is at the server. */
export interface LaunchCookie {
  /** Makes the callback good in this browser alone. */
  readonly secret: Redacted.Redacted
  /** The query of a launch that a person began here: where to go afterwards, and how to begin again. */
  readonly standalone: URLSearchParams | undefined
}

/** Names tell launches apart, so that several can be under way; a name says nothing of the state. */
const launchCookieName = (state: Redacted.Redacted): Effect.Effect<string> =>
  Effect.map(digest(Redacted.value(state)), (id) => `${LAUNCH}${id}`)

// A callback that is posted comes from another site, and a Lax cookie would not come with it.
const launchAttributes = (app: WebApp.Service) => ({ ...attributes(app), sameSite: "none" }) as const

export const launchOf = (
  request: HttpServerRequest.HttpServerRequest,
  state: Redacted.Redacted
): Effect.Effect<Option.Option<LaunchCookie>> =>
  Effect.map(launchCookieName(state), (name) => {
    const [secret, query] = (request.cookies[name] ?? "").split(".")
    if (secret === undefined || secret === "") return Option.none()
    const standalone = query === undefined
      ? undefined
      : Option.map(Option.getRight(Encoding.decodeBase64UrlString(query)), (text) => new URLSearchParams(text))
    return Option.some({
      secret: Redacted.make(secret),
      standalone: standalone === undefined ? undefined : Option.getOrUndefined(standalone)
    })
  })

export const setLaunch = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  state: Redacted.Redacted,
  launch: LaunchCookie,
  maxAge: Duration.DurationInput
) =>
(response: HttpServerResponse.HttpServerResponse): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.map(launchCookieName(state), (name) => {
    const query = launch.standalone === undefined ? "" : `.${Encoding.encodeBase64Url(launch.standalone.toString())}`
    const options = launchAttributes(app)
    const set = HttpServerResponse.unsafeSetCookie(
      response,
      name,
      Redacted.value(launch.secret) + query,
      { ...options, maxAge: Duration.decode(maxAge) }
    )
    return beyond(request, LAUNCH, MAX_LAUNCHES, name).reduce((response, old) => expire(response, old, options), set)
  })

export const clearLaunch =
  (app: WebApp.Service, state: Redacted.Redacted) =>
  (response: HttpServerResponse.HttpServerResponse): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
    Effect.map(launchCookieName(state), (name) => expire(response, name, launchAttributes(app)))
