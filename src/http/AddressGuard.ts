/**
 * The rule that connections are made to public addresses only, checked when a connection is made
 * (`NodeTransport.layerGuarded`): a check before the request would resolve the name twice, and the second address may
 * be another.
 *
 * The guard is a property of one `HttpClient` instance. `SmartServers.layerOpen`, and each request to a server that it
 * discovered, check that instance; the tag in a layer's type only helps you to provide the right transport. A client
 * that you derive from a guarded one (`HttpClient.mapRequest` …) is another instance and has no guard until you `mark`
 * it: only you know that all its requests use the guarded one.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"

/**
 * A guard that checks the address of each connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Whether a connection to this literal address, in any notation, is allowed; `false` for a string that is not an
   * address.
   */
  readonly allows: (address: string) => boolean
  /**
   * Exempts the origin of a configured URL until the scope closes: its addresses may be private. Other origins that it
   * refers to are not exempt.
   */
  readonly trust: (url: string) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * The tag of the service. It is a hint in types; the guard itself belongs to one `HttpClient` instance (`mark`).
 *
 * @since 0.1.0
 * @category tags
 */
export class AddressGuard extends Context.Tag("effect-safire/AddressGuard")<AddressGuard, Service>() {}

/**
 * By identity, because a derived client may send without the guard. Global, because a program may load this library
 * twice.
 */
const guards = globalValue("effect-safire/AddressGuard/guards", () => new WeakMap<HttpClient.HttpClient, Service>())

/**
 * Marks this instance as guarded, and returns it. For a client that you derived from a guarded one, or a transport of
 * your own: every connection that it makes must be one that `guard` allows.
 *
 * @example
 * import { HttpClient, HttpClientRequest } from "@effect/platform"
 * import { AddressGuard } from "effect-safire"
 * import { NodeTransport } from "effect-safire/node"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const withUserAgent = HttpClient.mapRequest(HttpClientRequest.setHeader("user-agent", "growth-chart/1.0"))
 *
 * export const TransportLive = Layer.effect(
 *   HttpClient.HttpClient,
 *   Effect.zipWith(HttpClient.HttpClient, AddressGuard.AddressGuard, (client, guard) =>
 *     AddressGuard.mark(withUserAgent(client), guard))
 * ).pipe(Layer.provideMerge(NodeTransport.layerGuarded()))
 *
 * @since 0.1.0
 * @category combinators
 */
export const mark = (client: HttpClient.HttpClient, guard: Service): HttpClient.HttpClient => {
  guards.set(client, guard)
  return client
}

/**
 * The advice for a client that needs a guard and has none.
 *
 * @internal
 */
export const advice =
  "this HttpClient has no address guard; provide NodeTransport.layerGuarded(), and mark a client that you derive from it with " +
  "AddressGuard.mark"

/**
 * The guard of this instance; `None` for a client that was derived from a guarded one and not marked.
 *
 * @since 0.1.0
 * @category getters
 */
export const guardOf = (client: HttpClient.HttpClient): Option.Option<Service> =>
  Option.fromNullable(guards.get(client))
