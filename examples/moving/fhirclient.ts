/** The program of a page that used `FHIR.oauth2.ready()`. The layer is that of docs/browser.md. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FhirClient, Sessions } from "effect-safire"
import { BrowserLaunch } from "effect-safire/browser"

export const main = Effect.gen(function*() {
  const launch = yield* BrowserLaunch.BrowserLaunch
  // FHIR.oauth2.ready()
  const opened = yield* launch.open
  if (opened._tag !== "SignedIn") return opened._tag
  return yield* report(opened.session)
})

export const report = (session: Sessions.SessionId) =>
  Effect.gen(function*() {
    const fhir = (yield* FhirClient.FhirClient).forSession(session)
    const tokens = yield* Effect.flatMap(Sessions.Sessions, (sessions) => sessions.tokens(session))
    // client.patient.id, client.user.fhirUser
    const { patient: id = "" } = tokens.context
    const user = tokens.identity?.fhirUser?.resourceType
    // client.patient.read()
    const patient = yield* fhir.patient()
    // client.request(`Condition?patient=${id}`, { pageLimit: 0, flat: true })
    const conditions = yield* Stream.runCollect(fhir.search("Condition", { patient: id }))
    return { user, patient: patient.id, conditions: conditions.length }
  })
