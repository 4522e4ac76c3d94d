/**
 * The cookies of sessions and of pending launches. With the prefix `__Host-`, neither another host of the domain nor a
 * connection without TLS can set them.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Sha256 from "../../base/Sha256.js"
import type { SessionId } from "../../session/Sessions.js"
import type * as WebApp from "../WebApp.js"

/** Servers reject requests with too many cookies: beyond these limits the oldest cookies are removed. */
const MAX_SESSIONS = 20
const MAX_LAUNCHES = 12
const MAX_LAUNCH_BYTES = 4096

const LAUNCH = "__Host-launch-"

const digest = (text: string): Effect.Effect<string> =>
  Effect.map(Sha256.base64Url(text), (digest) => digest.slice(0, 22))

/** The handle of a session in paths: a digest, which does not reveal the session id. */
export const handleOf = (id: SessionId): Effect.Effect<string> => digest(`handle ${Redacted.value(id)}`)

/** One object literal: V8 is slow to add a key after a spread. */
const attributes = (app: WebApp.Service, sameSite: "lax" | "none", maxAge?: Duration.DurationInput) => ({
  httpOnly: true,
  secure: true,
  path: "/",
  partitioned: app.isEmbedded || undefined,
  sameSite,
  maxAge
} as const)

const sessionCookieName = (app: WebApp.Service, handle: string | undefined): string =>
  handle === undefined ? app.sessionCookie : `${app.sessionCookie}-${handle}`

const sessionAttributes = (app: WebApp.Service, maxAge?: Duration.DurationInput) =>
  attributes(app, app.isEmbedded ? "none" : "lax", maxAge)

/** All in one call, because each change of a response copies all cookies. */
const expire = (
  response: HttpServerResponse.HttpServerResponse,
  names: ReadonlyArray<string>,
  ended: ReturnType<typeof attributes>
): HttpServerResponse.HttpServerResponse =>
  names.length === 0
    ? response
    : HttpServerResponse.unsafeSetCookies(response, names.map((name) => [name, "", ended] as const))

const isBlank = (character: string | undefined): boolean => character === " " || character === "\t"

/** Trims blanks and tabs. A regular expression would take quadratic time. */
const trimmed = (text: string): string => {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text[from])) from++
  while (to > from && isBlank(text[to - 1])) to--
  return text.slice(from, to)
}

/**
 * The cookies of a request. Names are trimmed as browsers do, so that trimming cannot create the prefix `__Host-`.
 * Cookies with the same name are all ignored.
 */
const cookiesOf = ({ headers }: HttpServerRequest.HttpServerRequest): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  const doubled = new Set<string>()
  for (const pair of (headers["cookie"] ?? "").split(";")) {
    const mark = pair.indexOf("=")
    if (mark < 0) continue
    const name = trimmed(pair.slice(0, mark))
    if (found.has(name)) doubled.add(name)
    found.set(name, trimmed(pair.slice(mark + 1)))
  }
  for (const name of doubled) found.delete(name)
  return found
}

/** The names of the cookies beyond the limits. Browsers send the oldest cookies first. */
const oldestBeyond = (
  request: HttpServerRequest.HttpServerRequest,
  prefix: string,
  most: { readonly count: number; readonly bytes: number },
  added: { readonly name: string; readonly value: string }
): ReadonlyArray<string> => {
  const others = Array.from(cookiesOf(request)).filter(([name]) => name.startsWith(prefix) && name !== added.name)
  let bytes = others.reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    added.name.length + added.value.length
  )
  const removed: Array<string> = []
  for (const [name, value] of others) {
    if (others.length - removed.length < most.count && bytes <= most.bytes) break
    removed.push(name)
    bytes -= name.length + value.length
  }
  return removed
}

/** The session of a request; `handle` is from its path if each launch has its own session. */
export const sessionOf = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  handle: string | undefined
): Option.Option<SessionId> => {
  if (app.sessionPerLaunch && handle === undefined) return Option.none()
  const value = cookiesOf(request).get(sessionCookieName(app, app.sessionPerLaunch ? handle : undefined))
  return value === undefined || value === "" ? Option.none() : Option.some(Redacted.make(value))
}

