/**
 * Why a session, or the store that holds it, did not do what was asked. It never holds the session's id, which is a credential by itself.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * `NotFound`: there is no such session, or not any more. `NeedsRelaunch`: it has no token and no way to get one.
 * `LaunchNotFound`, `BindingMismatch`: a callback that no launch of this browser waits for. `StoreUnavailable`, `LockTimeout`, `LockLost`, `Reentrant`: the store
 * could not be used, or not exclusively. `Undecodable`, `KeyUnknown`: something is stored, is left as it is, and cannot be read. `KeyUnusable`: an
 * encryption key is none.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal(
  "NotFound",
  "NeedsRelaunch",
  "LaunchNotFound",
  "BindingMismatch",
  "StoreUnavailable",
  "LockTimeout",
  "LockLost",
  "Reentrant",
  "Undecodable",
  "KeyUnknown",
  "KeyUnusable"
)

/**
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

const ADVICE: Record<Reason, string> = {
  NotFound: "send the user to a new launch",
  NeedsRelaunch: "send the user to a new launch",
  LaunchNotFound: "send the user to a new launch",
  BindingMismatch: "send the user to a new launch; if it happens often, look whether the browser keeps the cookie",
  StoreUnavailable:
    "check that it is up, reachable and writable; what it holds is untouched, and the call may be repeated",
  LockTimeout:
    "somebody holds this session's lock for too long; repeat later, and see that the lease outlives the token time-out",
  LockLost: "the session was changed meanwhile, and that change was kept; read it again",
  Reentrant: "do not call modify for a session inside another modify for it",
  Undecodable: "it was left as it is; find out who wrote it: another version, another program, a write cut short",
  KeyUnknown: "it was left as it is; give the store the key of that id again, after the new one",
  KeyUnusable: "a key is 32 random bytes in base64url, with an id of its own"
}

/**
 * @since 0.1.0
 * @category errors
 */
export class SessionError extends Schema.TaggedError<SessionError>("effect-safire/SessionError")("SessionError", {
  reason: Reason,
  /** What was seen, in a few words that hold no part of an entry. */
  detail: Schema.String,
  /** The backend of the store: `memory`, `redis` … */
  store: Schema.optional(Schema.String),
  /** The id of the encryption key it is about. */
  keyId: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const where = this.store === undefined ? "Session cannot go on" : `Session store ${this.store} failed`
    return `${where} (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is of the kind that passes. */
  get isRetryable(): boolean {
    return this.reason === "StoreUnavailable" || this.reason === "LockTimeout" || this.reason === "LockLost"
  }
}

/**
 * There is no such session, or nobody can read it any more: for the person in front of it the same.
 *
 * @internal
 */
export const isUnreadable = ({ reason }: SessionError): boolean =>
  reason === "NotFound" || reason === "Undecodable" || reason === "KeyUnknown"
