/**
 * The conformance warnings a program reports, in order.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type ConformanceWarning, ConformanceWarnings } from "../../src/base/ConformanceWarning.js"

export interface Recorded {
  readonly seen: ReadonlyArray<ConformanceWarning>
  readonly codes: () => ReadonlyArray<string>
  readonly layer: Layer.Layer<never>
}

export const recorded = (): Recorded => {
  const seen: Array<ConformanceWarning> = []
  return {
    seen,
    codes: () => seen.map(({ code }) => code),
    layer: Layer.succeed(ConformanceWarnings, {
      report: (warning) => Effect.sync(() => void seen.push(warning)),
      stream: Stream.empty
    })
  }
}
