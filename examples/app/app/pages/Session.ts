/** One session: user, context, expiry, scopes and actions. Pages never show tokens. */
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
  code,
  keyValues,
  pageHeading,
  postForm,
  submit,
  table
} from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import { time } from "../../ui/time.js"
import { duration } from "../format.js"
import { query, runToCompletion } from "../forms.js"
import { Hospitals } from "../Hospitals.js"
import { requestedOf } from "../Launches.js"
import { Layout, PATHS } from "../Layout.js"

const DONE: Readonly<Record<string, readonly [title: string, text: string]>> = {
  renewed: ["The tokens were renewed", "The server issued new tokens for the refresh token."],
  "revoked-access": [
    "The access token is revoked",
    "The server rejects it from now on. The next page that reads the record renews it automatically."
  ],
  "revoked-refresh": [
    "The refresh token is revoked",
    "The server revoked all tokens of this login. The next page that reads the record shows that."
  ]
}

const timeLeft = (tokens: TokenSet.TokenSet, now: DateTime.Utc): Child => {
  const until = tokens.expiresAt
  if (until === undefined) return "unknown: the server did not declare it"
  if (DateTime.lessThanOrEqualTo(until, now)) return html`${badge("expired", "warning")} since ${time(until)}`
  return html`<strong>${duration(DateTime.distance(now, until))}</strong>, until ${time(until)}`
}

const tokensCard = (tokens: TokenSet.TokenSet, now: DateTime.Utc): Html =>
  card(
    "Tokens",
    html`${
      keyValues([
        ["Access token", html`${badge("stored, not shown", "good")} received ${time(tokens.receivedAt)}`],
        ["Time left", timeLeft(tokens, now)],
        [
          "Refresh token",
          tokens.refreshToken === undefined
            ? badge("none: after expiry a new launch is needed", "warning")
            : badge("stored, not shown", "good")
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
<p><small>The access token is renewed automatically before it expires.</small></p>`,
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
        ? "the app must show the patient"
        : "the EHR shows the patient"
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
    given.length === 0 ? html`<p class="empty">The launch has no context.</p>` : keyValues(given),
    { id: "context" }
  )
}

/** The text of a claim. The template escapes it. */
const claimText = (name: string, value: unknown): Child => {
  if (name === "nonce") return "matches the launch"
  if (typeof value === "number" && ["exp", "iat", "auth_time"].includes(name)) return time(value * 1000)
  return code(typeof value === "string" ? value : JSON.stringify(value))
}

const identityCard = ({ identity }: TokenSet.TokenSet): Html =>
  card(
    "User",
    identity === undefined
      ? html`<p class="empty">Unknown: <code>openid</code> was not granted, or the id_token could not be verified.</p>`
      : html`${
        keyValues([
          [
            "FHIR resource",
            identity.fhirUser === undefined
              ? "not declared"
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
  const asked = Option.getOrUndefined(requestedOf(appState))
  const missing = asked === undefined ? [] : Scopes.missing(Scopes.parse(scopes), Scopes.parse(asked.scopes))
  return card(
    "Scopes",
    html`${
      table({
        caption: "Granted",
        columns: ["Scope", "Requested"],
        rows: scopes.map((scope) => [
          code(scope),
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
        "Requested and not granted",
        html`<ul class="codes">${missing.map((scope) => html`<li>${code(Scopes.printScope(scope))}</li>`)}</ul>`
      )
    }`,
    { id: "scopes" }
  )
}

const actions = ({ handle, stored: { tokens } }: CurrentSession.Service): Html => {
  const at = PATHS.session(handle)
  return card(
    "Actions",
    html`<div class="actions">${
      tokens.refreshToken !== undefined && postForm(`${at}/renewal`, submit("Renew the tokens", { kind: "secondary" }))
    }${buttonLink(`${at}/introspection`, "Introspect the access token")}${
      postForm(`${at}/revocation`, submit("Revoke the access token", { kind: "danger" }), { token: "access" })
    }${
      tokens.refreshToken !== undefined &&
      postForm(`${at}/revocation`, submit("Revoke the refresh token", { kind: "danger" }), { token: "refresh" })
    }</div>`,
    { id: "actions" }
  )
}

/** The user's menu in the header of a session's pages. */
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
  const layout = yield* Layout
  const sessions = yield* Sessions.Sessions
  const { appState, createdAt, server, tokens } = session.stored
  const hospital = yield* (yield* Hospitals).nameOf(server)
  const now = yield* DateTime.now
  const relaunch = yield* sessions.relaunchReason(session.id)
  const done = DONE[(yield* query).get("done") ?? ""]
  const asked = Option.getOrUndefined(requestedOf(appState))
  return layout.page({
    title: `Session at ${hospital}`,
    account: account(session, hospital),
    main: html`${sections(session, "session")}
${
      pageHeading(`Session at ${hospital}`, {
        lead: html`Since ${time(createdAt)}, by ${asked?.by === "ehr" ? "an EHR launch" : "a standalone launch"}.`,
        actions: tokens.context.patient !== undefined &&
          buttonLink(PATHS.chart(session.handle), "Open the chart", "primary")
      })
    }
${done !== undefined && banner("good", done[0], done[1], { live: true })}
${
      Option.isSome(relaunch) && banner(
        "warning",
        "This session needs a new launch",
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
  const layout = yield* Layout
  const hospitals = yield* Hospitals
  const hospital = yield* hospitals.nameOf(session.stored.server)
  const client = yield* session.client
  const { accessToken } = yield* session.tokens
  const kind = (yield* hospitals.find(session.stored.server))?.kind
  const found = yield* client.introspect(accessToken, {
    tokenTypeHint: "access_token",
    // A public client authorizes introspection with the token itself.
    authorization: kind === "public" ? accessToken : "client"
  })
  return layout.page({
    title: "Introspection",
    account: account(session, hospital),
    main: html`${sections(session, "introspection")}
${pageHeading("Introspection of the access token", { lead: `Response of ${hospital}.` })}
${
      card(
        "Access token",
        keyValues([
          ["Active", found.active ? badge("yes", "good") : badge("no", "bad")],
          ...(found.active
            ? [
              ["Client", html`<code>${found.clientId ?? "not declared"}</code>`],
              ["Until", found.expiresAt === undefined ? "not declared" : time(found.expiresAt)],
              ["Subject", html`<code>${found.sub ?? "not declared"}</code>`],
              ["Issuer", code(found.iss ?? "not declared")],
              ["fhirUser", code(found.fhirUser ?? "not declared")],
              ["Patient", html`<code>${found.context.patient ?? "not declared"}</code>`],
              [
                "Scopes",
                html`<ul class="codes">${found.scopes.map((scope) => html`<li>${code(scope)}</li>`)}</ul>`
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
  // Renews only if the token is still the one of this request, so that a double click renews once.
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
    Effect.context<Hospitals | Layout | Sessions.Sessions>(),
    (services) => [
      HttpLayerRouter.route("GET", "/sessions/:session", Effect.provide(page, services)),
      HttpLayerRouter.route("GET", "/sessions/:session/introspection", Effect.provide(introspection, services)),
      HttpLayerRouter.route("POST", "/sessions/:session/renewal", Effect.provide(runToCompletion(renew), services)),
      HttpLayerRouter.route("POST", "/sessions/:session/revocation", Effect.provide(runToCompletion(revoke), services))
    ]
  )
).pipe(Layer.provide(CurrentSession.required.layer))
