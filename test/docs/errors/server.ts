/** What can go wrong before a login begins: settings, and what a server says about itself. */
import type * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  Brands,
  BrandsError,
  CapabilityStatements,
  ClientAuthenticationConfig,
  ConfigurationError,
  Discovery,
  DiscoveryError,
  HttpLimits,
  Jwks,
  MetadataError,
  OpenIdConfiguration,
  SigningKeys,
  SmartClient
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { FhirBaseUrl } from "../../../src/base/FhirBaseUrl.js"
import { fromDocument } from "../../../src/server/SmartConfiguration.js"
import * as SmartStyle from "../../../src/server/SmartStyle.js"
import { ConnectionFailure, type FakeResponse, hang, json, text } from "../../support/http.js"
import { final, nothingSent, readOnly, section } from "../entry.js"
import {
  atSandbox,
  atServer,
  fault,
  fhirBaseUrl,
  http,
  login,
  met,
  patiently,
  smallLimits,
  tokens,
  withoutChunks
} from "../world.js"

const html = () => text("<!doctype html><title>Sign in</title>", { headers: { "content-type": "text/html" } })
const busy = () => text("", { status: 503, headers: { "retry-after": "120" } })
const large = () => json({ text: "x".repeat(2_000) })
const moved = () => text("", { status: 302, headers: { location: "http://portal.example.org/login" } })
const refusing = () => new ConnectionFailure("ECONNREFUSED", "connect")

const environment = (values: Readonly<Record<string, string>>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values)), { pathDelim: "_" }))

const built = <A, E, R>(layer: Layer.Layer<A, E, R>) => Effect.scoped(Layer.build(layer))

/** What a layer says of its environment; missing variables are another matter. */
const fromEnvironment = <A>(
  layer: Layer.Layer<A, ConfigError.ConfigError | ConfigurationError>,
  values: Readonly<Record<string, string>>
) =>
  Effect.filterOrDie(
    met(built(Layer.provide(layer, environment(values)))),
    (error): error is ConfigurationError => error instanceof ConfigurationError,
    () => new Error("the environment could not be read")
  )

export const configurationError = section<ConfigurationError["reason"]>({
  name: "ConfigurationError",
  literals: ConfigurationError.fields.reason.literals,
  about:
    "A setting of this program is incomplete, contradictory or unsafe. The error comes when a layer is built, or from the call whose options are wrong. `fields` names every setting concerned, never its value. The library sent nothing and repeats nothing. For a variable that is missing or of the wrong kind altogether, Effect reports its own `ConfigError`.",
  names: /north|SMART_/,
  entries: {
    Missing: {
      example: met(Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())).pipe(
        Effect.provide(atSandbox({ redirectUri: undefined }))
      ),
      cause: "This call needs a setting that neither the configuration nor the call has.",
      cure: "Set what `fields` names.",
      again: nothingSent
    },
    Invalid: {
      example: met(
        built(
          atSandbox({ fhirBaseUrl: "ehr.example.org/fhir", clientId: "", redirectUri: "https://app.example.org/#/cb" })
        )
      ),
      cause:
        "Settings have impossible values: a URL that is not absolute, an empty client id, a scope with a comma in it.",
      cure: "Correct everything that `fields` names. It lists all of them, so that you can correct them together.",
      again: nothingSent
    },
    Insecure: {
      example: met(
        built(atSandbox({ fhirBaseUrl: "http://ehr.example.org/fhir", redirectUri: "http://app.example.org/callback" }))
      ),
      cause: "A configured URL is not https.",
      cure:
        "Use https. For development on this machine alone, use `localhost`, `127.0.0.1` or `[::1]` and set `allowInsecureLocalhost`.",
      again: nothingSent
    },
    Conflict: {
      example: fromEnvironment(ClientAuthenticationConfig.layer, {
        SMART_CLIENT_SECRET: "the-client-s3cret",
        SMART_PRIVATE_KEY: "{}"
      }),
      cause: "Two settings exclude each other, or the program gave a parameter that the client itself sends.",
      cure: "Remove one of the settings that `fields` names.",
      again: nothingSent
    },
    BadKey: {
      example: fromEnvironment(SigningKeys.layerConfig, {
        SMART_PRIVATE_KEY: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
      }),
      cause:
        "The library cannot sign with this key: it is a certificate, a public key or too short, or two keys have the same `kid`.",
      cure:
        "Use a private key as PKCS #8 PEM, JWK or JWK Set. It must be RSA of 2,048 bits or more, or EC P-384 (SMART signs with RS384 and ES384).",
      again: nothingSent
    }
  }
})