/** The sessions of a request, limited in number, because each is read from the store. */
export const sessionsOf = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest
): ReadonlyArray<SessionId> =>
  app.sessionPerLaunch
    ? Array.from(cookiesOf(request))
      .filter(([name, value]) => name.startsWith(`${app.sessionCookie}-`) && value !== "")
      .slice(-MAX_SESSIONS)
      .map(([, value]) => Redacted.make(value))
    : Option.toArray(sessionOf(app, request, undefined))

/** Sets the session cookie. */
export const setSession = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  id: SessionId,
  handle: string
) =>
(response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse => {
  const name = sessionCookieName(app, app.sessionPerLaunch ? handle : undefined)
  const value = Redacted.value(id)
  const set = HttpServerResponse.unsafeSetCookie(response, name, value, sessionAttributes(app))
  return expire(
    set,
    oldestBeyond(request, `${app.sessionCookie}-`, { count: MAX_SESSIONS, bytes: Infinity }, { name, value }),
    sessionAttributes(app, 0)
  )
}

export const clearSession =
  (app: WebApp.Service, handle: string | undefined) =>
  (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
    expire(response, [sessionCookieName(app, app.sessionPerLaunch ? handle : undefined)], sessionAttributes(app, 0))

/** The content of the cookie of a launch. */
export interface LaunchCookie {
  /** Binds the launch to this browser. */
  readonly secret: Redacted.Redacted
  /** The query of a standalone launch, for its return path and to start it again. */
  readonly standalone: URLSearchParams | undefined
  /** The handle of the session once the launch is complete. */
  readonly session?: string | undefined
}

/** A digest of the state, so that several launches can be pending. */
const launchCookieName = (state: Redacted.Redacted): Effect.Effect<string> =>
  Effect.map(digest(Redacted.value(state)), (id) => `${LAUNCH}${id}`)

// A callback by POST comes from another site, so the browser would not send a Lax cookie.
const launchAttributes = (app: WebApp.Service, maxAge: Duration.DurationInput) => attributes(app, "none", maxAge)

export const launchOf = (
  request: HttpServerRequest.HttpServerRequest,
  state: Redacted.Redacted
): Effect.Effect<Option.Option<LaunchCookie>> =>
  Effect.map(launchCookieName(state), (name) => {
    const [secret, query, session] = (cookiesOf(request).get(name) ?? "").split(".")
    if (secret === undefined || secret === "") return Option.none()
    const standalone = query === undefined || query === ""
      ? undefined
      : Option.map(Option.getRight(Encoding.decodeBase64UrlString(query)), (text) => new URLSearchParams(text))
    return Option.some({
      secret: Redacted.make(secret),
      standalone: standalone === undefined ? undefined : Option.getOrUndefined(standalone),
      session
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
    const query = launch.standalone === undefined ? "" : Encoding.encodeBase64Url(launch.standalone.toString())
    const value = [Redacted.value(launch.secret), query, launch.session ?? ""].join(".").replace(/\.{1,2}$/, "")
    const set = HttpServerResponse.unsafeSetCookie(response, name, value, launchAttributes(app, maxAge))
    return expire(
      set,
      oldestBeyond(request, LAUNCH, { count: MAX_LAUNCHES, bytes: MAX_LAUNCH_BYTES }, { name, value }),
      launchAttributes(app, 0)
    )
  })

export const clearLaunch =
  (app: WebApp.Service, state: Redacted.Redacted) =>
  (response: HttpServerResponse.HttpServerResponse): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
    Effect.map(launchCookieName(state), (name) => expire(response, [name], launchAttributes(app, 0)))

/** Removes the launches of ended sessions, so that their callbacks in the browser history have no effect. */
export const clearCompletedLaunches = (
  app: WebApp.Service,
  request: HttpServerRequest.HttpServerRequest,
  which: (session: string) => boolean
) =>
(response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
  expire(
    response,
    Array.from(cookiesOf(request))
      .filter(([name, value]) => {
        const session = value.split(".")[2]
        return name.startsWith(LAUNCH) && session !== undefined && which(session)
      })
      .map(([name]) => name),
    launchAttributes(app, 0)
  )
