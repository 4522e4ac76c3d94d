/**
 * Where launches and sessions are stored. `modify` is the one exclusive operation: renewal of tokens that rotate (RFC
 * 6749, section 6; RFC 9700, section 4.14) rests on it, in one process and over many.
 *
 * @since 0.1.0
 */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { unsafeMillis } from "../base/FiberEnvironment.js"
import * as SecureRandom from "../base/SecureRandom.js"
import * as Sha256 from "../base/Sha256.js"
import type { BackingSessionStore, Value } from "./BackingSessionStore.js"
import { backingKeyValue, backingMemory, timeLimited } from "./BackingSessionStore.js"
import * as Encryption from "./internal/encryption.js"
import type { Codec } from "./internal/entryCodec.js"
import * as EntryCodec from "./internal/entryCodec.js"
import * as Exclusive from "./internal/exclusive.js"
import type { Entry } from "./internal/sessionEntry.js"
import { SessionError } from "./SessionError.js"

export { backingMemory, type BackingSessionStore, unavailable, type Value } from "./BackingSessionStore.js"
export type { EncryptionKey } from "./internal/encryption.js"
export type { Codec } from "./internal/entryCodec.js"
export type { CompletedLaunch, Entry, PendingLaunch, Sealed, StoredSession } from "./internal/sessionEntry.js"
export { StoredValue } from "./internal/sessionEntry.js"

/**
 * Options of a store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a lock lasts. Must be longer than the longest token request and `saveTimeout`. Default 90 seconds. */
  readonly lease?: Duration.DurationInput | undefined
  /** How long `modify` waits for the lock before it fails with `LockTimeout`. Default: the lease and 5 seconds. */
  readonly lockWait?: Duration.DurationInput | undefined
  /** The time limit of one operation, after which it fails with `StoreUnavailable`. Default 5 seconds. */
  readonly operationTimeout?: Duration.DurationInput | undefined
  /** For how long `modify` repeats its write while the store is unavailable. Default 20 seconds. */
  readonly saveTimeout?: Duration.DurationInput | undefined
}

/**
 * Ids are credentials: they are `Redacted`, and an entry is stored under the SHA-256 of its id. An entry whose
 * `expiresAt` has passed counts as absent. An entry that cannot be decoded or decrypted is an error and stays stored
 * until it is set or removed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The entry, or `None` if it is absent or has expired. An entry that cannot be read is an `Undecodable`. */
  readonly get: (id: Redacted.Redacted) => Effect.Effect<Option.Option<Entry>, SessionError>
  /** As `remove` and `take`, it does not wait for a `modify` in progress, which then fails with `LockLost`. */
  readonly set: (id: Redacted.Redacted, entry: Entry) => Effect.Effect<void, SessionError>
  /** Removes an entry, if it exists. As `set`, it does not wait for a `modify` in progress. */
  readonly remove: (id: Redacted.Redacted) => Effect.Effect<void, SessionError>
  /** Gets and removes an entry. Of several concurrent callers one gets it. */
  readonly take: (id: Redacted.Redacted) => Effect.Effect<Option.Option<Entry>, SessionError>
  /**
   * Computes the next entry from the current one, exclusively over all processes that share the store. `f` runs at most
   * once. If `f` fails or is interrupted, nothing is written. After `f` has succeeded the write cannot be interrupted,
   * and is repeated while the store is unavailable. If `f` returns the same object, nothing is written; if it returns
   * none, the entry is removed.
   *
   * The lock is a lease, and no database transaction is open while `f` runs. If `f` takes longer than the lease, its
   * result is written unless the entry has changed (`LockLost`). `modify` inside `f` for the same id fails with
   * `Reentrant`.
   */
  readonly modify: <A, E, R>(
    id: Redacted.Redacted,
    f: (current: Option.Option<Entry>) => Effect.Effect<readonly [A, Option.Option<Entry>], E, R>
  ) => Effect.Effect<A, E | SessionError, R>
  /** The same store with the same locks, whose entries pass through `codec`. */
  readonly withCodec: (codec: Codec) => Service
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class SessionStore extends Context.Tag("effect-safire/SessionStore")<SessionStore, Service>() {}

