import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { AuthorizationCallback } from "effect-safire"
import { Sessions, SessionStore } from "effect-safire"

/** `cookie` is a random value in a cookie: only the browser that has it can complete the launch. */
export const login = (cookie: Redacted.Redacted) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.startLaunch({ browserBinding: cookie }))

export const callback = (url: AuthorizationCallback.Callback, cookie: Redacted.Redacted) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.completeLaunch(url, { browserBinding: cookie }))

/** Call it before each use. It renews the token before it expires; concurrent callers share one request. */
export const token = (session: Sessions.SessionId) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.accessToken(session)).pipe(
    Effect.catchIf(
      (error) => error._tag === "SessionError" && error.reason === "NeedsRelaunch",
      () => Effect.succeed("send the person to a new launch" as const)
    )
  )

/** Needs a `SmartClient`; `Sessions.layer` needs `SmartServers` instead. */
export const SessionsLive = Layer.provide(Sessions.layerFromClient, SessionStore.layerMemory)
