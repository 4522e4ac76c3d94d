import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SessionError } from "effect-safire"
import { Sessions } from "effect-safire"

/** What the app does next. Every reason has its answer: without one the switch does not compile. */
const next = (error: SessionError): "LogIn" | "TryLater" | "CallTheOperator" => {
  switch (error.reason) {
    case "NotFound":
    case "NeedsRelaunch":
    case "LaunchNotFound":
    case "BindingMismatch":
      return "LogIn"
    case "StoreUnavailable":
    case "LockTimeout":
    case "LockLost":
      return "TryLater"
    case "Reentrant":
    case "Undecodable":
    case "KeyUnknown":
    case "KeyUnusable":
      return "CallTheOperator"
  }
}

export const token = (session: Sessions.SessionId) =>
  Effect.flatMap(Sessions.Sessions, (sessions) => sessions.accessToken(session)).pipe(
    Effect.tapError((error) => Effect.logWarning(error.message)),
    Effect.catchTags({
      SessionError: (error) => Effect.succeed(next(error)),
      TokenError: (error) =>
        error.isRetryable
          ? Effect.succeed(`Wait ${Duration.format(error.retryAfter ?? Duration.seconds(5))}`)
          : Effect.fail(error)
    })
  )
