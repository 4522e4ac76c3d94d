import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Persistence from "@effect/experimental/Persistence"
import * as PersistenceRedis from "@effect/experimental/Persistence/Redis"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as RetryPolicy from "../../src/http/RetryPolicy.js"
import * as PersistedDiscovery from "../../src/persistence/PersistedDiscovery.js"
import * as Capabilities from "../../src/server/Capabilities.js"
import type * as Discovery from "../../src/server/Discovery.js"
import * as LegacyMetadata from "../../src/server/LegacyMetadata.js"
import { isFound, redis } from "../support/databases.js"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"

const base = "https://ehr.example/fhir"
const document = (host = "auth.example") => ({
  token_endpoint: `https://${host}/token`,
  authorization_endpoint: `https://${host}/authorize`,
  capabilities: ["launch-ehr"],
  x_vendor: { kept: [1] }
})
const good = (host?: string) => () => Http.json(document(host))

/** The service of one process: its own memory and transport. */
const processOver = (
  http: Http.Fake,
  persistence: Layer.Layer<Persistence.ResultPersistence>,
  options?: PersistedDiscovery.Options
) =>
  PersistedDiscovery.make(options).pipe(
    Effect.provide(Layer.mergeAll(http.layer, persistence, RetryPolicy.layer(RetryPolicy.none)))
  )

/** A key-value store that processes share, and its raw entries. */
const sharedMap = () => {
  const entries = new Map<string, string>()
  const store = KeyValueStore.makeStringOnly({
    get: (key) => Effect.sync(() => Option.fromNullable(entries.get(key))),
    set: (key, value) => Effect.sync(() => void entries.set(key, value)),
    remove: (key) => Effect.sync(() => void entries.delete(key)),
    clear: Effect.sync(() => entries.clear()),
    size: Effect.sync(() => entries.size)
  })
  const persistence = Persistence.layerResultKeyValueStore.pipe(
    Layer.provide(Layer.succeed(KeyValueStore.KeyValueStore, store))
  )
  return { entries, persistence }
}

const broken = (answer: Effect.Effect<never, Persistence.PersistenceError>) => {
  const calls: Array<string> = []
  const call = (operation: string) => () => {
    calls.push(operation)
    return answer
  }
  const persistence = Layer.succeed(
    Persistence.ResultPersistence,
    Persistence.ResultPersistence.of({
      [Persistence.ResultPersistenceTypeId]: Persistence.ResultPersistenceTypeId,
      make: () =>
        Effect.succeed({
          get: call("get"),
          getMany: call("getMany"),
          set: call("set"),
          setMany: call("setMany"),
          remove: call("remove"),
          clear: answer
        })
    })
  )
  return { calls, persistence }
}

const down = Effect.fail(Persistence.PersistenceBackingError.make("get", new Error("SECRET")))

const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel.label === "WARN") lines.push(String(message))
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

