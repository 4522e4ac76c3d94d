/**
 * The consent page of an authorization request: the user selects scopes and a patient, and allows or denies access.
 */
import * as Effect from "effect/Effect"
import type { SandboxEhr } from "effect-safire/testing"
import { badge, banner, card, checkbox, code, pageHeading, submit } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import type { Page } from "../../ui/Page.js"
import { seeOther } from "../../ui/Page.js"
import type { Ehr } from "../Ehr.js"
import { clientName } from "../Ehr.js"
import { account, action, inOwnFrame, page, Problem, show } from "../guards.js"
import type { Patient, Person } from "../record.js"
import { patientsOf } from "../record.js"
import { explain } from "../scopes.js"

type Request = SandboxEhr.ConsentRequest

const answered = new Problem({
  status: 410,
  title: "This request has ended",
  detail: "The request was answered or never existed. Go back to the app and start again."
})

const notChanged = ({ description }: SandboxEhr.SandboxError) =>
  new Problem({ status: 400, title: "That did not work", detail: description })

/** A source of a Content Security Policy: the response goes to the app by a redirect of this page's form. */
const originOf = (redirectUri: string): string => {
  const { origin, protocol } = new URL(redirectUri)
  return origin === "null" ? protocol : origin
}

const scopeChoice = (scope: string, index: number, person: Person, chosen: ReadonlySet<string>): Html => {
  const { caution, detail, title } = explain(scope, person.ownRecord === undefined ? "clinician" : "patient")
  return checkbox({
    id: `scope-${index}`,
    name: "scope",
    value: scope,
    label: html`${title} ${caution !== undefined && badge(caution, "warning")}`,
    detail: html`${detail} ${code(scope)}`,
    checked: chosen.has(scope)
  })
}

const patientChoice = (patients: ReadonlyArray<Patient>, chosen: string | undefined): Html =>
  html`<fieldset><legend class="visually-hidden">Patient</legend>${
    patients.map(({ birthDate, id, name }) =>
      checkbox({
        id: `patient-${id}`,
        name: "patient",
        value: id,
        type: "radio",
        label: name,
        detail: `Born ${birthDate ?? "unknown"}`,
        checked: id === chosen
      })
    )
  }</fieldset>`

const about = (ehr: Ehr, request: Request, person: Person): Html | false => {
  const patient = request.launch?.patient
  const name = patientsOf(ehr.resources, person).find(({ id }) => id === patient)?.name
  return name !== undefined && html`<p>It was opened for <strong>${name}</strong>.</p>`
}

/** The values of the form: the initial ones, or those that were sent. */
interface Filled {
  readonly scopes: ReadonlySet<string>
  readonly patient: string | undefined
  readonly problem?: string | undefined
}

const render = (ehr: Ehr, ticket: string, request: Request, person: Person, filled: Filled): Page => {
  const name = clientName(request.client)
  const unavailable = request.scopes.filter((scope) => !request.grantable.includes(scope))
  const patients = patientsOf(ehr.resources, person)
  const asksPatient = request.needsPatient && person.ownRecord === undefined
  return {
    title: `${name} requests access`,
    focused: true,
    status: filled.problem === undefined ? 200 : 400,
    policy: { framedBy: inOwnFrame, openedByApps: true, formAction: [originOf(request.redirectUri)] },
    main: html`${
      pageHeading(`${name} requests access`, {
        lead: `You decide as ${person.name}. The app gets only the selected permissions.`
      })
    }
${filled.problem !== undefined && banner("bad", filled.problem, undefined, { live: true })}
<form method="post" action="/consent" class="stack">
<input type="hidden" name="ticket" value="${ticket}">
${
      card(
        "Permissions",
        html`${about(ehr, request, person)}<fieldset><legend class="visually-hidden">Permissions</legend>${
          request.grantable.map((scope, index) => scopeChoice(scope, index, person, filled.scopes))
        }</fieldset>
${request.grantable.length === 0 && html`<p class="empty">This EHR cannot grant any of the requested scopes.</p>`}${
          unavailable.length > 0 &&
          html`<p><small>Requested, and not supported here: ${
            unavailable.map((scope) => html`${code(scope)} `)
          }</small></p>`
        }`
      )
    }
${asksPatient && card("Patient", patientChoice(patients, filled.patient))}
${
      request.needsPatient && person.ownRecord !== undefined &&
      html`<p>The access is to your own record.</p>`
    }
<p>After your decision you return to <code>${
      originOf(request.redirectUri)
    }</code>. You can revoke access at any time under “Apps with access”.</p>
<div class="actions">${submit("Allow", { name: "decision", value: "allow" })}${
      submit("Deny", { kind: "secondary", name: "decision", value: "deny" })
    }</div>
</form>`
  }
}

/** Without `openid`, `fhirUser` says nothing. */
const consistent = (scopes: ReadonlyArray<string>): ReadonlyArray<string> =>
  scopes.includes("openid") ? scopes : scopes.filter((scope) => scope !== "fhirUser")

/** The patient of the access: that of the launch, the user's own record, or the chosen one. */
const patientFor = (
  request: Request,
  person: Person,
  chosen: string | undefined
): Effect.Effect<string | undefined, Problem> => {
  const launched = request.launch?.patient
  if (person.ownRecord !== undefined && launched !== undefined && launched !== person.ownRecord) {
    return new Problem({
      status: 403,
      title: "Not your record",
      detail: "The app was opened for another patient. Sign in as a clinician, or start it from your own record."
    })
  }
  return Effect.succeed(launched ?? (request.needsPatient ? person.ownRecord ?? chosen : undefined))
}

const returnTo = (ticket: string): string => `/consent?${new URLSearchParams({ ticket }).toString()}`

/** The page, and its form. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/consent", ({ person, query }) =>
    Effect.gen(function*() {
      const ticket = query.get("ticket") ?? ""
      const request = yield* Effect.mapError(ehr.sandbox.consent(ticket), () => answered)
      yield* patientFor(request, person, undefined)
      return render(ehr, ticket, request, person, {
        scopes: new Set(request.grantable),
        patient: patientsOf(ehr.resources, person)[0]?.id
      })
    })),
  action(
    ehr,
    "/consent",
    (form, person) =>
      Effect.gen(function*() {
        const ticket = form.get("ticket") ?? ""
        const request = yield* Effect.option(ehr.sandbox.consent(ticket))
        if (request._tag === "None") {
          // The second of two clicks redirects to the same URL as the first.
          return seeOther((yield* Effect.mapError(ehr.sandbox.decide(ticket, "deny"), () => answered)).href)
        }
        if (form.get("decision") !== "allow") {
          return seeOther((yield* Effect.mapError(ehr.sandbox.decide(ticket, "deny"), notChanged)).href)
        }
        const chosen = form.getAll("scope")
        const patientChosen = form.get("patient") ?? undefined
        const patient = yield* patientFor(request.value, person, patientChosen)
        const scopes = consistent(request.value.grantable.filter((scope) => chosen.includes(scope)))
        const problem = scopes.length === 0
          ? "Select at least one permission, or deny."
          : request.value.needsPatient && patient === undefined
          ? "Choose a patient."
          : undefined
        if (problem !== undefined) {
          const asked = render(ehr, ticket, request.value, person, {
            scopes: new Set(chosen),
            patient: patientChosen,
            problem
          })
          return show(ehr, { ...asked, account: account(person) })
        }
        const target = yield* Effect.mapError(
          ehr.sandbox.decide(ticket, { user: person.reference, patient, scopes }),
          notChanged
        )
        return seeOther(target.href)
      }),
    (form) => returnTo(form.get("ticket") ?? "")
  )
]
