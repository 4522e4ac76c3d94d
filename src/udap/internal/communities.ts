/**
 * A community as it was configured: parsed once, and refused early where it cannot work.
 */
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import type { Problem } from "../TrustError.js"
import * as certificates from "./certificate.js"
import * as crls from "./crl.js"
import * as pem from "./pem.js"

/**
 * A certificate or CRL as PEM, of which one text may hold several, or as DER.
 *
 * @since 0.1.0
 * @category models
 */
export type Encoded = string | Uint8Array

/**
 * A trust community: its anchors and rules.
 *
 * @since 0.1.0
 * @category models
 */
export interface Community {
  /**
   * The certificates of the authorities that the community trusts: roots, or intermediates that are trusted as they
   * are.
   */
  readonly anchors: ReadonlyArray<Encoded>
  /** Certificates that may be needed between a server's certificate and an anchor. They are no anchors themselves. */
  readonly intermediates?: ReadonlyArray<Encoded> | undefined
  /** CRLs, used before any is fetched. One that has ended is not used. */
  readonly crls?: ReadonlyArray<Encoded> | undefined
  /**
   * - `"required"`: a chain is trusted only if a valid CRL or OCSP response says of each certificate that it is not
   *   revoked. The default.
   * - `"whenAvailable"`: a certificate whose status cannot be learned is trusted with a line in the log; a revoked
   *   one is not.
   * - `"off"`: for development; revocation is not checked.
   */
  readonly revocation?: "required" | "whenAvailable" | "off" | undefined
  /** Whether CRLs and OCSP responses are fetched from where certificates say. Default true. */
  readonly fetchRevocation?: boolean | undefined
}

/** @internal */
export interface LoadedCommunity {
  readonly anchors: ReadonlyArray<certificates.Certificate>
  readonly intermediates: ReadonlyArray<certificates.Certificate>
  readonly crls: ReadonlyArray<crls.Crl>
  readonly revocation: "required" | "whenAvailable" | "off"
  readonly mayFetch: boolean
}

const invalid = (uri: string, field: string, detail: string): ConfigurationError =>
  configurationError("Invalid", [`communities[${uri}].${field}`], detail)

const load = <A>(
  uri: string,
  field: string,
  label: string,
  inputs: ReadonlyArray<Encoded>,
  parse: (der: Uint8Array) => Either.Either<A, { readonly detail: string }>
): Effect.Effect<ReadonlyArray<A>, ConfigurationError> =>
  Effect.forEach(inputs, (input, i) => {
    const ders = pem.toDer(input, label)
    return ders === undefined
      ? invalid(uri, field, `entry ${i + 1} is neither DER nor PEM with a ${label}`)
      : Effect.forEach(ders, (der) =>
        Effect.mapError(parse(der), ({ detail }) => invalid(uri, field, `entry ${i + 1}: ${detail}`)))
  }).pipe(Effect.map((lists) =>
    lists.flat()
  ))

/**
 * RFC 3986: a scheme and something behind it (UDAP-61).
 *
 * @internal
 */
export const isUri = (text: string): boolean => /^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$/.test(text)

/** @internal */
export const loadCommunity = (
  uri: string,
  community: Community
): Effect.Effect<LoadedCommunity, ConfigurationError> =>
  Effect.gen(function*() {
    if (!isUri(uri)) {
      return yield* configurationError(
        "Invalid",
        ["communities"],
        "a trust community is named by its URI; the community publishes it"
      )
    }
    const anchors = yield* load(uri, "anchors", "CERTIFICATE", community.anchors, certificates.parse)
    if (anchors.length === 0) return yield* invalid(uri, "anchors", "without an anchor no chain is trusted")
    const end = anchors.find((anchor) => !certificates.basicConstraints(anchor).ca)
    if (end !== undefined) {
      const detail = `${end.subject.display} is not an authority: give the certificate of its issuer`
      return yield* invalid(uri, "anchors", detail)
    }
    return {
      anchors,
      intermediates: yield* load(
        uri,
        "intermediates",
        "CERTIFICATE",
        community.intermediates ?? [],
        certificates.parse
      ),
      crls: yield* load(uri, "crls", "X509 CRL", community.crls ?? [], crls.parse),
      revocation: community.revocation ?? "required",
      mayFetch: community.fetchRevocation ?? true
    }
  })

/** @internal */
export const noSuchCommunity: Problem = {
  reason: "CommunityUnknown",
  rule: "UDAP-60",
  detail: "TrustPolicy has no such community"
}

/**
 * The problem of a request that does not identify a community.
 *
 * @internal
 */
export const communityProblem = (
  communities: ReadonlyArray<string>,
  community: string | undefined
): Problem | undefined => {
  if (community === undefined) {
    return communities.length === 1
      ? undefined
      : { reason: "CommunityUnknown", rule: "UDAP-60", detail: "several communities are configured, and none is named" }
  }
  return communities.includes(community) ? undefined : noSuchCommunity
}
