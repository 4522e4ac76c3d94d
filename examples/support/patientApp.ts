/**
 * The SMART part of a web app, for any web framework: launch, callback, logout, and one page for a person who is logged
 * in.
 */
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Sessions } from "effect-safire"
import { FhirClient, SessionStore, SmartApp } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import type { SandboxEhr } from "effect-safire/testing"
import { CurrentSession, SmartRoutes, WebApp } from "effect-safire/web"
import * as Sandbox from "./sandbox.js"

/** The paths of its routes. */
export const paths = ["/launch", "/callback", "/logout", "/patient"]

const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const Patient = Schema.Struct({
  resourceType: Schema.Literal("Patient"),
  name: Schema.NonEmptyArray(Schema.Struct({ given: Schema.Array(Schema.String), family: Schema.String }))
})

/** The session cookie identifies the person. The page does not handle the expiry of tokens. */
const PatientPage = HttpLayerRouter.addAll(
  Effect.map(Effect.context<FhirClient.FhirClient | Sessions.Sessions>(), (services) => [
    HttpLayerRouter.route(
      "GET",
      "/patient",
      Effect.gen(function*() {
        const session = yield* CurrentSession.CurrentSession
        const fhir = (yield* FhirClient.FhirClient).forSession(session.id)
        const { patient = "" } = session.stored.tokens.context
        const { name: [{ family, given }] } = yield* fhir.read("Patient", patient, { schema: Patient })
        return yield* HttpServerResponse.html(
          `<!doctype html><html lang="en"><title>Patient</title><h1>${escaped([...given, family].join(" "))}</h1>` +
            `<form method="post" action="${session.logoutPath}"><button>Log out</button></form></html>`
        )
      }).pipe(Effect.provide(services))
    )
  ])
).pipe(Layer.provide(CurrentSession.required.layer))

export interface Options {
  /** The app as browsers see it. */
  readonly baseUrl: string
  readonly fhirBaseUrl: string
}

/**
 * For another kind of client, pass `authentication`; for several processes, provide another `SessionStore`; for several
 * servers, use `SmartApp.layerServers`.
 */
export const layer = ({ baseUrl, fhirBaseUrl }: Options) =>
  Layer.mergeAll(SmartRoutes.layer, PatientPage).pipe(
    Layer.provide(WebApp.layer({ baseUrl, afterLogin: "/patient", allowInsecureLocalhost: true })),
    Layer.provide(SmartApp.layer({
      name: "hospital",
      fhirBaseUrl,
      clientId: "patient-page",
      redirectUri: `${baseUrl}/callback`,
      scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"],
      allowInsecureLocalhost: true
    })),
    Layer.provide(SessionStore.layerMemory),
    Layer.provide(NodeTransport.layer())
  )

/** An EHR at which the app is registered. */
export const startEhr = (baseUrl: string): ReturnType<typeof Sandbox.start> =>
  Sandbox.start({
    clients: [{
      clientId: "patient-page",
      redirectUris: [`${baseUrl}/callback`],
      launchUris: [`${baseUrl}/launch`],
      authentication: { method: "none" } satisfies SandboxEhr.Client["authentication"]
    }]
  })
