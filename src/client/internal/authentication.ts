/**
 * The service that all methods of client authentication implement, and the one without credentials (RFC 6749,
 * section 2.3).
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { clientIdMissing, type ConfigurationError } from "../../base/ConfigurationError.js"
import * as SingleFlight from "../../base/SingleFlight.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { ClientAuthenticationError } from "../ClientAuthenticationError.js"

/**
 * The names of RFC 8414's `token_endpoint_auth_methods_supported`.
 *
 * @since 0.1.0
 * @category models
 */
export type Method = "none" | "client_secret_basic" | "client_secret_post" | "private_key_jwt"

/**
 * The form of a request before authentication. Parameters that are `undefined` are not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnauthenticatedRequest {
  /** The absolute URL of the endpoint: also the `aud` of an assertion. */
  readonly endpoint: string
  /** The client id that the server knows. */
  readonly clientId: string
  /** The parameters of the form. */
  readonly params: Readonly<Record<string, string | Redacted.Redacted | undefined>>
  /** The `token_endpoint_auth_signing_alg_values_supported` of the server's metadata. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
  /** Authorization extension objects for the assertion: only for an authentication that `sendsExtensions`. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Why a client id could not be learned.
 *
 * @since 0.1.0
 * @category errors
 */
export type ClientIdError = ConfigurationError | ClientAuthenticationError

/**
 * Why the endpoints of a server could not be learned.
 *
 * @since 0.1.0
 * @category errors
 */
export type EndpointsError = DiscoveryError | ClientAuthenticationError

/**
 * The server that a client is configured for.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConfiguredServer {
  /** The FHIR base URL as configured. */
  readonly fhirBaseUrl: string
  /** Absent for a backend service. */
  readonly redirectUri?: string | undefined
  /** The configured scopes. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * How a client authenticates its requests to an authorization server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The method as registered at the server. */
  readonly method: Method
  /**
   * The client id, for a client that learns it from the server, such as by registration. It takes precedence over the
   * configured one, and runs for every request: `withClientId` remembers its result.
   */
  readonly clientId?: Effect.Effect<string, ClientIdError> | undefined
  /**
   * The authentication at one server, for a method that depends on the server's metadata. `SmartClient` calls it once.
   * Default: the same authentication at all servers.
   */
  readonly forServer?: ((server: ConfiguredServer) => Service) | undefined
  /**
   * The endpoints to use, for a method with metadata of its own. `published` is the server's SMART configuration.
   * Default: `published`.
   */
  readonly configuration?:
    | ((published: Effect.Effect<SmartConfiguration, DiscoveryError>) => Effect.Effect<
      SmartConfiguration,
      EndpointsError
    >)
    | undefined
  /** Whether `authenticate` sends the `extensions` of a request. Default false. */
  readonly sendsExtensions?: boolean | undefined
  /**
   * Whether a token response may omit `scope` if it equals the requested one (RFC 6749, section 5.1), as with UDAP.
   * Default false: SMART requires it, and its absence causes the warning `ScopeMissing`.
   */
  readonly scopeMayBeOmitted?: boolean | undefined
  /**
   * Builds the request. It runs for every attempt, because an assertion is valid for one request (requirements 233
   * and 319). The request holds credentials in clear: do not store or print it.
   */
  readonly authenticate: (
    request: UnauthenticatedRequest
  ) => Effect.Effect<HttpClientRequest.HttpClientRequest, ConfigurationError>
  /**
   * A second authentication for one more attempt after the server has responded with `invalid_client`. Default: none.
   */
  readonly fallback?: Service | undefined
}

/**
 * The tag of the service: the layers of this module provide it.
 *
 * @since 0.1.0
 * @category tags
 */
export class ClientAuthentication
  extends Context.Tag("effect-safire/ClientAuthentication")<ClientAuthentication, Service>()
{}

/**
 * The client id that a request uses: the one of the authentication where it has one, otherwise the configured one.
 *
 * @since 0.1.0
 * @category accessors
 */
export const clientId: {
  (configured: string | undefined): (self: Service) => Effect.Effect<string, ClientIdError>
  (self: Service, configured: string | undefined): Effect.Effect<string, ClientIdError>
} = dual(
  2,
  (self: Service, configured: string | undefined): Effect.Effect<string, ClientIdError> =>
    self.clientId ?? (configured === undefined ? clientIdMissing() : Effect.succeed(configured))
)

/**
 * An authentication that learns its client id when a request first needs it. Concurrent requests share one run of
 * `learn`, whose result is kept. After a failure the next request runs it again. Interrupting a request does not
 * interrupt `learn`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withClientId: {
  (learn: Effect.Effect<string, ClientIdError>): (self: Service) => Service
  (self: Service, learn: Effect.Effect<string, ClientIdError>): Service
} = dual(2, (self: Service, learn: Effect.Effect<string, ClientIdError>): Service => {
  const runs = SingleFlight.make<string, ClientIdError>()
  let known: string | undefined
  const remember = Effect.tap(learn, (id) =>
    Effect.sync(() => {
      known = id
    }))
  const clientId = Effect.suspend(() =>
    known === undefined ? runs.run("clientId", () => remember) : Effect.succeed(known)
  )
  return { ...self, clientId, fallback: self.fallback === undefined ? undefined : { ...self.fallback, clientId } }
})

/**
 * A POST request with the form, which asks for JSON: the basis of a custom `authenticate`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const formRequest = (
  request: UnauthenticatedRequest,
  added: Readonly<Record<string, string>> = {}
): HttpClientRequest.HttpClientRequest => {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(request.params)) {
    if (value !== undefined) form.append(name, typeof value === "string" ? value : Redacted.value(value))
  }
  for (const [name, value] of Object.entries(added)) form.set(name, value)
  return HttpClientRequest.post(request.endpoint, {
    body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded"),
    acceptJson: true
  })
}

/**
 * A client without credentials: it sends its `client_id` and no `Authorization` header (requirements 63 and 71).
 *
 * @since 0.1.0
 * @category constructors
 */
export const makePublic: Service = {
  method: "none",
  authenticate: (request) => Effect.succeed(formRequest(request, { client_id: request.clientId }))
}

/**
 * A client without credentials: see `makePublic`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPublic: Layer.Layer<ClientAuthentication> = Layer.succeed(ClientAuthentication, makePublic)
