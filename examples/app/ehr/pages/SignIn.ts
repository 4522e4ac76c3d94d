/** The sign-in page: a list of synthetic users without passwords. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { banner, card, pageHeading } from "../../ui/Components.js"
import type { Html } from "../../ui/Html.js"
import { html } from "../../ui/Html.js"
import { seeOther } from "../../ui/Page.js"
import type { Ehr } from "../Ehr.js"
import { account, inOwnFrame, localPath, openAction, openPage, Problem } from "../guards.js"
import type { Person } from "../record.js"

const tiles = (title: string, people: ReadonlyArray<Person>, next: string): Html | false =>
  people.length > 0 && card(
    title,
    html`<form method="post" action="/login"><input type="hidden" name="next" value="${next}">
<ul class="tiles">${
      people.map(({ name, reference }) =>
        html`<li><button type="submit" class="tile" name="user" value="${reference}"><strong>${name}</strong><small>${reference}</small></button></li>`
      )
    }</ul></form>`
  )

const cookieOptions = { httpOnly: true, sameSite: "strict", path: "/" } as const

/** The page, and the buttons on it. */
export const routes = (ehr: Ehr) => [
  openPage(ehr, "/login", (query, person) => {
    const next = localPath(ehr, query.get("next"))
    return Effect.succeed({
      title: "Sign in",
      focused: true,
      account: person !== undefined && account(person),
      policy: { framedBy: inOwnFrame, openedByApps: true },
      main: html`${
        pageHeading("Sign in", {
          lead: "All users and records are synthetic. Choose a user; no password is needed."
        })
      }
${
        person !== undefined &&
        banner("info", `You are signed in as ${person.name}.`, html`<a href="${next}">Continue as ${person.name}</a>`)
      }
${tiles("Clinicians", ehr.people.filter(({ ownRecord }) => ownRecord === undefined), next)}
${tiles("Patients", ehr.people.filter(({ ownRecord }) => ownRecord !== undefined), next)}`
    })
  }),
  openAction(ehr, "/login", (form, request) =>
    Effect.gen(function*() {
      const person = ehr.people.find(({ reference }) => reference === form.get("user"))
      if (person === undefined) {
        return yield* new Problem({
          status: 400,
          title: "Unknown user",
          detail: "Choose one of the people on the page “Sign in”."
        })
      }
      yield* ehr.signIns.remove(request.cookies[ehr.cookie] ?? "")
      const id = yield* ehr.signIns.add(person)
      // Not `Secure`: the demo runs on a loopback address without TLS.
      return HttpServerResponse.unsafeSetCookie(
        seeOther(localPath(ehr, form.get("next"))),
        ehr.cookie,
        id,
        cookieOptions
      )
    })),
  openAction(ehr, "/logout", (_form, request) =>
    Effect.as(
      ehr.signIns.remove(request.cookies[ehr.cookie] ?? ""),
      HttpServerResponse.unsafeSetCookie(seeOther("/login"), ehr.cookie, "", { ...cookieOptions, maxAge: 0 })
    ))
]
