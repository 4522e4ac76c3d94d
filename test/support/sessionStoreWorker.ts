/**
 * A process that increments a counter in a store: `kind address id times`.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SessionStore from "../../src/session/SessionStore.js"
import { increment } from "./increment.js"
import { connectTo, type Kind } from "./places.js"

const [kind, address = "", id = "", times = "0"] = process.argv.slice(2)

Effect.gen(function*() {
  const store = yield* SessionStore.make(yield* connectTo(kind as Kind, address))
  yield* Effect.forEach(
    Array.from({ length: Number(times) }),
    () => increment(store, Redacted.make(id)),
    { concurrency: 10 }
  )
}).pipe(Effect.scoped, Effect.runPromise).then(
  () => process.exit(0),
  (failure: unknown) => {
    process.stderr.write(String(failure))
    process.exit(1)
  }
)
