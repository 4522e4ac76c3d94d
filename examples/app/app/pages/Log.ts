/** The event log: protocol steps with their durations, and log messages. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Effect from "effect/Effect"
import type { WebApp } from "effect-safire/web"
import { badge, card, pageHeading, postForm, submit, table, type Tone } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import { time } from "../../ui/time.js"
import type { Line, Step } from "../Events.js"
import { Events } from "../Events.js"
import { took } from "../format.js"
import { query, requireSameOrigin, runToCompletion } from "../forms.js"
import { Layout, PATHS } from "../Layout.js"

const OUTCOMES: Record<Step["outcome"], Tone> = { ok: "good", failed: "bad", interrupted: "warning" }

const LEVELS: Record<Line["level"], Tone> = { info: "info", warning: "warning", error: "bad" }

/** The steps of a trace with their depth, by start time. */
const tree = (steps: ReadonlyArray<Step>): ReadonlyArray<readonly [depth: number, step: Step]> => {
  const ids = new Set(steps.map(({ id }) => id))
  const inOrder = [...steps].sort((a, b) => a.startedAt - b.startedAt || numberOf(a) - numberOf(b))
  const below = (parent: string | undefined, depth: number): ReadonlyArray<readonly [number, Step]> =>
    inOrder
      .filter((step) =>
        parent === undefined ? step.parent === undefined || !ids.has(step.parent) : step.parent === parent
      )
      .flatMap((step) => [[depth, step] as const, ...below(step.id, depth + 1)])
  return below(undefined, 0)
}

const numberOf = ({ id }: Step): number => Number(id.replace(/\D/g, ""))

const nameOf = ({ name, request }: Step): Child =>
  request === undefined ? name : html`${request.method} <code>${request.url}</code>`

const statusOf = ({ outcome, request }: Step): Child =>
  request?.status === undefined
    ? badge(outcome, OUTCOMES[outcome])
    : badge(String(request.status), request.status < 400 ? "good" : "bad")

const failureOf = ({ failure }: Step): Child =>
  failure === undefined ?
    "" :
    html`${badge(failure.kind, "bad")}${failure.reason !== undefined && html` ${badge(failure.reason, "bad")}`}${
      failure.message !== undefined && html` <span>${failure.message}</span>`
    }`

const traceCard = (steps: ReadonlyArray<Step>): Html => {
  const rows = tree(steps)
  const first = rows[0]?.[1]
  if (first === undefined) return html``
  const failed = steps.some(({ outcome }) => outcome === "failed")
  const server = steps.find(({ server }) => server !== undefined)?.server
  const isOpen = failed || steps.some(({ name }) => name.startsWith("SmartRoutes."))
  return html`<details class="trace" id="${first.trace}"${isOpen && html` open`}><summary><span>${
    nameOf(first)
  }</span> ${server !== undefined && server !== first.server && html`<small>${server}</small>`} <small>${
    time(first.startedAt)
  }</small> <small>${took(first.millis)}</small> ${
    failed ? badge("failed", "bad") : badge("ok", "good")
  }</summary><div>${
    table({
      // Unique, so that a screen reader's list of tables distinguishes them.
      caption: `Steps of number ${numberOf(first)}, ${first.request?.url ?? first.name}`,
      captionHidden: true,
      columns: ["Step", "Server", "Took", "Outcome", "Why"],
      rows: rows.map(([depth, step]) => [
        html`<span class="step depth-${Math.min(depth, 6)}">${
          depth > 0 && html`<span class="visually-hidden">level ${depth + 1}: </span>`
        }${nameOf(step)}</span>`,
        step.server ?? "",
        took(step.millis),
        statusOf(step),
        failureOf(step)
      ]),
      empty: ""
    })
  }</div></details>`
}

const lineRow = (line: Line): ReadonlyArray<Child> => [
  time(line.at),
  badge(line.level, LEVELS[line.level]),
  html`${line.kind !== undefined && html`<code>${line.kind}</code> `}${line.message}`,
  line.reference === undefined ? "" : html`<code id="ref-${line.reference}">${line.reference}</code>`
]

const page = Effect.gen(function*() {
  const layout = yield* Layout
  const events = yield* Events
  const asked = yield* query
  const onlyFailed = asked.has("failed")
  const isLive = asked.has("live")
  const traces = new Map<string, Array<Step>>()
  for (const step of yield* events.steps) {
    const known = traces.get(step.trace)
    if (known === undefined) traces.set(step.trace, [step])
    else known.push(step)
  }
  const shown = [...traces.values()].filter((steps) => !onlyFailed || steps.some(({ outcome }) => outcome === "failed"))
  const view = (label: string, search: string, isCurrent: boolean) =>
    html`<li><a href="${PATHS.log}${search}"${isCurrent && html` aria-current="page"`}>${label}</a></li>`
  return layout.page({
    title: "Event log",
    current: PATHS.log,
    ...(isLive ? { refresh: 3 } : {}),
    main: html`${
      pageHeading("Event log", {
        lead: "All protocol steps and outgoing requests, the latest first. The log has no secrets and no patient data.",
        actions: postForm(PATHS.log, submit("Clear", { kind: "secondary", describes: "the event log" }))
      })
    }
<nav class="sections" aria-label="Filter"><ul>${view("Everything", "", !onlyFailed && !isLive)}${
      view("Failures", "?failed", onlyFailed)
    }${view("Live, every 3 seconds", "?live", isLive)}</ul></nav>
<section aria-label="Steps">${
      shown.length === 0
        ? html`<p class="empty">No steps yet.</p>`
        : shown.slice(0, 60).map(traceCard)
    }</section>
${
      card(
        "Log",
        table({
          caption: "Lines of the log",
          captionHidden: true,
          columns: ["When", "Level", "What", "Reference"],
          rows: (yield* events.lines).map(lineRow),
          empty: "No lines."
        }),
        { id: "lines" }
      )
    }`
  })
})

const clear = requireSameOrigin(Effect.gen(function*() {
  yield* (yield* Events).clear
  return seeOther(PATHS.log)
}))

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Events | Layout | WebApp.WebApp>(),
    (services) => [
      HttpLayerRouter.route("GET", "/log", Effect.provide(page, services)),
      HttpLayerRouter.route("POST", "/log", Effect.provide(runToCompletion(clear), services))
    ]
  )
)
