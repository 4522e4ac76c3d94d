/** One hospital: its server's metadata and findings, and a launch with chosen scopes. */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { DiscoveryError, SmartConfiguration } from "effect-safire"
import { Capabilities, Conformance, FhirBaseUrl, RetryPolicy, SmartServers } from "effect-safire"
import type { WebApp } from "effect-safire/web"
import {
  badge,
  banner,
  buttonLink,
  card,
  checkbox,
  code,
  copyable,
  keyValues,
  pageHeading,
  postForm,
  submit,
  table,
  type Tone
} from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import { Events } from "../Events.js"
import { requireSameOrigin, runToCompletion } from "../forms.js"
import type { Hospital, ScopeChoice } from "../Hospital.js"
import { kindName, SCOPE_CHOICES } from "../Hospital.js"
import { Hospitals } from "../Hospitals.js"
import { Layout, PATHS } from "../Layout.js"
import { notFound } from "./NotFound.js"

const TONES: Record<Conformance.ConformanceFinding["severity"], Tone> = {
  error: "bad",
  warning: "warning",
  information: "info"
}

/** The most severe finding comes first. */
const RANKS: Record<Conformance.ConformanceFinding["severity"], number> = {
  error: 0,
  warning: 1,
  information: 2
}

const declared = (url: string | undefined): Child => url === undefined ? "not declared" : code(url)

const codes = (values: ReadonlyArray<string> | undefined): Child =>
  values === undefined
    ? "not declared"
    : values.length === 0
    ? "none"
    : html`<ul class="codes">${values.map((value) => html`<li>${code(value)}</li>`)}</ul>`

const yes = (is: boolean): Html => is ? badge("yes", "good") : badge("no", "neutral")

const findings = (configuration: SmartConfiguration.SmartConfiguration): Html => {
  // The EHRs of the demonstration use http on this computer.
  const found = Array.from(Conformance.findings(configuration, { allowInsecureLocalhost: true })).sort((a, b) =>
    RANKS[a.severity] - RANKS[b.severity]
  )
  return card(
    "Conformance",
    html`<p>${
      found.length === 0
        ? "The metadata conforms to SMART App Launch 2.2."
        : "The metadata deviates from SMART App Launch 2.2. The app uses such a server where that is safe."
    }</p>
${
      table({
        caption: "Findings",
        captionHidden: true,
        columns: ["Member", "Severity", "Finding", "Advice", "Requirement"],
        rows: found.map(({ advice, code, member, message, requirement, severity }) => [
          html`<code>${member ?? code}</code>`,
          badge(severity, TONES[severity]),
          message,
          advice,
          requirement ?? ""
        ]),
        empty: "No findings."
      })
    }`,
    { id: "conformance" }
  )
}

const endpoints = (configuration: SmartConfiguration.SmartConfiguration): Html =>
  card(
    "Endpoints",
    keyValues([
      ["Issuer", declared(configuration.issuer)],
      ["Authorization", declared(configuration.authorizationEndpoint)],
      ["Token", declared(configuration.tokenEndpoint)],
      ["Keys", declared(configuration.jwksUri)],
      ["Introspection", declared(configuration.introspectionEndpoint)],
      ["Revocation", declared(configuration.revocationEndpoint)],
      ["Registration", declared(configuration.registrationEndpoint)],
      // Not a link, because the server chose the URL.
      ["Management", declared(configuration.managementEndpoint)]
    ]),
    { id: "endpoints" }
  )

const offers = (configuration: SmartConfiguration.SmartConfiguration): Html =>
  card(
    "Features",
    html`${
      keyValues([
        ["EHR launch", yes(Capabilities.supportsEhrLaunch(configuration))],
        ["Standalone launch", yes(Capabilities.supportsStandaloneLaunch(configuration))],
        ["Public clients", yes(Capabilities.supportsPublicClients(configuration))],
        ["Clients with a secret", yes(Capabilities.supportsSymmetricAuthentication(configuration))],
        ["Clients with a key", yes(Capabilities.supportsAsymmetricAuthentication(configuration))],
        ["Backend services", yes(Capabilities.supportsBackendServices(configuration))],
        ["OpenID Connect", yes(Capabilities.supportsOpenIdConnect(configuration))],
        ["PKCE (S256)", yes(Capabilities.supportsPkce(configuration))],
        ["Introspection", yes(Capabilities.supportsIntrospection(configuration))],
        ["Revocation", yes(Capabilities.supportsRevocation(configuration))],
        ["Dynamic registration", yes(Capabilities.supportsDynamicRegistration(configuration))],
        ["SMART v1 scopes", yes(Capabilities.supportsV1Permissions(configuration))],
        ["SMART v2 scopes", yes(Capabilities.supportsV2Permissions(configuration))],
        ["Assertions signed with", Capabilities.signingAlgorithms(configuration).join(", ")]
      ])
    }
<details><summary>Metadata of the server</summary><div>${
      keyValues([
        ["Capabilities", codes(configuration.capabilities)],
        ["Scopes", codes(configuration.scopesSupported)],
        ["Grant types", codes(configuration.grantTypesSupported)],
        ["Authentication at the token endpoint", codes(configuration.tokenEndpointAuthMethodsSupported)],
        ["Members that SMART does not define", codes(Object.keys(configuration.extensions))]
      ])
    }</div></details>`,
    { id: "offers" }
  )

