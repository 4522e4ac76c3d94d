/** The page for whatever the library's routes could not do, in the app's look; who wants to know more follows the reference into the event log. */
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Problem } from "effect-safire/web"
import { badge, buttonLink, pageHeading } from "../../ui/Components.js"
import { html } from "../../ui/Html.js"
import type { Service as Look } from "../Look.js"
import { PATHS } from "../Look.js"

export const page = (look: Look) => (problem: Problem.Problem): HttpServerResponse.HttpServerResponse =>
  look.page({
    title: problem.title,
    status: problem.status,
    focused: true,
    main: html`${pageHeading(problem.title, { lead: problem.text })}
<p class="actions">${
      problem.action !== undefined && buttonLink(problem.action.href, problem.action.label, "primary")
    } ${problem.action?.href !== PATHS.home && buttonLink(PATHS.home, "To the hospitals")}</p>
<p>${
      badge(problem.kind)
    } <small>Reference <code>${problem.reference}</code>: <a href="${PATHS.log}#ref-${problem.reference}">what happened</a></small></p>`
  })
