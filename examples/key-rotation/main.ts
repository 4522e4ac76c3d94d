/**
 * Replaces credentials while tokens are renewed, so that the server refuses no request: `npx tsx
 * examples/key-rotation/main.ts`.
 *
 * First the signing keys of a client with `private_key_jwt`, which publishes a JWKS, then the secret of one with
 * `client_secret_basic`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { rotateSecret } from "./secret.js"
import { rotateSigningKey } from "./signingKey.js"

Console.log("a new signing key").pipe(
  Effect.zipRight(rotateSigningKey),
  Effect.zipRight(Console.log("\na new secret")),
  Effect.zipRight(rotateSecret),
  NodeRuntime.runMain
)
