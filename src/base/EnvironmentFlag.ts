/**
 * Settings from the environment that are on or off.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"

/** The words of `Config.boolean`. */
const WORDS: ReadonlyMap<string, boolean> = new Map([
  ...["true", "yes", "on", "1"].map((word) => [word, true] as const),
  ...["false", "no", "off", "0", ""].map((word) => [word, false] as const)
])

/**
 * Off where the variable is absent or blank: in files for containers, a blank variable is one that is not set.
 *
 * @internal
 */
export const flag = (name: string): Config.Config<boolean> =>
  Config.withDefault(Config.string(name), "").pipe(
    Config.mapOrFail((text) =>
      Either.fromNullable(
        WORDS.get(text.trim().toLowerCase()),
        () => ConfigError.InvalidData([name], `Expected true or false, but received ${text}`)
      )
    )
  )
