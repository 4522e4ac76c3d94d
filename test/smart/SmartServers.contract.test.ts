import * as HttpClient from "@effect/platform/HttpClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AddressGuard, ClientAuthentication, SmartClient, SmartServers } from "effect-safire"
import type { Registered } from "../support/serversContract.js"
import { serversContract } from "../support/serversContract.js"

const REDIRECT_URIS = ["https://app.test/callback"]

const at = (host: string) => ({
  fhirBaseUrl: `https://${host}/fhir`,
  clientId: "the-app",
  redirectUri: REDIRECT_URIS[0],
  authentication: ClientAuthentication.makePublic
})

/** Two registrations at one EHR, for clinicians and for patients, and one at another. */
const three = { clinicians: at("north.test"), patients: at("north.test"), south: at("south.test") }
const names: readonly [Registered, ...ReadonlyArray<Registered>] = [
  { name: "clinicians", fhirBaseUrl: "https://north.test/fhir" },
  { name: "patients", fhirBaseUrl: "https://north.test/fhir" },
  { name: "south", fhirBaseUrl: "https://south.test/fhir" }
]
const keys = Object.keys(three)

serversContract("SmartServers.layer", {
  layer: SmartServers.layer(three),
  servers: names,
  listed: keys,
  redirectUris: REDIRECT_URIS,
  canChange: true
})

serversContract("SmartServers.layerConfig", {
  layer: SmartServers.layerConfig().pipe(
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(
      new Map([
        ["SMART_SERVERS", keys.join(",")],
        ...names.flatMap(({ fhirBaseUrl, name }) => [
          [`${name.toUpperCase()}_FHIR_BASE_URL`, fhirBaseUrl] as const,
          [`${name.toUpperCase()}_CLIENT_ID`, "the-app"] as const,
          [`${name.toUpperCase()}_REDIRECT_URI`, "https://app.test/callback"] as const
        ])
      ]),
      { pathDelim: "_" }
    )))
  ),
  servers: names,
  listed: keys,
  redirectUris: REDIRECT_URIS,
  canChange: true
})

const single = (config: Partial<SmartClient.Config>) =>
  SmartServers.layerFromClient.pipe(
    Layer.provide(SmartClient.layer({ ...at("north.test"), ...config })),
    Layer.provide(ClientAuthentication.layerPublic)
  )

serversContract("SmartServers.layerFromClient, of a client with a name", {
  layer: single({ name: "patients" }),
  servers: [{ name: "patients", fhirBaseUrl: "https://north.test/fhir" }],
  listed: ["patients"],
  redirectUris: REDIRECT_URIS,
  canChange: false
})

serversContract("SmartServers.layerFromClient, of a client without a name", {
  layer: single({}),
  servers: [{ name: "https://north.test/fhir", fhirBaseUrl: "https://north.test/fhir" }],
  listed: ["https://north.test/fhir"],
  redirectUris: REDIRECT_URIS,
  canChange: false
})

const guarded = Layer.effectContext(Effect.map(HttpClient.HttpClient, (client) => {
  const guard = { allows: () => true, trust: () => Effect.void }
  return Context.make(HttpClient.HttpClient, AddressGuard.mark(client, guard)).pipe(
    Context.add(AddressGuard.AddressGuard, guard)
  )
}))

/** Follows launches from one host alone, so that every other `iss` is refused, as in the registries above. */
const open = (servers: SmartServers.Servers) =>
  SmartServers.layerOpen(
    (fhirBaseUrl) => fhirBaseUrl === "https://discovered.test/fhir" ? at("") : undefined,
    { servers: servers as Readonly<Record<string, SmartServers.Server>> }
  ).pipe(Layer.provide(guarded))

const discovered: Registered = { name: "https://discovered.test/fhir", fhirBaseUrl: "https://discovered.test/fhir" }

serversContract("SmartServers.layerOpen, configured and discovered servers", {
  layer: open(three),
  servers: [...names, discovered],
  listed: keys,
  redirectUris: REDIRECT_URIS,
  canChange: true
})

serversContract("SmartServers.layerOpen, discovered servers alone", {
  layer: open({}),
  servers: [discovered],
  listed: [],
  redirectUris: [],
  canChange: true
})
