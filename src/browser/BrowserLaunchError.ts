/**
 * Why a launch in a page did not come to a session, where the reason is the browser or the person in front of it. What a server or a callback does wrong has
 * errors of its own.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * `PopupBlocked`: the browser opened no window. `PopupClosed`: the person closed it. `PopupTimedOut`: nothing came back from it in time. `Returned`: the
 * person came back to the page without an answer. `SessionGone`: the launch was completed before, and its session is not kept here any more.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal("PopupBlocked", "PopupClosed", "PopupTimedOut", "Returned", "SessionGone")

/**
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const ADVICE: Record<Reason, string> = {
  PopupBlocked: "start it from a click or a key press, before anything is waited for, or in the same window",
  PopupClosed: "offer to try again; if nobody closed it, see watchPopup",
  PopupTimedOut: "offer to try again; popupTimeout says how long is waited",
  Returned: "offer to try again",
  SessionGone: "start a new launch; tokens that should outlive a reload are kept in sessionStorage"
}

/**
 * @since 0.1.0
 * @category errors
 */
export class BrowserLaunchError extends Schema.TaggedError<BrowserLaunchError>("effect-safire/BrowserLaunchError")(
  "BrowserLaunchError",
  {
    reason: Reason,
    /** What was seen, in a few words. */
    detail: Schema.String
  }
) {
  override get message(): string {
    return `Launch in this browser did not come to an end (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return false
  }
}
