/** A patient's record; with `?app=` in the address, that app runs in a frame on it. */
import * as Effect from "effect/Effect"
import { buttonLink, card, pageHeading, table } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import type { App, Ehr } from "../Ehr.js"
import { appOrigins, launchUrlOf } from "../Ehr.js"
import { page, Problem } from "../guards.js"
import type { Line, Patient, Person } from "../record.js"
import { dayOf, patientsOf, summaryOf } from "../record.js"
import { launchForm, launchTitle } from "./launching.js"
import { chartPath } from "./Patients.js"

const allergyText = ({ what, value }: Line): string => value === undefined ? what : `${what} (${value})`

const patientBanner = ({ birthDate, gender, id, name }: Patient, allergies: ReadonlyArray<Line>): Html =>
  html`<section class="patient-banner" aria-label="Patient"><strong>${name}</strong><span>Born ${
    birthDate ?? "unknown"
  }</span><span>Gender ${gender ?? "unknown"}</span><span>Record ${id}</span><span>Allergies: ${
    allergies.length === 0 ? "none on record" : allergies.map(allergyText).join(", ")
  }</span></section>`

/** The columns of a list. */
const VALUES: Readonly<Record<string, string>> = { Allergies: "Criticality", Medications: "Dosage" }

const lines = (title: string, all: ReadonlyArray<Line>, empty: string): Html => {
  const hasValues = all.some(({ value }) => value !== undefined)
  const hasDates = all.some(({ date }) => date !== undefined)
  return card(
    title,
    table({
      caption: title,
      captionHidden: true,
      columns: ["What", ...(hasValues ? [VALUES[title] ?? "Value"] : []), ...(hasDates ? ["Date"] : [])],
      empty,
      rows: all.map(({ date, value, what }) => [
        what,
        ...(hasValues ? [value ?? ""] : []),
        ...(hasDates ? [html`<span class="nowrap">${dayOf(date)}</span>`] : [])
      ])
    })
  )
}

const record = (ehr: Ehr, patient: Patient) => {
  const { allergies, conditions, medications, observations, visits } = summaryOf(ehr.resources, patient.id)
  return {
    title: patient.name,
    current: "/",
    policy: { formAction: appOrigins(ehr) },
    main: html`${pageHeading("Record", { lead: html`<a href="/">All records</a>` })}
${patientBanner(patient, allergies)}
${
      ehr.apps.length > 0 && card(
        launchTitle(ehr),
        html`<p>${ehr.apps.length === 1 ? ehr.apps[0]?.name : "The app"} opens for this patient${
          visits[0] !== undefined && `, at the visit of ${dayOf(visits[0].date)}`
        }.</p>${launchForm(ehr, patient, { encounter: visits[0]?.id, places: ["chart", "tab", "here"] })}`
      )
    }
<div class="columns">
<div class="stack">${lines("Allergies", allergies, "Nothing recorded.")}
${lines("Conditions", conditions, "Nothing recorded.")}
${lines("Medications", medications, "Nothing recorded.")}</div>
<div class="stack">${lines("Latest observations", observations, "Nothing recorded.")}
${lines("Visits", visits, "Nothing recorded.")}</div>
</div>`
  }
}

const framed = (ehr: Ehr, patient: Patient, person: Person, app: App) =>
  Effect.map(
    Effect.orDie(ehr.sandbox.launch({
      patient: patient.id,
      encounter: summaryOf(ehr.resources, patient.id).visits[0]?.id,
      user: person.reference,
      // The EHR shows the patient above the frame.
      needPatientBanner: false
    })),
    (launch) => ({
      title: `${app.name} for ${patient.name}`,
      current: "/",
      // The app sends the frame to this site's consent page and back.
      policy: { frames: ["'self'", new URL(app.launchUrl).origin], formAction: appOrigins(ehr) },
      main: html`${
        pageHeading(app.name, {
          lead: html`<a href="${chartPath(patient.id)}">Back to the record</a>`,
          actions: launchForm(ehr, patient, { app: app.id, places: ["tab"] })
        })
      }
${patientBanner(patient, summaryOf(ehr.resources, patient.id).allergies)}
<iframe class="chart-frame" title="${app.name}" src="${launchUrlOf(app, launch)}" referrerpolicy="no-referrer"></iframe>
<p>${buttonLink(chartPath(patient.id, app.id), "Launch again")}</p>`
    })
  )

/** The record. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/chart/:id", ({ param, person, query }) =>
    Effect.gen(function*() {
      const patient = patientsOf(ehr.resources, person).find(({ id }) => id === param)
      if (patient === undefined) {
        return yield* new Problem({
          status: 404,
          title: "No such record",
          detail: person.ownRecord === undefined
            ? "No patient has this id."
            : "You can open your own record only."
        })
      }
      const wanted = query.get("app")
      if (wanted === null) return record(ehr, patient)
      const app = ehr.apps.find(({ id }) => id === wanted)
      return app === undefined
        ? yield* new Problem({
          status: 404,
          title: "No such app",
          detail: "Choose one of the apps in the patient list."
        })
        : yield* framed(ehr, patient, person, app)
    }))
]
