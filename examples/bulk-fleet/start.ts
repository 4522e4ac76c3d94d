/**
 * Starts one export for each server, shows them until all have ended, and prints the results: `npx tsx
 * examples/bulk-fleet/start.ts [run]`. It may be stopped and started again with the same run: the exports go on.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { SmartServers } from "effect-safire"
import { ClientLive, DatabaseLive, FhirLive } from "./cluster.js"
import * as Tables from "./tables.js"
import type { Sample } from "./view.js"
import { render } from "./view.js"
import { ExportServer, LoadFile, WorkflowsLive } from "./workflows.js"

/** Redraws the view in a terminal. */
const show = (run: string) =>
  Effect.gen(function*() {
    const samples: Array<Sample> = []
    let height = 0
    yield* Effect.gen(function*() {
      samples.push({ at: yield* Clock.currentTimeMillis, rows: yield* Tables.overview(run) })
      if (samples.length > 60) samples.shift()
      const lines = render(samples)
      process.stderr.write(
        `${height > 0 ? `\u001B[${height}A` : ""}${lines.map((line) => `\u001B[2K${line}\n`).join("")}`
      )
      height = lines.length
    }).pipe(Effect.repeat(Schedule.spaced("500 millis")))
  })

const POLL_MILLIS = 500
const POLLS_BETWEEN_RESUMES = 60

/**
 * Waits for the result of a workflow. A database that restarts is a defect of `poll`. A wake-up that the cluster has
 * lost is repeated: to resume a workflow that runs has no effect.
 */
const resultOf = (server: string, run: string, id: string) =>
  Effect.gen(function*() {
    for (let polls = 1;; polls++) {
      const result = yield* ExportServer.poll(id).pipe(Effect.sandbox, Effect.retry(Schedule.spaced("1 second")))
      if (result?._tag === "Complete") return result.exit
      if (polls % POLLS_BETWEEN_RESUMES === 0) {
        const files = yield* Tables.unfinished({ server, run })
        yield* Effect.forEach(files, ({ file }) =>
          Effect.flatMap(LoadFile.executionId({ server, run, file }), LoadFile.resume))
        yield* ExportServer.resume(id)
      }
      yield* Effect.sleep(POLL_MILLIS)
    }
  })

const program = Effect.gen(function*() {
  const run = process.argv[2] ?? `run-${yield* Clock.currentTimeMillis}`
  const servers = yield* Effect.flatMap(SmartServers.SmartServers, ({ keys }) => keys)
  const view = yield* Effect.fork(process.stderr.isTTY ? show(run) : Effect.never)
  const results = yield* Effect.forEach(servers, (server) =>
    Effect.gen(function*() {
      const id = yield* ExportServer.execute({ server, run }, { discard: true })
      return { server, exit: yield* resultOf(server, run, id) }
    }), { concurrency: "unbounded" })
  yield* Fiber.interrupt(view)
  const lines = results.map(({ exit, server }) =>
    Exit.isSuccess(exit)
      ? `${server}: ${exit.value.resources} resources in ${exit.value.files} files`
      : `${server}: failed`
  )
  yield* Console.log(lines.join("\n"))
})

program.pipe(
  Effect.provide(WorkflowsLive.pipe(
    Layer.provideMerge(ClientLive),
    Layer.provideMerge(FhirLive),
    Layer.provideMerge(Layer.effectDiscard(Tables.create)),
    Layer.provideMerge(DatabaseLive)
  )),
  NodeRuntime.runMain
)
