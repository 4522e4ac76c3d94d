/**
 * The registry that follows a launch from a server nobody configured. Servers configured by hand come first, and only they are listed; the others are
 * made when they are first named, again when a session names them later, and forgotten when there are too many.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import type * as AddressGuard from "../../http/AddressGuard.js"
import type { Server, Service } from "../SmartServers.js"

export interface Parts {
  readonly configured: Service
  /** Empty at first, and nobody else's. */
  readonly discovered: Service
  readonly configure: (
    fhirBaseUrl: string
  ) => Omit<Server, "fhirBaseUrl" | "allowInsecureLocalhost" | "discovered"> | undefined
  readonly maxServers: number
  readonly guard: AddressGuard.Service
  readonly scope: Scope.Scope
}

/** Longer than any base URL there is; a thousand of them may be kept. */
const LONGEST = 2048

/** Under what a server is kept that somebody named, if it may be followed at all. */
const keyOf = (named: string): { readonly key: string; readonly fhirBaseUrl: string } | undefined => {
  const parsed = named.length > LONGEST ? undefined : Either.getOrUndefined(FhirBaseUrl.parse(named))
  const url = parsed === undefined ? undefined : Url.parse(parsed)
  return parsed === undefined || url === undefined || !Url.isSecure(url, false)
    ? undefined
    : { key: FhirBaseUrl.key(parsed), fhirBaseUrl: parsed }
}

export const make = ({ configured, configure, guard, maxServers, discovered, scope }: Parts): Service => {
  /** The least recently named first. */
  const known = new Set<string>()
  const trusts = new Map<string, Scope.CloseableScope>()

  const release = (key: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const held = trusts.get(key)
      trusts.delete(key)
      return held === undefined ? Effect.void : Scope.close(held, Exit.void)
    })

  const touch = (key: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      known.delete(key)
      known.add(key)
      const [oldest] = known
      if (known.size <= maxServers || oldest === undefined) return Effect.void
      known.delete(oldest)
      return discovered.remove(oldest)
    })

  const make = (key: string, server: Server): Effect.Effect<void> =>
    discovered.add(key, server).pipe(
      // What is wrong is the template; whoever sent the launch learns that the server is not to be used.
      Effect.catchAll((error: ConfigurationError) => Effect.logWarning(error.message))
    )

  /** One that nobody configured; `refused` is what to say if it is not to be followed. */
  const follow = (named: string, refused: ReturnType<Service["client"]>): ReturnType<Service["client"]> =>
    Effect.suspend(() => {
      const found = keyOf(named)
      if (found === undefined) return refused
      const { fhirBaseUrl, key } = found
      if (known.has(key)) return Effect.zipRight(touch(key), discovered.client(key))
      const settings = configure(fhirBaseUrl)
      if (settings === undefined) return refused
      return make(key, { ...settings, fhirBaseUrl, allowInsecureLocalhost: false, discovered: true }).pipe(
        Effect.zipRight(discovered.client(key)),
        Effect.zipLeft(touch(key)),
        Effect.catchTag("UnknownServerError", () => refused)
      )
    })

  return {
    keys: configured.keys,
    only: configured.only,
    redirectUris: configured.redirectUris,
    client: (key) =>
      Effect.catchTag(configured.client(key), "UnknownServerError", (error) => follow(key, Effect.fail(error))),
    forLaunchIss: (iss, meant) =>
      Effect.catchTag(configured.forLaunchIss(iss, meant), "UnknownServerError", (error) => {
        const refused = Effect.fail(error)
        if (error.reason !== "UnknownIssuer") return refused
        if (meant === undefined) return follow(iss, refused)
        // A name that none of the configured servers at this `iss` has is wrong; of the others, each is named by its base URL.
        return meant !== keyOf(iss)?.key ? refused : Effect.matchEffect(configured.forLaunchIss(iss), {
          onSuccess: () => refused,
          onFailure: ({ reason }) => reason === "UnknownIssuer" ? follow(iss, refused) : refused
        })
      }),
    add: (key, server) =>
      Effect.uninterruptible(Effect.gen(function*() {
        yield* configured.add(key, server)
        yield* release(key)
        const held = yield* Scope.fork(scope, scope.strategy)
        trusts.set(key, held)
        yield* Scope.extend(guard.trust(server.fhirBaseUrl), held)
      })),
    remove: (key) => Effect.all([configured.remove(key), release(key)], { discard: true }),
    invalidate: (key) =>
      Effect.catchTag(configured.invalidate(key), "UnknownServerError", () => discovered.invalidate(key))
  }
}
