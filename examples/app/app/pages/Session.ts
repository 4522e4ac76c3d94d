/** One session: who, which record, for how long, what was granted; and what can be done with it. No token is ever on a page. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { TokenSet } from "effect-safire"
import { ConfigurationError, Scopes, Sessions } from "effect-safire"
import { CurrentSession } from "effect-safire/web"
import {
  badge,
  banner,
  buttonLink,
  card,
  keyValues,
  pageHeading,
  postForm,
  submit,
  table
} from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { moment } from "../../ui/moment.js"
import { seeOther } from "../../ui/Page.js"
import { query, toTheEnd } from "../forms.js"
import { Hospitals } from "../Hospitals.js"
import { askedOf } from "../Launches.js"
import { Look, PATHS } from "../Look.js"
import { duration } from "../words.js"

const DONE: Readonly<Record<string, readonly [title: string, text: string]>> = {
  renewed: ["The tokens were renewed", "The refresh token was traded for new ones."],
  "revoked-access": [
    "The access token is revoked",
    "The server will refuse it. The next page that reads the record renews it first, without anybody noticing."
  ],
  "revoked-refresh": [
    "The refresh token is revoked",
    "With it the server ended all that this login had given. The next page that reads the record will say so."
  ]
}

const timeLeft = (tokens: TokenSet.TokenSet, now: DateTime.Utc): Child => {
  const until = tokens.expiresAt
  if (until === undefined) return "the server did not say; until it is refused"
  if (DateTime.lessThanOrEqualTo(until, now)) return html`${badge("over", "warning")} since ${moment(until)}`
  return html`<strong>${duration(DateTime.distance(now, until))}</strong>, until ${moment(until)}`
}

const tokensCard = (tokens: TokenSet.TokenSet, now: DateTime.Utc): Html =>
  card(
    "Tokens",
    html`${
      keyValues([
        ["Access token", html`${badge("held, not shown", "good")} received ${moment(tokens.receivedAt)}`],
        ["Time left", timeLeft(tokens, now)],
        [
          "Refresh token",
          tokens.refreshToken === undefined
            ? badge("none: when the time is over, only a new launch helps", "warning")
            : badge("held, not shown", "good")
        ],
        [
          "id_token",
          tokens.identity !== undefined
            ? badge("verified", "good")
            : tokens.idToken !== undefined
            ? badge("not verified", "bad")
            : badge("none", "neutral")
        ]
      ])
    }
<p><small>An access token is renewed by itself, some time before it expires.</small></p>`,
    { id: "tokens" }
  )

const contextCard = ({ context }: TokenSet.TokenSet): Html => {
  const entries: ReadonlyArray<readonly [string, Child]> = [
    ["Patient", context.patient],
    ["Encounter", context.encounter],
    ["Intent", context.intent],
    ["Tenant", context.tenant],
    [
      "Patient banner",
      context.needPatientBanner === undefined
        ? undefined
        : context.needPatientBanner
        ? "the app is to show who the patient is"
        : "the EHR shows who the patient is"
    ],
    ["Style", context.smartStyleUrl],
    [
      "More",
      context.fhirContext === undefined
        ? undefined
        : context.fhirContext.map(({ canonical, reference, role }) =>
          `${reference ?? canonical ?? "an identifier"} (${role})`
        )
          .join(", ")
    ]
  ]
  const given = entries.filter(([, value]) => value !== undefined)
  return card(
    "Launch context",
    given.length === 0 ? html`<p class="empty">The launch brought none.</p>` : keyValues(given),
    { id: "context" }
  )
}

/** Claims as JSON has them: a list of audiences, a number of seconds. Escaped like everything that a server says. */
const claimText = (name: string, value: unknown): Child => {
  if (name === "nonce") return "that of the launch"
  if (typeof value === "number" && ["exp", "iat", "auth_time"].includes(name)) return moment(value * 1000)
  return html`<code>${typeof value === "string" ? value : JSON.stringify(value)}</code>`
}

