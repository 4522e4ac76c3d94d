/**
 * The faults that are switched on, a queue for each step, and what each does to an answer: a request meets the fault at the head of its step's
 * queue.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Fault, Step } from "./Fault.js"
import type { Reply } from "./Message.js"
import * as Message from "./Message.js"

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

/** The queues. */
export interface Faults {
  readonly add: (step: Step, fault: Fault, times: number) => Effect.Effect<void>
  readonly clear: Effect.Effect<void>
  /** Runs a step under the fault that is due, if one is. */
  readonly around: (step: Step, act: Effect.Effect<Reply, Dropped>) => Effect.Effect<Reply, Dropped>
}

/** Empty queues. */
export const make = (): Faults => {
  const queues = new Map<Step, Array<{ readonly fault: Fault; left: number }>>()
  const take = (step: Step): Fault | undefined => {
    const queue = queues.get(step)
    const head = queue?.[0]
    if (queue === undefined || head === undefined) return undefined
    head.left -= 1
    if (head.left <= 0) queue.shift()
    return head.fault
  }
  return {
    add: (step, fault, times) =>
      Effect.sync(() => {
        if (times > 0) queues.set(step, [...(queues.get(step) ?? []), { fault, left: times }])
      }),
    clear: Effect.sync(() => queues.clear()),
    around: (step, act) =>
      Effect.suspend(() => {
        const fault = take(step)
        return fault === undefined ? act : apply(fault, act)
      })
  }
}
