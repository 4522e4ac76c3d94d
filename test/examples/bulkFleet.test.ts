/** `examples/bulk-fleet`: three processes, twenty servers, PostgreSQL, and SIGKILL at random moments. */
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { SandboxEhr } from "effect-safire/testing"
import { render } from "../../examples/bulk-fleet/view.js"
import * as Sandbox from "../../examples/support/sandbox.js"
import * as Databases from "../support/databases.js"
import { freePort } from "../support/freePort.js"
import { root } from "../support/runExample.js"

const SERVERS = 20
const OBSERVATIONS = 80
const RUNNERS = 3
const KILLS = 3

const resources = (server: number) => [
  { resourceType: "Patient", id: `patient-${server}` },
  ...Array.from({ length: OBSERVATIONS }, (_, index) => ({
    resourceType: "Observation",
    id: `observation-${server}-${index}`,
    status: "final",
    subject: { reference: `Patient/patient-${server}` }
  }))
]

interface Process {
  readonly child: ChildProcess
  readonly output: () => string
  readonly exit: Effect.Effect<number | null>
}

/** A program of the example; it is killed with the scope. */
const start = (
  path: string,
  environment: Readonly<Record<string, string>>
): Effect.Effect<Process, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--import", "tsx", `examples/bulk-fleet/${path}`, "nightly"], {
        cwd: root,
        env: { PATH: process.env["PATH"] ?? "", ...environment }
      })
      let output = ""
      child.stdout.on("data", (data: Buffer) => {
        output += data.toString()
      })
      child.stderr.on("data", (data: Buffer) => {
        output += data.toString()
      })
      return {
        child,
        output: () => output,
        exit: Effect.async<number | null>((resume) => {
          if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
          child.on("exit", (code) => resume(Effect.succeed(code)))
        })
      }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const isReady = (one: Process) => one.output().includes("ready")

const postgres = Databases.postgres()

describe("examples/bulk-fleet", () => {
  it("the view has state, files, resources per second and the time left of each server", () => {
    const row = { server: "north", state: "reading", files: 4, expected: 1000, reading: "Observation" }
    const done = { server: "south", state: "done", files: 1, filesDone: 1, resources: 5, expected: 5, reading: null }
    const lines = render([
      { at: 0, rows: [{ ...row, filesDone: 0, resources: 0 }, done] },
      { at: 5_000, rows: [{ ...row, filesDone: 2, resources: 500 }, done] }
    ])
    assert.deepStrictEqual(lines.map((line) => line.replace(/ {2,}/g, "  ")), [
      "north  reading  2/4 files  Observation  500 of 1000  100/s  5s left",
      "south  done  1/1 files  5 of 5"
    ])
    assert.deepStrictEqual(render([]), [])
  })

  it.scopedLive.skipIf(!Databases.isFound(postgres))(
    "three processes export twenty servers; processes are killed at random moments; each resource arrives once",
    () =>
      Effect.gen(function*() {
        if (!Databases.isFound(postgres)) return
        const database = yield* postgres.url
        const ehrs = yield* Effect.forEach(
          Array.from({ length: SERVERS }, (_, server) => server),
          (server) => Sandbox.start({ resources: resources(server) })
        )
        const environment = {
          FLEET_DATABASE: Redacted.value(database),
          FLEET_EXPIRY: "8 seconds",
          FLEET_BATCH: "6",
          SMART_SERVERS: ehrs.map((_, server) => `s${server}`).join(","),
          ...Object.fromEntries(ehrs.flatMap(({ fhirBaseUrl }, server) => [
            [`S${server}_FHIR_BASE_URL`, fhirBaseUrl],
            [`S${server}_CLIENT_ID`, "sandbox-backend"],
            [`S${server}_CLIENT_SECRET`, Redacted.value(SandboxEhr.defaultClientSecret)],
            [`S${server}_SCOPES`, "system/*.rs"],
            [`S${server}_ALLOW_INSECURE_LOCALHOST`, "true"]
          ]))
        }
        const run = (index: number) =>
          Effect.flatMap(freePort, (port) =>
            start("runner.ts", { ...environment, FLEET_PORT: String(port), FLEET_RUNNER: `runner-${index}` }))
        const runners = yield* Effect.forEach(
          Array.from({ length: RUNNERS }, (_, index) =>
            index),
          run
        )
        const starter = yield* start("start.ts", environment)
        let killed = 0
        const kills = Effect.gen(function*() {
          while (killed < KILLS) {
            yield* Effect.sleep(yield* Random.nextIntBetween(500, 3_000))
            const index = yield* Random.nextIntBetween(0, RUNNERS)
            const victim = runners[index]
            // One runner must stay alive, and a runner that starts has no work yet.
            if (victim === undefined || runners.filter(isReady).length < 2 || !isReady(victim)) continue
            victim.child.kill("SIGKILL")
            killed += 1
            runners[index] = yield* run(index)
          }
        })
        yield* Effect.raceFirst(
          starter.exit,
          Effect.zipRight(kills, Effect.never)
        )
        assert.strictEqual(
          starter.child.exitCode,
          0,
          starter.output() + runners.map(({ output }) => output()).join("\n")
        )
        assert.isAtLeast(killed, 1)
        const lines = starter.output().split("\n").filter((line) => /^s\d+: /.test(line))
        assert.strictEqual(lines.length, SERVERS)
        assert.isTrue(
          lines.every((line) => line.endsWith(`: ${OBSERVATIONS + 1} resources in 5 files`)),
          lines.join("\n")
        )

        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const [counts] = yield* sql<{ readonly all: number; readonly distinct: number }>`
            SELECT count(*)::int AS all, count(DISTINCT (server, type, id))::int AS distinct FROM fleet_resources`
          const expected = SERVERS * (OBSERVATIONS + 1)
          assert.deepStrictEqual(counts, { all: expected, distinct: expected })
          const [used] = yield* sql<{ readonly runners: number }>`
            SELECT count(DISTINCT runner)::int AS runners FROM fleet_files`
          assert.isAbove(used?.runners ?? 0, 1)
          // What the cluster stores has neither a credential nor a URL of a job or a file.
          const stored = yield* sql<{ readonly text: string }>`
            SELECT message::text AS text FROM cluster_messages message
            UNION ALL SELECT reply::text FROM cluster_replies reply`
          assert.isAbove(stored.length, SERVERS)
          const secrets = [
            Redacted.value(SandboxEhr.defaultClientSecret),
            "/bulk/job-",
            ...(yield* Effect.forEach(ehrs, ({ issued }) => issued)).flat()
          ]
          for (const secret of secrets) {
            assert.isFalse(stored.some(({ text }) => text.includes(secret)), "the cluster stored a secret")
          }
        }).pipe(Effect.provide(PgClient.layer({ url: database })))
        // The exports were deleted at the servers.
        const deletions = yield* Effect.forEach(
          ehrs,
          ({ requests }) => Effect.map(requests, (all) => all.filter(({ method }) => method === "DELETE").length)
        )
        assert.isTrue(deletions.every((count) => count >= 1), deletions.join(", "))
      }),
    300_000
  )
})
