/**
 * The settings of services: `Context.Reference`s, and environment variables. A blank variable counts as absent: in the
 * files of containers, it is one that is not set.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

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

/** @internal */
export const text = (name: string): Config.Config<string | undefined> =>
  Config.map(
    Config.option(Config.string(name)),
    (value) => Option.getOrUndefined(Option.filter(value, (text) => text.trim() !== ""))
  )

/** @internal */
export const secret = (name: string): Config.Config<Redacted.Redacted | undefined> =>
  Config.map(text(name), (value) => value === undefined ? undefined : Redacted.make(value))

/** The words of `Config.boolean`. */
const ON = /^(true|yes|on|1)$/i
const OFF = /^(false|no|off|0)$/i

/**
 * A setting that is on or off; off if the variable is absent.
 *
 * @internal
 */
export const flag = (name: string): Config.Config<boolean> =>
  Config.mapOrFail(text(name), (value = "off") => {
    const word = value.trim()
    return ON.test(word) || OFF.test(word)
      ? Either.right(ON.test(word))
      : Either.left(ConfigError.InvalidData([name], `Expected true or false, but received ${value}`))
  })
