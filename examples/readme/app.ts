import * as Effect from "effect/Effect"
import type { AuthorizationCallback, PendingAuthorization } from "effect-safire"
import { FhirClient, SmartClient } from "effect-safire"

/** Where to send the person. Keep `pending` where their browser cannot read or change it: `Sessions` does that for you. */
export const login = Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize())

/** What your redirect URI does with the callback's whole URL. */
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
      error.reason === "AccessDenied" ? Effect.succeed("the person said no" as const) : Effect.fail(error))
  )
