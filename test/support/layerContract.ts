/**
 * Every public layer that needs an `HttpClient`, with one request to make through it. `Names` is computed from the
 * public modules: a new layer without an entry here does not compile.
 */
import * as Persistence from "@effect/experimental/Persistence"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Core from "effect-safire"
import type * as Browser from "effect-safire/browser"
import type * as Node from "effect-safire/node"
import * as Persisted from "effect-safire/persistence"
import type * as Redis from "effect-safire/redis"
import type * as Sql from "effect-safire/sql"
import * as Udap from "effect-safire/udap"
import type * as Web from "effect-safire/web"
import * as jose from "jose"
import { fromSettings } from "../../src/server/SmartConfiguration.js"
import * as Pki from "../../src/testing/internal/pki.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import { type Fake, fake, guarded, json, type SentRequest, text } from "./http.js"

type Needs<R> = unknown extends R ? "Unknown" : HttpClient.HttpClient extends R ? "Yes" : "No"

type NeedsOf<Export> = Export extends Layer.Layer<infer _A, infer _E, infer R> ? Needs<R>
  : Export extends (...args: never) => Layer.Layer<infer _A, infer _E, infer R> ? Needs<R>
  : "No"

type NamesOf<Modules> = {
  [M in keyof Modules & string]: {
    [Name in keyof Modules[M] & `layer${string}`]: NeedsOf<Modules[M][Name]> extends "No" ? never : `${M}.${Name}`
  }[keyof Modules[M] & `layer${string}`]
}[keyof Modules & string]

/** Generic layers whose requirements are a type parameter, and which need no `HttpClient` themselves. */
type Generic = "SessionStore.layerBacking" | "SmartServers.layerWithoutDependencies"

/** Has its own limits for downloads: see test/udap/revocation.test.ts. */
type WithOwnLimits = "TrustPolicy.layer" | "UdapAuthentication.layerDependencies"

export type Names = Exclude<
  NamesOf<
    typeof Core & typeof Browser & typeof Node & typeof Persisted & typeof Redis & typeof Sql & typeof Udap & typeof Web
  >,
  Generic | WithOwnLimits
>

const origin = "https://ehr.test"
export const fhirBaseUrl = `${origin}/fhir`
export const clientId = "growth-chart"

// The clock of the tests starts in 1970.
const authority = await Effect.runPromise(Pki.issue({ commonName: "Root", authority: true, from: 0 }))
const signer = await Effect.runPromise(
  Pki.issue({ commonName: "Server", by: authority, from: 0, names: [Pki.uri(fhirBaseUrl)] })
)
const udapClaims = {
  iss: fhirBaseUrl,
  sub: fhirBaseUrl,
  iat: 0,
  exp: 86_400,
  jti: "1",
  token_endpoint: `${origin}/token`,
  registration_endpoint: `${origin}/register`
}
const signedMetadata = await new jose.CompactSign(new TextEncoder().encode(JSON.stringify(udapClaims)))
  .setProtectedHeader({ alg: "RS256", x5c: [Buffer.from(signer.der).toString("base64")] }).sign(signer.keys.privateKey)

const documents: Readonly<Record<string, unknown>> = {
  "/fhir/.well-known/smart-configuration": {
    issuer: origin,
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: `${origin}/token`,
    capabilities: ["launch-ehr"]
  },
  "/fhir/metadata": { resourceType: "CapabilityStatement" },
  "/fhir/.well-known/udap": { signed_metadata: signedMetadata },
  "/.well-known/openid-configuration": { issuer: origin, jwks_uri: `${origin}/jwks` },
  // The EC key of RFC 7517, appendix A.1.
  "/jwks": {
    keys: [{
      kty: "EC",
      crv: "P-256",
      x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
      y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
      kid: "1"
    }]
  },
  "/brands": { resourceType: "Bundle", type: "collection", entry: [] },
  "/style": { color_background: "#fff" },
  "/token": { access_token: "a", token_type: "bearer", expires_in: 300, scope: "system/*.rs" },
  "/clients/1": { client_id: clientId },
  "/register": { client_id: clientId },
  "/fhir/Patient/1": { resourceType: "Patient", id: "1" }
}

