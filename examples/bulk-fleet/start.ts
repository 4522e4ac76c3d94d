/**
 * Starts one export for each server, shows them until all have ended, and prints the results: `npx tsx
 * examples/bulk-fleet/start.ts [run]`. It may be stopped and started again with the same run: the exports go on.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { SmartServers } from "effect-safire"
import { ClientLive, DatabaseLive, FhirLive } from "./cluster.js"
import * as Tables from "./tables.js"
import type { Sample } from "./view.js"
import { render } from "./view.js"
import { resultOf, startAgain } from "./watchdog.js"
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

/** The result of the export of one server. */
const exported = (server: string, run: string) =>
  Effect.gen(function*() {
    const id = yield* startAgain(ExportServer.execute({ server, run }, { discard: true }))
    const resume = Effect.gen(function*() {
      const files = yield* Tables.unfinished({ server, run })
      yield* Effect.forEach(files, ({ file }) =>
        Effect.flatMap(LoadFile.executionId({ server, run, file }), LoadFile.resume))
      yield* ExportServer.resume(id)
    })
    return { server, exit: yield* resultOf(ExportServer.poll(id), resume) }
  })

const program = Effect.gen(function*() {
  const run = process.argv[2] ?? `run-${yield* Clock.currentTimeMillis}`
  const servers = yield* Effect.flatMap(SmartServers.SmartServers, ({ keys }) => keys)
  const view = yield* Effect.fork(process.stderr.isTTY ? show(run) : Effect.never)
  const results = yield* Effect.forEach(servers, (server) => exported(server, run), { concurrency: "unbounded" })
  yield* Fiber.interrupt(view)
  const lines = results.map(({ exit, server }) =>
    Exit.isSuccess(exit)
      ? `${server}: ${exit.value.resources} resources in ${exit.value.files} files`
      : `${server}: ${
        Cause.failures(exit.cause).pipe(
          Chunk.head,
          Option.match({
            onNone: () => "failed",
            onSome: ({ message }) => message
          })
        )
      }`
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
