/** The apps and services that are registered here. */
import * as Effect from "effect/Effect"
import type { SandboxEhr } from "effect-safire/testing"
import { card, code, keyValues, pageHeading } from "../../ui/Components.js"
import type { Child } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import type { Ehr } from "../Ehr.js"
import { clientName } from "../Ehr.js"
import { page } from "../guards.js"

const kinds: Readonly<Record<SandboxEhr.ClientAuthentication["method"], string>> = {
  none: "Public: PKCE only",
  client_secret_basic: "Confidential, symmetric: a secret in the header",
  client_secret_post: "Confidential, symmetric: a secret in the form",
  private_key_jwt: "Confidential, asymmetric: signs an assertion",
  udap: "UDAP certificate"
}

const keysOf = ({ authentication }: SandboxEhr.Client): ReadonlyArray<readonly [string, Child]> =>
  authentication.method !== "private_key_jwt" ? [] : authentication.jwksUri !== undefined
    ? [["Keys", code(authentication.jwksUri)]]
    : [[
      "Keys",
      (authentication.jwks?.keys ?? []).map(({ alg, kid, kty }) =>
        html`<code>${kid ?? "no key id"}</code> (${alg ?? kty ?? "unknown"}) `
      )
    ]]

const codes = (values: ReadonlyArray<string> | undefined, none: string): Child =>
  values === undefined || values.length === 0
    ? none
    : html`<ul class="plain">${values.map((value) => html`<li>${code(value)}</li>`)}</ul>`

const grantsOf = ({ authentication, grantTypes }: SandboxEhr.Client): ReadonlyArray<string> =>
  grantTypes ?? [
    "authorization_code",
    "refresh_token",
    ...(authentication.method === "none" ? [] : ["client_credentials"])
  ]

/** The list. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/clients", () =>
    Effect.map(ehr.sandbox.clients, (clients) => ({
      title: "Registered apps",
      current: "/clients",
      main: html`${
        pageHeading("Registered apps", {
          lead: "The apps and services that are registered with this EHR. Secrets are not shown."
        })
      }
<div class="columns roomy">${
        clients.map((client) =>
          card(
            clientName(client),
            keyValues([
              ["Client id", html`<code>${client.clientId}</code>`],
              ["Kind", kinds[client.authentication.method]],
              ...keysOf(client),
              ["Grants", codes(grantsOf(client), "none")],
              ["Redirect URIs", codes(client.redirectUris, "none")],
              ["Launch URIs", codes(client.launchUris, "none")],
              ["Scopes", codes(client.scopes, "all supported scopes")]
            ])
          )
        )
      }</div>`
    })))
]
