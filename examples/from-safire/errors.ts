import * as Effect from "effect/Effect"
import type { AuthorizationCallback, PendingAuthorization } from "effect-safire"
import { callback } from "./client.js"

export const handled = (
  url: AuthorizationCallback.Callback,
  pending: PendingAuthorization.PendingAuthorization
) =>
  callback(url, pending).pipe(
    Effect.as("Welcome."),
    Effect.catchTags({
      AuthorizationError: (error) =>
        Effect.succeed(error.reason === "AccessDenied" ? "You said no." : "Please start again."),
      TokenError: (error) =>
        error.error === "invalid_client"
          ? Effect.as(Effect.logError(error.message), "We have a problem, and know about it.")
          : Effect.succeed(error.isRetryable ? "Please try again in a minute." : "Please start again.")
    })
  )