describe("PersistedDiscovery", () => {
  it.scoped("a second process reads the configuration that the first one stored, with unknown members", () =>
    Effect.gen(function*() {
      const { persistence } = sharedMap()
      const [http, other] = [Http.script(good()), Http.script(good("other.example"))]
      const first = yield* processOver(http, persistence)
      const second = yield* processOver(other, persistence)
      const fetched = yield* first.configuration(base)
      const found = yield* second.configuration(`${base}/`)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(found)), JSON.parse(JSON.stringify(fetched)))
      assert.deepStrictEqual(found.extensions, { x_vendor: { kept: [1] } })
      assert.isTrue(Capabilities.has(found, "launch-ehr"))
      assert.strictEqual(http.requests.length, 1)
      assert.strictEqual(other.requests.length, 0)
    }))

  it.scoped("`make` does no I/O, and concurrent calls share one request", () =>
    Effect.gen(function*() {
      const { entries, persistence } = sharedMap()
      const http = Http.script(() => Effect.delay(Effect.sync(good()), "1 second"))
      const discovery = yield* processOver(http, persistence)
      assert.strictEqual(entries.size + http.requests.length, 0)
      const all = yield* Effect.fork(
        Effect.all(Array.from({ length: 100 }, () => discovery.configuration(base)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(all)
      assert.strictEqual(http.requests.length, 1)
      assert.strictEqual(entries.size, 1)
    }))

  it.scoped("an entry expires at the same time in each process", () =>
    Effect.gen(function*() {
      const { persistence } = sharedMap()
      const [http, other] = [Http.script(good()), Http.script(good())]
      const first = yield* processOver(http, persistence)
      const second = yield* processOver(other, persistence)
      yield* first.configuration(base)
      yield* TestClock.adjust("59 minutes")
      yield* second.configuration(base)
      assert.strictEqual(other.requests.length, 0)
      yield* TestClock.adjust("1 minute")
      yield* second.configuration(base)
      assert.strictEqual(other.requests.length, 1)
      yield* first.configuration(base)
      assert.strictEqual(http.requests.length, 1)
    }))

  it.scoped("a process applies its own bounds to entries of other processes", () =>
    Effect.gen(function*() {
      const { persistence } = sharedMap()
      const other = Http.script(good())
      const patient = yield* processOver(Http.script(good()), persistence, { timeToLive: "100 days" })
      const strict = yield* processOver(other, persistence, { maxTimeToLive: "2 hours", memoryTimeToLive: "1 day" })
      yield* patient.configuration(base)
      yield* strict.configuration(base)
      yield* TestClock.adjust("119 minutes")
      yield* strict.configuration(base)
      assert.strictEqual(other.requests.length, 0)
    }))

  it.scoped("every process uses the last valid configuration while the server fails", () =>
    Effect.gen(function*() {
      const { persistence } = sharedMap()
      const warnings = recorded()
      const first = yield* processOver(Http.script(good()), persistence)
      yield* first.configuration(base)
      yield* TestClock.adjust("2 hours")
      const failing = Http.script(() => Http.text("", { status: 500 }))
      const second = yield* processOver(failing, persistence).pipe(Effect.provide(warnings.layer))
      assert.strictEqual((yield* second.configuration(base)).tokenEndpoint, "https://auth.example/token")
      assert.deepStrictEqual(warnings.codes(), ["MetadataStale"])
      yield* second.configuration(base)
      assert.strictEqual(failing.requests.length, 1)
      const gone = yield* processOver(Http.script(() => Http.text("", { status: 404 })), persistence)
      assert.strictEqual((yield* Effect.flip(gone.configuration(base))).reason, "NotFound")
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* Effect.flip(second.configuration(base))).reason, "Status")
    }))

  it.scoped("failures are not stored", () =>
    Effect.gen(function*() {
      const { entries, persistence } = sharedMap()
      const first = yield* processOver(Http.script(() => Http.text("", { status: 500 })), persistence)
      yield* Effect.flip(first.configuration(base))
      assert.strictEqual(entries.size, 0)
      const other = Http.script(good())
      yield* Effect.flatMap(processOver(other, persistence), (second) => second.configuration(base))
      assert.strictEqual(other.requests.length, 1)
    }))

  it.scoped("`invalidate` and `refresh` change the store, and other processes when they read it again", () =>
    Effect.gen(function*() {
      const { entries, persistence } = sharedMap()
      const http = Http.script(good("a.example"), good("b.example"), good("c.example"))
      const first = yield* processOver(http, persistence)
      const second = yield* processOver(Http.script(good("x.example")), persistence)
      const tokenAt = (discovery: Discovery.Service) =>
        Effect.map(discovery.configuration(base), ({ tokenEndpoint }) => tokenEndpoint)
      yield* first.configuration(base)
      assert.strictEqual(yield* tokenAt(second), "https://a.example/token")
      yield* TestClock.adjust("1 second")
      yield* first.refresh(base)
      assert.strictEqual(yield* tokenAt(second), "https://a.example/token")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* tokenAt(second), "https://b.example/token")
      yield* first.invalidate(`${base}/`)
      assert.strictEqual(entries.size, 0)
      assert.strictEqual(yield* tokenAt(first), "https://c.example/token")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* tokenAt(second), "https://c.example/token")
      assert.strictEqual(http.requests.length, 3)
    }))

  it.scoped("a fetch that was under way at `invalidate` stores nothing", () =>
    Effect.gen(function*() {
      const { entries, persistence } = sharedMap()
      const gate = yield* Deferred.make<Response>()
      const http = Http.script(() => Deferred.await(gate), good("new.example"))
      const discovery = yield* processOver(http, persistence)
      const old = yield* Effect.fork(discovery.configuration(base))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* discovery.invalidate(base)
      yield* Deferred.succeed(gate, good("old.example")())
      assert.strictEqual((yield* Fiber.join(old)).tokenEndpoint, "https://old.example/token")
      assert.strictEqual(entries.size, 0)
      assert.strictEqual((yield* discovery.configuration(base)).tokenEndpoint, "https://new.example/token")
    }))

  it.scoped("callers with other permissions have separate configurations", () =>
    Effect.gen(function*() {
      const { entries, persistence } = sharedMap()
      const http = Http.script(good())
      const discovery = yield* processOver(http, persistence)
      yield* discovery.configuration(base)
      yield* discovery.configuration(base, { legacyMetadata: LegacyMetadata.capabilityStatement })
      yield* discovery.configuration(base, { allowInsecureLocalhost: true })
      assert.strictEqual(http.requests.length, 3)
      assert.strictEqual(entries.size, 3)
      yield* discovery.invalidate(base)
      assert.strictEqual(entries.size, 0)
    }))

  describe("invalid entries", () => {
    /** A second and a third process after an entry was changed in the store. */
    const tampered = (change: (text: string) => string) =>
      Effect.gen(function*() {
        const { entries, persistence } = sharedMap()
        const first = yield* processOver(Http.script(good("first.example")), persistence)
        yield* first.configuration(base)
        for (const [key, text] of entries) entries.set(key, change(text))
        const http = Http.script(good("server.example"))
        const { layer, lines } = logged()
        const second = yield* processOver(http, persistence)
        const found = yield* second.configuration(base).pipe(Effect.provide(layer))
        // Uses the entry that replaced the changed one.
        const third = yield* processOver(Http.script(good("third.example")), persistence)
        const after = yield* third.configuration(base)
        return { asked: http.requests.length, found: found.tokenEndpoint, after: after.tokenEndpoint, lines }
      })
    const discarded = {
      asked: 1,
      found: "https://server.example/token",
      after: "https://server.example/token",
      lines: ["the store of shared SMART configurations has an invalid entry, which is discarded"]
    }

    it.scoped.each<readonly [string, (text: string) => string]>([
      ["no JSON", () => "SECRET{"],
      ["another shape", () => JSON.stringify([{ _tag: "Success", value: { SECRET: 1 } }, null])],
      ["no exit", () => JSON.stringify([42, null])],
      ["a failure", () => JSON.stringify([{ _tag: "Failure", cause: { _tag: "Die", defect: "SECRET" } }, null])],
      ["another version", (text) => text.replace("\"version\":1", "\"version\":2")],
      ["another server's", (text) => text.replaceAll("ehr.example", "evil.example")],
      [
        "another server's document under this server's key",
        (text) => text.replace(`"fhirBaseUrl":"${base}"`, "\"fhirBaseUrl\":\"https://evil.example/fhir\"")
      ],
      ["another key's", (text) => text.replace(`"key":"${base}"`, `"key":"legacy ${base}"`)],
      ["half of it", (text) => text.slice(0, text.length / 2)],
      ["a member of another type", (text) => text.replace("\"https://first.example/token\"", "7")],
      ["no time", (text) => text.replace(/"freshUntil":\d+/, "\"freshUntil\":\"soon\"")]
    ])("%s", ([, change]) => Effect.map(tampered(change), (result) => assert.deepStrictEqual(result, discarded)))

    it.scoped("an unchanged entry is used", () =>
      Effect.gen(function*() {
        const { asked, found, lines } = yield* tampered((text) => text)
        assert.deepStrictEqual([asked, found, lines], [0, "https://first.example/token", []])
      }))
  })

  describe("a failing store", () => {
    it.scoped("logs one warning, and sends requests to the servers", () =>
      Effect.gen(function*() {
        const { layer, lines } = logged()
        const http = Http.script(good())
        const discovery = yield* processOver(http, broken(down).persistence)
        yield* Effect.all([discovery.configuration(base), discovery.configuration("https://two.example/fhir")]).pipe(
          Effect.provide(layer)
        )
        assert.strictEqual(http.requests.length, 2)
        assert.deepStrictEqual(lines, [
          "the store of shared SMART configurations fails (get): requests go to the servers instead"
        ])
      }))

    it.scoped("does not affect configurations that are fresh in memory", () =>
      Effect.gen(function*() {
        const http = Http.script(good())
        const discovery = yield* processOver(http, broken(down).persistence)
        yield* discovery.configuration(base)
        yield* TestClock.adjust("59 minutes")
        yield* discovery.configuration(base)
        assert.strictEqual(http.requests.length, 1)
        yield* TestClock.adjust("1 minute")
        yield* discovery.configuration(base)
        assert.strictEqual(http.requests.length, 2)
      }))

    it.scoped("that does not respond delays each operation by one second at most", () =>
      Effect.gen(function*() {
        const { calls, persistence } = broken(Effect.never)
        const discovery = yield* processOver(Http.script(good()), persistence)
        const fiber = yield* Effect.fork(discovery.configuration(base))
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(calls, ["get", "set"])
      }))

    /** A store whose entries cannot be removed while it is down. */
    const unremovable = (persistence: Layer.Layer<Persistence.ResultPersistence>, isDown: () => boolean) =>
      Layer.flatMap(persistence, (context) => {
        const real = context.unsafeMap.get(Persistence.ResultPersistence.key) as Persistence.ResultPersistence
        return Layer.succeed(Persistence.ResultPersistence, {
          ...real,
          make: (options) =>
            Effect.map(real.make(options), (store) => ({
              ...store,
              remove: (key) => isDown() ? down : store.remove(key)
            }))
        })
      })

    it.scoped("does not undo an invalidation with the entry that it could not remove", () =>
      Effect.gen(function*() {
        const { entries, persistence } = sharedMap()
        yield* Effect.flatMap(
          processOver(Http.script(good("old.example")), persistence),
          (first) => first.configuration(base)
        )
        let isDown = true
        const http = Http.script(good("new.example"), good("newer.example"))
        const discovery = yield* processOver(http, unremovable(persistence, () => isDown))
        yield* discovery.invalidate(base)
        assert.strictEqual(entries.size, 1)
        assert.strictEqual((yield* discovery.configuration(base)).tokenEndpoint, "https://new.example/token")
        isDown = false
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual((yield* discovery.configuration(base)).tokenEndpoint, "https://new.example/token")
        assert.strictEqual(http.requests.length, 1)
      }))

    it.scoped("does not undo invalidations of more servers than it has a capacity for", () =>
      Effect.gen(function*() {
        const { persistence } = sharedMap()
        const servers = Array.from({ length: 5 }, (_, i) => `https://ehr${i}.example/fhir`)
        const first = yield* processOver(Http.script(...servers.map(() => good("old.example"))), persistence)
        yield* Effect.forEach(servers, (server) => first.configuration(server))
        const http = Http.script(...servers.map(() => good("new.example")))
        const discovery = yield* processOver(http, unremovable(persistence, () => true), { capacity: 2 })
        yield* Effect.forEach(servers, discovery.invalidate)
        for (const server of servers) {
          assert.strictEqual((yield* discovery.configuration(server)).tokenEndpoint, "https://new.example/token")
        }
      }))
  })
})

