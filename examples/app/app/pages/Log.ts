/** The event log: protocol steps with their durations, and log messages. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Effect from "effect/Effect"
import type { WebApp } from "effect-safire/web"
import { badge, buttonLink, card, code, pageHeading, postForm, submit, table, type Tone } from "../../ui/Components.js"
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

const numberOf = ({ id }: Step): number => Number(id.replace(/\D/g, ""))

/** Similar steps with the same parent, and the steps below them. */
interface Group {
  readonly steps: readonly [Step, ...ReadonlyArray<Step>]
  readonly below: ReadonlyArray<Group>
}

const kindOf = ({ failure, name, outcome, request }: Step): string =>
  [name, outcome, request?.method, request?.status, failure?.kind, failure?.reason, failure?.message].join(" ")

/** Equal for steps that differ only in their server and their times. */
const signatureOf = ({ below, steps: [first] }: Group): string =>
  `${kindOf(first)} [${below.map(signatureOf).join(", ")}]`

/** Merges groups with the same signature. */
const merged = (groups: ReadonlyArray<Group>): ReadonlyArray<Group> => {
  const bySignature = new Map<string, Group>()
  for (const group of groups) {
    const signature = signatureOf(group)
    const known = bySignature.get(signature)
    bySignature.set(
      signature,
      known === undefined ? group : {
        steps: [...known.steps, ...group.steps],
        // The same steps are below both.
        below: known.below.map((one, i) => ({ ...one, steps: [...one.steps, ...group.below[i]?.steps ?? []] }))
      }
    )
  }
  return [...bySignature.values()]
}

/** The steps of a trace as a tree, by start time. */
const treeOf = (steps: ReadonlyArray<Step>): ReadonlyArray<Group> => {
  const ids = new Set(steps.map(({ id }) => id))
  const inOrder = [...steps].sort((a, b) => a.startedAt - b.startedAt || numberOf(a) - numberOf(b))
  const below = (parent: string | undefined): ReadonlyArray<Group> =>
    merged(
      inOrder
        .filter((step) =>
          parent === undefined ? step.parent === undefined || !ids.has(step.parent) : step.parent === parent
        )
        .map((step) => ({ steps: [step], below: below(step.id) }))
    )
  return below(undefined)
}

const flat = (groups: ReadonlyArray<Group>, depth = 0): ReadonlyArray<readonly [depth: number, group: Group]> =>
  groups.flatMap((group) => [[depth, group] as const, ...flat(group.below, depth + 1)])

const times = (count: number): Child => count > 1 && html` <small class="nowrap">× ${count}</small>`

const startOf = (steps: ReadonlyArray<Step>): number => Math.min(...steps.map(({ startedAt }) => startedAt))

const endOf = (steps: ReadonlyArray<Step>): number =>
  Math.max(...steps.map(({ millis, startedAt }) => startedAt + millis))

/** When the steps ran, as a part of the whole trace. */
const bar = (steps: Group["steps"], from: number, to: number): Html => {
  const percent = (millis: number) => ((millis / Math.max(to - from, 0.001)) * 100).toFixed(1)
  const [start, end] = [startOf(steps), endOf(steps)]
  return html`<svg class="bar ${
    steps[0].outcome
  }" width="100%" height="8" aria-hidden="true"><rect class="whole" width="100%" height="8"/><rect x="${
    percent(start - from)
  }%" width="${percent(end - start)}%" height="8"/></svg>`
}

const nameOf = ({ name, request }: Step): Child =>
  request === undefined ? name : html`${request.method} ${code(request.url)}`

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

const serversOf = (steps: Group["steps"]): Child => {
  const servers = [...new Set(steps.flatMap(({ server }) => server ?? []))]
  return servers.length > 0 &&
    html` <small>${servers.length > 2 ? `${servers.length} servers` : servers.map(code)}</small>`
}

interface Trace {
  /** The latest of similar traces. */
  readonly steps: ReadonlyArray<Step>
  readonly tree: ReadonlyArray<Group>
  readonly count: number
}

/** Consecutive traces with the same steps are one entry. */
const similar = (traces: ReadonlyArray<ReadonlyArray<Step>>): ReadonlyArray<Trace> => {
  const found: Array<Trace> = []
  for (const steps of traces) {
    const tree = treeOf(steps)
    const last = found.at(-1)
    const signature = tree.map(signatureOf).join()
    if (last !== undefined && last.tree.map(signatureOf).join() === signature && urlOf(last.tree) === urlOf(tree)) {
      found[found.length - 1] = { ...last, count: last.count + 1 }
    } else found.push({ steps, tree, count: 1 })
  }
  return found
}

