/** The event log: every protocol step with what it took, by what set it off, and what an engineer would read in the log. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Effect from "effect/Effect"
import type { WebApp } from "effect-safire/web"
import { badge, card, pageHeading, postForm, submit, table, type Tone } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { moment } from "../../ui/moment.js"
import { seeOther } from "../../ui/Page.js"
import type { Line, Step } from "../Events.js"
import { Events } from "../Events.js"
import { ownOnly, query, toTheEnd } from "../forms.js"
import { Look, PATHS } from "../Look.js"
import { took } from "../words.js"

const OUTCOMES: Record<Step["outcome"], Tone> = { ok: "good", failed: "bad", interrupted: "warning" }

const LEVELS: Record<Line["level"], Tone> = { info: "info", warning: "warning", error: "bad" }

/** A step with how deep it lies below what set it off, in the order in which things began. */
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
    moment(first.startedAt)
  }</small> <small>${took(first.millis)}</small> ${
    failed ? badge("failed", "bad") : badge("ok", "good")
  }</summary><div>${
    table({
      // A number of its own, so that a screen reader's list of tables tells them apart.
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
  moment(line.at),
  badge(line.level, LEVELS[line.level]),
  html`${line.kind !== undefined && html`<code>${line.kind}</code> `}${line.message}`,
  line.reference === undefined ? "" : html`<code id="ref-${line.reference}">${line.reference}</code>`
]

const page = Effect.gen(function*() {
  const look = yield* Look
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
  return look.page({
    title: "Event log",
    current: PATHS.log,
    ...(isLive ? { refresh: 3 } : {}),
    main: html`${
      pageHeading("Event log", {
        lead:
          "Every step of the protocol as the library reports it, and every request that left. The latest first; no secrets and no patients are in it.",
        actions: postForm(PATHS.log, submit("Clear", { kind: "secondary", describes: "the event log" }))
      })
    }
<nav class="sections" aria-label="What is shown"><ul>${view("Everything", "", !onlyFailed && !isLive)}${
      view("Failures", "?failed", onlyFailed)
    }${view("Live, every 3 seconds", "?live", isLive)}</ul></nav>
<section aria-label="Steps">${
      shown.length === 0
        ? html`<p class="empty">Nothing has happened yet.</p>`
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

const clear = ownOnly(Effect.gen(function*() {
  yield* (yield* Events).clear
  return seeOther(PATHS.log)
}))

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Events | Look | WebApp.WebApp>(),
    (services) => [
      HttpLayerRouter.route("GET", "/log", Effect.provide(page, services)),
      HttpLayerRouter.route("POST", "/log", Effect.provide(toTheEnd(clear), services))
    ]
  )
)
