/**
 * Entries as text and back: JSON with a version, sealed if the store is encrypted.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as BoundedMap from "../../base/BoundedMap.js"
import type { Value } from "../BackingSessionStore.js"
import { SessionError } from "../SessionError.js"
import { Entry } from "./sessionEntry.js"

/**
 * A change of entries on their way into a store and out of it. `key` is the hash under which the entry is stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Codec {
  readonly seal: (key: string, entry: Entry) => Effect.Effect<Entry, SessionError>
  readonly open: (key: string, entry: Entry) => Effect.Effect<Entry, SessionError>
}

export const identity: Codec = {
  seal: (_, entry) => Effect.succeed(entry),
  open: (_, entry) => Effect.succeed(entry)
}

/** Seals with `outer` first. */
export const compose = (outer: Codec, inner: Codec): Codec =>
  inner === identity ? outer : {
    seal: (key, entry) => Effect.flatMap(outer.seal(key, entry), (sealed) => inner.seal(key, sealed)),
    open: (key, entry) => Effect.flatMap(inner.open(key, entry), (opened) => outer.open(key, opened))
  }

export interface EntryCodec {
  /** The entry at `now`; none if its `expiresAt` has passed. */
  readonly decode: (
    key: string,
    text: Option.Option<string>,
    now: number
  ) => Effect.Effect<Option.Option<Entry>, SessionError>
  /** `nonce` must be new for each text; it is not secret. */
  readonly encode: (key: string, entry: Entry, nonce: string) => Effect.Effect<Value, SessionError>
  /** Notes what was written: an entry that its text gives back unchanged is not decoded again. */
  readonly wrote: (key: string, value: Value, entry: Entry, now: number) => void
  /** Removes the decoded entry from memory. */
  readonly forget: (key: string) => void
}

/** The nonce makes every text unique, so that equal texts are the same version of an entry. */
const Envelope = Schema.parseJson(Schema.Struct({ nonce: Schema.String, entry: Entry }))
const encodeEnvelope = Schema.encode(Envelope)
const decodeEnvelope = Schema.decode(Envelope)
const decodeVersion = Schema.decodeOption(
  Schema.parseJson(Schema.Struct({ entry: Schema.Struct({ version: Schema.Number }) }))
)

/**
 * An error loses its cause, and the state of an app may hold values that JSON changes. A completed launch is seldom
 * read again.
 */
const isSameDecoded = (entry: Entry): boolean =>
  ((entry._tag === "StoredSession" && entry.renewalFailure === undefined) || entry._tag === "PendingLaunch") &&
  (entry.appState === undefined || typeof entry.appState === "string")

/** Decoded entries stay in memory for the next request of their session. */
const MAX_DECODED = 4096
const MAX_DECODED_MILLIS = 300_000

export const make = (codec: Codec, store: string): EntryCodec => {
  const decoded = BoundedMap.make<{ readonly text: string; readonly entry: Entry; readonly at: number }>(MAX_DECODED)

  const undecodable = (detail: string) => new SessionError({ reason: "Undecodable", store, detail })

  const cached = (key: string, text: string, now: number): Entry | undefined => {
    decoded.prune(({ at }) => now - at > MAX_DECODED_MILLIS || at > now)
    const known = decoded.get(key)
    return known?.text === text ? known.entry : undefined
  }

  const open = (key: string, text: string, now: number): Effect.Effect<Entry, SessionError> =>
    decodeEnvelope(text).pipe(
      Effect.mapError(() => {
        const version = Option.map(decodeVersion(text), (envelope) => ` of version ${envelope.entry.version}`)
        return undecodable(`an entry${Option.getOrElse(version, () => "")} cannot be decoded`)
      }),
      Effect.flatMap(({ entry }) => codec.open(key, entry)),
      Effect.tap((entry) => Effect.sync(() => decoded.set(key, { text, entry, at: now })))
    )

  const encoded = (entry: Entry, nonce: string): Effect.Effect<Value, SessionError> =>
    Effect.mapBoth(encodeEnvelope({ nonce, entry }), {
      onSuccess: (text) => ({ text, expiresAt: DateTime.toEpochMillis(entry.expiresAt) }),
      onFailure: () => undecodable("an entry cannot be encoded")
    })

  const absent = (key: string): Option.Option<never> => {
    decoded.delete(key)
    return Option.none()
  }

  return {
    decode: (key, text, now) => {
      if (Option.isNone(text)) return Effect.succeed(absent(key))
      const live = (entry: Entry) => DateTime.toEpochMillis(entry.expiresAt) <= now ? absent(key) : Option.some(entry)
      const known = cached(key, text.value, now)
      return known === undefined ? Effect.map(open(key, text.value, now), live) : Effect.succeed(live(known))
    },
    encode: (key, entry, nonce) =>
      codec === identity
        ? encoded(entry, nonce)
        : Effect.flatMap(codec.seal(key, entry), (sealed) => encoded(sealed, nonce)),
    wrote: (key, { text }, entry, now) => {
      if (isSameDecoded(entry)) decoded.set(key, { text, entry, at: now })
      else decoded.delete(key)
    },
    forget: decoded.delete
  }
}
