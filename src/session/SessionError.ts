/**
 * Failures of sessions and of session stores. The error never contains the session's id, which is a credential.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"

const ADVICE = {
  NotFound: "send the user to a new launch",
  NeedsRelaunch: "send the user to a new launch",
  LaunchNotFound: "send the user to a new launch",
  BindingMismatch: "send the user to a new launch; if it happens often, check that the browser stores the cookie",
  StoreUnavailable:
    "check that it is up, reachable and writable; stored entries are unchanged, and you can repeat the call",
  LockTimeout:
    "another process has held the session's lock for too long; repeat later, and set a lease longer than the token time-out",
  LockLost: "the other change is stored; read the session again",
  Reentrant: "do not call modify for a session inside another modify for it",
  Undecodable: "the entry is unchanged; another version or another program may have written it",
  KeyUnknown: "the entry is unchanged; configure the key with that id again, after the new key",
  KeyUnusable: "configure 32 random bytes in base64url, with a unique id"
}

/**
 * - `NotFound`: the session does not exist.
 * - `NeedsRelaunch`: the session has no valid token and cannot renew it.
 * - `LaunchNotFound`, `BindingMismatch`: the callback belongs to no launch of this browser.
 * - `StoreUnavailable`, `LockTimeout`, `LockLost`, `Reentrant`: the store could not be used, or not exclusively.
 * - `Undecodable`, `KeyUnknown`: an entry cannot be read. It stays stored.
 * - `KeyUnusable`: an encryption key is invalid.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `SessionError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * A session or a launch is unknown, has ended, or cannot be read from its store.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionError extends Schema.TaggedError<SessionError>("effect-safire/SessionError")("SessionError", {
  reason: Reason,
  /** The cause in a few words, without any part of an entry. */
  detail: Schema.String,
  /** The backend of the store: `memory`, `redis` … */
  store: Schema.optional(Schema.String),
  /** The id of the encryption key. */
  keyId: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const where = this.store === undefined ? "Session cannot continue" : `Session store ${this.store} failed`
    return `${where} (${this.reason}): ${this.detail}; ${ADVICE[this.reason]}`
  }

  /** Whether the failure is temporary. */
  get isRetryable(): boolean {
    return this.reason === "StoreUnavailable" || this.reason === "LockTimeout" || this.reason === "LockLost"
  }
}

/**
 * Whether the session does not exist or cannot be read: for the user both mean a new launch.
 *
 * @internal
 */
export const isUnreadable = ({ reason }: SessionError): boolean =>
  reason === "NotFound" || reason === "Undecodable" || reason === "KeyUnknown"
