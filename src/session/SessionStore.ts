/**
 * Where pending launches and sessions are kept, and the one exclusive primitive on which renewal rests: `modify`. What a token must survive
 * (concurrency, restarts, several processes, rotating refresh tokens: RFC 6749, section 6; RFC 9700, section 4.14) is decided here, once for all
 * places that can hold a string.
 *
 * @since 0.1.0
 */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Recent from "../base/BoundedMap.js"
import * as SecureRandom from "../base/SecureRandom.js"
import type { BackingSessionStore, Value } from "./BackingSessionStore.js"
import * as Encryption from "./internal/encryption.js"
import * as Exclusive from "./internal/exclusive.js"
import * as KeyValue from "./internal/keyValue.js"
import * as Memory from "./internal/memory.js"
import { Entry } from "./internal/sessionEntry.js"
import { timeLimited } from "./internal/timeLimited.js"
import { SessionError } from "./SessionError.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  BackingSessionStore,
  /**
   * @since 0.1.0
   * @category models
   */
  Value
} from "./BackingSessionStore.js"

export {
  /**
   * The error of a place that cannot be used, to map a driver's failure with: `unavailable("mongodb", "read")`. Of the failure it keeps the code, never
   * the message.
   *
   * @since 0.1.0
   * @category constructors
   */
  unavailable
} from "./BackingSessionStore.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Codec,
  /**
   * @since 0.1.0
   * @category models
   */
  EncryptionKey
} from "./internal/encryption.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** For how long a lock is lent. It must outlive the longest token request; the default is 90 seconds. */
  readonly lease?: Duration.DurationInput | undefined
  /** For how long `modify` waits for the lock before it fails with `LockTimeout`; by default the lease and five seconds. */
  readonly lockWait?: Duration.DurationInput | undefined
  /** How long one operation of the place may take before it is `StoreUnavailable`; the default is five seconds. */
  readonly operationTimeout?: Duration.DurationInput | undefined
  /** For how long the result of a `modify` is offered to a place that is unavailable; the default is 20 seconds. */
  readonly saveTimeout?: Duration.DurationInput | undefined
}

/**
 * Ids are credentials and stay redacted; a place stores under their SHA-256 (random ids of 128 bits or more cannot be guessed from it). An entry past its
 * `expiresAt` counts as absent. One that cannot be decoded or decrypted is an error and stays where it is, until somebody sets or removes it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly get: (id: Redacted.Redacted) => Effect.Effect<Option.Option<Entry>, SessionError>
  /** Like `remove` and `take` it does not wait for a `modify` in progress, which then ends in `LockLost` instead of undoing it. */
  readonly set: (id: Redacted.Redacted, entry: Entry) => Effect.Effect<void, SessionError>
  readonly remove: (id: Redacted.Redacted) => Effect.Effect<void, SessionError>
  /** Gets and removes: of many that take at once exactly one gets it. */
  readonly take: (id: Redacted.Redacted) => Effect.Effect<Option.Option<Entry>, SessionError>
  /**
   * Computes what is to be stored from what is stored, exclusively over everything that shares the store. `f` runs at most once. Nothing is written when it
   * fails or is interrupted; once it has succeeded the write can no longer be interrupted, and is repeated while the store is unavailable. Returning
   * the very entry that was given writes nothing; returning none removes it.
   *
   * Exclusive means a lease, not a transaction: nothing of the store is held while `f` runs. Whose `f` outlives the lease still writes, unless the entry has
   * changed meanwhile (`LockLost`). Not re-entrant: `modify` for the same id inside `f` is refused (`Reentrant`).
   */
  readonly modify: <A, E, R>(
    id: Redacted.Redacted,
    f: (current: Option.Option<Entry>) => Effect.Effect<readonly [A, Option.Option<Entry>], E, R>
  ) => Effect.Effect<A, E | SessionError, R>
  /** The same store, with its locks, whose entries go through `codec` on their way in and out. */
  readonly withCodec: (codec: Encryption.Codec) => Service
}

/**
 * @since 0.1.0
 * @category tags
 */
export class SessionStore extends Context.Tag("effect-safire/SessionStore")<SessionStore, Service>() {}

/** The nonce makes every text that is ever written unlike all others: equality of texts is equality of versions. */
const Envelope = Schema.parseJson(Schema.Struct({ nonce: Schema.String, entry: Entry }))
const encodeEnvelope = Schema.encode(Envelope)
const decodeEnvelope = Schema.decode(Envelope)
const versionOf = Schema.decodeOption(
  Schema.parseJson(Schema.Struct({ entry: Schema.Struct({ version: Schema.Number }) }))
)

