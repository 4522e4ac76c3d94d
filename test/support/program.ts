/** Programs of this machine that tests start: databases and browsers. */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** The value of an environment variable, unless it is blank. */
export const fromEnvironment = (name: string): string | undefined =>
  Option.getOrUndefined(Effect.runSync(Config.option(Config.nonEmptyString(name))))

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of a program in the PATH or in other directories. */
export const find = (program: string, folders: ReadonlyArray<string> = []): string | undefined =>
  [...(fromEnvironment("PATH") ?? "").split(delimiter), ...folders].filter((folder) => folder !== "")
    .map((folder) => join(folder, program)).find(isExecutable)
