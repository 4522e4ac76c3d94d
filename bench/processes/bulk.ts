/**
 * Downloads the file of a bulk server: `bulk <contender> <port> <bytes>`. Prints the throughput and the peak of the
 * memory.
 */
import { createWriteStream } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { BulkExport, ClientAuthentication, FhirClient, LaunchContext, SmartClient, TokenSet } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { request } from "undici"

const [, , contender = "", port = "", target = "file"] = process.argv
const base = `http://127.0.0.1:${port}/fhir`
const folder = await mkdtemp(join(tmpdir(), "bench-bulk-"))
const path = join(folder, "file.ndjson")

const undici = async (): Promise<void> => {
  const { body } = await request(`${base}/file`)
  await pipeline(body, createWriteStream(path))
}

/** The minimum that checks each line. */
const undiciParsing = async (): Promise<void> => {
  const { body } = await request(`${base}/file`)
  await pipeline(body, async function*(chunks: AsyncIterable<Buffer>) {
    let rest: Buffer = Buffer.alloc(0)
    for await (const chunk of chunks) {
      const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
      let from = 0
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
        JSON.parse(bytes.toString("utf8", from, end))
        from = end + 1
      }
      rest = bytes.subarray(from)
      yield chunk
    }
  }, createWriteStream(path))
}

const tokens = new TokenSet.TokenSet({
  version: 1,
  accessToken: Redacted.make("token"),
  receivedAt: DateTime.unsafeMake(0),
  scopes: ["system/*.rs"],
  context: new LaunchContext.LaunchContext({}),
  extensions: Redacted.make({})
})

const ours = (write: boolean): Promise<void> =>
  Effect.gen(function*() {
    const context = yield* Layer.build(
      Layer.merge(
        FhirClient.layer,
        SmartClient.layer({ fhirBaseUrl: base, clientId: "app", allowInsecureLocalhost: true })
      ).pipe(Layer.provide([NodeTransport.layer(), ClientAuthentication.layerPublic]))
    )
    const fhir = Context.get(context, FhirClient.FhirClient).forTokens(
      Context.get(context, SmartClient.SmartClient),
      tokens
    )
    const file = createWriteStream(path, { highWaterMark: 1024 * 1024 })
    const drained = Effect.async<void>((resume) => void file.once("drain", () => resume(Effect.void)))
    yield* Stream.runForEachChunk(BulkExport.runLines(fhir), (lines) => {
      if (!write) return Effect.void
      let isFull = false
      // One write for all of them.
      file.cork()
      for (const { bytes } of lines) isFull = !file.write(bytes)
      file.uncork()
      return isFull ? drained : Effect.void
    })
    yield* Effect.async<void>((resume) => void file.end(() => resume(Effect.void)))
  }).pipe(Effect.scoped, Effect.runPromise)

const run = (): Promise<void> => {
  if (contender === "undici") return undici()
  return contender === "undici, JSON.parse" ? undiciParsing() : ours(target === "file")
}

// The first download, which the compiler optimises, does not count: an export runs for hours.
if (target === "file") await run()
let peak = 0
const watch = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss())
}, 50)
const began = performance.now()
const cpu = process.cpuUsage()
await run()
const { system, user } = process.cpuUsage(cpu)
clearInterval(watch)
await rm(folder, { recursive: true })
process.send?.({ millis: performance.now() - began, cpuMillis: (user + system) / 1000, peak })
