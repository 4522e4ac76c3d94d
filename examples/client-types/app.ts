/** The app of all three client types; the main program provides the layer for its client authentication. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, FhirClient, SmartClient } from "effect-safire"
import * as Ehr from "./ehr.js"

export const app = Effect.gen(function*() {
  const { method } = yield* ClientAuthentication.ClientAuthentication
  const client = yield* SmartClient.SmartClient
  const fhir = yield* FhirClient.FhirClient

  const { pending, url } = yield* client.authorize()
  const tokens = yield* client.exchange(yield* Ehr.approve(url), pending)
  const patient = yield* fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? "")
  yield* client.refresh(tokens)
  yield* Console.log(`${method}: logged in, read ${patient.resourceType} ${patient.id}, renewed the token`)
})

/** Needs `ClientAuthentication`, which is the only difference. */
export const AppLive = Layer.mergeAll(
  SmartClient.layer({
    fhirBaseUrl: "https://ehr.sandbox.test/fhir",
    clientId: "growth-chart",
    redirectUri: "https://app.sandbox.test/callback",
    scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
  }),
  FhirClient.layer
).pipe(Layer.provideMerge(Ehr.layer))
