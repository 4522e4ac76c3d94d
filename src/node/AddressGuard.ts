/**
 * The addresses that may be connected to, checked when a connection is made: public addresses, in any notation and any
 * transition mechanism, and those of a list (special-purpose addresses: RFC 6890; NAT64: RFC 6052).
 *
 * @since 0.1.0
 */
import type { LookupAddress } from "node:dns"
import * as Dns from "node:dns"
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as IpAddr from "ipaddr.js"
import type { buildConnector } from "undici"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as Url from "../base/Url.js"
import type { Service } from "../http/AddressGuard.js"
import * as OptionalPeer from "./internal/optionalPeer.js"
import { TransportError } from "./TransportError.js"

export {
  /**
   * @since 0.1.0
   * @category tags
   */
  AddressGuard,
  /**
   * @since 0.1.0
   * @category getters
   */
  guardOf,
  /**
   * @since 0.1.0
   * @category combinators
   */
  mark
} from "../http/AddressGuard.js"

/**
 * The addresses that the guard accepts in addition to public ones.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Networks that may be connected to although they are not public, such as `10.20.0.0/16` or `fd12:3456::/32`. */
  readonly allow?: ReadonlyArray<string> | undefined
  /** Networks that may not be connected to although they are public, such as your own. They override `allow`. */
  readonly refuse?: ReadonlyArray<string> | undefined
  /** Resolves names. Its results are checked too. Default `dns.lookup`. */
  readonly lookup?: Net.LookupFunction | undefined
}

type Address = IpAddr.IPv4 | IpAddr.IPv6
type Network = readonly [Address, number]

/** A public address that is the internal metadata service of one cloud (Azure). */
const PLATFORM: ReadonlyArray<string> = ["168.63.129.16/32"]

/** The only part of IPv6 with public addresses: the rest is special-purpose or reserved. */
const GLOBAL_UNICAST = "2000::/3"

/** NAT64 connects to the IPv4 address in the last four bytes. */
const NAT64 = "64:ff9b::/96"

/**
 * Whether an address may be connected to.
 *
 * @internal
 */
export const rule = (
  ip: typeof IpAddr,
  lists: { readonly allow: ReadonlyArray<Network>; readonly refuse: ReadonlyArray<Network> }
): (address: string) => boolean => {
  const within = (address: Address, [network, bits]: Network): boolean =>
    address.kind() === network.kind() && address.match(network, bits)
  const refused = [...lists.refuse, ...PLATFORM.map((cidr) => ip.parseCIDR(cidr))]
  const global = ip.parseCIDR(GLOBAL_UNICAST)
  const nat64 = ip.parseCIDR(NAT64)
  const isAllowed = (address: Address): boolean => {
    if (lists.refuse.some((network) => within(address, network))) return false
    if (lists.allow.some((network) => within(address, network))) return true
    if (refused.some((network) => within(address, network))) return false
    if (within(address, nat64)) return isAllowed(new ip.IPv4(address.toByteArray().slice(12)))
    return address.range() === "unicast" && (address.kind() === "ipv4" || within(address, global))
  }
  return (address) => {
    if (!ip.isValid(address)) return false
    // An IPv4-mapped address counts as its IPv4 address.
    return isAllowed(ip.process(address))
  }
}

/**
 * The guard of one transport: the service, and what applies it to connections.
 *
 * @internal
 */
export interface Guard extends Service {
  /** Resolves a name to those of its addresses that are allowed. */
  readonly lookup: Net.LookupFunction
  /** `guarded` must resolve with `lookup`. */
  readonly connector: (
    guarded: buildConnector.connector,
    trusted: buildConnector.connector
  ) => buildConnector.connector
}

const refusal = (): TransportError =>
  new TransportError({ reason: "AddressRefused", code: "ERR_ADDRESS_REFUSED", processed: "no" })

const allowedLookup =
  (allows: Service["allows"], lookup: Net.LookupFunction): Net.LookupFunction => (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, "", 0)
      const all: ReadonlyArray<LookupAddress> = typeof found === "string"
        ? [{ address: found, family: family ?? Net.isIP(found) }]
        : found
      const allowed = all.filter(({ address }) => allows(address))
      const [first] = allowed
      if (first === undefined) return callback(refusal(), "", 0)
      // The addresses that were checked are the ones connected to: the name is not resolved again.
      if (options.all === true) return callback(null, allowed)
      callback(null, first.address, first.family)
    })
  }

const parseNetworks = (
  ip: typeof IpAddr,
  field: "allow" | "refuse",
  networks: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Network>, ConfigurationError> => {
  const wrong = networks.filter((network) => !ip.isValidCIDR(network))
  return wrong.length === 0
    ? Effect.succeed(networks.map((network) => ip.parseCIDR(network)))
    : configurationError(
      "Invalid",
      [field],
      `${wrong.length} of its entries are not networks; write them as an address and a length, such as 10.20.0.0/16`
    )
}

/**
 * @internal
 */
export const make = (options: Options): Effect.Effect<Guard, ConfigurationError> =>
  Effect.gen(function*() {
    // Loaded here: only a guard needs this optional package.
    const { default: ip } = yield* OptionalPeer.load(
      { install: "ipaddr.js", neededBy: "The address guard" },
      () => import("ipaddr.js")
    )
    const allows = rule(ip, {
      allow: yield* parseNetworks(ip, "allow", options.allow ?? []),
      refuse: yield* parseNetworks(ip, "refuse", options.refuse ?? [])
    })
    const trusted = new Map<string, number>()
    const count = (origin: string, change: 1 | -1) =>
      Effect.sync(() => {
        const next = (trusted.get(origin) ?? 0) + change
        if (next === 0) trusted.delete(origin)
        else trusted.set(origin, next)
      })
    return {
      allows,
      trust: (url) => {
        const origin = Url.parse(url)?.origin
        return origin === undefined
          ? Effect.void
          : Effect.acquireRelease(count(origin, 1), () => count(origin, -1))
      },
      lookup: allowedLookup(allows, options.lookup ?? Dns.lookup),
      connector: (guarded, open) => (target, callback) => {
        if (trusted.has(Url.parse(`${target.protocol}//${target.host ?? ""}`)?.origin ?? "")) open(target, callback)
        // A literal address is never looked up.
        else if (Net.isIP(target.hostname) !== 0 && !allows(target.hostname)) {
          queueMicrotask(() => callback(refusal(), null))
        } else guarded(target, callback)
      }
    }
  })
