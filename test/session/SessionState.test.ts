import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import { DiscoveryError, LaunchContext, TokenError, TokenSet } from "effect-safire"
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

  it("tokens that were received together are due at different times, which depend on each character", () => {
    const tokens = Array.from({ length: 50 }, (_, index) => `token-${index}-suffix`)
    const due = tokens.map((token) => SessionState.dueAt(tokenSet(3600, token)))
    assert.strictEqual(new Set(due).size, tokens.length)
    // A margin of 60 seconds grows by up to 30: the times are spread over most of them.
    assert.isAbove(Math.max(...due) - Math.min(...due), 25_000)
  })

  it("a margin longer than the lifetime makes a token due after half of it", () => {
    assert.strictEqual(SessionState.dueAt(tokenSet(100), "5 minutes"), 50_000)
    assert.strictEqual(SessionState.dueAt(tokenSet(100), 0), 100_000)
    const later = new TokenSet.TokenSet({ ...tokenSet(100), receivedAt: DateTime.unsafeMake(60_000) })
    assert.strictEqual(SessionState.dueAt(later, "5 minutes"), 80_000)
  })

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
  const decide = (
    entry: StoredSession,
    seconds: number,
    refused?: string,
    renewalMargin?: SessionState.RenewalOptions["renewalMargin"]
  ) =>
    SessionState.decide(entry, DateTime.toEpochMillis(at(seconds)), {
      idleTimeout,
      renewalMargin,
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

  it("changes its decision at the first millisecond of each period", () => {
    assert.strictEqual(decide(session(), 49.999, undefined, "5 minutes"), "UseToken")
    assert.strictEqual(decide(session(), 50, undefined, "5 minutes"), "UseTokenAndRenew")
    assert.strictEqual(decide(session(), 99.999), "UseTokenAndRenew")
    // The longest margin is 15 seconds; that of this token is shorter.
    assert.strictEqual(decide(session(), 85), "UseToken")
    assert.strictEqual(SessionState.decideToken({}, 0)._tag, "RenewAndWait")
    assert.strictEqual(decide(cooling(150), 149.999), "CoolDown")
    assert.strictEqual(decide(cooling(400), 100), "CoolDown")
    assert.strictEqual(decide(cooling(400.001), 100), "RenewAndWait")
    assert.strictEqual(decide(session({ expiresAt: at(1850.001) }), 50), "UseToken")
    assert.strictEqual(decide(session({ expiresAt: at(1850) }), 50), "UseTokenAndExtend")
  })

  it("the reason of a relaunch is that of the server, or that the refresh token is missing", () => {
    const reasonOf = (entry: StoredSession) => {
      const decision = SessionState.decide(entry, 100_000, { idleTimeout })
      return decision._tag === "Relaunch" ? decision.reason : decision._tag
    }
    assert.strictEqual(reasonOf(session({ relaunchReason: "the server refused it" })), "the server refused it")
    assert.match(reasonOf(withoutRefreshToken()), /^the access token has expired or was refused: ./)
    assert.strictEqual(SessionState.relaunchReason(withoutRefreshToken(), at(100)), reasonOf(withoutRefreshToken()))
    assert.isUndefined(SessionState.relaunchReason(withoutRefreshToken(), at(99)))
    assert.isUndefined(SessionState.relaunchReason(session(), at(100)))
  })

  it("new tokens end a cool-down and a need for a relaunch, and count as a use", () => {
    const next = SessionState.renewed(
      session({ relaunchReason: "refused", renewalFailure: { error, retryAt: at(150) } }),
      tokenSet(500, "new"),
      at(120),
      idleTimeout
    )
    assert.deepStrictEqual(
      [next.relaunchReason, next.renewalFailure, next.expiresAt, Redacted.value(next.tokens.accessToken)],
      [undefined, undefined, at(120 + 3600), "new"]
    )
    assert.deepStrictEqual([next.server, next.createdAt], ["north", at(0)])
    assert.deepStrictEqual(SessionState.extended(session(), at(50), idleTimeout).expiresAt, at(50 + 3600))
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
    const configured = SessionState.failed(session(), rejected, at(100), { credentialsCooldown: "10 seconds" })
    assert.deepStrictEqual(configured.renewalFailure?.retryAt, at(110))
  })

  it("only a refusal of the token endpoint that is not about the credentials is final", () => {
    const because = (changes: Partial<TokenError>) => new TokenError({ ...error, ...changes })
    assert.isTrue(SessionState.isFinal(because({ reason: "Refused" })))
    assert.isFalse(SessionState.isFinal(because({ reason: "Refused", error: "unauthorized_client" })))
    assert.isFalse(SessionState.isFinal(because({ error: "invalid_grant" })))
    assert.isFalse(
      SessionState.isFinal(
        new DiscoveryError({ reason: "NotFound", fhirBaseUrl: "https://ehr.example.org", url: "u", detail: "404" })
      )
    )
    const reason = (changes: Partial<TokenError>) =>
      SessionState.refusedForGood(session(), because({ reason: "Refused", ...changes })).relaunchReason
    assert.strictEqual(reason({ status: 403 }), "the server refused the refresh token (HTTP 403)")
    assert.strictEqual(reason({}), "the server refused the refresh token (HTTP 4xx)")
  })

  it("a temporary failure pauses for two seconds or `failureCooldown`, and keeps the newest refresh token", () => {
    const refreshTokenOf = (entry: StoredSession) => {
      const { refreshToken } = entry.tokens
      return refreshToken === undefined ? undefined : Redacted.value(refreshToken)
    }
    const next = SessionState.failed(session(), error, at(100), {})
    assert.deepStrictEqual([next.renewalFailure?.retryAt, refreshTokenOf(next)], [at(102), "refresh"])
    assert.deepStrictEqual(
      SessionState.failed(session(), error, at(100), { failureCooldown: "9 seconds" }).renewalFailure?.retryAt,
      at(109)
    )
    const issued = (refreshToken?: Redacted.Redacted) =>
      refreshTokenOf(
        SessionState.failed(session(), new TokenError({ ...error, issued: { refreshToken } }), at(100), {})
      )
    assert.deepStrictEqual([issued(Redacted.make("rotated")), issued()], ["rotated", "refresh"])
    const discovery = new DiscoveryError({
      reason: "Unreachable",
      fhirBaseUrl: "https://ehr.example.org",
      url: "https://ehr.example.org",
      detail: "refused",
      error: "invalid_client"
    })
    const afterDiscovery = SessionState.failed(session(), discovery, at(100), {})
    assert.deepStrictEqual([afterDiscovery.renewalFailure?.retryAt, refreshTokenOf(afterDiscovery)], [
      at(102),
      "refresh"
    ])
  })

  it("a cool-down without Retry-After is that of the configuration", () => {
    assert.deepStrictEqual(SessionState.retryAt({}, at(0), "2 seconds"), at(2))
    assert.deepStrictEqual(SessionState.retryAt({ retryAfter: 7_000 }, at(0), "2 seconds"), at(2))
  })

  it("two missing tokens are the same, and a missing one differs from each other", () => {
    const [one, copy, other] = ["one", "one", "other"].map((text) => Redacted.make(text))
    assert.deepStrictEqual(
      [[undefined, undefined], [one, copy], [one, other], [one, undefined], [undefined, one]].map(([a, b]) =>
        SessionState.isSameToken(a, b)
      ),
      [true, true, false, false, false]
    )
  })

  it("tokens that expired during a wait are a TokenError with their lifetime and server", () => {
    const about = { operation: "refresh", server: "north" } as const
    const check = (tokens: TokenSet.TokenSet, millis: number) => SessionState.checkNotExpired(tokens, millis, about)
    const tokens = tokenSet(90)
    assert.deepStrictEqual(check(tokens, 89_999), Either.right(tokens))
    assert.isTrue(Either.isRight(check(tokenSet(undefined), Number.MAX_SAFE_INTEGER)))
    const expired = Either.getOrThrow(Either.flip(check(tokens, 90_000)))
    assert.deepInclude(expired, { ...about, reason: "Expired", url: "north", processed: "unknown" })
    assert.strictEqual(
      expired.detail,
      "the new access token was valid for 1m 30s and expired before it could be used"
    )
    const fhirBaseUrl = "https://ehr.example.org/fhir"
    const at = Either.flip(check(new TokenSet.TokenSet({ ...tokens, fhirBaseUrl }), 90_000))
    assert.strictEqual(Either.getOrThrow(at).url, fhirBaseUrl)
  })

  it("Retry-After lengthens a cool-down, up to five minutes", () => {
    const after = (retryAfter: Duration.Duration) =>
      SessionState.retryAt(new TokenError({ ...error, retryAfter }), at(0), "2 seconds")
    assert.deepStrictEqual(after(Duration.seconds(1)), at(2))
    assert.deepStrictEqual(after(Duration.seconds(20)), at(20))
    assert.deepStrictEqual(after(Duration.hours(1)), at(300))
  })
})
