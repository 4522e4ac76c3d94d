/**
 * A client that authenticates with a signed assertion (SMART App Launch 2.2, "Client Authentication: Asymmetric"; RFC
 * 7523, section 2.2).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import * as ClientAssertion from "../ClientAssertion.js"
import { SigningKeys } from "../SigningKeys.js"
import { ClientAuthentication, formRequest, type Service } from "./authentication.js"
import { urlError } from "./configurationError.js"

/**
 * How assertions are made (RFC 7523).
 *
 * @since 0.1.0
 * @category models
 */
export interface PrivateKeyJwtOptions {
  /** The registered JWKS URL, sent as `jku`. Default: none; the server uses the registered one. */
  readonly jwksUri?: string | undefined
  /** The lifetime of an assertion. Default 4 minutes, at most 5. */
  readonly lifetime?: Duration.DurationInput | undefined
  /** For servers that deviate from SMART. Default: `ClientAssertion.smart`. */
  readonly profile?: Partial<ClientAssertion.Profile> | undefined
  /** The algorithms that the server accepts. Default: those in its metadata. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
  /** Accept a `jwksUri` that is `http` on a loopback host. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/** Requirement 333. */
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/**
 * The service of `layerPrivateKeyJwt`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makePrivateKeyJwt = (
  options: PrivateKeyJwtOptions = {}
): Effect.Effect<Service, ConfigurationError, SigningKeys> =>
  Effect.gen(function*() {
    const keys = yield* SigningKeys
    const random = yield* SecureRandom.SecureRandom
    const { allowInsecureLocalhost, jwksUri } = options
    const problem = jwksUri === undefined ? undefined : urlError("jwksUri", jwksUri, allowInsecureLocalhost)
    if (problem !== undefined) return yield* problem
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
            jku: jwksUri
          })
          return formRequest(request, {
            client_assertion_type: ASSERTION_TYPE,
            client_assertion: Redacted.value(assertion)
          })
        })
    }
  })

/**
 * A client with a key pair (SMART's client-confidential-asymmetric profile; requirements 333 and 334). It sends
 * neither a `client_id` nor an `Authorization` header (requirement 72); every request has its own assertion.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerPrivateKeyJwt = (
  options: PrivateKeyJwtOptions = {}
): Layer.Layer<ClientAuthentication, ConfigurationError, SigningKeys> =>
  Layer.effect(ClientAuthentication, makePrivateKeyJwt(options))
