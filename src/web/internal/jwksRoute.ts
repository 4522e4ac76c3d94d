/**
 * Publishes the keys of an app (RFC 7517, section 5).
 *
 * @since 0.1.0
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { KeyRotation } from "../../client/KeyRotation.js"
import { SigningKeys } from "../../client/SigningKeys.js"

/**
 * Options of the route that publishes keys.
 *
 * @since 0.1.0
 * @category models
 */
export interface JwksOptions {
  /** Default `/.well-known/jwks.json`. */
  readonly path?: HttpLayerRouter.PathInput | undefined
  /**
   * How long servers may cache the keys. Default 5 minutes, and at most the `maxAge` of `KeyRotation` if that is
   * provided.
   */
  readonly maxAge?: Duration.DurationInput | undefined
}

/**
 * The public signing keys, for servers where the app is registered with a `jwks_uri` (SMART App Launch 2.2, "Client
 * Authentication: Asymmetric"). Each request reads the current keys.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerJwks = (
  options: JwksOptions = {}
): Layer.Layer<never, never, HttpLayerRouter.HttpRouter | SigningKeys> =>
  HttpLayerRouter.addAll(Effect.gen(function*() {
    const { publicJwks } = yield* SigningKeys
    const rotation = yield* Effect.serviceOption(KeyRotation)
    const configured = Duration.decode(options.maxAge ?? "5 minutes")
    const maxAge = Option.match(rotation, {
      onNone: () => configured,
      onSome: (rotation) => Duration.min(configured, rotation.maxAge)
    })
    const headers = {
      "cache-control": `public, max-age=${Math.floor(Duration.toSeconds(maxAge))}`,
      "x-content-type-options": "nosniff"
    }
    return [
      HttpLayerRouter.route(
        "GET",
        options.path ?? "/.well-known/jwks.json",
        Effect.map(
          publicJwks,
          (jwks) => HttpServerResponse.text(JSON.stringify(jwks), { contentType: "application/json", headers })
        )
      )
    ]
  }))
