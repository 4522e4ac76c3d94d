/**
 * The defence against mix-up attacks (RFC 9207; RFC 9700, section 4.4). A hostile server can redirect a person to an
 * honest one. The code of the honest server then arrives for the launch at the hostile server, whose token endpoint
 * must not receive it. So the `iss` of the callback must identify the server of the launch among the servers of the
 * registry.
 *
 * The evidence that an issuer belongs to a server:
 *
 * | evidence | the issuer is |
 * |---|---|
 * | 3 | configured |
 * | 2 | in the metadata, at the origin of the FHIR base URL |
 * | 1 | in the metadata, at another origin: any server can claim it |
 * | 0 | unknown |
 *
 * A rival is another server that may claim the issuer with at least the same evidence. The first row that applies
 * decides:
 *
 * | the launch's server | rivals | result |
 * |---|---|---|
 * | 0, shared redirect URI; or 1, open registry | any | not comparable |
 * | any other | one claims the issuer with better evidence | `IssuerMismatch` |
 * | any other | one claims it with equal evidence | not comparable |
 * | 0 | no claim | not comparable |
 * | 1 | no claim; one with the same redirect URI has unknown metadata | not comparable |
 * | 1 | no claim; the metadata of all with the same redirect URI is known | valid |
 * | 2 or 3 | no claim | valid |
 *
 * "Not comparable" is an error (`IssuerNotComparable`) if another server has the same redirect URI, or in an open
 * registry, and else a warning: the redirect URI then identifies the server (RFC 9700, section 4.4.2.2).
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import type * as ClientAuthentication from "../../client/ClientAuthentication.js"
import { safeText } from "../../http/Redaction.js"
import { locationOf } from "../../launch/AuthorizationCallback.js"
import { AuthorizationError } from "../../launch/AuthorizationError.js"
import type { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { Config } from "./client.js"
import { type CheckIssuer, configuredIssuer, UNKNOWN_ISSUER } from "./makeClient.js"

/**
 * Another server of the registry.
 *
 * @internal
 */
export interface Peer {
  readonly name: string
  readonly config: Omit<Config, "name">
  readonly configuration: Effect.Effect<SmartConfiguration, ClientAuthentication.EndpointsError>
}

/** @internal */
export interface Peers {
  /** The servers of the registry, and those that were removed after `millis`: their codes may still arrive. */
  readonly since: (millis: number) => ReadonlyArray<Peer>
  /** An open registry also has servers that are not listed here and share its redirect URIs. */
  readonly isOpen: boolean
}

/** @internal */
export interface Directory extends Peers {
  readonly add: (peer: Peer) => void
  readonly remove: (peer: Peer, nowMillis: number) => void
}

const MAX_REMOVED = 1_000

