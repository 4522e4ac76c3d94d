import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ConformanceWarning } from "effect-safire"

export const watch = (tell: (code: ConformanceWarning.Code, message: string) => Effect.Effect<void>) =>
  Effect.flatMap(
    ConformanceWarning.ConformanceWarnings,
    (warnings) => Stream.runForEach(warnings.stream, ({ code, message }) => tell(code, message))
  )
