/**
 * The service that all methods of authentication implement, and a client without credentials.
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
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as SingleFlight from "../../base/SingleFlight.js"

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
  readonly endpoint: string
  readonly clientId: string
  /** The parameters of the form. */
  readonly params: Readonly<Record<string, string | Redacted.Redacted | undefined>>
  /** The `token_endpoint_auth_signing_alg_values_supported` of the server's metadata. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
}

/**
 * How a client authenticates its requests to an authorization server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly method: Method
  /**
   * The client id, for a client that learns it from the server, such as by registration. It takes precedence over the
   * configured one, and runs for every request: `withClientId` remembers its result.
   */
  readonly clientId?: Effect.Effect<string, ConfigurationError> | undefined
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
  (configured: string): (self: Service) => Effect.Effect<string, ConfigurationError>
  (self: Service, configured: string): Effect.Effect<string, ConfigurationError>
} = dual(
  2,
  (self: Service, configured: string): Effect.Effect<string, ConfigurationError> =>
    self.clientId ?? Effect.succeed(configured)
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
  (learn: Effect.Effect<string, ConfigurationError>): (self: Service) => Service
  (self: Service, learn: Effect.Effect<string, ConfigurationError>): Service
} = dual(2, (self: Service, learn: Effect.Effect<string, ConfigurationError>): Service => {
  const runs = SingleFlight.make<string, ConfigurationError>()
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
  added?: Readonly<Record<string, string>> | undefined
): HttpClientRequest.HttpClientRequest => {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries({ ...request.params, ...added })) {
    if (value !== undefined) form.append(name, typeof value === "string" ? value : Redacted.value(value))
  }
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
