import * as Effect from "effect/Effect"
import type { AuthorizationCallback, PendingAuthorization } from "effect-safire"
import { FhirClient, SmartClient } from "effect-safire"

/** Send the browser to `url`. Store `pending` where the browser cannot read or change it. */
export const login = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())

/** At your redirect URI: pass the whole URL. */
export const callback = (
  url: AuthorizationCallback.Callback,
  pending: PendingAuthorization.PendingAuthorization
) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const fhir = yield* FhirClient.FhirClient
    const tokens = yield* client.exchange(url, pending)
    return yield* fhir.forTokens(client, tokens).read("Patient", tokens.context.patient ?? "")
  }).pipe(
    Effect.catchTag("AuthorizationError", (error) =>
      error.reason === "AccessDenied" ? Effect.succeed("access denied" as const) : Effect.fail(error))
  )
