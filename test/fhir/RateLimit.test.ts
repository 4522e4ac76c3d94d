import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { RetryPolicy } from "effect-safire"
// The limiter and the reader of headers, without the time that requests take.
import * as Limiter from "../../src/fhir/internal/rateLimiter.js"
import * as RateLimitHeader from "../../src/fhir/internal/rateLimitHeader.js"
import * as Http from "../support/http.js"
import { over, written } from "./fixtures.js"

const patient = (headers: Readonly<Record<string, string>> = {}) => Http.json({ resourceType: "Patient" }, { headers })

const limiter = (options: Partial<Limiter.Options>) =>
  Limiter.make({ concurrency: Infinity, requests: Infinity, interval: "1 second", maxDelay: "2 minutes", ...options })

const idOf = (url: string) => url.split("/").at(-1) ?? ""

describe("RateLimit", () => {
  it.effect("requests above the concurrency wait and start in their order", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Effect.as(Effect.sleep("1 second"), patient()))
      const fhir = yield* written(http, { rateLimit: { concurrency: 2 } })
      const fiber = yield* Effect.fork(
        Effect.forEach(["a", "b", "c", "d", "e"], (id) => fhir.read("Patient", id), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(http.requests.map(({ url }) => idOf(url)), ["a", "b"])
      yield* TestClock.adjust("2001 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(http.requests.map(({ url }) => idOf(url)), ["a", "b", "c", "d", "e"])
      assert.deepStrictEqual(http.times(), [0, 0, 1, 1, 2])
    }))

  it.effect("at most the given number of requests start within any interval", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => patient())
      const fhir = yield* written(http, { rateLimit: { requests: 3, interval: "1 minute" } })
      const read = fhir.read("Patient", "1")
      yield* read
      yield* TestClock.adjust("50 seconds")
      const fiber = yield* Effect.fork(Effect.all(Array.from({ length: 6 }, () => read), { concurrency: "unbounded" }))
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(http.times(), [0, 50, 50, 60, 110, 110, 120])
    }))

  it.effect("a Retry-After pauses the requests of all callers, and no request of another server", () =>
    Effect.gen(function*() {
      const http = Http.fake((_, index) =>
        index === 0 ? Http.json({}, { status: 429, headers: { "retry-after": "20" } }) : patient()
      )
      const shared = limiter({})
      const send = (server: string) =>
        shared.run(
          server,
          Effect.flatMap(http.client.get("https://ehr.example/"), (response) => shared.observe(server, response)),
          () => "refused" as const
        )
      yield* Effect.scoped(send("a"))
      const fibers = yield* Effect.forEach(["a", "a", "b"], (server) => Effect.fork(send(server)))
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual(http.requests.length, 2)
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(http.times(), [0, 0, 20, 20])
    }))

  it.effect("retries and other callers wait for one Retry-After", () =>
    Effect.gen(function*() {
      const http = Http.fake((_, index) =>
        index === 0 ? Http.json({}, { status: 503, headers: { "retry-after": "10" } }) : patient()
      )
      const fhir = yield* written(http, { rateLimit: {}, retry: RetryPolicy.transient })
      const first = yield* Effect.fork(fhir.read("Patient", "1"))
      yield* TestClock.adjust("1 second")
      const second = yield* Effect.fork(fhir.read("Patient", "2"))
      yield* TestClock.adjust("9 seconds")
      yield* Fiber.joinAll([first, second])
      assert.deepStrictEqual(http.times(), [0, 10, 10])
    }))

  it.effect("requests wait for the end of the window when the quota of a RateLimit header is used up", () =>
    Effect.gen(function*() {
      const quotas = [
        "\"requests\";r=59999;t=60, \"fhirInteractions\";r=1;t=30",
        "\"requests\";r=59998;t=60, \"fhirInteractions\";r=0;t=30",
        "\"requests\";r=59997;t=30, \"fhirInteractions\";r=50000;t=60"
      ]
      const http = Http.fake((_, index) => patient({ ratelimit: quotas[Math.min(index, 2)] ?? "" }))
      const fhir = yield* written(http, { rateLimit: {} })
      const fiber = yield* Effect.fork(Effect.forEach(["1", "2", "3", "4"], (id) => fhir.read("Patient", id)))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(http.requests.length, 2)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(http.times(), [0, 0, 30, 30])
    }))

  it.effect("20 policies of a server are stored, also if each response names another one", () =>
    Effect.gen(function*() {
      const http = Http.fake((_, index) => patient({ ratelimit: `"policy-${index}";r=${index < 20 ? 1_000 : 0};t=60` }))
      const fhir = yield* written(http, { rateLimit: {} })
      yield* Effect.repeatN(fhir.read("Patient", "1"), 29)
      assert.strictEqual(http.requests.length, 30)
    }))

  it.effect("concurrent requests do not exceed the quota of a RateLimit header", () =>
    Effect.gen(function*() {
      let left = 4
      const http = Http.fake(() => {
        left -= 1
        const remaining = Math.max(0, left)
        return Effect.as(Effect.sleep("1 second"), patient({ ratelimit: `"default";r=${remaining};t=60` }))
      })
      const fhir = yield* written(http, { rateLimit: {} })
      const first = yield* Effect.fork(fhir.read("Patient", "0"))
      yield* TestClock.adjust("1 second")
      const fiber = yield* Effect.fork(
        Effect.forEach(Array.from({ length: 8 }, (_, index) => String(index)), (id) => fhir.read("Patient", id), {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(http.requests.length, 4)
      left = 100
      yield* TestClock.adjust("60 seconds")
      yield* Fiber.join(first)
      yield* Fiber.join(fiber)
      assert.strictEqual(http.requests.length, 9)
    }))

  it.effect("a pause above maxDelay fails the request, which is not sent", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => patient({ ratelimit: "\"day\";r=0;t=3600" }))
      const fhir = yield* written(http, { rateLimit: { maxDelay: "1 minute" } })
      yield* fhir.read("Patient", "1")
      const error = yield* Effect.flip(fhir.read("Patient", "1"))
      assert.deepStrictEqual(
        [error.reason, error.processed, error.isRetryable, error.attempts, http.requests.length],
        ["RateLimited", "no", true, undefined, 1]
      )
      assert.strictEqual(Duration.toSeconds(error.retryAfter ?? 0), 3600)
      yield* TestClock.adjust("1 hour")
      yield* fhir.read("Patient", "1")
    }))

  it.effect("an interrupted request gives up its place, whether it waits or runs", () =>
    Effect.gen(function*() {
      const shared = limiter({ concurrency: 1 })
      const started: Array<string> = []
      const send = (name: string, request: Effect.Effect<void>) =>
        Effect.fork(shared.run("a", Effect.zipRight(Effect.sync(() => started.push(name)), request), () => "refused"))
      const running = yield* send("running", Effect.never)
      const waiting = yield* Effect.forEach(["1", "2", "3"], (name) => send(name, Effect.void))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(started, ["running"])
      yield* Fiber.interrupt(waiting[0] ?? running)
      yield* Fiber.interrupt(running)
      yield* Fiber.joinAll(waiting.slice(1))
      assert.deepStrictEqual(started, ["running", "2", "3"])
    }))

  it.effect("an interrupted request that waits for the rate lets the next one start", () =>
    Effect.gen(function*() {
      const shared = limiter({ requests: 1 })
      const run = (effect: Effect.Effect<unknown>) => Effect.fork(shared.run("a", effect, () => "refused"))
      yield* Fiber.join(yield* run(Effect.void))
      const first = yield* run(Effect.void)
      const started = yield* Deferred.make<void>()
      const second = yield* run(Deferred.succeed(started, undefined))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("500 millis")
      yield* Deferred.await(started)
      yield* Fiber.join(second)
    }))

  it.effect("a failure of a request releases its place", () =>
    Effect.gen(function*() {
      const shared = limiter({ concurrency: 1 })
      yield* Effect.flip(shared.run("a", Effect.fail("no"), () => "refused"))
      yield* Effect.exit(shared.run("a", Effect.die("defect"), () => "refused"))
      assert.strictEqual(yield* shared.run("a", Effect.succeed(1), () => "refused"), 1)
    }))

  it.effect("3,000 waiting requests start in time and in order", () =>
    Effect.gen(function*() {
      const shared = limiter({ concurrency: 3 })
      const order: Array<number> = []
      yield* Effect.forEach(
        Array.from({ length: 3_000 }, (_, index) => index),
        (index) =>
          shared.run("a", Effect.zipRight(Effect.yieldNow(), Effect.sync(() => order.push(index))), () => "refused"),
        { concurrency: "unbounded", discard: true }
      )
      assert.deepStrictEqual(order, Array.from({ length: 3_000 }, (_, index) => index))
    }), 20_000)

  it.scoped("without the layer, requests have no limit", () =>
    Effect.gen(function*() {
      const http = Http.fake(() => Effect.as(Effect.sleep("1 second"), patient({ ratelimit: "\"x\";r=0;t=60" })))
      const fhir = yield* over(http.layer)
      const fiber = yield* Effect.fork(
        fhir.read("Patient", "1").pipe(Effect.repeat(Schedule.recurs(2)))
      )
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(http.times(), [0, 1, 2])
    }))
})

