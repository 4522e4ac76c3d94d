import { createServer } from "node:net"
import * as Effect from "effect/Effect"

/**
 * Below the ports that systems give to outgoing connections and to servers that ask for any, which another test could
 * get before the port is used; above those that browsers refuse.
 */
const FIRST = 11_000
const PORTS_OF_WORKER = 2_500
const WORKERS = 8

const worker = Number(process.env["VITEST_POOL_ID"] ?? 0) % WORKERS
// Programs of an earlier test file may still listen.
let next = Math.floor(Math.random() * PORTS_OF_WORKER)

const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

/** A free loopback port, which no other test of this run gets. */
export const freePort: Effect.Effect<number> = Effect.suspend(() => {
  const port = FIRST + worker * PORTS_OF_WORKER + next++ % PORTS_OF_WORKER
  return Effect.flatMap(isFree(port), (free) => free ? Effect.succeed(port) : freePort)
})
