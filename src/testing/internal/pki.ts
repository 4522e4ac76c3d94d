/**
 * A public key infrastructure for tests, made at run time with `pkijs`: certificates, CRLs and OCSP responses,
 * well-formed or wrong in one way. It shares no code with `effect-safire/udap`, and no key is ever written to a file.
 */
import * as asn1 from "asn1js"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as jose from "jose"
import * as pki from "pkijs"

/** @internal */
export const DAY = 86_400_000

/** @internal */
export const Oid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  deltaCrl: "2.5.29.27",
  issuingDistributionPoint: "2.5.29.28",
  nameConstraints: "2.5.29.30",
  crlDistributionPoints: "2.5.29.31",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyIdentifier: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  authorityInfoAccess: "1.3.6.1.5.5.7.1.1",
  ocspNoCheck: "1.3.6.1.5.5.7.48.1.5"
} as const

/** @internal */
export type KeyKind = "rsa" | "rsa1024" | "p256" | "p384"

const RSA = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256"
})

const { subtle } = globalThis.crypto

/** The pair of WebCrypto; its global type needs the DOM's declarations. */
export interface KeyPair {
  readonly privateKey: jose.CryptoKey
  readonly publicKey: jose.CryptoKey
}

/** @internal */
export const newKeys = (kind: KeyKind = "rsa"): Effect.Effect<KeyPair> =>
  Effect.promise(() =>
    kind === "rsa" || kind === "rsa1024"
      ? subtle.generateKey(RSA(kind === "rsa" ? 2048 : 1024), true, ["sign", "verify"])
      : subtle.generateKey({ name: "ECDSA", namedCurve: kind === "p256" ? "P-256" : "P-384" }, true, ["sign", "verify"])
  )

/** The private key of an RSA pair, for another digest or scheme. */
const rehashed = (keys: KeyPair, hash: string, name = "RSASSA-PKCS1-v1_5"): Effect.Effect<jose.CryptoKey> =>
  Effect.promise(() =>
    subtle.exportKey("pkcs8", keys.privateKey).then((der) =>
      subtle.importKey("pkcs8", der, { name, hash }, true, ["sign"])
    )
  )

const encoded = (object: { readonly toSchema: () => { readonly toBER: () => ArrayBuffer } }): ArrayBuffer =>
  object.toSchema().toBER()

/** @internal */
export const extension = (extnID: string, critical: boolean, extnValue: ArrayBuffer): pki.Extension =>
  new pki.Extension({ extnID, critical, extnValue })

/** @internal */
export const uri = (value: string): pki.GeneralName => new pki.GeneralName({ type: 6, value })
/** @internal */
export const dns = (value: string): pki.GeneralName => new pki.GeneralName({ type: 2, value })
/** @internal */
export const email = (value: string): pki.GeneralName => new pki.GeneralName({ type: 1, value })

/** @internal */
export const subjectAltName = (...altNames: ReadonlyArray<pki.GeneralName>): pki.Extension =>
  extension(Oid.subjectAltName, false, encoded(new pki.AltName({ altNames: [...altNames] })))

/** @internal */
export const nameConstraints = (
  permitted: ReadonlyArray<pki.GeneralName>,
  excluded: ReadonlyArray<pki.GeneralName> = []
): pki.Extension => {
  const subtrees = (names: ReadonlyArray<pki.GeneralName>) => names.map((base) => new pki.GeneralSubtree({ base }))
  return extension(
    Oid.nameConstraints,
    true,
    encoded(
      new pki.NameConstraints({
        ...(permitted.length > 0 && { permittedSubtrees: subtrees(permitted) }),
        ...(excluded.length > 0 && { excludedSubtrees: subtrees(excluded) })
      })
    )
  )
}

/** @internal */
export const distributionPoints = (...urls: ReadonlyArray<string>): pki.Extension =>
  extension(
    Oid.crlDistributionPoints,
    false,
    encoded(
      new pki.CRLDistributionPoints({
        distributionPoints: urls.map((url) => new pki.DistributionPoint({ distributionPoint: [uri(url)] }))
      })
    )
  )

/** @internal */
export const ocspResponder = (url: string): pki.Extension =>
  extension(
    Oid.authorityInfoAccess,
    false,
    encoded(
      new pki.InfoAccess({
        accessDescriptions: [
          new pki.AccessDescription({ accessMethod: "1.3.6.1.5.5.7.48.1", accessLocation: uri(url) })
        ]
      })
    )
  )

