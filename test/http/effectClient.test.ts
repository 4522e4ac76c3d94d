import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as OutgoingRequest from "../../src/http/OutgoingRequest.js"
import type { TransportFailure } from "../../src/http/TransportFailure.js"
import { ConnectionFailure, fake } from "../support/http.js"

const rules: OutgoingRequest.Rules = {
  timeout: "10 seconds",
  maxBytes: 8,
  redirects: 2,
  allowInsecureLocalhost: false
}

const request = HttpClientRequest.get("https://ehr.example/a")

const send = (client: HttpClient.HttpClient) => OutgoingRequest.send(OutgoingRequest.prepare(client), request, rules)

/** A client that records the environment of each request, and its signal. */
const recording = (...responses: ReadonlyArray<() => Response>) => {
  const environments: Array<unknown> = []
  const signals: Array<AbortSignal> = []
  /** Whether the earlier requests were aborted when a request was sent. */
  const abortedBefore: Array<ReadonlyArray<boolean>> = []
  const client = HttpClient.make((request, _url, signal, fiber) => {
    const init = Context.getOption(fiber.currentContext as Context.Context<never>, FetchHttpClient.RequestInit)
    environments.push({
      ...Option.getOrUndefined(init),
      tracingHeaders: fiber.getFiberRef(HttpClient.currentTracerPropagation),
      span: !fiber.getFiberRef(HttpClient.currentTracerDisabledWhen)(request)
    })
    abortedBefore.push(signals.map(({ aborted }) => aborted))
    signals.push(signal)
    const response = responses[Math.min(signals.length, responses.length) - 1] ?? (() => new Response("ok"))
    return Effect.succeed(HttpClientResponse.fromWeb(request, response()))
  })
  return { abortedBefore, client, environments, signals }
}

const isolated = { redirect: "manual", credentials: "omit", tracingHeaders: false, span: false }

const withInit = (init: RequestInit) => Effect.provideService(FetchHttpClient.RequestInit, init)

describe("the environment of a request", () => {
  it.effect("has no cookies, redirects, tracing headers and spans, in `send` and outside of it", () =>
    Effect.gen(function*() {
      const { client, environments } = recording()
      const prepared = OutgoingRequest.prepare(client)
      yield* send(client)
      yield* prepared.execute(request)
      yield* prepared.execute(request).pipe(withInit({ redirect: "follow", headers: { "x-own": "yes" } }))
      yield* prepared.execute(request).pipe(withInit({ redirect: "manual", credentials: "include" }))
      assert.deepStrictEqual(environments, [
        isolated,
        isolated,
        { ...isolated, headers: { "x-own": "yes" } },
        { ...isolated, credentials: "include" }
      ])
    }))

  type Combinator = (self: Effect.Effect<HttpClientResponse.HttpClientResponse, never>) => typeof self
  const changes: ReadonlyArray<readonly [string, Combinator, object]> = [
    ["follows redirects", withInit({ redirect: "follow", credentials: "omit" }), {}],
    ["sets no redirect mode", withInit({ credentials: "omit" }), {}],
    ["sets no credentials mode", withInit({ redirect: "manual" }), {}],
    ["sends credentials", withInit({ redirect: "manual", credentials: "include" }), { credentials: "include" }],
    ["sends tracing headers", Effect.locally(HttpClient.currentTracerPropagation, true), {}],
    ["makes spans", Effect.locally(HttpClient.currentTracerDisabledWhen, () => false), {}],
    ["removes all services", Effect.mapInputContext((_: Context.Context<never>) => Context.empty()), {}]
  ]
  it.effect.each(changes)(
    "is the same over a client with a combinator that %s",
    ([_, change, expected]) =>
      Effect.gen(function*() {
        const { client, environments } = recording()
        const changed = HttpClient.transformResponse(
          OutgoingRequest.prepare(client),
          (response) => change(Effect.orDie(response))
        )
        yield* OutgoingRequest.send(changed, request, rules)
        assert.deepStrictEqual(environments, [{ ...isolated, ...expected }])
      })
  )
})

