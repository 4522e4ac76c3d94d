/**
 * Authentication with a client secret (RFC 6749, section 2.3.1).
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import { formEncode } from "../../base/Url.js"
import { ClientAuthentication, formRequest, type Service } from "./authentication.js"

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
