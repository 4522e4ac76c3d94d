/**
 * The promise that connections go to public addresses only, whatever a name resolves to at that moment. What accepts servers that nobody configured
 * by hand asks for it in its type, and only a transport that decides at connect can give it (`NodeTransport.layerGuarded`): a check before
 * the request would judge one answer of the name service and connect to another.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
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
