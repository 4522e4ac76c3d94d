/**
 * Colours of the output on a terminal, none for files, pipes and with `NO_COLOR` (https://no-color.org).
 *
 * @since 0.1.0
 */
import * as Terminal from "@effect/platform/Terminal"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
}

const unchanged = (text: string): string => text

/**
 * @since 0.1.0
 * @category constructors
 */
export const plain: Style = { bold: unchanged, dim: unchanged, red: unchanged, green: unchanged, yellow: unchanged }

const sgr = (on: number, off: number) => (text: string): string => `\u001b[${on}m${text}\u001b[${off}m`

/**
 * @since 0.1.0
 * @category constructors
 */
export const coloured: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  red: sgr(31, 39),
  green: sgr(32, 39),
  yellow: sgr(33, 39)
}

/**
 * The style for the output of this process.
 *
 * @since 0.1.0
 * @category constructors
 */
export const detect: Effect.Effect<Style, never, Terminal.Terminal> = Effect.gen(function*() {
  const terminal = yield* Terminal.Terminal
  const noColor = yield* Effect.orElseSucceed(Config.string("NO_COLOR"), () => "")
  return noColor === "" && (yield* terminal.isTTY) ? coloured : plain
})

/**
 * Text without its colours.
 *
 * @since 0.1.0
 * @category combinators
 */
export const strip = (text: string): string => {
  const escape = "\u001b["
  const [first = "", ...rest] = text.split(escape)
  return first + rest.map((part) => part.replace(/^[\d;]*[A-Za-z]/, "")).join("")
}