const discover = (answer: () => FakeResponse, url = fhirBaseUrl, limits: Layer.Layer<never> = HttpLimits.layer({})) =>
  met(Effect.flatMap(Discovery.Discovery, (discovery) => discovery.configuration(url))).pipe(
    Effect.provide(Discovery.layer({ failureTimeToLive: 0 }).pipe(Layer.provide(http(answer)), Layer.provide(limits)))
  )

export const discoveryError = section<DiscoveryError["reason"]>({
  name: "DiscoveryError",
  literals: DiscoveryError.fields.reason.literals,
  about:
    "The library could not get the server's SMART configuration, or the configuration lacks what a step needs. Every step that needs metadata can fail with this error. While a server is unavailable, the library uses its last valid configuration for a day (with the warning `MetadataStale`), so that most short failures do not reach you. It caches a failure for three seconds. Fields: `fhirBaseUrl`, `url`, `detail`, `member`, `status`, `retryAfter`.",
  names: /ehr\.example\.org/,
  entries: {
    InvalidUrl: {
      example: discover(html, `${fhirBaseUrl}?tenant=1`),
      cause: "The program gave a value that cannot be a FHIR base URL.",
      cure: "Give the absolute URL of the FHIR server, with its whole path and nothing after it.",
      again: nothingSent
    },
    Unreachable: {
      example: discover(refusing),
      cause:
        "The connection to the server failed or was interrupted. The code in the message comes from the operating system.",
      cure:
        "`ENOTFOUND`: check the host name. `ECONNREFUSED`, `ETIMEDOUT`: check the server, firewall or proxy. `CERT_…`, `UNABLE_TO_…`: check its certificate, or add the CA that this machine does not know.",
      again: readOnly
    },
    TimedOut: {
      example: patiently(discover(() => hang)),
      cause: "No complete response within `HttpLimits.discoveryTimeout` (10 seconds). This time includes redirects.",
      cure: "Ask the operator. If the server is known to be slow, raise the limit.",
      again: readOnly
    },
    Status: {
      example: discover(busy),
      cause:
        "The server responded with an error status. After 408, 429, 502, 503 and 504 the library repeats the request, unless `Retry-After` is more than 30 seconds.",
      cure:
        "Wait as long as `retryAfter` says. 401 or 403: a gateway may require credentials. By specification the SMART configuration is public.",
      again:
        "Retried if the status is temporary and the server did not require a longer wait. Safe to call again after `retryAfter`."
    },
    NotFound: {
      example: discover(() => text("", { status: 404 })),
      cause: "404 or 410: the server has no `.well-known/smart-configuration` under this URL.",
      cure:
        "Check the path of the base URL: nearly always a part is missing (`/fhir`, `/r4`, a tenant). For an old server that has only its CapabilityStatement, set `legacyMetadata`.",
      again: final
    },
    NotJson: {
      example: discover(html),
      cause: "The response is not JSON. It may be a login page, a captive portal or a page of a proxy.",
      cure: "Open the URL with curl and see which program responds.",
      again: final
    },
    NotObject: {
      example: discover(() => json(["https://ehr.example.org/fhir"])),
      cause: "The response is JSON, but not an object.",
      cure: "The document cannot be a SMART configuration. Compare the URL, then ask the operator.",
      again: final
    },
    TooLarge: {
      example: discover(large, fhirBaseUrl, smallLimits),
      cause: "The response is longer than `HttpLimits.maxResponseBytes` (1 MiB; a small one here).",
      cure: "A SMART configuration has a few kilobytes. Look at the response before you raise the limit.",
      again: final
    },
    RedirectRefused: {
      example: discover(moved),
      cause: "The library did not follow a redirect: it leads to http, or it is the fourth in a row.",
      cure:
        "If the redirect leads to the server that you mean, configure that URL. If it leads to a login page, a gateway has responded.",
      again: final
    },
    EndpointMissing: {
      example: met(
        Effect.flatMap(
          login(),
          ({ accessToken }) => Effect.flatMap(SmartClient.SmartClient, (client) => client.introspect(accessToken))
        )
      ).pipe(
        Effect.provide(atSandbox({}, { metadata: { introspection_endpoint: undefined } })),
        Effect.map((error): DiscoveryError => error as DiscoveryError)
      ),
      cause: "The metadata has no usable value for the endpoint that this step needs. `member` names the endpoint.",
      cure:
        "Ask the operator, do without the step, or configure the endpoint (`metadata` of the client's configuration).",
      again: final
    },
    InsecureEndpoint: {
      example: met(Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())).pipe(
        Effect.provide(atSandbox({}, { metadata: { token_endpoint: "http://ehr.example.org/auth/token" } }))
      ),
      cause:
        "The metadata names an endpoint that is not https, and this step would use it. The library checks this before it redirects the user to the login.",
      cure:
        "Tell the operator: codes and tokens would travel unencrypted. For a server on this machine, set `allowInsecureLocalhost`.",
      again: final
    },
    ModuleUnavailable: {
      example: met(Effect.flatMap(SmartClient.SmartClient, (client) => client.logoutUrl(tokens()))).pipe(
        Effect.provide(atServer(refusing)),
        withoutChunks
      ),
      cause:
        "Only `logoutUrl`: in a browser, the code that reads OpenID metadata is in the chunk that verifies id_tokens, and the page could not load it. The network is down, or a new version of the app removed the old chunks.",
      cure: "Keep the chunks of the previous version for a day after a deployment.",
      again: "Repeat the call. Browsers may need a reload of the page."
    }
  }
})

