// Ten minutes of mixed traffic against a sandbox EHR that fails at random: `npm run soak`, or for one minute
// `npm run soak -- --minutes 1`. Launches, reads, searches, renewals, logouts and backend requests run side by side;
// callers are interrupted at random. It fails if heap, sockets, timers, file descriptors or fibers grow, or if the
// shutdown under load does not end.
import { type ChildProcess, spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  BackendServices,
  ClientAuthentication,
  FhirClient,
  HttpLimits,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartClient
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"

const { Fault } = SandboxEhr
const argument = process.argv.indexOf("--minutes")
const minutes = argument < 0 ? 10 : Number(process.argv[argument + 1])

/** Each is injected into one request of its step. */
const FAULTS: ReadonlyArray<readonly [SandboxEhr.Fault.Step, SandboxEhr.Fault.Fault]> = [
  ["token", Fault.status(503)],
  ["token", Fault.status(500)],
  ["token", Fault.drop],
  ["token", Fault.html()],
  ["token", Fault.delay("1500 millis")],
  ["token", Fault.oversize(3_000_000)],
  ["discovery", Fault.status(502)],
  ["discovery", Fault.notJson()],
  ["fhir", Fault.drop],
  ["fhir", Fault.status(429, { headers: { "retry-after": "1" } })],
  ["fhir", Fault.status(401)],
  ["fhir", Fault.oversize(3_000_000)],
  ["fhir", Fault.delay("1500 millis")],
  ["revoke", Fault.status(503)],
  ["revoke", Fault.drop]
]

const ehr = Effect.gen(function*() {
  const sandbox = yield* SandboxEhr.SandboxEhr
  yield* Effect.sync(() => process.send?.(sandbox.fhirBaseUrl))
  yield* Effect.repeat(
    Effect.flatMap(Random.choice(FAULTS), ([step, fault]) => sandbox.fault(step, fault, 1)),
    Schedule.spaced("100 millis")
  )
}).pipe(
  Effect.provide(
    SandboxEhr.layerServer({ accessTokenLifetime: "20 seconds" }).pipe(
      Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
  )
)

const startEhr = Effect.acquireRelease(
  Effect.async<{ readonly child: ChildProcess; readonly fhirBaseUrl: string }>((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", process.argv[1] ?? "", "--ehr"], {
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    child.once("message", (url) => resume(Effect.succeed({ child, fhirBaseUrl: String(url) })))
  }),
  ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
)

const app = (fhirBaseUrl: string) => {
  const client = SmartClient.layer({
    fhirBaseUrl,
    clientId: "sandbox-public-app",
    redirectUri: "https://app.sandbox.test/callback",
    scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"],
    allowInsecureLocalhost: true
  }).pipe(Layer.provide(ClientAuthentication.layerPublic))
  const backend = SmartClient.layer({
    fhirBaseUrl,
    clientId: "sandbox-backend",
    scopes: ["system/Patient.rs"],
    allowInsecureLocalhost: true
  }).pipe(
    Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret }))
  )
  return Layer.mergeAll(
    Layer.provide(Sessions.layerFromClient, client),
    Layer.provide(BackendServices.layerFromClient, backend),
    FhirClient.layer
  ).pipe(
    Layer.provide(SessionStore.layerMemory),
    Layer.provide(NodeTransport.layer()),
    Layer.provide(RetryPolicy.layer(Schedule.intersect(Schedule.exponential("50 millis"), Schedule.recurs(3)))),
    Layer.provide(HttpLimits.layer({ tokenTimeout: "1 second", discoveryTimeout: "1 second", fhirTimeout: "1 second" }))
  )
}

const counts: Record<string, number> = {}
const count = (name: string) => Effect.sync(() => void (counts[name] = (counts[name] ?? 0) + 1))

/** Counts results by their tag. A defect ends the run. */
const counted = <A, E, R>(name: string, self: Effect.Effect<A, E, R>) =>
  self.pipe(
    Effect.tapBoth({
      onSuccess: () => count(`${name}: success`),
      onFailure: (error) => count(`${name}: ${(error as { readonly _tag?: string })._tag ?? String(error)}`)
    }),
    Effect.option
  )

/** The sandbox approves at once and redirects to the callback. */
const approve = (url: URL | string) =>
  Effect.tryPromise(() => fetch(url, { redirect: "manual" })).pipe(
    Effect.flatMap((response) => Effect.fromNullable(response.headers.get("location")))
  )

