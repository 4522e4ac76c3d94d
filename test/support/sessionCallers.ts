/**
 * An app in one process of a deployment: one server, and sessions in a shared store.
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
import type { CallerResult } from "./sessionWorkerMessages.js"

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

/** Concurrent callers for the token of a session, with `refused` as the token that the FHIR server refused. */
export const callers = (
  sessions: Sessions.Service,
  id: Sessions.SessionId,
  count: number,
  refused?: Redacted.Redacted
): Effect.Effect<ReadonlyArray<CallerResult>> =>
  Effect.forEach(
    Array.from({ length: count }),
    () =>
      Effect.map(
        Effect.either(
          refused === undefined ? sessions.accessToken(id) : sessions.accessTokenAfter(id, refused)
        ),
        Either.match({
          onLeft: (error): CallerResult => ({ failure: error.reason }),
          onRight: (token): CallerResult => ({ token: Redacted.value(token) })
        })
      ),
    { concurrency: "unbounded" }
  )
