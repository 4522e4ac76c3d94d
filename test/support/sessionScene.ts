/**
 * Sessions over a sandbox and a store that counts and fails on demand.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  ClientAuthentication,
  RetryPolicy,
  SessionError,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

export const config: SmartClient.Config = {
  name: "north",
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs", "offline_access"]
}

/** A memory that counts, and that can be told to fail. */
const makePlace = Effect.map(SessionStore.backingMemory, (memory) => {
  const place = { reads: 0, writes: 0, locks: 0, writable: true, writeDelay: Duration.zero as Duration.DurationInput }
  const readOnly = new SessionError({ reason: "StoreUnavailable", store: "test", detail: "writing failed: EROFS" })
  const backing: SessionStore.BackingSessionStore = {
    ...memory,
    name: "test",
    read: (key) => Effect.suspend(() => (place.reads++, memory.read(key))),
    replace: (key, expected, next) =>
      Effect.suspend(() => {
        place.writes++
        if (!place.writable) return readOnly
        return Effect.delay(memory.replace(key, expected, next), place.writeDelay)
      }),
    tryLock: (key, owner, leaseMillis) => Effect.suspend(() => (place.locks++, memory.tryLock(key, owner, leaseMillis)))
  }
  return { place, backing }
})

export const servers = SmartServers.layerFromClient.pipe(
  Layer.provideMerge(SmartClient.layer(config)),
  Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
  Layer.provide(ClientAuthentication.layerPublic),
  Layer.provideMerge(SandboxEhr.layerHttpClient())
)

export const scene = (options: Sessions.Options = {}, storeOptions?: SessionStore.Options) =>
  Effect.gen(function*() {
    const { backing, place } = yield* makePlace
    const store = yield* SessionStore.make(backing, storeOptions)
    const ehr = yield* SandboxEhr.SandboxEhr
    const sessions = yield* Effect.provideService(Sessions.make(options), SessionStore.SessionStore, store)
    const login = Effect.flatMap(sessions.startLaunch(), ({ url }) =>
      Effect.flatMap(ehr.approve(url), sessions.completeLaunch))
    const id = yield* login
    return { ehr, sessions, store, backing, place, id, first: yield* sessions.accessToken(id) }
  })

export const requestsOf = (ehr: SandboxEhr.Service, grant: string) =>
  Effect.map(ehr.requests, (requests) => requests.filter(({ form }) => form?.["grant_type"] === grant))
