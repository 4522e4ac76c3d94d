/**
 * The EHR that the pages show: the sandbox behind it, the apps that can be launched, who is signed in, and what was clicked already.
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
  readonly once: Once
  readonly power: Power
  /** What a fault is called that was switched on here. */
  readonly faultLabels: WeakMap<SandboxEhr.Fault.Fault, string>
}

const randomText = Effect.sync(() => Encoding.encodeBase64Url(globalThis.crypto.getRandomValues(new Uint8Array(24))))

/** Who is signed in, by the value of their cookie. */
export interface SignIns {
  readonly add: (person: Person) => Effect.Effect<string>
  readonly find: (id: string) => Effect.Effect<Person | undefined>
  readonly remove: (id: string) => Effect.Effect<void>
}

const HOURS = 60 * 60 * 1000

/** Nobody is signed in. */
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

/** Forms that must not act twice when they are sent twice: each is rendered with a key that works once. */
export interface Once {
  readonly key: Effect.Effect<string>
  readonly run: (key: string, act: Effect.Effect<void>) => Effect.Effect<void>
}

/** No form was sent yet. */
export const makeOnce = (): Once => {
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

/** Whether the EHR is up: while it is down, every step of the protocol answers 503, and the faults that waited wait on. */
export interface Power {
  readonly isDown: Effect.Effect<boolean>
  readonly set: (isDown: boolean) => Effect.Effect<void>
}

/** An EHR that is up. */
export const makePower = (sandbox: SandboxEhr.Service, steps: ReadonlyArray<SandboxEhr.Fault.Step>): Power => {
  let setAside: ReadonlyArray<SandboxEhr.PendingFault> = []
  const isDown = Effect.map(sandbox.pendingFaults, (waiting) => waiting.some(({ fault }) => fault === down.fault))
  const takeDown = Effect.gen(function*() {
    setAside = yield* sandbox.pendingFaults
    yield* sandbox.clearFaults
    yield* Effect.forEach(steps, (step) => sandbox.fault(step, down.fault, Infinity), { discard: true })
  })
  const putUp = Effect.gen(function*() {
    const since = (yield* sandbox.pendingFaults).filter(({ fault }) => fault !== down.fault)
    yield* sandbox.clearFaults
    yield* Effect.forEach(
      [...setAside, ...since],
      ({ fault, remaining: left, step }) => sandbox.fault(step, fault, left),
      {
        discard: true
      }
    )
  })
  return {
    isDown,
    set: (wanted) => Effect.flatMap(isDown, (is) => is === wanted ? Effect.void : wanted ? takeDown : putUp)
  }
}

/** The URL an app is launched with. */
export const launchUrlOf = (app: App, launch: { readonly iss: string; readonly launch: string }): string => {
  const url = new URL(app.launchUrl)
  url.searchParams.set("iss", launch.iss)
  url.searchParams.set("launch", launch.launch)
  return url.href
}

/** Where the apps are. */
export const appOrigins = (ehr: Ehr): ReadonlyArray<string> =>
  Array.from(new Set(ehr.apps.map(({ launchUrl }) => new URL(launchUrl).origin)))

/** What a person calls the app of a client. */
export const clientName = (client: SandboxEhr.Client): string => client.name ?? client.clientId

/** What a person calls the app with this client id, one that is gone included. */
export const clientNameOf = (clients: ReadonlyArray<SandboxEhr.Client>, clientId: string): string => {
  const client = clients.find((one) => one.clientId === clientId)
  return client === undefined ? clientId : clientName(client)
}

/** What a reference is called that stands for a person. */
export const personName = (ehr: Ehr, reference: string): string =>
  ehr.people.find((person) => person.reference === reference)?.name ?? reference
