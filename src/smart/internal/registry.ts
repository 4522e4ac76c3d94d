/**
 * What every registry of servers has in common: its configuration, its service, and how it finds a server by a FHIR
 * base URL.
 */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type * as ClientAuthentication from "../../client/ClientAuthentication.js"
import { safeText } from "../../http/Redaction.js"
import type * as SmartClient from "../SmartClient.js"
import { UnknownServerError } from "../UnknownServerError.js"

/**
 * One server of a registry. Its key is its name in sessions, spans and errors.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server<out E = never, out R = never> extends Omit<SmartClient.Config, "name"> {
  /** A layer, or a service (`ClientAuthentication.make…`), which needs less memory in a registry of thousands. */
  readonly authentication:
    | Layer.Layer<ClientAuthentication.ClientAuthentication, E, R>
    | ClientAuthentication.Service
}

/**
 * Servers by key. Each authentication may have an error and requirements of its own.
 *
 * @since 0.1.0
 * @category models
 */
export type Servers = Readonly<Record<string, Server<unknown, unknown>>>

/**
 * A registry of servers, each with a client of its own.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly keys: Effect.Effect<ReadonlyArray<string>>
  readonly client: (key: string) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /**
   * The server with this FHIR base URL. URLs are compared after parsing; one slash at the end does not matter. If the
   * app is registered at it several times (for clinicians and for patients), `server` is the key to use.
   */
  readonly forLaunchIss: (
    iss: string,
    options?: { readonly server?: string | undefined }
  ) => Effect.Effect<SmartClient.Service, UnknownServerError>
  /** The client of a registry that has exactly one server. */
  readonly only: Effect.Effect<SmartClient.Service, UnknownServerError>
  /** The redirect URIs of the configured servers, without duplicates. */
  readonly redirectUris: Effect.Effect<ReadonlyArray<string>>
  /** Adds a server, or replaces the one with this key and releases its resources. */
  readonly add: <E = never, R = never>(
    key: string,
    server: Server<E, R>
  ) => Effect.Effect<void, E | ConfigurationError, Exclude<R, Scope.Scope>>
  readonly remove: (key: string) => Effect.Effect<void>
  /** Removes the server's metadata from the cache. */
  readonly invalidate: (key: string) => Effect.Effect<void, UnknownServerError>
}

/**
 * The form of a FHIR base URL that two registries compare; `undefined` if `iss` is not one.
 *
 * @internal
 */
export const baseUrlKey = (iss: string): string | undefined =>
  Either.getOrUndefined(Either.map(FhirBaseUrl.parse(iss), FhirBaseUrl.key))

const MAX_CANDIDATES = 20

/** @internal */
export const unknownServer = (
  reason: UnknownServerError["reason"],
  requested: string,
  candidates: Iterable<string>
): UnknownServerError =>
  new UnknownServerError({
    reason,
    requested: safeText(requested, [], 200),
    candidates: [...candidates].slice(0, MAX_CANDIDATES)
  })
