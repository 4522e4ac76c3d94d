/**
 * A session store of one's own. A place has to do four things: read a string, replace it if it is what was read, lend a lock for a time, take it back.
 * Everything a session store promises (one renewal at a time, nothing lost, nothing overwritten) is built on top, the same for every place.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { SessionStore } from "effect-safire"
import type { Item, Table } from "./table.js"

const NAME = "table"

/** The error goes to logs: it says what was tried, and never what the driver says, which may quote what was to be stored. */
const attempt = <A>(operation: string, run: () => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: SessionStore.unavailable(NAME, operation) })

export const backing = (table: Table): SessionStore.BackingSessionStore => {
  const lockOf = (key: string) => `lock/${key}`
  return {
    name: NAME,
    read: (key) =>
      Effect.map(
        attempt("read", () => table.get(key)),
        (item) => Option.map(Option.fromNullable(item), (it) => it.text)
      ),
    replace: (key, expected, next) =>
      attempt("replace", () =>
        table.write(
          key,
          Option.getOrUndefined(Option.map(next, ({ expiresAt, text }): Item => ({ text, expires: expiresAt }))),
          (current) => current?.text === Option.getOrUndefined(expected)
        )),
    tryLock: (key, owner, leaseMillis) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        attempt("lock", () =>
          table.write(
            lockOf(key),
            { text: owner, expires: now + leaseMillis },
            (current) => current === undefined || current.expires <= now
          ))),
    unlock: (key, owner) =>
      Effect.asVoid(
        attempt("unlock", () => table.write(lockOf(key), undefined, (current) => current?.text === owner))
      )
  }
}

export const layer = (
  table: Table,
  options?: SessionStore.Options
): Layer.Layer<SessionStore.SessionStore> => SessionStore.layerBacking(Effect.sync(() => backing(table)), options)
