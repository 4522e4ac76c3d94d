/** The demo app with its EHRs, on free ports. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Demo from "../../examples/app/main.js"
import { freePort } from "./freePort.js"

export class App extends Context.Tag("test/App")<App, Effect.Effect.Success<ReturnType<typeof Demo.serve>>>() {}

export const layer = Layer.scoped(
  App,
  Effect.gen(function*() {
    const [appPort, north, south, east, west, old, gone, open, harbor] = yield* Effect.all([
      freePort,
      freePort,
      freePort,
      freePort,
      freePort,
      freePort,
      freePort,
      freePort,
      freePort
    ])
    return yield* Demo.serve({ appPort, ehrPorts: [north, south, east, west, old, gone, open, harbor] })
  })
)

export const sandboxOf = (key: string) =>
  Effect.flatMap(App, ({ sandboxes }) => Effect.fromNullable(sandboxes.get(key))).pipe(Effect.orDie)
