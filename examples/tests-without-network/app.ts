/** Your program: a line for the top of a page. It contains no code for tests. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ClientAuthentication, FhirClient, Sessions, SessionStore, SmartClient, SmartServers } from "effect-safire"

export const summary = (session: Sessions.SessionId) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const { context } = yield* sessions.tokens(session)
    const patient = context.patient ?? ""
    const fhir = (yield* FhirClient.FhirClient).forSession(session)
    const { id } = yield* fhir.read("Patient", patient)
    const conditions = yield* Stream.runCount(fhir.search("Condition", { patient }))
    return `${id}: ${conditions} conditions`
  }).pipe(
    Effect.timeoutTo({
      duration: Duration.seconds(10),
      onSuccess: (line) => line,
      onTimeout: () => "the record is slow today"
    }),
    Effect.catchTag("FhirError", ({ reason }) => Effect.succeed(`the record cannot be read (${reason})`)),
    Effect.catchTag("SessionError", () => Effect.succeed("please log in again"))
  )

/** All but the transport: in production `NodeTransport.layer()` or `FetchHttpClient.layer`. */
export const AppLive = Layer.mergeAll(Sessions.layer, FhirClient.layer).pipe(
  Layer.provide(SessionStore.layerMemory),
  Layer.provide(SmartServers.layerFromClient),
  Layer.provide(SmartClient.layer({
    fhirBaseUrl: "https://ehr.sandbox.test/fhir",
    clientId: "sandbox-public-app",
    redirectUri: "https://app.sandbox.test/callback",
    scopes: ["launch/patient", "patient/*.rs", "offline_access"]
  })),
  Layer.provide(ClientAuthentication.layerPublic)
)
