/** Files that a storage service keeps compressed, over real sockets: ranges are then ranges of the compressed bytes. */
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BulkExport } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as Http from "../support/http.js"
import { over } from "./fixtures.js"

const ids = Array.from({ length: 3_000 }, (_, index) => `${index}-${Math.random().toString(36)}`)
const text = ids.map((id) => `${JSON.stringify({ resourceType: "Patient", id })}\n`).join("")
const compressed = gzipSync(text)

/** Its first response of the file breaks off when the program has received lines. */
const storage = (headers: Readonly<Record<string, string>>, hasLines: () => boolean) =>
  Effect.gen(function*() {
    let isFirst = true
    const server: Http.Server = yield* Http.server(({ headers: { range }, method, url = "" }, response) => {
      if (url.includes("$export")) {
        return void response.writeHead(202, { "content-location": `${server.origin}/fhir/status` }).end()
      }
      if (method === "DELETE") return void response.writeHead(202).end()
      if (url === "/fhir/status") {
        const output = [{ type: "Patient", url: `${server.origin}/fhir/files/1` }]
        return void response.end(JSON.stringify({ requiresAccessToken: true, output, error: [] }))
      }
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0)
      const rest = compressed.subarray(from)
      const contentRange = { "content-range": `bytes ${from}-${compressed.length - 1}/${compressed.length}` }
      response.writeHead(range === undefined ? 200 : 206, {
        ...headers,
        "content-length": rest.length,
        ...(range === undefined ? {} : contentRange)
      })
      if (!isFirst) return void response.end(rest)
      isFirst = false
      response.write(rest.subarray(0, rest.length >> 2))
      const breakOff = () => hasLines() ? void response.destroy() : void setTimeout(breakOff, 10)
      breakOff()
    })
    return server
  })

describe("BulkExport of compressed files that break off", () => {
  it.scopedLive.each<[string, Readonly<Record<string, string>>]>([
    ["with Content-Encoding", { "content-encoding": "gzip", etag: "\"v1\"" }],
    ["without Content-Encoding", {}]
  ])("%s: they are requested again, and each resource arrives once", ([, headers]) =>
    Effect.gen(function*() {
      const received: Array<unknown> = []
      const server = yield* storage(headers, () => received.length > 0)
      const fhir = yield* over(NodeTransport.layer(), { fhirBaseUrl: `${server.origin}/fhir` })
      yield* Stream.runForEach(BulkExport.run(fhir, { maxOutage: "10 seconds" }), ({ resource }) =>
        Effect.sync(() => void received.push(resource["id"])))
      assert.deepStrictEqual(received, ids)
      assert.isTrue(server.requests.some(({ headers }) =>
        headers.range !== undefined
      ))
    }), 30_000)
})
