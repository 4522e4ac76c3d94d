import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, FhirClient, SmartServers } from "effect-safire"
import { BrowserLaunch, Page } from "effect-safire/browser"

export const AppLive = Layer.mergeAll(BrowserLaunch.layer({ tokens: "sessionStorage" }), FhirClient.layer).pipe(
  Layer.provide(SmartServers.layer({
    hospital: {
      fhirBaseUrl: "https://ehr.example.org/fhir",
      clientId: "growth-chart",
      redirectUri: "https://app.example.org/",
      scopes: ["launch/patient", "patient/*.rs", "offline_access"],
      authentication: ClientAuthentication.layerPublic
    }
  })),
  Layer.provideMerge(FetchHttpClient.layer),
  Layer.provideMerge(Page.layer)
)

/** When the page is loaded: completes a callback, follows an EHR launch, or restores the session. */
export const open = Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ open }) => open)

/** When the user presses the button. */
export const signIn = Effect.flatMap(BrowserLaunch.BrowserLaunch, ({ launch }) => launch({ window: "popup" }))
