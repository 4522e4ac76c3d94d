/**
 * A simple model of sessions: it follows the requests to the server and their responses, and checks the results of
 * callers against them.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/** A request to the token endpoint, with its response as the app sees it. */
export interface Exchange {
  /** The code or the refresh token. */
  readonly credential: string
  readonly isRefresh: boolean
  /** Until its response has arrived or is lost. */
  isOpen: boolean
  status: number | undefined
  error: string | undefined
  accessToken: string | undefined
  refreshToken: string | undefined
}

const formOf = (request: HttpClientRequest.HttpClientRequest): URLSearchParams =>
  new URLSearchParams(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")

/** Records each token request in the order of sending. */
export const recorded = (exchanges: Array<Exchange>) => (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (sending, request) => {
    if (!request.url.endsWith("/token")) return sending
    const form = formOf(request)
    const exchange: Exchange = {
      credential: form.get("code") ?? form.get("refresh_token") ?? "",
      isRefresh: form.get("grant_type") === "refresh_token",
      isOpen: true,
      status: undefined,
      error: undefined,
      accessToken: undefined,
      refreshToken: undefined
    }
    return Effect.zipRight(
      Effect.sync(() => exchanges.push(exchange)),
      Effect.flatMap(sending, (response) =>
        Effect.map(Effect.orElseSucceed(response.text, () => ""), (text) => {
          // The response of the sandbox, or none.
          const members = JSON.parse(text === "" ? "{}" : text) as Readonly<Record<string, string | undefined>>
          exchange.status = response.status
          exchange.error = members["error"]
          exchange.accessToken = members["access_token"]
          exchange.refreshToken = members["refresh_token"]
          // A body can be read once.
          return HttpClientResponse.fromWeb(
            request,
            new Response(text === "" ? null : text, { status: response.status, headers: response.headers })
          )
        }))
    ).pipe(Effect.ensuring(Effect.sync(() => {
      exchange.isOpen = false
    })))
  })

const LIFE = 300_000
/** The earliest renewal of a token before its expiry: a tenth of its lifetime, and half of that. */
const MARGIN = 45_000
const COMPLETED_LIFE = 600_000
const LAUNCH_LIFE = 1_800_000

interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
  /** The earliest and the latest time of its arrival. */
  readonly from: number
  readonly to: number
}

interface SessionModel {
  readonly startedAt: number
  launch: "pending" | "completed" | "failed"
  completedAt: number
  /** The oldest first. */
  readonly tokens: Array<Tokens>
  /** Tokens that the server has refused, or replaced in a response that arrived. */
  readonly spent: Set<string>
  isRefused: boolean
  /** Whether the server may have replaced or revoked the tokens of the app. */
  isUncertain: boolean
  coolsUntil: number
  hasEnded: boolean
}

interface Call {
  readonly code: string
  readonly refused: string | undefined
  readonly outcome: Either.Either<string, string>
}

export class Reference {
  readonly counts = { exchanges: 0, refreshes: 0, tokens: 0, failures: 0, endings: 0 }
  readonly #sessions = new Map<string, SessionModel>()
  #calls: Array<Call> = []
  #completions: Array<{ readonly code: string; readonly outcome: Either.Either<unknown, string> }> = []
  #endings = new Set<string>()
  #start = 0

