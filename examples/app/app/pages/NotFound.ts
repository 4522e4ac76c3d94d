/** The page for an unknown address. */
import { buttonLink, pageHeading } from "../../ui/Components.js"
import { html } from "../../ui/Html.js"
import type { AppPage } from "../Layout.js"
import { PATHS } from "../Layout.js"

export const notFound: AppPage = {
  title: "Not found",
  status: 404,
  focused: true,
  main: html`<div class="card">${
    pageHeading("Page not found", { lead: "The address is wrong, or the page no longer exists." })
  }
<p class="actions">${buttonLink(PATHS.home, "To the hospitals", "primary")}${
    buttonLink(PATHS.log, "To the event log")
  }</p></div>`
}
