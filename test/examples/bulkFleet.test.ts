/** `examples/bulk-fleet`: three processes, twenty servers, PostgreSQL, and SIGKILL at random moments. */
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import * as ShardId from "@effect/cluster/ShardId"
import * as Sharding from "@effect/cluster/Sharding"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Workflow from "@effect/workflow/Workflow"
import * as WorkflowEngine from "@effect/workflow/WorkflowEngine"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { BulkExport, FhirClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { FhirLive } from "../../examples/bulk-fleet/cluster.js"
import * as Tables from "../../examples/bulk-fleet/tables.js"
import { render } from "../../examples/bulk-fleet/view.js"
import { hasNoShard, resultOf, startAgain } from "../../examples/bulk-fleet/watchdog.js"
import { ExportServer, WorkflowsLive } from "../../examples/bulk-fleet/workflows.js"
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

  it.effect("the view is empty before a rate is known, and counts the last ten seconds only", () =>
    Effect.sync(() => {
      const row = { server: "north", state: "reading", files: 2, filesDone: 0, expected: 4000, reading: "Patient" }
      const at = (seconds: number, resources: number) => ({ at: 1000 * seconds, rows: [{ ...row, resources }] })
      const shown = (...samples: ReadonlyArray<ReturnType<typeof at>>) =>
        render(samples).map((line) => line.replace(/ {2,}/g, "  "))
      assert.deepStrictEqual(shown(at(0, 0)), ["north  reading  0/2 files  Patient  0 of 4000  0/s"])
      // 100 a second in the last ten seconds, after a slow beginning.
      assert.deepStrictEqual(shown(at(0, 0), at(60, 1000), at(70, 2000)), [
        "north  reading  0/2 files  Patient  2000 of 4000  100/s  20s left"
      ])
      const unknown = { ...row, expected: 0, resources: 7, reading: null, state: "half done" }
      assert.deepStrictEqual(render([{ at: 0, rows: [unknown] }]).map((line) => line.replace(/ {2,}/g, "  ")), [
        "north  half done  0/2 files  7  0/s"
      ])
    }))

  describe("the watchdog", () => {
    /** The shards of this machine, as the cluster reports them. */
    const sharding = (shards: () => ReadonlyArray<string>) =>
      Effect.provideService(
        Sharding.Sharding,
        {
          hasShardId: (id: ShardId.ShardId) => shards().includes(id.toString())
        } as unknown as Sharding.Sharding["Type"]
      )

    it.effect("ends a machine that has had no shard for the time, and no machine that has one", () =>
      Effect.gen(function*() {
        let shards: ReadonlyArray<string> = [ShardId.make("default", 60).toString()]
        const watched = yield* Effect.fork(sharding(() => shards)(hasNoShard(60, "30 seconds")))
        yield* TestClock.adjust("10 minutes")
        assert.isNull(watched.unsafePoll())
        shards = []
        yield* TestClock.adjust("20 seconds")
        shards = [ShardId.make("default", 1).toString()]
        yield* TestClock.adjust("5 seconds")
        shards = []
        yield* TestClock.adjust("20 seconds")
        assert.isNull(watched.unsafePoll())
        yield* TestClock.adjust("20 seconds")
        assert.isTrue(Exit.isSuccess(watched.unsafePoll() ?? Exit.void) && watched.unsafePoll() !== null)
      }))

    it.effect("resumes a workflow without a result each 30 seconds, and waits for a database that restarts", () =>
      Effect.gen(function*() {
        const resumed: Array<number> = []
        let polls = 0
        const poll = Effect.suspend(() => {
          polls += 1
          if (polls <= 3) return Effect.die(new Error("the database restarts"))
          return Effect.succeed(
            resumed.length < 2 ? undefined : new Workflow.Complete({ exit: Exit.succeed("exported") })
          )
        })
        const resume = Effect.flatMap(Clock.currentTimeMillis, (now) => {
          resumed.push(now)
          return Effect.fail("the first one is lost")
        })
        const waiting = yield* Effect.fork(resultOf(poll, resume))
        yield* TestClock.adjust("3 minutes")
        assert.deepStrictEqual(yield* Fiber.join(waiting), Exit.succeed("exported"))
        assert.lengthOf(resumed, 2)
        assert.strictEqual(resumed[1]! - resumed[0]!, 30_000)
      }))

    it.effect("starts a workflow again whose message a broken connection lost, and no workflow that failed", () =>
      Effect.gen(function*() {
        let starts = 0
        const started = yield* Effect.fork(startAgain(Effect.suspend(() => {
          starts += 1
          return starts <= 2 ? Effect.die(new Error("write ECONNRESET")) : Effect.succeed("execution")
        })))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(started), "execution")
        const failed = yield* Effect.exit(startAgain(Effect.suspend(() => {
          starts += 1
          return Effect.fail("the export failed")
        })))
        assert.deepStrictEqual(failed, Exit.fail("the export failed"))
        assert.strictEqual(starts, 4)
        const lost = yield* Effect.fork(startAgain(Effect.die("never reachable")))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* Fiber.await(lost), Exit.die("never reachable"))
      }))
  })

  it.scopedLive.skipIf(!Databases.isFound(postgres))(
    "a file whose URL has expired is read by a new one, which the fleet stores",
    () =>
      Effect.gen(function*() {
        if (!Databases.isFound(postgres)) return
        const ehr = yield* Sandbox.start({ resources: resources(0), bulkData: { fileUrlLifetime: "3 seconds" } })
        const environment = ConfigProvider.fromMap(
          new Map([
            ["SMART_SERVERS", "north"],
            ["NORTH_FHIR_BASE_URL", ehr.fhirBaseUrl],
            ["NORTH_CLIENT_ID", "sandbox-backend"],
            ["NORTH_CLIENT_SECRET", Redacted.value(SandboxEhr.defaultClientSecret)],
            ["NORTH_SCOPES", "system/*.rs"],
            ["NORTH_ALLOW_INSECURE_LOCALHOST", "true"]
          ]),
          { pathDelim: "_" }
        )
        const at = { server: "north", run: "nightly" }
        const layer = WorkflowsLive.pipe(
          Layer.provideMerge(WorkflowEngine.layerMemory),
          Layer.provideMerge(FhirLive),
          Layer.provideMerge(Layer.effectDiscard(Tables.create)),
          Layer.provideMerge(PgClient.layer({ url: yield* postgres.url })),
          Layer.provide(Layer.setConfigProvider(environment))
        )
        yield* Effect.gen(function*() {
          const fhir = (yield* FhirClient.FhirClient).forBackend({ server: "north" })
          let job = yield* BulkExport.start(fhir)
          while (!job.isComplete) {
            const status = yield* BulkExport.poll(fhir, job)
            if (status._tag === "Manifest") job = status.job
          }
          yield* Tables.saveJob(at, job, "reading")
          yield* Effect.sleep("3100 millis")
          const result = yield* ExportServer.execute(at)
          assert.deepStrictEqual(result, { files: 5, resources: OBSERVATIONS + 1 })
          const stored = yield* Tables.findJob(at)
          assert.strictEqual(stored?.files.length, 5)
          assert.isTrue(stored?.files.every(({ url }, index) => url !== job.files[index]?.url))
          const sql = yield* SqlClient.SqlClient
          const [counts] = yield* sql<{ readonly all: number; readonly distinct: number }>`
            SELECT count(*)::int AS all, count(DISTINCT (type, id))::int AS distinct FROM fleet_resources`
          assert.deepStrictEqual(counts, { all: OBSERVATIONS + 1, distinct: OBSERVATIONS + 1 })
          const refused = (yield* ehr.requests).filter(({ status, url }) => url.includes("signature") && status === 403)
          assert.isAbove(refused.length, 0)
        }).pipe(Effect.provide(layer))
      }),
    60_000
  )

  it.scopedLive.skipIf(!Databases.isFound(postgres))(
    "an export of 20,000 files is stored, and its resources are expected only if all files have a count",
    () =>
      Effect.gen(function*() {
        if (!Databases.isFound(postgres)) return
        const at = { server: "north", run: "nightly" }
        const job = (counts: ReadonlyArray<number | undefined>) =>
          new BulkExport.Job({
            version: 1,
            statusUrl: "https://ehr.example/fhir/status/1",
            manifests: ["https://ehr.example/fhir/status/1"],
            files: counts.map((count, index) => ({
              kind: "output" as const,
              type: "Patient",
              url: `https://ehr.example/fhir/files/${index}`,
              requiresAccessToken: true,
              ...(count === undefined ? {} : { count })
            }))
          })
        yield* Effect.gen(function*() {
          yield* Tables.create
          yield* Tables.saveJob(at, job(Array.from({ length: 20_000 }, () => 2)), "reading")
          yield* Tables.saveJob({ server: "south", run: "nightly" }, job([2, undefined]), "reading")
          const rows = yield* Tables.overview("nightly")
          assert.deepStrictEqual(rows.map(({ expected, files }) => [files, expected]), [[20_000, 40_000], [2, 0]])
        }).pipe(Effect.provide(PgClient.layer({ url: yield* postgres.url })))
      }),
    60_000
  )

  it.scopedLive.skipIf(!Databases.isFound(postgres))(
    "three processes export twenty servers; processes are killed at random moments; each resource arrives once",
    () =>
      Effect.gen(function*() {
        if (!Databases.isFound(postgres)) return
        const database = yield* postgres.url
        const ehrs = yield* Effect.forEach(
          Array.from({ length: SERVERS }, (_, server) => server),
          (server) =>
            Sandbox.start({
              resources: resources(server),
              // On a busy machine, the URLs of every other server expire while the fleet reads.
              ...(server % 2 === 0 ? {} : { bulkData: { fileUrlLifetime: "8 seconds" } })
            })
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
        // The supervisor of the fleet.
        const supervision = Effect.forever(Effect.zipRight(
          Effect.forEach(runners, ({ child, output }, index) =>
            child.exitCode === null
              ? Effect.void
              : Effect.gen(function*() {
                assert.include(output(), "this machine has had no shard for too long")
                runners[index] = yield* run(index)
              })),
          Effect.sleep("1 second")
        ))
        yield* Effect.raceFirst(
          starter.exit,
          Effect.all([kills, supervision], { concurrency: "unbounded" })
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
