import * as Effect from "effect/Effect"
import { Scopes, SmartClient } from "effect-safire"

/** Added to the configured ones, each once. `scopes` instead of `addScopes` replaces them. */
export const launchWithScopes = (...addScopes: ReadonlyArray<SmartClient.ScopeInput>) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize({ addScopes }))

/** A scope is text, or a value of a constructor: then an invalid scope does not compile. */
export const launchToWrite = launchWithScopes(
  Scopes.patient("Observation", "cus"),
  "user/Practitioner.rs"
)
