import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { serve } from "../../examples/react/serve.js"
import {
  App,
  approve,
  assertClean,
  assertNoTraces,
  countingTokenRequests,
  press,
  seesChart,
  seesStart,
  visit
} from "../browser/browserApp.js"
import * as Chromium from "../support/Chromium.js"

describe.skipIf(!Chromium.available)(`the example in React, in StrictMode${Chromium.condition}`, () => {
  layer(Layer.merge(Chromium.layer, Layer.scoped(App, serve(0))), { excludeTestServices: true })((it) => {
    it.scoped("exchanges the code once, shows the patient, and reports no interruption as an error", () =>
      Effect.gen(function*() {
        const context = yield* Chromium.newContext()
        const page = yield* visit(context)
        yield* seesStart(page)
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          yield* press(page, "Sign in")
          yield* approve(page, "beta")
          yield* seesChart(page, "Beta")
        }))
        assert.strictEqual(requests, 1)
        assert.strictEqual(yield* Chromium.drive(() => page.getByRole("alert").count()), 0)
        yield* assertNoTraces(page)
        yield* assertClean(context)
      }))

    it.scoped("a reload restores the session without a token request; signing out ends it", () =>
      Effect.gen(function*() {
        const context = yield* Chromium.newContext()
        const page = yield* visit(context)
        yield* press(page, "Sign in")
        yield* approve(page, "alpha")
        yield* seesChart(page, "Alpha")
        const requests = yield* countingTokenRequests(Effect.gen(function*() {
          yield* Chromium.drive(() => page.reload())
          yield* seesChart(page, "Alpha")
        }))
        assert.strictEqual(requests, 0)
        yield* press(page, "Sign out")
        yield* seesStart(page)
        yield* Chromium.drive(() => page.reload())
        yield* seesStart(page)
        yield* assertClean(context)
      }))
  })
})
