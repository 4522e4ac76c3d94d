/**
 * The certification authorities of the sandbox's trust communities: a root and an intermediate for each, and what they
 * issue. All are generated at first use.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type * as jose from "jose"
import * as pkijs from "pkijs"
import { SandboxError } from "./oAuthError.js"
import * as Pki from "./pki.js"

/**
 * A certificate that is valid, or wrong in one way.
 *
 * - `WrongSan`: the URI of its subject alternative name is another one
 * - `DnsOnlySan`: the subject alternative name has the host as a DNS name, and no URI
 * - `KeyUsage`: the key may not sign
 * - `NameConstraint`: the intermediate may issue for other hosts only
 * - `PathLength`: the intermediate may issue no authority, and issued one
 * - `Sha1`: signed with SHA-1
 * - `OtherCommunity`: issued by the authority of another community
 * - `UnknownRoot`: issued by an authority of no community
 *
 * @since 0.1.0
 * @category models
 */
export type CertificateKind =
  | "Valid"
  | "Expired"
  | "NotYetValid"
  | "Revoked"
  | "WrongSan"
  | "DnsOnlySan"
  | "KeyUsage"
  | "NameConstraint"
  | "PathLength"
  | "Sha1"
  | "OtherCommunity"
  | "UnknownRoot"

/**
 * How the sandbox's certificates say where their revocation status is.
 *
 * @since 0.1.0
 * @category models
 */
export type RevocationSource = "crl" | "ocsp" | "both"

/**
 * A certificate to issue.
 *
 * @since 0.1.0
 * @category models
 */
export interface CertificateRequest {
  /** The URI of the subject alternative name: of a client, its client URI. */
  readonly uri: string
  /** Default: the first community. */
  readonly community?: string | undefined
  /** Default: `rsa` (2048 bits). */
  readonly keys?: "rsa" | "p256" | "p384" | undefined
  /** Default: `Valid`. */
  readonly kind?: CertificateKind | undefined
  /** Milliseconds until the certificate ends (default: 300 days). */
  readonly lifetime?: number | undefined
}

/**
 * An issued certificate with its private key.
 *
 * @since 0.1.0
 * @category models
 */
export interface Credentials {
  readonly uri: string
  readonly community: string
  readonly kind: CertificateKind
  /** DER. */
  readonly certificate: Uint8Array
  /** DER: the certificate, then its intermediates. */
  readonly chain: ReadonlyArray<Uint8Array>
  /** The chain as PEM. */
  readonly chainPem: string
  readonly privateKey: jose.CryptoKey
  /** PKCS #8. */
  readonly privateKeyPem: Redacted.Redacted<string>
}

/** A certification authority, with an id for the URLs of its CRL and its OCSP responder. */
export interface Authority extends Pki.Issued {
  readonly id: string
  readonly community: string
  readonly revoked: Array<Pki.Issued>
  readonly issued: Array<Pki.Issued>
}

/** An authority that issues end-entity certificates, with the intermediates of their chains. */
interface Issuer {
  readonly authority: Authority
  readonly intermediates: ReadonlyArray<Authority>
}

