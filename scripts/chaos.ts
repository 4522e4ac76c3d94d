// Eight processes with 125 callers each renew sessions in files, SQLite, PostgreSQL and Redis, while processes are
// killed or suspended, databases restart, disks are full, entries are damaged and clocks are wrong: `npm run chaos`.
// `-- --record` writes the results into docs/quality.md, `-- --rounds 1` and `-- --only files` shorten the run. It
// fails if a caller gets no result, a process dies by itself, or a session is lost where it need not be.
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { Sessions, SessionStore } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { expiredSession } from "../test/support/expiredSession.js"
import { connectTo } from "../test/support/places.js"
import { app } from "../test/support/sessionCallers.js"
import type { CallerResult } from "../test/support/sessionWorkerMessages.js"
import type { Worker } from "../test/support/sessionWorkers.js"
import { startWorker, workerProgram } from "../test/support/sessionWorkers.js"
import type { Place } from "./chaos/places.js"
import { places } from "./chaos/places.js"

const PROCESSES = 8
const CALLERS = 125
const LEASE_MILLIS = 12_000
/** The lease covers the token request and the time for which a write is repeated. */
const SAVE_MILLIS = 6_000
const LIMIT = "90 seconds"
const QUALITY = "docs/quality.md"

const argument = (name: string) => {
  const index = process.argv.indexOf(`--${name}`)
  return index < 0 ? undefined : process.argv[index + 1] ?? ""
}
const rounds = Number(argument("rounds") ?? 3)
const only = argument("only")

/** What happens during the renewal of one expired session. */
interface Scenario {
  readonly name: string
  /** Whether a session may be lost: tokens that a dead process received are nowhere else. */
  readonly mayLose: boolean
  /** The maximum number of renewals of one expired token. */
  readonly maxRefreshes: number
  readonly isPossible: (place: Place) => boolean
  /** How long the token endpoint takes. */
  readonly delayMillis: number
  /** How far the clock of each process is ahead, in milliseconds. */
  readonly offsets?: ReadonlyArray<number> | undefined
  readonly act: (scene: Scene) => Effect.Effect<void, unknown>
}

interface Scene {
  readonly place: Place
  readonly workers: ReadonlyArray<Worker>
  /** Ends when a refresh has arrived at the server. */
  readonly arrived: Effect.Effect<void>
  readonly killed: (worker: number) => Effect.Effect<void, unknown>
}

const randomWorker = Random.nextIntBetween(0, PROCESSES)
const sometime = (millis: number) => Effect.flatMap(Random.nextIntBetween(0, millis), (time) => Effect.sleep(time))

const undisturbed: Scenario = {
  name: "undisturbed",
  mayLose: false,
  maxRefreshes: 1,
  isPossible: () => true,
  delayMillis: 200,
  act: () => Effect.void
}

const scenarios: ReadonlyArray<Scenario> = [
  undisturbed,
  {
    name: "SIGKILL of a process",
    mayLose: true,
    maxRefreshes: 2,
    isPossible: () => true,
    delayMillis: 200,
    act: ({ killed }) =>
      Effect.gen(function*() {
        yield* sometime(800)
        yield* killed(yield* randomWorker)
      })
  },
  {
    name: "SIGSTOP beyond the lease",
    mayLose: true,
    maxRefreshes: 2,
    isPossible: () => true,
    delayMillis: 200,
    act: ({ workers }) =>
      Effect.gen(function*() {
        yield* sometime(800)
        const worker = workers[yield* randomWorker]
        yield* worker?.signal("SIGSTOP") ?? Effect.void
        yield* Effect.sleep(LEASE_MILLIS + 1_000)
        yield* worker?.signal("SIGCONT") ?? Effect.void
      })
  },
  {
    name: "database restart",
    mayLose: false,
    maxRefreshes: 1,
    isPossible: ({ server }) => server !== undefined,
    delayMillis: 500,
    act: ({ arrived, place: { server } }) =>
      server === undefined ? Effect.void : Effect.gen(function*() {
        yield* arrived
        yield* server.kill
        yield* Effect.sleep("1 second")
        yield* server.start
      })
  },
  {
    name: "full disk for 3 seconds",
    mayLose: false,
    maxRefreshes: 1,
    isPossible: ({ disk }) => disk !== undefined,
    delayMillis: 500,
    act: ({ arrived, place: { disk, server } }) =>
      disk === undefined ? Effect.void : Effect.gen(function*() {
        yield* arrived
        yield* disk.fill
        yield* Effect.sleep("3 seconds")
        yield* disk.free
        // PostgreSQL ends if it has no space for its log: a supervisor starts it again.
        if (server !== undefined) yield* Effect.zipRight(server.kill, server.start)
      })
  },
  {
    name: "damaged entry",
    mayLose: true,
    maxRefreshes: 0,
    isPossible: () => true,
    delayMillis: 0,
    act: () => Effect.void
  },
  {
    name: "clock 5 minutes off",
    mayLose: false,
    maxRefreshes: 1,
    // One machine has one clock.
    isPossible: ({ server }) => server === undefined,
    delayMillis: 200,
    offsets: Array.from({ length: PROCESSES }, () => 300_000),
    act: () => Effect.void
  },
  {
    name: "clocks 5 minutes off, one jumps",
    mayLose: false,
    // Processes that are ahead renew again.
    maxRefreshes: PROCESSES,
    isPossible: ({ server }) => server !== undefined,
    delayMillis: 200,
    offsets: [0, 300_000, -300_000, 0, 300_000, -300_000, 0, 0],
    act: ({ workers }) =>
      Effect.gen(function*() {
        const last = workers[PROCESSES - 1]
        for (const offset of [3_600_000, -3_600_000, 0]) {
          yield* Effect.sleep("200 millis")
          yield* last?.setClock(offset) ?? Effect.void
        }
      })
  }
]

