/** The demo as a UDAP client: of the server and certificate in the environment, or of a sandbox. */
import * as Config from "effect/Config"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SessionStore, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import type { TrustPolicy, UdapMetadata } from "effect-safire/udap"
import { ClientCertificate, UdapAuthentication, UdapDiscovery, UdapRegistration } from "effect-safire/udap"
import type * as Report from "./Report.js"

export const clientUri = "https://demo.example.org/udap"

/** The credentials of an operator. */
export interface Operator {
  readonly community: string
  readonly certificate: ClientCertificate.ClientCertificate
  readonly trust: TrustPolicy.Options
}

/** From `UDAP_CERTIFICATE`, `UDAP_PRIVATE_KEY`, `UDAP_COMMUNITY` and `UDAP_ANCHORS` (PEM). */
export const fromEnvironment = Effect.gen(function*() {
  const { allowInsecureLocalhost, anchors, community } = yield* Config.all({
    community: Config.nonEmptyString("UDAP_COMMUNITY"),
    anchors: Config.nonEmptyString("UDAP_ANCHORS"),
    allowInsecureLocalhost: Config.withDefault(Config.boolean("SMART_ALLOW_INSECURE_LOCALHOST"), false)
  })
  const certificate = yield* ClientCertificate.fromConfig
  const pem = anchors.replaceAll("\\n", "\n")
  return { community, certificate, trust: { communities: { [community]: { anchors: [pem] } }, allowInsecureLocalhost } }
})

/** Who requests data, and why: the server of a B2B request decides by it. */
const b2b = {
  "hl7-b2b": {
    version: "1",
    subject_name: "The demo of effect-safire",
    organization_id: "https://demo.example.org",
    organization_name: "Demo",
    purpose_of_use: ["urn:oid:2.16.840.1.113883.5.8#TREAT"]
  }
}

/** The registration of the demo. */
const appOf = (config: SmartClient.Config, backend: boolean) =>
  Effect.map(
    Config.all({
      contact: Config.withDefault(Config.nonEmptyString("UDAP_CONTACT"), "mailto:demo@demo.example.org"),
      logoUri: Config.withDefault(Config.nonEmptyString("UDAP_LOGO_URI"), "https://demo.example.org/logo.png")
    }),
    ({ contact, logoUri }) => ({
      clientName: "Demo of effect-safire",
      contacts: [contact],
      scopes: config.scopes?.map(String) ?? [],
      ...(backend
        ? { grantTypes: ["client_credentials"] as const }
        : {
          grantTypes: ["authorization_code", "refresh_token"] as const,
          redirectUris: config.redirectUri === undefined ? [] : [config.redirectUri],
          logoUri
        })
    })
  )

const settingsOf = (backend: boolean) =>
  Effect.gen(function*() {
    const { clientId: _, ...config } = yield* SmartClient.config
    return { config, app: yield* appOf(config, backend) }
  })

const timeOf = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

const describeTrust = (metadata: UdapMetadata.UdapMetadata): Report.Found => ({
  text: `${metadata.certificatePath[0] ?? "the server"} is trusted until ${
    timeOf(metadata.trustedUntil)
  }; registration at ${metadata.registrationEndpoint}`,
  found: {
    community: metadata.community,
    certificatePath: metadata.certificatePath,
    profiles: metadata.profilesSupported,
    registrationEndpoint: metadata.registrationEndpoint,
    tokenEndpoint: metadata.tokenEndpoint,
    findings: metadata.conformance().map(({ message, requirement }) => ({ message, requirement }))
  }
})

/**
 * The steps `certificate`, `trust` and `register`, and the layer of the client. A client would register itself when it
 * first needs its client id; the demo does so before, to show it.
 */
export const connect = (report: Report.Report, { certificate, community, trust }: Operator, backend: boolean) =>
  Effect.gen(function*() {
    const { app, config } = yield* report.step("certificate", settingsOf(backend), () => ({
      text: `${certificate.subject}, valid until ${timeOf(certificate.notAfter)}`,
      found: { uris: certificate.uris, validUntil: timeOf(certificate.notAfter) }
    }))
    const { allowInsecureLocalhost, fhirBaseUrl } = config
    const services = yield* Layer.build(
      UdapAuthentication.layerDependencies(trust).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provide(NodeTransport.layer())
      )
    )
    yield* Effect.gen(function*() {
      const discovery = yield* UdapDiscovery.UdapDiscovery
      const registration = yield* UdapRegistration.UdapRegistration
      yield* report.step(
        "trust",
        discovery.metadata(fhirBaseUrl, { community, allowInsecureLocalhost }),
        describeTrust
      )
      yield* report.step(
        "register",
        registration.current({ fhirBaseUrl, community, certificate, metadata: app, allowInsecureLocalhost }),
        ({ clientId }) => ({
          text: `${certificate.uris[0]} has the client id ${clientId}`,
          found: { clientUri: certificate.uris[0], clientId, grantTypes: app.grantTypes }
        })
      )
    }).pipe(Effect.provide(services))
    return SmartClient.layer(config).pipe(
      Layer.provideMerge(
        UdapAuthentication.layer({ ...app, community, certificate, ...(backend ? { extensions: b2b } : {}) })
      ),
      Layer.provide(Layer.succeedContext(services))
    )
  })
