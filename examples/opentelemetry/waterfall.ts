/** A trace as rows: each span with its depth and times, in the order of its start. */
import { hrTimeToMilliseconds } from "@opentelemetry/core"
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base"

export interface Row {
  readonly name: string
  readonly depth: number
  /** Milliseconds since the start of the trace. */
  readonly start: number
  readonly duration: number
  readonly events: ReadonlyArray<{ readonly name: string; readonly at: number; readonly attributes: object }>
}

export const make = (spans: ReadonlyArray<ReadableSpan>): ReadonlyArray<Row> => {
  const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]))
  const origin = Math.min(...spans.map(({ startTime }) => hrTimeToMilliseconds(startTime)))
  const startOf = (span: ReadableSpan) => hrTimeToMilliseconds(span.startTime) - origin
  const rowsBelow = (parent: string | undefined, depth: number): ReadonlyArray<Row> =>
    spans.filter(({ parentSpanContext }) => {
      const id = parentSpanContext?.spanId
      return (id !== undefined && byId.has(id) ? id : undefined) === parent
    }).sort((a, b) => startOf(a) - startOf(b)).flatMap((span) => [
      {
        name: span.name,
        depth,
        start: startOf(span),
        duration: hrTimeToMilliseconds(span.duration),
        events: span.events.filter(({ name }) => name !== "exception").map(({ attributes, name, time }) => ({
          name,
          at: hrTimeToMilliseconds(time) - origin,
          attributes: attributes ?? {}
        }))
      },
      ...rowsBelow(span.spanContext().spanId, depth + 1)
    ])
  return rowsBelow(undefined, 0)
}

const WIDTH = 40

export const toText = (rows: ReadonlyArray<Row>): string => {
  const end = Math.max(...rows.map(({ duration, start }) => start + duration))
  const column = (at: number) => Math.round((at / end) * WIDTH)
  return rows.map(({ depth, duration, events, name, start }) => {
    const bar = " ".repeat(column(start)) + "█".repeat(Math.max(1, column(start + duration) - column(start)))
    const label = `${"  ".repeat(depth)}${name}`.padEnd(40)
    const notes = events.map((event) => `  ◆ ${event.name} ${JSON.stringify(event.attributes)}`).join("")
    return `${label} ${bar.padEnd(WIDTH + 1)} ${duration.toFixed(1).padStart(7)} ms${notes}`
  }).join("\n")
}
