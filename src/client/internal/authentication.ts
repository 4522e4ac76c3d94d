/**
 * What every way of authenticating has in common, and the way of a client without credentials.
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"

/**
 * The names of RFC 8414's `token_endpoint_auth_methods_supported`.
 *
 * @since 0.1.0
 * @category models
 */
export type Method = "none" | "client_secret_basic" | "client_secret_post" | "private_key_jwt"

/**
 * The form of a request that has still to be authenticated. Members that are `undefined` are not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnauthenticatedRequest {
  readonly endpoint: string
  readonly clientId: string
  readonly params: Readonly<Record<string, string | Redacted.Redacted | undefined>>
  /** What the server says it accepts (`token_endpoint_auth_signing_alg_values_supported`), where it says so. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly method: Method
  /**
   * Builds the request. Run anew for every attempt, because an assertion serves once (requirements 233 and 319). The request holds credentials in
   * clear: send it, and neither keep it nor print it.
   */
  readonly authenticate: (
    request: UnauthenticatedRequest
  ) => Effect.Effect<HttpClientRequest.HttpClientRequest, ConfigurationError>
  /** What to try once more with if the server answers `invalid_client`. There only where an operator asked for it. */
  readonly fallback?: Service | undefined
}

/**
 * @since 0.1.0
 * @category tags
 */
export class ClientAuthentication
  extends Context.Tag("effect-safire/ClientAuthentication")<ClientAuthentication, Service>()
{}

/**
 * The form as a POST that asks for JSON: what a custom `authenticate` starts from.
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
 * A client without credentials: it says its `client_id` and sends no `Authorization` header (requirements 63 and 71).
 *
 * @since 0.1.0
 * @category constructors
 */
export const makePublic: Service = {
  method: "none",
  authenticate: (request) => Effect.succeed(formRequest(request, { client_id: request.clientId }))
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layerPublic: Layer.Layer<ClientAuthentication> = Layer.succeed(ClientAuthentication, makePublic)
