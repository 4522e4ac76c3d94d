/**
 * The measured libraries, and the messages to their processes.
 */
import type { Setting } from "./Setting.js"

/** Work that is repeated: a function, or a loop for libraries without promises. */
export type Work = (() => unknown) | {
  /** Repeats the work in `concurrency` loops until `deadline` (`performance.now()`). Returns the repetitions. */
  readonly loop: (concurrency: number, deadline: number) => Promise<number>
}

/** Makes another instance, whose heap is measured; the result stays referenced. */
export type Filler = (index: number) => unknown

export interface ContenderModule {
  readonly make: (setting: Setting, variant: string) => Promise<Readonly<Record<string, Work>>>
  readonly heap?: Readonly<Record<string, () => Promise<Filler>>>
}

export interface Job {
  readonly work: string
  readonly concurrency: number
  readonly millis: number
}

export interface Sample {
  readonly operations: number
  readonly wallMicros: number
  readonly cpuMicros: number
}

export interface Contender {
  readonly name: string
  /** A module in a neighbouring folder; TypeScript is built first. */
  readonly module: string
  readonly variant: string
  readonly kind: "ours" | "peer" | "floor"
}

const SAFIRE = "contenders/effectSafire"

export const contenders = {
  "effect-safire": { module: SAFIRE, variant: "node", kind: "ours" },
  "effect-safire, tracing off": { module: SAFIRE, variant: "node-untraced", kind: "ours" },
  "effect-safire on stock undici layer": { module: SAFIRE, variant: "undici", kind: "ours" },
  "effect-safire on stock fetch layer": { module: SAFIRE, variant: "fetch", kind: "ours" },
  "an exchange by hand over NodeTransport": { module: SAFIRE, variant: "by-hand", kind: "floor" },
  "NodeTransport used bare": { module: SAFIRE, variant: "bare", kind: "floor" },
  "stock undici layer used bare": { module: SAFIRE, variant: "bare-undici", kind: "floor" },
  "stock fetch layer used bare": { module: SAFIRE, variant: "bare-fetch", kind: "floor" },
  "effect-safire/web": { module: "contenders/web", variant: "ours", kind: "ours" },
  "routes of @effect/platform by hand": { module: "contenders/web", variant: "by hand", kind: "floor" },
  "routes by hand over SmartClient and SessionStore": { module: "contenders/web", variant: "composed", kind: "floor" },
  "openid-client in node:http": { module: "contenders/web-openid-client.mjs", variant: "", kind: "peer" },
  "SessionStore": { module: "contenders/stores", variant: "", kind: "ours" },
  "@effect/sql used bare": { module: "contenders/stores", variant: "bare", kind: "floor" },
  "the driver by hand": { module: "contenders/drivers.mjs", variant: "", kind: "floor" },
  "effect-safire, UDAP": { module: "contenders/udap", variant: "ours", kind: "ours" },
  "pkijs's engine": { module: "contenders/udap", variant: "engine", kind: "floor" },
  "openid-client": { module: "contenders/openid-client.mjs", variant: "", kind: "peer" },
  "oauth4webapi": { module: "contenders/oauth4webapi.mjs", variant: "", kind: "peer" },
  "fhirclient": { module: "contenders/fhirclient.mjs", variant: "", kind: "peer" },
  "raw fetch": { module: "contenders/floors", variant: "fetch", kind: "floor" },
  "raw undici": { module: "contenders/floors", variant: "undici", kind: "floor" },
  "bare jose": { module: "contenders/floors", variant: "jose", kind: "floor" },
  "bare WebCrypto": { module: "contenders/floors", variant: "webcrypto", kind: "floor" }
} as const satisfies Record<string, Omit<Contender, "name">>

export type Name = keyof typeof contenders

export const named = (name: Name): Contender => ({ name, ...contenders[name] })