const LAUNCH_PREFIX = "launch."

/**
 * The id under which `Sessions` stores the launch with this `state`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const launchKey = (state: Redacted.Redacted): Redacted.Redacted =>
  Redacted.make(LAUNCH_PREFIX + Redacted.value(state))

/**
 * Whether an id is that of a launch, and not of a session.
 *
 * @since 0.1.0
 * @category refinements
 */
export const isLaunchKey = (id: Redacted.Redacted): boolean => Redacted.value(id).startsWith(LAUNCH_PREFIX)

/** By the id object: a digest stays in memory as long as its id. */
const digests = new WeakMap<Redacted.Redacted, string>()

/** Runs `use` with the key of an id. Each FHIR request reads its session: a known key costs no step of a fiber. */
const withKey = <A, E, R>(
  id: Redacted.Redacted,
  use: (key: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const known = digests.get(id)
  if (known !== undefined) return use(known)
  return Effect.flatMap(Sha256.base64Url(Redacted.value(id)), (key) => {
    digests.set(id, key)
    return use(key)
  })
}

/** How often `set`, `remove` and `take` start again because another writer was faster. */
const MAX_RACES = 1000

/**
 * Makes a store over a `BackingSessionStore`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (backing: BackingSessionStore, options: Options = {}): Effect.Effect<Service> =>
  Effect.map(SecureRandom.SecureRandom, (random) => {
    const leaseMillis = Duration.toMillis(options.lease ?? "90 seconds")
    const waitMillis = options.lockWait === undefined ? leaseMillis + 5000 : Duration.toMillis(options.lockWait)
    const limited = timeLimited(backing, options.operationTimeout ?? "5 seconds")
    const exclusive = Exclusive.make(limited, random, { leaseMillis, waitMillis })
    const saving = Schedule.exponential("100 millis").pipe(
      Schedule.either(Schedule.spaced("2 seconds")),
      Schedule.jittered,
      Schedule.upTo(options.saveTimeout ?? "20 seconds")
    )
    const build = (codec: Codec): Service => ({
      ...operations(limited, exclusive, saving, EntryCodec.make(codec, backing.name), random),
      withCodec: (outer) => build(EntryCodec.compose(outer, codec))
    })
    return build(EntryCodec.identity)
  })

const operations = (
  backing: BackingSessionStore,
  exclusive: Exclusive.Exclusive,
  saving: Schedule.Schedule<unknown>,
  codec: EntryCodec.EntryCodec,
  random: SecureRandom.Service
): Omit<Service, "withCodec"> => {
  const fail = (reason: "StoreUnavailable" | "LockLost", detail: string) =>
    new SessionError({ reason, store: backing.name, detail })

  const decode = (key: string, text: Option.Option<string>) => codec.decode(key, text, unsafeMillis())

  /** Replaces the entry without a lock. Returns what `prepare` made of the replaced text; none leaves it as it is. */
  const replace = <A>(
    key: string,
    next: Option.Option<Value>,
    prepare: (current: Option.Option<string>) => Effect.Effect<Option.Option<A>, SessionError>
  ): Effect.Effect<Option.Option<A>, SessionError> =>
    Effect.gen(function*() {
      for (let races = 0; races < MAX_RACES; races++) {
        const current = yield* backing.read(key)
        const prepared = yield* prepare(current)
        if (Option.isNone(prepared)) return prepared
        if (!(yield* backing.replace(key, current, next))) continue
        codec.forget(key)
        return prepared
      }
      return yield* fail("StoreUnavailable", "an entry changes faster than it can be replaced")
    })

  const always = () => Effect.succeedSome(undefined)

  /** `Effect.retry` costs as much as the write, so it starts with the first failure. */
  const retried = (write: Effect.Effect<boolean, SessionError>): Effect.Effect<boolean, SessionError> =>
    Effect.catchAll(write, (first) => {
      let isFirst = true
      const next = Effect.suspend(() => {
        if (!isFirst) return write
        isFirst = false
        return first
      })
      return Effect.retry(next, { schedule: saving, while: (error) => error.isRetryable })
    })

  /** If a write seems to have failed, it may have been done: then the stored text is the written one. */
  const save = (key: string, lock: Exclusive.Lock, expected: Option.Option<string>, next: Option.Option<Value>) =>
    Effect.flatMap(retried(lock.replace(expected, next)), (isDone) => {
      if (isDone) return Effect.void
      const isSaved = (current: Option.Option<string>) =>
        Option.getOrUndefined(current) === Option.getOrUndefined(Option.map(next, ({ text }) => text))
      return Effect.filterOrFail(
        backing.read(key),
        isSaved,
        () => fail("LockLost", "another writer changed the entry after the lease was over")
      )
    })

  return {
    get: (id) => withKey(id, (key) => Effect.flatMap(backing.read(key), (text) => decode(key, text))),
    set: (id, entry) =>
      withKey(id, (key) =>
        Effect.flatMap(
          Effect.flatMap(SecureRandom.base64Url(random, 12), (nonce) => codec.encode(key, entry, nonce)),
          (value) => {
            const next = Option.some(value)
            // Most ids are new.
            return Effect.flatMap(backing.replace(key, Option.none(), next), (isNew) =>
              Effect.map(
                isNew ? Effect.void : replace(key, next, always),
                () => codec.wrote(key, value, entry, unsafeMillis())
              ))
          }
        )),
    remove: (id) => withKey(id, (key) => replace(key, Option.none(), always)),
    take: (id) => withKey(id, (key) => replace(key, Option.none(), (current) => decode(key, current))),
    modify: (id, f) =>
      withKey(id, (key) =>
        exclusive.run(key, (restore, lock) =>
          Effect.flatMap(
            restore(
              Effect.flatMap(lock.read, (text) => Effect.map(decode(key, text), (current) => ({ text, current })))
            ),
            ({ current, text }) =>
              // Nothing may follow `f` where it can be interrupted: its result would be lost.
              Effect.flatMap(restore(f(current)), ([result, next]) => {
                if (Option.getOrUndefined(next) === Option.getOrUndefined(current)) return Effect.succeed(result)
                if (Option.isNone(next)) {
                  return Effect.map(save(key, lock, text, Option.none()), () => {
                    codec.forget(key)
                    return result
                  })
                }
                // The owner of a lock is new for each `modify`, which writes one text at most.
                return Effect.flatMap(codec.encode(key, next.value, lock.owner), (value) =>
                  Effect.map(save(key, lock, text, Option.some(value)), () => {
                    codec.wrote(key, value, next.value, unsafeMillis())
                    return result
                  }))
              })
          )))
  }
}