const GROUPS: ReadonlyArray<ScopeChoice["group"]> = ["User", "Patient", "Data", "Duration"]

const launchForm = (hospital: Hospital): Html =>
  card(
    "Launch",
    html`<form method="get" action="/launch">
<input type="hidden" name="server" value="${hospital.key}">
<input type="hidden" name="return" value="/sessions/:session">
${
      GROUPS.map((group) =>
        html`<fieldset><legend>${group}</legend>${
          SCOPE_CHOICES.map((offered, i) =>
            offered.group === group && checkbox({
              id: `scope-${i}`,
              name: "scope",
              value: offered.scope,
              label: code(offered.scope),
              detail: offered.meaning,
              checked: offered.isDefault
            })
          )
        }</fieldset>`
      )
    }
<p class="actions">${submit("Log in with these scopes", { describes: `at ${hospital.name}` })}</p>
</form>
<p><small>This is a standalone launch. The launch URL for the hospital's EHR is</small></p>
<p>${copyable(hospital.server.redirectUri?.replace(/\/callback\/.*$/, "/launch") ?? "")}</p>`,
    { id: "launch" }
  )

const discoveryFailure = (error: DiscoveryError): Html =>
  banner(
    "bad",
    "The server's metadata could not be read",
    html`<p>${error.message}</p>
<p>${badge(error._tag, "bad")} ${badge(error.reason, "bad")}</p>`
  )

const tolerated = (hospital: Hospital) =>
  Effect.gen(function*() {
    const events = yield* Events
    const here = (yield* events.warnings).filter(({ server }) =>
      server === hospital.key || FhirBaseUrl.areSame(server, hospital.server.fhirBaseUrl)
    )
    const distinct = [...new Map(here.map((warning) => [`${warning.code} ${warning.detail}`, warning])).values()]
    return distinct.length === 0 ? html`` : card(
      "Tolerated deviations",
      table({
        caption: "Deviations of the server that did no harm",
        columns: ["Kind", "What", "Requirement"],
        rows: distinct.map(({ code, detail, requirement }) => [html`<code>${code}</code>`, detail, requirement ?? ""]),
        empty: ""
      }),
      { id: "tolerated" }
    )
  })

const hospitalOf = Effect.gen(function*() {
  const { params } = yield* HttpLayerRouter.RouteContext
  return yield* (yield* Hospitals).find(params["key"] ?? "")
})

const page = Effect.gen(function*() {
  const layout = yield* Layout
  const hospital = yield* hospitalOf
  if (hospital === undefined) return layout.page(notFound)
  const servers = yield* SmartServers.SmartServers
  const found = yield* servers.client(hospital.key).pipe(
    Effect.flatMap(({ configuration }) => configuration),
    RetryPolicy.withPolicy(RetryPolicy.none),
    Effect.either
  )
  if (Either.isLeft(found) && found.left._tag === "UnknownServerError") return layout.page(notFound)
  return layout.page({
    title: hospital.name,
    current: PATHS.home,
    leadsToEhr: true,
    status: Either.isLeft(found) ? 503 : 200,
    main: html`${
      pageHeading(hospital.name, {
        lead: hospital.about,
        actions: html`${
          hospital.ehrUrl !== undefined && Either.isRight(found) &&
          buttonLink(hospital.ehrUrl, "EHR", "quiet")
        }${
          postForm(
            `${PATHS.server(hospital.key)}/discovery`,
            submit("Reload metadata", { kind: "secondary", describes: hospital.name })
          )
        }`
      })
    }
${
      card(
        "Registration",
        keyValues([
          ["FHIR base", copyable(hospital.server.fhirBaseUrl)],
          ["Client type", kindName(hospital)],
          ["Client id", html`<code>${hospital.server.clientId}</code>`],
          ["Redirect URI", code(hospital.server.redirectUri ?? "none")]
        ])
      )
    }
${
      Either.isLeft(found)
        ? found.left._tag === "DiscoveryError" && discoveryFailure(found.left)
        : html`<div class="columns wide-first"><div class="stack">${launchForm(hospital)}</div><div class="stack">${
          offers(found.right)
        }${endpoints(found.right)}</div></div>${findings(found.right)}`
    }
${yield* tolerated(hospital)}`
  })
})

const discover = requireSameOrigin(Effect.gen(function*() {
  const hospital = yield* hospitalOf
  if (hospital === undefined) return (yield* Layout).page(notFound)
  const servers = yield* SmartServers.SmartServers
  yield* Effect.ignore(servers.invalidate(hospital.key))
  return seeOther(PATHS.server(hospital.key))
}))

export const layer = HttpLayerRouter.addAll(
  Effect.map(
    Effect.context<Events | Hospitals | Layout | SmartServers.SmartServers | WebApp.WebApp>(),
    (services) => [
      HttpLayerRouter.route("GET", "/servers/:key", Effect.provide(page, services)),
      HttpLayerRouter.route("POST", "/servers/:key/discovery", Effect.provide(runToCompletion(discover), services))
    ]
  )
)