describe("the headers of rate limits", () => {
  const read = (headers: Readonly<Record<string, string>>) =>
    RateLimitHeader.parse(headers, 1_700_000_000_000).map((
      { policy, remaining, resetMillis }
    ) => [policy, remaining, resetMillis])

  for (
    const [title, headers, expected] of [
      ["the IETF draft", { ratelimit: "\"default\";r=50;t=30" }, [["default", 50, 30_000]]],
      ["the draft with a partition key", { ratelimit: "\"p\"; r=5; t=1; pk=:cGs=:" }, [["p", 5, 1_000]]],
      [
        "Medplum",
        { ratelimit: "\"requests\";r=59999;t=60, \"fhirInteractions\";r=49894;t=60" },
        [["requests", 59_999, 60_000], ["fhirInteractions", 49_894, 60_000]]
      ],
      ["draft 7", { ratelimit: "limit=100, remaining=7, reset=9" }, [["", 7, 9_000]]],
      ["draft 6", { "ratelimit-remaining": "0", "ratelimit-reset": " 12 " }, [["", 0, 12_000]]],
      ["a window that ends at a time since 1970", { "ratelimit-remaining": "0", "ratelimit-reset": "1700000060" }, [
        ["", 0, 60_000]
      ]],
      ["a window that has ended", { ratelimit: "limit=9, remaining=0, reset=1600000000" }, [["", 0, 0]]],
      ["a window above a week", { ratelimit: "\"p\";r=0;t=999999999999" }, [["p", 0, 604_800_000]]]
    ] as const
  ) it(`are read in the form of ${title}`, () => assert.deepStrictEqual(read(headers), expected.map((one) => [...one])))

  it("are ignored if they are malformed", () => {
    for (
      const ratelimit of [
        "",
        "\"a\";r=1",
        "\"a\";t=1",
        "\"a\";r=-1;t=5",
        "\"a\";r=1e3;t=5",
        "\"a",
        "x",
        "\"".repeat(9_999)
      ]
    ) assert.deepStrictEqual(read({ ratelimit }), [], ratelimit)
    assert.deepStrictEqual(read({}), [])
  })

  it("are read up to ten policies", () =>
    assert.strictEqual(
      read({ ratelimit: Array.from({ length: 500 }, (_, index) => `"p${index}";r=1;t=1`).join(",") }).length,
      10
    ))
})
