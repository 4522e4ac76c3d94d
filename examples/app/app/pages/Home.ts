/** The start page: the hospitals, whether their servers respond, and the sessions of this browser. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { DiscoveryError } from "effect-safire"
import { RetryPolicy, SmartServers } from "effect-safire"
import { CurrentSession } from "effect-safire/web"
import { badge, buttonLink, card, code, keyValues, pageHeading, table } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { time } from "../../ui/time.js"
import { duration } from "../format.js"
import type { Hospital } from "../Hospital.js"
import { kindName } from "../Hospital.js"
import { Hospitals } from "../Hospitals.js"
import { Layout, PATHS } from "../Layout.js"

type State = "answers" | "slow" | DiscoveryError

const stateBadge = (state: State): Html => {
  switch (state) {
    case "answers":
      return badge("answers", "good")
    case "slow":
      return badge("no response yet", "warning")
    default:
      return badge(`unavailable: ${state.reason}`, "bad")
  }
}

const hospitalCard = (hospital: Hospital, state: State): Html =>
  card(
    hospital.name,
    html`<p>${hospital.about}</p>
${
      keyValues([
        ["FHIR base", code(hospital.server.fhirBaseUrl)],
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
        html`Details<span class="visually-hidden"> ${hospital.name}</span>`
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

type Open = Effect.Effect.Success<typeof CurrentSession.BrowserSessions>[number]

interface Stop {
  readonly title: string
  readonly text: Child
  readonly link: Html
  /** Unknown for a stop without a session. */
  readonly isDone?: boolean
}

/** The kinds of clients, a renewal, and a server in trouble. Hospitals that the app does not have are left out. */
const tour = (hospitals: ReadonlyArray<Hospital>, open: ReadonlyArray<Open>): Html => {
  const stop = (key: string, title: string, text: string): ReadonlyArray<Stop> =>
    hospitals.filter((hospital) => hospital.key === key).map(({ name }) => ({
      title,
      text,
      link: buttonLink(PATHS.launch(key), `Start at ${name}`),
      isDone: open.some(({ stored }) => stored.server === key)
    }))
  const [latest] = open
  const [north] = hospitals
  const stops: ReadonlyArray<Stop> = [
    ...stop("north", "A public app", "It has no credential. PKCE binds the login to the app."),
    ...stop("south", "An app with a secret", "It sends the secret with each token request."),
    ...stop("east", "An app with a key", "It signs an assertion for each token request. Nothing secret is sent."),
    {
      title: "A renewal",
      text: "Open a session and renew its tokens. The event log shows each step.",
      link: latest === undefined
        ? html`<small>Log in first.</small>`
        : buttonLink(PATHS.session(latest.handle), "Open the latest session"),
      isDone: open.some(({ stored: { createdAt, tokens } }) => DateTime.distance(createdAt, tokens.receivedAt) > 1000)
    },
    {
      title: "A server in trouble",
      text: html`<a href="${
        PATHS.server("ferry")
      }">Ferry Practice</a> is down. Make another server fail on the page “Faults” of its EHR, then reload the chart.`,
      link: north?.ehrUrl === undefined
        ? html``
        : buttonLink(`${north.ehrUrl}faults`, html`Faults of ${north.name}`)
    }
  ]
  return card(
    "A tour in five steps",
    html`<ol class="tour">${
      stops.map(({ isDone, link, text, title }) =>
        html`<li><h3>${title} ${
          isDone === true && badge("done", "good")
        }</h3><p>${text}</p><p class="small">${link}</p></li>`
      )
    }</ol>`,
    { id: "tour" }
  )
}

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
        time(createdAt),
        tokens.expiresAt === undefined
          ? "unknown"
          : DateTime.lessThan(tokens.expiresAt, now)
          ? "expired; renewed when needed"
          : duration(DateTime.distance(now, tokens.expiresAt))
      ])
  )
  return rows.length === 0 ? html`` : card(
    "Sessions in this browser",
    table({
      caption: "Sessions of this browser",
      captionHidden: true,
      columns: ["Hospital", "Record", "Since", "Token expires in"],
      rows,
      empty: ""
    })
  )
})

const page = Effect.gen(function*() {
  const layout = yield* Layout
  const servers = yield* SmartServers.SmartServers
  const hospitals = yield* (yield* Hospitals).all
  const cards = yield* Effect.forEach(hospitals, (hospital) =>
    servers.client(hospital.key).pipe(
      Effect.flatMap(({ configuration }) => configuration),
      // The page does not wait for servers that do not respond.
      RetryPolicy.withPolicy(RetryPolicy.none),
      Effect.timeoutOption("2 seconds"),
      Effect.map((found): State => Option.isSome(found) ? "answers" : "slow"),
      Effect.catchTags({
        DiscoveryError: (error) => Effect.succeed<State>(error),
        // Its registration was removed during this request.
        UnknownServerError: () => Effect.succeed<State>("slow")
      }),
      Effect.map((state) => hospitalCard(hospital, state))
    ), { concurrency: "unbounded" })
  return layout.page({
    title: "Hospitals",
    current: PATHS.home,
    main: html`${
      pageHeading("Hospitals", {
        lead:
          "The app is registered at each hospital with another client type. Log in here, or start the app from a patient's record in the hospital's EHR. Hospitals, patients and users are synthetic and run on this computer only."
      })
    }
${tour(hospitals, yield* CurrentSession.BrowserSessions)}
${yield* openTable}
<div class="columns hospitals">${cards}</div>`
  })
})

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Hospitals | Layout | SmartServers.SmartServers>(),
    (services) => [HttpLayerRouter.route("GET", "/", Effect.provide(page, services))]
  )
).pipe(Layer.provide(CurrentSession.every.layer))