/** The responses of the server: a document, or 304 if the request has the `ETag` of the document. */
export const respond = ({ headers, url }: SentRequest): Response => {
  const found = documents[new URL(url).pathname]
  return headers["if-none-match"] !== undefined
    ? new Response(null, { status: 304, headers: { etag: "\"1\"" } })
    : found === undefined
    ? text("", { status: 404 })
    : json(found, { headers: { etag: "\"1\"" } })
}

export interface Transport extends Fake {
  readonly layer: Layer.Layer<HttpClient.HttpClient | Core.AddressGuard.AddressGuard>
  /** The number of responses other than 304. */
  readonly sent: () => number
}

/** A new transport to the same server, with an address guard, so that an open registry accepts it. */
export const transport = (responses: (request: SentRequest, index: number) => Response = respond): Transport => {
  const net = fake(responses)
  return {
    ...net,
    layer: guarded(net),
    sent: () => net.requests.filter(({ headers }) => headers["if-none-match"] === undefined).length
  }
}

/** One use of a layer: the request of the entry. */
export interface Use {
  readonly run: Effect.Effect<unknown, unknown>
}

export interface Entry {
  /**
   * `Shared`: layers over one transport share their state. `Fresh`: no state, built for each use. `Own`: each call
   * of the function has its own state. `Memoised`: one value, which Effect builds once.
   */
  readonly kind: "Shared" | "Fresh" | "Own" | "Memoised"
  /** The number of requests of one use. */
  readonly requests: number
  /** A program that is provided with the layer, as in an app. */
  readonly user: <I>(
    tag: Context.Tag<I, Use>
  ) => Layer.Layer<I, unknown, HttpClient.HttpClient | Core.AddressGuard.AddressGuard>
}

/** Settings of a layer must reach a call through the service, not through the environment of the call. */
const withoutSettings = <I>(context: Context.Context<I>): Context.Context<I> =>
  Context.omit(
    Core.RetryPolicy.RetryPolicy,
    Core.HttpLimits.HttpLimits,
    Core.ConformanceWarning.ConformanceWarnings
  )(context) as Context.Context<I>

const entry = <I>(
  kind: Entry["kind"],
  layer: () => Layer.Layer<I, unknown, HttpClient.HttpClient | Core.AddressGuard.AddressGuard>,
  run: Effect.Effect<unknown, unknown, I>,
  requests = 1
): Entry => ({
  kind,
  requests,
  user: (tag) =>
    Layer.provide(
      Layer.effect(
        tag,
        Effect.map(Effect.context<I>(), (context) => ({ run: Effect.provide(run, withoutSettings(context)) }))
      ),
      layer()
    )
})

const config: Core.SmartClient.Config = { fhirBaseUrl, clientId, scopes: ["system/*.rs"] }

const server = { ...config, authentication: Core.ClientAuthentication.makePublic }

const metadata = { issuer: origin, tokenEndpoint: `${origin}/token` }

const registered = new Core.RegisteredClient.RegisteredClient({
  clientId,
  registrationAccessToken: Redacted.make("t0ken"),
  registrationClientUri: `${origin}/clients/1`,
  metadata: new Core.ClientMetadata.ClientMetadata({ redirectUris: [] }),
  deviations: [],
  changed: []
})

export const tokens = new TokenSet({
  version: 1,
  accessToken: Redacted.make("a"),
  scopes: [],
  context: new Core.LaunchContext.LaunchContext({}),
  extensions: Redacted.make({}),
  receivedAt: DateTime.unsafeMake(0)
})

const configured = Effect.flatMap(Core.SmartClient.SmartClient, ({ configuration }) => configuration)

const configuredIn = (key: string) =>
  Effect.flatMap(
    Core.SmartServers.SmartServers,
    (servers) => Effect.flatMap(servers.client(key), ({ configuration }) => configuration)
  )

const discovered = Effect.flatMap(Core.Discovery.Discovery, ({ configuration }) => configuration(fhirBaseUrl))

const backendToken = Effect.flatMap(Core.BackendServices.BackendServices, ({ accessToken }) => accessToken())

const readPatient = Effect.flatMap(
  Effect.all([Core.FhirClient.FhirClient, Core.SmartClient.SmartClient]),
  ([fhir, client]) => fhir.forTokens(client, tokens).read("Patient", "1")
)

const withMemory = Layer.provide(Core.SessionStore.layerMemory)

