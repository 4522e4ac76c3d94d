/**
 * The record of the patient in context, read from FHIR with the session's token. Parts that the granted scopes do not
 * cover show a message.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { FhirClient, type FhirError, type Sessions } from "effect-safire"
import { CurrentSession, Problem } from "effect-safire/web"
import { badge, banner, buttonLink, card, keyValues, pageHeading, table } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import * as Fhir from "../chart/Fhir.js"
import { flagBadge, plot } from "../chart/Plot.js"
import * as Vitals from "../chart/Vitals.js"
import { day } from "../format.js"
import { Hospitals } from "../Hospitals.js"
import { Layout, PATHS } from "../Layout.js"
import { account, sections } from "./Session.js"

/** The limit of one page. */
const MAX_RESULTS = 300

interface Found<A> {
  readonly read: ReadonlyArray<A>
  readonly unreadable: number
  readonly isCutOff: boolean
}

type Part<A> = Either.Either<Found<A>, FhirError>

/** Errors after which the session cannot continue. */
const endsSession = (error: FhirError): boolean => error.reason === "Unauthorized"

const WHY: Partial<Record<FhirError["reason"], string>> = {
  Forbidden: "The granted scopes do not cover this data.",
  NotFound: "This hospital's server does not support this data.",
  NotSupported: "This hospital's server does not support this data.",
  Refused: "The hospital's server rejected the search."
}

const missing = (error: FhirError): Html =>
  banner(
    error.reason === "Forbidden" ? "info" : "warning",
    WHY[error.reason] ??
      (Problem.kindOf(error) === "ServerUnavailable"
        ? "The hospital's server is not responding. Reload the page in a minute."
        : "The hospital's server sent an invalid response."),
    html`<p>${badge(error._tag)} ${badge(error.reason)}</p>`
  )

const part = <A>(title: string, id: string, found: Part<A>, show: (read: ReadonlyArray<A>) => Child): Html =>
  card(
    title,
    Either.isLeft(found) ? missing(found.left) : html`${show(found.right.read)}
${
      found.right.unreadable > 0 &&
      banner("warning", `${found.right.unreadable} could not be read and are not shown`)
    }
${found.right.isCutOff && banner("info", `Only the first ${MAX_RESULTS} are shown`)}`,
    { id }
  )

const status = (text: string | undefined): Child =>
  text === undefined ? "" : badge(text, text === "active" ? "info" : "neutral")

const conditions = (read: ReadonlyArray<Fhir.Condition>): Html =>
  table({
    caption: "Problems",
    captionHidden: true,
    columns: ["Problem", "Status", "Since"],
    rows: read.map(({ clinicalStatus, code, onsetDateTime, recordedDate }) => {
      const since = onsetDateTime ?? recordedDate
      return [
        Fhir.conceptText(code) ?? "unnamed",
        status(Fhir.conceptText(clinicalStatus)),
        since === undefined ? "" : day(since)
      ]
    }),
    empty: "None on record."
  })

const medications = (read: ReadonlyArray<Fhir.MedicationRequest>): Html =>
  table({
    caption: "Medications",
    captionHidden: true,
    columns: ["Medication", "Dosage", "Status"],
    rows: read.map((request) => [
      Fhir.conceptText(request.medicationCodeableConcept) ?? request.medicationReference?.display ?? "unnamed",
      request.dosageInstruction?.flatMap(({ text }) => text ?? []).join("; ") ?? "",
      status(request.status)
    ]),
    empty: "None on record."
  })

const ADULT_AGE = 18

/** The most critical first. */
const CRITICALITIES = ["high", "unable-to-assess", undefined, "low"]

const allergies = (read: ReadonlyArray<Fhir.AllergyIntolerance>): Html =>
  table({
    caption: "Allergies",
    captionHidden: true,
    columns: ["Allergy", "Criticality", "Reaction", "Status"],
    rows: [...read]
      .sort((a, b) => CRITICALITIES.indexOf(a.criticality) - CRITICALITIES.indexOf(b.criticality))
      .map(({ clinicalStatus, code, criticality, note, reaction }) => {
        const manifestations = reaction?.flatMap(({ manifestation }) => manifestation ?? []) ?? []
        const reactions = manifestations.flatMap((one) => Fhir.conceptText(one) ?? []).join(", ")
        const notes = note?.flatMap(({ text }) => text ?? []).join(" ") ?? ""
        return [
          Fhir.conceptText(code) ?? "unnamed",
          criticality === undefined ? "" : badge(criticality, criticality === "high" ? "bad" : "neutral"),
          reactions === "" && notes === "" ? "" : html`${reactions}${notes !== "" && html` <small>${notes}</small>`}`,
          status(Fhir.conceptText(clinicalStatus))
        ]
      }),
    empty: "None on record, which is not the same as none."
  })

const vitals = (isAdult: boolean) => (read: ReadonlyArray<Fhir.Observation>): Html => {
  const found = Vitals.of(read, { isAdult })
  return found.length === 0
    ? html`<p class="empty">None on record.</p>`
    : html`<div class="vitals">${found.map(plot)}</div>`
}

const others = (read: ReadonlyArray<Fhir.Observation>): Html =>
  table({
    caption: "Other observations",
    captionHidden: true,
    columns: ["Observation", "Value", "Reference range", "Date"],
    rows: read.filter((observation) => !Vitals.isPlotted(observation)).map((observation) => {
      const range = Fhir.rangeOf(observation)
      return [
        Fhir.conceptText(observation.code) ?? "unnamed",
        html`${
          Fhir.valueText(observation) ?? observation.component?.map((one) =>
            `${Fhir.conceptText(one.code) ?? ""} ${Fhir.valueText(one) ?? ""}`.trim()
          ).join(", ") ?? ""
        } ${flagBadge(Fhir.flagOf(observation))}`,
        range === undefined ? "" : Fhir.rangeText(range),
        day(Fhir.dateOf(observation))
      ]
    }),
    empty: "None beside the vital signs."
  })