const loginServer = "https://login.example.org"
const jwksUri = `${loginServer}/jwks`

const openId = (answer: () => FakeResponse, issuer = loginServer, limits: Layer.Layer<never> = HttpLimits.layer({})) =>
  met(Effect.flatMap(OpenIdConfiguration.OpenIdConfiguration, (service) => service.metadata(issuer))).pipe(
    Effect.provide(OpenIdConfiguration.layer({}).pipe(Layer.provide(http(answer)), Layer.provide(limits)))
  )

const keys = (answer: () => FakeResponse, kid?: string) =>
  met(Effect.flatMap(Jwks.Jwks, (service) => service.find(jwksUri, { alg: "ES256", kid }))).pipe(
    Effect.provide(Jwks.layer({}).pipe(Layer.provide(http(answer))))
  )

const style = (answer: () => FakeResponse, url: string) =>
  met(Effect.flatMap(SmartStyle.SmartStyle, (service) => service.style(url))).pipe(
    Effect.provide(SmartStyle.layer().pipe(Layer.provide(http(answer))))
  )

const userInfo = (endpoint: string | undefined) =>
  met(Effect.gen(function*() {
    const tokens = yield* login()
    yield* fault("openid", SandboxEhr.Fault.mutate((members) => ({ ...members, userinfo_endpoint: endpoint })))
    return yield* Effect.flatMap(SmartClient.SmartClient, (client) => client.userInfo(tokens))
  })).pipe(Effect.provide(atSandbox()))

const capabilities = (answer: Parameters<typeof http>[0]) =>
  met(
    Effect.flatMap(CapabilityStatements.CapabilityStatements, (service) => service.capabilities(fhirBaseUrl))
  ).pipe(Effect.provide(CapabilityStatements.layer().pipe(Layer.provide(http(answer)))))

const ec = { kty: "EC", crv: "P-256", alg: "ES256", x: "AA", y: "AA" }

