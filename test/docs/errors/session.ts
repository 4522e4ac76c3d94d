/** What can go wrong where sessions are kept. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { SessionError, Sessions, SessionStore } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { type BackingSessionStore, unavailable } from "../../../src/session/BackingSessionStore.js"
import * as Memory from "../../../src/session/internal/memory.js"
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
  change: Partial<BackingSessionStore> = {},
  options: SessionStore.Options = {}
) =>
  Effect.flatMap(
    Memory.make,
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
    "A session cannot go on, or the place where sessions are kept is in trouble. After the first four the person starts a new launch; `StoreUnavailable`, " +
    "`LockTimeout` and `LockLost` pass; the rest is for whoever runs the app. `store` names the backend, `keyId` the encryption key. No session id and " +
    "no part of an entry stands in the error; the server's name is in the span `Sessions.*` around it. What expired or " +
    "was ended is `NotFound`: what is gone cannot say why.",
  names: /[Ss]ession/,
  entries: {
    NotFound: {
      example: atApp((sessions) => sessions.accessToken(id)),
      cause:
        "The id is that of no session: it ended, was not used for `idleTimeout` (30 days), is made up, or is in another store.",
      cure: "Send the person to a new launch. If it happens to all after a restart, the store is `layerMemory`.",
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
        "The access token has expired, and no new one is to be had: the server refused the refresh token for good, or gave none.",
      cure:
        "Send the person to a new launch; ask for `offline_access` where sessions should last. `sessions.relaunchReason` tells it beforehand.",
      again: "Not repeated, in no process that shares the store: a refused refresh token is never sent again."
    },
    LaunchNotFound: {
      example: atApp((sessions) =>
        sessions.completeLaunch("https://app.example.org/callback?code=the-c0de&state=unheard-of")
      ),
      cause:
        "No launch waits for this callback: it was started in another store, took too long, failed before, or is made up.",
      cure:
        "Send the person to a new launch. If it is so with every launch, the process that answers the callback has another store than the one that began.",
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
        "The callback came to another browser than the launch was started in, or the cookie was lost: somebody may want to log another person into their own session.",
      cure:
        "Start again. If it is frequent: the cookie needs `SameSite=Lax` (or `None; Secure` in a frame), and the same host at start and callback.",
      again: "Not repeated. The launch stays open: the right browser can still complete it."
    },
    StoreUnavailable: {
      example: inStore((store) => store.get(id), {
        read: () => unavailable("redis", "reading")({ code: "ECONNREFUSED" })
      }),
      cause: "The place where sessions are kept does not answer, or failed. The word at the end is its driver's.",
      cure: "Look whether it is up, reachable, writable and not full.",
      again:
        "A renewal that has succeeded is offered to the store for 20 seconds, so that its tokens are not lost; nothing else is repeated. Safe to call again."
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
        "Somebody held the session's lock for longer than `lockWait` (by default the lease and five seconds): a slow token endpoint, or a process that died.",
      cure:
        "See that the lease outlives `HttpLimits.tokenTimeout` and all repeats. A dead holder's lock is free when its lease is over.",
      again: "Nothing was done. Safe to call again."
    },
    LockLost: {
      example: inStore((store) =>
        store.modify(id, () => Effect.as(store.set(id, entry), [undefined, Option.some(entry)] as const))
      ),
      cause: "While `modify` worked, the entry was set or removed, or its lease ran out and somebody else changed it.",
      cure: "Read it again. `Sessions` does so by itself; you meet it only when you use the store directly.",
      again: "Not repeated: what the other one wrote was kept. Safe to call again on what is there now."
    },
    Reentrant: {
      example: inStore((store) =>
        store.modify(id, () => store.modify(id, () => untouched).pipe(Effect.zipRight(untouched)))
      ),
      cause: "`modify` for a session was called inside `modify` for the same session: it would wait for itself.",
      cure: "A mistake of the program: compute what is to be stored in one `modify`.",
      again: nothingSent
    },
    Undecodable: {
      example: inStore((store) => store.get(id), {
        read: () => Effect.succeedSome("{\"nonce\":\"n\",\"entry\":{\"version\":2}}")
      }),
      cause:
        "What is stored is no entry of this version: written by a newer version, by another program, or cut short.",
      cure:
        "Do not run two versions on one store unless the newer one says that it can be. Entries are left as they are; `remove` deletes one.",
      again: "Not repeated. The same call fails the same way until the entry is replaced or removed."
    },
    KeyUnknown: {
      example: met(Effect.gen(function*() {
        const store = yield* Effect.flatMap(Memory.make, (memory) => SessionStore.make(memory))
        yield* (yield* sealedWith([key("2025", 1)], store)).set(id, entry)
        return yield* (yield* sealedWith([key("2026", 2)], store)).get(id)
      })),
      cause: "An entry was sealed with a key that `layerEncrypted` was not given: the old key was removed too early.",
      cure: "Give the old key again, after the new one, for as long as entries last (30 days by default).",
      again: "Not repeated. It succeeds when the key is there: nothing is lost."
    },
    KeyUnusable: {
      example: met(Effect.flatMap(
        Effect.flatMap(Memory.make, (memory) => SessionStore.make(memory)),
        (store) => sealedWith([{ id: "2026", secret: Redacted.make("the-client-s3cret") }], store)
      )),
      cause:
        "A key given to `layerEncrypted` is not 32 bytes in base64url, or two have one id. It comes when the layer is built.",
      cure: "`openssl rand -base64 32 | tr '+/' '-_' | tr -d '='` makes one.",
      again: nothingSent
    }
  }
})
