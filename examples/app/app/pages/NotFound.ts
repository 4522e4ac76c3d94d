/** For an address that leads nowhere. */
import { buttonLink, pageHeading } from "../../ui/Components.js"
import { html } from "../../ui/Html.js"
import type { AppPage } from "../Look.js"
import { PATHS } from "../Look.js"

export const notFound: AppPage = {
  title: "Not found",
  status: 404,
  focused: true,
  main: html`${pageHeading("There is no such page", { lead: "The address is mistyped, or what it led to is gone." })}
<p>${buttonLink(PATHS.home, "To the hospitals", "primary")}</p>`
}
