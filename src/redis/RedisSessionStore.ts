/**
 * Sessions in Redis, for many processes on many machines. Exclusive over one Redis primary: a fail-over may lose a
 * lock or a write that was not replicated yet.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Redis } from "ioredis"
import { unsafeMillis } from "../base/FiberEnvironment.js"
import { type BackingSessionStore, unavailable, type Value } from "../session/BackingSessionStore.js"
import type { SessionError } from "../session/SessionError.js"
import * as SessionStore from "../session/SessionStore.js"

/**
 * The commands of `ioredis` that the store uses: a `Redis`, a `Cluster`, or a client with the same commands.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly get: (key: string) => Promise<string | null>
  readonly eval: (script: string, keys: number, ...args: Array<string>) => Promise<unknown>
}

/**
 * Options of the store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** Prefix of keys. Default `effect-safire:session:`. */
  readonly prefix?: string | undefined
}

const NAME = "redis"

/**
 * A compare-and-set; `return 1` follows. `none` or `some` before a text marks it as absent or present: an argument is
 * always present.
 */
const REPLACE = `
local now = redis.call('GET', KEYS[1])
if ARGV[1] == 'none' then
  if now then return 0 end
elseif now ~= ARGV[2] then
  return 0
end
if ARGV[3] == 'none' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
end
`

const LOCK = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0`

/** GET is the last element, because an absent key ends a list. */
const LOCK_AND_READ = `
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {1, redis.call('GET', KEYS[1])} end
return {0}`

const REPLACE_AND_UNLOCK = `${REPLACE}
if redis.call('GET', KEYS[2]) == ARGV[6] then redis.call('DEL', KEYS[2]) end
return 1`

const UNLOCK = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

/**
 * Entries in Redis. Leases and expiry use the clock of Redis, which all processes share.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backing = (
  client: Client,
  options: { readonly prefix?: string | undefined } = {}
): BackingSessionStore => {
  const prefix = options.prefix ?? "effect-safire:session:"
  const run = (
    operation: string,
    script: string,
    keys: ReadonlyArray<string>,
    ...args: Array<string>
  ): Effect.Effect<unknown, SessionError> =>
    Effect.tryPromise({
      try: () => client.eval(script, keys.length, ...keys, ...args),
      catch: unavailable(NAME, operation)
    })
  const isOne = (result: unknown): boolean => result === 1
  // In a cluster, keys with the same text in braces are on the same node, as a script requires.
  const entryOf = (key: string) => `${prefix}{${key}}`
  const lockOf = (key: string) => `${prefix}{${key}}:lock`
  const replacement = (expected: Option.Option<string>, next: Option.Option<Value>): Array<string> => [
    expected._tag === "None" ? "none" : "some",
    Option.getOrElse(expected, () => ""),
    ...(Option.isNone(next) ? ["none", "", ""] : [
      "some",
      next.value.text,
      String(Math.max(1, Math.ceil(next.value.expiresAt - unsafeMillis())))
    ])
  ]
  return {
    name: NAME,
    read: (key) =>
      Effect.map(
        Effect.tryPromise({ try: () => client.get(entryOf(key)), catch: unavailable(NAME, "reading") }),
        Option.fromNullable
      ),
    replace: (key, expected, next) =>
      Effect.suspend(() =>
        Effect.map(run("writing", `${REPLACE}return 1`, [entryOf(key)], ...replacement(expected, next)), isOne)
      ),
    tryLock: (key, owner, leaseMillis) =>
      Effect.map(run("locking", LOCK, [lockOf(key)], owner, String(Math.ceil(leaseMillis))), isOne),
    unlock: (key, owner) => Effect.asVoid(run("unlocking", UNLOCK, [lockOf(key)], owner)),
    lockAndRead: (key, owner, leaseMillis) =>
      Effect.map(
        run("locking", LOCK_AND_READ, [entryOf(key), lockOf(key)], owner, String(Math.ceil(leaseMillis))),
        (result) => {
          const [isOurs, text]: ReadonlyArray<unknown> = Array.isArray(result) ? result : []
          return isOurs === 1
            ? Option.some(typeof text === "string" ? Option.some(text) : Option.none())
            : Option.none()
        }
      ),
    replaceAndUnlock: (key, owner, expected, next) =>
      Effect.suspend(() =>
        Effect.map(
          run(
            "writing",
            REPLACE_AND_UNLOCK,
            [entryOf(key), lockOf(key)],
            ...replacement(expected, next),
            owner
          ),
          isOne
        )
      )
  }
}

/**
 * A store over your own connection. If the connection is down for longer than `operationTimeout`, operations fail with
 * `StoreUnavailable`, also when `ioredis` waits longer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (client: Client, options?: Options | undefined): Layer.Layer<SessionStore.SessionStore> =>
  SessionStore.layerBacking(Effect.sync(() => backing(client, options)), options)

/**
 * A store with its own connection, which opens at the first use and closes with the layer. The URL may contain a
 * password.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options & { readonly url: Redacted.Redacted }
): Layer.Layer<SessionStore.SessionStore> =>
  Layer.unwrapScoped(Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const client = new Redis(Redacted.value(options.url), { lazyConnect: true, maxRetriesPerRequest: 1 })
        // Without a listener ioredis prints to the console. Failures reach the operations.
        client.on("error", () => {})
        return client
      }),
      (client) => Effect.sync(() => client.disconnect())
    ),
    (client) => layerClient(client, options)
  ))
