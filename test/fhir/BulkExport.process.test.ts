import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "../support/http.js"

const program = fileURLToPath(new URL("exportingProcess.ts", import.meta.url))

/** Runs the program; the exit code, or nothing if it was killed. */
const start = (origin: string, path: string) => {
  const child = ChildProcess.spawn(process.execPath, ["--import", "tsx", program, origin, path], { stdio: "ignore" })
  return {
    kill: Effect.sync(() => void child.kill("SIGKILL")),
    exit: Effect.async<number | null>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
      child.on("exit", (code) => resume(Effect.succeed(code)))
    })
  }
}

const kept = (path: string): { readonly ids: ReadonlyArray<string> } =>
  Fs.existsSync(path) ? JSON.parse(Fs.readFileSync(path, "utf8")) : { ids: [] }

describe("BulkExport in a process that is killed", () => {
  it.scopedLive("another process resumes it without loss or repetition", () =>
    Effect.gen(function*() {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "export-"))),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
      )
      const path = Path.join(directory, "kept.json")
      let slow = true
      const server = yield* Http.server(({ url = "" }, response) => {
        if (url.includes("$export")) {
          response.writeHead(202, { "content-location": "/fhir/status" }).end()
        } else if (url === "/fhir/status") {
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({
            requiresAccessToken: true,
            output: [0, 1, 2, 3].map((index) => ({ type: "Patient", url: `/fhir/files/${index}`, count: 50 }))
          }))
        } else {
          response.writeHead(200, { "content-type": "application/fhir+ndjson" })
          const name = url.split("/").at(-1) ?? ""
          const send = (line: number) => {
            if (line > 50) {
              response.end()
              return
            }
            response.write(`${JSON.stringify({ resourceType: "Patient", id: `${name}-${line}` })}\n`)
            if (slow) setTimeout(() => send(line + 1), 20)
            else send(line + 1)
          }
          send(1)
        }
      })

      for (const enough of [5, 60]) {
        const child = start(server.origin, path)
        while (kept(path).ids.length < enough) yield* Effect.sleep("20 millis")
        yield* child.kill
        assert.isNull(yield* child.exit)
      }
      const sofar = kept(path).ids.length
      assert.isBelow(sofar, 200)
      slow = false
      assert.strictEqual(yield* start(server.origin, path).exit, 0)
      const { ids } = kept(path)
      assert.strictEqual(ids.length, 200)
      assert.strictEqual(new Set(ids).size, 200)
      assert.strictEqual(server.requests.filter(({ url }) => url.includes("$export")).length, 1)
    }), 60_000)
})
