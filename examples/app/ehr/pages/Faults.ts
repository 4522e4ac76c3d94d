/** The page that makes the EHR go wrong: which step, how, and how many times; what waits; and the switch for the whole EHR. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { SandboxEhr } from "effect-safire/testing"
import {
  badge,
  banner,
  card,
  checkbox,
  pageHeading,
  postForm,
  select,
  submit,
  table,
  textField
} from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import type { Page } from "../../ui/Page.js"
import { seeOther } from "../../ui/Page.js"
import type { Ehr } from "../Ehr.js"
import type { NamedFault } from "../faults.js"
import { describe, down, findStep, fromFields, kinds, stepLabel, steps, times, troubles } from "../faults.js"
import { account, action, page, Problem, show } from "../visit.js"

const timesChoice = (id: string, selected = "1"): Html =>
  select({ id, name: "times", label: "How many times", choices: times, selected })

const power = (isDown: boolean): Html =>
  card(
    "The whole EHR",
    html`<p>${
      isDown
        ? "Every step of the protocol answers 503. These pages go on working."
        : "It answers. Taking it down makes every step answer 503, until it is up again; faults that wait, wait until then."
    }</p>${
      postForm(
        "/faults/power",
        isDown
          ? submit("Bring the EHR up", { name: "power", value: "up" })
          : submit("Take the EHR down", { kind: "danger", name: "power", value: "down" })
      )
    }`,
    { aside: isDown ? badge("Down", "bad") : badge("Up", "good") }
  )

const labelOf = (ehr: Ehr, fault: SandboxEhr.Fault.Fault): string => ehr.faultLabels.get(fault) ?? describe(fault)

const waitingTable = (ehr: Ehr, waiting: ReadonlyArray<SandboxEhr.PendingFault>, isDown: boolean): Html =>
  card(
    "Waiting",
    html`${
      table({
        caption: "Faults that wait for their request, by step, the next one first",
        columns: ["Step", "Fault", "Times", "Switch off"],
        empty: isDown ? "Nothing but that the EHR is down." : "Nothing is switched on. Everything works as it should.",
        rows: waiting.map(({ fault, id, remaining: left, step }) => [
          stepLabel(step),
          labelOf(ehr, fault),
          left > 1_000_000 ? "until switched off" : left,
          postForm(
            "/faults/remove",
            submit("Switch off", { kind: "secondary", describes: `${labelOf(ehr, fault)}, ${stepLabel(step)}` }),
            { fault: id }
          )
        ])
      })
    }${waiting.length > 0 && postForm("/faults/clear", submit("Switch all off", { kind: "secondary" }))}`
  )

const troubleCard = (once: string): Html =>
  card(
    "Troubles that happen",
    html`<form method="post" action="/faults/trouble"><input type="hidden" name="once" value="${once}">
${timesChoice("trouble-times")}
${
      steps.map(({ label, step }) => {
        const known = troubles.filter((trouble) => trouble.step === step)
        return known.length > 0 && html`<h3>${label}</h3><ul class="tiles">${
          known.map((trouble) =>
            html`<li><button type="submit" class="tile" name="trouble" value="${trouble.id}"><strong>${trouble.label}</strong><small>${trouble.detail}</small></button></li>`
          )
        }</ul>`
      })
    }</form>`
  )

const field = (name: string, label: string, sent: URLSearchParams, hint: string) =>
  textField({ id: `fault-${name}`, name, label, value: sent.get(name) ?? undefined, hint })

const area = (name: string, label: string, sent: URLSearchParams, hint: string): Html =>
  html`<div class="field"><label for="fault-${name}">${label}</label>
<textarea id="fault-${name}" name="${name}" rows="3" autocomplete="off" spellcheck="false" aria-describedby="fault-${name}-hint">${
    sent.get(name) ?? ""
  }</textarea>
<small id="fault-${name}-hint">${hint}</small></div>`

/** Without JavaScript all fields are there at once; each kind says which of them it reads. */
const builder = (once: string, sent: URLSearchParams): Html =>
  card(
    "Any fault",
    html`<form method="post" action="/faults/add"><input type="hidden" name="once" value="${once}">
<div class="fields">${
      select({
        id: "fault-step",
        name: "step",
        label: "Step",
        choices: steps.map(({ label, step }) => ({ value: step, label })),
        selected: sent.get("step") ?? "token"
      })
    }${timesChoice("fault-times", sent.get("times") ?? "1")}</div>
<fieldset><legend>What goes wrong</legend><div class="fields">${
      kinds.map(({ detail, id, label }, index) =>
        checkbox({
          id: `kind-${id}`,
          name: "kind",
          value: id,
          type: "radio",
          label,
          detail,
          checked: sent.has("kind") ? sent.get("kind") === id : index === 0
        })
      )
    }</div></fieldset>
<div class="fields">${field("status", "Status", sent, "Such as 503.")}${
      field("seconds", "Seconds", sent, "The wait before the answer, whatever it is.")
    }${field("error", "Error", sent, "Such as invalid_grant.")}${
      field("location", "Location", sent, "An absolute URL.")
    }${field("megabytes", "Megabytes", sent, "1 to 1024.")}</div>
${area("members", "Members", sent, "Names to leave out, or a JSON object to put in.")}
${area("headers", "Headers", sent, "One a line, such as Retry-After: 5.")}
${area("body", "Body", sent, "Plain text.")}
${
      checkbox({
        id: "fault-acted",
        name: "acted",
        value: "yes",
        label: "The request is acted on first",
        detail: "The code is used up or the refresh token replaced before the answer goes wrong.",
        checked: sent.has("acted")
      })
    }
<div class="actions">${submit("Switch on")}</div></form>`
  )

