import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SessionStore from "../../src/session/SessionStore.js"
import { increment, numberIn } from "./increment.js"
import { connectTo, type Kind } from "./places.js"
import { newId } from "./sessionStoreContract.js"

const worker = fileURLToPath(new URL("./sessionStoreWorker.ts", import.meta.url))

const run = (args: ReadonlyArray<string>) =>
  Effect.async<readonly [number | null, string]>((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", worker, ...args], { stdio: ["ignore", "ignore", "pipe"] })
    let stderr = ""
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.once("exit", (code) => resume(Effect.succeed([code, stderr])))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Four processes and this one increment a number concurrently, fifty times each. */
export const severalProcesses = (kind: Kind, address: string) =>
  Effect.gen(function*() {
    const id = newId()
    const store = yield* SessionStore.make(yield* connectTo(kind, address))
    const [results] = yield* Effect.all([
      Effect.forEach(
        Array.from({ length: 4 }),
        () => run([kind, address, Redacted.value(id), "50"]),
        { concurrency: "unbounded" }
      ),
      Effect.repeatN(Effect.delay(increment(store, id), "20 millis"), 49)
    ], { concurrency: "unbounded" })
    assert.deepStrictEqual(results, Array.from({ length: 4 }, () => [0, ""] as const))
    assert.strictEqual(numberIn(yield* store.get(id)), 250)
  })
