/**
 * The service that all methods of client authentication implement, and the methods without keys: none, and a client
 * secret (RFC 6749, section 2.3.1).
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
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
 * The error of a client that neither has a client id nor learns one.
 *
 * @internal
 */
export const clientIdMissing = (server?: string): ConfigurationError =>
  configurationError(
    "Missing",
    ["clientId"],
    "configure the client id that the server has assigned; only a client that registers itself has none",
    server
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

/**
 * The secret, or an effect that reads it. The effect runs for every request, so that a secret can be replaced while
 * the program runs.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientSecret = Redacted.Redacted | Effect.Effect<Redacted.Redacted, ConfigurationError>

/**
 * A client secret, and the one before it.
 *
 * @since 0.1.0
 * @category models
 */
export interface SecretOptions {
  /** The current secret. */
  readonly clientSecret: ClientSecret
  /**
   * The previous secret, sent once more after the server has responded with `invalid_client`: for the time in which
   * servers may not know the new one yet. Default: none, because it sends a second secret to a server that refused
   * the first.
   */
  readonly previousSecret?: ClientSecret | undefined
}

/**
 * A client secret for HTTP Basic.
 *
 * @since 0.1.0
 * @category models
 */
export interface BasicOptions extends SecretOptions {
  /**
   * The default `raw` joins client id and secret unchanged, as in SMART's examples and its official test kit. `form`
   * encodes each first (RFC 6749, section 2.3.1). They differ only for special characters, such as the colon of a
   * client id that is a URL.
   */
  readonly encoding?: "raw" | "form" | undefined
}

const current = (secret: ClientSecret): Effect.Effect<string, ConfigurationError> =>
  Effect.map(Redacted.isRedacted(secret) ? Effect.succeed(secret) : secret, Redacted.value)

const withFallback = <O extends SecretOptions>(options: O, make: (options: O) => Service): Service => {
  const { previousSecret } = options
  return previousSecret === undefined
    ? make(options)
    : { ...make(options), fallback: make({ ...options, clientSecret: previousSecret, previousSecret: undefined }) }
}

/** The `application/x-www-form-urlencoded` form of one value. */
const formEncode = (value: string): string => new URLSearchParams([["", value]]).toString().slice(1)

const basic = ({ clientSecret, encoding }: BasicOptions): Service => ({
  method: "client_secret_basic",
  authenticate: (request) =>
    Effect.map(current(clientSecret), (secret) => {
      const encode = encoding === "form" ? formEncode : (value: string) => value
      const credentials = Encoding.encodeBase64(`${encode(request.clientId)}:${encode(secret)}`)
      return HttpClientRequest.setHeader(formRequest(request), "authorization", `Basic ${credentials}`)
    })
})

/**
 * The service of `layerClientSecretBasic`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeClientSecretBasic = (options: BasicOptions): Service => withFallback(options, basic)

/**
 * A client with a secret, sent with HTTP Basic authentication (SMART's client-confidential-symmetric profile;
 * requirements 64, 66 and 345). The body has no `client_id` (requirement 72).
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClientSecretBasic = (options: BasicOptions): Layer.Layer<ClientAuthentication> =>
  Layer.succeed(ClientAuthentication, makeClientSecretBasic(options))

const post = ({ clientSecret }: SecretOptions): Service => ({
  method: "client_secret_post",
  authenticate: (request) =>
    Effect.map(
      current(clientSecret),
      (secret) => formRequest(request, { client_id: request.clientId, client_secret: secret })
    )
})

/**
 * The service of `layerClientSecretPost`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeClientSecretPost = (options: SecretOptions): Service => withFallback(options, post)

/**
 * A client with a secret, sent in the form. Not a profile of SMART: for servers that accept nothing else.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClientSecretPost = (options: SecretOptions): Layer.Layer<ClientAuthentication> =>
  Layer.succeed(ClientAuthentication, makeClientSecretPost(options))
