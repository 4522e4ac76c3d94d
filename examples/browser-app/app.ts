/**
 * The SMART part of the page: the server, the client, and the storage of tokens.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ClientAuthentication, FhirClient, Sessions, SmartServers } from "effect-safire"
import { BrowserLaunch, Page } from "effect-safire/browser"

export interface Settings {
  readonly fhirBaseUrl: string
  /** This page's address, as registered at the server. */
  readonly redirectUri: string
  readonly tokens: NonNullable<BrowserLaunch.Options["tokens"]>
}

export const layer = ({ fhirBaseUrl, redirectUri, tokens }: Settings) =>
  Layer.mergeAll(BrowserLaunch.layer({ tokens }), FhirClient.layer).pipe(
    Layer.provide(SmartServers.layer({
      hospital: {
        fhirBaseUrl,
        clientId: "chart-in-a-page",
        redirectUri,
        scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"],
        authentication: ClientAuthentication.layerPublic,
        allowInsecureLocalhost: true
      }
    })),
    Layer.provideMerge(FetchHttpClient.layer),
    // Last, so that it is built first: it removes the code from the address bar before any request.
    Layer.provideMerge(Page.layer)
  )

export const Patient = Schema.Struct({
  resourceType: Schema.Literal("Patient"),
  id: Schema.String,
  name: Schema.NonEmptyArray(Schema.Struct({ given: Schema.Array(Schema.String), family: Schema.String })),
  birthDate: Schema.optional(Schema.String),
  gender: Schema.optional(Schema.String)
})

export const Condition = Schema.Struct({
  resourceType: Schema.Literal("Condition"),
  code: Schema.Struct({ text: Schema.optional(Schema.String) })
})

/** What the page shows of a session. */
export const chart = (session: Sessions.SessionId) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const fhir = (yield* FhirClient.FhirClient).forSession(session)
    const tokens = yield* sessions.tokens(session)
    const { patient: id = "" } = tokens.context
    const [patient, conditions] = yield* Effect.all([
      fhir.read("Patient", id, { schema: Patient }),
      Stream.runCollect(fhir.search("Condition", { patient: id }, { schema: Condition }))
    ], { concurrency: 2 })
    return { tokens, patient, conditions: Array.from(conditions, ({ code }) => code.text ?? "without a name") }
  })

/** Renews the token now. */
export const renew = (session: Sessions.SessionId) =>
  Effect.gen(function*() {
    const sessions = yield* Sessions.Sessions
    const { accessToken } = yield* sessions.tokens(session)
    return yield* sessions.accessTokenAfter(session, accessToken)
  })
