/**
 * One app at one SMART server: metadata, authorization request, callback, tokens, refresh (SMART App Launch 2.2).
 * Stateless: the caller stores `PendingAuthorization` and `TokenSet` between the steps. `Sessions` does that for an
 * app.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import type * as ClientAuthentication from "../client/ClientAuthentication.js"
import { layerRegistry, type Registry } from "../http/PerHttpClient.js"
import * as Pkce from "../launch/Pkce.js"
import * as Discovery from "../server/Discovery.js"
import * as TokenEndpoint from "../token/TokenEndpoint.js"
import { type Config, config, type Service } from "./internal/client.js"
import { type Dependencies, makeClient } from "./internal/makeClient.js"
import * as OpenIdConnect from "./internal/openIdConnect.js"

export type { Authorization, AuthorizeOptions, Config, ScopeInput, Service } from "./internal/client.js"
export { config } from "./internal/client.js"
export type { Dependencies } from "./internal/makeClient.js"
export type { OpenIdConnect } from "./internal/openIdConnect.js"

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class SmartClient extends Context.Tag("effect-safire/SmartClient")<SmartClient, Service>() {}

/**
 * Makes a client. It fails if the configuration cannot be used, and makes no request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: Config
): Effect.Effect<Service, ConfigurationError, ClientAuthentication.ClientAuthentication | Dependencies> =>
  makeClient(config)

/**
 * All dependencies of a client except its authentication. Clients that are built together over the same `HttpClient`
 * share one metadata cache: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDependencies = (): Layer.Layer<Dependencies, never, HttpClient.HttpClient> =>
  // One layer: to build and merge one for each service takes twice as long.
  Layer.effectContext(Effect.gen(function*() {
    return Context.make(Discovery.Discovery, yield* Discovery.shared.service({})).pipe(
      Context.add(Pkce.Pkce, yield* Pkce.make),
      Context.add(TokenEndpoint.TokenEndpoint, yield* TokenEndpoint.make),
      Context.add(OpenIdConnect.OpenIdConnect, yield* Effect.context<Registry | HttpClient.HttpClient>())
    )
  })).pipe(Layer.provide(layerRegistry))

/**
 * A client with dependencies that you provide, such as a `Discovery` with another time to live.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWithoutDependencies = (
  config: Config
): Layer.Layer<SmartClient, ConfigurationError, ClientAuthentication.ClientAuthentication | Dependencies> =>
  Layer.effect(SmartClient, make(config))

/**
 * A client over one `HttpClient`.
 *
 * @example
 * import { FetchHttpClient } from "@effect/platform"
 * import { ClientAuthentication, SmartClient } from "effect-safire"
 * import * as Layer from "effect/Layer"
 *
 * export const SmartLive = SmartClient.layer({
 *   fhirBaseUrl: "https://ehr.example.org/fhir",
 *   clientId: "growth-chart",
 *   redirectUri: "https://app.example.org/callback",
 *   scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
 * }).pipe(
 *   Layer.provide(ClientAuthentication.layerPublic),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  config: Config
): Layer.Layer<SmartClient, ConfigurationError, ClientAuthentication.ClientAuthentication | HttpClient.HttpClient> =>
  layerWithoutDependencies(config).pipe(Layer.provide(layerDependencies()))

/**
 * A client from the environment (`config`). `ClientAuthenticationConfig.layer` selects the kind of client by the secret
 * or the key in the environment.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (): Layer.Layer<
  SmartClient,
  ConfigError | ConfigurationError,
  ClientAuthentication.ClientAuthentication | HttpClient.HttpClient
> => Layer.effect(SmartClient, Effect.flatMap(config, make)).pipe(Layer.provide(layerDependencies()))
