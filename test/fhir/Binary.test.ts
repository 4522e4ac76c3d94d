/** Binary content in both directions, over sockets: as bytes, as streams, and in the JSON of a Binary resource. */
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { BackendServices, FhirClient, HttpLimits } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as Programs from "../../examples/fhir/binary.js"
import * as Http from "../support/http.js"
import { over, token, written } from "./fixtures.js"

/** Bytes of each value, which are not valid UTF-8. */
const image = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)

const LAST_MODIFIED = "Thu, 01 Oct 2026 10:00:00 GMT"

interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** A server that stores one Binary, and returns it as its content or as a resource. */
const binaryServer = (form: "content" | "resource", status = 201) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const received: Array<Received> = []
        const server = createServer(async (request, response) => {
          const chunks: Array<Buffer> = []
          for await (const chunk of request) chunks.push(chunk as Buffer)
          const { headers, method = "", url = "" } = request
          received.push({ method, path: url, headers, body: Buffer.concat(chunks) })
          response.setHeader("etag", "W/\"3\"")
          response.setHeader("last-modified", LAST_MODIFIED)
          const isKnown = headers["if-none-match"] === "W/\"3\"" || headers["if-modified-since"] === LAST_MODIFIED
          if (method !== "GET") {
            response.setHeader("location", "http://localhost/fhir/Binary/new/_history/1")
            response.writeHead(status).end()
          } else if (isKnown) {
            response.writeHead(304).end()
          } else if (form === "content") {
            response.writeHead(200, { "content-type": "image/png" }).end(image)
          } else {
            const resource = {
              resourceType: "Binary",
              contentType: "image/png",
              data: Buffer.from(image).toString("base64").replace(/(.{76})/g, "$1\n")
            }
            response.writeHead(200, { "content-type": "application/fhir+json" }).end(JSON.stringify(resource))
          }
        })
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
        return { server, received, fhirBaseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir` }
      }),
      ({ server }) =>
        Effect.promise(() => {
          server.closeAllConnections()
          return new Promise<void>((resolve) => server.close(() => resolve()))
        })
    ),
    ({ fhirBaseUrl, received }) => ({ fhirBaseUrl, received })
  )

const transports: ReadonlyArray<[string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["NodeTransport", NodeTransport.layer()],
  ["fetch", FetchHttpClient.layer]
]

describe.each(transports)("Binary over %s", (_, http) => {
  it.scopedLive.each(["content", "resource"] as const)(
    "`readBinary` returns the bytes of a response with the %s",
    (form) =>
      Effect.gen(function*() {
        const { fhirBaseUrl, received } = yield* binaryServer(form)
        const fhir = yield* over(http, { fhirBaseUrl })
        for (const reference of ["1", "Binary/1", `${fhirBaseUrl}/Binary/1`]) {
          const { bytes, contentType, etag, versionId } = yield* fhir.readBinary(reference)
          assert.deepStrictEqual([contentType, etag, versionId], ["image/png", "W/\"3\"", "3"])
          assert.isTrue(Buffer.from(image).equals(bytes))
        }
        assert.deepStrictEqual(
          received.map(({ headers, path }) => [path, headers.accept, headers.authorization]),
          Array.from({ length: 3 }, () => ["/fhir/Binary/1", "*/*", `Bearer ${token}`])
        )
      })
  )

  it.scopedLive("`openBinary` returns the content as a stream", () =>
    Effect.gen(function*() {
      for (const form of ["content", "resource"] as const) {
        const { fhirBaseUrl } = yield* binaryServer(form)
        const fhir = yield* over(http, { fhirBaseUrl })
        const { contentType, stream } = yield* fhir.openBinary("1")
        const chunks = Chunk.toReadonlyArray(yield* Stream.runCollect(stream))
        assert.strictEqual(contentType, "image/png")
        assert.isTrue(Buffer.concat(chunks).equals(image))
      }
    }))

  it.scopedLive.each(["content", "resource"] as const)(
    "a conditional read of a response with the %s returns `NotModified` for the version that the caller has",
    (form) =>
      Effect.gen(function*() {
        const { fhirBaseUrl, received } = yield* binaryServer(form)
        const fhir = yield* over(http, { fhirBaseUrl })
        const unchanged = new FhirClient.NotModified({ etag: "W/\"3\"", lastModified: LAST_MODIFIED })
        for (const known of [{ ifNoneMatch: "W/\"3\"" }, { ifModifiedSince: LAST_MODIFIED }]) {
          const options = { ...known, accept: "image/*" }
          assert.deepStrictEqual(yield* fhir.conditionalReadBinary("1", options), unchanged)
          assert.deepStrictEqual(yield* Effect.scoped(fhir.conditionalOpenBinary("1", options)), unchanged)
        }
        const read = yield* fhir.conditionalReadBinary("1", { ifNoneMatch: "W/\"2\"" })
        assert.isTrue("bytes" in read && Buffer.from(image).equals(read.bytes))
        const opened = yield* fhir.conditionalOpenBinary("Binary/1", { ifNoneMatch: "W/\"2\"" })
        const chunks = "stream" in opened ? yield* Stream.runCollect(opened.stream) : Chunk.empty()
        assert.isTrue(Buffer.concat(Chunk.toReadonlyArray(chunks)).equals(image))
        assert.deepStrictEqual(
          received.map(({ headers }) => [headers["if-none-match"], headers["if-modified-since"], headers.accept]),
          [
            ["W/\"3\"", undefined, "image/*"],
            ["W/\"3\"", undefined, "image/*"],
            [undefined, LAST_MODIFIED, "image/*"],
            [undefined, LAST_MODIFIED, "image/*"],
            ["W/\"2\"", undefined, "*/*"],
            ["W/\"2\"", undefined, "*/*"]
          ]
        )
      })
  )

  it.scopedLive("`createBinary` and `updateBinary` send bytes and streams unchanged, with their headers", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl, received } = yield* binaryServer("content")
      const fhir = yield* over(http, { fhirBaseUrl })
      const parts = Stream.make(image.subarray(0, 10), image.subarray(10))
      const created = yield* fhir.createBinary({
        contentType: "image/png",
        content: image,
        securityContext: "Patient/1"
      })
      yield* fhir.createBinary({ contentType: "image/png", content: parts })
      yield* fhir.updateBinary("1", { contentType: "image/png", content: image }, { ifMatch: "W/\"3\"" })
      assert.deepStrictEqual([created.status, created.location], [201, "http://localhost/fhir/Binary/new/_history/1"])
      assert.deepStrictEqual(
        received.map(({ headers, method, path }) => [
          method,
          path,
          headers["content-type"],
          headers["x-security-context"],
          headers["if-match"]
        ]),
        [
          ["POST", "/fhir/Binary", "image/png", "Patient/1", undefined],
          ["POST", "/fhir/Binary", "image/png", undefined, undefined],
          ["PUT", "/fhir/Binary/1", "image/png", undefined, "W/\"3\""]
        ]
      )
      for (const { body } of received) assert.isTrue(body.equals(image))
    }))

  it.scopedLive("a stream is sent once: a 401 is an error, and the stream does not run again", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl, received } = yield* binaryServer("content", 401)
      const fhir = yield* over(http, { fhirBaseUrl })
      let runs = 0
      const content = Stream.suspend(() => {
        runs += 1
        return Stream.make(image)
      })
      const error = yield* Effect.flip(fhir.createBinary({ contentType: "image/png", content }))
      assert.deepStrictEqual([error.reason, runs, received.length], ["Unauthorized", 1, 1])
    }))

  it.scopedLive("`readBinary` ends at the size limit", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl } = yield* binaryServer("content")
      const fhir = yield* over(http, { fhirBaseUrl })
      const limits = { ...HttpLimits.defaults, maxFhirResponseBytes: 60_000 }
      const error = yield* Effect.flip(Effect.provideService(fhir.readBinary("1"), HttpLimits.HttpLimits, limits))
      assert.strictEqual(error.reason, "TooLarge")
    }))
})

describe("the programs of docs/fhir.md", () => {
  it.scopedLive("a document is uploaded as a stream, and its size read by its URL", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl, received } = yield* binaryServer("content")
      const fhir = yield* over(NodeTransport.layer(), { fhirBaseUrl })
      const client = { forBackend: () => fhir } as unknown as FhirClient.Service
      const run = <A, E>(program: Effect.Effect<A, E, FhirClient.FhirClient | BackendServices.BackendServices>) =>
        program.pipe(
          Effect.provideService(FhirClient.FhirClient, client),
          Effect.provideService(BackendServices.BackendServices, {} as BackendServices.Service)
        )
      assert.strictEqual(yield* run(Programs.upload(Stream.make(image))), "http://localhost/fhir/Binary/new/_history/1")
      assert.isTrue(received[0]?.body.equals(image))
      assert.deepStrictEqual(yield* run(Programs.size(`${fhirBaseUrl}/Binary/1`)), {
        bytes: image.byteLength,
        contentType: "image/png"
      })
    }))
})

describe("Binary", () => {
  it.effect("a 304 without a condition is an error", () =>
    Effect.gen(function*() {
      const fhir = yield* written(Http.fake(() => new Response(null, { status: 304 })))
      const open = Effect.scoped(fhir.openBinary("1"))
      for (const call of [Effect.asVoid(fhir.readBinary("1")), Effect.asVoid(open)]) {
        const error = yield* Effect.flip(call)
        assert.deepStrictEqual([error.reason, error.status], ["NotFhir", 304])
      }
    }))

  it.effect("a foreign or missing reference is not requested", () =>
    Effect.gen(function*() {
      const fhir = yield* over(NodeTransport.layer(), { fhirBaseUrl: "http://127.0.0.1:9/fhir" })
      const reasons = yield* Effect.forEach(["", "https://files.example/x"], (reference) =>
        Effect.map(Effect.flip(fhir.readBinary(reference)), ({ reason }) => reason))
      assert.deepStrictEqual(reasons, ["InvalidReference", "ForeignLink"])
    }).pipe(Effect.scoped))
})
