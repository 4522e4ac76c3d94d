/**
 * What sessions are, in the simplest words: kept up to date by what the server was asked and answered, it judges what
 * callers were told.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/** One request to the token endpoint, and what came back as far as the app can see. */
export interface Exchange {
  /** The code or the refresh token. */
  readonly credential: string
  readonly isRefresh: boolean
  status: number | undefined
  error: string | undefined
  accessToken: string | undefined
  refreshToken: string | undefined
}

const formOf = (request: HttpClientRequest.HttpClientRequest): URLSearchParams =>
  new URLSearchParams(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")

/** Writes down every token request in the order they leave. */
export const recorded = (exchanges: Array<Exchange>) => (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (answer, request) => {
    if (!request.url.endsWith("/token")) return answer
    const form = formOf(request)
    const exchange: Exchange = {
      credential: form.get("code") ?? form.get("refresh_token") ?? "",
      isRefresh: form.get("grant_type") === "refresh_token",
      status: undefined,
      error: undefined,
      accessToken: undefined,
      refreshToken: undefined
    }
    return Effect.zipRight(
      Effect.sync(() => exchanges.push(exchange)),
      Effect.flatMap(answer, (response) =>
        Effect.map(Effect.orElseSucceed(response.text, () => ""), (text) => {
          // What the sandbox answers, or nothing.
          const members = JSON.parse(text === "" ? "{}" : text) as Readonly<Record<string, string | undefined>>
          exchange.status = response.status
          exchange.error = members["error"]
          exchange.accessToken = members["access_token"]
          exchange.refreshToken = members["refresh_token"]
          // A body is read once.
          return HttpClientResponse.fromWeb(
            request,
            new Response(text === "" ? null : text, { status: response.status, headers: response.headers })
          )
        }))
    )
  })

const LIFE = 300_000
/** A token may be renewed so long before its end: a tenth of its life, and half as much again. */
const MARGIN = 45_000
const COMPLETED_LIFE = 600_000
const LAUNCH_LIFE = 1_800_000

interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
  /** When it came, at the earliest and the latest. */
  readonly from: number
  readonly to: number
}

interface Life {
  readonly begunAt: number
  launch: "pending" | "completed" | "failed"
  completedAt: number
  /** The oldest first. */
  readonly tokens: Array<Tokens>
  /** What the server has refused, or replaced by an answer that arrived. */
  readonly spent: Set<string>
  isRefused: boolean
  /** The server may have replaced what the app has, or has ended it. */
  isUncertain: boolean
  coolsUntil: number
  hasEnded: boolean
}

interface Told {
  readonly code: string
  readonly refused: string | undefined
  readonly outcome: Either.Either<string, string>
}

export class Reference {
  readonly counts = { exchanges: 0, refreshes: 0, tokens: 0, failures: 0, endings: 0 }
  readonly #lives = new Map<string, Life>()
  #told: Array<Told> = []
  #completions: Array<{ readonly code: string; readonly outcome: Either.Either<unknown, string> }> = []
  #endings = new Set<string>()
  #start = 0

