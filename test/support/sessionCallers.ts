/**
 * An app as each process of a deployment has it: one server, sessions in a store that others share.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as Sessions from "../../src/session/Sessions.js"
import type * as SessionStore from "../../src/session/SessionStore.js"
import * as SmartClient from "../../src/smart/SmartClient.js"
import type { Fared } from "./sessionWorkerMessages.js"

export const app = (
  fhirBaseUrl: string,
  store: Layer.Layer<SessionStore.SessionStore>,
  http: Layer.Layer<HttpClient.HttpClient> = FetchHttpClient.layer
): Layer.Layer<Sessions.Sessions> =>
  Sessions.layerFromClient.pipe(
    Layer.provide(SmartClient.layer({
      fhirBaseUrl,
      clientId: "sandbox-public-app",
      redirectUri: "http://127.0.0.1:8000/callback",
      scopes: ["launch/patient", "patient/*.rs", "offline_access"],
      allowInsecureLocalhost: true
    })),
    Layer.provide(ClientAuthentication.layerPublic),
    Layer.provide(store),
    Layer.provide(http),
    Layer.orDie
  )

/** So many who ask for the token of a session at once, after one that was refused where there is such a one. */
export const callers = (
  sessions: Sessions.Service,
  id: Sessions.SessionId,
  count: number,
  refused?: Redacted.Redacted
): Effect.Effect<ReadonlyArray<Fared>> =>
  Effect.forEach(
    Array.from({ length: count }),
    () =>
      Effect.map(
        Effect.either(
          refused === undefined ? sessions.accessToken(id) : sessions.accessTokenAfter(id, refused)
        ),
        Either.match({
          onLeft: (error): Fared => ({ failure: error.reason }),
          onRight: (token): Fared => ({ token: Redacted.value(token) })
        })
      ),
    { concurrency: "unbounded" }
  )
