/** The patient list, and the button that launches an app. */
import * as Effect from "effect/Effect"
import { banner, pageHeading, table } from "../../ui/Components.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import type { Ehr } from "../Ehr.js"
import { appOrigins, launchUrlOf } from "../Ehr.js"
import { action, page, Problem } from "../guards.js"
import { dayOf, patientsOf, summaryOf } from "../record.js"
import { launchForm, launchTitle } from "./launching.js"

/** The address of a patient's record. */
export const chartPath = (patient: string, app?: string): string =>
  `/chart/${encodeURIComponent(patient)}${app === undefined ? "" : `?${new URLSearchParams({ app }).toString()}`}`

/** The list, and the launch. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/", ({ person }) => {
    const patients = patientsOf(ehr.resources, person)
    const own = person.ownRecord !== undefined
    return Effect.succeed({
      title: own ? "My record" : "Patients",
      current: "/",
      policy: { formAction: appOrigins(ehr) },
      main: html`${
        pageHeading(own ? "My record" : "Patients", {
          lead: own
            ? "Open your record, or launch an app that works with it."
            : "Open a record, or launch an app with a patient in context."
        })
      }
${ehr.apps.length === 0 && banner("warning", "No app can be launched.", "This EHR has no apps.")}
<div class="card">${
        table({
          caption: own ? "My record" : "Patients",
          captionHidden: true,
          columns: ["Name", "Born", "Gender", "Last visit", ...(ehr.apps.length === 0 ? [] : [launchTitle(ehr)])],
          empty: "No patients.",
          rows: patients.map((patient) => [
            html`<a href="${chartPath(patient.id)}">${patient.name}</a>`,
            html`<span class="nowrap">${patient.birthDate ?? "unknown"}</span>`,
            patient.gender ?? "unknown",
            html`<span class="nowrap">${dayOf(summaryOf(ehr.resources, patient.id).visits[0]?.date)}</span>`,
            ...(ehr.apps.length === 0 ? [] : [launchForm(ehr, patient, { places: ["chart", "tab", "here"] })])
          ])
        })
      }</div>`
    })
  }),
  action(ehr, "/launch", (form, person) =>
    Effect.gen(function*() {
      const app = ehr.apps.find(({ id }) => id === form.get("app"))
      if (app === undefined) {
        return yield* new Problem({
          status: 400,
          title: "No such app",
          detail: "Choose one of the apps in the patient list."
        })
      }
      const patient = patientsOf(ehr.resources, person).find(({ id }) => id === form.get("patient"))
      if (patient === undefined) {
        return yield* new Problem({
          status: 404,
          title: "No such patient",
          detail: "Choose one of the patients in the list."
        })
      }
      if (form.get("place") === "chart") return seeOther(chartPath(patient.id, app.id))
      const launch = yield* ehr.sandbox.launch({
        patient: patient.id,
        encounter: form.get("encounter") ?? undefined,
        user: person.reference
      }).pipe(
        Effect.mapError(({ description }) => new Problem({ status: 400, title: "Not launched", detail: description }))
      )
      return seeOther(launchUrlOf(app, launch))
    }), () => "/")
]
