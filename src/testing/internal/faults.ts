/**
 * The faults that are switched on, a queue for each step, and what each does to an answer: a request meets the fault at the head of its step's
 * queue.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Fault, Step } from "./fault.js"
import type { Reply } from "./message.js"
import * as Message from "./message.js"

/** The connection failed; there is no answer. */
export class Dropped extends Data.TaggedError("Dropped") {}

type Members = Readonly<Record<string, unknown>>

const mutateLocation = (location: string, f: (members: Members) => unknown): string => {
  if (!URL.canParse(location)) return location
  const url = new URL(location)
  const changed = f(Object.fromEntries(url.searchParams))
  if (!Predicate.isRecord(changed)) return location
  const parameters = Object.entries(changed).flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [[name, String(value)]]
  )
  url.search = new URLSearchParams(parameters).toString()
  return url.href
}

const mutateReply = (reply: Reply, f: (members: Members) => unknown): Reply => {
  const { body } = reply
  if (body._tag === "Json" && Predicate.isRecord(body.value)) {
    return { ...reply, body: { ...body, value: f(body.value) } }
  }
  const location = reply.headers["location"]
  return location === undefined ? reply : Message.withHeaders(reply, { location: mutateLocation(location, f) })
}

const changeHeaders = (reply: Reply, fault: Extract<Fault, { readonly _tag: "Headers" }>): Reply => {
  const removed = new Set(fault.remove.map((name) => name.toLowerCase()))
  const set = Object.entries(fault.set).map(([name, value]) => [name.toLowerCase(), value] as const)
  const contentType = set.find(([name]) => name === "content-type")?.[1] ??
    (removed.has("content-type") ? "application/octet-stream" : undefined)
  const kept = Object.entries(reply.headers).filter(([name]) => !removed.has(name))
  return {
    ...reply,
    headers: Object.fromEntries([...kept, ...set]),
    body: contentType !== undefined && (reply.body._tag === "Json" || reply.body._tag === "Text")
      ? { ...reply.body, contentType }
      : reply.body
  }
}

const apply = (fault: Fault, act: Effect.Effect<Reply, Dropped>): Effect.Effect<Reply, Dropped> => {
  const instead = (acted: boolean, reply: Reply) => acted ? Effect.as(act, reply) : Effect.succeed(reply)
  switch (fault._tag) {
    case "Status":
      return instead(
        fault.acted,
        fault.body === "" ? Message.empty(fault.status, fault.headers) : Message.text(fault.body, fault)
      )
    case "Delay":
      return fault.acted
        ? Effect.zipLeft(act, Effect.sleep(fault.duration))
        : Effect.zipRight(Effect.sleep(fault.duration), act)
    case "Redirect":
      return instead(fault.acted, Message.empty(fault.status, { location: fault.location }))
    case "Text":
      return instead(fault.acted, Message.text(fault.body, { contentType: fault.contentType }))
    case "Oversize":
      return instead(fault.acted, { status: 200, headers: {}, body: { _tag: "Filler", bytes: fault.bytes } })
    case "Empty":
      return instead(fault.acted, Message.empty(200))
    case "Drop":
      return fault.acted ? Effect.zipRight(act, new Dropped()) : new Dropped()
    case "Mutate":
      return Effect.map(act, (reply) => mutateReply(reply, fault.f))
    case "Headers":
      return Effect.map(act, (reply) => changeHeaders(reply, fault))
    case "All":
      return fault.faults.reduceRight((inner, outer) => apply(outer, inner), act)
  }
}

/**
 * A fault that waits for its request.
 *
 * @since 0.1.0
 * @category models
 */
export interface WaitingFault {
  /** Names it for `Service.removeFault`. */
  readonly id: string
  readonly step: Step
  readonly fault: Fault
  /** How many requests it waits for. */
  readonly left: number
}

/** Whether a fault spoils the answer of the step itself, rather than coming in its place. */
const spoilsAnswer = (fault: Fault): boolean =>
  fault._tag === "Mutate" || fault._tag === "All" && fault.faults.some(spoilsAnswer)

/** The queues. */
export interface Faults {
  readonly add: (step: Step, fault: Fault, times: number) => Effect.Effect<void>
  readonly clear: Effect.Effect<void>
  /** Takes one away that waits; false if none is called so, or no longer. */
  readonly remove: (id: string) => Effect.Effect<boolean>
  /** Those that wait, by step, the next one first. */
  readonly waiting: Effect.Effect<ReadonlyArray<WaitingFault>>
  /** Runs a step under the fault that is due, if one is. */
  readonly around: (step: Step, act: Effect.Effect<Reply, Dropped>) => Effect.Effect<Reply, Dropped>
  /** The first half of a step whose answer comes later, after a person was asked: what spoils that answer goes on waiting for it. */
  readonly aroundQuestion: (step: Step, act: Effect.Effect<Reply, Dropped>) => Effect.Effect<Reply, Dropped>
  /** The second half: only what spoils the answer, all else waits for the next question. */
  readonly aroundAnswer: (step: Step, act: Effect.Effect<Reply, Dropped>) => Effect.Effect<Reply, Dropped>
}

/** Empty queues. */
export const make = (): Faults => {
  const queues = new Map<Step, ReadonlyArray<WaitingFault>>()
  let ids = 0
  const take = (step: Step, applies: (fault: Fault) => boolean): Fault | undefined => {
    const [head, ...others] = queues.get(step) ?? []
    if (head === undefined || !applies(head.fault)) return undefined
    queues.set(step, head.left > 1 ? [{ ...head, left: head.left - 1 }, ...others] : others)
    return head.fault
  }
  const around = (applies: (fault: Fault) => boolean): Faults["around"] => (step, act) =>
    Effect.suspend(() => {
      const fault = take(step, applies)
      return fault === undefined ? act : apply(fault, act)
    })
  return {
    add: (step, fault, times) =>
      Effect.sync(() => {
        if (times > 0) queues.set(step, [...(queues.get(step) ?? []), { id: String(++ids), step, fault, left: times }])
      }),
    clear: Effect.sync(() => queues.clear()),
    remove: (id) =>
      Effect.sync(() => {
        let found = false
        for (const [step, queue] of queues) {
          const others = queue.filter((waiting) => waiting.id !== id)
          found ||= others.length < queue.length
          queues.set(step, others)
        }
        return found
      }),
    waiting: Effect.sync(() => Array.from(queues.values()).flat()),
    around: around(() => true),
    aroundQuestion: around((fault) => !spoilsAnswer(fault)),
    aroundAnswer: around(spoilsAnswer)
  }
}
