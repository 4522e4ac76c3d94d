import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { asyncOnce } from "../../src/base/AsyncOnce.js"

describe("asyncOnce", () => {
  it.effect("succeeds and fails with the effect that it is resumed with", () =>
    Effect.gen(function*() {
      const later = (next: () => Effect.Effect<number, string>) =>
        asyncOnce<number, string>((resume) => {
          queueMicrotask(() => resume(next))
          return Effect.void
        })
      expect(yield* later(() => Effect.succeed(1))).toBe(1)
      expect(yield* Effect.flip(later(() => Effect.fail("no")))).toBe("no")
      const atOnce = asyncOnce<number, never>((resume) => {
        resume(() => Effect.succeed(2))
        return Effect.void
      })
      expect(yield* atOnce).toBe(2)
    }))

  it.effect("runs the returned effect at an interruption, also when it was resumed and `next` has not run", () =>
    Effect.gen(function*() {
      for (const isResumed of [false, true]) {
        let canceled = 0
        let ran = 0
        let resumeLater = () => {}
        const fiber = yield* Effect.fork(
          asyncOnce<void, never>((resume) => {
            resumeLater = () =>
              resume(() => {
                ran += 1
                return Effect.void
              })
            return Effect.sync(() => {
              canceled += 1
            })
          })
        )
        yield* Effect.yieldNow()
        fiber.unsafeInterruptAsFork(fiber.id())
        if (isResumed) resumeLater()
        const exit = yield* Fiber.await(fiber)
        expect(Exit.isInterrupted(exit)).toBe(true)
        expect([canceled, ran]).toStrictEqual([1, 0])
      }
    }))

  it.effect("does not run the returned effect after `next`", () =>
    Effect.gen(function*() {
      let canceled = 0
      const fiber = yield* Effect.fork(
        asyncOnce<never, never>((resume) => {
          queueMicrotask(() => resume(() => Effect.never))
          return Effect.sync(() => {
            canceled += 1
          })
        })
      )
      yield* Effect.promise(() => new Promise((done) => setImmediate(done)))
      yield* Fiber.interrupt(fiber)
      expect(canceled).toBe(0)
    }))

  it.effect("is a defect if it runs twice", () =>
    Effect.gen(function*() {
      const effect = asyncOnce<number, never>((resume) => {
        resume(() => Effect.succeed(1))
        return Effect.void
      })
      yield* effect
      const exit = yield* Effect.exit(effect)
      expect(Exit.isFailure(exit) && String(Cause.squash(exit.cause))).toContain("an effect of asyncOnce ran twice")
    }))
})
