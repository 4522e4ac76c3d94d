/**
 * Changing the signing key while the program runs, without a moment in which a server refuses an assertion: publish the new key, wait until no
 * cache can still be without it, sign with it, keep the old one published until its last assertion is dead, remove it; roll back at any point
 * (SMART App Launch 2.2, requirements 303 to 306).
 *
 * What is known here is known to one process. Where several serve one client, or a restart may fall into a rotation, rotate by deployment
 * instead: `SigningKeys.layerJwk` with both keys and `kid` naming the old one; after the JWKS's `max-age`, `kid` naming the new one; after
 * that and the life of an assertion, the new key alone.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Ref from "effect/Ref"
import { ConfigurationError } from "../base/ConfigurationError.js"
import * as Jws from "./internal/jws.js"
import type { JwkSet } from "./PublicJwk.js"
import type { SigningKey } from "./SigningKey.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The key to begin with. */
  readonly key: SigningKey
  /**
   * How long a server may keep the published set: the `max-age` it is served with, or longer where a server is known not to heed that. Default 15
   * minutes.
   */
  readonly maxAge?: Duration.DurationInput | undefined
  /** How long an assertion lives, at most. Default 5 minutes. */
  readonly assertionLifetime?: Duration.DurationInput | undefined
}

/**
 * Where a rotation stands. Times are milliseconds since 1970.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  /** The `kid` that signs. */
  readonly signing: string
  /** Published, and signing from then on. */
  readonly next?: { readonly kid: string; readonly signsFrom: number } | undefined
  /** No longer signing, and published until then. */
  readonly retired: ReadonlyArray<{ readonly kid: string; readonly publishedUntil: number }>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly sign: Jws.Sign
  readonly publicJwks: Effect.Effect<JwkSet>
  /** Publishes the key now and signs with it as soon as every cache knows it. One rotation at a time. */
  readonly rotate: (key: SigningKey) => Effect.Effect<State, ConfigurationError>
  /**
   * Back to the key before: drops one that does not sign yet, or signs at once with the one it replaced, which is still published. What is
   * withdrawn that has signed stays published until its assertions are dead.
   */
  readonly rollback: Effect.Effect<State, ConfigurationError>
  readonly state: Effect.Effect<State>
  /** What `Cache-Control` of the published set may say at most. */
  readonly maxAge: Duration.Duration
}

/**
 * @since 0.1.0
 * @category tags
 */
export class KeyRotation extends Context.Tag("effect-safire/KeyRotation")<KeyRotation, Service>() {}

interface Retired {
  readonly key: SigningKey
  readonly publishedUntil: number
  /** Rolled back: published, but nothing to roll back to. */
  readonly withdrawn: boolean
}

interface Keys {
  readonly signing: SigningKey
  readonly next: { readonly key: SigningKey; readonly signsFrom: number } | undefined
  readonly retired: ReadonlyArray<Retired>
}

interface Delays {
  readonly maxAge: number
  readonly keep: number
}

/** What time alone has changed. */
const advance = (keys: Keys, delays: Delays, now: number): Keys => {
  const { next, retired, signing } = keys
  const current: Keys = next !== undefined && now >= next.signsFrom
    ? {
      signing: next.key,
      next: undefined,
      // Whoever asks first after the change may ask late: the old key's last signature was made before `signsFrom`.
      retired: [...retired, { key: signing, publishedUntil: next.signsFrom + delays.keep, withdrawn: false }]
    }
    : keys
  return { ...current, retired: current.retired.filter(({ publishedUntil }) => now < publishedUntil) }
}

const published = (keys: Keys): ReadonlyArray<SigningKey> => [
  keys.signing,
  ...(keys.next === undefined ? [] : [keys.next.key]),
  ...keys.retired.map(({ key }) => key)
]

const conflict = (detail: string) =>
  Either.left(new ConfigurationError({ reason: "Conflict", fields: ["signingKey"], detail }))

const rotated = (keys: Keys, delays: Delays, now: number, key: SigningKey): Either.Either<Keys, ConfigurationError> => {
  if (keys.next !== undefined) {
    return conflict(`a rotation to ${keys.next.key.kid} is under way; wait for it or roll it back`)
  }
  return published(keys).some(({ kid }) => kid === key.kid)
    ? conflict(`a key called ${key.kid} is published already; a new key needs a kid of its own`)
    : Either.right({ ...keys, next: { key, signsFrom: now + delays.maxAge } })
}

const rolledBack = (keys: Keys, delays: Delays, now: number): Either.Either<Keys, ConfigurationError> => {
  if (keys.next !== undefined) return Either.right({ ...keys, next: undefined })
  const before = keys.retired.filter(({ withdrawn }) => !withdrawn).at(-1)
  return before === undefined
    ? conflict("no earlier key is published any more; rotate to it instead")
    : Either.right({
      signing: before.key,
      next: undefined,
      retired: [
        ...keys.retired.filter((retired) => retired !== before),
        { key: keys.signing, publishedUntil: now + delays.keep, withdrawn: true }
      ]
    })
}

const stateOf = ({ next, retired, signing }: Keys): State => ({
  signing: signing.kid,
  next: next === undefined ? undefined : { kid: next.key.kid, signsFrom: next.signsFrom },
  retired: retired.map(({ key, publishedUntil }) => ({ kid: key.kid, publishedUntil }))
})

/**
 * Nothing runs in the background: each use first takes the step that is due by the clock.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service> =>
  Effect.gen(function*() {
    const maxAge = Duration.decode(options.maxAge ?? "15 minutes")
    const delays: Delays = {
      maxAge: Duration.toMillis(maxAge),
      keep: Duration.toMillis(Duration.sum(maxAge, options.assertionLifetime ?? "5 minutes"))
    }
    const ref = yield* Ref.make<Keys>({ signing: options.key, next: undefined, retired: [] })
    const now = Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Ref.updateAndGet(ref, (keys) => advance(keys, delays, now))
    )
    const change = (step: (keys: Keys, now: number) => Either.Either<Keys, ConfigurationError>, done: string) =>
      Effect.gen(function*() {
        const at = yield* Clock.currentTimeMillis
        const state = yield* Effect.flatten(Ref.modify(ref, (keys) => {
          const current = advance(keys, delays, at)
          const result = step(current, at)
          return [Either.map(result, stateOf), Either.getOrElse(result, () => current)]
        }))
        yield* Effect.logInfo(done).pipe(
          Effect.annotateLogs({ "smart.signing": state.signing, "smart.next": state.next?.kid ?? "none" })
        )
        return state
      })
    return {
      sign: Jws.sign(() => Effect.map(now, ({ signing }) => [signing])),
      publicJwks: Effect.map(now, (keys) => ({ keys: published(keys).map(({ publicJwk }) => publicJwk) })),
      rotate: (key) => change((keys, at) => rotated(keys, delays, at, key), "a new signing key is published"),
      rollback: change((keys, at) => rolledBack(keys, delays, at), "the signing key was rolled back"),
      state: Effect.map(now, stateOf),
      maxAge
    }
  })
