/**
 * Limits the requests to each server, in the order in which they were made: how many run at the same time, how many
 * start within an interval, and what the server states in `Retry-After` and `RateLimit`.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RetryAfter from "../../http/RetryAfter.js"
import * as RateLimitHeader from "./rateLimitHeader.js"

export interface Options {
  readonly concurrency: number
  readonly requests: number
  readonly interval: Duration.DurationInput
  readonly maxDelay: Duration.DurationInput
}

export interface RateLimiter {
  /** Runs a request when it may start. Fails with `refuse` if the server demands a pause above `maxDelay`. */
  readonly run: <A, E, R, E2>(
    server: string,
    request: Effect.Effect<A, E, R>,
    refuse: (delay: Duration.Duration) => E2
  ) => Effect.Effect<A, E | E2, R>
  /** Applies the headers of a response, while its request runs. */
  readonly observe: (
    server: string,
    response: { readonly status: number; readonly headers: Readonly<Record<string, string | undefined>> }
  ) => Effect.Effect<void>
}

/** A request that has to wait. */
interface Waiter {
  /** Present while it sleeps: lets it check again whether it may start. */
  wake?: (() => void) | undefined
  hasLeft?: boolean
}

/** Not a `Set`: finding its first element skips all deleted ones. */
class Queue {
  private waiters: Array<Waiter> = []
  private head = 0

  get first(): Waiter | undefined {
    return this.waiters[this.head]
  }

  add(waiter: Waiter): void {
    this.waiters.push(waiter)
  }

  leave(waiter: Waiter): void {
    waiter.hasLeft = true
    while (this.first?.hasLeft === true) this.head += 1
    if (this.head * 2 >= this.waiters.length) {
      this.waiters = this.waiters.slice(this.head)
      this.head = 0
    }
  }
}

interface Server {
  running: number
  /** In the order of their requests. Only the first one may start. */
  readonly waiters: Queue
  /** The times of the latest starts, as many as may start within the interval. */
  readonly starts: Array<number>
  /** The index of the oldest start. */
  oldest: number
  pausedUntil: number
  readonly quotas: Map<string, { readonly until: number; readonly remaining: number }>
}

/** Of each server; a server could name another policy in every response. */
const MAX_QUOTAS = 20

/** Above it, the state of idle servers is dropped. */
const MAX_SERVERS = 1_000

export const make = (options: Options): RateLimiter => {
  const { concurrency, requests } = options
  const interval = Duration.toMillis(options.interval)
  const maxDelay = Duration.toMillis(options.maxDelay)
  const servers = new Map<string, Server>()

  const isIdle = ({ pausedUntil, quotas, running, starts, waiters }: Server, now: number): boolean =>
    running === 0 && waiters.first === undefined && pausedUntil <= now && starts.every((start) =>
      start + interval <= now
    ) &&
    [...quotas.values()].every(({ until }) => until <= now)

  const serverOf = (name: string, now: number): Server => {
    const known = servers.get(name)
    if (known !== undefined) return known
    if (servers.size >= MAX_SERVERS) {
      for (const [key, server] of servers) if (isIdle(server, now)) servers.delete(key)
    }
    const server = { running: 0, waiters: new Queue(), starts: [], oldest: 0, pausedUntil: 0, quotas: new Map() }
    servers.set(name, server)
    return server
  }

  /** How long the server demands a pause. */
  const demandedDelay = ({ pausedUntil, quotas, running }: Server, now: number): number => {
    let until = pausedUntil
    for (const [policy, quota] of quotas) {
      if (quota.until <= now) quotas.delete(policy)
      // The server may not have counted the requests that are running.
      else if (quota.remaining <= running) until = Math.max(until, quota.until)
    }
    return Math.max(0, until - now)
  }

  /** How long until the interval has room for another start. */
  const ownDelay = ({ oldest, starts }: Server, now: number): number =>
    starts.length < requests ? 0 : Math.max(0, (starts[oldest] ?? 0) + interval - now)

  const start = (server: Server, now: number): void => {
    server.running += 1
    if (requests === Infinity) return
    if (server.starts.length < requests) server.starts.push(now)
    else {
      server.starts[server.oldest] = now
      server.oldest = (server.oldest + 1) % requests
    }
  }

  const wakeFirst = ({ waiters }: Server): void => {
    waiters.first?.wake?.()
  }

  const leave = (server: Server, waiter: Waiter): void => {
    server.waiters.leave(waiter)
    wakeFirst(server)
  }

  const sleep = (waiter: Waiter): Effect.Effect<void> =>
    Effect.async((resume) => {
      waiter.wake = () => {
        waiter.wake = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        waiter.wake = undefined
      })
    })

  return {
    run: (name, request, refuse) =>
      Effect.uninterruptibleMask((restore) => {
        const waiter: Waiter = {}
        /** Only the waiting is interruptible: a request that has started is always released. */
        const turn = (server: Server, now: number): Effect.Effect<Server, ReturnType<typeof refuse>> => {
          const demanded = demandedDelay(server, now)
          if (demanded > maxDelay && server.running === 0) {
            leave(server, waiter)
            return Effect.fail(refuse(Duration.millis(demanded)))
          }
          const isFull = server.waiters.first !== waiter || server.running >= concurrency
          const delay = Math.max(demanded, ownDelay(server, now))
          if (!isFull && delay === 0) {
            start(server, now)
            leave(server, waiter)
            return Effect.succeed(server)
          }
          const woken = isFull ? sleep(waiter) : Effect.timeoutOption(sleep(waiter), delay)
          return restore(woken).pipe(
            Effect.onInterrupt(() => Effect.sync(() => leave(server, waiter))),
            Effect.zipRight(Effect.flatMap(Clock.currentTimeMillis, (later) => turn(server, later)))
          )
        }
        return Effect.flatMap(
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            const server = serverOf(name, now)
            server.waiters.add(waiter)
            return turn(server, now)
          }),
          (server) =>
            Effect.ensuring(
              restore(request),
              Effect.sync(() => {
                server.running -= 1
                wakeFirst(server)
              })
            )
        )
      }),
    observe: (name, { headers, status }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const server = servers.get(name)
        if (server === undefined) return
        const retryAfter = status === 429 || status === 503 ? RetryAfter.parse(headers["retry-after"], now) : undefined
        if (retryAfter !== undefined) {
          server.pausedUntil = Math.max(server.pausedUntil, now + Duration.toMillis(retryAfter))
        }
        for (const { policy, remaining, resetMillis } of RateLimitHeader.parse(headers, now)) {
          const until = now + resetMillis
          const known = server.quotas.get(policy)
          if (known === undefined && server.quotas.size >= MAX_QUOTAS) continue
          // Responses come in any order: within one window, the lowest number is the latest.
          const isSameWindow = known !== undefined && until <= known.until + 1_000
          server.quotas.set(
            policy,
            isSameWindow ? { ...known, remaining: Math.min(known.remaining, remaining) } : {
              remaining,
              until
            }
          )
        }
        wakeFirst(server)
      })
  }
}
