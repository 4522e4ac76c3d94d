/**
 * A client that signs who it is (SMART App Launch 2.2, "Client Authentication: Asymmetric"; RFC 7523, section 2.2).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import * as Url from "../../base/Url.js"
import * as ClientAssertion from "../ClientAssertion.js"
import { SigningKeys } from "../SigningKeys.js"
import type { Service } from "./authentication.js"
import { ClientAuthentication, formRequest } from "./authentication.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface PrivateKeyJwtOptions {
  /** The JWKS URL that was registered, sent as `jku`. Without it the server uses what it has registered. */
  readonly jwksUri?: string | undefined
  /** How long an assertion lives. Default 4 minutes, at most 5. */
  readonly lifetime?: Duration.DurationInput | undefined
  /** For servers that differ; what is not given is as SMART has it. */
  readonly profile?: Partial<ClientAssertion.Profile> | undefined
  /** The algorithms the server accepts, where it does not say so itself or says it wrongly. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
  /** Accept a `jwksUri` that is `http` on a loopback host. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/** Requirement 333. */
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const checkJwksUri = (options: PrivateKeyJwtOptions): Effect.Effect<void, ConfigurationError> => {
  if (options.jwksUri === undefined) return Effect.void
  const url = Url.parse(options.jwksUri)
  const refuse = (reason: ConfigurationError["reason"], detail: string) =>
    new ConfigurationError({ reason, fields: ["jwksUri"], detail })
  if (url === undefined) return refuse("Invalid", "it is no absolute URL")
  return Url.isSecure(url, options.allowInsecureLocalhost ?? false)
    ? Effect.void
    : refuse("Insecure", "a JWKS URL is https; http needs a loopback host and allowInsecureLocalhost")
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const makePrivateKeyJwt = (
  options: PrivateKeyJwtOptions = {}
): Effect.Effect<Service, ConfigurationError, SigningKeys> =>
  Effect.gen(function*() {
    const keys = yield* SigningKeys
    const random = yield* SecureRandom.SecureRandom
    yield* checkJwksUri(options)
    const lifetimeSeconds = yield* ClientAssertion.lifetimeSeconds(options.lifetime)
    const profile = { ...ClientAssertion.smart, ...options.profile }
    return {
      method: "private_key_jwt",
      authenticate: (request) =>
        Effect.gen(function*() {
          const claims = ClientAssertion.claims({
            clientId: request.clientId,
            endpoint: request.endpoint,
            jti: yield* SecureRandom.base64Url(random, 32),
            nowMillis: yield* Clock.currentTimeMillis,
            lifetimeSeconds,
            profile
          })
          const assertion = yield* keys.sign({ ...claims }, {
            algs: options.signingAlgs ?? request.signingAlgs,
            typ: profile.typ,
            jku: options.jwksUri
          })
          return formRequest(request, {
            client_assertion_type: ASSERTION_TYPE,
            client_assertion: Redacted.value(assertion)
          })
        })
    }
  })

/**
 * A client with a key pair (SMART's client-confidential-asymmetric profile; requirements 333 and 334). Neither a `client_id` nor an `Authorization`
 * header is sent (requirement 72); every request has an assertion of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPrivateKeyJwt = (
  options: PrivateKeyJwtOptions = {}
): Layer.Layer<ClientAuthentication, ConfigurationError, SigningKeys> =>
  Layer.effect(ClientAuthentication, makePrivateKeyJwt(options))
