/** A token for the app itself, and the patients it can read with it (SMART Backend Services). */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { BackendServices, FhirClient } from "effect-safire"
import { badge, banner, card, keyValues, pageHeading, select, submit, table } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import * as Fhir from "../chart/Fhir.js"
import { day, duration } from "../format.js"
import { query } from "../forms.js"
import type { Hospital } from "../Hospital.js"
import { kindName } from "../Hospital.js"
import { Hospitals } from "../Hospitals.js"
import { Layout, PATHS } from "../Layout.js"

const MAX_RESULTS = 100

const readPatients = (server: string, scopes: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const backend = yield* BackendServices.BackendServices
    const fhir = (yield* FhirClient.FhirClient).forBackend({ server, scopes })
    const found = yield* fhir.search("Patient", { _count: MAX_RESULTS }).pipe(
      Stream.take(MAX_RESULTS),
      Stream.runCollect
    )
    // After the search, so that it is the token of the search.
    const tokens = yield* backend.tokens({ server, scopes })
    return { tokens, patients: Fhir.readAll(Fhir.Patient)(Chunk.toReadonlyArray(found)) }
  })

const result = (hospital: Hospital, scopes: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const found = yield* Effect.either(readPatients(hospital.key, scopes))
    const now = yield* DateTime.now
    if (Either.isLeft(found)) {
      const { _tag, message, reason } = found.left
      return banner(
        "bad",
        `${hospital.name} did not respond with the patients`,
        html`<p>${message}</p><p>${badge(_tag, "bad")} ${badge(reason, "bad")}</p>`,
        { live: true }
      )
    }
    const { patients, tokens } = found.right
    return html`${
      card(
        "The token",
        keyValues([
          ["Client type", kindName(hospital)],
          ["Granted", html`<code>${tokens.scopes.join(" ")}</code>`],
          [
            "Expires in",
            tokens.expiresAt === undefined ? "not declared" : duration(DateTime.distance(now, tokens.expiresAt))
          ],
          ["Kept", "until shortly before it expires; reloading this page requests no new token"]
        ])
      )
    }
${
      card(
        "Patients",
        html`${
          table({
            caption: `Patients of ${hospital.name}`,
            captionHidden: true,
            columns: ["Name", "Born", "Gender"],
            rows: patients.read.map((patient) => [Fhir.nameOf(patient), day(patient.birthDate), patient.gender ?? ""]),
            empty: "None."
          })
        }${patients.unreadable > 0 && banner("warning", `${patients.unreadable} could not be read`)}`
      )
    }`
  })

const page = Effect.gen(function*() {
  const layout = yield* Layout
  const all = yield* (yield* Hospitals).all
  const able = all.flatMap((hospital) =>
    hospital.backendScopes === undefined ? [] : [{ hospital, scopes: hospital.backendScopes }]
  )
  const asked = (yield* query).get("server")
  const chosen = able.find(({ hospital }) => hospital.key === asked)
  const nothing: Html = asked === null || chosen !== undefined
    ? html``
    : banner("warning", "The app is not registered as a backend service there", undefined, { live: true })
  return layout.page({
    title: "Backend services",
    current: PATHS.backend,
    main: html`${
      pageHeading("Backend services", {
        lead:
          "Some work runs without a user, for example at night. The app logs in with its own credentials and reads the data that the hospital permits."
      })
    }
${
      card(
        "Read the list of patients",
        html`<form method="get" action="${PATHS.backend}">${
          select({
            id: "server",
            name: "server",
            label: "Hospital",
            choices: able.map(({ hospital }) => ({
              value: hospital.key,
              label: `${hospital.name}: ${kindName(hospital)}`
            })),
            selected: chosen?.hospital.key
          })
        }${submit("Read")}</form>`
      )
    }
${chosen === undefined ? nothing : yield* result(chosen.hospital, chosen.scopes)}
${
      card(
        "The steps",
        html`<ol class="plain">
<li>The app reads the metadata of the server, once for all its requests.</li>
<li>It requests a token with its own credential. A key signs an assertion; a secret is sent as it is.</li>
<li>It reads the patients with the token. It keeps the token until shortly before its expiry.</li>
</ol>
<p>The <a href="${PATHS.log}">event log</a> shows these steps with their durations.</p>`
      )
    }`
  })
})

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<BackendServices.BackendServices | FhirClient.FhirClient | Hospitals | Layout>(),
    (services) => [HttpLayerRouter.route("GET", "/backend", Effect.provide(page, services))]
  )
)