  #life(code: string): Life {
    return this.#lives.get(code) ?? assert.fail("a launch that was never begun")
  }

  begun(code: string, now: number): void {
    this.#lives.set(code, {
      begunAt: now,
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
    this.#life(code).isUncertain = true
  }

  /** The token that a caller has from before, to be refused with. */
  held(code: string): string | undefined {
    return this.#life(code).tokens.at(-1)?.accessToken
  }

  completed(code: string, outcome: Either.Either<unknown, string>): void {
    this.#completions.push({ code, outcome })
  }

  used(code: string, refused: string | undefined, outcome: Either.Either<string, string>): void {
    this.#told.push({ code, refused, outcome })
  }

  ending(code: string): void {
    this.#endings.add(code)
    this.counts.endings += 1
  }

  startMoment(now: number): void {
    this.#start = now
    this.#told = []
    this.#completions = []
    this.#endings = new Set()
  }

  /** Judges all that happened since the moment began. */
  endMoment(exchanges: ReadonlyArray<Exchange>, now: number, isAlone: boolean): void {
    const before = new Map([...this.#lives].map(([code, life]) => [code, { ...life, tokens: [...life.tokens] }]))
    const refreshed = new Map<string, number>()
    for (const exchange of exchanges) {
      const code = exchange.isRefresh ? this.#refresh(exchange, now) : this.#exchange(exchange, now)
      if (exchange.isRefresh) refreshed.set(code, (refreshed.get(code) ?? 0) + 1)
    }
    for (const [code, count] of refreshed) {
      // One, and one more for every cool-down that fits into the moment.
      assert.isAtMost(count, 1 + Math.floor((now - this.#start) / 2000), `refreshes of one session at once`)
      const was = before.get(code) ?? assert.fail("no such launch")
      assert.isFalse(was.hasEnded, "an ended session was renewed")
      assert.isFalse(was.isRefused, "a session that needs a relaunch was renewed")
      assert.isTrue(was.coolsUntil <= now, "renewed before the cool-down was over")
      const current = was.tokens.at(-1)
      const wasRefused = this.#told.some((told) => told.code === code && told.refused === current?.accessToken)
      if (current !== undefined && !wasRefused) {
        assert.isAtLeast(now, current.from + LIFE - MARGIN - 1, "renewed long before its end")
      }
    }
    for (const completion of this.#completions) this.#judgeCompletion(completion, before, now)
    for (const told of this.#told) this.#judgeUse(told, before, now, isAlone, refreshed.get(told.code) ?? 0)
    for (const code of this.#endings) this.#life(code).hasEnded = true
  }

  isAliveUnlessTheServerSaidSo(code: string): void {
    const life = this.#life(code)
    const outcomes = this.#told.filter((told) => told.code === code).map((told) => told.outcome)
    if (life.hasEnded || life.isRefused || life.isUncertain) return
    assert.deepStrictEqual(outcomes.filter(Either.isLeft), [], "a session was lost")
    assert.strictEqual(new Set(outcomes.filter(Either.isRight).map(({ right }) => right)).size, 1)
  }

  #exchange(exchange: Exchange, now: number): string {
    const code = exchange.credential
    const life = this.#life(code)
    this.counts.exchanges += 1
    assert.strictEqual(life.launch, "pending", "a code was sent again")
    if (exchange.status === 200) {
      life.launch = "completed"
      life.completedAt = now
      this.#received(life, exchange, now)
    } else if (exchange.status !== 503) life.launch = "failed"
    return code
  }

  #refresh(exchange: Exchange, now: number): string {
    this.counts.refreshes += 1
    for (const [code, life] of this.#lives) {
      if (!life.tokens.some(({ refreshToken }) => refreshToken === exchange.credential)) continue
      assert.isFalse(life.spent.has(exchange.credential), "a replaced or refused refresh token was sent again")
      if (exchange.status === 200) {
        life.spent.add(exchange.credential)
        life.isUncertain = false
        this.#received(life, exchange, now)
      } else if (exchange.error === "invalid_grant") {
        life.spent.add(exchange.credential)
        life.isRefused = true
      } else {
        // Without a response, it is unknown whether the server acted.
        if (exchange.status === undefined) life.isUncertain = true
        life.coolsUntil = this.#start + (exchange.error === "invalid_client" ? 60_000 : 2000)
      }
      return code
    }
    return assert.fail("a refresh token that no answer held")
  }

  #received(life: Life, exchange: Exchange, now: number): void {
    life.coolsUntil = 0
    life.tokens.push({
      accessToken: exchange.accessToken ?? assert.fail("no access token"),
      refreshToken: exchange.refreshToken ?? assert.fail("no refresh token"),
      from: this.#start,
      to: now
    })
  }

  #judgeCompletion(
    { code, outcome }: { readonly code: string; readonly outcome: Either.Either<unknown, string> },
    before: ReadonlyMap<string, Life>,
    now: number
  ): void {
    const was = before.get(code) ?? assert.fail("no such launch")
    const is = this.#life(code)
    if (Either.isRight(outcome)) {
      assert.strictEqual(is.launch, "completed")
      assert.isBelow(this.#start, is.completedAt + COMPLETED_LIFE, "a second delivery long after")
    } else if (was.launch === "completed") assert.isAtLeast(now, was.completedAt + COMPLETED_LIFE, outcome.left)
    else if (outcome.left === "LaunchNotFound" && was.launch === "pending" && is.launch !== "failed") {
      assert.isAtLeast(now, was.begunAt + LAUNCH_LIFE, "a launch was lost")
    }
  }

  #judgeUse(
    { code, outcome, refused }: Told,
    before: ReadonlyMap<string, Life>,
    now: number,
    isAlone: boolean,
    refreshes: number
  ): void {
    const was = before.get(code) ?? assert.fail("no such launch")
    const is = this.#life(code)
    const old = was.tokens.at(-1)
    const isOver = old === undefined || now >= old.from + LIFE || refused === old.accessToken
    const wasOver = old !== undefined && (this.#start >= old.to + LIFE || refused === old.accessToken)
    const mustAsk = wasOver && !was.hasEnded && !was.isRefused && was.coolsUntil <= this.#start
    if (isAlone && mustAsk) assert.strictEqual(refreshes, 1, "no refresh request")
    if (Either.isRight(outcome)) {
      this.counts.tokens += 1
      assert.isFalse(was.hasEnded, "a token of an ended session")
      assert.notStrictEqual(outcome.right, refused, "the very token that was refused")
      const given = is.tokens.find(({ accessToken }) => accessToken === outcome.right) ??
        assert.fail("a token that the server never gave for this session")
      assert.isBelow(this.#start, given.to + LIFE, "an expired token")
      assert.isAtLeast(is.tokens.indexOf(given), was.tokens.length - 1, "an older token than before")
      return
    }
    this.counts.failures += 1
    switch (outcome.left) {
      case "NotFound":
        return assert.isTrue(was.hasEnded || this.#endings.has(code), "a session was lost")
      case "NeedsRelaunch":
        assert.isTrue(is.isRefused, "a relaunch that the server did not ask for")
        return assert.isTrue(isOver, "a good token was kept back")
      default:
        assert.isTrue(was.coolsUntil > this.#start || is.coolsUntil > 0, `${outcome.left} without a failure`)
        return assert.isTrue(isOver, "a good token was kept back")
    }
  }
}