describe("a request over any HttpClient", () => {
  it.effect("is aborted when its body was not read to its end, and only then", () =>
    Effect.gen(function*() {
      const complete = recording(() => new Response("whole"))
      yield* send(complete.client)
      assert.deepStrictEqual(complete.signals.map(({ aborted }) => aborted), [false])

      const large = recording(() => new Response("more than 8 bytes"))
      assert.strictEqual((yield* Effect.flip(send(large.client))).reason, "TooLarge")
      assert.deepStrictEqual(large.signals.map(({ aborted }) => aborted), [true])

      const location = { status: 302, headers: { location: "/b" } }
      const redirected = recording(() => new Response("unread", location), () => new Response("whole"))
      yield* send(redirected.client)
      assert.deepStrictEqual(redirected.abortedBefore, [[], [true]])
      assert.deepStrictEqual(redirected.signals.map(({ aborted }) => aborted), [true, false])
    }))

  it.effect("is aborted at an interruption, which waits for its end", () =>
    Effect.gen(function*() {
      const [started, end] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const { client } = fake(() =>
        Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.await(end))
        )
      )
      const fiber = yield* Effect.fork(send(client))
      yield* Deferred.await(started)
      const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.repeatN(Effect.yieldNow(), 50)
      assert.isTrue(Option.isNone(yield* Fiber.poll(interrupting)))
      yield* Deferred.succeed(end, undefined)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
    }))

  for (const end of ["an interruption", "its time limit"] as const) {
    it.effect(`is aborted at ${end} before its fiber has ended, which may wait for the abort`, () =>
      Effect.gen(function*() {
        const started = yield* Deferred.make<void>()
        const client = HttpClient.make((_request, _url, signal) => {
          const aborted = Effect.async<void>((resume) => {
            signal.addEventListener("abort", () => resume(Effect.void))
          })
          return Effect.zipRight(
            Effect.fork(Effect.uninterruptible(aborted)),
            Effect.zipRight(Deferred.succeed(started, undefined), Effect.never)
          )
        })
        const fiber = yield* Effect.fork(Effect.exit(send(client)))
        yield* Deferred.await(started)
        if (end === "an interruption") assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        else {
          yield* TestClock.adjust("1 minute")
          assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
        }
      }))
  }

  it.effect("reads a body with a declared length at once, and one that can be longer in parts", () =>
    Effect.gen(function*() {
      for (
        const [headers, expected] of [
          [{ "content-length": "4" }, "text"],
          [{ "content-length": "0" }, "text"],
          [{ "content-length": "-1" }, "stream"],
          [{}, "stream"],
          [{ "content-length": "4", "content-encoding": "gzip" }, "stream"],
          [{ "content-length": "4", "transfer-encoding": "chunked" }, "stream"]
        ] as const
      ) {
        let read = ""
        const client = HttpClient.make((request) => {
          const response = HttpClientResponse.fromWeb(request, new Response("body", { headers }))
          const recorded = (member: "text" | "stream") => ({
            get: () => {
              read = member
              return response[member]
            }
          })
          return Effect.succeed(
            Object.create(response, { text: recorded("text"), stream: recorded("stream") })
          )
        })
        assert.strictEqual((yield* send(client)).body, "body")
        assert.strictEqual(read, expected, JSON.stringify(headers))
      }
    }))
})

describe("a response that is read later", () => {
  const opened = (
    client: HttpClient.HttpClient,
    scope: Scope.Scope
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, TransportFailure | "timed out"> =>
    OutgoingRequest.opening<
      HttpClientResponse.HttpClientResponse,
      TransportFailure | "timed out",
      never
    >(client, scope, "10 seconds", () => "timed out", (sender) =>
      Effect.flatMap(
        OutgoingRequest.open(sender, request, new URL(request.url), false),
        (response) => Effect.as(sender.discard(response), response)
      ))

  it.effect("is closed with its scope", () =>
    Effect.gen(function*() {
      const { client, signals } = recording(() => new Response("body"))
      const scope = yield* Scope.make()
      const response = yield* opened(client, scope)
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [false])
      assert.strictEqual(yield* response.text, "body")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(signals.map(({ aborted }) => aborted), [true])
    }))

  it.scoped("fails when it has not arrived within the time limit, or cannot be requested", () =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const fiber = yield* Effect.fork(Effect.flip(opened(fake(() => Effect.never).client, scope)))
      yield* TestClock.adjust("9999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "timed out")
      const refused = yield* Effect.flip(opened(fake(() => new ConnectionFailure("ECONNREFUSED")).client, scope))
      assert.strictEqual(typeof refused === "string" ? refused : refused.detail, "ECONNREFUSED")
    }))
})