const identityCard = ({ identity }: TokenSet.TokenSet): Html =>
  card(
    "Who logged in",
    identity === undefined
      ? html`<p class="empty">Nobody says: <code>openid</code> was not granted, or the id_token could not be verified.</p>`
      : html`${
        keyValues([
          [
            "FHIR resource",
            identity.fhirUser === undefined
              ? "not said"
              : html`<code>${identity.fhirUser.resourceType}/${identity.fhirUser.id}</code>`
          ]
        ])
      }
${
        table({
          caption: "Claims of the id_token, verified",
          columns: ["Claim", "Value"],
          rows: Object.entries(Redacted.value(identity.claims)).map(([name, value]) => [
            html`<code>${name}</code>`,
            claimText(name, value)
          ]),
          empty: ""
        })
      }`,
    { id: "identity" }
  )

const scopesCard = ({ scopes }: TokenSet.TokenSet, appState: unknown): Html => {
  const asked = Option.getOrUndefined(askedOf(appState))
  const missing = asked === undefined ? [] : Scopes.missing(Scopes.parse(scopes), Scopes.parse(asked.scopes))
  return card(
    "Scopes",
    html`${
      table({
        caption: "Granted",
        columns: ["Scope", "Asked for"],
        rows: scopes.map((scope) => [
          html`<code>${scope}</code>`,
          asked === undefined || Scopes.covers(Scopes.parse(asked.scopes), Scopes.parse(scope)) || scope === "launch"
            ? "yes"
            : badge("no", "info")
        ]),
        empty: "None."
      })
    }
${
      missing.length > 0 && banner(
        "warning",
        "Asked for and not granted",
        html`<ul class="codes">${missing.map((scope) => html`<li><code>${Scopes.printScope(scope)}</code></li>`)}</ul>`
      )
    }`,
    { id: "scopes" }
  )
}

const actions = ({ handle, stored: { tokens } }: CurrentSession.Service): Html => {
  const at = PATHS.session(handle)
  return card(
    "What can be done",
    html`<div class="actions">${
      tokens.refreshToken !== undefined && postForm(`${at}/renewal`, submit("Renew the tokens", { kind: "secondary" }))
    }${buttonLink(`${at}/introspection`, "Ask the server what the token is")}${
      postForm(`${at}/revocation`, submit("Revoke the access token", { kind: "danger" }), { token: "access" })
    }${
      tokens.refreshToken !== undefined &&
      postForm(`${at}/revocation`, submit("Revoke the refresh token", { kind: "danger" }), { token: "refresh" })
    }</div>`,
    { id: "actions" }
  )
}

/** At the right of the header of every page of a session. */
export const account = (session: CurrentSession.Service, hospital: string): Html =>
  html`<span>${hospital}</span>${postForm(session.logoutPath, submit("Log out", { kind: "secondary" }))}`

export const sections = ({ handle }: CurrentSession.Service, current: "session" | "chart" | "introspection"): Html => {
  const links = [
    ["session", PATHS.session(handle), "Session"],
    ["chart", PATHS.chart(handle), "Chart"],
    ["introspection", `${PATHS.session(handle)}/introspection`, "Introspection"]
  ] as const
  return html`<nav class="sections" aria-label="This session"><ul>${
    links.map(([name, href, label]) =>
      html`<li><a href="${href}"${name === current && html` aria-current="page"`}>${label}</a></li>`
    )
  }</ul></nav>`
}

const page = Effect.gen(function*() {
  const session = yield* CurrentSession.CurrentSession
  const look = yield* Look
  const sessions = yield* Sessions.Sessions
  const { appState, createdAt, server, tokens } = session.stored
  const hospital = yield* (yield* Hospitals).nameOf(server)
  const now = yield* DateTime.now
  const relaunch = yield* sessions.relaunchReason(session.id)
  const done = DONE[(yield* query).get("done") ?? ""]
  const asked = Option.getOrUndefined(askedOf(appState))
  return look.page({
    title: `Session at ${hospital}`,
    account: account(session, hospital),
    main: html`${sections(session, "session")}
${
      pageHeading(`Session at ${hospital}`, {
        lead: html`Since ${moment(createdAt)}, by ${
          asked?.by === "ehr" ? "a launch of the hospital's system" : "a launch of this app"
        }.`,
        actions: tokens.context.patient !== undefined &&
          buttonLink(PATHS.chart(session.handle), "Open the chart", "primary")
      })
    }
${done !== undefined && banner("good", done[0], done[1], { live: true })}
${
      Option.isSome(relaunch) && banner(
        "warning",
        "This session can only go on with a new launch",
        html`<p>${relaunch.value}</p><p>${buttonLink(PATHS.launch(server), "Log in again")}</p>`
      )
    }
<div class="columns"><div class="stack">${tokensCard(tokens, now)}${contextCard(tokens)}</div><div class="stack">${
      identityCard(tokens)
    }${scopesCard(tokens, appState)}</div></div>
${actions(session)}`
  })
})

