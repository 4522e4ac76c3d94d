/**
 * How many of what: the sizes of the growth rows. A store that takes too long to fill stops earlier.
 */
export type StoreName = "memory" | "files" | "sqlite" | "postgres" | "redis"

export const SESSIONS = [1_000, 10_000, 100_000, 1_000_000] as const

export const MOST_SESSIONS: Readonly<Record<StoreName, number>> = {
  memory: 1_000_000,
  sqlite: 1_000_000,
  redis: 100_000,
  postgres: 100_000,
  files: 10_000
}

export const SERVERS = [10, 100, 1_000, 10_000] as const

export const CALLERS = [1, 10, 100, 1_000, 10_000] as const