/** PEM. */
export const pem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Encoding.encodeBase64(der).replace(/.{64}(?=.)/g, "$&\n")}\n-----END ${label}-----\n`

/** An effect that runs once for each key, at its first use. */
const memoized = <A, E>(make: (key: string) => Effect.Effect<A, E>) => {
  const cached = new Map<string, Effect.Effect<A, E>>()
  return (key: string): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      const known = cached.get(key)
      if (known !== undefined) return known
      // A caller that is interrupted must not leave an interrupted result for the others.
      const made = Effect.runSync(Effect.cached(Effect.uninterruptible(make(key))))
      cached.set(key, made)
      return made
    })
}

const sanOf = ({ kind, uri }: { readonly kind: CertificateKind; readonly uri: string }) =>
  kind === "WrongSan"
    ? [Pki.uri("https://other.sandbox.test/client")]
    : kind === "DnsOnlySan"
    ? [Pki.dns(URL.canParse(uri) ? new URL(uri).hostname : "dns.sandbox.test")]
    : [Pki.uri(uri)]

/** The PKI of one sandbox. */
export type UdapPki = ReturnType<typeof make>

/** The authorities of some communities; `origin` is that of their CRLs and OCSP responders. */
export const make = (origin: string, communities: ReadonlyArray<string>, revocation: RevocationSource) => {
  const authorities = new Map<string, Authority>()
  const [firstCommunity = ""] = communities

  /** Where the status of the certificates of an authority is. */
  const pointers = (id: string) => [
    ...(revocation === "ocsp" ? [] : [Pki.distributionPoints(`${origin}/pki/${id}.crl`)]),
    ...(revocation === "crl" ? [] : [Pki.ocspResponder(`${origin}/pki/${id}/ocsp`)])
  ]

  const authority = (
    community: string,
    commonName: string,
    by: Authority | undefined,
    options: Partial<Pki.CertificateOptions> = {},
    keys: Pki.KeyKind = "p256"
  ) =>
    Effect.gen(function*() {
      const issued = yield* Pki.issue({
        commonName: `${commonName} of ${community}`,
        authority: true,
        keys: yield* Pki.newKeys(keys),
        by,
        ...options,
        extensions: [...(options.extensions ?? []), ...(by === undefined ? [] : pointers(by.id))]
      })
      const made: Authority = { ...issued, id: String(authorities.size + 1), community, revoked: [], issued: [] }
      authorities.set(made.id, made)
      by?.issued.push(made)
      return made
    })

  const root = memoized((community) => authority(community, "Root", undefined))

  const intermediate = memoized((community) =>
    Effect.flatMap(root(community), (by) => authority(community, "Intermediate", by))
  )

  const unknownRoot = "https://unknown.sandbox.test/community"

  const issuerOf = (community: string, kind: CertificateKind): Effect.Effect<Issuer> =>
    Effect.gen(function*() {
      const single = (one: Authority): Issuer => ({ authority: one, intermediates: [one] })
      switch (kind) {
        case "NameConstraint":
        case "Sha1":
        case "PathLength":
          return yield* special(JSON.stringify([community, kind]))
        case "OtherCommunity":
          return single(yield* intermediate(communities.find((uri) => uri !== community) ?? unknownRoot))
        case "UnknownRoot":
          return single(yield* intermediate(unknownRoot))
        default:
          return single(yield* intermediate(community))
      }
    })

  /** The intermediates that are wrong themselves, or have a key for SHA-1. */
  const special = memoized((key) =>
    Effect.gen(function*() {
      const [community = "", kind = ""]: ReadonlyArray<string> = JSON.parse(key)
      const by = yield* root(community)
      const name = `Intermediate (${kind})`
      if (kind === "PathLength") {
        const limited = yield* authority(community, name, by, { pathLength: 0 })
        const sub = yield* authority(community, "Second intermediate", limited)
        return { authority: sub, intermediates: [sub, limited] }
      }
      const one = kind === "Sha1"
        ? yield* authority(community, name, by, {}, "rsa")
        : yield* authority(community, name, by, {
          extensions: [Pki.nameConstraints([Pki.uri(".permitted.sandbox.test")])]
        })
      return { authority: one, intermediates: [one] }
    })
  )

  const issue = (request: CertificateRequest, keys?: Pki.KeyPair): Effect.Effect<Credentials> =>
    Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const { community = firstCommunity, kind = "Valid", lifetime = 300 * Pki.DAY, uri } = request
      const { authority: by, intermediates } = yield* issuerOf(community, kind)
      const pair = keys ?? (yield* Pki.newKeys(request.keys))
      const issued = yield* Pki.issue({
        commonName: `Certificate for ${uri}`,
        by,
        keys: pair,
        names: sanOf({ kind, uri }),
        from: kind === "NotYetValid" ? now + Pki.DAY : now - 30 * Pki.DAY,
        to: kind === "Expired" ? now - Pki.DAY : now + lifetime,
        // Key encipherment alone, where signing is wanted.
        keyUsage: kind === "KeyUsage" ? 0x20 : undefined,
        signature: kind === "Sha1" ? "SHA-1" : undefined,
        extensions: pointers(by.id)
      })
      by.issued.push(issued)
      if (kind === "Revoked") by.revoked.push(issued)
      const chain = [issued.der, ...intermediates.map(({ der }) => der)]
      const pkcs8 = yield* Effect.promise(() => globalThis.crypto.subtle.exportKey("pkcs8", pair.privateKey))
      return {
        uri,
        community,
        kind,
        certificate: issued.der,
        chain,
        chainPem: chain.map((der) => pem("CERTIFICATE", der)).join(""),
        privateKey: pair.privateKey,
        privateKeyPem: Redacted.make(pem("PRIVATE KEY", new Uint8Array(pkcs8)))
      }
    })

  const serverKeys = memoized(() => Pki.newKeys())

  return {
    communities,
    firstCommunity,
    authorities,
    root,
    intermediate,
    issue,
    /** The certificate of a server: its key stays the same. */
    serverCertificate: memoized((key) =>
      Effect.gen(function*() {
        const [uri = "", community = "", kind = ""]: ReadonlyArray<string> = JSON.parse(key)
        // The key is made by `serverCertificateKey` of a typed kind.
        return yield* issue({ uri, community, kind: kind as CertificateKind }, yield* serverKeys(uri))
      })
    ),
    revoke: (certificate: Uint8Array): Effect.Effect<void, SandboxError> =>
      Effect.suspend(() => {
        const der = Encoding.encodeBase64(certificate)
        for (const by of authorities.values()) {
          const found = by.issued.find((one) => Encoding.encodeBase64(one.der) === der)
          if (found !== undefined) {
            if (!by.revoked.includes(found)) by.revoked.push(found)
            return Effect.void
          }
        }
        return new SandboxError({
          reason: "UnknownCertificate",
          description: "no authority of the sandbox issued this certificate"
        })
      }),
    /** The authority that issued a certificate, by its name and serial number. */
    issuerOf: (certificate: pkijs.Certificate): Authority | undefined =>
      Array.from(authorities.values()).find((by) =>
        by.name.isEqual(certificate.issuer) &&
        by.issued.some(({ serial }) => serial.isEqual(certificate.serialNumber))
      )
  }
}

/** The key of a server's certificate. */
export const serverCertificateKey = (uri: string, community: string, kind: CertificateKind): string =>
  JSON.stringify([uri, community, kind])

/** A certificate from DER; undefined where it is malformed. */
export const parse = (der: Uint8Array): Effect.Effect<pkijs.Certificate, "malformed"> =>
  Effect.try({ try: () => pkijs.Certificate.fromBER(new Uint8Array(der)), catch: () => "malformed" as const })