const patientBanner = (patient: Fhir.Patient, id: string, today: string): Html => {
  const age = Fhir.ageOf(patient, today)
  const number = patient.identifier?.find(({ value }) => value !== undefined)?.value ?? id
  return html`<section class="patient-banner" aria-label="Patient"><strong>${Fhir.nameOf(patient)}</strong>
<span>born ${day(patient.birthDate)}${age !== undefined && ` (${age} years)`}</span>
<span>${patient.gender ?? "gender not on record"}</span>
<span>number <code>${number}</code></span>${
    (patient.deceasedBoolean === true || patient.deceasedDateTime !== undefined) && badge("deceased", "bad")
  }</section>`
}

const demographics = (patient: Fhir.Patient, id: string): Html =>
  card(
    "Demographics",
    keyValues([
      ["Name", Fhir.nameOf(patient)],
      ["Born", day(patient.birthDate)],
      ["Gender", patient.gender ?? "not on record"],
      ["Id", html`<code>${id}</code>`],
      [
        "Identifiers",
        patient.identifier?.map(({ system, value }) =>
          html`<code>${value ?? "?"}</code> <small>${system ?? ""}</small> `
        )
      ]
    ]),
    { id: "demographics" }
  )

const without = (session: CurrentSession.Service, hospital: string) => ({
  title: "No patient",
  account: account(session, hospital),
  main: html`${sections(session, "chart")}
${
    pageHeading("This launch has no patient", {
      lead: html`Request <code>launch/patient</code>, or start the app from a patient's record in the hospital's EHR.`
    })
  }
<p>${buttonLink(PATHS.server(session.stored.server), "Choose scopes and log in again", "primary")}</p>`
})

const page = Effect.gen(function*() {
  const session = yield* CurrentSession.CurrentSession
  const layout = yield* Layout
  const hospital = yield* (yield* Hospitals).nameOf(session.stored.server)
  const { context } = session.stored.tokens
  const id = context.patient
  if (id === undefined) return layout.page(without(session, hospital))

  const fhir = (yield* FhirClient.FhirClient).forSession(session.id)

  /** A failed part does not affect the others. */
  const partial = <A, E, R>(effect: Effect.Effect<A, E | FhirError, R>) =>
    effect.pipe(
      Effect.map((found) => Either.right(found)),
      Effect.catchIf(
        (error): error is FhirError =>
          typeof error === "object" && error !== null && "_tag" in error && error._tag === "FhirError",
        (error) => endsSession(error) ? Effect.fail(error) : Effect.succeed(Either.left(error))
      )
    )
  const search = <A, I>(
    resourceType: string,
    schema: Schema.Schema<A, I>,
    params: Readonly<Record<string, string>> = {}
  ) =>
    fhir.search(resourceType, { patient: id, ...params, _count: 100 }).pipe(
      Stream.take(MAX_RESULTS + 1),
      Stream.runCollect,
      Effect.map((found) => ({
        ...Fhir.readAll(schema)(Chunk.toReadonlyArray(Chunk.take(found, MAX_RESULTS))),
        isCutOff: found.length > MAX_RESULTS
      })),
      partial
    )

  const found = yield* Effect.all({
    patient: partial(fhir.read("Patient", id, { schema: Fhir.Patient })),
    conditions: search("Condition", Fhir.Condition),
    medications: search("MedicationRequest", Fhir.MedicationRequest),
    allergies: search("AllergyIntolerance", Fhir.AllergyIntolerance),
    observations: search("Observation", Fhir.Observation)
  }, { concurrency: "unbounded" })

  const today = DateTime.formatIsoDateUtc(yield* DateTime.now)
  const patient = found.patient
  const name = Either.isRight(patient) ? Fhir.nameOf(patient.right) : "the patient"
  // An EHR that shows the patient itself sends need_patient_banner: false.
  const showsBanner = context.needPatientBanner !== false
  const age = Either.isRight(patient) ? Fhir.ageOf(patient.right, today) : undefined
  return layout.page({
    title: Either.isRight(patient) ? name : "Chart",
    account: account(session, hospital),
    main: html`${sections(session, "chart")}
${Either.isRight(patient) && showsBanner && patientBanner(patient.right, id, today)}
${pageHeading(`Chart of ${name}`, { lead: `Read from ${hospital}.` })}
${part("Allergies", "allergies", found.allergies, allergies)}
<div class="columns">${part("Medications", "medications", found.medications, medications)}${
      part("Problems", "problems", found.conditions, conditions)
    }</div>
${part("Vital signs", "vital-signs", found.observations, vitals(age === undefined || age >= ADULT_AGE))}
<div class="columns">${part("Other observations", "observations", found.observations, others)}${
      Either.isRight(patient)
        ? demographics(patient.right, id)
        : card("Demographics", missing(patient.left), { id: "demographics" })
    }</div>`
  })
})

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<FhirClient.FhirClient | Hospitals | Layout | Sessions.Sessions>(),
    (services) => [HttpLayerRouter.route("GET", "/sessions/:session/chart", Effect.provide(page, services))]
  )
).pipe(Layer.provide(CurrentSession.required.layer))
