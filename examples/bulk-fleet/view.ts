/** The terminal view: one line for each server, from the tables of the fleet. */
import * as Duration from "effect/Duration"
import type { ServerRow } from "./tables.js"

/** The number of resources of a server at a time in milliseconds. */
export interface Sample {
  readonly at: number
  readonly rows: ReadonlyArray<ServerRow>
}

const WINDOW_MILLIS = 10_000

const rateOf = (samples: ReadonlyArray<Sample>, server: string): number => {
  const counted = samples.flatMap(({ at, rows }) =>
    rows.filter((row) => row.server === server).map(({ resources }) => ({ at, resources }))
  )
  const last = counted.at(-1)
  const first = last === undefined ? undefined : counted.find(({ at }) => at >= last.at - WINDOW_MILLIS)
  return first === undefined || last === undefined || last.at === first.at
    ? 0
    : 1000 * (last.resources - first.resources) / (last.at - first.at)
}

const timeLeft = ({ expected, resources }: ServerRow, rate: number): string =>
  expected === 0 || resources >= expected || rate <= 0
    ? ""
    : `${Duration.format(Duration.seconds(Math.ceil((expected - resources) / rate)))} left`

/** The lines of the latest sample: server, state, files, current types, resources, resources per second, time left. */
export const render = (samples: ReadonlyArray<Sample>): ReadonlyArray<string> =>
  (samples.at(-1)?.rows ?? []).map((row) => {
    const rate = rateOf(samples, row.server)
    const isDone = row.state === "done"
    return [
      row.server.padEnd(12),
      row.state.slice(0, 20).padEnd(20),
      `${row.filesDone}/${row.files} files`.padEnd(16),
      (isDone ? "" : row.reading ?? "").slice(0, 24).padEnd(24),
      `${row.resources}${row.expected === 0 ? "" : ` of ${row.expected}`}`.padEnd(18),
      isDone ? "" : `${Math.round(rate)}/s`.padEnd(10),
      isDone ? "" : timeLeft(row, rate)
    ].join(" ").trimEnd()
  })
