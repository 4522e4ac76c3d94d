/**
 * Requests scopes when they are needed: `npx tsx examples/scopes-per-request/main.ts`.
 *
 * The app is configured with the scopes of all users. One launch requests more, one fewer. The granted scopes are
 * compared with the needed ones. A refresh narrows a token for another program.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, Scopes, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

/** Built by a function: an invalid scope does not compile. */
const vitalSigns = Scopes.patient("Observation", "cus", {
  constraints: { category: "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs" }
})

/** The scopes of a launch; the user may grant fewer. */
const launch = (options: SmartClient.AuthorizeOptions, allowed?: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const ehr = yield* SandboxEhr.SandboxEhr
    const { pending, url } = yield* client.authorize(options)
    yield* Console.log(`asked:   ${pending.scopes.join(" ")}`)
    const tokens = yield* client.exchange(yield* ehr.approve(url, { scopes: allowed }), pending)
    yield* Console.log(`granted: ${tokens.scopes.join(" ")}\n`)
    return tokens
  })

const main = Effect.gen(function*() {
  const client = yield* SmartClient.SmartClient

  yield* Console.log("a launch as configured")
  yield* launch({})

  yield* Console.log("a launch that writes, beside what is configured")
  const writing = yield* launch({ addScopes: [vitalSigns] })

  yield* Console.log("a launch for one thing only, instead of what is configured")
  yield* launch({ scopes: [Scopes.launchPatient, Scopes.patient("Immunization", "rs")] })

  yield* Console.log("a person who does not want to give all of it")
  const refused = yield* launch({ addScopes: [vitalSigns] }, ["launch/patient", "patient/Patient.rs"])
  const missing = Scopes.missing(Scopes.parse(refused.scopes), [vitalSigns])
  yield* Console.log(`so the button "record a blood pressure" stays hidden, for want of ${Scopes.print(missing)}\n`)

  yield* Console.log("a token for the component that shows the patient's name, and may do nothing else")
  const narrow = yield* client.refresh(writing, { scopes: ["patient/Patient.r"] })
  yield* Console.log(`granted: ${narrow.scopes.join(" ")}\n`)

  yield* Console.log("a refresh cannot widen: nothing is sent")
  const error = yield* Effect.flip(client.refresh(writing, { scopes: ["patient/MedicationRequest.rs"] }))
  yield* Console.log(error.message)
})

const SmartLive = SmartClient.layer({
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: [Scopes.launchPatient, Scopes.patient("Patient", "rs"), Scopes.offlineAccess]
}).pipe(Layer.provide(ClientAuthentication.layerPublic))

main.pipe(
  Effect.provide(Layer.provideMerge(SmartLive, SandboxEhr.layerHttpClient())),
  NodeRuntime.runMain
)
