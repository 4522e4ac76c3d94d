/**
 * The queue of faults of each step, and the effect of each fault on a response. A request takes the first fault of its
 * step's queue.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Fault, Step } from "./fault.js"
import * as Http from "./http.js"
import { SandboxError } from "./oAuthError.js"

/** The connection fails without a response. */
export class ConnectionReset extends Data.TaggedError("ConnectionReset") {}

/** The processing of a request. */
export type Respond = Effect.Effect<Http.SandboxResponse, ConnectionReset>

type Members = Readonly<Record<string, unknown>>

const parameterText = (value: unknown): ReadonlyArray<string> =>
  value === undefined || value === null ? [] : [typeof value === "string" ? value : Http.stringify(value)]

const mutateLocation = (location: string, f: (members: Members) => unknown): string => {
  if (!URL.canParse(location)) return location
  const url = new URL(location)
  const changed = f(Object.fromEntries(url.searchParams))
  if (!Predicate.isRecord(changed)) return location
  const parameters = Object.entries(changed).flatMap(([name, value]) =>
    parameterText(value).map((text) => [name, text])
  )
  url.search = new URLSearchParams(parameters).toString()
  return url.href
}

const mutateResponse = (response: Http.SandboxResponse, f: (members: Members) => unknown): Http.SandboxResponse => {
  const { body } = response
  if (body._tag === "Json" && Predicate.isRecord(body.value)) {
    return { ...response, body: { ...body, value: f(body.value) } }
  }
  const location = response.headers["location"]
  return location === undefined
    ? response
    : { ...response, headers: { ...response.headers, location: mutateLocation(location, f) } }
}

const changeHeaders = (
  response: Http.SandboxResponse,
  fault: Extract<Fault, { readonly _tag: "Headers" }>
): Http.SandboxResponse => {
  const removed = new Set(fault.remove.map((name) => name.toLowerCase()))
  const set = Object.entries(fault.set).map(([name, value]) => [name.toLowerCase(), value] as const)
  const contentType = set.find(([name]) => name === "content-type")?.[1] ??
    (removed.has("content-type") ? "application/octet-stream" : undefined)
  const unchanged = Object.entries(response.headers).filter(([name]) => !removed.has(name))
  return {
    ...response,
    headers: Object.fromEntries([...unchanged, ...set]),
    body: contentType !== undefined && (response.body._tag !== "Empty" && response.body._tag !== "Filler")
      ? { ...response.body, contentType }
      : response.body
  }
}

const apply = (fault: Fault, respond: Respond): Respond => {
  const replace = (processed: boolean, response: Http.SandboxResponse) =>
    processed ? Effect.as(respond, response) : Effect.succeed(response)
  switch (fault._tag) {
    case "Status":
      return replace(
        fault.processed,
        fault.body === "" ? Http.empty(fault.status, fault.headers) : Http.text(fault.body, fault)
      )
    case "Delay":
      return fault.processed
        ? Effect.zipLeft(respond, Effect.sleep(fault.duration))
        : Effect.zipRight(Effect.sleep(fault.duration), respond)
    case "Oversize":
      return replace(fault.processed, { status: 200, headers: {}, body: { _tag: "Filler", bytes: fault.bytes } })
    case "Drop":
      return fault.processed ? Effect.zipRight(respond, new ConnectionReset()) : new ConnectionReset()
    case "Mutate":
      return Effect.map(respond, (response) => mutateResponse(response, fault.f))
    case "Headers":
      return Effect.map(respond, (response) => changeHeaders(response, fault))
    case "All":
      return fault.faults.reduceRight((inner, outer) => apply(outer, inner), respond)
  }
}

/**
 * A fault that waits for its request.
 *
 * @since 0.1.0
 * @category models
 */
export interface PendingFault {
  /** For `Service.removeFault`. */
  readonly id: string
  readonly step: Step
  readonly fault: Fault
  /** The number of requests it will affect. */
  readonly remaining: number
}

const changesResponse = (fault: Fault): boolean =>
  fault._tag === "Mutate" || fault._tag === "All" && fault.faults.some(changesResponse)

/** The pending faults of one sandbox. */
export type Faults = ReturnType<typeof make>

/** Empty queues. */
export const make = () => {
  const queues = new Map<Step, ReadonlyArray<PendingFault>>()
  let ids = 0
  const take = (step: Step, applies: (fault: Fault) => boolean): Fault | undefined => {
    const [head, ...others] = queues.get(step) ?? []
    if (head === undefined || !applies(head.fault)) return undefined
    queues.set(step, head.remaining > 1 ? [{ ...head, remaining: head.remaining - 1 }, ...others] : others)
    return head.fault
  }
  const applyNext = (applies: (fault: Fault) => boolean) => (step: Step, respond: Respond): Respond =>
    Effect.suspend(() => {
      const fault = take(step, applies)
      return fault === undefined ? respond : apply(fault, respond)
    })
  const noRedirect = (description: string) => new SandboxError({ reason: "NoRedirect", description })
  /** Applies a fault to the redirect of the authorization endpoint; the result is the URL of the redirect. */
  const redirect = (applyFault: (step: Step, respond: Respond) => Respond) => (location: string) =>
    applyFault("authorize", Effect.succeed(Http.redirect(location))).pipe(
      Effect.catchTag("ConnectionReset", () => noRedirect("a fault reset the connection")),
      Effect.flatMap(({ headers, status }) =>
        headers["location"] === undefined
          ? noRedirect(`a fault replaced the redirect with HTTP ${status}`)
          : Effect.succeed(new URL(headers["location"]))
      )
    )
  const applyToDecision = applyNext(changesResponse)
  const applyAny = applyNext(() => true)
  return {
    add: (step: Step, fault: Fault, times: number) =>
      Effect.sync(() => {
        const added = { id: String(++ids), step, fault, remaining: times }
        if (times > 0) queues.set(step, [...(queues.get(step) ?? []), added])
      }),
    clear: Effect.sync(() => queues.clear()),
    /** Removes a pending fault; false if the id is unknown. */
    remove: (id: string) =>
      Effect.sync(() => {
        let found = false
        for (const [step, queue] of queues) {
          const others = queue.filter((pending) => pending.id !== id)
          found ||= others.length < queue.length
          queues.set(step, others)
        }
        return found
      }),
    /** The pending faults by step, the next one first. */
    pending: Effect.sync((): ReadonlyArray<PendingFault> => Array.from(queues.values()).flat()),
    /** Processes a request with the next fault of its step. */
    apply: applyAny,
    redirect: redirect(applyAny),
    /** For a request whose response follows the user's decision: a fault that changes the response stays pending. */
    applyBeforeDecision: applyNext((fault) => !changesResponse(fault)),
    /** For the response after the user's decision: only a fault that changes the response applies. */
    redirectAfterDecision: redirect(applyToDecision)
  }
}
