/** A moment as a page says it: in UTC, and with `ui.js` in the reader's own time. */
import * as DateTime from "effect/DateTime"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"

/** Of milliseconds since the epoch. */
export const moment = (millis: number): Html => {
  const iso = DateTime.formatIso(DateTime.unsafeMake(millis))
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace("T", " ")} UTC</time>`
}