export const metadataError = section<MetadataError["reason"]>({
  name: "MetadataError",
  literals: MetadataError.fields.reason.literals,
  about:
    "The library could not get or use a document beside the SMART configuration. `subject` says whether it is the `OpenIdConfiguration`, the `Jwks`, the `SmartStyle` or the `CapabilityStatement`. `userInfo` and `logoutUrl` of a client fail with this error. Inside of a login it becomes an `IdTokenError`.",
  names: /example\.org/,
  entries: {
    InvalidUrl: {
      example: style(html, "https://reader:pass@ehr.example.org/style.json"),
      cause:
        "The URL of the document is not absolute, or it has credentials in it, as here. The message does not show them.",
      cure:
        "The URL comes from the server's metadata or from the caller. Its author must give a complete URL without credentials.",
      again: nothingSent
    },
    Unreachable: {
      example: openId(refusing),
      cause: "The connection failed or was interrupted. The code in the message comes from the operating system.",
      cure:
        "Do what `DiscoveryError` says. The login server is often another host than the FHIR server, with its own firewall rule.",
      again: readOnly
    },
    TimedOut: {
      example: patiently(openId(() => hang)),
      cause: "No complete response within `HttpLimits.discoveryTimeout`.",
      cure: "Ask the operator, or raise the limit.",
      again: readOnly
    },
    Status: {
      example: keys(busy),
      cause: "The server responded with an error status.",
      cure: "Wait as long as `retryAfter` says, then ask the operator.",
      again:
        "Retried if the status is temporary and the server did not require a longer wait. Safe to call again after `retryAfter`."
    },
    NotFound: {
      example: openId(() => text("", { status: 404 })),
      cause: "The server responded with 404 or 410 at both URLs of the document (OpenID Connect, RFC 8414).",
      cure:
        "Compare the issuer with that in the server's documentation. Many SMART servers have no OpenID metadata; such a server offers no userinfo.",
      again: final
    },
    NotJson: {
      example: keys(html),
      cause: "The response is not JSON.",
      cure: "Open the URL with curl and see which program responds.",
      again: final
    },
    NotObject: {
      example: style(() => json([]), "https://ehr.example.org/style.json"),
      cause: "The response is JSON, but not an object.",
      cure: "Tell the operator.",
      again: final
    },
    NotACapabilityStatement: {
      example: capabilities(() => json({ resourceType: "OperationOutcome" })),
      cause: "The response is a JSON object, but not a CapabilityStatement.",
      cure: "Check the FHIR base URL: the document is at its path `/metadata`.",
      again: final
    },
    TooLarge: {
      example: openId(large, loginServer, smallLimits),
      cause: "The response is longer than `HttpLimits.maxResponseBytes`.",
      cure: "Look at the response before you raise the limit.",
      again: final
    },
    RedirectRefused: {
      example: openId(moved),
      cause: "The server redirects to http, or for the fourth time in a row.",
      cure: "Tell the operator: the metadata should name the final URL.",
      again: final
    },
    InsecureEndpoint: {
      example: style(html, "http://ehr.example.org/style.json"),
      cause: "The document, or an endpoint that it names, is not https.",
      cure: "Tell the operator. For a server on this machine, set `allowInsecureLocalhost`.",
      again: nothingSent
    },
    IssuerMismatch: {
      example: openId(() => json({ issuer: `${loginServer}/`, jwks_uri: jwksUri })),
      cause:
        "The OpenID metadata of an issuer names another issuer. Here they differ by one slash, the most frequent case.",
      cure:
        "If you configured the issuer (`idToken.issuer`), copy it exactly from the document. Otherwise the operator must make the SMART configuration agree with the document.",
      again: final
    },
    NotAKeySet: {
      example: keys(() => json({ issuer: loginServer })),
      cause: "The document under `jwks_uri` is not a key set.",
      cure: "Tell the operator. Often `jwks_uri` leads to another document.",
      again: final
    },
    TooManyKeys: {
      example: keys(() => json({ keys: Array.from({ length: 200 }, (_, kid) => ({ ...ec, kid: String(kid) })) })),
      cause: "The key set has more than 100 keys.",
      cure: "Ask the operator what is in it. `Jwks.layer({ maxKeys })` accepts more.",
      again: final
    },
    NoSuchKey: {
      example: keys(() => json({ keys: [{ ...ec, kid: "2025" }] }), "2026"),
      cause:
        "A key that the server does not publish has signed a token. For an unknown key, the library fetches the set again, once a minute.",
      cure:
        "In the minutes after a key rotation, try again. Otherwise the token comes from another server, or the operator forgot to publish the key.",
      again:
        "The library fetched the set again, unless it had done so within the last minute. Safe to call again after a minute."
    },
    AmbiguousKey: {
      example: keys(() => json({ keys: [ec, ec] })),
      cause: "Several published keys fit, and the token does not say which one signed it.",
      cure: "The operator must give each key a `kid`, and name it in the token's header.",
      again: final
    },
    UnusableKey: {
      example: keys(() => json({ keys: [{ ...ec, kid: "2026" }] }), "2026"),
      cause: "The key that fits is malformed, too short or private.",
      cure: "Tell the operator. The operator must replace a private key in a public set at once.",
      again: final
    },
    EndpointMissing: {
      example: userInfo(undefined),
      cause: "The OpenID metadata has no usable `userinfo_endpoint`.",
      cure: "Read the person's resource (`fhirUser`) instead.",
      again: final
    },
    ForeignEndpoint: {
      example: userInfo("https://elsewhere.example.org/userinfo"),
      cause:
        "The `userinfo_endpoint` is on a host that neither issued the token nor is the FHIR server. The library did not send the token there.",
      cure: "Ask the operator whether this host is intended. You cannot switch this check off.",
      again: nothingSent
    },
    ModuleUnavailable: {
      example: keys(() => json({ keys: [] })).pipe(
        withoutChunks,
        patiently
      ),
      cause:
        "In a browser, the code that reads key sets is in its own chunk, and the page could not load it: the network is down, or a new version of the app removed the old chunks.",
      cure: "Keep the chunks of the previous version for a day after a deployment.",
      again: "Repeat the call. Browsers may need a reload of the page."
    }
  }
})

