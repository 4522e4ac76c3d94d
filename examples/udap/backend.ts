import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BackendServices, SmartServers } from "effect-safire"
import { FileSessionStore, NodeTransport } from "effect-safire/node"
import { AuthorizationExtension, ClientCertificate, UdapAuthentication, UdapRegistration } from "effect-safire/udap"
import { community, UdapLive } from "./trust.js"

/** The certificate is in `UDAP_CERTIFICATE`, its key in `UDAP_PRIVATE_KEY`. */
const authentication = Layer.unwrapEffect(
  Effect.map(ClientCertificate.fromConfig, (certificate) =>
    UdapAuthentication.layer({
      community,
      certificate,
      clientName: "Growth Chart",
      contacts: ["mailto:it@clinic.example.org"]
    }))
)

/** The server has no client id: the app registers when the first token is needed. */
export const BackendLive = BackendServices.layer.pipe(
  Layer.provideMerge(SmartServers.layer({
    north: { fhirBaseUrl: "https://north.example.org/fhir", scopes: ["system/Patient.rs"], authentication }
  })),
  Layer.provide(UdapRegistration.layer),
  Layer.provideMerge(UdapLive),
  Layer.provide(FileSessionStore.layer({ directory: "/var/lib/growth-chart" })),
  Layer.provide(NodeTransport.layerGuarded())
)

/** A token with which Dr. Doe reads for treatment. A request for another purpose gets another token. */
export const accessToken = Effect.gen(function*() {
  const extensions = yield* AuthorizationExtension.b2b({
    organizationId: "https://clinic.example.org",
    organizationName: "North Clinic",
    purposeOfUse: [AuthorizationExtension.purposeOfUse("TREAT")],
    subject: { kind: "Human", name: "Dr. Jane Doe", id: AuthorizationExtension.npi("1234567890") }
  })
  const backend = yield* BackendServices.BackendServices
  return yield* backend.accessToken({ extensions })
})
