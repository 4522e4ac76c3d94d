/**
 * What the sandbox was sent, request by request.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Step } from "./fault.js"
import type { Dropped } from "./faults.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"

/**
 * One HTTP request as the sandbox received it. Secrets, codes and tokens are in it in clear: it is there for tests to look at them.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  /** The protocol step it was for; undefined for a path that has none. */
  readonly step: Step | undefined
  readonly method: string
  readonly path: string
  /** Path and query as received. */
  readonly url: string
  /** The query parameters; of doubled ones the first. */
  readonly query: Readonly<Record<string, string>>
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** The parameters of a form body, of doubled ones the first; empty for another body. */
  readonly form: Readonly<Record<string, string>>
  readonly body: string
  /** Milliseconds since the epoch, by Effect's `Clock`. */
  readonly receivedAt: number
  /** When the answer was ready, or the connection made to fail; undefined before. */
  readonly answeredAt: number | undefined
  /** The status of the answer; undefined while there is none, and where the connection was made to fail. */
  readonly status: number | undefined
}

/** The journal. */
export interface Journal {
  readonly entries: Effect.Effect<ReadonlyArray<RecordedRequest>>
  readonly clear: Effect.Effect<void>
  readonly record: (
    step: Step | undefined,
    request: SandboxRequest,
    act: Effect.Effect<Reply, Dropped>
  ) => Effect.Effect<Reply, Dropped>
}

/** An empty journal. */
export const make = (): Journal => {
  type Outcome = { -readonly [Member in "answeredAt" | "status"]: RecordedRequest[Member] }
  let entries: Array<{ readonly request: Omit<RecordedRequest, keyof Outcome>; readonly outcome: Outcome }> = []
  return {
    entries: Effect.sync(() => entries.map(({ outcome, request }) => ({ ...request, ...outcome }))),
    clear: Effect.sync(() => {
      entries = []
    }),
    record: (step, request, act) =>
      Effect.flatMap(Clock.currentTimeMillis, (receivedAt) => {
        const entry: (typeof entries)[number] = {
          request: {
            step,
            method: request.method,
            path: request.path,
            url: request.url,
            query: Message.toRecord(request.query),
            headers: request.headers,
            form: Message.isForm(request) ? Message.toRecord(Message.parsePairs(request.body)) : {},
            body: request.body,
            receivedAt
          },
          outcome: { answeredAt: undefined, status: undefined }
        }
        entries.push(entry)
        return act.pipe(
          Effect.tap((reply) =>
            Effect.sync(() => {
              entry.outcome.status = reply.status
            })
          ),
          Effect.ensuring(Effect.map(Clock.currentTimeMillis, (now) => {
            entry.outcome.answeredAt = now
          }))
        )
      })
  }
}