interface Round {
  readonly results: ReadonlyArray<CallerResult>
  readonly refreshes: number
  readonly reuse: number
  readonly isLost: boolean
  readonly millis: number
  readonly problems: ReadonlyArray<string>
}

/** A server that has detected a reuse refuses the tokens that it issued before. */
const isAccepted = (fhirBaseUrl: string, token: Redacted.Redacted) =>
  Effect.promise(() =>
    fetch(`${fhirBaseUrl}/Patient?_count=1`, { headers: { authorization: `Bearer ${Redacted.value(token)}` } }).then(
      async (response) => {
        await response.body?.cancel()
        return response.status === 200
      }
    )
  )

/** Workers end with the scope of the store, not with that of a round. */
const startWorkers = (program: string, place: Place, fhirBaseUrl: string) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const start = startWorker(program).pipe(
      Effect.tap((worker) =>
        worker.open({
          kind: place.kind,
          address: place.address,
          fhirBaseUrl,
          leaseMillis: LEASE_MILLIS,
          operationMillis: 5_000,
          saveMillis: SAVE_MILLIS
        })
      ),
      Scope.extend(scope)
    )
    return { start, workers: yield* Effect.all(Array.from({ length: PROCESSES }, () => start), { concurrency: 4 }) }
  })

const run = (program: string, place: Place) =>
  Effect.gen(function*() {
    const sandbox = yield* SandboxEhr.SandboxEhr
    const backing = yield* connectTo(place.kind, place.address)
    let key = ""
    const store = yield* SessionStore.make({
      ...backing,
      read: (asked) => {
        key = asked
        return backing.read(asked)
      }
    }, { lease: LEASE_MILLIS, saveTimeout: SAVE_MILLIS })
    const survivor = yield* Effect.provide(
      Sessions.Sessions,
      yield* Layer.build(app(sandbox.fhirBaseUrl, Layer.succeed(SessionStore.SessionStore, store)))
    )
    const { start, workers } = yield* startWorkers(program, place, sandbox.fhirBaseUrl)
    const refreshes = Effect.map(
      sandbox.requests,
      (all) => all.filter(({ form }) => form["grant_type"] === "refresh_token")
    )
    const arrived = refreshes.pipe(
      Effect.filterOrFail((all) => all.length > 0, () => "none yet"),
      Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo("30 seconds"))),
      Effect.ignore
    )

    const round = (scenario: Scenario): Effect.Effect<Round, unknown, SandboxEhr.SandboxEhr> =>
      Effect.scoped(Effect.gen(function*() {
        const problems: Array<string> = []
        const id = yield* expiredSession(survivor)
        const isDamaged = scenario.name === "damaged entry"
        for (const [index, worker] of workers.entries()) {
          yield* worker.setClock(scenario.offsets?.[index] ?? 0)
        }
        yield* survivor.session(id)
        const damage = Effect.gen(function*() {
          const stored = yield* backing.read(key)
          const expiresAt = (yield* Clock.currentTimeMillis) + 3_600_000
          yield* backing.replace(key, stored, Option.some({ text: "{\"version\":1,\"da", expiresAt }))
        })
        if (isDamaged) yield* damage
        yield* sandbox.clearRequests
        yield* sandbox.clearFaults
        if (scenario.delayMillis > 0) {
          yield* sandbox.fault("token", SandboxEhr.Fault.delay(scenario.delayMillis, { processed: true }), 20)
        }
        const dead = new Set<number>()
        const before = yield* Clock.currentTimeMillis
        const using = yield* Effect.fork(Effect.forEach(
          [...workers.entries()],
          ([index, worker]) =>
            worker.use(Redacted.value(id), CALLERS).pipe(
              Effect.timeout(LIMIT),
              Effect.catchAll((error) => {
                if (!dead.has(index)) problems.push(`process ${index}: ${String(error)}`)
                return Effect.succeed<ReadonlyArray<CallerResult>>([])
              })
            ),
          { concurrency: "unbounded" }
        ))
        yield* scenario.act({
          place,
          workers,
          arrived,
          killed: (index) =>
            Effect.gen(function*() {
              dead.add(index)
              yield* workers[index]?.kill ?? Effect.void
            })
        })
        const results = (yield* Fiber.join(using)).flat()
        const millis = (yield* Clock.currentTimeMillis) - before
        yield* sandbox.clearFaults
        const sent = yield* refreshes
        // The store is available again; a session that is not lost gives a token.
        const after = yield* Effect.either(Effect.retry(survivor.accessToken(id), {
          while: (error) => error.reason !== "NeedsRelaunch" && error.reason !== "Undecodable",
          schedule: Schedule.spaced("500 millis").pipe(Schedule.upTo("30 seconds"))
        }))
        const isLost = Either.isLeft(after) || !(yield* isAccepted(sandbox.fhirBaseUrl, after.right))
        if (isLost && !scenario.mayLose) {
          problems.push(`a session was lost: ${Either.isLeft(after) ? after.left.reason : "its token is refused"}`)
        }
        if (isDamaged && Either.isRight(after)) problems.push("a damaged entry gave a token")
        if (sent.length > scenario.maxRefreshes) problems.push(`${sent.length} renewals of one expired token`)
        for (const index of dead) {
          const replacement = yield* start
          workers[index] = replacement
        }
        if (isDamaged) yield* survivor.remove(id)
        return {
          results,
          refreshes: sent.length,
          reuse: sent.filter(({ status }) => status === 400).length,
          isLost,
          millis,
          problems
        }
      }))

    // The first round of a process loads and compiles its code.
    yield* Effect.ignore(round(undisturbed))
    return yield* Effect.forEach(
      scenarios.filter(({ isPossible }) => isPossible(place)),
      (scenario) =>
        Effect.gen(function*() {
          const all = yield* Effect.replicateEffect(round(scenario), rounds)
          const row = summary(place, scenario, all)
          yield* Console.log(row.line)
          return row
        })
    )
  })

