/**
 * The defence against mix-up attacks (RFC 9207; RFC 9700, section 4.4): which server of a registry the `iss` of a callback identifies. A hostile server can
 * send a person on to an honest one; then the honest server's code arrives for the hostile server's launch and must not be sent to its token endpoint.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { ConformanceWarning } from "../../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import { AuthorizationError } from "../../launch/AuthorizationError.js"
import type { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import { locationOf } from "../../launch/RedirectUri.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { Config } from "./clientConfig.js"

/**
 * A server of a registry, as the other servers' clients see it.
 *
 * @internal
 */
export interface Peer {
  readonly name: string
  readonly config: Omit<Config, "name">
  readonly configuration: Effect.Effect<SmartConfiguration, DiscoveryError>
}

/** @internal */
export interface Peers {
  /** The servers of the registry, and those that were removed since then: their codes may still arrive. */
  readonly since: (millis: number) => ReadonlyArray<Peer>
  /** Launches lead to servers that are not in the registry, too, and those have its redirect URIs. */
  readonly isOpen: boolean
}

/**
 * A client that belongs to no registry.
 *
 * @internal
 */
export const alone: Peers = { since: () => [], isOpen: false }

/** @internal */
export interface Directory extends Peers {
  readonly add: (peer: Peer) => void
  readonly remove: (peer: Peer, nowMillis: number) => void
}

const MAX_REMOVED = 1_000

/** @internal */
export const makeDirectory = (isOpen: boolean): Directory => {
  const present = new Set<Peer>()
  /** When each was removed, the earliest first. */
  const removed = new Map<Peer, number>()
  return {
    isOpen,
    since: (millis) => [...present, ...Array.from(removed).flatMap(([peer, at]) => at >= millis ? [peer] : [])],
    add: (peer) => void present.add(peer),
    remove: (peer, nowMillis) => {
      if (!present.delete(peer)) return
      removed.set(peer, nowMillis)
      const earliest = removed.keys().next()
      if (removed.size > MAX_REMOVED && earliest.done !== true) removed.delete(earliest.value)
    }
  }
}

/**
 * The issuer that the operator gave, if any.
 *
 * @internal
 */
export const configuredIssuer = ({ issuer, metadata }: Pick<Config, "issuer" | "metadata">): string | undefined =>
  issuer ?? metadata?.issuer

/**
 * How well a server's claim to an issuer is founded: the operator configured it, it is at the origin of the server's own FHIR base URL, or the metadata
 * says so, which any server's can.
 */
type Rank = 3 | 2 | 1 | 0

interface Addresses {
  readonly fhirBase: string
  readonly origin: string | undefined
  readonly redirectUri: string | undefined
}

/** Parsed once: a registry may have thousands of servers, and each callback compares them. */
const parsed = new WeakMap<Peer["config"], Addresses>()

const addressesOf = (config: Peer["config"]): Addresses => {
  const known = parsed.get(config)
  if (known !== undefined) return known
  const redirectUri = config.redirectUri === undefined ? undefined : Url.parse(config.redirectUri)
  const addresses = {
    fhirBase: Either.match(FhirBaseUrl.parse(config.fhirBaseUrl), {
      onLeft: () => config.fhirBaseUrl,
      onRight: FhirBaseUrl.key
    }),
    origin: Url.parse(config.fhirBaseUrl)?.origin,
    redirectUri: redirectUri === undefined ? undefined : locationOf(redirectUri)
  }
  parsed.set(config, addresses)
  return addresses
}

const rankOf = (config: Peer["config"], iss: string): Exclude<Rank, 0> =>
  configuredIssuer(config) !== undefined ? 3 : addressesOf(config).origin === Url.parse(iss)?.origin ? 2 : 1

/** What is known of a peer once its metadata was read: whether it claims the issuer for other endpoints than those of the launch. */
type Reading = "Claims" | "ClaimsNot" | "Unknown"

const readingOf = (
  { config }: Peer,
  found: SmartConfiguration,
  iss: string,
  { authorizationEndpoint, tokenEndpoint }: PendingAuthorization
): Reading => {
  const issuer = configuredIssuer(config) ?? found.issuer
  if (issuer === undefined) return found.authorizationResponseIssParameterSupported === true ? "Unknown" : "ClaimsNot"
  const isSameServer = found.authorizationEndpoint === authorizationEndpoint && found.tokenEndpoint === tokenEndpoint
  return issuer === iss && !isSameServer ? "Claims" : "ClaimsNot"
}

/** How long a callback waits for the metadata of other servers. What is not there by then is not known. */
const PATIENCE = "5 seconds"
const CONCURRENCY = 32