  #session(code: string): SessionModel {
    return this.#sessions.get(code) ?? assert.fail("a launch that was never started")
  }

  started(code: string, now: number): void {
    this.#sessions.set(code, {
      startedAt: now,
      launch: "pending",
      completedAt: 0,
      tokens: [],
      spent: new Set(),
      isRefused: false,
      isUncertain: false,
      coolsUntil: 0,
      hasEnded: false
    })
  }

  revoked(code: string): void {
    this.#session(code).isUncertain = true
  }

  /** The token of an earlier call, which a caller reports as refused. */
  lastToken(code: string): string | undefined {
    return this.#session(code).tokens.at(-1)?.accessToken
  }

  completed(code: string, outcome: Either.Either<unknown, string>): void {
    this.#completions.push({ code, outcome })
  }

  used(code: string, refused: string | undefined, outcome: Either.Either<string, string>): void {
    this.#calls.push({ code, refused, outcome })
  }

  ending(code: string): void {
    this.#endings.add(code)
    this.counts.endings += 1
  }

  startStep(now: number): void {
    this.#start = now
    this.#calls = []
    this.#completions = []
    this.#endings = new Set()
  }

  /** Checks all events since the start of the step. */
  endStep(exchanges: ReadonlyArray<Exchange>, now: number, isAlone: boolean): void {
    const before = new Map(
      [...this.#sessions].map(([code, session]) => [code, { ...session, tokens: [...session.tokens] }])
    )
    const refreshed = new Map<string, number>()
    for (const exchange of exchanges) {
      const code = exchange.isRefresh ? this.#refresh(exchange, now) : this.#exchange(exchange, now)
      if (exchange.isRefresh) refreshed.set(code, (refreshed.get(code) ?? 0) + 1)
    }
    for (const [code, count] of refreshed) {
      // One, and another for each cool-down in the step.
      assert.isAtMost(count, 1 + Math.floor((now - this.#start) / 2000), `refreshes of one session at once`)
      const was = before.get(code) ?? assert.fail("no such launch")
      assert.isFalse(was.hasEnded, "an ended session was renewed")
      assert.isFalse(was.isRefused, "a session that needs a relaunch was renewed")
      assert.isTrue(was.coolsUntil <= now, "renewed before the cool-down was over")
      const current = was.tokens.at(-1)
      const wasRefused = this.#calls.some((call) => call.code === code && call.refused === current?.accessToken)
      if (current !== undefined && !wasRefused) {
        assert.isAtLeast(now, current.from + LIFE - MARGIN - 1, "renewed long before its end")
      }
    }
    for (const completion of this.#completions) this.#checkCompletion(completion, before, now)
    for (const call of this.#calls) this.#checkUse(call, before, now, isAlone, refreshed.get(call.code) ?? 0)
    for (const code of this.#endings) this.#session(code).hasEnded = true
  }

  checkIsAlive(code: string): void {
    const session = this.#session(code)
    const outcomes = this.#calls.filter((call) => call.code === code).map((call) => call.outcome)
    if (session.hasEnded || session.isRefused || session.isUncertain) return
    assert.deepStrictEqual(outcomes.filter(Either.isLeft), [], "a session was lost")
    assert.strictEqual(new Set(outcomes.filter(Either.isRight).map(({ right }) => right)).size, 1)
  }

  #exchange(exchange: Exchange, now: number): string {
    const code = exchange.credential
    const session = this.#session(code)
    this.counts.exchanges += 1
    assert.strictEqual(session.launch, "pending", "a code was sent again")
    if (exchange.status === 200) {
      session.launch = "completed"
      session.completedAt = now
      this.#received(session, exchange, now)
    } else if (exchange.status !== 503) session.launch = "failed"
    return code
  }

  #refresh(exchange: Exchange, now: number): string {
    this.counts.refreshes += 1
    for (const [code, session] of this.#sessions) {
      if (!session.tokens.some(({ refreshToken }) => refreshToken === exchange.credential)) continue
      assert.isFalse(session.spent.has(exchange.credential), "a replaced or refused refresh token was sent again")
      if (exchange.status === 200) {
        session.spent.add(exchange.credential)
        session.isUncertain = false
        this.#received(session, exchange, now)
      } else if (exchange.error === "invalid_grant") {
        session.spent.add(exchange.credential)
        session.isRefused = true
      } else {
        // Without a response, it is unknown whether the server acted.
        if (exchange.status === undefined) session.isUncertain = true
        session.coolsUntil = this.#start + (exchange.error === "invalid_client" ? 60_000 : 2000)
      }
      return code
    }
    return assert.fail("a refresh token that no response had")
  }

  #received(session: SessionModel, exchange: Exchange, now: number): void {
    session.coolsUntil = 0
    session.tokens.push({
      accessToken: exchange.accessToken ?? assert.fail("no access token"),
      refreshToken: exchange.refreshToken ?? assert.fail("no refresh token"),
      from: this.#start,
      to: now
    })
  }

  #checkCompletion(
    { code, outcome }: { readonly code: string; readonly outcome: Either.Either<unknown, string> },
    before: ReadonlyMap<string, SessionModel>,
    now: number
  ): void {
    const was = before.get(code) ?? assert.fail("no such launch")
    const is = this.#session(code)
    if (Either.isRight(outcome)) {
      assert.strictEqual(is.launch, "completed")
      assert.isBelow(this.#start, is.completedAt + COMPLETED_LIFE, "a second delivery long after")
    } else if (was.launch === "completed") assert.isAtLeast(now, was.completedAt + COMPLETED_LIFE, outcome.left)
    else if (outcome.left === "LaunchNotFound" && was.launch === "pending" && is.launch !== "failed") {
      assert.isAtLeast(now, was.startedAt + LAUNCH_LIFE, "a launch was lost")
    }
  }

  #checkUse(
    { code, outcome, refused }: Call,
    before: ReadonlyMap<string, SessionModel>,
    now: number,
    isAlone: boolean,
    refreshes: number
  ): void {
    const was = before.get(code) ?? assert.fail("no such launch")
    const is = this.#session(code)
    const old = was.tokens.at(-1)
    const isOver = old === undefined || now >= old.from + LIFE || refused === old.accessToken
    const wasOver = old !== undefined && (this.#start >= old.to + LIFE || refused === old.accessToken)
    const mustRefresh = wasOver && !was.hasEnded && !was.isRefused && was.coolsUntil <= this.#start
    if (isAlone && mustRefresh) assert.strictEqual(refreshes, 1, "no refresh request")
    if (Either.isRight(outcome)) {
      this.counts.tokens += 1
      assert.isFalse(was.hasEnded, "a token of an ended session")
      assert.notStrictEqual(outcome.right, refused, "the very token that was refused")
      const token = is.tokens.find(({ accessToken }) => accessToken === outcome.right) ??
        assert.fail("a token that the server did not issue for this session")
      assert.isBelow(this.#start, token.to + LIFE, "an expired token")
      assert.isAtLeast(is.tokens.indexOf(token), was.tokens.length - 1, "an older token than before")
      return
    }
    this.counts.failures += 1
    switch (outcome.left) {
      case "NotFound":
        return assert.isTrue(was.hasEnded || this.#endings.has(code), "a session was lost")
      case "NeedsRelaunch":
        assert.isTrue(is.isRefused, "a relaunch that the server did not require")
        return assert.isTrue(isOver, "a valid token was not returned")
      default:
        assert.isTrue(was.coolsUntil > this.#start || is.coolsUntil > 0, `${outcome.left} without a failure`)
        return assert.isTrue(isOver, "a valid token was not returned")
    }
  }
}
