/** The access of all apps, with a button to revoke it. */
import * as Effect from "effect/Effect"
import type { SandboxEhr } from "effect-safire/testing"
import { badge, banner, buttonLink, card, code, keyValues, pageHeading, postForm, submit } from "../../ui/Components.js"
import type { Child, Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import { time } from "../../ui/time.js"
import type { Ehr } from "../Ehr.js"
import { clientNameOf, personName } from "../Ehr.js"
import { action, page, Problem } from "../guards.js"
import type { Person } from "../record.js"
import { explain } from "../scopes.js"
import { launchTitle } from "./launching.js"

/** A clinician sees all access, a patient their own approvals and those for their record. */
const visible = (access: SandboxEhr.Access, person: Person): boolean =>
  person.ownRecord === undefined || access.user === person.reference || access.context.patient === person.ownRecord

const state = ({ active, revoked }: SandboxEhr.Access): Html =>
  revoked ? badge("Revoked", "bad") : active ? badge("Has access", "good") : badge("Expired")

const renewal = (
  { accessTokenExpiresAt, refreshTokenExpiresAt }: SandboxEhr.Access
): Child =>
  refreshTokenExpiresAt !== undefined
    ? time(refreshTokenExpiresAt)
    : accessTokenExpiresAt === undefined
    ? "none yet"
    : "not renewable"

const one = (ehr: Ehr, name: string, access: SandboxEhr.Access, person: Person): Html => {
  const reader = person.ownRecord === undefined ? "clinician" : "patient"
  const { patient } = access.context
  return card(
    name,
    html`${
      keyValues([
        ["Allowed by", access.user === undefined ? "backend service, without a user" : personName(ehr, access.user)],
        ["About", patient === undefined ? "no single patient" : personName(ehr, `Patient/${patient}`)],
        ["Since", time(access.approvedAt)],
        ["Token expires", access.accessTokenExpiresAt === undefined ? "none yet" : time(access.accessTokenExpiresAt)],
        [
          "Renewable until",
          renewal(access)
        ],
        [
          "May",
          html`<ul class="plain">${
            access.scopes.map((scope) => html`<li>${explain(scope, reader).title} ${code(scope)}</li>`)
          }</ul>`
        ]
      ])
    }${
      access.active && !access.revoked && postForm(
        "/access/revoke",
        submit("Revoke access", { kind: "danger", describes: `from ${name}` }),
        { access: access.id }
      )
    }`,
    { aside: state(access) }
  )
}

/** The list, and the button. */
export const routes = (ehr: Ehr) => [
  page(ehr, "/access", ({ person, query }) =>
    Effect.gen(function*() {
      const clients = yield* ehr.sandbox.clients
      const all = yield* ehr.sandbox.access
      const show = (access: SandboxEhr.Access) => one(ehr, clientNameOf(clients, access.clientId), access, person)
      const seen = all.filter((access) => visible(access, person)).reverse()
      const [current, past] = [seen.filter(({ active }) => active), seen.filter(({ active }) => !active)]
      return {
        title: "Apps with access",
        current: "/access",
        script: true,
        main: html`${
          pageHeading("Apps with access", {
            lead: person.ownRecord === undefined
              ? "Access that users gave to apps."
              : "Access that you gave, and access to your record."
          })
        }
${query.has("revoked") && banner("good", "Access was revoked.", "Its tokens no longer work.", { live: true })}
${
          current.length === 0 &&
          card(
            "No app has access",
            html`<p>When a user allows an app, it is listed here with its permissions and their expiry, and a button to revoke them.</p>${
              ehr.apps.length > 0 && html`<p class="actions">${buttonLink("/", launchTitle(ehr), "primary")}</p>`
            }`
          )
        }
<div class="columns">${current.map(show)}</div>
${
          past.length > 0 &&
          html`<h2>Past access</h2><div class="columns">${past.map(show)}</div>`
        }`
      }
    })),
  action(ehr, "/access/revoke", (form, person) =>
    Effect.gen(function*() {
      const access = (yield* ehr.sandbox.access).find(({ id }) => id === form.get("access"))
      if (access === undefined || !visible(access, person)) {
        return yield* new Problem({
          status: 404,
          title: "No such access",
          detail: "See under “Apps with access”."
        })
      }
      yield* ehr.sandbox.revokeAccess(access.id)
      return seeOther("/access?revoked")
    }), () => "/access")
]