const worker = fileURLToPath(new URL("./persistedDiscoveryWorker.ts", import.meta.url))

/** Runs another process: its exit code and output. */
const run = (port: string, fhirBaseUrl: string) =>
  Effect.async<readonly [number | null, string]>((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", worker, port, fhirBaseUrl], { stdio: "pipe" })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        output += chunk.toString()
      })
    }
    child.once("exit", (code) => resume(Effect.succeed([code, output])))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const found = redis()

if (isFound(found)) {
  describe("PersistedDiscovery over Redis", () => {
    it.scopedLive("two processes make one request", () =>
      Effect.gen(function*() {
        const { port } = new URL(Redacted.value(yield* found.url))
        const server = yield* Http.server((_, response) => {
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document()))
        })
        const outcomes = [yield* run(port, server.origin), yield* run(port, server.origin)]
        assert.deepStrictEqual(outcomes, [[0, "https://auth.example/token"], [0, "https://auth.example/token"]])
        assert.strictEqual(server.requests.length, 1)
      }), 60_000)

    it.scopedLive("a corrupt entry is replaced", () =>
      Effect.gen(function*() {
        const { port } = new URL(Redacted.value(yield* found.url))
        const backing = PersistenceRedis.layer({ host: "127.0.0.1", port: Number(port) })
        const context = yield* Layer.build(Persistence.layerResult.pipe(Layer.provide(backing)))
        yield* Effect.gen(function*() {
          const store = yield* Effect.flatMap(Persistence.BackingPersistence, ({ make }) =>
            make("effect-safire/discovery"))
          yield* store.set(base, { _tag: "Success", value: { token_endpoint: "https://evil.example" } }, Option.none())
        }).pipe(Effect.scoped, Effect.provide(backing))
        const http = Http.script(good())
        for (const _ of [1, 2]) {
          const discovery = yield* processOver(http, Layer.succeedContext(context))
          assert.strictEqual((yield* discovery.configuration(base)).tokenEndpoint, "https://auth.example/token")
        }
        assert.strictEqual(http.requests.length, 1)
      }), 60_000)
  })
} else {
  describe(`PersistedDiscovery over Redis (left out: ${found.reason})`, () => {
    it.skip("needs Redis", () => {})
  })
}
