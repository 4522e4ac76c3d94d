/** Each request of the library by name, with secrets that must not appear elsewhere. */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import {
  Brands,
  BulkExport,
  ClientAuthentication,
  Discovery,
  FhirClient,
  HttpLimits,
  Jwks,
  OpenIdConfiguration,
  RegisteredClient,
  Registration,
  RetryPolicy,
  SmartClient,
  SmartStyle,
  TokenEndpoint
} from "effect-safire"
import { TrustPolicy, UdapDiscovery } from "effect-safire/udap"
import { ClientMetadata } from "../../src/client/ClientMetadata.js"
import * as Pki from "../../src/testing/internal/pki.js"
import * as LaunchContext from "../../src/token/LaunchContext.js"
import * as TokenSet from "../../src/token/TokenSet.js"
import * as FaultServer from "./faultServer.js"

export const CANARIES = {
  token: "canary:access/token+1",
  refresh: "canary:refresh/token+2",
  code: "canary:code/3",
  verifier: "canary:verifier-4-canary:verifier-4-canary:verifier",
  secret: "canary:client/secret&5"
}
const redacted = Redacted.make

const authentication = ClientAuthentication.layerClientSecretBasic({ clientSecret: redacted(CANARIES.secret) })

export type Services =
  | Brands.Brands
  | ClientAuthentication.ClientAuthentication
  | Discovery.Discovery
  | FhirClient.FhirClient
  | HttpClient.HttpClient
  | Jwks.Jwks
  | OpenIdConfiguration.OpenIdConfiguration
  | Registration.Registration
  | SmartStyle.SmartStyle
  | TokenEndpoint.TokenEndpoint
  | UdapDiscovery.UdapDiscovery

export interface Call {
  readonly run: (origin: string) => Effect.Effect<unknown, unknown, Services>
  /** Follows redirects to other origins, because it sends no secret. */
  readonly followsRedirects?: true
  /** Only the status counts: a body may have any fault. */
  readonly statusOnly?: true
  /** The time limit applies to one chunk; the caller limits the whole. */
  readonly limitedByPiece?: true
}

const local = { allowInsecureLocalhost: true } as const

const atTokenEndpoint = (
  send: (
    service: TokenEndpoint.Service,
    target: TokenEndpoint.Target
  ) => Effect.Effect<unknown, unknown, ClientAuthentication.ClientAuthentication>
) =>
(origin: string) =>
  Effect.gen(function*() {
    const service = yield* TokenEndpoint.TokenEndpoint
    const target = {
      ...local,
      endpoint: `${origin}/token`,
      clientId: "app",
      authentication: yield* ClientAuthentication.ClientAuthentication
    }
    return yield* send(service, target)
  })

const atFhirServer =
  (send: (fhir: FhirClient.Authorized, origin: string) => Effect.Effect<unknown, unknown>) => (origin: string) =>
    Effect.gen(function*() {
      const client = yield* SmartClient.make({
        ...local,
        fhirBaseUrl: `${origin}/fhir`,
        clientId: "app",
        scopes: ["system/*.rs"],
        metadata: { tokenEndpoint: `${origin}/token` }
      }).pipe(Effect.provide(SmartClient.layerDependencies()))
      const tokens = new TokenSet.TokenSet({
        version: 1,
        fhirBaseUrl: `${origin}/fhir`,
        accessToken: redacted(CANARIES.token),
        receivedAt: yield* DateTime.now,
        scopes: ["system/*.rs"],
        context: new LaunchContext.LaunchContext({ fhirContext: [] }),
        extensions: redacted({})
      })
      return yield* send((yield* FhirClient.FhirClient).forTokens(client, tokens), origin)
    }).pipe(Effect.provide(authentication))

const atRegistration = (
  send: (
    service: Registration.Service,
    client: RegisteredClient.RegisteredClient
  ) => Effect.Effect<unknown, unknown>
) =>
(origin: string) =>
  Effect.flatMap(Registration.Registration, (service) =>
    send(
      service,
      new RegisteredClient.RegisteredClient({
        clientId: "app",
        clientSecret: redacted(CANARIES.secret),
        registrationAccessToken: redacted(CANARIES.token),
        registrationClientUri: `${origin}/register/app`,
        metadata: new ClientMetadata({ clientName: "app" }),
        changed: [],
        deviations: []
      })
    ))

/** An export that has started, with one file. */
const exportJob = (origin: string, isComplete: boolean) =>
  new BulkExport.Job({
    version: 1,
    statusUrl: `${origin}/fhir/status`,
    ...(isComplete ? {} : { nextManifest: `${origin}/fhir/status` }),
    manifests: [],
    files: [{ kind: "output", type: "Patient", url: `${origin}/fhir/files/1`, requiresAccessToken: true }]
  })

/** One status request: a temporary failure is not an error of its own. */
const statusOf = (fhir: FhirClient.Authorized, origin: string) =>
  Effect.flatMap(
    BulkExport.poll(fhir, exportJob(origin, false)),
    (status) =>
      status._tag === "Waiting" && status.error !== undefined ? Effect.fail(status.error) : Effect.succeed(status)
  )

