/**
 * The border of a package that uses Effect 3: only standard types cross it. A program that uses Effect 4 calls these
 * functions.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { FhirClient, SessionStore, SmartApp } from "effect-safire"
import { SmartRoutes, WebApp } from "effect-safire/web"

export interface Config {
  readonly baseUrl: string
  readonly fhirBaseUrl: string
  readonly clientId: string
}

/** `transport` is for tests. */
export const make = ({ baseUrl, clientId, fhirBaseUrl }: Config, transport = FetchHttpClient.layer) => {
  // One map of layers, so that routes and reads share the sessions.
  const memoMap = Effect.runSync(Layer.makeMemoMap)
  const app = SmartApp.layer({
    fhirBaseUrl,
    clientId,
    redirectUri: `${baseUrl}/callback`,
    scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
  }).pipe(Layer.provide(SessionStore.layerMemory), Layer.provideMerge(transport))
  const runtime = ManagedRuntime.make(app, memoMap)
  const routes = HttpLayerRouter.toWebHandler(
    SmartRoutes.layer.pipe(
      Layer.provide(WebApp.layer({ baseUrl, afterLogin: "/patient" })),
      Layer.provide(app)
    ),
    { memoMap, disableLogger: true }
  )
  return {
    /** `/launch`, `/callback` and `/logout`. */
    handler: (request: Request): Promise<Response> => routes.handler(request),
    /** The patient of a session, as JSON. The Promise rejects with an error that has `_tag`, `reason` and `message`. */
    patient: (sessionId: string, signal?: AbortSignal): Promise<unknown> =>
      runtime.runPromise(
        Effect.flatMap(FhirClient.FhirClient, (fhir) => fhir.forSession(Redacted.make(sessionId)).patient()),
        { signal }
      ),
    close: (): Promise<void> => routes.dispose().then(() => runtime.dispose())
  }
}