/**
 * A store over a database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerBacking = <E, R>(
  backing: Effect.Effect<BackingSessionStore, E, R>,
  options?: Options | undefined
): Layer.Layer<SessionStore, E, R> =>
  Layer.effect(SessionStore, Effect.flatMap(backing, (database) => make(database, options)))

/**
 * A store in the memory of this process. Exclusive over the users of the layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<SessionStore> = layerBacking(backingMemory)

/**
 * A store in a `KeyValueStore`. Exclusive over this process; as durable and atomic as the key-value store's writes.
 * Expired entries are not removed. For several processes use files, SQL or Redis.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerKeyValueStore: Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> = layerBacking(
  backingKeyValue("effect-safire/session/")
)

/**
 * Encrypts the entries of another store (JWE, RFC 7516, with AES-256-GCM). The first key encrypts, all keys decrypt: to
 * change keys, put the new key first and keep the old keys as long as entries that they encrypted. `acceptUnsealed`
 * (default false) also reads entries that were stored without encryption.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEncrypted = (
  keys: readonly [Encryption.EncryptionKey, ...ReadonlyArray<Encryption.EncryptionKey>],
  options: { readonly acceptUnsealed?: boolean | undefined } = {}
): Layer.Layer<SessionStore, SessionError, SessionStore> =>
  Layer.effect(
    SessionStore,
    Effect.gen(function*() {
      const codec = yield* Encryption.make(keys, options.acceptUnsealed ?? false)
      return (yield* SessionStore).withCodec(codec)
    })
  )