const urlOf = ([first]: ReadonlyArray<Group>): string | undefined => first?.steps[0].request?.url

/** The start page checks at each visit whether the servers respond. */
const isPolling = (steps: ReadonlyArray<Step>): boolean =>
  steps.some(({ parent, request }) => parent === undefined && request?.method === "GET" && request.url === PATHS.home)

const hasFailed = (steps: ReadonlyArray<Step>): boolean => steps.some(({ outcome }) => outcome === "failed")

const traceCard = ({ count, steps, tree }: Trace): Html => {
  const rows = flat(tree)
  const first = rows[0]?.[1].steps[0]
  if (first === undefined) return html``
  const failed = hasFailed(steps)
  const server = steps.find(({ server }) => server !== undefined)?.server
  const isOpen = failed || steps.some(({ name }) => name.startsWith("SmartRoutes."))
  const [from, to] = [startOf(steps), endOf(steps)]
  return html`<details class="trace" id="${first.trace}"${isOpen && html` open`}><summary><span>${nameOf(first)}${
    times(count)
  }</span> ${server !== undefined && server !== first.server && html`<small>${server}</small>`} <small>${
    time(first.startedAt)
  }</small> <small>${took(first.millis)}</small> ${
    failed ? badge("failed", "bad") : badge("ok", "good")
  }</summary><div>${
    table({
      // Unique, so that a screen reader's list of tables distinguishes them.
      caption: `Steps of number ${numberOf(first)}, ${first.request?.url ?? first.name}`,
      captionHidden: true,
      columns: ["Step", "Outcome", "Time", ...(failed ? ["Reason"] : [])],
      rows: rows.map(([depth, { steps }]) => [
        html`<span class="step depth-${Math.min(depth, 6)}">${
          depth > 0 && html`<span class="visually-hidden">level ${depth + 1}: </span>`
        }${nameOf(steps[0])}${times(steps.length)}${serversOf(steps)}</span>`,
        statusOf(steps[0]),
        html`<span class="timing">${bar(steps, from, to)} <span class="nowrap">${
          took(endOf(steps) - startOf(steps))
        }</span></span>`,
        ...(failed ? [failureOf(steps[0])] : [])
      ]),
      empty: ""
    })
  }</div></details>`
}

/** Equal lines are one row, with the time of the latest. */
const grouped = (lines: ReadonlyArray<Line>): ReadonlyArray<readonly [line: Line, count: number]> => {
  const found = new Map<string, readonly [Line, number]>()
  for (const line of lines) {
    const id = [line.level, line.kind, line.message, line.reference].join(" ")
    const [latest, count] = found.get(id) ?? [line, 0]
    found.set(id, [latest, count + 1])
  }
  return [...found.values()]
}

const lineRow = ([line, count]: readonly [Line, number]): ReadonlyArray<Child> => [
  html`${line.kind !== undefined && html`<code>${line.kind}</code> `}${line.message}${times(count)}`,
  badge(line.level, LEVELS[line.level]),
  time(line.at),
  line.reference === undefined ? "" : html`<code id="ref-${line.reference}">${line.reference}</code>`
]

const page = Effect.gen(function*() {
  const layout = yield* Layout
  const events = yield* Events
  const asked = yield* query
  const onlyFailed = asked.has("failed")
  const onlyPolling = asked.has("polling")
  const isLive = asked.has("live")
  const traces = new Map<string, Array<Step>>()
  for (const step of yield* events.steps) {
    const known = traces.get(step.trace)
    if (known === undefined) traces.set(step.trace, [step])
    else known.push(step)
  }
  const shown = similar(
    [...traces.values()].filter((steps) => onlyFailed ? hasFailed(steps) : isPolling(steps) === onlyPolling)
  )
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
<nav class="sections" aria-label="Filter"><ul>${
      view("Launches and requests", "", !onlyFailed && !onlyPolling && !isLive)
    }${view("Failures", "?failed", onlyFailed)}${view("Checks of the start page", "?polling", onlyPolling)}${
      view("Live, every 3 seconds", "?live", isLive)
    }</ul></nav>
<section aria-label="Steps">${
      shown.length === 0
        ? card(
          "No steps yet",
          html`<p>Log in at a hospital, or read its patients as a backend service. Each protocol step is then listed here with its
duration and, if it failed, the reason.</p><p class="actions">${
            buttonLink(PATHS.home, "To the hospitals", "primary")
          }</p>`
        )
        : shown.slice(0, 60).map(traceCard)
    }</section>
${
      card(
        "Log",
        table({
          caption: "Lines of the log",
          captionHidden: true,
          columns: ["Message", "Level", "Time", "Reference"],
          rows: grouped(yield* events.lines).map(lineRow),
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
