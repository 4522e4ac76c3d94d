/** The requests of apps: step, response, duration, and the parameters that are not secret. */
import * as Effect from "effect/Effect"
import type { SandboxEhr } from "effect-safire/testing"
import type { Tone } from "../../ui/Components.js"
import { badge, buttonLink, card, code, pageHeading, postForm, select, submit, table } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import { time } from "../../ui/time.js"
import type { Ehr } from "../Ehr.js"
import { findStep, stepLabel, steps } from "../faults.js"
import { action, page } from "../guards.js"

type Recorded = SandboxEhr.RecordedRequest

/** Parameters without secrets. `code` is a search parameter in FHIR and a secret in OAuth, so it is hidden. */
const shown: ReadonlySet<string> = new Set([
  "_count",
  "_id",
  "_revinclude",
  "_include",
  "_sort",
  "aud",
  "category",
  "client_assertion_type",
  "client_id",
  "code_challenge_method",
  "date",
  "grant_type",
  "patient",
  "prompt",
  "redirect_uri",
  "response_mode",
  "response_type",
  "scope",
  "status",
  "subject",
  "token_type_hint"
])

const parameter = ([name, value]: readonly [string, string]): Html =>
  html`<li><code>${name}</code> ${shown.has(name) ? code(value) : "(hidden)"}</li>`

const parameters = ({ form, query }: Recorded): Child => {
  const all = [...Object.entries(query), ...Object.entries(form)]
  return all.length === 0
    ? "none"
    : html`<details><summary>${
      all.length === 1 ? "1 parameter" : `${all.length} parameters`
    }</summary><div><ul class="plain">${all.map(parameter)}</ul></div></details>`
}

const tone = (status: number): Tone => status < 300 ? "good" : status < 400 ? "info" : status < 500 ? "warning" : "bad"

const answer = ({ respondedAt, status }: Recorded): Html =>
  status !== undefined
    ? badge(String(status), tone(status))
    : respondedAt === undefined
    ? badge("in progress", "info")
    : badge("connection failed", "bad")

/** The client's credential. */
const proof = ({ form, headers }: Recorded): string => {
  const scheme = headers["authorization"]?.split(" ")[0]?.toLowerCase()
  return scheme === "bearer"
    ? "access token"
    : scheme === "basic"
    ? "secret in the header"
    : scheme !== undefined
    ? "unknown scheme"
    : form["client_assertion"] !== undefined
    ? "signed assertion"
    : form["client_secret"] !== undefined
    ? "secret in the form"
    : "nothing"
}

const LINES = 200

/** The log. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/log", ({ query }) =>
    Effect.map(ehr.sandbox.requests, (requests) => {
      const step = findStep(query.get("step") ?? undefined)
      const wanted = requests.filter((request) => step === undefined || request.step === step)
      const lines = wanted.slice(-LINES).reverse()
      return {
        title: "Request log",
        current: "/log",
        script: true,
        main: html`${
          pageHeading("Request log", {
            lead: "The requests of apps, the latest first. Codes, tokens and secrets are not shown.",
            actions: html`${buttonLink(step === undefined ? "/log" : `/log?step=${step}`, "Reload")}${
              postForm("/log/clear", submit("Clear the log", { kind: "secondary" }))
            }`
          })
        }
${
          card(
            "Requests",
            html`<form method="get" action="/log" class="one-line">${
              select({
                id: "log-step",
                name: "step",
                label: "Step",
                choices: [{ value: "", label: "All" }, ...steps.map(({ label, step }) => ({ value: step, label }))],
                selected: step ?? ""
              })
            }${submit("Show", { kind: "secondary" })}</form>${
              table({
                caption: `${lines.length} of ${wanted.length} requests`,
                columns: ["Step", "Response", "Request", "Time", "Duration", "Credential", "Parameters"],
                empty: "No requests yet.",
                rows: lines.map((request) => [
                  stepLabel(request.step),
                  answer(request),
                  code(`${request.method} ${request.path}`),
                  time(request.receivedAt),
                  request.respondedAt === undefined
                    ? ""
                    : html`<span class="nowrap">${request.respondedAt - request.receivedAt} ms</span>`,
                  proof(request),
                  parameters(request)
                ])
              })
            }`
          )
        }`
      }
    })),
  action(ehr, "/log/clear", () => Effect.as(ehr.sandbox.clearRequests, seeOther("/log")), () => "/log")
]
