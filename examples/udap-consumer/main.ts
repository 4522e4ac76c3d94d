/**
 * A consumer-facing app: it registers itself with its certificate, a person logs in with PKCE, and the token is
 * refreshed. With `--idp` an identity provider authenticates the person (Tiered OAuth).
 * `npx tsx examples/udap-consumer/main.ts`; here the server is a sandbox on a loopback port, which acts as the person.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FhirClient, SessionStore, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { UdapAuthentication } from "effect-safire/udap"
import * as Sandbox from "../support/udapSandbox.js"

const clientUri = "https://app.example.org/udap"

/** Only the layer of the authentication differs from an app of SMART App Launch. */
const app = (approve: (url: URL) => Effect.Effect<URL, unknown>, idp: string | undefined) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const fhir = yield* FhirClient.FhirClient
    const { pending, url } = yield* client.authorize(
      idp === undefined ? {} : { addScopes: ["udap"], params: { idp } }
    )
    const tokens = yield* client.exchange(yield* approve(url), pending)
    const patient = yield* fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? "")
    const refreshed = yield* client.refresh(tokens)
    yield* Console.log(`logged in, read ${patient.resourceType} ${patient.id}, refreshed the token`)
    return { patient: patient.id, scopes: refreshed.scopes }
  })

const redirectUri = "https://app.example.org/callback"

export const main = ({ withIdp }: { readonly withIdp: boolean }) =>
  Effect.gen(function*() {
    const { certificate, community, ehr, trust, udap } = yield* Sandbox.start(clientUri)
    const scopes = ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]

    const authentication = UdapAuthentication.layer({
      community,
      certificate,
      clientName: "Health record",
      contacts: ["mailto:operations@app.example.org"],
      logoUri: "https://app.example.org/logo.png",
      // All scopes that the app may request: `udap` lets an identity provider authenticate the person.
      scopes: [...scopes, "udap"]
    }).pipe(
      Layer.provide(UdapAuthentication.layerDependencies(trust)),
      Layer.provide(SessionStore.layerMemory)
    )
    const services = Layer.merge(
      SmartClient.layer({ fhirBaseUrl: ehr.fhirBaseUrl, redirectUri, scopes, allowInsecureLocalhost: true }),
      FhirClient.layer
    ).pipe(Layer.provide(authentication), Layer.provide(NodeTransport.layer()))

    const approve = (url: URL) => ehr.approve(url, { user: "Patient/patient-beta" })
    const result = yield* Effect.provide(app(approve, withIdp ? udap.identityProvider : undefined), services)
    for (const { clientName, grantTypes } of yield* udap.registrations) {
      yield* Console.log(`registered: ${clientName} for ${grantTypes.join(", ")}`)
    }
    return result
  }).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("udap-consumer/main.ts") === true) {
  NodeRuntime.runMain(main({ withIdp: process.argv.includes("--idp") }))
}
