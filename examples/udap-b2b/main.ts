/**
 * A backend service of one organization that reads from another one: it registers itself with its certificate, and each
 * token is for one requestor and one purpose of use. `npx tsx examples/udap-b2b/main.ts`; here the other organization
 * is a sandbox on a loopback port.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BackendServices, SessionStore, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { UdapAuthentication } from "effect-safire/udap"
import * as Sandbox from "../support/udapSandbox.js"

const clientUri = "https://requestor.example.org/record-location"

/** Who requests data, and why: the server decides and audits by it. */
const requestFor = (subject: string, purpose: string) => ({
  "hl7-b2b": {
    version: "1",
    subject_name: subject,
    organization_id: "https://requestor.example.org",
    organization_name: "Requesting Clinic",
    purpose_of_use: [`urn:oid:2.16.840.1.113883.5.8#${purpose}`]
  }
})

/** The number of patients, for one requestor and purpose. The token is not used for any other. */
const countPatients = (subject: string, purpose: string) =>
  Effect.gen(function*() {
    const { config } = yield* SmartClient.SmartClient
    const backend = yield* BackendServices.BackendServices
    const client = HttpClient.filterStatusOk(backend.httpClient({ extensions: requestFor(subject, purpose) }))
    const response = yield* client.get(`${config.fhirBaseUrl}/Patient?_count=100`)
    const bundle = (yield* response.json) as { readonly entry?: ReadonlyArray<unknown> }
    return { subject, purpose, patients: bundle.entry?.length ?? 0 }
  })

export const main = Effect.gen(function*() {
  const { certificate, community, ehr, trust, udap } = yield* Sandbox.start(clientUri)

  const authentication = UdapAuthentication.layer({
    community,
    certificate,
    clientName: "Record location",
    contacts: ["mailto:operations@requestor.example.org"]
  }).pipe(
    Layer.provide(UdapAuthentication.layerDependencies(trust)),
    // Processes that share a store share the registration.
    Layer.provide(SessionStore.layerMemory)
  )
  // Without a client id: the server assigns it when the first token is requested.
  const client = SmartClient.layer({
    fhirBaseUrl: ehr.fhirBaseUrl,
    scopes: ["system/Patient.rs"],
    allowInsecureLocalhost: true
  }).pipe(Layer.provide(authentication))
  const services = BackendServices.layerFromClient.pipe(
    Layer.provideMerge(client),
    Layer.provide(NodeTransport.layer())
  )

  const counted = yield* Effect.all([
    countPatients("Dr. Ada Example", "TREAT"),
    countPatients("Dr. Ada Example", "TREAT"),
    countPatients("Billing", "HPAYMT")
  ]).pipe(Effect.provide(services))
  for (const { patients, purpose, subject } of counted) {
    yield* Console.log(`${subject}, ${purpose}: ${patients} patients`)
  }
  const registrations = yield* udap.registrations
  const tokens = (yield* ehr.requests).filter(({ step }) => step === "token")
  yield* Console.log(`${registrations.length} registration, ${tokens.length} tokens`)
  return counted
}).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("udap-b2b/main.ts") === true) NodeRuntime.runMain(main)
