/**
 * A process of its own that registers an app, with its settings as JSON in the first argument, and prints the client
 * id.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as ClientCertificate from "../../src/udap/ClientCertificate.js"
import * as TrustPolicy from "../../src/udap/TrustPolicy.js"
import * as UdapDiscovery from "../../src/udap/UdapDiscovery.js"
import * as UdapRegistration from "../../src/udap/UdapRegistration.js"
import { connectTo, type Kind } from "../support/places.js"

const [settings = "{}"] = process.argv.slice(2)
const { address, anchor, chain, community, fhirBaseUrl, kind, privateKey } = JSON.parse(settings) as Record<
  string,
  string
>

Effect.gen(function*() {
  const certificate = yield* ClientCertificate.fromPem({
    chain: chain ?? "",
    privateKey: Redacted.make(privateKey ?? "")
  })
  const registration = yield* UdapRegistration.UdapRegistration
  return yield* registration.current({
    fhirBaseUrl: fhirBaseUrl ?? "",
    community,
    certificate,
    metadata: {
      clientName: "Growth Chart",
      contacts: ["mailto:it@example.org"],
      grantTypes: ["client_credentials"],
      scopes: ["system/*.rs"]
    },
    allowInsecureLocalhost: true
  })
}).pipe(
  Effect.provide(
    UdapRegistration.layer.pipe(
      Layer.provide(UdapDiscovery.layer()),
      Layer.provide(
        TrustPolicy.layer({ communities: { [community ?? ""]: { anchors: [anchor ?? ""], revocation: "off" } } })
      ),
      Layer.provide(SessionStore.layerBacking(connectTo(kind as Kind, address ?? ""))),
      Layer.provide(FetchHttpClient.layer)
    )
  ),
  Effect.scoped,
  Effect.runPromise
).then(
  ({ clientId }) => {
    process.stdout.write(clientId)
    process.exit(0)
  },
  (failure: unknown) => {
    process.stderr.write(String(failure))
    process.exit(1)
  }
)
