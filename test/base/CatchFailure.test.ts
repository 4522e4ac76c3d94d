/** Pure rules from inside: both functions must behave as those of Effect. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { catchFailure, mapFailure } from "../../src/base/CatchFailure.js"

const effects: Readonly<Record<string, Effect.Effect<string, string>>> = {
  "a success": Effect.succeed("value"),
  "a failure": Effect.fail("failure"),
  "a defect": Effect.die("defect"),
  "an interruption": Effect.interrupt,
  "a failure and a defect of its finalizer": Effect.ensuring(Effect.fail("failure"), Effect.die("defect"))
}

const result = (self: Effect.Effect<string, string>): Effect.Effect<string> =>
  Effect.map(Effect.exit(self), (exit) => Exit.isSuccess(exit) ? exit.value : `${Cause.squash(exit.cause)}`)

const recover = (error: string) => Effect.succeed(`recovered from ${error}`)
const map = (error: string) => `mapped ${error}`

describe("CatchFailure", () => {
  for (const [name, effect] of Object.entries(effects)) {
    it.effect(`treats ${name} as Effect does`, () =>
      Effect.gen(function*() {
        const caught = yield* result(Effect.catchAll(effect, recover))
        assert.strictEqual(yield* result(catchFailure(effect, recover)), caught)
        const mapped = yield* result(Effect.mapError(effect, map))
        assert.strictEqual(yield* result(mapFailure(effect, map)), mapped)
      }))
  }
})
