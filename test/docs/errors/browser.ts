/** The section of `docs/errors.md` about `BrowserLaunchError`. */
import * as Effect from "effect/Effect"
import { BrowserLaunchError } from "effect-safire/browser"
import { section } from "../entry.js"

type Reason = BrowserLaunchError["reason"]

const met = (reason: Reason, detail: string) => Effect.succeed(new BrowserLaunchError({ reason, detail }))

const never = "Not repeated. The user starts again."

export const browserLaunchError = section<Reason>({
  name: "BrowserLaunchError",
  literals: BrowserLaunchError.fields.reason.literals,
  about: "From `effect-safire/browser`: the browser or the user ended the launch. See [browser.md](browser.md).",
  names: /^Launch in this browser/,
  entries: {
    PopupBlocked: {
      example: met("PopupBlocked", "the browser opened no window"),
      cause: "`launch({ window: \"popup\" })` was not started by a click or a key press, or too long after it.",
      cure: "Run the effect in the event handler itself, in a runtime that is already built, or use the same window.",
      again: never
    },
    PopupClosed: {
      example: met("PopupClosed", "the window of the launch was closed"),
      cause: "The user closed the popup, or the server's page separated it by its `Cross-Origin-Opener-Policy`.",
      cure: "Offer to try again. If it happens at every launch, set `watchPopup: false`.",
      again: never
    },
    PopupTimedOut: {
      example: met("PopupTimedOut", "the popup sent no callback in time"),
      cause: "The popup sent no callback within `popupTimeout` (10 minutes).",
      cure: "Offer to try again.",
      again: never
    },
    Returned: {
      example: met("Returned", "the browser shows the page that started the launch again"),
      cause: "The user went back from the server, and the browser showed the page from its cache.",
      cure: "Show the page as it was before the launch.",
      again: never
    },
    SessionGone: {
      example: met("SessionGone", "the callback was used before, and its session is not stored in this page"),
      cause: "A callback was delivered a second time, to a page that does not have the session in memory.",
      cure: "Start a new launch. With `tokens: \"sessionStorage\"` the second delivery returns the session.",
      again: never
    }
  }
})
