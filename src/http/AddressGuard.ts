/**
 * The rule that connections go to public addresses only, checked at connect (`NodeTransport.layerGuarded`): a check before the request would judge
 * one answer of the name service and connect to another.
 *
 * The guard is a property of one `HttpClient` instance. `SmartServers.layerOpen`, and each request to a server that it discovered, check that instance;
 * the tag in a layer's type only helps you to provide the right transport. A client that you derive from a guarded one (`HttpClient.mapRequest` …)
 * is another instance and has no guard until you `mark` it: only you know that it sends nothing another way.
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
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Whether a connection to this literal address, in any notation, is allowed. What is no address is not. */
  readonly allows: (address: string) => boolean
  /**
   * Exempts the origin of a URL that somebody configured by hand, for as long as the scope lives: its own addresses may be private. What it
   * refers to elsewhere is judged as before.
   */
  readonly trust: (url: string) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class AddressGuard extends Context.Tag("effect-safire/AddressGuard")<AddressGuard, Service>() {}

/** By identity: a copy or a combinator's result can send by other ways. Global, because a program may load this library twice. */
const guards = globalValue("effect-safire/AddressGuard/guards", () => new WeakMap<HttpClient.HttpClient, Service>())

/**
 * Marks this instance as guarded, and returns it. For a client that you derived from a guarded one, or a transport of your own: every connection that it
 * makes must be one that `guard` allows.
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
 * What to do about a client that should be guarded and is not.
 *
 * @internal
 */
export const advice =
  "this HttpClient has no address guard; provide NodeTransport.layerGuarded(), and mark a client that you derive from it with " +
  "AddressGuard.mark"

/**
 * The guard of this instance; none for a client that was derived from a guarded one and not marked.
 *
 * @since 0.1.0
 * @category getters
 */
export const guardOf = (client: HttpClient.HttpClient): Option.Option<Service> =>
  Option.fromNullable(guards.get(client))
