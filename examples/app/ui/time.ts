/** The HTML of a time. */
import * as DateTime from "effect/DateTime"
import type { Html } from "./Html.js"
import { html } from "./Html.js"

/** In UTC, and with `ui.js` in the reader's own time zone. A number is milliseconds since the epoch. */
export const time = (at: DateTime.Utc | number): Html => {
  const iso = DateTime.formatIso(typeof at === "number" ? DateTime.unsafeMake(at) : at)
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace("T", " ")} UTC</time>`
}
