/**
 * The conformance warnings that a program reports, in order.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type ConformanceWarning, ConformanceWarnings } from "../../src/base/ConformanceWarning.js"

export interface Recorded {
  readonly reported: ReadonlyArray<ConformanceWarning>
  readonly codes: () => ReadonlyArray<string>
  readonly layer: Layer.Layer<never>
}

export const recorded = (): Recorded => {
  const reported: Array<ConformanceWarning> = []
  return {
    reported,
    codes: () => reported.map(({ code }) => code),
    layer: Layer.succeed(ConformanceWarnings, {
      report: (warning) => Effect.sync(() => void reported.push(warning)),
      stream: Stream.empty
    })
  }
}