export const calls: Readonly<Record<string, Call>> = {
  "SMART configuration": {
    run: (origin) => Effect.flatMap(Discovery.Discovery, (service) => service.configuration(`${origin}/fhir`, local)),
    followsRedirects: true
  },
  "OpenID configuration": {
    run: (origin) =>
      Effect.flatMap(OpenIdConfiguration.OpenIdConfiguration, (service) => service.metadata(origin, local))
  },
  "key set": {
    run: (origin) => Effect.flatMap(Jwks.Jwks, (service) => service.find(`${origin}/jwks`, { alg: "ES384" }, local))
  },
  brands: { run: (origin) => Effect.flatMap(Brands.Brands, (service) => service.bundle(`${origin}/brands`, local)) },
  style: {
    run: (origin) => Effect.flatMap(SmartStyle.SmartStyle, (service) => service.style(`${origin}/style`, local)),
    followsRedirects: true
  },
  "UDAP metadata": {
    run: (origin) => Effect.flatMap(UdapDiscovery.UdapDiscovery, (service) => service.metadata(`${origin}/fhir`, local))
  },
  "code exchange": {
    run: atTokenEndpoint((service, target) =>
      service.exchangeCode(target, {
        code: redacted(CANARIES.code),
        verifier: redacted(CANARIES.verifier),
        redirectUri: "https://app.test/callback"
      })
    )
  },
  refresh: {
    run: atTokenEndpoint((service, target) => service.refresh(target, { refreshToken: redacted(CANARIES.refresh) }))
  },
  "client credentials": {
    run: atTokenEndpoint((service, target) => service.clientCredentials(target, { scopes: ["system/*.rs"] }))
  },
  introspection: {
    run: atTokenEndpoint((service, target) => service.introspect(target, { token: redacted(CANARIES.token) }))
  },
  revocation: {
    run: atTokenEndpoint((service, target) => service.revoke(target, { token: redacted(CANARIES.token) })),
    statusOnly: true
  },
  userinfo: {
    run: atTokenEndpoint((service, target) => service.userInfo(target, { token: redacted(CANARIES.token) }))
  },
  registration: {
    run: (origin) =>
      Effect.flatMap(
        Registration.Registration,
        (service) =>
          service.register(new ClientMetadata({ clientName: "app" }), {
            ...local,
            endpoint: `${origin}/register`,
            initialAccessToken: redacted(CANARIES.token)
          })
      )
  },
  "registration read": { run: atRegistration((service, client) => service.read(client, local)) },
  "registration update": {
    run: atRegistration((service, client) => service.update(client, new ClientMetadata({ clientName: "new" }), local))
  },
  "registration removal": { run: atRegistration((service, client) => service.remove(client, local)), statusOnly: true },
  "FHIR read": { run: atFhirServer((fhir) => fhir.read("Patient", "1")) },
  "FHIR search": { run: atFhirServer((fhir) => Stream.runDrain(fhir.search("Patient", { name: "a" }))) },
  "FHIR create": { run: atFhirServer((fhir) => fhir.create({ resourceType: "Patient" })) },
  "FHIR batch": {
    run: atFhirServer((fhir) => fhir.batch([{ method: "GET", url: "Patient/1" }]))
  },
  "export kick-off": { run: atFhirServer((fhir) => BulkExport.start(fhir)) },
  "export status": { run: atFhirServer(statusOf) },
  "export deletion": {
    run: atFhirServer((fhir, origin) => BulkExport.remove(fhir, exportJob(origin, true))),
    statusOnly: true
  },
  "export file": {
    run: atFhirServer((fhir, origin) =>
      Stream.runDrain(BulkExport.readFile(fhir, exportJob(origin, true), 0, {
        maxLineBytes: 200_000,
        maxOutage: 0,
        maxRefreshes: 0
      }))
    ),
    limitedByPiece: true
  },
  download: {
    run: atFhirServer((fhir) =>
      Stream.runDrain(fhir.download({ interaction: "read", method: "GET", url: "Binary/1" }))
    ),
    statusOnly: true,
    limitedByPiece: true
  }
}

const anchor = Effect.runSync(
  Effect.cached(
    Effect.flatMap(Pki.newKeys(), (keys) => Pki.issue({ commonName: "Root", authority: true, keys }))
  )
)

/** The services of all calls over one transport, without retries. */
export const services = (transport: Layer.Layer<HttpClient.HttpClient>) =>
  Layer.mergeAll(
    Brands.layer(),
    FhirClient.layer,
    Jwks.layer(),
    OpenIdConfiguration.layer(),
    Registration.layer,
    SmartStyle.layer(),
    TokenEndpoint.layer,
    UdapDiscovery.layer().pipe(
      Layer.provide(Layer.unwrapEffect(
        Effect.map(anchor, ({ der }) => TrustPolicy.layer({ communities: { "urn:test": { anchors: [der] } } }))
      ))
    ),
    authentication
  ).pipe(
    Layer.provideMerge(Discovery.layer()),
    Layer.provideMerge(transport),
    Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
    Layer.provide(HttpLimits.layer(FaultServer.LIMITS))
  )
