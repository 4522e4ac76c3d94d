import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Sessions from "../../src/session/Sessions.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { expiredSession } from "../support/expiredSession.js"
import { connectTo } from "../support/places.js"
import { app } from "../support/sessionCallers.js"
import type { CallerResult } from "../support/sessionWorkerMessages.js"
import { startWorker, type Worker, workerProgram } from "../support/sessionWorkers.js"
import { type SharedPlace, sharedPlaces } from "../support/sharedPlaces.js"

const PROCESSES = 8
const CALLERS = 125

class Workers extends Context.Tag("test/Workers")<Workers, ReadonlyArray<Worker>>() {}

const workers = Layer.scoped(
  Workers,
  Effect.flatMap(
    workerProgram,
    (program) => Effect.all(Array.from({ length: PROCESSES }, () => startWorker(program)), { concurrency: "unbounded" })
  )
)

const ehr = SandboxEhr.layerServer().pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

/** The one token that all of them got. */
const tokenOfAll = (fared: ReadonlyArray<ReadonlyArray<CallerResult>>): string => {
  const all = fared.flat()
  assert.lengthOf(all, PROCESSES * CALLERS)
  assert.deepStrictEqual(all.filter((one) => "failure" in one), [])
  const [token, ...others] = new Set(all.map((one) => "token" in one ? one.token : undefined))
  assert.deepStrictEqual(others, [])
  return token ?? assert.fail("no caller received a token")
}

const thousandCallers = ({ address, kind }: SharedPlace) =>
  Effect.gen(function*() {
    const sandbox = yield* SandboxEhr.SandboxEhr
    const processes = yield* Workers
    const place = yield* address
    const store = yield* Effect.flatMap(connectTo(kind, place), (backing) => SessionStore.make(backing))
    const sessions = yield* Effect.provide(
      Sessions.Sessions,
      yield* Layer.build(app(sandbox.fhirBaseUrl, Layer.succeed(SessionStore.SessionStore, store)))
    )
    const id = yield* expiredSession(sessions)
    yield* Effect.forEach(
      processes,
      (process) => process.open({ kind, address: place, fhirBaseUrl: sandbox.fhirBaseUrl }),
      { concurrency: "unbounded", discard: true }
    )
    yield* sandbox.clearRequests

    // Every process is open; slow answers let them all be there before the first has what it asks for.
    const answers: Array<string> = []
    for (const refused of [undefined, () => answers[0]]) {
      yield* sandbox.fault("token", SandboxEhr.Fault.delay("300 millis", { processed: true }))
      const fared = yield* Effect.forEach(
        processes,
        (process) => process.use(Redacted.value(id), CALLERS, refused?.()),
        { concurrency: "unbounded" }
      )
      answers.push(tokenOfAll(fared))
    }

    const requests = (yield* sandbox.requests).filter(({ step }) => step === "token")
    assert.deepStrictEqual(requests.map(({ form, status }) => [form["grant_type"], status]), [
      ["refresh_token", 200],
      ["refresh_token", 200]
    ])
    assert.strictEqual(new Set(requests.map(({ form }) => form["refresh_token"])).size, 2)
    assert.strictEqual(new Set(answers).size, 2)
    assert.strictEqual(Redacted.value(yield* sessions.accessToken(id)), answers[1])
  })

layer(Layer.merge(workers, ehr), { excludeTestServices: true, timeout: "60 seconds" })(
  "Sessions over processes",
  (it) => {
    for (const place of sharedPlaces()) {
      if ("reason" in place) {
        describe(`left out: ${place.reason}`, () => {
          it.skip(place.name, () => {})
        })
      } else {
        it.scoped(
          `[SMART-117] eight processes of 125 callers on ${place.name}: one request for an expired token, one for a refused one`,
          () => thousandCallers(place),
          180_000
        )
      }
    }
  }
)
