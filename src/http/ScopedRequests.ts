/**
 * The abort controllers that `HttpClient.make` of @effect/platform uses for a request instead of its own. By them
 * `HttpClient.withScope` ends a request when its scope closes; a scope for each request takes an eighth of its time.
 *
 * @internal
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { globalValue } from "effect/GlobalValue"

export const scopedRequests: WeakMap<HttpClientRequest.HttpClientRequest, AbortController> = globalValue(
  "@effect/platform/HttpClient/scopedRequests",
  () => new WeakMap()
)