const read = (
  peers: ReadonlyArray<Peer>,
  iss: string,
  pending: PendingAuthorization
): Effect.Effect<(peer: Peer) => Reading> =>
  Effect.suspend(() => {
    const readings = new Map<Peer, Reading>()
    return Effect.forEach(
      peers,
      (peer) =>
        Effect.match(peer.configuration, {
          onSuccess: (found) => void readings.set(peer, readingOf(peer, found, iss, pending)),
          onFailure: () => undefined
        }),
      { concurrency: CONCURRENCY, discard: true }
    ).pipe(
      Effect.timeoutOption(PATIENCE),
      Effect.as((peer) => readings.get(peer) ?? "Unknown")
    )
  })

const namesOf = (peers: ReadonlyArray<Peer>): string => {
  const names = peers.slice(0, 3).map(({ name }) => name)
  return names.join(", ") + (peers.length > names.length ? ` and ${peers.length - names.length} more` : "")
}

/** @internal */
export interface Launch {
  readonly name: string
  readonly config: Config
  readonly pending: PendingAuthorization
  readonly peers: Peers
  readonly warn: (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) => Effect.Effect<void>
}

/**
 * Refuses an `iss` that belongs to another server of the registry. One that identifies no server is accepted, with a warning, only where the launch's
 * redirect URI belongs to its server alone. `iss` is the issuer that the launch expects, if it expects one.
 *
 * @internal
 */
export const check = (
  { config, name, peers, pending, warn }: Launch,
  iss: string
): Effect.Effect<void, AuthorizationError> =>
  Effect.gen(function*() {
    // Registrations of the app at one FHIR server are no danger to each other.
    const others = peers.since(DateTime.toEpochMillis(pending.createdAt)).filter(
      (peer) => addressesOf(peer.config).fhirBase !== addressesOf(config).fhirBase
    )
    const redirectUri = Url.parse(pending.redirectUri)
    const here = redirectUri === undefined ? pending.redirectUri : locationOf(redirectUri)
    const sharing = others.filter((peer) => addressesOf(peer.config).redirectUri === here)
    const isShared = peers.isOpen || sharing.length > 0

    const fail = (reason: AuthorizationError["reason"], detail: string) =>
      new AuthorizationError({ reason, server: name, detail })
    const notComparable = (detail: string): Effect.Effect<void, AuthorizationError> =>
      isShared
        ? fail(
          "IssuerNotComparable",
          `${detail}; its redirect URI ${Url.forDisplay(pending.redirectUri)} is ${
            sharing.length > 0
              ? `that of ${namesOf(sharing)}, too`
              : "that of any server of an open registry, so that only a configured issuer helps"
          }`
        )
        : warn({ code: "IssuerUnknown", detail })

    const claimed = configuredIssuer(config) ?? pending.issuer
    const rank: Rank = claimed === undefined ? 0 : rankOf(config, iss)
    if (rank === 0 && isShared) {
      return yield* notComparable(
        "the callback names an issuer, and neither configuration nor metadata says which is right"
      )
    }
    const shown = safeText(iss, [], 120)
    if (rank === 1 && peers.isOpen) {
      return yield* notComparable(`only the server's own metadata says that its issuer is "${shown}"`)
    }

    const rivals = others.filter((peer) => {
      const issuer = configuredIssuer(peer.config)
      return (issuer === undefined || issuer === iss) && rankOf(peer.config, iss) >= rank
    })
    const reading = yield* read(rivals, iss, pending)
    const claimants = rivals.filter((peer) => reading(peer) === "Claims")
    const claims = `its issuer "${shown}" is claimed by ${namesOf(claimants)}, too, for other endpoints`
    if (rank > 0 && claimants.length > 0) yield* warn({ code: "IssuerShared", detail: claims })
    const owners = claimants.filter((peer) => rankOf(peer.config, iss) > rank)
    if (owners.length > 0) {
      return yield* fail("IssuerMismatch", `the callback's iss is the issuer of ${namesOf(owners)}`)
    }
    if (claimants.length > 0) return yield* notComparable(claims)
    if (rank === 0) {
      return yield* notComparable(
        "the callback names an issuer, and neither configuration nor metadata says which is right"
      )
    }
    const unknown = rivals.filter((peer) => sharing.includes(peer) && reading(peer) === "Unknown")
    if (rank === 1 && unknown.length > 0) {
      return yield* notComparable(
        `its issuer "${shown}" may be that of ${namesOf(unknown)}, whose metadata does not say`
      )
    }
  })