const clear: Encryption.Codec = { seal: (_, entry) => Effect.succeed(entry), open: (_, entry) => Effect.succeed(entry) }

const after = (outer: Encryption.Codec, inner: Encryption.Codec): Encryption.Codec => ({
  seal: (key, entry) => Effect.flatMap(outer.seal(key, entry), (sealed) => inner.seal(key, sealed)),
  open: (key, entry) => Effect.flatMap(inner.open(key, entry), (opened) => outer.open(key, opened))
})

/** Decoded entries are kept for the next request of the same session: so many, and for so long after they were decoded. */
const DECODED_ENTRIES = 4096
const DECODED_MILLIS = 300_000

/** By the id's own object: a digest is gone with the last reference to its id, and no list of ids is kept. */
const digests = new WeakMap<Redacted.Redacted, string>()

const keyOf = (id: Redacted.Redacted): Effect.Effect<string> =>
  Effect.suspend(() => {
    const known = digests.get(id)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.map(
      // WebCrypto's digest of a byte array cannot fail: a rejection would be a defect of the platform.
      Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(Redacted.value(id)))),
      (digest) => {
        const key = Encoding.encodeBase64Url(new Uint8Array(digest))
        digests.set(id, key)
        return key
      }
    )
  })

/** How often `set`, `remove` and `take` start again because somebody else was faster. */
const MOST_RACES = 1000

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (backing: BackingSessionStore, options: Options = {}): Effect.Effect<Service> =>
  Effect.map(SecureRandom.SecureRandom, (random) => {
    const leaseMillis = Duration.toMillis(options.lease ?? "90 seconds")
    const bounded = timeLimited(backing, options.operationTimeout ?? "5 seconds")
    const exclusive = Exclusive.make(bounded, random, {
      leaseMillis,
      waitMillis: options.lockWait === undefined ? leaseMillis + 5000 : Duration.toMillis(options.lockWait)
    })
    const saving = Schedule.exponential("100 millis").pipe(
      Schedule.either(Schedule.spaced("2 seconds")),
      Schedule.jittered,
      Schedule.upTo(options.saveTimeout ?? "20 seconds")
    )
    return build({ backing: bounded, exclusive, random, saving, codec: clear })
  })

interface Parts {
  readonly backing: BackingSessionStore
  readonly exclusive: Exclusive.Exclusive
  readonly random: SecureRandom.Service
  readonly saving: Schedule.Schedule<unknown>
  readonly codec: Encryption.Codec
}

