/**
 * The registry that follows launches from servers that are not configured. The configured servers come first, and only
 * they are listed. A discovered server gets a client when it is first named, and again when a session names it after
 * the least recently used ones were removed.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import type * as AddressGuard from "../../http/AddressGuard.js"
import type { Server, Service } from "./registry.js"

/**
 * The configuration of the app at a server that is not configured; `undefined` refuses the server.
 *
 * @since 0.1.0
 * @category models
 */
export type Configure = (
  fhirBaseUrl: string
) => Omit<Server, "fhirBaseUrl" | "allowInsecureLocalhost" | "discovered"> | undefined

/** @internal */
export interface OpenRegistryContext {
  readonly configured: Service
  /** A second registry, empty at first and used here alone. */
  readonly discovered: Service
  readonly configure: Configure
  readonly maxServers: number
  readonly guard: AddressGuard.Service
  readonly scope: Scope.Scope
}

/** Longer than real base URLs; thousands of keys may be in memory. */
const MAX_BASE_URL_LENGTH = 2048

/** The base URL and the key of a discovered server; `undefined` if `name` is not an https URL. */
const parseBaseUrl = (name: string): { readonly key: string; readonly fhirBaseUrl: string } | undefined => {
  const fhirBaseUrl = name.length > MAX_BASE_URL_LENGTH ? undefined : Either.getOrUndefined(FhirBaseUrl.parse(name))
  const url = fhirBaseUrl === undefined ? undefined : Url.parse(fhirBaseUrl)
  return fhirBaseUrl === undefined || url === undefined || !Url.isSecure(url, false)
    ? undefined
    : { key: FhirBaseUrl.key(fhirBaseUrl), fhirBaseUrl }
}

/** @internal */
export const make = (
  { configured, configure, guard, maxServers, discovered, scope }: OpenRegistryContext
): Service => {
  /** Keys of the discovered servers, the least recently used first. */
  const keys = new Set<string>()
  /** Configured servers may have private addresses: one scope for each exception of the address guard. */
  const exceptions = new Map<string, Scope.CloseableScope>()

  const removeException = (key: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const exception = exceptions.get(key)
      exceptions.delete(key)
      return exception === undefined ? Effect.void : Scope.close(exception, Exit.void)
    })

  const markUsed = (key: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      keys.delete(key)
      keys.add(key)
      const [oldest] = keys
      if (keys.size <= maxServers || oldest === undefined) return Effect.void
      keys.delete(oldest)
      return discovered.remove(oldest)
    })

  /** The client of a discovered server, or `refused`. */
  const discover = (name: string, refused: ReturnType<Service["client"]>): ReturnType<Service["client"]> =>
    Effect.suspend(() => {
      const parsed = parseBaseUrl(name)
      if (parsed === undefined) return refused
      const { fhirBaseUrl, key } = parsed
      if (keys.has(key)) return Effect.zipRight(markUsed(key), discovered.client(key))
      const settings = configure(fhirBaseUrl)
      if (settings === undefined) return refused
      return discovered.add(key, { ...settings, fhirBaseUrl, allowInsecureLocalhost: false, discovered: true }).pipe(
        // A mistake in `configure`: the operator needs the reason, the sender of the launch does not.
        Effect.catchAll((error) => Effect.logWarning(error.message)),
        Effect.zipRight(discovered.client(key)),
        Effect.zipLeft(markUsed(key)),
        Effect.catchTag("UnknownServerError", () => refused)
      )
    })

  return {
    keys: configured.keys,
    only: configured.only,
    redirectUris: configured.redirectUris,
    client: (key) =>
      Effect.catchTag(configured.client(key), "UnknownServerError", (error) => discover(key, Effect.fail(error))),
    forLaunchIss: (iss, options) =>
      Effect.catchTag(configured.forLaunchIss(iss, options), "UnknownServerError", (error) => {
        const refused = Effect.fail(error)
        const server = options?.server
        if (error.reason !== "UnknownIssuer") return refused
        if (server === undefined) return discover(iss, refused)
        // The key of a discovered server is its base URL. It is not the key of a configured server at this `iss`.
        return server !== parseBaseUrl(iss)?.key ? refused : Effect.matchEffect(configured.forLaunchIss(iss), {
          onSuccess: () => refused,
          onFailure: ({ reason }) => reason === "UnknownIssuer" ? discover(iss, refused) : refused
        })
      }),
    add: (key, server) =>
      Effect.uninterruptible(Effect.gen(function*() {
        yield* configured.add(key, server)
        yield* removeException(key)
        const exception = yield* Scope.fork(scope, scope.strategy)
        exceptions.set(key, exception)
        yield* Scope.extend(guard.trust(server.fhirBaseUrl), exception)
      })),
    remove: (key) => Effect.all([configured.remove(key), removeException(key)], { discard: true }),
    invalidate: (key) =>
      Effect.catchTag(configured.invalidate(key), "UnknownServerError", () => discovered.invalidate(key))
  }
}
