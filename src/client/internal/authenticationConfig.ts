/**
 * Which kind of client this is, by what the environment holds.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import { flag } from "../../base/EnvironmentFlag.js"
import * as SigningKeys from "../SigningKeys.js"
import type { Service } from "./authentication.js"
import { ClientAuthentication, makePublic } from "./authentication.js"
import { makeClientSecretBasic } from "./clientSecret.js"
import { makePrivateKeyJwt } from "./privateKeyJwt.js"

const config = Config.all({
  keys: SigningKeys.config,
  settings: Config.all({
    clientSecret: Config.map(
      Config.option(Config.redacted("CLIENT_SECRET")),
      Option.filter((secret) => Redacted.value(secret) !== "")
    ),
    encoding: Config.map(
      Config.option(Config.string("CLIENT_SECRET_ENCODING")),
      Option.filter((encoding) => encoding.trim() !== "")
    ),
    jwksUri: Config.map(Config.option(Config.string("JWKS_URI")), Option.filter((uri) => uri.trim() !== "")),
    allowInsecureLocalhost: flag("ALLOW_INSECURE_LOCALHOST")
  }).pipe(Config.nested("SMART"))
})

const make: Effect.Effect<Service, ConfigError | ConfigurationError> = Effect.gen(function*() {
  const { keys: { kid, privateKey }, settings } = yield* config
  const { allowInsecureLocalhost, clientSecret, jwksUri } = settings
  const fail = (reason: ConfigurationError["reason"], fields: ReadonlyArray<string>, detail: string) =>
    new ConfigurationError({ reason, fields, detail })
  const picked = (service: Service, why: string) =>
    Effect.as(Effect.logInfo(`this client authenticates by ${service.method}: ${why}`), service)

  const encoding = Option.getOrUndefined(settings.encoding)
  if (encoding !== undefined && encoding !== "raw" && encoding !== "form") {
    return yield* fail("Invalid", ["SMART_CLIENT_SECRET_ENCODING"], "it is raw, which is the default, or form")
  }
  if (encoding !== undefined && Option.isNone(clientSecret)) {
    return yield* fail("Missing", ["SMART_CLIENT_SECRET"], "SMART_CLIENT_SECRET_ENCODING has no use without it")
  }
  if (Option.isSome(privateKey)) {
    if (Option.isSome(clientSecret)) {
      return yield* fail(
        "Conflict",
        ["SMART_CLIENT_SECRET", "SMART_PRIVATE_KEY"],
        "a client has one or the other; unset one"
      )
    }
    const signing = yield* SigningKeys.makeText({
      text: privateKey.value,
      kid: Option.getOrUndefined(kid),
      field: "SMART_PRIVATE_KEY"
    })
    const service = yield* makePrivateKeyJwt({ jwksUri: Option.getOrUndefined(jwksUri), allowInsecureLocalhost }).pipe(
      Effect.provideService(SigningKeys.SigningKeys, signing),
      Effect.mapError(({ detail, reason }) => fail(reason, ["SMART_JWKS_URI"], detail))
    )
    return yield* picked(service, "SMART_PRIVATE_KEY is set")
  }
  const dangling = [
    ...(Option.isSome(kid) ? ["SMART_KEY_ID"] : []),
    ...(Option.isSome(jwksUri) ? ["SMART_JWKS_URI"] : [])
  ]
  if (dangling.length > 0) {
    return yield* fail("Missing", ["SMART_PRIVATE_KEY"], `${dangling.join(" and ")} is of no use without it`)
  }
  return yield* Option.isSome(clientSecret)
    ? picked(makeClientSecretBasic({ clientSecret: clientSecret.value, encoding }), "SMART_CLIENT_SECRET is set")
    : picked(makePublic, "neither SMART_CLIENT_SECRET nor SMART_PRIVATE_KEY is set")
})

/**
 * From `SMART_PRIVATE_KEY` (PEM, JWK or JWK Set; with `SMART_KEY_ID` and `SMART_JWKS_URI`) an asymmetric client, from `SMART_CLIENT_SECRET` a symmetric
 * one (with `SMART_CLIENT_SECRET_ENCODING`, `raw` or `form`), from neither a public one. Both, or half of one, is an error that names what is wrong.
 * It logs which it picked. A blank variable counts as absent. Made anew for each use, from the configuration it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig: Layer.Layer<ClientAuthentication, ConfigError | ConfigurationError> = Layer.fresh(
  Layer.effect(ClientAuthentication, make)
)