/** @internal */
export const policies = (...oids: ReadonlyArray<string>): pki.Extension =>
  extension(
    Oid.certificatePolicies,
    false,
    encoded(
      new pki.CertificatePolicies({
        certificatePolicies: oids.map((policyIdentifier) => new pki.PolicyInformation({ policyIdentifier }))
      })
    )
  )

/** @internal */
export const extendedKeyUsage = (...keyPurposes: ReadonlyArray<string>): pki.Extension =>
  extension(Oid.extendedKeyUsage, false, encoded(new pki.ExtKeyUsage({ keyPurposes: [...keyPurposes] })))

/** @internal */
export type Text = "Utf8String" | "PrintableString"

/** @internal */
export const named = (commonName: string, text: Text = "Utf8String"): pki.RelativeDistinguishedNames =>
  new pki.RelativeDistinguishedNames({
    typesAndValues: [["2.5.4.10", "Test community"], ["2.5.4.3", commonName]].map(([type = "", value = ""]) =>
      new pki.AttributeTypeAndValue({
        type,
        value: text === "Utf8String" ? new asn1.Utf8String({ value }) : new asn1.PrintableString({ value })
      })
    )
  })

const bits = (byte: number): ArrayBuffer => {
  const unusedBits = byte === 0 ? 0 : 31 - Math.clz32(byte & -byte)
  return new asn1.BitString({ valueHex: new Uint8Array([byte]).buffer, unusedBits }).toBER()
}

/** DER has no fractions of a second. */
const date = (millis: number): Date => DateTime.toDateUtc(DateTime.unsafeMake(Math.floor(millis / 1000) * 1000))
const time = (millis: number): pki.Time => new pki.Time({ type: 0, value: date(millis) })

const keyIdentifier = (keys: KeyPair): Effect.Effect<ArrayBuffer> =>
  Effect.promise(() => {
    const info = new pki.PublicKeyInfo()
    return info.importKey(keys.publicKey).then(() =>
      subtle.digest("SHA-1", new Uint8Array(info.subjectPublicKey.valueBlock.valueHexView))
    )
  })

/** Who signs: an authority, or anything with a name and keys. */
export interface Signer {
  readonly name: pki.RelativeDistinguishedNames
  readonly keys: KeyPair
}

/** @internal */
export interface Issued extends Signer {
  readonly x509: pki.Certificate
  readonly serial: asn1.Integer
  readonly der: Uint8Array
}

/** @internal */
export interface CertificateOptions {
  readonly commonName: string
  /** Without an issuer the certificate is self-signed. */
  readonly by?: Signer | undefined
  readonly keys?: KeyPair | undefined
  readonly name?: pki.RelativeDistinguishedNames | undefined
  /** The issuer's name where it is to differ from the signer's. */
  readonly issuerName?: pki.RelativeDistinguishedNames | undefined
  readonly serial?: number | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly authority?: boolean | undefined
  readonly basicConstraints?: boolean | undefined
  readonly pathLength?: number | undefined
  /** The first byte of the key usage; `null` for none. */
  readonly keyUsage?: number | null | undefined
  readonly names?: ReadonlyArray<pki.GeneralName> | undefined
  /** Whether it has a subject and an authority key identifier. Default true. */
  readonly keyIdentifiers?: boolean | undefined
  readonly extensions?: ReadonlyArray<pki.Extension> | undefined
  /** `SHA-1`, or another scheme, or one algorithm inside and another outside. */
  readonly signature?: "SHA-1" | "PSS" | "Mixed" | undefined
}

let serials = 0x1000

const sign = (
  x509: pki.Certificate,
  { keys }: Signer,
  signature: CertificateOptions["signature"]
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const crypto = pki.getCrypto(true)
    if (signature === undefined) yield* Effect.promise(() => x509.sign(keys.privateKey, "SHA-256"))
    else if (signature === "Mixed") {
      const other = yield* rehashed(keys, "SHA-384")
      const inner = yield* Effect.promise(() => crypto.getSignatureParameters(keys.privateKey, "SHA-256"))
      const outer = yield* Effect.promise(() => crypto.getSignatureParameters(other, "SHA-384"))
      x509.signature = inner.signatureAlgorithm
      x509.signatureAlgorithm = outer.signatureAlgorithm
      x509.tbsView = new Uint8Array(x509.encodeTBS().toBER())
      const value = yield* Effect.promise(() => subtle.sign("RSASSA-PKCS1-v1_5", other, new Uint8Array(x509.tbsView)))
      x509.signatureValue = new asn1.BitString({ valueHex: value })
    } else {
      const [hash, name] = signature === "SHA-1" ? ["SHA-1", undefined] as const : ["SHA-256", "RSA-PSS"] as const
      const other = yield* rehashed(keys, hash, name)
      yield* Effect.promise(() => x509.sign(other, hash))
    }
  })