const render = (ehr: Ehr, sent: URLSearchParams, problem?: string): Effect.Effect<Page> =>
  Effect.gen(function*() {
    const waiting = (yield* ehr.sandbox.pendingFaults).filter(({ fault }) => fault !== down.fault)
    const isDown = yield* ehr.power.isDown
    const trouble = yield* ehr.once.key
    const add = yield* ehr.once.key
    return {
      title: "Faults",
      current: "/faults",
      status: problem === undefined ? 200 : 400,
      main: html`${
        pageHeading("Faults", {
          lead:
            "Make this EHR go wrong, and see what the app makes of it. A fault waits for the next request of its step."
        })
      }
${problem !== undefined && banner("bad", "Nothing was switched on.", problem, { live: true })}
<div class="columns">${waitingTable(ehr, waiting, isDown)}${power(isDown)}</div>
${troubleCard(trouble)}
${builder(add, sent)}`
    }
  })

const switchOn = (
  ehr: Ehr,
  form: URLSearchParams,
  step: SandboxEhr.Fault.Step,
  { fault, label }: NamedFault
): Effect.Effect<void> => {
  const count = times.find(({ value }) => value === form.get("times"))?.count ?? 1
  // A new object: a fault is known by what it is called here.
  const own = { ...fault }
  ehr.faultLabels.set(own, label)
  return ehr.once.run(form.get("once") ?? "", ehr.sandbox.fault(step, own, count))
}

const back = (): string => "/faults"

/** The page and its buttons. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/faults", () => render(ehr, new URLSearchParams())),
  action(ehr, "/faults/trouble", (form) =>
    Effect.gen(function*() {
      const trouble = troubles.find(({ id }) => id === form.get("trouble"))
      if (trouble === undefined) {
        return yield* new Problem({ status: 400, title: "No such trouble", detail: "Choose one on the page “Faults”." })
      }
      yield* switchOn(ehr, form, trouble.step, trouble)
      return seeOther("/faults")
    }), back),
  action(ehr, "/faults/add", (form, person) =>
    Effect.gen(function*() {
      const step = findStep(form.get("step") ?? undefined)
      const made = fromFields((name) => form.get(name) ?? "")
      if (step === undefined || Either.isLeft(made)) {
        const asked = yield* render(ehr, form, Either.isLeft(made) ? `${made.left}.` : "choose a step.")
        return show(ehr, { account: account(person), ...asked })
      }
      yield* switchOn(ehr, form, step, made.right)
      return seeOther("/faults")
    }), back),
  action(
    ehr,
    "/faults/remove",
    (form) => Effect.as(ehr.sandbox.removeFault(form.get("fault") ?? ""), seeOther("/faults")),
    back
  ),
  action(
    ehr,
    "/faults/clear",
    () => Effect.as(Effect.zipRight(ehr.power.set(false), ehr.sandbox.clearFaults), seeOther("/faults")),
    back
  ),
  action(
    ehr,
    "/faults/power",
    (form) => Effect.as(ehr.power.set(form.get("power") === "down"), seeOther("/faults")),
    back
  )
]
