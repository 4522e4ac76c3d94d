import * as Effect from "effect/Effect"
import { BackendServices, Sessions } from "effect-safire"

/** Renewed with five minutes left or a little earlier, but not in the first half of a life. The default follows from the life of the token. */
export const SessionsLive = Sessions.layerWith({ renewalMargin: "5 minutes" })

export const validToken = (session: Sessions.SessionId) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.accessToken(session))

/** The backend's token, cached for each server and set of scopes, and renewed in the same way. */
export const backendToken = Effect.flatMap(
  BackendServices.BackendServices,
  (backend) => backend.accessToken({ scopes: ["system/Patient.rs"] })
)
