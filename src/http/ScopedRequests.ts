/**
 * The abort controllers that `HttpClient.make` uses for requests instead of its own. `HttpClient.withScope` fills this
 * map, too; it also needs a scope for each request, and an eighth of the time of a FHIR read.
 *
 * The map is private to @effect/platform 0.97. Tests of `effectClient` and the transport contract fail without it.
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { globalValue } from "effect/GlobalValue"

/** @internal */
export const scopedRequests: WeakMap<HttpClientRequest.HttpClientRequest, AbortController> = globalValue(
  "@effect/platform/HttpClient/scopedRequests",
  () => new WeakMap()
)
