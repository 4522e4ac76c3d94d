import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { ConformanceWarnings } from "../../src/base/ConformanceWarning.js"
import * as HttpLimits from "../../src/http/HttpLimits.js"
import { perHttpClient } from "../../src/http/PerHttpClient.js"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as Http from "../support/http.js"

interface Service {
  readonly number: number
  readonly client: HttpClient.HttpClient
  readonly label: string
  readonly policy: RetryPolicy.Policy
}

class Counted extends Context.Tag("test/Counted")<Counted, Service>() {}

/** Layers of services with numbers in the order in which they were made, and the numbers of those that ended. */
const counting = () => {
  const ended: Array<number> = []
  let count = 0
  const layers = perHttpClient(Counted, ({ label }: { readonly label: string }) =>
    Effect.gen(function*() {
      const number = count++
      yield* Effect.yieldNow()
      const policy = yield* RetryPolicy.RetryPolicy
      yield* Effect.addFinalizer(() => Effect.sync(() => ended.push(number)))
      return { number, client: yield* HttpClient.HttpClient, label, policy }
    }))
  return { ended, ...layers }
}

const over = ({ client }: Http.Fake) => Layer.provide(Layer.succeed(HttpClient.HttpClient, client))

/** The services that several layers make in one build. */
const build = (layers: ReadonlyArray<Layer.Layer<Counted>>) =>
  Effect.gen(function*() {
    const memo = yield* Layer.makeMemoMap
    const scope = yield* Effect.scope
    return yield* Effect.forEach(
      layers,
      (layer) => Effect.map(Layer.buildWithMemoMap(layer, memo, scope), Context.get(Counted)),
      { concurrency: "unbounded" }
    )
  })

const numbers = Effect.map((services: ReadonlyArray<Service>) => services.map(({ number }) => number))

describe("perHttpClient", () => {
  it.scoped("the layers of one HttpClient, with equal options and the same settings, share a service in a build", () =>
    Effect.gen(function*() {
      const [one, other] = [Http.script(() => Http.json({})), Http.script(() => Http.json({}))]
      const { layer } = counting()
      const services = yield* build([
        layer({ label: "a" }).pipe(over(one)),
        layer({ label: "a" }).pipe(over(one)),
        layer({ label: "a" }).pipe(over(other)),
        layer({ label: "b" }).pipe(over(one)),
        layer({ label: "b" }).pipe(over(other))
      ])
      assert.deepStrictEqual(services.map(({ number }) => number), [0, 0, 1, 2, 3])
      assert.deepStrictEqual(
        services.map(({ client }) => client),
        [one.client, one.client, other.client, one.client, other.client]
      )
      assert.deepStrictEqual(services.map(({ label }) => label), ["a", "a", "a", "b", "b"])
    }))

  it.scoped("other settings make another service, which has them", () =>
    Effect.gen(function*() {
      const one = Http.script(() => Http.json({}))
      const { layer } = counting()
      const base = () => layer({ label: "a" }).pipe(over(one))
      const [policy, limits] = [Schedule.recurs(1), { ...(yield* HttpLimits.HttpLimits) }]
      const warnings = yield* ConformanceWarnings
      const services = yield* build([
        base(),
        Layer.provide(base(), Layer.succeed(RetryPolicy.RetryPolicy, policy)),
        Layer.provide(base(), Layer.succeed(HttpLimits.HttpLimits, limits)),
        Layer.provide(base(), Layer.succeed(ConformanceWarnings, { ...warnings })),
        Layer.provide(base(), Layer.succeed(RetryPolicy.RetryPolicy, policy)),
        base()
      ])
      assert.deepStrictEqual(services.map(({ number }) => number), [0, 1, 2, 3, 1, 0])
      assert.strictEqual(services[1]?.policy, policy)
    }))

  it.scoped("another tag or another constructor makes another service", () =>
    Effect.gen(function*() {
      const one = Http.script(() => Http.json({}))
      const [first, second] = [counting(), counting()]
      const services = yield* build([
        first.layer({ label: "a" }).pipe(over(one)),
        first.layer({ label: "b" }).pipe(over(one)),
        second.layer({ label: "a" }).pipe(over(one))
      ])
      assert.deepStrictEqual(services.map(({ number }) => number), [0, 1, 0])
    }))

  it.effect("two builds share nothing, and services end with their build", () =>
    Effect.gen(function*() {
      const one = Http.script(() => Http.json({}))
      const { ended, layer } = counting()
      const once = Effect.scoped(numbers(build([layer({ label: "a" }).pipe(over(one))])))
      assert.deepStrictEqual(yield* once, [0])
      assert.deepStrictEqual(ended, [0])
      assert.deepStrictEqual(yield* once, [1])
      assert.deepStrictEqual(ended, [0, 1])
    }))

  it.scoped("a service whose first user is interrupted is complete for the next", () =>
    Effect.gen(function*() {
      const one = Http.script(() => Http.json({}))
      const { service } = counting()
      const { layerRegistry } = yield* Effect.promise(() => import("../../src/http/PerHttpClient.js"))
      yield* Effect.gen(function*() {
        const make = Effect.provideService(service({ label: "a" }), HttpClient.HttpClient, one.client)
        const first = yield* Effect.fork(make)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(first)
        const next = yield* Effect.all([make, make], { concurrency: "unbounded" })
        assert.strictEqual(next[0], next[1])
      }).pipe(Effect.provide(layerRegistry))
    }))
})
