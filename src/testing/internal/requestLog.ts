/**
 * The log of the HTTP requests that the sandbox received.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Step } from "./fault.js"
import type { ConnectionReset } from "./faults.js"
import * as Http from "./http.js"

/**
 * One HTTP request as the sandbox received it. It shows secrets, codes and tokens in clear, for tests to check.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  /** The protocol step; undefined for a path without one. */
  readonly step: Step | undefined
  readonly method: string
  readonly path: string
  /** Path and query as received. */
  readonly url: string
  /** The query parameters; the first value of a repeated one. */
  readonly query: Readonly<Record<string, string>>
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** The parameters of a form body, the first value of a repeated one; empty for another body. */
  readonly form: Readonly<Record<string, string>>
  readonly body: string
  /** Milliseconds since the epoch, by Effect's `Clock`. */
  readonly receivedAt: number
  /** When the response was ready or a fault reset the connection; undefined before. */
  readonly respondedAt: number | undefined
  /** The status of the response; undefined before it, and after a fault reset the connection. */
  readonly status: number | undefined
}

/** The log of one sandbox. */
export type RequestLog = ReturnType<typeof make>

/** An empty log. */
export const make = () => {
  type Entry = { -readonly [Member in keyof RecordedRequest]: RecordedRequest[Member] }
  let entries: Array<Entry> = []
  return {
    entries: Effect.sync((): ReadonlyArray<RecordedRequest> => entries.map((entry) => ({ ...entry }))),
    clear: Effect.sync(() => {
      entries = []
    }),
    record: (
      step: Step | undefined,
      request: Http.SandboxRequest,
      respond: Effect.Effect<Http.SandboxResponse, ConnectionReset>
    ): Effect.Effect<Http.SandboxResponse, ConnectionReset> =>
      Effect.flatMap(Clock.currentTimeMillis, (receivedAt) => {
        const { query, ...fields } = request
        const entry: Entry = {
          step,
          ...fields,
          query: Http.toRecord(query),
          form: Http.isForm(request) ? Http.toRecord(Http.parsePairs(request.body)) : {},
          receivedAt,
          respondedAt: undefined,
          status: undefined
        }
        entries.push(entry)
        return respond.pipe(
          Effect.tap(({ status }) => {
            entry.status = status
          }),
          Effect.ensuring(Effect.map(Clock.currentTimeMillis, (now) => {
            entry.respondedAt = now
          }))
        )
      })
  }
}
