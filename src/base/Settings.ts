/**
 * The settings of services: `Context.Reference`s, and flags of the environment.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/**
 * Makes the setting of a service's layer the default of its methods; the setting of a call has precedence. A reference
 * that is read only at call time would ignore `Layer.provide`; one that is read only at build time would ignore the
 * call. Run it once, where the service is made.
 *
 * @internal
 */
export const withBuildTimeDefault = <I, S>(
  reference: Context.Reference<I, S>
): Effect.Effect<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>> =>
  Effect.map(Effect.context<never>(), (built) => {
    if (!built.unsafeMap.has(reference.key)) return (self) => self
    const service = Context.get(built, reference)
    return <A, E, R>(self: Effect.Effect<A, E, R>) =>
      Effect.mapInputContext<A, E, R, R>(
        self,
        (now: Context.Context<R>) => now.unsafeMap.has(reference.key) ? now : Context.add(now, reference, service)
      )
  })

/** The words of `Config.boolean`. */
const ON: ReadonlyArray<string> = ["true", "yes", "on", "1"]
const OFF: ReadonlyArray<string> = ["false", "no", "off", "0", ""]

/**
 * Off where the variable is absent or blank: in files for containers, a blank variable is one that is not set.
 *
 * @internal
 */
export const flag = (name: string): Config.Config<boolean> =>
  Config.withDefault(Config.string(name), "").pipe(
    Config.mapOrFail((text) => {
      const word = text.trim().toLowerCase()
      return ON.includes(word) || OFF.includes(word)
        ? Either.right(ON.includes(word))
        : Either.left(ConfigError.InvalidData([name], `Expected true or false, but received ${text}`))
    })
  )
