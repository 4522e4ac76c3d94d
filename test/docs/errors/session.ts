/** The section of `docs/errors.md` about `SessionError`. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { SessionError, Sessions, SessionStore } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
// An entry to store, for the errors of stores.
import { StoredSession } from "../../../src/session/internal/sessionEntry.js"
import { nothingSent, section } from "../entry.js"
import { atSandbox, fault, met, patiently, tokens } from "../world.js"

const id = Redacted.make("the-session-1d")

const entry = new StoredSession({
  version: 1,
  expiresAt: DateTime.unsafeMake("2100-01-01T00:00:00Z"),
  server: "north",
  tokens: tokens(),
  createdAt: DateTime.unsafeMake(0)
})

const inStore = <A, E>(
  use: (store: SessionStore.Service) => Effect.Effect<A, E>,
  change: Partial<SessionStore.BackingSessionStore> = {},
  options: SessionStore.Options = {}
) =>
  Effect.flatMap(
    SessionStore.backingMemory,
    (memory) =>
      Effect.flatMap(SessionStore.make({ ...memory, name: "redis", ...change }, options), (store) => met(use(store)))
  )

const untouched = Effect.succeed([undefined, Option.none()] as const)

const atApp = <A, E>(
  use: (sessions: Sessions.Service, ehr: SandboxEhr.Service) => Effect.Effect<A, E, SandboxEhr.SandboxEhr>
) =>
  met(Effect.flatMap(
    Effect.all([Sessions.Sessions, SandboxEhr.SandboxEhr]),
    ([sessions, ehr]) => use(sessions, ehr)
  )).pipe(Effect.provide(atSandbox()))

const started = (sessions: Sessions.Service, ehr: SandboxEhr.Service, options: Sessions.StartLaunchOptions = {}) =>
  Effect.flatMap(sessions.startLaunch(options), ({ url }) => Effect.orDie(ehr.approve(url)))

const key = (keyId: string, byte: number) => ({
  id: keyId,
  secret: Redacted.make(Buffer.alloc(32, byte).toString("base64url"))
})

const sealedWith = (keys: Parameters<typeof SessionStore.layerEncrypted>[0], store: SessionStore.Service) =>
  SessionStore.SessionStore.pipe(
    Effect.provide(
      SessionStore.layerEncrypted(keys).pipe(Layer.provide(Layer.succeed(SessionStore.SessionStore, store)))
    )
  )

export const sessionError = section<SessionError["reason"]>({
  name: "SessionError",
  literals: SessionError.fields.reason.literals,
  about:
    "A session cannot continue, or the session store failed. After the first four reasons the user starts a new launch. `StoreUnavailable`, `LockTimeout` and `LockLost` are temporary. The other reasons are for the operator of the app. `store` names the backend, `keyId` the encryption key. The error contains neither the session id nor a part of an entry; the server's name is in the span `Sessions.*` around it. A session that expired or was ended is `NotFound`.",
  names: /[Ss]ession/,
  entries: {
    NotFound: {
      example: atApp((sessions) => sessions.accessToken(id)),
      cause: "The session ended, was not used for `idleTimeout` (30 days), never existed, or is in another store.",
      cure: "Send the user to a new launch. If all sessions are lost after a restart, the store is `layerMemory`.",
      again: nothingSent
    },
    NeedsRelaunch: {
      example: atApp((sessions, ehr) =>
        Effect.gen(function*() {
          const session = yield* sessions.completeLaunch(yield* started(sessions, ehr))
          yield* TestClock.adjust("10 minutes")
          yield* fault("token", SandboxEhr.Fault.oauthError("invalid_grant"))
          return yield* sessions.accessToken(session)
        })
      ),
      cause:
        "The access token has expired and cannot be renewed: the server refused the refresh token, or issued none.",
      cure:
        "Send the user to a new launch. Request `offline_access` if sessions should last. `sessions.relaunchReason` returns the reason beforehand.",
      again: "Not repeated: no process that shares the store sends a refused refresh token again."
    },
    LaunchNotFound: {
      example: atApp((sessions) =>
        sessions.completeLaunch("https://app.example.org/callback?code=the-c0de&state=unheard-of")
      ),
      cause:
        "No launch waits for this callback: it was started in another store, took too long, failed before, or never existed.",
      cure:
        "Send the user to a new launch. If every launch fails, the process that receives the callback uses another store than the process that started the launch.",
      again: nothingSent
    },
    BindingMismatch: {
      example: atApp((sessions, ehr) =>
        Effect.flatMap(
          started(sessions, ehr, { browserBinding: Redacted.make("the-browser-c00kie") }),
          (callback) => sessions.completeLaunch(callback)
        )
      ),
      cause:
        "The callback came from another browser than the one that started the launch, or the cookie was lost. An attacker may try to log another user into the attacker's session.",
      cure:
        "Start again. If it happens often: the cookie needs `SameSite=Lax` (or `None; Secure` in a frame), and the same host at start and callback.",
      again: "Not repeated. The launch still waits: the right browser can complete it."
    },
    StoreUnavailable: {
      example: inStore((store) => store.get(id), {
        read: () => SessionStore.unavailable("redis", "reading")({ code: "ECONNREFUSED" })
      }),
      cause: "The store did not respond, or failed. The code at the end is from its driver.",
      cure: "Check that the store is up, reachable, writable and not full.",
      again:
        "The write after a renewal is repeated for 20 seconds, so that its tokens are not lost. Other operations are not repeated. Safe to call again."
    },
    LockTimeout: {
      example: patiently(inStore(
        (store) =>
          Effect.gen(function*() {
            yield* Effect.forkScoped(store.modify(id, () => Effect.never))
            const waiting = yield* Effect.forkScoped(
              Effect.zipRight(Effect.sleep("1 second"), store.modify(id, () => untouched))
            )
            return yield* Fiber.join(waiting)
          }).pipe(Effect.scoped),
        {},
        { lease: "5 minutes", lockWait: "10 seconds" }
      )),
      cause:
        "Another caller held the session's lock for longer than `lockWait` (default: the lease and five seconds), because the token endpoint was slow or a process died.",
      cure:
        "Set a lease longer than `HttpLimits.tokenTimeout` with all retries. The lock of a process that died is free when its lease is over.",
      again: "Nothing was changed. Safe to call again."
    },
    LockLost: {
      example: inStore((store) =>
        store.modify(id, () => Effect.as(store.set(id, entry), [undefined, Option.some(entry)] as const))
      ),
      cause: "The entry was set or removed during `modify`, or the lease ended and another process changed the entry.",
      cure: "Read the entry again. `Sessions` does that; the error occurs only when you use the store directly.",
      again: "Not repeated: the other change is stored. Safe to call again."
    },
    Reentrant: {
      example: inStore((store) =>
        store.modify(id, () => store.modify(id, () => untouched).pipe(Effect.zipRight(untouched)))
      ),
      cause: "`modify` was called inside `modify` for the same session, and would wait for itself.",
      cure: "Correct the program: compute the next entry in one `modify`.",
      again: nothingSent
    },
    Undecodable: {
      example: inStore((store) => store.get(id), {
        read: () => Effect.succeedSome("{\"nonce\":\"n\",\"entry\":{\"version\":2}}")
      }),
      cause:
        "The stored text is not an entry of this version: a newer version or another program wrote it, or it is incomplete.",
      cure:
        "Do not run two versions over one store, unless the newer version allows it. The entry stays stored; `remove` deletes it.",
      again: "Not repeated. The same call fails the same way until the entry is replaced or removed."
    },
    KeyUnknown: {
      example: met(Effect.gen(function*() {
        const store = yield* Effect.flatMap(SessionStore.backingMemory, (memory) => SessionStore.make(memory))
        yield* (yield* sealedWith([key("2025", 1)], store)).set(id, entry)
        return yield* (yield* sealedWith([key("2026", 2)], store)).get(id)
      })),
      cause: "The entry was sealed with a key that `layerEncrypted` does not have: the old key was removed too early.",
      cure: "Configure the old key again, after the new one, until its entries have expired (30 days by default).",
      again: "Not repeated. It succeeds when the key is configured again; the entry is not lost."
    },
    KeyUnusable: {
      example: met(Effect.flatMap(
        Effect.flatMap(SessionStore.backingMemory, (memory) => SessionStore.make(memory)),
        (store) => sealedWith([{ id: "2026", secret: Redacted.make("the-client-s3cret") }], store)
      )),
      cause:
        "A key of `layerEncrypted` is not 32 bytes in base64url, or two keys have the same id. The error occurs when the layer is built.",
      cure: "`openssl rand -base64 32 | tr '+/' '-_' | tr -d '='` generates a key.",
      again: nothingSent
    }
  }
})
