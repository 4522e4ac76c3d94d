import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
// The smallest entry. Stores do not read its content.
import { Sealed } from "../../src/session/internal/sessionEntry.js"
import type * as SessionStore from "../../src/session/SessionStore.js"

/** The simplest entry: a number in a member of a sealed entry that no store reads. */
export const numbered = (count: number, millis = 600_000): Effect.Effect<Sealed> =>
  Effect.map(DateTime.now, (now) =>
    new Sealed({
      version: 1,
      expiresAt: DateTime.add(now, { millis }),
      keyId: "counter",
      jwe: String(count)
    }))

export const numberIn = (entry: Option.Option<SessionStore.Entry>): number =>
  Option.match(entry, {
    onNone: () => 0,
    onSome: (some) => some._tag === "Sealed" ? Number(some.jwe) : Number.NaN
  })

/** Adds one to the stored number. Yields to other fibers between reading and writing. */
export const increment = (store: SessionStore.Service, id: Redacted.Redacted) =>
  store.modify(id, (current) =>
    Effect.gen(function*() {
      yield* Effect.yieldNow()
      const next = numberIn(current) + 1
      return [next, Option.some<SessionStore.Entry>(yield* numbered(next))] as const
    }))
