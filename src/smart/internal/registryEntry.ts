/**
 * One server of a registry: its configuration checked, its authentication built, its client made at the first use.
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
import { validate } from "./clientConfig.js"
import type * as MixUp from "./mixUp.js"
import type { Server } from "./registry.js"

/** @internal */
export interface RegistryEntry extends MixUp.Peer {
  /** Made at the first use: of thousands of servers most are not in use. */
  readonly client: Effect.Effect<SmartClient.Service>
  readonly release: Effect.Effect<void>
}

/** @internal */
export interface RegistryContext {
  readonly dependencies: Context.Context<SmartClient.Dependencies>
  readonly memoMap: Layer.MemoMap
  readonly scope: Scope.Scope
  readonly peers: MixUp.Peers
}

const isLayer = <E, R>(
  authentication: Server<E, R>["authentication"]
): authentication is Layer.Layer<ClientAuthentication.ClientAuthentication, E, R> => Layer.isLayer(authentication)

/**
 * Checks the configuration of one server and builds its authentication in a scope of its own, so that it can be
 * released alone.
 *
 * @internal
 */
export const makeEntry = <E, R>(
  key: string,
  { authentication, ...config }: Server<E, R>,
  { dependencies, memoMap, peers, scope }: RegistryContext
): Effect.Effect<RegistryEntry, E | ConfigurationError, R> => {
  const validated = validate(config, key)
  const entry = (service: ClientAuthentication.Service, release: Effect.Effect<void>): RegistryEntry => {
    let cached: SmartClient.Service | undefined
    const client = Effect.suspend(() =>
      cached !== undefined
        ? Effect.succeed(cached)
        : SmartClient.makeInRegistry({ ...config, name: key }, peers).pipe(
          // The settings of the registry, whichever fiber needs the client first.
          Effect.mapInputContext((_: Context.Context<never>) =>
            Context.add(dependencies, ClientAuthentication.ClientAuthentication, service)
          ),
          Effect.tap((client) => {
            cached = client
          }),
          // The configuration has been validated above.
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
  if (!isLayer(authentication)) return Effect.map(validated, () => entry(authentication, Effect.void))
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const child = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      const context = yield* restore(
        Effect.zipLeft(Layer.buildWithMemoMap(authentication, memoMap, child), validated)
      ).pipe(Effect.onError((cause) => Scope.close(child, Exit.failCause(cause))))
      return entry(Context.get(context, ClientAuthentication.ClientAuthentication), Scope.close(child, Exit.void))
    })
  )
}
