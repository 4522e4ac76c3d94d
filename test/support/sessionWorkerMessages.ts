import type { Kind } from "./places.js"

/**
 * The step at which a worker holds: it has the lock and has read no entry (`locked`), before it sends the request
 * (`sending`), before it writes the response (`answered`), or after the write, with the lock (`written`).
 */
export type Hold = "locked" | "sending" | "answered" | "written"

/** A message to a worker. */
export type Command =
  | {
    readonly _tag: "Open"
    readonly kind: Kind
    readonly address: string
    readonly fhirBaseUrl: string
    readonly leaseMillis?: number | undefined
    readonly holdAt?: Hold | undefined
    /** The limit of one operation of the store. Default: 1 minute. */
    readonly operationMillis?: number | undefined
    /** How long a write is repeated. Default: that of the store. */
    readonly saveMillis?: number | undefined
  }
  | { readonly _tag: "Use"; readonly id: string; readonly callers: number; readonly refused?: string | undefined }
  | { readonly _tag: "Go" }
  /** The clock of the worker is so far ahead, or behind if negative. */
  | { readonly _tag: "SetClock"; readonly offsetMillis: number }

/** The result of a caller: the token, or the name of the failure. */
export type CallerResult = { readonly token: string } | { readonly failure: string }

/** A message of a worker. */
export type Report =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Opened" }
  | { readonly _tag: "Held" }
  | { readonly _tag: "Used"; readonly callers: ReadonlyArray<CallerResult> }
