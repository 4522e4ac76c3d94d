/** No export is left behind at a server, and no shutdown waits for one for ever. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { BulkExport, HttpLimits, RetryPolicy } from "effect-safire"
import * as Http from "../support/http.js"
import { base, written } from "./fixtures.js"

const statusUrl = `${base}/status/1`
const accepted = () => Http.text("", { status: 202, headers: { "content-location": statusUrl } })

interface Answers {
  readonly kickOff?: (index: number) => Http.FakeResponse
  readonly remove?: () => Http.FakeResponse
}

const server = ({ kickOff = accepted, remove = () => Http.text("", { status: 202 }) }: Answers) => {
  let kicked = 0
  return Http.fake(({ method, url }) =>
    url.includes("$export")
      ? kickOff(kicked++)
      : method === "DELETE"
      ? remove()
      : Http.text("", { status: 202, headers: { "retry-after": "3600" } })
  )
}

const sent = (http: Http.Fake) =>
  http.requests.map(({ method, url }) =>
    method === "DELETE" ? `DELETE ${url}` : url.includes("$export") ? "kick-off" : "status"
  )

describe("BulkExport that is interrupted", () => {
  it.effect.each<[BulkExport.Options["onInterrupt"]]>([["delete"], ["keep"]])(
    "while the kick-off is under way: its answer is awaited and the export deleted (%s: no caller knows its URL)",
    ([onInterrupt]) =>
      Effect.gen(function*() {
        const http = server({ kickOff: () => Effect.as(Effect.sleep("5 seconds"), accepted()) })
        const fiber = yield* Effect.fork(Stream.runDrain(BulkExport.run(yield* written(http), { onInterrupt })))
        yield* TestClock.adjust("1 second")
        const stopped = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("5 seconds")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.join(stopped)))
        assert.deepStrictEqual(sent(http), ["kick-off", `DELETE ${statusUrl}`])
      })
  )

  it.effect("at any moment of a kick-off that is answered at once: there is a DELETE for it", () =>
    Effect.gen(function*() {
      for (let yields = 0; yields < 60; yields++) {
        const http = server({})
        const fhir = yield* written(http)
        const fiber = yield* Effect.fork(Stream.runDrain(BulkExport.run(fhir)))
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow()
        const stopped = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(stopped)
        const steps = sent(http)
        assert.strictEqual(
          steps.filter((step) => step.startsWith("DELETE")).length,
          steps.filter((step) => step === "kick-off").length,
          `after ${yields}: ${steps.join(", ")}`
        )
      }
    }))

  it.effect("between two attempts of a kick-off: no further one is made", () =>
    Effect.gen(function*() {
      const http = server({
        kickOff: (index) => index === 0 ? Http.text("", { status: 503, headers: { "retry-after": "20" } }) : accepted()
      })
      const fhir = yield* written(http, { retry: RetryPolicy.transient })
      const fiber = yield* Effect.fork(Stream.runDrain(BulkExport.run(fhir)))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(sent(http), ["kick-off"])
    }))

  it.effect.each<[string, Answers]>([
    ["a kick-off that is never answered", { kickOff: () => Http.hang }],
    ["a DELETE that is never answered", { remove: () => Http.hang }]
  ])("does not wait longer than 10 seconds for %s", ([, answers]) =>
    Effect.gen(function*() {
      const http = server(answers)
      const stream = BulkExport.run(yield* written(http))
      const fiber = yield* Effect.fork(
        Stream.runDrain(stream).pipe(Effect.provide(HttpLimits.layer({ fhirTimeout: "1 hour" })))
      )
      yield* TestClock.adjust("1 second")
      const done = yield* Deferred.make<void>()
      yield* Effect.fork(Effect.zipRight(Fiber.interrupt(fiber), Deferred.succeed(done, undefined)))
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(yield* Deferred.isDone(done))
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(yield* Deferred.isDone(done))
    }))

  it.effect("a kick-off that fails after its caller was interrupted causes neither a defect nor a DELETE", () =>
    Effect.gen(function*() {
      for (
        const answer of [
          () => Http.text("", { status: 500 }),
          () => Http.text("", { status: 202 }),
          () => new Http.ConnectionFailure("ECONNRESET")
        ]
      ) {
        const http = server({
          kickOff: () =>
            Effect.flatMap(Effect.sleep("5 seconds"), () => {
              const late = answer()
              return late instanceof Response ? Effect.succeed(late) : Effect.die("reset")
            })
        })
        const fiber = yield* Effect.fork(Stream.runDrain(BulkExport.run(yield* written(http))))
        yield* TestClock.adjust("1 second")
        const stopped = yield* Effect.fork(Fiber.interrupt(fiber))
        yield* TestClock.adjust("1 minute")
        assert.isTrue(Exit.isInterrupted(yield* Fiber.join(stopped)))
        assert.deepStrictEqual(sent(http), ["kick-off"])
      }
    }))
})