const user = Effect.gen(function*() {
  const sessions = yield* Sessions.Sessions
  const fhir = yield* FhirClient.FhirClient
  const browserBinding = Redacted.make(String(yield* Random.nextInt))
  const { url } = yield* sessions.startLaunch({ browserBinding })
  const session = yield* sessions.completeLaunch(yield* approve(url), { browserBinding })
  const requests = fhir.forSession(session)
  const actions: ReadonlyArray<Effect.Effect<unknown, never, Sessions.Sessions>> = [
    counted("patient", requests.patient()),
    counted("search", Stream.runDrain(Stream.take(requests.search("Observation", { _count: "5" }), 20))),
    counted("token", sessions.accessToken(session)),
    counted("refused token", Effect.flatMap(sessions.accessToken(session), () => requests.read("Patient", "unknown")))
  ]
  const length = yield* Random.nextIntBetween(5, 60)
  for (let i = 0; i < length; i++) {
    const action = yield* Random.choice(actions)
    const fiber = yield* Effect.fork(action)
    // One of ten callers goes away.
    if ((yield* Random.next) < 0.1) {
      yield* Effect.sleep(yield* Random.nextIntBetween(0, 50))
      yield* Fiber.interruptFork(fiber)
      yield* count("interrupted")
    } else yield* Fiber.await(fiber)
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 1_000))
  }
  yield* sessions.revoke(session)
})

const users = (concurrent: number) =>
  Effect.forEach(Array.from({ length: concurrent }), () => Effect.forever(counted("user", user)), {
    concurrency: "unbounded",
    discard: true
  })

const backend = Effect.forever(
  Effect.flatMap(
    FhirClient.FhirClient,
    (fhir) => counted("backend", Stream.runDrain(Stream.take(fhir.forBackend().search("Patient", { _count: "2" }), 10)))
  ).pipe(
    Effect.delay("20 millis")
  )
)

interface Sample {
  readonly heap: number
  readonly sockets: number
  readonly timers: number
  readonly descriptors: number
  readonly fibers: number
}

const sample = Effect.gen(function*() {
  const collect = globalThis.gc
  if (collect === undefined) return yield* Effect.dieMessage("start it with --expose-gc")
  collect()
  yield* Effect.sleep("50 millis")
  collect()
  const resources = process.getActiveResourcesInfo()
  return {
    heap: process.memoryUsage().heapUsed / 1e6,
    sockets: resources.filter((name) => name === "TCPSocketWrap").length,
    timers: resources.filter((name) => name === "Timeout").length,
    descriptors: process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0,
    fibers: Array.from(yield* Fiber.roots).length
  }
})

const print = (at: string, { descriptors, fibers, heap, sockets, timers }: Sample) =>
  Console.log(
    `${at.padStart(8)}  heap ${
      heap.toFixed(1)
    } MB  sockets ${sockets}  timers ${timers}  descriptors ${descriptors}  root fibers ${fibers}`
  )

const soak = Effect.gen(function*() {
  const { fhirBaseUrl } = yield* startEhr
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(app(fhirBaseUrl), scope)
  const traffic = yield* Effect.forkDaemon(
    Effect.all([users(40), backend, backend], { concurrency: "unbounded", discard: true }).pipe(Effect.provide(context))
  )
  const samples: Array<Sample> = []
  const rounds = 20
  for (let round = 1; round <= rounds; round++) {
    const ended = yield* Effect.raceFirst(
      Effect.as(Effect.sleep(minutes * 60_000 / rounds), undefined),
      Fiber.await(traffic)
    )
    if (ended !== undefined) {
      return yield* Effect.dieMessage(`the traffic ended: ${Exit.isFailure(ended) ? ended.cause : ""}`)
    }
    const one = yield* sample
    samples.push(one)
    yield* print(`${(minutes * round / rounds).toFixed(1)} min`, one)
  }
  // The program stops while requests are under way.
  const [closing] = yield* Effect.timed(
    Effect.timeoutFail(Scope.close(scope, Exit.void), {
      duration: "40 seconds",
      onTimeout: () => new Error("the shutdown did not end within 40 seconds")
    })
  )
  yield* Fiber.interrupt(traffic)
  yield* Effect.sleep("1 second")
  const after = yield* sample
  yield* print("the end", after)
  yield* Console.log(`shutdown under load: ${Duration.format(closing)}`)
  for (const [name, times] of Object.entries(counts).sort()) yield* Console.log(`${String(times).padStart(8)} ${name}`)

  // The first quarter warms up.
  const measured = samples.slice(rounds / 4)
  const mean = (of: keyof Sample, part: ReadonlyArray<Sample>) =>
    part.reduce((sum, one) => sum + one[of], 0) / part.length
  const early = measured.slice(0, 5)
  const late = measured.slice(-5)
  const problems = (["heap", "sockets", "timers", "descriptors", "fibers"] as const).flatMap((of) => {
    const [before, now] = [mean(of, early), mean(of, late)]
    const allowed = of === "heap" ? Math.max(before * 1.15, before + 5) : before * 1.25 + 10
    return now > allowed ? [`${of} grew from ${before.toFixed(1)} to ${now.toFixed(1)}`] : []
  })
  if (after.sockets > 2) problems.push(`${after.sockets} sockets are open after the shutdown`)
  for (const needed of ["patient: success", "search: success", "token: success", "backend: success", "interrupted"]) {
    if ((counts[needed] ?? 0) === 0) problems.push(`no ${needed}`)
  }
  if (problems.length > 0) return yield* Effect.fail(new Error(problems.join("; ")))
  yield* Console.log("flat")
}).pipe(Effect.scoped)

NodeRuntime.runMain(process.argv.includes("--ehr") ? ehr : soak)