/** @internal */
export const issue = (options: CertificateOptions): Effect.Effect<Issued> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const keys = options.keys ?? (yield* newKeys())
    const name = options.name ?? named(options.commonName)
    const by = options.by ?? { name, keys }
    const authority = options.authority ?? false
    const x509 = new pki.Certificate()
    x509.version = 2
    x509.serialNumber = new asn1.Integer({ value: options.serial ?? serials++ })
    x509.subject = name
    x509.issuer = options.issuerName ?? by.name
    x509.notBefore = time(options.from ?? now - 30 * DAY)
    x509.notAfter = time(options.to ?? now + 300 * DAY)
    yield* Effect.promise(() => x509.subjectPublicKeyInfo.importKey(keys.publicKey))
    const usage = options.keyUsage === undefined ? authority ? 0x06 : 0x80 : options.keyUsage
    const [own, issuers] = yield* Effect.all([keyIdentifier(keys), keyIdentifier(by.keys)])
    x509.extensions = [
      ...(options.basicConstraints === false ? [] : [extension(
        Oid.basicConstraints,
        true,
        encoded(
          new pki.BasicConstraints({
            cA: authority,
            ...(options.pathLength !== undefined && { pathLenConstraint: options.pathLength })
          })
        )
      )]),
      ...(usage === null ? [] : [extension(Oid.keyUsage, true, bits(usage))]),
      ...(options.keyIdentifiers === false ? [] : [
        extension(Oid.subjectKeyIdentifier, false, new asn1.OctetString({ valueHex: own }).toBER()),
        extension(
          Oid.authorityKeyIdentifier,
          false,
          encoded(new pki.AuthorityKeyIdentifier({ keyIdentifier: new asn1.OctetString({ valueHex: issuers }) }))
        )
      ]),
      ...(options.names === undefined || options.names.length === 0 ? [] : [subjectAltName(...options.names)]),
      ...(options.extensions ?? [])
    ]
    yield* sign(x509, by, options.signature)
    return { name, keys, x509, serial: x509.serialNumber, der: new Uint8Array(x509.toSchema(true).toBER()) }
  })

/** @internal */
export interface CrlOptions {
  readonly from?: number | undefined
  /** `null` for a list that does not say when it ends. */
  readonly to?: number | null | undefined
  readonly keys?: KeyPair | undefined
  readonly extensions?: ReadonlyArray<pki.Extension> | undefined
  readonly entryExtensions?: ReadonlyArray<pki.Extension> | undefined
}

/** @internal */
export const crl = (
  by: Signer,
  revoked: ReadonlyArray<asn1.Integer> = [],
  options: CrlOptions = {}
): Effect.Effect<Uint8Array> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const keys = options.keys ?? by.keys
    const list = new pki.CertificateRevocationList()
    list.version = 1
    list.issuer = by.name
    list.thisUpdate = time(options.from ?? now - DAY)
    if (options.to !== null) list.nextUpdate = time(options.to ?? now + 7 * DAY)
    if (revoked.length > 0) {
      list.revokedCertificates = revoked.map((userCertificate) =>
        new pki.RevokedCertificate({
          userCertificate,
          revocationDate: time(now - 2 * DAY),
          ...(options.entryExtensions !== undefined &&
            { crlEntryExtensions: new pki.Extensions({ extensions: [...options.entryExtensions] }) })
        })
      )
    }
    const id = new asn1.OctetString({ valueHex: yield* keyIdentifier(keys) })
    list.crlExtensions = new pki.Extensions({
      extensions: [
        extension(
          Oid.authorityKeyIdentifier,
          false,
          encoded(new pki.AuthorityKeyIdentifier({ keyIdentifier: id }))
        ),
        extension(Oid.crlNumber, false, new asn1.Integer({ value: 1 }).toBER()),
        ...(options.extensions ?? [])
      ]
    })
    yield* Effect.promise(() => list.sign(keys.privateKey, "SHA-256"))
    return new Uint8Array(list.toSchema(true).toBER())
  })
