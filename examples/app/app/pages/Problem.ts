/** The error page of the library's routes, in the app's layout, with a link to the event log. */
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Problem } from "effect-safire/web"
import { badge, buttonLink, pageHeading } from "../../ui/Components.js"
import { html } from "../../ui/Html.js"
import type { Service as Layout } from "../Layout.js"
import { PATHS } from "../Layout.js"

export const page = (layout: Layout) => (problem: Problem.Problem): HttpServerResponse.HttpServerResponse =>
  layout.page({
    title: problem.title,
    status: problem.status,
    focused: true,
    main: html`<div class="card">${pageHeading(problem.title, { lead: problem.text })}
<p class="actions">${
      problem.action !== undefined && buttonLink(problem.action.href, problem.action.label, "primary")
    } ${problem.action?.href !== PATHS.home && buttonLink(PATHS.home, "To the hospitals")}</p>
<p>${
      badge(problem.kind)
    } <small>Reference <code>${problem.reference}</code>: <a href="${PATHS.log}#ref-${problem.reference}">details in the event log</a></small></p></div>`
  })
