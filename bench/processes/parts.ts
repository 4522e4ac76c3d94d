/**
 * What the operations of a session store, an id_token and a login consist of, each part by itself: microseconds of
 * processor time, and steps of a fiber. The targets of these rows are sums of these parts: see `docs/performance.md`.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { SecureRandom, SessionStore, TokenSet } from "effect-safire"
import type * as Sha256Module from "../../src/base/Sha256.js"
import type * as TimeLimitModule from "../../src/base/TimeLimit.js"
import { Entry, StoredSession } from "../../src/session/internal/sessionEntry.js"
import { spread } from "../harness/statistics.js"

const CONCURRENCY = 16
const ROUNDS = 9
const ROUND_MILLIS = 150
const WARM_UP_MILLIS = 1500

const [, , storedSession = "", modules = ""] = process.argv

/** By its address, because what is plain JavaScript has no types. */
const { session } = (await import(storedSession)) as {
  readonly session: (index: number) => Schema.Schema.Encoded<typeof TokenSet.TokenSet>
}
const Sha256 = (await import(`${modules}/base/Sha256.js`)) as typeof Sha256Module
const TimeLimit = (await import(`${modules}/base/TimeLimit.js`)) as typeof TimeLimitModule

const cost = async (self: Effect.Effect<unknown, unknown>, millis: number): Promise<number> => {
  const deadline = performance.now() + millis
  let operations = 0
  const before = process.cpuUsage()
  const loop = Effect.whileLoop({
    while: () => performance.now() < deadline,
    body: () => self,
    step: () => {
      operations++
    }
  })
  await Effect.runPromise(Effect.replicateEffect(loop, CONCURRENCY, { concurrency: "unbounded", discard: true }))
  const { system, user } = process.cpuUsage(before)
  return (system + user) / operations
}

/** Counts the steps of Effect's run loop: it calls its tracer at each of them. */
const stepsOf = async (self: Effect.Effect<unknown, unknown>): Promise<number> => {
  const tracer = Context.get(DefaultServices.liveServices, Tracer.Tracer) as { context: Tracer.Tracer["context"] }
  const { context } = tracer
  const count = async (counted: Effect.Effect<unknown, unknown>) => {
    let steps = 0
    tracer.context = (f, fiber) => {
      steps++
      return context(f, fiber)
    }
    await Effect.runPromise(counted)
    tracer.context = context
    return steps
  }
  await Effect.runPromise(self)
  return (await count(self)) - (await count(Effect.void))
}

const MAPS = 100
let maps: Effect.Effect<number> = Effect.succeed(0)
for (let index = 0; index < MAPS; index++) maps = Effect.map(maps, (value) => value + 1)

const limited = <A>(self: Effect.Effect<A>) =>
  TimeLimit.timeoutFail(self, { limit: "5 seconds", onTimeout: () => "over" as const })
const immediate = Effect.sync(() => 1)
const promised = Effect.promise(() => Promise.resolve(1))

const random = await Effect.runPromise(SecureRandom.SecureRandom)
const entry = new StoredSession({
  version: 1,
  expiresAt: DateTime.unsafeMake(Date.now() + 8 * 3_600_000),
  createdAt: DateTime.unsafeNow(),
  server: "hospital",
  tokens: Schema.decodeSync(TokenSet.TokenSet)(session(0))
}, { disableValidation: true })
const encode = Schema.encode(Schema.parseJson(Entry))
const text = Effect.runSync(encode(entry))
const decode = Schema.decode(Schema.parseJson(Entry))
const json: unknown = JSON.parse(text)

const storeOf = async (change: (backing: SessionStore.BackingSessionStore) => SessionStore.BackingSessionStore) => {
  const store = await Effect.runPromise(
    Effect.flatMap(SessionStore.backingMemory, (backing) => SessionStore.make(change(backing)))
  )
  const id = Redacted.make("session-0123456789abcdef0123456789abcdef")
  await Effect.runPromise(store.set(id, entry))
  return {
    read: store.get(id),
    modify: store.modify(id, (current) =>
      Effect.succeed(
        [
          undefined,
          Option.map(current, (found) => new StoredSession({ ...entry, ...found }, { disableValidation: true }))
        ] as const
      ))
  }
}
const memory = await storeOf((backing) => backing)
/** As a driver with promises, with one statement that locks and reads, and one that writes and unlocks. */
const later = <A, E>(self: Effect.Effect<A, E>) => Effect.zipRight(promised, self)
const driver = await storeOf((backing) => ({
  name: "driver",
  read: (key) => later(backing.read(key)),
  replace: (key, expected, next) => later(backing.replace(key, expected, next)),
  tryLock: (key, owner, leaseMillis) => later(backing.tryLock(key, owner, leaseMillis)),
  unlock: (key, owner) => later(backing.unlock(key, owner)),
  lockAndRead: (key, owner, leaseMillis) =>
    later(
      Effect.flatMap(
        backing.tryLock(key, owner, leaseMillis),
        (isLocked) => isLocked ? Effect.map(backing.read(key), Option.some) : Effect.succeedNone
      )
    ),
  replaceAndUnlock: (key, owner, expected, next) =>
    later(Effect.tap(backing.replace(key, expected, next), () => backing.unlock(key, owner)))
}))

interface Part {
  readonly title: string
  readonly self: Effect.Effect<unknown, unknown>
  /** Whose cost is not part of it. */
  readonly without?: Effect.Effect<unknown>
  readonly divisor?: number
}

const parts: ReadonlyArray<Part> = [
  { title: "a step of a fiber", self: maps, divisor: MAPS },
  { title: "a fiber with a time limit, of a synchronous operation", self: limited(immediate), without: immediate },
  { title: "a fiber with a time limit, of a promise", self: limited(promised), without: promised },
  { title: "random text of 16 bytes", self: SecureRandom.base64Url(random, 16) },
  { title: "the digest of an id", self: Sha256.base64Url("session-0123456789abcdef0123456789abcdef") },
  { title: "JSON.stringify of a session", self: Effect.sync(() => JSON.stringify(json)) },
  { title: "JSON.parse of a session", self: Effect.sync((): unknown => JSON.parse(text)) },
  { title: "a session encoded, with JSON", self: Effect.suspend(() => encode(entry)) },
  { title: "a session decoded, with JSON", self: Effect.suspend(() => decode(text)) }
]

const found = new Map<Part, Array<number>>(parts.map((part) => [part, []]))
for (const { self } of parts) await cost(self, WARM_UP_MILLIS)
for (let round = 0; round < ROUNDS; round++) {
  for (const [{ divisor = 1, self, without }, costs] of found) {
    const rest = without === undefined ? 0 : await cost(without, ROUND_MILLIS)
    costs.push((await cost(self, ROUND_MILLIS) - rest) / divisor)
  }
}
for (const [{ title }, costs] of found) process.stdout.write(`${spread(costs).median.toFixed(2)} µs  ${title}\n`)
for (
  const [title, self] of [
    ["a session read from memory", memory.read],
    ["a session changed in memory", memory.modify],
    ["a session read by a driver with promises", driver.read],
    ["a session changed by a driver with promises", driver.modify]
  ] as const
) {
  process.stdout.write(`${await stepsOf(self)} steps  ${title}\n`)
}
