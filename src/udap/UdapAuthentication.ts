/**
 * The authentication of an app by its certificate (UDAP Security STU2, sections 4.2 and 5.2; UDAP JWT-Based Client
 * Authentication). It registers the app when a request first needs the client id, and the client uses the signed
 * endpoints of the server. Everything else works as with any other `ClientAuthentication`.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { configurationError } from "../base/ConfigurationError.js"
import * as SecureRandom from "../base/SecureRandom.js"
import * as SingleFlight from "../base/SingleFlight.js"
import * as ClientAssertion from "../client/ClientAssertion.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import type { SmartConfiguration } from "../server/SmartConfiguration.js"
import type { SessionStore } from "../session/SessionStore.js"
import * as AuthorizationExtension from "./AuthorizationExtension.js"
import { checkValidity, type ClientCertificate } from "./ClientCertificate.js"
import { clientError } from "./internal/clientError.js"
import * as jws from "./internal/jws.js"
import { signedConfiguration } from "./internal/signedConfiguration.js"
import type * as SoftwareStatement from "./SoftwareStatement.js"
import * as TrustPolicy from "./TrustPolicy.js"
import * as UdapDiscovery from "./UdapDiscovery.js"
import type { UdapMetadata } from "./UdapMetadata.js"
import * as UdapRegistration from "./UdapRegistration.js"

/**
 * Options of the assertions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The URI of the trust community. Optional where `TrustPolicy` has only one. */
  readonly community?: string | undefined
  /**
   * The certificate of the app. An effect runs when the client id is first needed and every hour: return the renewed
   * certificate from it, and the app registers with it before the old one ends.
   */
  readonly certificate: ClientCertificate | Effect.Effect<ClientCertificate, ConfigurationError>
  /** The URI by which the app is known, if the certificate has several. One app has one URI. */
  readonly clientUri?: string | undefined
  /** The name that users see at the server (`client_name`). */
  readonly clientName: string
  /** URIs, of which one is a `mailto:`. */
  readonly contacts: ReadonlyArray<string>
  /** The https URL of a PNG, JPG or GIF image. Required for an app with users. */
  readonly logoUri?: string | undefined
  /**
   * Default: `authorization_code` (and `refresh_token`, if the server supports it) for a server that is configured
   * with a redirect URI, otherwise `client_credentials`.
   */
  readonly grantTypes?: ReadonlyArray<SoftwareStatement.GrantType> | undefined
  /** Default: the redirect URI that the server is configured with. */
  readonly redirectUris?: ReadonlyArray<string> | undefined
  /** All scopes that the app may request. Default: the configured ones. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** Certifications to register with, or an effect that signs them. */
  readonly certifications?:
    | ReadonlyArray<Redacted.Redacted>
    | Effect.Effect<ReadonlyArray<Redacted.Redacted>, ConfigurationError>
    | undefined
  /** Other members of the registration. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** The authorization extension objects of requests for client credentials that have none of their own. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
  /** Extension objects of your community, which are checked as those of `AuthorizationExtension` are. */
  readonly definitions?: ReadonlyArray<AuthorizationExtension.AnyDefinition> | undefined
  /** The lifetime of an assertion. Default 4 minutes, at most 5. */
  readonly lifetime?: Duration.DurationInput | undefined
}

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/** The time for which a registration in memory is used before the store and the certificate are read again. */
const RECHECK_MILLIS = 3_600_000

/** The time for which it is used after it could not be read again. */
const RETRY_MILLIS = 60_000

/** A registration in the memory of this process. */
interface Known {
  readonly registered: UdapRegistration.RegisteredApp
  readonly certificate: ClientCertificate
  readonly metadata: UdapMetadata
  readonly recheckAt: number
}

/** The last configuration, for the documents that it was made from. */
interface Merged {
  readonly metadata: UdapMetadata
  readonly smart: SmartConfiguration | undefined
  readonly configuration: SmartConfiguration
}

const valueOf = <A>(
  value: A | Effect.Effect<A, ConfigurationError>
): Effect.Effect<A, ConfigurationError> => Effect.isEffect(value) ? value : Effect.succeed(value)

