/**
 * Settings from environment variables. A blank variable counts as absent: in the files of containers, it is one that
 * is not set.
 */
import * as Config from "effect/Config"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

export const text = (name: string): Config.Config<string | undefined> =>
  Config.map(
    Config.option(Config.string(name)),
    (value) => Option.getOrUndefined(Option.filter(value, (text) => text.trim() !== ""))
  )

export const secret = (name: string): Config.Config<Redacted.Redacted | undefined> =>
  Config.map(text(name), (value) => value === undefined ? undefined : Redacted.make(value))
