/**
 * Replaces the signing key while the program runs, so that no server refuses an assertion (SMART App Launch 2.2,
 * requirements 303 to 306). The new key is published at once and signs after `maxAge`, when no cache lacks it. The
 * old key stays published until its last assertion has expired. A rotation can be rolled back at any time.
 *
 * The state is that of one process. If several processes serve one client, or a restart may interrupt a rotation,
 * rotate by deployment: `SigningKeys.layerJwk` with both keys and `kid` of the old one; after the `max-age` of the
 * JWKS, `kid` of the new one; after a further `max-age` and the lifetime of an assertion, the new key alone.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Ref from "effect/Ref"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Jws from "./internal/jws.js"
import type { JwkSet } from "./PublicJwk.js"
import type { SigningKey } from "./SigningKey.js"

/**
 * Options of a rotation.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The first key. */
  readonly key: SigningKey
  /**
   * How long a server may cache the published set: its `max-age`, or longer for servers that ignore it. Default 15
   * minutes.
   */
  readonly maxAge?: Duration.DurationInput | undefined
  /** The longest lifetime of an assertion. Default 5 minutes. */
  readonly assertionLifetime?: Duration.DurationInput | undefined
}

/**
 * The state of a rotation. Times are milliseconds since 1970.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  /** The `kid` of the key that signs. */
  readonly signing: string
  /** A key that is published and will sign. */
  readonly next?: { readonly kid: string; readonly signsFrom: number } | undefined
  /** Keys that no longer sign and are still published. */
  readonly retired: ReadonlyArray<{ readonly kid: string; readonly publishedUntil: number }>
}

/**
 * Replaces and publishes signing keys.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly sign: Jws.Sign
  readonly publicJwks: Effect.Effect<JwkSet>
  /**
   * Publishes the key now; it signs after `maxAge`. One rotation at a time: fails with reason `Conflict` during
   * another one.
   */
  readonly rotate: (key: SigningKey) => Effect.Effect<State, ConfigurationError>
  /**
   * Drops a key that does not sign yet; otherwise the previous key, which is still published, signs again at once. A
   * withdrawn key stays published until its assertions have expired.
   */
  readonly rollback: Effect.Effect<State, ConfigurationError>
  readonly state: Effect.Effect<State>
  /** The longest `max-age` that `Cache-Control` of the published set may have. */
  readonly maxAge: Duration.Duration
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class KeyRotation extends Context.Tag("effect-safire/KeyRotation")<KeyRotation, Service>() {}

interface Keys {
  readonly signing: SigningKey
  readonly next: { readonly key: SigningKey; readonly signsFrom: number } | undefined
  readonly retired: ReadonlyArray<{
    readonly key: SigningKey
    readonly publishedUntil: number
    /** After a rollback: a further rollback does not return to it. */
    readonly withdrawn: boolean
  }>
}

interface Delays {
  readonly maxAge: number
  readonly retirement: number
}

/** The keys at `now`: makes the changes that are due. */
const advance = (keys: Keys, delays: Delays, now: number): Keys => {
  const { next, retired, signing } = keys
  const current: Keys = next !== undefined && now >= next.signsFrom
    ? {
      signing: next.key,
      next: undefined,
      // The first use after the change may be late; the last signature of the old key was made before `signsFrom`.
      retired: [...retired, { key: signing, publishedUntil: next.signsFrom + delays.retirement, withdrawn: false }]
    }
    : keys
  return { ...current, retired: current.retired.filter(({ publishedUntil }) => now < publishedUntil) }
}

const published = (keys: Keys): ReadonlyArray<SigningKey> => [
  keys.signing,
  ...(keys.next === undefined ? [] : [keys.next.key]),
  ...keys.retired.map(({ key }) => key)
]

const conflict = (detail: string) => Either.left(configurationError("Conflict", ["signingKey"], detail))

const startRotation = (
  keys: Keys,
  delays: Delays,
  now: number,
  key: SigningKey
): Either.Either<Keys, ConfigurationError> => {
  if (keys.next !== undefined) {
    return conflict(`a rotation to ${keys.next.key.kid} is in progress; wait for it or roll it back`)
  }
  return published(keys).some(({ kid }) => kid === key.kid)
    ? conflict(`a key with the kid ${key.kid} is already published; a new key needs a kid of its own`)
    : Either.right({ ...keys, next: { key, signsFrom: now + delays.maxAge } })
}

const rollBack = (keys: Keys, delays: Delays, now: number): Either.Either<Keys, ConfigurationError> => {
  if (keys.next !== undefined) return Either.right({ ...keys, next: undefined })
  const previous = keys.retired.filter(({ withdrawn }) => !withdrawn).at(-1)
  return previous === undefined
    ? conflict("the previous key is no longer published; rotate to it instead")
    : Either.right({
      signing: previous.key,
      next: undefined,
      retired: [
        ...keys.retired.filter((retired) => retired !== previous),
        { key: keys.signing, publishedUntil: now + delays.retirement, withdrawn: true }
      ]
    })
}

const stateOf = ({ next, retired, signing }: Keys): State => ({
  signing: signing.kid,
  next: next === undefined ? undefined : { kid: next.key.kid, signsFrom: next.signsFrom },
  retired: retired.map(({ key, publishedUntil }) => ({ kid: key.kid, publishedUntil }))
})

/**
 * Nothing runs in the background: each use first makes the changes that are due by the clock.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service> =>
  Effect.gen(function*() {
    const maxAge = Duration.decode(options.maxAge ?? "15 minutes")
    const delays: Delays = {
      maxAge: Duration.toMillis(maxAge),
      retirement: Duration.toMillis(Duration.sum(maxAge, options.assertionLifetime ?? "5 minutes"))
    }
    const ref = yield* Ref.make<Keys>({ signing: options.key, next: undefined, retired: [] })
    const current = Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Ref.updateAndGet(ref, (keys) => advance(keys, delays, now))
    )
    const change = (apply: (keys: Keys, now: number) => Either.Either<Keys, ConfigurationError>, message: string) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const state = yield* Effect.flatten(Ref.modify(ref, (keys) => {
          const current = advance(keys, delays, now)
          const changed = apply(current, now)
          return [Either.map(changed, stateOf), Either.getOrElse(changed, () => current)]
        }))
        yield* Effect.logInfo(message).pipe(
          Effect.annotateLogs({ "smart.signing": state.signing, "smart.next": state.next?.kid ?? "none" })
        )
        return state
      })
    return {
      sign: Jws.sign(Effect.map(current, ({ signing }) => [signing])),
      publicJwks: Effect.map(current, (keys) => ({ keys: published(keys).map(({ publicJwk }) => publicJwk) })),
      rotate: (key) => change((keys, now) => startRotation(keys, delays, now, key), "a new signing key is published"),
      rollback: change((keys, now) => rollBack(keys, delays, now), "the signing key was rolled back"),
      state: Effect.map(current, stateOf),
      maxAge
    }
  })
