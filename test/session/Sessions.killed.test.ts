import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Sessions from "../../src/session/Sessions.js"
import * as SessionStore from "../../src/session/SessionStore.js"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import { expiredSession } from "../support/expiredSession.js"
import { connectTo, type Kind } from "../support/places.js"
import { app, callers } from "../support/sessionCallers.js"
import type { CallerResult, Hold } from "../support/sessionWorkerMessages.js"
import { startWorker, workerProgram } from "../support/sessionWorkers.js"
import { sharedPlaces } from "../support/sharedPlaces.js"

const LEASE_MILLIS = 1000
/** The longest wait on a busy machine: the lease of the dead process and the work itself. */
const BOUND_MILLIS = 15_000

interface Place {
  readonly kind: Kind
  readonly name: string
  readonly address: string
}

class Setting extends Context.Tag("test/Setting")<Setting, {
  readonly program: string
  readonly places: ReadonlyArray<Place>
}>() {}

const places = sharedPlaces()

const setting = Layer.scoped(
  Setting,
  Effect.gen(function*() {
    const program = yield* workerProgram
    const found = places.flatMap((place) => "kind" in place ? [place] : [])
    const started = yield* Effect.forEach(
      found,
      (place) => Effect.map(place.address, (address): Place => ({ ...place, address })),
      { concurrency: "unbounded" }
    )
    return { program, places: started }
  })
)

const ehr = (options: SandboxEhr.Options) =>
  SandboxEhr.layerServer(options).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

/** A worker that renews and stops on the way, and an app in this process that shares its store. */
const scene = (place: Place, holdAt?: Hold) =>
  Effect.gen(function*() {
    const sandbox = yield* SandboxEhr.SandboxEhr
    const { program } = yield* Setting
    const store = yield* Effect.flatMap(connectTo(place.kind, place.address), (backing) => SessionStore.make(backing))
    const survivor = yield* Effect.provide(
      Sessions.Sessions,
      yield* Layer.build(app(sandbox.fhirBaseUrl, Layer.succeed(SessionStore.SessionStore, store)))
    )
    const id = yield* expiredSession(survivor)
    const worker = yield* startWorker(program)
    yield* worker.open({
      kind: place.kind,
      address: place.address,
      fhirBaseUrl: sandbox.fhirBaseUrl,
      leaseMillis: LEASE_MILLIS,
      holdAt
    })
    yield* sandbox.clearRequests

    const refreshes = Effect.map(
      sandbox.requests,
      (requests) => requests.filter(({ form }) => form["grant_type"] === "refresh_token")
    )
    /** Twenty who ask, none of whom waits for ever, and all of whom are told the same. */
    const ask = (refused?: string): Effect.Effect<CallerResult> =>
      Effect.gen(function*() {
        const before = yield* Clock.currentTimeMillis
        const token = refused === undefined ? undefined : Redacted.make(refused)
        const [first, ...others] = yield* callers(survivor, id, 20, token)
        assert.isBelow((yield* Clock.currentTimeMillis) - before, BOUND_MILLIS)
        for (const other of others) assert.deepStrictEqual(other, first)
        return first ?? assert.fail("no caller made a request")
      })
    const renewing = Effect.fork(worker.use(Redacted.value(id), 1))
    return { sandbox, survivor, worker, id, refreshes, ask, renewing }
  })

type Scene = Effect.Effect.Success<ReturnType<typeof scene>>

/** The request has left and is at the server. */
const arrived = ({ refreshes }: Scene) =>
  Effect.retry(
    Effect.filterOrFail(refreshes, ({ length }) => length > 0, () => "nothing yet"),
    Schedule.spaced("10 millis").pipe(Schedule.upTo("15 seconds"))
  )

/** It has a token that the server issued and takes a next one. */
const isUsable = (it: Scene, fared: CallerResult) =>
  Effect.gen(function*() {
    const token = "token" in fared ? fared.token : assert.fail(`no token: ${fared.failure}`)
    assert.include(yield* it.sandbox.issued, token)
    assert.isTrue(Option.isNone(yield* it.survivor.relaunchReason(it.id)))
    const next = yield* it.ask(token)
    assert.property(next, "token")
    assert.notDeepEqual(next, fared)
  })

/** It says clearly that only a launch helps, and asks the server no more. */
const relaunchReason = (it: Scene, fared: CallerResult, refused?: string) =>
  Effect.gen(function*() {
    assert.deepStrictEqual(fared, { failure: "NeedsRelaunch" })
    assert.include(Option.getOrThrow(yield* it.survivor.relaunchReason(it.id)), "invalid_grant")
    const before = (yield* it.refreshes).length
    assert.deepStrictEqual(yield* it.ask(refused), { failure: "NeedsRelaunch" })
    assert.lengthOf(yield* it.refreshes, before)
  })

type Test<E> = (place: Place) => Effect.Effect<void, E, Setting | SandboxEhr.SandboxEhr | Scope.Scope>

/** On every place at once, each with a server of its own. */
const everywhere = <E>(options: SandboxEhr.Options, test: Test<E>, mostPlaces = Number.POSITIVE_INFINITY) =>
  Effect.flatMap(Setting, ({ places }) =>
    Effect.forEach(
      places.slice(0, mostPlaces),
      (place) =>
        test(place).pipe(
          Effect.scoped,
          Effect.provide(ehr(options)),
          Effect.tapErrorCause(() => Effect.logError(`on ${place.name}`))
        ),
      { concurrency: "unbounded", discard: true }
    ))