const environment = <A, E, R>(self: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.provide(
    self,
    Layer.setConfigProvider(ConfigProvider.fromMap(
      new Map([
        ["SMART_SERVERS", "north"],
        ...["SMART", "NORTH"].flatMap((prefix) => [
          [`${prefix}.FHIR_BASE_URL`, fhirBaseUrl] as const,
          [`${prefix}.CLIENT_ID`, clientId] as const
        ])
      ])
    ))
  )

/** An empty store, so that a second lookup uses memory or the server. */
const emptyPersistence: Layer.Layer<Persistence.ResultPersistence> = Layer.succeed(
  Persistence.ResultPersistence,
  Persistence.ResultPersistence.of({
    [Persistence.ResultPersistenceTypeId]: Persistence.ResultPersistenceTypeId,
    make: () =>
      Effect.succeed({
        get: () => Effect.succeedNone,
        getMany: (keys) => Effect.succeed(keys.map(() => Option.none())),
        set: () => Effect.void,
        setMany: () => Effect.void,
        remove: () => Effect.void,
        clear: Effect.void
      })
  })
)

const trust = Udap.TrustPolicy.layer({ communities: { "urn:test": { anchors: [authority.der], revocation: "off" } } })

const appKeys = await Effect.runPromise(Pki.newKeys("p256"))
const app = await Effect.runPromise(
  Pki.issue({ commonName: "App", by: authority, from: 0, keys: appKeys, names: [Pki.uri("https://app.test")] })
)
const appCertificate = await Effect.runPromise(
  Udap.ClientCertificate.fromSigner({
    chain: app.der,
    sign: (_, bytes) =>
      Effect.promise(() =>
        crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, appKeys.privateKey, new Uint8Array(bytes))
          .then((signature) => new Uint8Array(signature))
      )
  })
)

const udapMetadata = new Udap.UdapMetadata.UdapMetadata({
  fhirBaseUrl: Core.FhirBaseUrl.FhirBaseUrl.make(fhirBaseUrl),
  community: "urn:test",
  certificatePath: [],
  trustedUntil: Number.MAX_SAFE_INTEGER,
  tokenEndpoint: `${origin}/token`,
  registrationEndpoint: `${origin}/register`,
  extensions: {},
  deviations: [],
  unsignedEndpoints: []
})

const knownServer: Udap.UdapDiscovery.Service = {
  metadata: () => Effect.succeed(udapMetadata),
  refresh: () => Effect.succeed(udapMetadata),
  invalidate: () => Effect.void
}

