/** The page that adds faults to protocol steps, lists the pending ones, and takes the EHR down. */
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
import { commonFaults, describe, down, findStep, fromFields, kinds, stepLabel, steps, times } from "../faults.js"
import { account, action, page, Problem, show } from "../guards.js"

const timesChoice = (id: string, selected = "1"): Html =>
  select({ id, name: "times", label: "How many times", choices: times, selected })

const power = (isDown: boolean): Html =>
  card(
    "The whole EHR",
    html`<p>${
      isDown
        ? "Every protocol step responds with 503. These pages still work."
        : "The EHR is up. While it is down, every protocol step responds with 503; pending faults wait."
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
    "Pending",
    html`${
      table({
        caption: "Pending faults by step, the next one first",
        columns: ["Step", "Fault", "Times", "Switch off"],
        empty: isDown ? "The EHR is down. No other faults are pending." : "No faults are pending.",
        rows: waiting.map(({ fault, id, remaining, step }) => [
          stepLabel(step),
          labelOf(ehr, fault),
          remaining > 1_000_000 ? "until switched off" : remaining,
          postForm(
            "/faults/remove",
            submit("Switch off", { kind: "secondary", describes: `${labelOf(ehr, fault)}, ${stepLabel(step)}` }),
            { fault: id }
          )
        ])
      })
    }${waiting.length > 0 && postForm("/faults/clear", submit("Switch all off", { kind: "secondary" }))}`
  )

const commonFaultsCard = (once: string): Html =>
  card(
    "Common faults",
    html`<form method="post" action="/faults/trouble"><input type="hidden" name="once" value="${once}">
${timesChoice("trouble-times")}
${
      steps.map(({ label, step }) => {
        const known = commonFaults.filter((commonFault) => commonFault.step === step)
        return known.length > 0 && html`<h3>${label}</h3><ul class="tiles">${
          known.map((commonFault) =>
            html`<li><button type="submit" class="tile" name="trouble" value="${commonFault.id}"><strong>${commonFault.label}</strong><small>${commonFault.detail}</small></button></li>`
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
<fieldset><legend>Kind of fault</legend><div class="fields">${
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
      field("seconds", "Seconds", sent, "The delay before the response.")
    }${field("error", "Error", sent, "Such as invalid_grant.")}${
      field("location", "Location", sent, "An absolute URL.")
    }${field("megabytes", "Megabytes", sent, "1 to 1024.")}</div>
${area("members", "Members", sent, "Names to remove, or a JSON object to add.")}
${area("headers", "Headers", sent, "One per line, such as Retry-After: 5.")}
${area("body", "Body", sent, "Plain text.")}
${
      checkbox({
        id: "fault-acted",
        name: "acted",
        value: "yes",
        label: "Process the request first",
        detail: "The server uses up the code or rotates the refresh token before the fault.",
        checked: sent.has("acted")
      })
    }
<div class="actions">${submit("Switch on")}</div></form>`
  )

const render = (ehr: Ehr, sent: URLSearchParams, problem?: string): Effect.Effect<Page> =>
  Effect.gen(function*() {
    const waiting = (yield* ehr.sandbox.pendingFaults).filter(({ fault }) => fault !== down.fault)
    const isDown = yield* ehr.availability.isDown
    const commonFaultKey = yield* ehr.formKeys.key
    const anyFaultKey = yield* ehr.formKeys.key
    return {
      title: "Faults",
      current: "/faults",
      status: problem === undefined ? 200 : 400,
      main: html`${
        pageHeading("Faults", {
          lead: "Add faults to this EHR and see how the app handles them. A fault affects the next request of its step."
        })
      }
${problem !== undefined && banner("bad", "No fault was added.", problem, { live: true })}
<div class="columns">${waitingTable(ehr, waiting, isDown)}${power(isDown)}</div>
${commonFaultsCard(commonFaultKey)}
${builder(anyFaultKey, sent)}`
    }
  })

const switchOn = (
  ehr: Ehr,
  form: URLSearchParams,
  step: SandboxEhr.Fault.Step,
  { fault, label }: NamedFault
): Effect.Effect<void> => {
  const count = times.find(({ value }) => value === form.get("times"))?.count ?? 1
  // A new object: its label is in this map.
  const own = { ...fault }
  ehr.faultLabels.set(own, label)
  return ehr.formKeys.run(form.get("once") ?? "", ehr.sandbox.fault(step, own, count))
}

const back = (): string => "/faults"

/** The page and its buttons. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/faults", () => render(ehr, new URLSearchParams())),
  action(ehr, "/faults/trouble", (form) =>
    Effect.gen(function*() {
      const commonFault = commonFaults.find(({ id }) => id === form.get("trouble"))
      if (commonFault === undefined) {
        return yield* new Problem({ status: 400, title: "No such fault", detail: "Choose one on the page “Faults”." })
      }
      yield* switchOn(ehr, form, commonFault.step, commonFault)
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
    () => Effect.as(Effect.zipRight(ehr.availability.set(false), ehr.sandbox.clearFaults), seeOther("/faults")),
    back
  ),
  action(
    ehr,
    "/faults/power",
    (form) => Effect.as(ehr.availability.set(form.get("power") === "down"), seeOther("/faults")),
    back
  )
]
