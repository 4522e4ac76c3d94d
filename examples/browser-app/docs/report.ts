import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { BrowserLaunch } from "effect-safire/browser"
import { FetchFailure } from "effect-safire/browser"

export const report = (error: BrowserLaunch.Failure) =>
  Effect.map(
    FetchFailure.explain(error),
    Option.match({ onNone: () => error.message, onSome: ({ message }) => message })
  )
