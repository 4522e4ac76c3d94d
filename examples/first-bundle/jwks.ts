/** Prints the public half of `SMART_PRIVATE_KEY` as a JWK Set, for the registration. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { SigningKeys } from "effect-safire"

SigningKeys.SigningKeys.pipe(
  Effect.flatMap((keys) => keys.publicJwks),
  Effect.flatMap((jwks) => Console.log(JSON.stringify(jwks, null, 2))),
  Effect.provide(SigningKeys.layerConfig),
  NodeRuntime.runMain
)
