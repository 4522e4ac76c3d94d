/**
 * A SMART app on a server, from one configuration: client, registry, sessions and FHIR client. It composes the layers
 * of the other modules, and every service stays available. For another composition, provide those layers yourself.
 *
 * Each call returns a new layer with sessions of its own: bind it to a `const` and provide it once.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { ConfigError } from "effect/ConfigError"
import * as Layer from "effect/Layer"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import * as ClientAuthentication from "../client/ClientAuthentication.js"
import * as ClientAuthenticationConfig from "../client/ClientAuthenticationConfig.js"
import * as FhirClient from "../fhir/FhirClient.js"
import type { TrustedIssuers } from "../launch/TrustedIssuers.js"
import * as Sessions from "../session/Sessions.js"
import type { SessionStore } from "../session/SessionStore.js"
import * as SmartClient from "../smart/SmartClient.js"
import * as SmartServers from "../smart/SmartServers.js"

/**
 * The configuration of an app at one server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config<out E = never, out R = never> extends SmartClient.Config {
  /** The kind of client. Default: `ClientAuthentication.layerPublic`. */
  readonly authentication?: Layer.Layer<ClientAuthentication.ClientAuthentication, E, R> | undefined
}

/**
 * Options of the layers of this module.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Renewal and lifetime of sessions. */
  readonly sessions?: Sessions.Options | undefined
}

/**
 * The services that every app gets. `TrustedIssuers` follows launches from the configured servers only.
 *
 * @since 0.1.0
 * @category models
 */
export type Services = SmartServers.SmartServers | TrustedIssuers | Sessions.Sessions | FhirClient.FhirClient

/**
 * An app over a registry that you provide, such as `SmartServers.layerOpen` or `SmartServers.layerConfig()`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromServers = (
  options: Options = {}
): Layer.Layer<
  Exclude<Services, SmartServers.SmartServers>,
  never,
  SmartServers.SmartServers | SessionStore | HttpClient.HttpClient
> =>
  Layer.mergeAll(
    Sessions.layerWith(options.sessions ?? {}),
    SmartServers.layerTrustedIssuers,
    FhirClient.layer
  )

/** An app over a layer with the client of its only server. */
const fromClient = <E, R>(client: Layer.Layer<SmartClient.SmartClient, E, R>, options: Options | undefined) =>
  layerFromServers(options).pipe(
    Layer.provideMerge(SmartServers.layerFromClient),
    Layer.provideMerge(client)
  )

/**
 * An app at one server.
 *
 * @example
 * import { FetchHttpClient } from "@effect/platform"
 * import { SessionStore, SmartApp } from "effect-safire"
 * import * as Layer from "effect/Layer"
 *
 * export const AppLive = SmartApp.layer({
 *   fhirBaseUrl: "https://ehr.example.org/fhir",
 *   clientId: "growth-chart",
 *   redirectUri: "https://app.example.org/callback",
 *   scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
 * }).pipe(
 *   Layer.provide(SessionStore.layerMemory),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E = never, R = never>(
  { authentication, ...config }: Config<E, R>,
  options?: Options
): Layer.Layer<SmartClient.SmartClient | Services, E | ConfigurationError, R | SessionStore | HttpClient.HttpClient> =>
  fromClient(
    Layer.provide(SmartClient.layer(config), authentication ?? ClientAuthentication.layerPublic),
    options
  )

/**
 * An app at one server, configured by the environment: the variables of `SmartClient.config` and
 * `ClientAuthenticationConfig.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options?: Options
): Layer.Layer<
  SmartClient.SmartClient | Services,
  ConfigError | ConfigurationError,
  SessionStore | HttpClient.HttpClient
> => fromClient(Layer.provide(SmartClient.layerConfig(), ClientAuthenticationConfig.layer), options)

/**
 * An app at several servers: see `SmartServers.layer`.
 *
 * @example
 * import { ClientAuthentication, SmartApp } from "effect-safire"
 * import * as Redacted from "effect/Redacted"
 *
 * export const AppLive = SmartApp.layerServers({
 *   north: {
 *     fhirBaseUrl: "https://north.example.org/fhir",
 *     clientId: "growth-chart",
 *     redirectUri: "https://app.example.org/callback/north",
 *     authentication: ClientAuthentication.layerPublic
 *   },
 *   south: {
 *     fhirBaseUrl: "https://south.example.org/r4",
 *     clientId: "4711",
 *     redirectUri: "https://app.example.org/callback/south",
 *     authentication: ClientAuthentication.layerClientSecretBasic({ clientSecret: Redacted.make("from a vault") })
 *   }
 * })
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServers = <const S extends SmartServers.Servers>(
  servers: S,
  options?: Options
): Layer.Layer<
  Services,
  SmartServers.ErrorOf<S> | ConfigurationError,
  SmartServers.ContextOf<S> | SessionStore | HttpClient.HttpClient
> => Layer.provideMerge(layerFromServers(options), SmartServers.layer(servers))
