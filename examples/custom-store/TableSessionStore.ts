/**
 * A session store in your own database. It needs four operations: read a string, replace it if it is unchanged, lock
 * with a lease, and unlock. `SessionStore` builds all its guarantees on top of them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { SessionStore } from "effect-safire"
import type { Item, Table } from "./table.js"

const NAME = "table"

/** The error names the operation. It leaves out the driver's message, which may quote the stored text. */
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
