import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import { LaunchContext, TokenError, TokenSet } from "effect-safire"
// The argument of the pure rules; only `Sessions` makes it.
import { StoredSession } from "../../src/session/internal/sessionEntry.js"
import * as SessionState from "../../src/session/SessionState.js"

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

describe("SessionState.dueAt", () => {
  it.prop(
    "is before the expiry, spreads only earlier, and is never in the first half of the lifetime",
    { life: FastCheck.integer({ min: 1, max: 100_000 }), token: FastCheck.string() },
    ({ life, token }) => {
      const due = SessionState.dueAt(tokenSet(life, token))
      const margin = Math.min(60_000, life * 100)
      assert.isAtMost(due, life * 1000 - margin)
      assert.isAtLeast(due, life * 1000 - margin * 1.5)
      assert.isAtLeast(due, life * 500)
      assert.strictEqual(due, SessionState.dueAt(tokenSet(life, token)))
    }
  )

  it.prop(
    "a configured margin is at most half of the lifetime",
    { life: FastCheck.integer({ min: 1, max: 2_000 }), minutes: FastCheck.integer({ min: 0, max: 60 }) },
    ({ life, minutes }) => {
      const due = SessionState.dueAt(tokenSet(life), Duration.minutes(minutes))
      assert.isAtLeast(due, life * 500)
      assert.isAtMost(due, Math.max(life * 500, life * 1000 - minutes * 60_000))
    }
  )

  it("a token of unknown lifetime is never due", () => {
    assert.strictEqual(SessionState.dueAt(tokenSet(undefined)), Number.POSITIVE_INFINITY)
  })
})

describe("SessionState.decide", () => {
  const idleTimeout = Duration.hours(1)
  const at = (seconds: number) => DateTime.unsafeMake(seconds * 1000)
  const error = new TokenError({
    reason: "Unavailable",
    operation: "refresh",
    server: "north",
    url: "https://ehr.example.org/token",
    detail: "503",
    processed: "no"
  })

  /** Issued at 0 for 100 seconds, with a margin of 10 to 15 seconds. */
  const session = (changes: Partial<StoredSession> = {}, refreshToken: string | undefined = "refresh") =>
    new StoredSession({
      version: 1,
      expiresAt: at(3600),
      server: "north",
      createdAt: at(0),
      tokens: new TokenSet.TokenSet({
        ...tokenSet(100),
        refreshToken: refreshToken === undefined ? undefined : Redacted.make(refreshToken)
      }),
      ...changes
    })
  const withoutRefreshToken = () =>
    session({ tokens: new TokenSet.TokenSet({ ...session().tokens, refreshToken: undefined }) })
  const cooling = (until: number) => session({ renewalFailure: { error, retryAt: at(until) } })
  const decide = (entry: StoredSession, seconds: number, refused?: string) =>
    SessionState.decide(entry, DateTime.toEpochMillis(at(seconds)), {
      idleTimeout,
      refused: refused === undefined ? undefined : Redacted.make(refused)
    })._tag

  it.each<[string, StoredSession, number, string | undefined, SessionState.Decision["_tag"]]>([
    ["a valid token is used", session(), 50, undefined, "UseToken"],
    ["a due token is used and renewed", session(), 91, undefined, "UseTokenAndRenew"],
    ["a due token without a refresh token is used", withoutRefreshToken(), 91, undefined, "UseToken"],
    ["a due token is not renewed during a cool-down", cooling(95), 91, undefined, "UseToken"],
    ["a cool-down from before a clock change is ignored", cooling(1000), 91, undefined, "UseTokenAndRenew"],
    [
      "a use is stored when half of the idle time is left",
      session({ expiresAt: at(1800) }),
      50,
      undefined,
      "UseTokenAndExtend"
    ],
    ["a renewal counts as a use", session({ expiresAt: at(1800) }), 91, undefined, "UseTokenAndRenew"],
    ["an expired token is renewed first", session(), 100, undefined, "RenewAndWait"],
    ["a refused token is renewed first", session(), 50, "token", "RenewAndWait"],
    ["another refused token does not matter", session(), 50, "another token", "UseToken"],
    ["an expired token is not renewed during a cool-down", cooling(150), 120, undefined, "CoolDown"],
    ["an expired token is renewed after the cool-down", cooling(150), 150, undefined, "RenewAndWait"],
    ["an expired token without a refresh token needs a launch", withoutRefreshToken(), 100, undefined, "Relaunch"],
    [
      "a refused refresh token needs a launch",
      session({ relaunchReason: "invalid_grant" }),
      100,
      undefined,
      "Relaunch"
    ],
    ["until then the valid token is used", session({ relaunchReason: "invalid_grant" }), 91, undefined, "UseToken"]
  ])("%s", (_, entry, seconds, refused, expected) => {
    assert.strictEqual(decide(entry, seconds, refused), expected)
  })

  it("a final failure removes the refresh token and keeps the access token", () => {
    const refused = new TokenError({ ...error, reason: "Refused", error: "invalid_grant", processed: "no" })
    assert.isTrue(SessionState.isFinal(refused))
    const next = SessionState.refusedForGood(session(), refused)
    assert.isUndefined(next.tokens.refreshToken)
    assert.strictEqual(decide(next, 50), "UseToken")
    assert.strictEqual(
      SessionState.relaunchReason(next, at(50)),
      "the server refused the refresh token (invalid_grant)"
    )
  })

  it("rejected credentials keep the refresh token and pause for a minute", () => {
    const rejected = new TokenError({ ...error, reason: "Refused", error: "invalid_client", processed: "no" })
    assert.isFalse(SessionState.isFinal(rejected))
    const next = SessionState.failed(session(), rejected, at(100), {})
    assert.deepStrictEqual(next.renewalFailure?.retryAt, at(160))
    assert.strictEqual(decide(next, 159), "CoolDown")
    assert.strictEqual(decide(next, 160), "RenewAndWait")
  })

  it("Retry-After lengthens a cool-down, up to five minutes", () => {
    const after = (retryAfter: Duration.Duration) =>
      SessionState.retryAt(new TokenError({ ...error, retryAfter }), at(0), "2 seconds")
    assert.deepStrictEqual(after(Duration.seconds(1)), at(2))
    assert.deepStrictEqual(after(Duration.seconds(20)), at(20))
    assert.deepStrictEqual(after(Duration.hours(1)), at(300))
  })
})
