import type { Kind } from "./places.js"

/**
 * Where a worker stops and waits: the lock is its own and nothing has been read (`locked`), the request is about to
 * leave (`sending`), the answer is there and not written (`answered`), it is written and the lock still held
 * (`written`).
 */
export type Hold = "locked" | "sending" | "answered" | "written"

/** What a worker is told. */
export type Command =
  | {
    readonly _tag: "Open"
    readonly kind: Kind
    readonly address: string
    readonly fhirBaseUrl: string
    readonly leaseMillis?: number | undefined
    readonly holdAt?: Hold | undefined
  }
  | { readonly _tag: "Use"; readonly id: string; readonly callers: number; readonly refused?: string | undefined }
  | { readonly _tag: "Go" }

/** How a caller fared: the token, or the name of the failure. */
export type Fared = { readonly token: string } | { readonly failure: string }

/** What a worker says. */
export type Report =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Opened" }
  | { readonly _tag: "Held" }
  | { readonly _tag: "Used"; readonly callers: ReadonlyArray<Fared> }
