/** An export that is interrupted at each of its steps, over real sockets. */
import type { ServerResponse } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { BulkExport } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as Http from "../support/http.js"
import { over } from "./fixtures.js"

const STEPS = [
  "kick-off",
  "status request",
  "wait for the server",
  "second manifest",
  "request of a file",
  "middle of a file",
  "request of the next file",
  "sink",
  "DELETE"
] as const

type Step = typeof STEPS[number]

const FILES = 4
const LINES = 30
const line = (file: number, index: number) => `${JSON.stringify({ resourceType: "Patient", id: `${file}-${index}` })}\n`
const textOf = (file: number) => Array.from({ length: LINES }, (_, index) => line(file, index)).join("")
const ALL = Array.from({ length: FILES * LINES }, (_, index) => `${Math.floor(index / LINES)}-${index % LINES}`)

/** A server with two manifests of two files. It holds its first response of the step until `release`. */
const exportServer = (step: Step) =>
  Effect.gen(function*() {
    const arrived = yield* Deferred.make<void>()
    const reach = () => Deferred.unsafeDone(arrived, Effect.void)
    let held: (() => void) | undefined
    let isClosed = false
    let isReached = false
    const at = (here: Step, response: ServerResponse, respond: () => void) => {
      if (here !== step || isReached) return respond()
      isReached = true
      held = respond
      response.on("close", () => {
        isClosed = true
      })
      reach()
    }
    const manifest = (page: number, response: ServerResponse) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({
        transactionTime: "2024-05-01T00:00:00Z",
        requiresAccessToken: true,
        output: [2 * page, 2 * page + 1].map((file) => ({
          type: "Patient",
          url: `${server.origin}/fhir/files/${file}`,
          count: LINES
        })),
        ...(page === 0 ? { link: [{ relation: "next", url: `${server.origin}/fhir/manifest` }] } : {})
      }))
    const server: Http.Server = yield* Http.server(({ headers, method, url = "" }, response) => {
      if (url.includes("$export")) {
        return at("kick-off", response, () =>
          void response.writeHead(202, { "content-location": `${server.origin}/fhir/status` }).end())
      }
      if (method === "DELETE") {
        return at("DELETE", response, () =>
          void response.writeHead(202).end())
      }
      if (url === "/fhir/status") {
        if (step === "wait for the server" && !isReached) {
          isReached = true
          return void response.writeHead(202, { "retry-after": "3600" }).end()
        }
        return at("status request", response, () =>
          void manifest(0, response))
      }
      if (url === "/fhir/manifest") return at("second manifest", response, () => void manifest(1, response))
      const file = Number(url.split("/").at(-1))
      const text = textOf(file)
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0)
      const send = () => {
        response.writeHead(from > 0 ? 206 : 200, {
          "content-type": "application/fhir+ndjson",
          ...(from > 0 ? { "content-range": `bytes ${from}-${text.length - 1}/${text.length}` } : {})
        })
        if (file !== 1) return void response.end(text.slice(from))
        const middle = Math.max(from, Math.floor(text.length / 2))
        response.write(text.slice(from, middle))
        at("middle of a file", response, () => void response.end(text.slice(middle)))
      }
      if (file === 0) return at("request of a file", response, send)
      if (file === 1) return at("request of the next file", response, send)
      return send()
    })
    return {
      server,
      arrived: Deferred.await(arrived),
      reach,
      release: Effect.sync(() => held?.()),
      isClosed: () => held === undefined || isClosed,
      count: (method: string, part: string) =>
        server.requests.filter((request) => request.method === method && request.url.includes(part)).length
    }
  })

const eventually = (description: string, condition: () => boolean) =>
  Effect.suspend(() => condition() ? Effect.void : Effect.fail("not yet")).pipe(
    Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo("10 seconds"))),
    Effect.mapError(() => new Error(`${description} did not happen`))
  )

/** The program of the table: it stores batches and the checkpoint after each of them in one step. */
const scene = (step: Step) =>
  Effect.gen(function*() {
    const http = yield* exportServer(step)
    const fhir = yield* over(NodeTransport.layer(), { fhirBaseUrl: `${http.server.origin}/fhir` })
    const stored: Array<string> = []
    let saved: BulkExport.Checkpoint | undefined
    let batches = 0
    const onProgress = ({ phase }: BulkExport.Progress) =>
      Effect.sync(() => {
        if (phase === "Waiting" && step === "wait for the server") http.reach()
      })
    /** The sink hangs in its third transaction, once. */
    const sink = Effect.suspend(() => {
      batches += 1
      if (step !== "sink" || batches !== 3) return Effect.void
      http.reach()
      return Effect.never
    })
    const export_ = Effect.suspend(() =>
      BulkExport.runForEachBatch(fhir, ({ checkpoint, items }) =>
        Effect.map(sink, () => {
          stored.push(...items.map(({ resource }) => String(resource["id"])))
          saved = checkpoint
        }), {
        batchSize: 7,
        concurrency: 1,
        from: saved,
        onProgress,
        onStart: (checkpoint) => Effect.sync(() => void (saved = checkpoint))
      })
    )
    const abandoned = Stream.runForEach(
      BulkExport.run(fhir, { concurrency: 1, onProgress }),
      () => step === "sink" ? Effect.zipRight(Effect.sync(http.reach), Effect.never) : Effect.void
    )
    /** Interrupts it at the step. The server responds late to requests that must not be aborted. */
    const interrupted = (self: Effect.Effect<void, unknown>) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(self)
        yield* http.arrived
        const stopping = yield* Effect.fork(Fiber.interrupt(fiber))
        if (step === "kick-off" || step === "DELETE") {
          yield* Effect.sleep("100 millis")
          yield* http.release
        }
        assert.isTrue(Exit.isInterrupted(yield* Fiber.join(stopping)))
        yield* eventually(`the end of the connection of the ${step}`, http.isClosed)
      })
    return {
      http,
      stored,
      export_,
      abandoned: interrupted(abandoned),
      interrupted,
      hasCheckpoint: () => saved !== undefined
    }
  })

describe("BulkExport that is interrupted at each step", () => {
  it.scopedLive.each(STEPS.map((step) => [step] as const))(
    "in the %s and abandoned: one DELETE, and no connection stays open",
    ([step]) =>
      Effect.gen(function*() {
        const { abandoned, http } = yield* scene(step)
        yield* abandoned
        yield* eventually("the DELETE", () => http.count("DELETE", "/status") === 1)
        yield* Effect.sleep("50 millis")
        assert.strictEqual(http.count("DELETE", "/status"), 1)
        assert.strictEqual(http.count("GET", "$export"), 1)
      }),
    30_000
  )

  it.scopedLive.each(STEPS.map((step) => [step] as const))(
    "in the %s and to be resumed: the export stays, and each resource is stored once",
    ([step]) =>
      Effect.gen(function*() {
        const { export_, hasCheckpoint, http, interrupted, stored } = yield* scene(step)
        yield* interrupted(export_)
        // Without a checkpoint, another run could not find the export.
        assert.strictEqual(hasCheckpoint(), step !== "kick-off")
        assert.strictEqual(http.count("DELETE", "/status"), step === "kick-off" || step === "DELETE" ? 1 : 0)
        assert.deepStrictEqual(stored, ALL.slice(0, stored.length))
        yield* export_
        assert.deepStrictEqual(stored, ALL)
        assert.strictEqual(http.count("GET", "$export"), step === "kick-off" ? 2 : 1)
        assert.strictEqual(http.count("DELETE", "/status"), step === "kick-off" || step === "DELETE" ? 2 : 1)
      }),
    30_000
  )
})
