/**
 * The floor of `exchange`: the same launch of the same app, assembled by hand for one public client at one server.
 * From the library it has the parts that are texts and rules rather than structure: errors and warnings with their
 * texts, the removal of secrets, the grammar of scopes, the validation of a callback, the reading of JSON and of the
 * launch context, and the schemas of what an app stores. The rest is written here: requests with their limits, retries
 * and the cache of the metadata, the authorization request, and the token response. It has no other operations, no
 * services to replace, no cache that clients share, and nothing that only saves time.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import type * as PendingAuthorization from "../../src/launch/PendingAuthorization.js"
import * as FloorClient from "./floorClient.js"

export { show } from "./app.js"

const client = FloorClient.make({
  fhirBaseUrl: "https://ehr.example.org/fhir",
  clientId: "growth-chart",
  redirectUri: "https://app.example.org/callback",
  scopes: ["launch/patient", "patient/*.rs"]
}).pipe(Effect.cached, Effect.runSync)

export const login = Effect.flatMap(client, ({ authorize }) => authorize()).pipe(
  Effect.provide(FetchHttpClient.layer)
)

export const callback = (url: URL, pending: PendingAuthorization.PendingAuthorization) =>
  Effect.flatMap(client, ({ exchange }) => exchange(url, pending)).pipe(Effect.provide(FetchHttpClient.layer))
