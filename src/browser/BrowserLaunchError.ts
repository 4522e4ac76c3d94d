/**
 * A launch that the browser or the user ended. Failures of the server and of the callback are other errors.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"

const ADVICE = {
  PopupBlocked: "start it in the handler of a click or key press, before any wait, or in the same window",
  PopupClosed: "offer to try again; if the user did not close it, see watchPopup",
  PopupTimedOut: "offer to try again; popupTimeout is the time limit",
  Returned: "offer to try again",
  SessionGone: "start a new launch; to keep tokens over a reload, store them in sessionStorage"
}

/**
 * - `PopupBlocked`: the browser opened no window.
 * - `PopupClosed`: the user closed the popup.
 * - `PopupTimedOut`: the popup sent no callback in time.
 * - `Returned`: the user returned to the page without a callback.
 * - `SessionGone`: the launch was completed before, and its session is not stored in this page.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `BrowserLaunchError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A launch in a page ended without a session. The app can offer it again.
 *
 * @since 0.1.0
 * @category errors
 */
export class BrowserLaunchError extends Schema.TaggedError<BrowserLaunchError>("effect-safire/BrowserLaunchError")(
  "BrowserLaunchError",
  {
    reason: Reason,
    /** The cause in a few words. */
    detail: Schema.String
  }
) {
  override get message(): string {
    return `Launch in this browser failed (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  get isRetryable(): boolean {
    return false
  }
}
