import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import { LaunchContext, TokenSet } from "effect-safire"
import * as RenewalTime from "../../src/session/internal/renewalTime.js"

const tokenSet = (lifeSeconds: number | undefined, token = "token") =>
  new TokenSet.TokenSet({
    version: 1,
    accessToken: Redacted.make(token),
    receivedAt: DateTime.unsafeMake(0),
    expiresAt: lifeSeconds === undefined ? undefined : DateTime.unsafeMake(lifeSeconds * 1000),
    scopes: [],
    context: new LaunchContext.LaunchContext({}),
    extensions: Redacted.make({})
  })

describe("RenewalTime", () => {
  it.prop(
    "[R-RF-1] is before the expiry, spread only earlier, and never before half of the life",
    { life: FastCheck.integer({ min: 1, max: 100_000 }), token: FastCheck.string() },
    ({ life, token }) => {
      const due = RenewalTime.dueAt(tokenSet(life, token))
      const margin = Math.min(60_000, life * 100)
      assert.isAtMost(due, life * 1000 - margin)
      assert.isAtLeast(due, life * 1000 - margin * 1.5)
      assert.isAtLeast(due, life * 500)
      assert.strictEqual(due, RenewalTime.dueAt(tokenSet(life, token)))
    }
  )

  it.prop(
    "a margin of one's own takes at most half of the life",
    { life: FastCheck.integer({ min: 1, max: 2_000 }), minutes: FastCheck.integer({ min: 0, max: 60 }) },
    ({ life, minutes }) => {
      const due = RenewalTime.dueAt(tokenSet(life), Duration.minutes(minutes))
      assert.isAtLeast(due, life * 500)
      assert.isAtMost(due, Math.max(life * 500, life * 1000 - minutes * 60_000))
    }
  )

  it("a token of unknown life is never due", () => {
    assert.strictEqual(RenewalTime.dueAt(tokenSet(undefined)), Number.POSITIVE_INFINITY)
  })
})