const build = ({ backing, codec, exclusive, random, saving }: Parts): Service => {
  const fail = (reason: "StoreUnavailable" | "LockLost" | "Undecodable", detail: string) =>
    new SessionError({ reason, store: backing.name, detail })

  const opened = Recent.make<{ readonly text: string; readonly entry: Entry; readonly at: number }>(DECODED_ENTRIES)

  const open = (key: string, text: string, now: number): Effect.Effect<Entry, SessionError> =>
    Effect.suspend(() => {
      opened.prune(({ at }) => now - at > DECODED_MILLIS || at > now)
      const known = opened.get(key)
      // No two texts that are ever written are equal: see `Envelope`.
      if (known?.text === text) return Effect.succeed(known.entry)
      return decodeEnvelope(text).pipe(
        Effect.mapError(() => {
          const version = Option.map(versionOf(text), (envelope) => ` of version ${envelope.entry.version}`)
          return fail("Undecodable", `an entry${Option.getOrElse(version, () => "")} cannot be decoded`)
        }),
        Effect.flatMap(({ entry }) => codec.open(key, entry)),
        Effect.tap((entry) => Effect.sync(() => opened.set(key, { text, entry, at: now })))
      )
    })

  /** What is not stored any more is not kept in memory either. */
  const absent = (key: string): Option.Option<never> => {
    opened.delete(key)
    return Option.none()
  }

  const decoded = (key: string, text: Option.Option<string>): Effect.Effect<Option.Option<Entry>, SessionError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Option.isNone(text)
        ? Effect.sync(() => absent(key))
        : Effect.map(
          open(key, text.value, now),
          (entry) => DateTime.toEpochMillis(entry.expiresAt) <= now ? absent(key) : Option.some(entry)
        ))

  const encoded = (key: string, entry: Entry): Effect.Effect<Value, SessionError> =>
    Effect.gen(function*() {
      const nonce = yield* SecureRandom.base64Url(random, 12)
      const sealed = yield* codec.seal(key, entry)
      const text = yield* Effect.mapError(
        encodeEnvelope({ nonce, entry: sealed }),
        () => fail("Undecodable", "an entry cannot be encoded")
      )
      return { text, expiresAt: DateTime.toEpochMillis(sealed.expiresAt) }
    })

  /** Starts again when the entry has changed between reading and writing: each time somebody else got on. */
  const replaced = (
    key: string,
    next: Option.Option<Value>
  ): Effect.Effect<void, SessionError> =>
    Effect.gen(function*() {
      for (let races = 0; races < MOST_RACES; races++) {
        const current = yield* backing.read(key)
        if (!(yield* backing.replace(key, current, next))) continue
        return opened.delete(key)
      }
      return yield* fail("StoreUnavailable", "an entry changes faster than it can be written")
    })

  const get: Service["get"] = (id) =>
    Effect.flatMap(keyOf(id), (key) => Effect.flatMap(backing.read(key), (text) => decoded(key, text)))

  const take: Service["take"] = (id) =>
    Effect.gen(function*() {
      const key = yield* keyOf(id)
      for (let races = 0; races < MOST_RACES; races++) {
        const text = yield* backing.read(key)
        const entry = yield* decoded(key, text)
        if (Option.isNone(entry)) return entry
        if (!(yield* backing.replace(key, text, Option.none()))) continue
        opened.delete(key)
        return entry
      }
      return yield* fail("StoreUnavailable", "an entry changes faster than it can be taken")
    })

  /** A write whose answer was lost may have been done: then what is there is what was to be written. */
  const save = (key: string, expected: Option.Option<string>, next: Option.Option<Value>) =>
    backing.replace(key, expected, next).pipe(
      Effect.retry({ schedule: saving, while: (error) => error.isRetryable }),
      Effect.flatMap((done) => {
        if (done) return Effect.void
        const isOurs = (now: Option.Option<string>) =>
          Option.getOrUndefined(now) === Option.getOrUndefined(Option.map(next, (value) => value.text))
        return Effect.filterOrFail(
          backing.read(key),
          isOurs,
          () => fail("LockLost", "the entry was changed by somebody else after the lease was over")
        )
      })
    )

  const modify: Service["modify"] = (id, f) =>
    Effect.flatMap(keyOf(id), (key) =>
      exclusive.run(key, (restore) =>
        Effect.gen(function*() {
          const text = yield* restore(backing.read(key))
          const current = yield* restore(decoded(key, text))
          const [result, next] = yield* restore(f(current))
          const isSame = Option.getOrUndefined(next) === Option.getOrUndefined(current)
          if (!isSame) {
            yield* save(key, text, Option.isNone(next) ? Option.none() : Option.some(yield* encoded(key, next.value)))
            opened.delete(key)
          }
          return result
        })))

  return {
    get,
    set: (id, entry) =>
      Effect.flatMap(
        keyOf(id),
        (key) => Effect.flatMap(encoded(key, entry), (value) => replaced(key, Option.some(value)))
      ),
    remove: (id) => Effect.flatMap(keyOf(id), (key) => replaced(key, Option.none())),
    take,
    modify,
    withCodec: (outer) => build({ backing, exclusive, random, saving, codec: after(outer, codec) })
  }
}

/**
 * A store in any place that fulfils `Backing`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerBacking = <E, R>(
  backing: Effect.Effect<BackingSessionStore, E, R>,
  options?: Options | undefined
): Layer.Layer<SessionStore, E, R> =>
  Layer.effect(SessionStore, Effect.flatMap(backing, (place) => make(place, options)))

/**
 * Exclusive over those that share the layer; gone with the process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<SessionStore> = layerBacking(Memory.make)

/**
 * Exclusive over one process, whatever stands behind the key-value store, and as durable and atomic as its writes are. Nothing is removed when its time is
 * over. For several processes use files, SQL or Redis.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerKeyValueStore: Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> = layerBacking(
  KeyValue.make("effect-safire/session/")
)

/**
 * Seals every entry of another store before it is stored (JWE, AES-256-GCM) and opens it after it is read. The first key seals, all of them open: to change
 * keys put the new one first and keep the old ones for as long as what they sealed is kept. `acceptUnsealed` reads entries that were stored before
 * there was a key.
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
