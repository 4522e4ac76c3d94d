import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as OutgoingRequest from "../../src/http/OutgoingRequest.js"

const TypeId: typeof OutgoingRequest.TypeId = OutgoingRequest.TypeId

const rules: OutgoingRequest.Rules = {
  timeout: "10 seconds",
  maxBytes: 1024,
  redirects: 2,
  allowInsecureLocalhost: false
}

interface FakeResponse {
  readonly response: Response
  readonly delay?: "6 seconds"
  readonly buffered?: string
  /** The code of the failure of the body. */
  readonly broken?: string
}

/** A transport with the extension, which records its calls in `log`. */
const fast = (...responses: ReadonlyArray<FakeResponse>) => {
  const log: Array<string> = []
  const client: HttpClient.HttpClient & OutgoingRequest.FastTransport = Object.assign(
    HttpClient.make((): Effect.Effect<never> => Effect.dieMessage("sent without the extension")),
    {
      [TypeId]: (request: HttpClientRequest.HttpClientRequest, url: URL, timeoutMillis: number) =>
        Effect.suspend(() => {
          const index = log.filter((line) => line.startsWith("send")).length
          const { broken, buffered, delay, response } = responses[index] ?? assert.fail("a request too many")
          log.push(`send ${url.href} within ${timeoutMillis}`)
          const received = HttpClientResponse.fromWeb(request, response)
          const fastResponse: OutgoingRequest.FastResponse = Object.assign(received, {
            [TypeId]: TypeId as typeof OutgoingRequest.TypeId,
            bufferedBody: (maxBytes: number) => {
              log.push(`buffered ${maxBytes}`)
              return buffered
            },
            textUpTo: (maxBytes: number) => {
              log.push(`read ${maxBytes}`)
              return broken === undefined ? received.text : Effect.fail(
                new HttpClientError.ResponseError({
                  request,
                  response: received,
                  reason: "Decode",
                  cause: { code: broken }
                })
              )
            },
            streamWithin: () => Stream.empty,
            discard: Effect.sync(() => void log.push("discard"))
          })
          return Effect.delay(Effect.succeed(fastResponse), delay ?? "0 millis")
        })
    }
  )
  return { client, log }
}

const redirect = (location: string) => new Response(null, { status: 302, headers: { location } })

const start = (client: HttpClient.HttpClient, changes: Partial<OutgoingRequest.Rules> = {}) =>
  Effect.fork(
    OutgoingRequest.send(OutgoingRequest.prepare(client), HttpClientRequest.get("https://ehr.example/a"), {
      ...rules,
      ...changes
    })
  )

describe("a FastTransport", () => {
  it.effect("gets the time that is left of the limit with each redirect, and at least a millisecond", () =>
    Effect.gen(function*() {
      const { client, log } = fast(
        { response: redirect("/b"), delay: "6 seconds" },
        { response: redirect("/c"), delay: "6 seconds" },
        { response: new Response("end") }
      )
      yield* TestClock.setTime(1_000_000)
      const fiber = yield* start(client)
      yield* TestClock.adjust("12 seconds")
      const { body, url } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([url, body], ["https://ehr.example/c", "end"])
      assert.deepStrictEqual(log, [
        "send https://ehr.example/a within 10000",
        "discard",
        "send https://ehr.example/b within 4000",
        "discard",
        "send https://ehr.example/c within 1",
        "buffered 1024",
        "read 1024"
      ])
    }))

  it.effect("gives a body that it has received, which is then not read", () =>
    Effect.gen(function*() {
      const { client, log } = fast({ response: new Response("unread", { status: 404 }), buffered: "" })
      const fiber = yield* start(client, { maxBytes: 7 })
      yield* TestClock.adjust(0)
      const { body, status } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([status, body], [404, ""])
      assert.deepStrictEqual(log, ["send https://ehr.example/a within 10000", "buffered 7"])
    }))

  it.effect("fails with TooLarge, TimedOut or Unreachable by the code of its failure", () =>
    Effect.gen(function*() {
      for (
        const [broken, reason, detail] of [
          ["UND_ERR_RES_EXCEEDED_MAX_SIZE", "TooLarge", "the response has more than 1024 bytes"],
          ["ERR_TOTAL_TIMEOUT", "TimedOut", "no complete response within 10s"],
          ["ECONNRESET", "Unreachable", "the body is incomplete (ECONNRESET)"]
        ] as const
      ) {
        const { client } = fast({ response: new Response("x", { status: 201 }), broken })
        const fiber = yield* start(client)
        yield* TestClock.adjust(0)
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.deepStrictEqual([error.reason, error.detail, error.processed], [reason, detail, "unknown"])
      }
    }))
})
