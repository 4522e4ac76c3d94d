/**
 * The EHR of the pages: its sandbox, apps, signed-in users and used form keys.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { SandboxEhr } from "effect-safire/testing"
import type { Site } from "../ui/Page.js"
import { down } from "./faults.js"
import type { Person } from "./record.js"

/** An app that can be launched from a patient's record. */
export interface App {
  /** Short, for URLs. */
  readonly id: string
  readonly name: string
  /** Gets `iss` and `launch` added. */
  readonly launchUrl: string
}

/** The EHR, as its pages know it. */
export interface Ehr {
  readonly site: Site
  readonly origin: string
  readonly sandbox: SandboxEhr.Service
  readonly apps: ReadonlyArray<App>
  readonly resources: ReadonlyArray<SandboxEhr.FhirResource>
  readonly people: ReadonlyArray<Person>
  readonly cookie: string
  readonly signIns: SignIns
  readonly formKeys: FormKeys
  readonly availability: Availability
  /** The labels of faults that were added on the page. */
  readonly faultLabels: WeakMap<SandboxEhr.Fault.Fault, string>
}

const randomText = Effect.sync(() => Encoding.encodeBase64Url(globalThis.crypto.getRandomValues(new Uint8Array(24))))

/** The signed-in users, by cookie value. */
export interface SignIns {
  readonly add: (person: Person) => Effect.Effect<string>
  readonly find: (id: string) => Effect.Effect<Person | undefined>
  readonly remove: (id: string) => Effect.Effect<void>
}

const HOURS = 60 * 60 * 1000

/** An empty store of signed-in users. */
export const makeSignIns = (): SignIns => {
  const all = new Map<string, { readonly person: Person; readonly until: number }>()
  return {
    add: (person) =>
      Effect.gen(function*() {
        const id = yield* randomText
        const now = yield* Clock.currentTimeMillis
        all.set(id, { person, until: now + 8 * HOURS })
        const [oldest] = all.keys()
        if (all.size > 1000 && oldest !== undefined) all.delete(oldest)
        return id
      }),
    find: (id) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const found = all.get(id)
        return found !== undefined && found.until > now ? found.person : undefined
      }),
    remove: (id) => Effect.sync(() => all.delete(id))
  }
}

/** Keys that make a form act once, even if it is submitted twice. */
export interface FormKeys {
  readonly key: Effect.Effect<string>
  readonly run: (key: string, act: Effect.Effect<void>) => Effect.Effect<void>
}

/** An empty set of used keys. */
export const makeFormKeys = (): FormKeys => {
  const used = new Set<string>()
  return {
    key: randomText,
    run: (key, act) =>
      Effect.suspend(() => {
        if (used.has(key)) return Effect.void
        used.add(key)
        const [oldest] = used
        if (used.size > 1000 && oldest !== undefined) used.delete(oldest)
        return act
      })
  }
}

/** Whether the EHR is up. While it is down, every protocol step responds with 503; other faults stay pending. */
export interface Availability {
  readonly isDown: Effect.Effect<boolean>
  readonly set: (isDown: boolean) => Effect.Effect<void>
}

/** An EHR that is up. */
export const makeAvailability = (
  sandbox: SandboxEhr.Service,
  steps: ReadonlyArray<SandboxEhr.Fault.Step>
): Availability => {
  let suspended: ReadonlyArray<SandboxEhr.PendingFault> = []
  const isDown = Effect.map(sandbox.pendingFaults, (waiting) => waiting.some(({ fault }) => fault === down.fault))
  const stop = Effect.gen(function*() {
    suspended = yield* sandbox.pendingFaults
    yield* sandbox.clearFaults
    yield* Effect.forEach(steps, (step) => sandbox.fault(step, down.fault, Infinity), { discard: true })
  })
  const start = Effect.gen(function*() {
    const since = (yield* sandbox.pendingFaults).filter(({ fault }) => fault !== down.fault)
    yield* sandbox.clearFaults
    yield* Effect.forEach(
      [...suspended, ...since],
      ({ fault, remaining, step }) => sandbox.fault(step, fault, remaining),
      {
        discard: true
      }
    )
  })
  return {
    isDown,
    set: (wanted) => Effect.flatMap(isDown, (is) => is === wanted ? Effect.void : wanted ? stop : start)
  }
}

/** The URL an app is launched with. */
export const launchUrlOf = (app: App, launch: { readonly iss: string; readonly launch: string }): string => {
  const url = new URL(app.launchUrl)
  url.searchParams.set("iss", launch.iss)
  url.searchParams.set("launch", launch.launch)
  return url.href
}

/** The origins of the apps. */
export const appOrigins = (ehr: Ehr): ReadonlyArray<string> =>
  Array.from(new Set(ehr.apps.map(({ launchUrl }) => new URL(launchUrl).origin)))

/** The name of a client. */
export const clientName = (client: SandboxEhr.Client): string => client.name ?? client.clientId

/** The name of a client by its id, which may be removed. */
export const clientNameOf = (clients: ReadonlyArray<SandboxEhr.Client>, clientId: string): string => {
  const client = clients.find((one) => one.clientId === clientId)
  return client === undefined ? clientId : clientName(client)
}

/** The name of a user or patient, by reference. */
export const personName = (ehr: Ehr, reference: string): string =>
  ehr.people.find((person) => person.reference === reference)?.name ?? reference
