/** What `docs/errors.md` says of `BrowserLaunchError`. */
import * as Effect from "effect/Effect"
import { BrowserLaunchError } from "effect-safire/browser"
import { section } from "../entry.js"

type Reason = BrowserLaunchError["reason"]

const met = (reason: Reason, detail: string) => Effect.succeed(new BrowserLaunchError({ reason, detail }))

const never = "No. The person starts again."

export const browserLaunchError = section<Reason>({
  name: "BrowserLaunchError",
  literals: BrowserLaunchError.fields.reason.literals,
  about:
    "From `effect-safire/browser`: the browser, or the person in front of it, ended the launch. See [browser.md](browser.md).",
  names: /^Launch in this browser/,
  entries: {
    PopupBlocked: {
      example: met("PopupBlocked", "the browser opened no window"),
      cause: "No click or key press stood behind `launch({ window: \"popup\" })`, or too much was waited for after it.",
      cure: "Run the effect from the event handler itself, in a runtime that is built already; or use the same window.",
      again: never
    },
    PopupClosed: {
      example: met("PopupClosed", "the window of the launch was closed"),
      cause: "The person closed it, or the server's page cut it off by its `Cross-Origin-Opener-Policy`.",
      cure: "Offer to try again. If it comes at every launch, turn `watchPopup` off.",
      again: never
    },
    PopupTimedOut: {
      example: met("PopupTimedOut", "no callback came from the window in time"),
      cause: "Nothing came back within `popupTimeout` (10 minutes).",
      cure: "Offer to try again.",
      again: never
    },
    Returned: {
      example: met("Returned", "the browser shows the page again that the launch was started from"),
      cause: "The person went back from the server, and the browser had kept the page.",
      cure: "Show the page as it was before the launch.",
      again: never
    },
    SessionGone: {
      example: met("SessionGone", "the callback was used before, and the session it led to is not kept here"),
      cause: "A callback was delivered a second time, to a page that does not have the first one's memory.",
      cure: "Start a new launch. With `tokens: \"sessionStorage\"` it leads to its session instead.",
      again: never
    }
  }
})