/** Where it makes no difference to the store. */
const somewhere = <E>(options: SandboxEhr.Options, test: Test<E>) => everywhere(options, test, 1)

const rotating = {}
const constant = { rotateRefreshTokens: false }

layer(setting, { excludeTestServices: true, timeout: "60 seconds" })("Sessions, a renewing process", (it) => {
  for (const place of places) {
    if ("reason" in place) {
      describe(`left out: ${place.reason}`, () => {
        it.skip(place.name, () => {})
      })
    }
  }

  describe("killed", () => {
    const killedAt = (place: Place, holdAt: Hold) =>
      Effect.gen(function*() {
        const it = yield* scene(place, holdAt)
        yield* it.renewing
        yield* it.worker.held
        yield* it.worker.kill
        return it
      })

    const killedWhileWaiting = (place: Place, acted: boolean) =>
      Effect.gen(function*() {
        const it = yield* scene(place)
        yield* it.sandbox.fault("token", SandboxEhr.Fault.delay("1 minute", { processed: acted }))
        yield* it.renewing
        yield* arrived(it)
        yield* it.worker.kill
        return it
      })

    it.effect("before the request: another process renews once after the lease", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* killedAt(place, "locked")
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 1)
          yield* isUsable(it, fared)
        })))

    it.effect("after the request, before the server acted: another process sends it again", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* killedWhileWaiting(place, false)
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 2)
          yield* isUsable(it, fared)
        })))

    it.effect("after the request, after the server acted: the session needs a launch if refresh tokens rotate", () =>
      somewhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* killedWhileWaiting(place, true)
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 2)
          yield* relaunchReason(it, fared)
        })))

    it.effect("after the request, after the server acted: the session continues if refresh tokens do not rotate", () =>
      somewhere(constant, (place) =>
        Effect.gen(function*() {
          const it = yield* killedWhileWaiting(place, true)
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 2)
          yield* isUsable(it, fared)
        })))

    it.effect("after the response, before the write: the session needs a launch if refresh tokens rotate", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* killedAt(place, "answered")
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 2)
          yield* relaunchReason(it, fared)
        })))

    it.effect("after the response, before the write: the session continues if refresh tokens do not rotate", () =>
      somewhere(constant, (place) =>
        Effect.gen(function*() {
          const it = yield* killedAt(place, "answered")
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 2)
          yield* isUsable(it, fared)
        })))

    it.effect("after the write: all processes use the new tokens, without a request and without waiting for the lease", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* killedAt(place, "written")
          const fared = yield* it.ask()
          assert.lengthOf(yield* it.refreshes, 1)
          yield* isUsable(it, fared)
        })))
  })

  describe("paused for longer than its lease, and continued", () => {
    /** Ends when the lease is over; `wake` ends with what its caller was told. */
    const pausedAt = (place: Place, holdAt: Hold) =>
      Effect.gen(function*() {
        const it = yield* scene(place, holdAt)
        const renewing = yield* it.renewing
        yield* it.worker.held
        yield* it.worker.signal("SIGSTOP")
        yield* Effect.sleep(LEASE_MILLIS + 100)
        const wake = it.worker.signal("SIGCONT").pipe(
          Effect.zipRight(it.worker.go),
          Effect.zipRight(Fiber.join(renewing)),
          Effect.timeout(BOUND_MILLIS),
          Effect.map(([fared]) => fared ?? assert.fail("no caller made a request"))
        )
        return { ...it, wake }
      })

    it.effect("before it read the entry: it finds the tokens of another process, and sends no request", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* pausedAt(place, "locked")
          const fared = yield* it.ask()
          assert.deepStrictEqual(yield* it.wake, fared)
          assert.lengthOf(yield* it.refreshes, 1)
          yield* isUsable(it, fared)
        })))

    it.effect("after the response, with the entry unchanged: it writes although its lease is over", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* pausedAt(place, "answered")
          const fared = yield* it.wake
          assert.deepStrictEqual(yield* it.ask(), fared)
          assert.lengthOf(yield* it.refreshes, 1)
          yield* isUsable(it, fared)
        })))

    it.effect("after the response, while the server was down for another process: its tokens are stored", () =>
      everywhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* pausedAt(place, "answered")
          yield* it.sandbox.fault("token", SandboxEhr.Fault.status(500))
          assert.deepStrictEqual(yield* it.ask(), { failure: "Unavailable" })
          const fared = yield* it.wake
          assert.lengthOf(yield* it.refreshes, 2)
          assert.deepStrictEqual(yield* it.ask(), fared)
          yield* isUsable(it, fared)
        })))

    it.effect("after the response, while another process was refused: the server decides about its tokens", () =>
      somewhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* pausedAt(place, "answered")
          assert.deepStrictEqual(yield* it.ask(), { failure: "NeedsRelaunch" })
          const woken = yield* it.wake
          const token = "token" in woken ? woken.token : assert.fail(woken.failure)
          // This server has ended the whole family, so that the token is refused, and so is its refresh token.
          yield* relaunchReason(it, yield* it.ask(token), token)
          assert.lengthOf(yield* it.refreshes, 3)
        })))

    it.effect("between its last read and the request: the session needs a launch if refresh tokens rotate", () =>
      somewhere(rotating, (place) =>
        Effect.gen(function*() {
          const it = yield* pausedAt(place, "sending")
          const fared = yield* it.ask()
          const token = "token" in fared ? fared.token : assert.fail(fared.failure)
          assert.deepStrictEqual(yield* it.wake, fared)
          assert.lengthOf(yield* it.refreshes, 2)
          yield* relaunchReason(it, yield* it.ask(token), token)
        })))
  })
})
