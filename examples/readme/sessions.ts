import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { AuthorizationCallback } from "effect-safire"
import { Sessions, SessionStore } from "effect-safire"

/** `cookie` is a random value that the person's browser brings back: it binds the launch to that browser. */
export const login = (cookie: Redacted.Redacted) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.startLaunch({ browserBinding: cookie }))

export const callback = (url: AuthorizationCallback.Callback, cookie: Redacted.Redacted) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.completeLaunch(url, { browserBinding: cookie }))

/** As often and from wherever you like: it is renewed ahead of its expiry, by one request however many ask. */
export const token = (session: Sessions.SessionId) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.accessToken(session)).pipe(
    Effect.catchIf(
      (error) => error._tag === "SessionError" && error.reason === "NeedsRelaunch",
      () => Effect.succeed("send the person to a new launch" as const)
    )
  )

/** Needs `SmartClient` (or, as `Sessions.layer`, `SmartServers`). Memory is for one process: see `docs/sessions.md` for the others. */
export const SessionsLive = Layer.provide(Sessions.layerFromClient, SessionStore.layerMemory)
