/** The start page: every hospital, whether it answers, and the sessions that are open in this browser. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { DiscoveryError } from "effect-safire"
import { RetryPolicy, SmartServers } from "effect-safire"
import { CurrentSession } from "effect-safire/web"
import { badge, banner, buttonLink, card, keyValues, pageHeading, table } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { moment } from "../../ui/moment.js"
import type { Hospital } from "../Hospital.js"
import { kindName } from "../Hospital.js"
import { Hospitals } from "../Hospitals.js"
import { Look, PATHS } from "../Look.js"
import { duration } from "../words.js"

type State = "answers" | "slow" | DiscoveryError

const stateBadge = (state: State): Html => {
  switch (state) {
    case "answers":
      return badge("answers", "good")
    case "slow":
      return badge("has not answered yet", "warning")
    default:
      return badge(`does not answer: ${state.reason}`, "bad")
  }
}

const hospitalCard = (hospital: Hospital, state: State): Html =>
  card(
    hospital.name,
    html`<p>${hospital.about}</p>
${
      keyValues([
        ["FHIR base", html`<code>${hospital.server.fhirBaseUrl}</code>`],
        ["Client type", kindName(hospital)],
        ["Client id", html`<code>${hospital.server.clientId}</code>`]
      ])
    }
<p class="actions">${
      buttonLink(
        PATHS.launch(hospital.key),
        html`Log in<span class="visually-hidden"> at ${hospital.name}</span>`,
        state === "answers" ? "primary" : "secondary"
      )
    } ${
      buttonLink(
        PATHS.server(hospital.key),
        html`Look inside<span class="visually-hidden"> ${hospital.name}</span>`
      )
    } ${
      hospital.ehrUrl !== undefined && state === "answers" && buttonLink(
        hospital.ehrUrl,
        html`EHR<span class="visually-hidden"> of ${hospital.name}</span>`,
        "quiet"
      )
    }</p>`,
    { id: `hospital-${hospital.key}`, aside: stateBadge(state) }
  )

const openTable = Effect.gen(function*() {
  const hospitals = yield* Hospitals
  const open = yield* CurrentSession.BrowserSessions
  const now = yield* DateTime.now
  const rows = yield* Effect.forEach(
    open,
    ({ handle, stored: { createdAt, server, tokens } }) =>
      Effect.map(hospitals.nameOf(server), (name) => [
        html`<a href="${PATHS.session(handle)}">${name}</a>`,
        tokens.context.patient === undefined
          ? "no patient"
          : html`<a href="${
            PATHS.chart(handle)
          }">Chart<span class="visually-hidden"> of</span> <code>${tokens.context.patient}</code></a>`,
        moment(createdAt),
        tokens.expiresAt === undefined
          ? "until it is refused"
          : DateTime.lessThan(tokens.expiresAt, now)
          ? "over; renewed when needed"
          : duration(DateTime.distance(now, tokens.expiresAt))
      ])
  )
  return rows.length === 0 ? html`` : card(
    "Open in this browser",
    table({
      caption: "Sessions of this browser",
      captionHidden: true,
      columns: ["Hospital", "Record", "Since", "Token good for"],
      rows,
      empty: ""
    })
  )
})

const page = Effect.gen(function*() {
  const look = yield* Look
  const servers = yield* SmartServers.SmartServers
  const hospitals = yield* (yield* Hospitals).all
  const cards = yield* Effect.forEach(hospitals, (hospital) =>
    servers.client(hospital.key).pipe(
      Effect.flatMap(({ configuration }) => configuration),
      // A page that says whether somebody answers does not wait for those who do not.
      RetryPolicy.withPolicy(RetryPolicy.none),
      Effect.timeoutOption("2 seconds"),
      Effect.map((found): State => Option.isSome(found) ? "answers" : "slow"),
      Effect.catchTags({
        DiscoveryError: (error) => Effect.succeed<State>(error),
        // Its registration was taken back a moment ago.
        UnknownServerError: () => Effect.succeed<State>("slow")
      }),
      Effect.map((state) => hospitalCard(hospital, state))
    ), { concurrency: "unbounded" })
  return look.page({
    title: "Hospitals",
    current: PATHS.home,
    main: html`${
      pageHeading("Hospitals", {
        lead:
          "One app, registered at each of them in another way. Log in here, or start it from a patient's record in the hospital's own system."
      })
    }
${
      banner(
        "info",
        "This is a demonstration",
        "Hospitals, patients and people are made up and run on this computer alone."
      )
    }
${yield* openTable}
<div class="columns hospitals">${cards}</div>`
  })
})

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Hospitals | Look | SmartServers.SmartServers>(),
    (services) => [HttpLayerRouter.route("GET", "/", Effect.provide(page, services))]
  )
).pipe(Layer.provide(CurrentSession.every.layer))