const bundleUrl = "https://brands.example.org/bundle.json"

const brands = (answer: () => FakeResponse, url = bundleUrl, limits: Layer.Layer<never> = HttpLimits.layer({})) =>
  met(Effect.flatMap(Brands.Brands, (service) => service.bundle(url))).pipe(
    Effect.provide(Brands.layer({}).pipe(Layer.provide(http(answer)), Layer.provide(limits)))
  )

export const brandsError = section<BrandsError["reason"]>({
  name: "BrandsError",
  literals: BrandsError.fields.reason.literals,
  about:
    "The library could not get a bundle of user-access brands. No login depends on it: show the list that you had before, or none.",
  names: /example\.org/,
  entries: {
    NotPublished: {
      example: met(
        Effect.flatMap(Brands.Brands, (service) => service.linked(fromDocument(FhirBaseUrl.make(fhirBaseUrl), {})))
      ).pipe(
        Effect.provide(Brands.layer({}).pipe(Layer.provide(http(html))))
      ),
      cause: "The server's SMART configuration links to no brand bundle.",
      cure: "Look for a directory of the vendor, and give its URL to `Brands.bundle`.",
      again: nothingSent
    },
    InvalidUrl: {
      example: brands(html, "https://reader:pass@brands.example.org/bundle.json"),
      cause: "The URL of the bundle is not absolute, or has credentials in it.",
      cure: "Give the public URL.",
      again: nothingSent
    },
    InsecureEndpoint: {
      example: brands(html, "http://brands.example.org/bundle.json"),
      cause:
        "The URL of the bundle is not https. An attacker who changes the bundle on its way decides where people log in.",
      cure: "Tell its publisher.",
      again: nothingSent
    },
    Unreachable: {
      example: brands(refusing),
      cause: "The connection failed or was interrupted. The code in the message comes from the operating system.",
      cure: "Do what `DiscoveryError` says.",
      again: readOnly
    },
    TimedOut: {
      example: patiently(brands(() => hang)),
      cause: "No complete response within `HttpLimits.fhirTimeout` (30 seconds).",
      cure: "Bundles can be large: fetch them ahead of time and keep them.",
      again: readOnly
    },
    Status: {
      example: brands(busy),
      cause: "The server responded with an error status.",
      cure: "Wait as long as `retryAfter` says, then ask the publisher.",
      again:
        "Retried if the status is temporary and the server did not require a longer wait. Safe to call again after `retryAfter`."
    },
    NotFound: {
      example: brands(() => text("", { status: 404 })),
      cause: "404 or 410: the server has no bundle at this URL.",
      cure: "Ask the publisher for the new URL.",
      again: final
    },
    NotJson: {
      example: brands(html),
      cause: "The response is not JSON.",
      cure: "Open the URL with curl and see which program responds.",
      again: final
    },
    NotBundle: {
      example: brands(() => json({ resourceType: "Organization" })),
      cause: "The response is JSON, but not a FHIR Bundle.",
      cure: "Tell the publisher.",
      again: final
    },
    TooLarge: {
      example: brands(large, bundleUrl, smallLimits),
      cause: "The bundle is longer than `HttpLimits.maxFhirResponseBytes` (64 MiB; a small one here).",
      cure: "Raise the limit if the bundle is really that large.",
      again: final
    },
    RedirectRefused: {
      example: brands(moved),
      cause: "The server redirects to http, or for the fourth time in a row.",
      cure: "If the redirect leads to the bundle that you mean, use that URL.",
      again: final
    }
  }
})