export const entries: Record<Names, Entry> = {
  "UdapDiscovery.layer": entry(
    "Shared",
    () => Layer.provide(Udap.UdapDiscovery.layer(), trust),
    Effect.flatMap(Udap.UdapDiscovery.UdapDiscovery, (discovery) => discovery.metadata(fhirBaseUrl))
  ),
  "UdapRegistration.layer": entry(
    "Fresh",
    () =>
      withMemory(Udap.UdapRegistration.layer).pipe(
        Layer.provide(Layer.succeed(Udap.UdapDiscovery.UdapDiscovery, knownServer))
      ),
    Effect.flatMap(Udap.UdapRegistration.UdapRegistration, (registration) =>
      registration.register({
        fhirBaseUrl,
        certificate: appCertificate,
        metadata: {
          clientName: "Growth Chart",
          contacts: ["mailto:it@example.org"],
          grantTypes: ["client_credentials"],
          scopes: ["system/*.rs"]
        }
      }))
  ),
  "Discovery.layer": entry("Shared", () => Core.Discovery.layer(), discovered),
  "PersistedDiscovery.layer": entry(
    "Shared",
    () => Layer.provide(Persisted.PersistedDiscovery.layer(), emptyPersistence),
    discovered
  ),
  "OpenIdConfiguration.layer": entry(
    "Shared",
    () => Core.OpenIdConfiguration.layer(),
    Effect.flatMap(Core.OpenIdConfiguration.OpenIdConfiguration, (openId) => openId.metadata(origin))
  ),
  "Jwks.layer": entry(
    "Shared",
    () => Core.Jwks.layer(),
    Effect.flatMap(Core.Jwks.Jwks, (jwks) => jwks.find(`${origin}/jwks`, { alg: "ES256", kid: "1" }))
  ),
  "CapabilityStatements.layer": entry(
    "Shared",
    () => Core.CapabilityStatements.layer(),
    Effect.flatMap(Core.CapabilityStatements.CapabilityStatements, ({ capabilities }) => capabilities(fhirBaseUrl))
  ),
  "Brands.layer": entry(
    "Shared",
    () => Core.Brands.layer(),
    Effect.flatMap(Core.Brands.Brands, (brands) => brands.bundle(`${origin}/brands`))
  ),
  "SmartStyle.layer": entry(
    "Shared",
    () => Core.SmartStyle.layer(),
    Effect.flatMap(Core.SmartStyle.SmartStyle, (styles) => styles.style(`${origin}/style`))
  ),
  "IdToken.layer": entry(
    "Shared",
    () => Core.IdToken.layer(),
    Effect.flatMap(Core.IdToken.IdToken, (idTokens) =>
      idTokens.provider({
        server: "north",
        configuration: fromSettings(Core.FhirBaseUrl.FhirBaseUrl.make(fhirBaseUrl), { issuer: origin })
      }))
  ),
  "TokenEndpoint.layer": entry(
    "Fresh",
    () => Core.TokenEndpoint.layer,
    Effect.flatMap(
      Core.TokenEndpoint.TokenEndpoint,
      (endpoint) => endpoint.clientCredentials({ ...server, endpoint: `${origin}/token` }, { scopes: ["system/*.rs"] })
    )
  ),
  "Registration.layer": entry(
    "Fresh",
    () => Layer.provide(Core.Registration.layer, Core.Discovery.layer()),
    Effect.flatMap(Core.Registration.Registration, (registration) => registration.read(registered))
  ),
  "FhirClient.layer": entry(
    "Fresh",
    () =>
      Layer.merge(
        Core.FhirClient.layer,
        Layer.provide(
          Core.SmartClient.layer({ ...config, metadata }),
          Core.ClientAuthentication.layerPublic
        )
      ),
    readPatient
  ),
  "SmartApp.layer": entry("Shared", () => withMemory(Core.SmartApp.layer(config)), configured),
  "SmartApp.layerConfig": entry("Shared", () => withMemory(environment(Core.SmartApp.layerConfig())), configured),
  "SmartApp.layerServers": entry(
    "Shared",
    () => withMemory(Core.SmartApp.layerServers({ north: server })),
    configuredIn("north")
  ),
  "SmartApp.layerFromServers": entry(
    "Fresh",
    () =>
      withMemory(Core.SmartApp.layerFromServers()).pipe(
        Layer.provide(Core.SmartServers.layerFromClient),
        Layer.provideMerge(Core.SmartClient.layer({ ...config, metadata })),
        Layer.provide(Core.ClientAuthentication.layerPublic)
      ),
    readPatient
  ),
  "SmartClient.layerDependencies": entry("Shared", () => Core.SmartClient.layerDependencies(), discovered),
  "SmartClient.layer": entry(
    "Shared",
    () => Layer.provide(Core.SmartClient.layer(config), Core.ClientAuthentication.layerPublic),
    configured
  ),
  "SmartClient.layerConfig": entry(
    "Shared",
    () => environment(Layer.provide(Core.SmartClient.layerConfig(), Core.ClientAuthenticationConfig.layer)),
    configured
  ),
  "SmartServers.layer": entry("Shared", () => Core.SmartServers.layer({ north: server }), configuredIn("north")),
  "SmartServers.layerConfig": entry(
    "Shared",
    () => environment(Core.SmartServers.layerConfig()),
    configuredIn("north")
  ),
  "SmartServers.layerOpen": entry("Shared", () => Core.SmartServers.layerOpen(() => server), configuredIn(fhirBaseUrl)),
  "BackendServices.layerWith": entry(
    "Own",
    () =>
      Layer.provide(Core.BackendServices.layerWith({}), Core.SmartServers.layer({ north: { ...server, metadata } })),
    backendToken
  ),
  "BackendServices.layer": entry(
    "Memoised",
    () => Layer.provide(Core.BackendServices.layer, Core.SmartServers.layer({ north: { ...server, metadata } })),
    backendToken
  ),
  "BackendServices.layerFromClient": entry(
    "Memoised",
    () =>
      Core.BackendServices.layerFromClient.pipe(
        Layer.provide(Core.SmartClient.layer({ ...config, metadata })),
        Layer.provide(Core.ClientAuthentication.layerPublic)
      ),
    backendToken
  )
}
