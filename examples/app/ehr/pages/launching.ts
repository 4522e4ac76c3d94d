/** The form that launches an app for a patient: which app, and where it opens. */
import { select, submit } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import type { Ehr } from "../Ehr.js"
import type { Patient } from "../record.js"

/** Where an app opens. */
export type Place = "tab" | "here" | "chart"

/** Names the app if there is only one. */
export const launchTitle = ({ apps: [first, ...others] }: Ehr): string =>
  first === undefined || others.length > 0 ? "Launch an app" : `Launch ${first.name}`

/** A list of apps to choose from, and a button for each place. */
export const launchForm = (ehr: Ehr, patient: Patient, options: {
  readonly app?: string | undefined
  readonly encounter?: string | undefined
  readonly places: ReadonlyArray<Place>
}): Html => {
  const labels: Readonly<Record<Place, string>> = { chart: "In the chart", tab: "New tab", here: "This tab" }
  const about = `${ehr.apps.length === 1 ? ehr.apps[0]?.name ?? "" : "the app"} for ${patient.name}`
  return html`<form method="post" action="/launch" class="launch small">
<input type="hidden" name="patient" value="${patient.id}">
${options.encounter !== undefined && html`<input type="hidden" name="encounter" value="${options.encounter}">`}
${
    ehr.apps.length === 1
      ? html`<input type="hidden" name="app" value="${ehr.apps[0]?.id ?? ""}">`
      : select({
        id: `app-${patient.id}`,
        name: "app",
        label: html`App<span class="visually-hidden"> for ${patient.name}</span>`,
        choices: ehr.apps.map(({ id, name }) => ({ value: id, label: name })),
        selected: options.app
      })
  }
<div class="actions">${
    options.places.map((place) =>
      submit(labels[place], {
        kind: place === options.places[0] ? "primary" : "secondary",
        name: "place",
        value: place,
        describes: `: ${about}`,
        newTab: place === "tab"
      })
    )
  }</div></form>`
}
