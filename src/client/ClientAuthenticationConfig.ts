/**
 * The authentication of a client from its configuration: environment variables, or another `ConfigProvider`. A module
 * of its own, because it selects the kind of client at run time: an app that imports it contains the code of all.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Settings from "../base/Settings.js"
import { ClientAuthentication, makePublic, type Service } from "./internal/authentication.js"
import { makeClientSecretBasic } from "./internal/clientSecret.js"
import { makePrivateKeyJwt } from "./internal/privateKeyJwt.js"
import * as SigningKeys from "./SigningKeys.js"

const config = Config.all({
  clientSecret: Settings.secret("CLIENT_SECRET"),
  encoding: Settings.text("CLIENT_SECRET_ENCODING"),
  privateKey: Settings.secret("PRIVATE_KEY"),
  keyId: Settings.text("KEY_ID"),
  jwksUri: Settings.text("JWKS_URI"),
  allowInsecureLocalhost: Settings.flag("ALLOW_INSECURE_LOCALHOST")
}).pipe(Config.nested("SMART"))

const make: Effect.Effect<Service, ConfigError | ConfigurationError> = Effect.gen(function*() {
  const { allowInsecureLocalhost, clientSecret, encoding, jwksUri, keyId, privateKey } = yield* config
  const logged = (service: Service, why: string) =>
    Effect.as(Effect.logInfo(`this client authenticates by ${service.method}: ${why}`), service)

  if (encoding !== undefined && encoding !== "raw" && encoding !== "form") {
    return yield* configurationError("Invalid", ["SMART_CLIENT_SECRET_ENCODING"], "it is raw (the default) or form")
  }
  if (encoding !== undefined && clientSecret === undefined) {
    const detail = "SMART_CLIENT_SECRET_ENCODING has no use without it"
    return yield* configurationError("Missing", ["SMART_CLIENT_SECRET"], detail)
  }
  if (privateKey !== undefined && clientSecret !== undefined) {
    const fields = ["SMART_CLIENT_SECRET", "SMART_PRIVATE_KEY"]
    return yield* configurationError("Conflict", fields, "a client has one or the other; unset one")
  }
  const keys = yield* SigningKeys.makeConfig
  if (Option.isSome(keys)) {
    const service = yield* makePrivateKeyJwt({ jwksUri, allowInsecureLocalhost }).pipe(
      Effect.provideService(SigningKeys.SigningKeys, keys.value),
      Effect.mapError(({ detail, reason }) => configurationError(reason, ["SMART_JWKS_URI"], detail))
    )
    return yield* logged(service, "SMART_PRIVATE_KEY is set")
  }
  const unused = Object.entries({ SMART_KEY_ID: keyId, SMART_JWKS_URI: jwksUri })
    .flatMap(([name, value]) => value === undefined ? [] : [name])
  if (unused.length > 0) {
    return yield* configurationError("Missing", ["SMART_PRIVATE_KEY"], `without it, ${unused.join(" and ")} has no use`)
  }
  return yield* clientSecret === undefined
    ? logged(makePublic, "neither SMART_CLIENT_SECRET nor SMART_PRIVATE_KEY is set")
    : logged(makeClientSecretBasic({ clientSecret, encoding }), "SMART_CLIENT_SECRET is set")
})

/**
 * With `SMART_PRIVATE_KEY` (PEM, JWK or JWK Set; optional: `SMART_KEY_ID`, `SMART_JWKS_URI`) an asymmetric client;
 * with `SMART_CLIENT_SECRET` (optional: `SMART_CLIENT_SECRET_ENCODING`, `raw` or `form`) a symmetric one; with
 * neither a public one. With both, or with an optional variable alone, it fails with a `ConfigurationError` that
 * names the variables. It logs the method. A blank variable counts as absent. Built for each use, from the
 * configuration that it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ClientAuthentication, ConfigError | ConfigurationError> = Layer.fresh(
  Layer.effect(ClientAuthentication, make)
)