const introspection = Effect.gen(function*() {
  const session = yield* CurrentSession.CurrentSession
  const look = yield* Look
  const hospitals = yield* Hospitals
  const hospital = yield* hospitals.nameOf(session.stored.server)
  const client = yield* session.client
  const { accessToken } = yield* session.tokens
  const kind = (yield* hospitals.find(session.stored.server))?.kind
  const found = yield* client.introspect(accessToken, {
    tokenTypeHint: "access_token",
    // Whoever has no credential of its own shows the token itself.
    authorization: kind === "public" ? accessToken : "client"
  })
  return look.page({
    title: "Introspection",
    account: account(session, hospital),
    main: html`${sections(session, "introspection")}
${pageHeading("What the server says the token is", { lead: `Asked at ${hospital} just now.` })}
${
      card(
        "Access token",
        keyValues([
          ["Active", found.active ? badge("yes", "good") : badge("no", "bad")],
          ...(found.active
            ? [
              ["Client", html`<code>${found.clientId ?? "not said"}</code>`],
              ["Until", found.expiresAt === undefined ? "not said" : moment(found.expiresAt)],
              ["Subject", html`<code>${found.sub ?? "not said"}</code>`],
              ["Issuer", html`<code>${found.iss ?? "not said"}</code>`],
              ["fhirUser", html`<code>${found.fhirUser ?? "not said"}</code>`],
              ["Patient", html`<code>${found.context.patient ?? "not said"}</code>`],
              [
                "Scopes",
                html`<ul class="codes">${found.scopes.map((scope) => html`<li><code>${scope}</code></li>`)}</ul>`
              ]
            ] as const
            : [])
        ])
      )
    }`
  })
})

const renew = Effect.gen(function*() {
  const session = yield* CurrentSession.CurrentSession
  const sessions = yield* Sessions.Sessions
  // Renewed only if the token is still the one that this request saw: a second click changes nothing that the first did not.
  yield* sessions.accessTokenAfter(session.id, session.stored.tokens.accessToken)
  return seeOther(`${PATHS.session(session.handle)}?done=renewed`)
})

const revoke = Effect.gen(function*() {
  const session = yield* CurrentSession.CurrentSession
  const request = yield* HttpServerRequest.HttpServerRequest
  const form = yield* Effect.orElseSucceed(request.urlParamsBody, () => [] as const)
  const which = form.find(([name]) => name === "token")?.[1] === "refresh" ? "refresh" : "access"
  const { accessToken, refreshToken } = session.stored.tokens
  const token = which === "refresh" ? refreshToken : accessToken
  if (token === undefined) {
    return yield* new ConfigurationError({
      reason: "Missing",
      fields: ["refreshToken"],
      detail: "this session has no refresh token that could be revoked"
    })
  }
  const client = yield* session.client
  yield* client.revoke(token, { tokenTypeHint: `${which}_token` })
  return seeOther(`${PATHS.session(session.handle)}?done=revoked-${which}`)
})

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Hospitals | Look | Sessions.Sessions>(),
    (services) => [
      HttpLayerRouter.route("GET", "/sessions/:session", Effect.provide(page, services)),
      HttpLayerRouter.route("GET", "/sessions/:session/introspection", Effect.provide(introspection, services)),
      HttpLayerRouter.route("POST", "/sessions/:session/renewal", Effect.provide(toTheEnd(renew), services)),
      HttpLayerRouter.route("POST", "/sessions/:session/revocation", Effect.provide(toTheEnd(revoke), services))
    ]
  )
).pipe(Layer.provide(CurrentSession.required.layer))
