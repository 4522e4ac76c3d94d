/**
 * One server of a registry: its settings judged, its authentication built, its client made when it is first asked for.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as ClientAuthentication from "../../client/ClientAuthentication.js"
import * as SmartClient from "../SmartClient.js"
import type { Server } from "../SmartServers.js"
import { validate } from "./clientConfig.js"
import type * as MixUp from "./mixUp.js"

/** @internal */
export interface RegistryEntry extends MixUp.Peer {
  /** Made when it is first asked for: most of thousands of servers are not in use. */
  readonly client: Effect.Effect<SmartClient.Service>
  readonly release: Effect.Effect<void>
}

/**
 * Judges the settings of one server and builds its authentication, in a scope of its own, so that it can be released alone.
 *
 * @internal
 */
export const register = <E, R>(
  key: string,
  { authentication, ...config }: Server<E, R>,
  parts: Context.Context<SmartClient.Dependencies>,
  memoMap: Layer.MemoMap,
  parent: Scope.Scope,
  peers: MixUp.Peers
): Effect.Effect<RegistryEntry, E | ConfigurationError, R> => {
  const judged = validate(config, key)
  const registered = (service: ClientAuthentication.Service, release: Effect.Effect<void>): RegistryEntry => {
    let made: SmartClient.Service | undefined
    const client = Effect.suspend(() =>
      made !== undefined
        ? Effect.succeed(made)
        : SmartClient.makeAmong({ ...config, name: key }, peers).pipe(
          // The registry's settings, whoever asks first.
          Effect.mapInputContext((_: Context.Context<never>) =>
            Context.add(parts, ClientAuthentication.ClientAuthentication, service)
          ),
          Effect.tap((client) => {
            made = client
          }),
          // It was judged before.
          Effect.orDie
        )
    )
    return {
      name: key,
      config,
      client,
      configuration: Effect.flatMap(client, ({ configuration }) => configuration),
      release
    }
  }
  if ("authenticate" in authentication) return Effect.map(judged, () => registered(authentication, Effect.void))
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const own = yield* Scope.fork(parent, ExecutionStrategy.sequential)
      const context = yield* restore(
        Effect.zipLeft(Layer.buildWithMemoMap(authentication, memoMap, own), judged)
      ).pipe(Effect.onError((cause) => Scope.close(own, Exit.failCause(cause))))
      return registered(Context.get(context, ClientAuthentication.ClientAuthentication), Scope.close(own, Exit.void))
    })
  )
}
