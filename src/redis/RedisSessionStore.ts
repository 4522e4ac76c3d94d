/**
 * Sessions in Redis, for any number of processes on any number of machines. Exclusive as far as one Redis primary is: a fail-over may forget a lock or a
 * write that was not replicated yet.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Redis } from "ioredis"
import { type BackingSessionStore, unavailable } from "../session/BackingSessionStore.js"
import type { SessionError } from "../session/SessionError.js"
import * as SessionStore from "../session/SessionStore.js"

/**
 * What is used of `ioredis`: a `Redis`, a `Cluster` or anything that takes the same commands.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  readonly get: (key: string) => Promise<string | null>
  readonly eval: (script: string, keys: number, ...args: Array<string>) => Promise<unknown>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends SessionStore.Options {
  /** Before every key; the default is `effect-safire:session:`. */
  readonly prefix?: string | undefined
}

const NAME = "redis"

/** A compare-and-set. Absence cannot be an argument, so a first argument says what is expected and what comes: none or some. */
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
return 1`

const LOCK = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0`

const UNLOCK = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

/**
 * Leases and times of keeping run by the clock of Redis, which all that share it agree on.
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
    key: string,
    ...args: Array<string>
  ): Effect.Effect<boolean, SessionError> =>
    Effect.tryPromise({
      try: () => client.eval(script, 1, key, ...args).then((answer) => answer === 1),
      catch: unavailable(NAME, operation)
    })
  const lockOf = (key: string) => `${prefix}${key}:lock`
  return {
    name: NAME,
    read: (key) =>
      Effect.map(
        Effect.tryPromise({ try: () => client.get(prefix + key), catch: unavailable(NAME, "reading") }),
        Option.fromNullable
      ),
    replace: (key, expected, next) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        run(
          "writing",
          REPLACE,
          prefix + key,
          expected._tag === "None" ? "none" : "some",
          Option.getOrElse(expected, () => ""),
          ...(Option.isNone(next)
            ? ["none"]
            : ["some", next.value.text, String(Math.max(1, Math.ceil(next.value.expiresAt - now)))])
        )),
    tryLock: (key, owner, leaseMillis) => run("locking", LOCK, lockOf(key), owner, String(Math.ceil(leaseMillis))),
    unlock: (key, owner) => Effect.asVoid(run("unlocking", UNLOCK, lockOf(key), owner))
  }
}

/**
 * Over a connection of the caller's. A connection that is down for longer than `operationTimeout` makes `StoreUnavailable`, however long `ioredis`
 * itself is told to wait.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient = (client: Client, options?: Options | undefined): Layer.Layer<SessionStore.SessionStore> =>
  SessionStore.layerBacking(Effect.sync(() => backing(client, options)), options)

/**
 * Over a connection of its own, which is made with the first use and closed with the layer. The URL may hold a password.
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
        // Without a listener ioredis prints to the console. What goes wrong is seen by the operations.
        client.on("error", () => {})
        return client
      }),
      (client) => Effect.sync(() => client.disconnect())
    ),
    (client) => layerClient(client, options)
  ))
