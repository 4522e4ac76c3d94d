import * as Effect from "effect/Effect"
import { BackendServices, Sessions } from "effect-safire"

/**
 * Tokens are due for renewal five minutes before they expire, or a little earlier, but never in the first half of their
 * lifetime. By default the margin follows from the lifetime.
 */
export const SessionsLive = Sessions.layerWith({ renewalMargin: "5 minutes" })

/** Returns a valid token at once. If a renewal is due, it runs in the background; the next call gets the new token. */
export const validToken = (session: Sessions.SessionId) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.accessToken(session))

/** The backend's token, cached for each server and set of scopes, and renewed in the same way. */
export const backendToken = Effect.flatMap(
  BackendServices.BackendServices,
  (backend) => backend.accessToken({ scopes: ["system/Patient.rs"] })
)