const summary = (place: Place, { name }: Scenario, all: ReadonlyArray<Round>) => {
  const results = all.flatMap((one) => one.results)
  const failures = new Map<string, number>()
  for (const result of results) {
    if ("failure" in result) failures.set(result.failure, (failures.get(result.failure) ?? 0) + 1)
  }
  const sum = (of: (round: Round) => number) => all.reduce((total, round) => total + of(round), 0)
  const cells = [
    place.name,
    name,
    all.length,
    results.filter((result) => "token" in result).length,
    failures.size === 0 ? "0" : [...failures].map(([reason, count]) => `${count} ${reason}`).join(", "),
    `${(sum(({ refreshes }) => refreshes) / all.length).toFixed(1)} (${Math.max(...all.map((one) => one.refreshes))})`,
    sum(({ isLost }) => isLost ? 1 : 0),
    sum(({ reuse }) => reuse),
    `${(Math.max(...all.map(({ millis }) => millis)) / 1000).toFixed(1)} s`
  ]
  return {
    line: `| ${cells.join(" | ")} |`,
    problems: all.flatMap(({ problems }) => problems.map((problem) => `${place.name}, ${name}: ${problem}`))
  }
}

const HEADER = [
  "| store | event | expiries | tokens | typed failures | renewals per expiry (max) | lost | reuse detected | longest |",
  "|---|---|---|---|---|---|---|---|---|"
]

const record = (lines: ReadonlyArray<string>, at: DateTime.Utc, minutes: number) =>
  Effect.sync(() => {
    const text = readFileSync(QUALITY, "utf8")
    const command = `npm run chaos -- ${process.argv.slice(2).join(" ")}`
    const length = `${Math.max(1, Math.round(minutes))} minutes`
    const result = [
      "<!-- chaos -->",
      "",
      `Last run: ${DateTime.formatIsoDate(at)}, \`${command}\`, Node ${process.versions.node}, ${length} on two`,
      "cores with nothing else to do.",
      "",
      ...HEADER,
      ...lines,
      "",
      "<!-- /chaos -->"
    ].join("\n")
    writeFileSync(QUALITY, text.replace(/<!-- chaos -->[^]*<!-- \/chaos -->/, result))
  })

const chaos = Effect.gen(function*() {
  const started = yield* DateTime.now
  const program = yield* workerProgram
  const found = (yield* places).filter(({ kind }) => only === undefined || only === kind)
  yield* Console.log(HEADER.join("\n"))
  const rows = yield* Effect.forEach(found, (place) => Effect.scoped(run(program, place)))
  const lines = rows.flat().map(({ line }) => line)
  const problems = rows.flat().flatMap((row) => row.problems)
  const ended = yield* DateTime.now
  if (process.argv.includes("--record")) yield* record(lines, ended, DateTime.distance(started, ended) / 60_000)
  if (problems.length > 0) return yield* Effect.fail(new Error(problems.join("\n")))
  yield* Console.log("as expected")
}).pipe(
  Effect.scoped,
  Effect.provide(
    SandboxEhr.layerServer({ accessTokenLifetime: "1 hour" }).pipe(
      Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )
)

NodeRuntime.runMain(chaos)