const metadataOf = (
  options: Options,
  { redirectUri, scopes }: ClientAuthentication.ConfiguredServer,
  server: UdapMetadata
): SoftwareStatement.Metadata => {
  const redirectUris = options.redirectUris ?? (redirectUri === undefined ? undefined : [redirectUri])
  const refreshes = server.grantTypesSupported === undefined || server.hasGrantType("refresh_token")
  const grantTypes = options.grantTypes ??
    (redirectUris === undefined
      ? ["client_credentials" as const]
      : ["authorization_code" as const, ...(refreshes ? ["refresh_token" as const] : [])])
  const isCode = grantTypes.includes("authorization_code")
  return {
    clientName: options.clientName,
    contacts: options.contacts,
    logoUri: options.logoUri,
    grantTypes,
    redirectUris: isCode ? redirectUris : undefined,
    // The default scope of `BackendServices`.
    scopes: options.scopes ?? scopes ?? (isCode ? [] : ["system/*.rs"]),
    extensions: options.metadata
  }
}

const missingExtensions = (required: ReadonlyArray<string>, server: string): ConfigurationError =>
  configurationError(
    "Missing",
    ["extensions"],
    `the server requires ${required.join(", ")} in every token request (udap_authorization_extensions_required)`,
    server
  )

/**
 * The service of `layer`, for registries in which each server has its own authentication.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options
): Effect.Effect<
  ClientAuthentication.Service,
  ConfigurationError,
  UdapDiscovery.UdapDiscovery | UdapRegistration.UdapRegistration
> =>
  Effect.gen(function*() {
    const discovery = yield* UdapDiscovery.UdapDiscovery
    const registration = yield* UdapRegistration.UdapRegistration
    const random = yield* SecureRandom.SecureRandom
    const definitions = [...(options.definitions ?? []), ...AuthorizationExtension.definitions]
    const lifetimeSeconds = yield* ClientAssertion.lifetimeSeconds(options.lifetime)

    const forServer = (server: ClientAuthentication.ConfiguredServer): ClientAuthentication.Service => {
      const { allowInsecureLocalhost, fhirBaseUrl } = server
      const { community } = options
      const failed = clientError(fhirBaseUrl)
      const runs = SingleFlight.make<Known, ClientAuthentication.ClientIdError>()
      let known: Known | undefined

      const serverMetadata = Effect.mapError(
        discovery.metadata(fhirBaseUrl, { community, allowInsecureLocalhost }),
        failed
      )

      const load = (
        register: (
          request: UdapRegistration.Request
        ) => Effect.Effect<UdapRegistration.RegisteredApp, UdapRegistration.Failure>
      ): Effect.Effect<Known, ClientAuthentication.ClientIdError> =>
        Effect.gen(function*() {
          const certificate = yield* valueOf(options.certificate)
          const metadata = yield* serverMetadata
          const registered = yield* register({
            fhirBaseUrl,
            community,
            certificate,
            clientUri: options.clientUri,
            metadata: metadataOf(options, server, metadata),
            certifications: yield* valueOf(options.certifications),
            allowInsecureLocalhost
          }).pipe(Effect.mapError((error) => error._tag === "ConfigurationError" ? error : failed(error)))
          const recheckAt = Math.min((yield* Clock.currentTimeMillis) + RECHECK_MILLIS, certificate.notAfter)
          known = { registered, certificate, metadata, recheckAt }
          return known
        })

      /** While the store or the server is not available, the registration in memory is used. */
      const current = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const before = known
        if (before !== undefined && now < before.recheckAt) return Effect.succeed(before)
        const loaded = runs.run("current", () => load(registration.current))
        if (before === undefined || now >= before.certificate.notAfter) return loaded
        return Effect.catchIf(loaded, (error) => error.isRetryable, (error) => {
          known = { ...before, recheckAt: Math.min(now + RETRY_MILLIS, before.certificate.notAfter) }
          return Effect.as(Effect.logWarning(`${error.message}; the registration in memory is used`), before)
        })
      })

      const replaced = Effect.suspend(() => {
        const refused = known?.registered.clientId ?? ""
        return runs.run("replace", () => load((request) => registration.replace(request, refused)))
      })

      let merged: Merged | undefined

      const configuration: ClientAuthentication.Service["configuration"] = (published) =>
        Effect.gen(function*() {
          const metadata = yield* serverMetadata
          // A server of UDAP needs no SMART configuration.
          const smart = yield* Effect.catchIf(
            published,
            (error) => !error.isRetryable,
            () => Effect.succeed(undefined)
          )
          if (merged?.metadata !== metadata || merged.smart !== smart) {
            merged = { metadata, smart, configuration: signedConfiguration(metadata, smart) }
          }
          return merged.configuration
        })

      const extensionsOf = (
        { extensions = options.extensions, params }: ClientAuthentication.UnauthenticatedRequest
      ): Effect.Effect<Readonly<Record<string, unknown>> | undefined, ConfigurationError> => {
        // Only requests for client credentials have extensions (UDAP-198, UDAP-199).
        if (params["grant_type"] !== "client_credentials") return Effect.succeed(undefined)
        const required = (known?.metadata.authorizationExtensionsRequired ?? [])
          .filter((name) => extensions === undefined || !Object.hasOwn(extensions, name))
        if (required.length > 0) return missingExtensions(required, fhirBaseUrl)
        return extensions === undefined
          ? Effect.succeed(undefined)
          : Effect.as(AuthorizationExtension.validate(extensions, definitions), extensions)
      }

      const authenticate: ClientAuthentication.Service["authenticate"] = (request) =>
        Effect.gen(function*() {
          const certificate = known?.certificate ?? (yield* valueOf(options.certificate))
          yield* checkValidity(certificate)
          const extensions = yield* extensionsOf(request)
          const claims = ClientAssertion.claims({
            clientId: request.clientId,
            endpoint: request.endpoint,
            jti: yield* SecureRandom.base64Url(random, 32),
            nowMillis: yield* Clock.currentTimeMillis,
            lifetimeSeconds,
            profile: { ...ClientAssertion.smart, iat: true }
          })
          const assertion = yield* jws.sign(
            certificate,
            { ...claims, ...(extensions === undefined ? {} : { extensions }) },
            request.signingAlgs,
            "token_endpoint_auth_signing_alg_values_supported"
          )
          return ClientAuthentication.formRequest(request, {
            client_assertion_type: ASSERTION_TYPE,
            client_assertion: Redacted.value(assertion),
            udap: "1"
          })
        })

      const clientIdOf = (self: Effect.Effect<Known, ClientAuthentication.ClientIdError>) =>
        Effect.map(self, ({ registered }) => registered.clientId)
      const bound: ClientAuthentication.Service = {
        method: "private_key_jwt",
        sendsExtensions: true,
        scopeMayBeOmitted: true,
        clientId: clientIdOf(current),
        configuration,
        authenticate
      }
      return { ...bound, fallback: { ...bound, clientId: clientIdOf(replaced) } }
    }

    return {
      method: "private_key_jwt",
      sendsExtensions: true,
      scopeMayBeOmitted: true,
      forServer,
      authenticate: () =>
        configurationError(
          "Missing",
          ["fhirBaseUrl"],
          "UDAP depends on the server: use SmartClient or SmartServers, or call forServer first"
        )
    }
  })

/**
 * An app that authenticates with its certificate, for one server or for all servers of a registry. The servers need no
 * `clientId`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<
  ClientAuthentication.ClientAuthentication,
  ConfigurationError,
  UdapDiscovery.UdapDiscovery | UdapRegistration.UdapRegistration
> => Layer.effect(ClientAuthentication.ClientAuthentication, make(options))

/**
 * Trust, discovery and registration: what `layer` needs. Registrations are in the `SessionStore`. Bind it to a `const`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDependencies = (
  trust: TrustPolicy.Options
): Layer.Layer<
  TrustPolicy.TrustPolicy | UdapDiscovery.UdapDiscovery | UdapRegistration.UdapRegistration,
  ConfigurationError,
  HttpClient.HttpClient | SessionStore
> =>
  UdapRegistration.layer.pipe(
    Layer.provideMerge(UdapDiscovery.layer()),
    Layer.provideMerge(TrustPolicy.layer(trust))
  )