/** @internal */
export const makeDirectory = (isOpen: boolean): Directory => {
  const present = new Set<Peer>()
  /** The time of each removal, the earliest first. */
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

/** The evidence that an issuer belongs to a server: see the table above. */
type Evidence = 3 | 2 | 1 | 0

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

const evidenceOf = (config: Peer["config"], iss: string): Exclude<Evidence, 0> =>
  configuredIssuer(config) !== undefined ? 3 : addressesOf(config).origin === Url.parse(iss)?.origin ? 2 : 1

/** Whether the metadata of a server claims the issuer for other endpoints than those of the launch. */
type Claim = "Claims" | "ClaimsNot" | "Unknown"

const claimOfMetadata = (
  { config }: Peer,
  found: SmartConfiguration,
  iss: string,
  { authorizationEndpoint, tokenEndpoint }: PendingAuthorization
): Claim => {
  const issuer = configuredIssuer(config) ?? found.issuer
  if (issuer === undefined) return found.authorizationResponseIssParameterSupported === true ? "Unknown" : "ClaimsNot"
  const isSameServer = found.authorizationEndpoint === authorizationEndpoint && found.tokenEndpoint === tokenEndpoint
  return issuer === iss && !isSameServer ? "Claims" : "ClaimsNot"
}

/** A callback waits this long for the metadata of other servers; a server without metadata is `Unknown`. */
const METADATA_TIMEOUT = "5 seconds"
const CONCURRENCY = 32

const readClaims = (
  peers: ReadonlyArray<Peer>,
  iss: string,
  pending: PendingAuthorization
): Effect.Effect<(peer: Peer) => Claim> =>
  Effect.suspend(() => {
    const claims = new Map<Peer, Claim>()
    return Effect.forEach(
      peers,
      (peer) =>
        Effect.match(peer.configuration, {
          onSuccess: (found) => void claims.set(peer, claimOfMetadata(peer, found, iss, pending)),
          onFailure: () => undefined
        }),
      { concurrency: CONCURRENCY, discard: true }
    ).pipe(
      Effect.timeoutOption(METADATA_TIMEOUT),
      Effect.as((peer) => claims.get(peer) ?? "Unknown")
    )
  })

const namesOf = (peers: ReadonlyArray<Peer>): string => {
  const names = peers.slice(0, 3).map(({ name }) => name)
  return names.join(", ") + (peers.length > names.length ? ` and ${peers.length - names.length} more` : "")
}

/**
 * The check of a registry. The rules are in the comment at the top of this module.
 *
 * @internal
 */
export const check = (peers: Peers): CheckIssuer => ({ config, name, pending, warn }, iss) =>
  Effect.gen(function*() {
    // Several registrations of the app at one FHIR server cannot be mixed up.
    const others = peers.since(DateTime.toEpochMillis(pending.createdAt)).filter(
      (peer) => addressesOf(peer.config).fhirBase !== addressesOf(config).fhirBase
    )
    const redirectUri = Url.parse(pending.redirectUri)
    const location = redirectUri === undefined ? pending.redirectUri : locationOf(redirectUri)
    const sharing = others.filter((peer) => addressesOf(peer.config).redirectUri === location)
    const isShared = peers.isOpen || sharing.length > 0
    const shown = () => safeText(iss, [], 120)

    const notComparable = (detail: string): Effect.Effect<void, AuthorizationError> =>
      isShared
        ? new AuthorizationError({
          reason: "IssuerNotComparable",
          server: name,
          detail: `${detail}; its redirect URI ${Url.forDisplay(pending.redirectUri)} is also that of ${
            sharing.length > 0
              ? namesOf(sharing)
              : "any server of an open registry, so that only a configured issuer helps"
          }`
        })
        : warn({ code: "IssuerUnknown", detail })

    const evidence: Evidence = (configuredIssuer(config) ?? pending.issuer) === undefined ? 0 : evidenceOf(config, iss)
    if (evidence === 0 && isShared) return yield* notComparable(UNKNOWN_ISSUER)
    if (evidence === 1 && peers.isOpen) {
      return yield* notComparable(`only the server's own metadata claims the issuer "${shown()}"`)
    }

    const rivals = others.filter((peer) => {
      const issuer = configuredIssuer(peer.config)
      return (issuer === undefined || issuer === iss) && evidenceOf(peer.config, iss) >= evidence
    })
    const claimOf = yield* readClaims(rivals, iss, pending)
    const claimants = rivals.filter((peer) => claimOf(peer) === "Claims")
    const claims = () => `its issuer "${shown()}" is also claimed by ${namesOf(claimants)} for other endpoints`
    if (evidence > 0 && claimants.length > 0) yield* warn({ code: "IssuerShared", detail: claims() })
    const owners = claimants.filter((peer) => evidenceOf(peer.config, iss) > evidence)
    if (owners.length > 0) {
      return yield* new AuthorizationError({
        reason: "IssuerMismatch",
        server: name,
        detail: `the callback's iss is the issuer of ${namesOf(owners)}`
      })
    }
    if (claimants.length > 0) return yield* notComparable(claims())
    if (evidence === 0) return yield* notComparable(UNKNOWN_ISSUER)
    const unknown = rivals.filter((peer) => sharing.includes(peer) && claimOf(peer) === "Unknown")
    if (evidence === 1 && unknown.length > 0) {
      return yield* notComparable(
        `its issuer "${shown()}" may be that of ${namesOf(unknown)}, whose metadata is unknown`
      )
    }
  })
