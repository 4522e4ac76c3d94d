/** Registers the app dynamically and removes the registration. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import type { RegisteredClient } from "effect-safire"
import type { WebApp } from "effect-safire/web"
import {
  badge,
  banner,
  buttonLink,
  card,
  checkbox,
  code,
  keyValues,
  pageHeading,
  postForm,
  submit
} from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import { time } from "../../ui/time.js"
import { query, requireSameOrigin, runToCompletion } from "../forms.js"
import { KIND_NAMES } from "../Hospital.js"
import { Layout, PATHS } from "../Layout.js"
import type { Failure, Operator, Prospect, Registered } from "../Registrations.js"
import { METHODS, Registrations } from "../Registrations.js"

const DONE: Readonly<Record<string, string>> = {
  registered: "The app was registered",
  removed: "The registration was removed"
}

const isMethod = (text: string | undefined): text is typeof METHODS[number] => METHODS.some((method) => method === text)

const form = (prospect: Prospect): Html =>
  html`<p>${prospect.about}</p>
${
    postForm(
      PATHS.registration,
      html`<fieldset><legend>Client type</legend>${
        METHODS.map((method) =>
          checkbox({
            id: `${prospect.key}-${method}`,
            name: "method",
            value: method,
            type: "radio",
            label: KIND_NAMES[method],
            detail: html`<code>${method === "public" ? "none" : method}</code>`,
            checked: method === "private_key_jwt"
          })
        )
      }</fieldset>${submit("Register the app", { describes: `at ${prospect.name}` })}`,
      { prospect: prospect.key }
    )
  }`

/** The form of a hospital in a trust community: the certificate is the client's credential. */
const udapForm = (prospect: Prospect, { certificate, community }: Operator): Html =>
  html`<p>${prospect.about}</p>${
    keyValues([
      ["Trust community", code(community)],
      ["Certificate", certificate.subject],
      ["Client URI", code(certificate.uris[0] ?? "")]
    ])
  }${
    postForm(PATHS.registration, submit("Register the app", { describes: `at ${prospect.name}` }), {
      prospect: prospect.key
    })
  }`

const formOf = (prospect: Prospect): Html =>
  prospect.udap === undefined ? form(prospect) : udapForm(prospect, prospect.udap)

const rowsOf = (registered: Registered): ReadonlyArray<readonly [string, Child]> =>
  registered._tag === "Smart" ? smartRows(registered.client) : [
    ["Client id", html`<code>${registered.app.clientId}</code>`],
    ["Trust community", code(registered.operator.community)],
    ["Method", html`<code>private_key_jwt</code> with the certificate ${registered.operator.certificate.subject}`],
    ["Can be managed", "yes: registering again replaces it, an empty grant list cancels it"]
  ]

const smartRows = (registered: RegisteredClient.RegisteredClient): ReadonlyArray<readonly [string, Child]> => [
  ["Client id", html`<code>${registered.clientId}</code>`],
  ["Secret", registered.clientSecret === undefined ? "none" : badge("stored, not shown", "good")],
  ...(registered.clientSecret === undefined ? [] : [
    [
      "Secret expires",
      registered.clientSecretExpiresAt === undefined
        ? "never"
        : time(registered.clientSecretExpiresAt)
    ] as const
  ]),
  ["Method", html`<code>${registered.metadata.tokenEndpointAuthMethod ?? "not declared"}</code>`],
  [
    "Changed by the server",
    registered.changed.length === 0
      ? "nothing"
      : registered.changed.map(({ member }) => html`<code>${member}</code> `)
  ],
  ["Can be managed", registered.registrationClientUri === undefined ? "no" : "yes"]
]

const done = (prospect: Prospect, registered: Registered): Html =>
  html`${keyValues(rowsOf(registered))}
<div class="actions">${
    buttonLink(
      PATHS.server(prospect.key),
      html`Log in<span class="visually-hidden"> at ${prospect.name}</span>`,
      "primary"
    )
  }${
    postForm(
      `${PATHS.registration}/removal`,
      submit("Remove the registration", { kind: "danger", describes: `at ${prospect.name}` }),
      { prospect: prospect.key }
    )
  }</div>`

const render = (failure?: Failure) =>
  Effect.gen(function*() {
    const layout = yield* Layout
    const registrations = yield* Registrations
    const news = DONE[(yield* query).get("done") ?? ""]
    const cards = yield* Effect.forEach(registrations.prospects, (prospect) =>
      Effect.map(registrations.registered(prospect.key), (registered) =>
        card(prospect.name, registered === undefined ? formOf(prospect) : done(prospect, registered), {
          id: `prospect-${prospect.key}`,
          aside: registered === undefined ? badge("not registered") : badge("registered", "good")
        })))
    return layout.page({
      title: "Registration",
      current: PATHS.registration,
      ...(failure === undefined ? {} : { status: 502 }),
      main: html`${
        pageHeading("Registration", {
          lead:
            "Most hospitals register apps manually. This page uses dynamic registration, by RFC 7591 and RFC 7592 or in a trust community (UDAP)."
        })
      }
${
        failure !== undefined && banner(
          "bad",
          "The registration failed",
          html`<p>${failure.message}</p><p>${badge(failure._tag, "bad")} ${badge(failure.reason, "bad")}</p>`,
          { live: true }
        )
      }
${failure === undefined && news !== undefined && banner("good", news, undefined, { live: true })}
${cards.length === 0 ? html`<p class="empty">No hospital supports registration.</p>` : cards}`
    })
  })

const action = (name: "register" | "remove") =>
  requireSameOrigin(Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const registrations = yield* Registrations
    const sent = yield* Effect.orElseSucceed(request.urlParamsBody, () => [] as const)
    const field = (wanted: string) => sent.find(([name]) => name === wanted)?.[1]
    const prospect = registrations.prospects.find(({ key }) => key === field("prospect"))
    const method = field("method")
    if (prospect === undefined) return seeOther(PATHS.registration)
    return yield* (name === "remove"
      ? registrations.remove(prospect.key)
      : registrations.register(prospect, isMethod(method) ? method : "private_key_jwt")).pipe(
        Effect.as(seeOther(`${PATHS.registration}?done=${name === "remove" ? "removed" : "registered"}`)),
        Effect.catchAll(render)
      )
  }))

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Layout | Registrations | WebApp.WebApp>(),
    (services) => [
      HttpLayerRouter.route("GET", "/registration", Effect.provide(render(), services)),
      HttpLayerRouter.route("POST", "/registration", Effect.provide(runToCompletion(action("register")), services)),
      HttpLayerRouter.route(
        "POST",
        "/registration/removal",
        Effect.provide(runToCompletion(action("remove")), services)
      )
    ]
  )
)
