/**
 * Certificate chains with their CRLs and OCSP responses: one that is right in every way that must be accepted, and one
 * for each rule, which violates only that rule.
 */
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import * as pki from "pkijs"
import * as Pki from "../../src/testing/internal/pki.js"
import { type OcspOptions, ocspResponse } from "../../src/testing/internal/pkiOcsp.js"

/** `openssl ocsp` compares with the time of day. */
export const NOW = Math.floor(Date.now() / 1000) * 1000
export const FHIR_BASE = "https://fhir.example.org/r4"
export const OCSP_URL = "http://ocsp.example.org/"
export const CRL_URL = "http://crl.example.org/a.crl"

export interface Artefact {
  readonly x5c: ReadonlyArray<Uint8Array>
  readonly anchors: ReadonlyArray<Uint8Array>
  readonly crls: ReadonlyArray<Uint8Array>
  /** What the responder at `OCSP_URL` answers. */
  readonly ocsp?: Uint8Array | undefined
  /** The CRL at `CRL_URL`. */
  readonly served?: Uint8Array | undefined
}

export interface Definition {
  readonly name: string
  /** Reason and rule of each problem; none where the chain is trusted. */
  readonly problems: ReadonlyArray<string>
  /** Why `openssl verify` has another verdict. */
  readonly deviation?: string | undefined
  /** Large or looping input, which must be judged within limits. */
  readonly hostile?: boolean | undefined
  readonly make: Effect.Effect<Artefact>
}

type Change = Partial<Pki.CertificateOptions>

/** The chain that the others are made from: root, intermediate, leaf. */
const made = Effect.runSync(Effect.cached(Effect.gen(function*() {
  yield* TestClock.setTime(NOW)
  const keys = yield* Effect.all({
    root: Pki.newKeys(),
    inter: Pki.newKeys(),
    leaf: Pki.newKeys(),
    evil: Pki.newKeys()
  })
  const root = yield* Pki.issue({ commonName: "Root A", authority: true, keys: keys.root })
  const otherRoot = yield* Pki.issue({ commonName: "Root B", authority: true, keys: keys.evil })
  const makeInter = (change: Change = {}, by: Pki.Signer = root) =>
    Pki.issue({ commonName: "Intermediate A", authority: true, keys: keys.inter, by, ...change })
  const inter = yield* makeInter()
  const makeLeaf = (change: Change = {}, by: Pki.Signer = inter) =>
    Pki.issue({ commonName: "Server", names: [Pki.uri(FHIR_BASE)], keys: keys.leaf, by, ...change })
  const leaf = yield* makeLeaf()
  const crls = { root: yield* Pki.crl(root), inter: yield* Pki.crl(inter) }
  return { keys, root, otherRoot, inter, leaf, makeInter, makeLeaf, crls }
})))

export const base = Effect.zipLeft(made, TestClock.setTime(NOW))

type Base = Effect.Effect.Success<typeof base>

const atNow = <A>(make: (base: Base) => Effect.Effect<A>): Effect.Effect<A> => Effect.flatMap(base, make)

const chain = (made: Base, change: Partial<Artefact> = {}): Artefact => ({
  x5c: [made.leaf.der, made.inter.der],
  anchors: [made.root.der],
  crls: [made.crls.root, made.crls.inter],
  ...change
})

const define = (
  name: string,
  problems: ReadonlyArray<string>,
  make: (base: Base) => Effect.Effect<Artefact>,
  more: Pick<Definition, "deviation" | "hostile"> = {}
): Definition => ({ name, problems, make: Effect.runSync(Effect.cached(atNow(make))), ...more })

type More = Pick<Definition, "deviation" | "hostile">

const withLeaf = (name: string, problems: ReadonlyArray<string>, change: Change, more: More = {}): Definition =>
  define(
    name,
    problems,
    (made) => Effect.map(made.makeLeaf(change), ({ der }) => chain(made, { x5c: [der, made.inter.der] })),
    more
  )

const withInter = (
  name: string,
  problems: ReadonlyArray<string>,
  change: Change,
  more: More & { readonly leaf?: Change } = {}
): Definition =>
  define(name, problems, (made) =>
    Effect.gen(function*() {
      const inter = yield* made.makeInter(change)
      const leaf = yield* made.makeLeaf(more.leaf ?? {}, inter)
      return chain(made, { x5c: [leaf.der, inter.der] })
    }), more)

const withCrl = (
  name: string,
  problems: ReadonlyArray<string>,
  crl: (made: Base) => Effect.Effect<Uint8Array>,
  more: More = {}
): Definition =>
  define(name, problems, (made) => Effect.map(crl(made), (one) => chain(made, { crls: [made.crls.root, one] })), more)

/** The leaf's CRL is at its distribution point. */
const withServedCrl = (
  name: string,
  problems: ReadonlyArray<string>,
  crl: (made: Base) => Effect.Effect<Uint8Array>,
  more: More = {}
): Definition =>
  define(name, problems, (made) =>
    Effect.gen(function*() {
      const leaf = yield* made.makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL)] })
      return chain(made, { x5c: [leaf.der, made.inter.der], crls: [made.crls.root], served: yield* crl(made) })
    }), more)

/** The leaf's status by OCSP alone; the intermediate's by CRL. */
const withOcsp = (
  name: string,
  problems: ReadonlyArray<string>,
  status: "good" | "revoked" | "unknown",
  options: (made: Base) => Effect.Effect<OcspOptions> = () => Effect.succeed({}),
  more: More = {}
): Definition =>
  define(name, problems, (made) =>
    Effect.gen(function*() {
      const leaf = yield* made.makeLeaf({ extensions: [Pki.ocspResponder(OCSP_URL)] })
      const ocsp = yield* ocspResponse(leaf, made.inter, status, yield* options(made))
      return chain(made, { x5c: [leaf.der, made.inter.der], crls: [made.crls.root], ocsp })
    }), more)

const unknown = (critical: boolean): pki.Extension =>
  Pki.extension("1.3.6.1.4.1.99999.1", critical, new asn1.Null().toBER())

const signingDelegate = (made: Base, change: Change = {}, noCheck = true) =>
  Pki.issue({
    commonName: "OCSP responder",
    by: made.inter,
    extensions: [
      Pki.extendedKeyUsage("1.3.6.1.5.5.7.3.9"),
      ...(noCheck ? [Pki.extension(Pki.Oid.ocspNoCheck, false, new asn1.Null().toBER())] : [])
    ],
    ...change
  })

const scope = (point: Partial<pki.IIssuingDistributionPoint>): pki.Extension =>
  Pki.extension(
    Pki.Oid.issuingDistributionPoint,
    true,
    new pki.IssuingDistributionPoint({ onlyContainsUserCerts: false, ...point }).toSchema().toBER()
  )

const policyMapping = (from: string, to: string): pki.Extension =>
  Pki.extension(
    Pki.Oid.policyMappings,
    true,
    new pki.PolicyMappings({
      mappings: [new pki.PolicyMapping({ issuerDomainPolicy: from, subjectDomainPolicy: to })]
    }).toSchema().toBER()
  )

const requireExplicitPolicy = (after: number): pki.Extension =>
  Pki.extension(
    Pki.Oid.policyConstraints,
    true,
    new pki.PolicyConstraints({ requireExplicitPolicy: after }).toSchema().toBER()
  )

const DAY = Pki.DAY

const accepted: ReadonlyArray<Definition> = [
  define("a chain over RSA keys", [], (made) => Effect.succeed(chain(made))),
  ...(["p256", "p384"] as const).map((kind) =>
    define(`a chain over ${kind} keys`, [], () =>
      Effect.gen(function*() {
        const root = yield* Pki.issue({ commonName: `Root ${kind}`, authority: true, keys: yield* Pki.newKeys(kind) })
        const keys = yield* Pki.newKeys(kind)
        const inter = yield* Pki.issue({ commonName: `Intermediate ${kind}`, authority: true, keys, by: root })
        const leaf = yield* Pki.issue({ commonName: "Server", keys: yield* Pki.newKeys(kind), by: inter })
        return {
          x5c: [leaf.der, inter.der],
          anchors: [root.der],
          crls: [yield* Pki.crl(root), yield* Pki.crl(inter)]
        }
      }))
  ),
  define(
    "the root is in x5c, too",
    [],
    (made) => Effect.succeed(chain(made, { x5c: [made.leaf.der, made.inter.der, made.root.der] }))
  ),
  define(
    "an intermediate is the anchor",
    [],
    (made) => Effect.succeed(chain(made, { x5c: [made.leaf.der], anchors: [made.inter.der], crls: [made.crls.inter] }))
  ),
  withLeaf("an unknown extension that is not critical", [], { extensions: [unknown(false)] }),
  define("an issuer's name in another case, spacing and string type", [], (made) =>
    Effect.gen(function*() {
      const inter = yield* made.makeInter({ name: Pki.named("Intermediate A", "PrintableString") })
      const leaf = yield* made.makeLeaf({ issuerName: Pki.named("INTERMEDIATE  a") }, inter)
      return chain(made, { x5c: [leaf.der, inter.der] })
    })),
  withInter("name constraints permit the URI's domain", [], {
    extensions: [Pki.nameConstraints([Pki.uri(".example.org")])]
  }),
  withInter("name constraints permit the URI's host", [], {
    extensions: [Pki.nameConstraints([Pki.uri("fhir.example.org")])]
  }),
  define("name constraints on two authorities, both met", [], (made) =>
    Effect.gen(function*() {
      const inter = yield* made.makeInter({ extensions: [Pki.nameConstraints([Pki.uri(".example.org")])] })
      const sub = yield* Pki.issue({
        commonName: "Sub",
        authority: true,
        by: inter,
        extensions: [Pki.nameConstraints([Pki.uri("fhir.example.org")])]
      })
      const leaf = yield* made.makeLeaf({}, sub)
      return chain(made, {
        x5c: [leaf.der, sub.der, inter.der],
        crls: [made.crls.root, made.crls.inter, yield* Pki.crl(sub)]
      })
    })),
  withInter("policies that differ, where none is required", [], { extensions: [Pki.policies("1.2.3.4")] }, {
    leaf: { extensions: [Pki.policies("1.2.3.5")] }
  }),
  withInter("a policy mapping above a leaf without policies", [], {
    extensions: [Pki.policies("1.2.3.4"), policyMapping("1.2.3.4", "1.2.3.9")]
  }),
  withInter("a required policy that the leaf has", [], {
    extensions: [Pki.policies("1.2.3.4"), requireExplicitPolicy(0)]
  }, { leaf: { extensions: [Pki.policies("1.2.3.4")] } }),
  withInter("a required policy that the leaf has by a mapping", [], {
    extensions: [Pki.policies("1.2.3.4"), policyMapping("1.2.3.4", "1.2.3.9"), requireExplicitPolicy(0)]
  }, { leaf: { extensions: [Pki.policies("1.2.3.9")] } }),
  define("a cross-signed intermediate, of which one leads nowhere", [], (made) =>
    Effect.gen(function*() {
      const nowhere = yield* made.makeInter({}, made.otherRoot)
      return chain(made, { x5c: [made.leaf.der, nowhere.der, made.inter.der] })
    }), { deviation: "openssl does not go back from a dead end" }),
  define(
    "two intermediates with one key, the first expired",
    [],
    (made) =>
      Effect.map(
        made.makeInter({ to: NOW - DAY }),
        ({ der }) => chain(made, { x5c: [made.leaf.der, der, made.inter.der] })
      )
  ),
  withCrl(
    "a CRL for end entities",
    [],
    (made) => Pki.crl(made.inter, [], { extensions: [scope({ onlyContainsUserCerts: true })] })
  ),
  define("a partitioned CRL for the leaf's distribution point", [], (made) =>
    Effect.gen(function*() {
      const leaf = yield* made.makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL)] })
      const crl = yield* Pki.crl(made.inter, [], { extensions: [scope({ distributionPoint: [Pki.uri(CRL_URL)] })] })
      return chain(made, { x5c: [leaf.der, made.inter.der], crls: [made.crls.root, crl] })
    })),
  withServedCrl("a CRL at the leaf's distribution point", [], (made) => Effect.succeed(made.crls.inter)),
  withOcsp("OCSP says good", [], "good"),
  withOcsp("OCSP says good, without a certificate", [], "good", () => Effect.succeed({ bare: true })),
  withOcsp(
    "OCSP says good by a delegate",
    [],
    "good",
    (made) => Effect.map(signingDelegate(made), (signer) => ({ signer }))
  )
]

const ofCertificates: ReadonlyArray<Definition> = [
  withLeaf("an expired leaf", ["Expired RFC 5280, 6.1.3 (a)(2)"], { to: NOW - DAY }),
  withInter("an expired intermediate", ["Expired RFC 5280, 6.1.3 (a)(2)"], { to: NOW - DAY }),
  define("an expired anchor", ["Expired RFC 5280, 6.1.3 (a)(2)"], (made) =>
    Effect.gen(function*() {
      const root = yield* Pki.issue({ commonName: "Root A", authority: true, keys: made.keys.root, to: NOW - DAY })
      return chain(made, { anchors: [root.der] })
    })),
  withLeaf("a leaf that is not yet valid", ["NotYetValid RFC 5280, 6.1.3 (a)(2)"], { from: NOW + DAY }),
  define("a signature that was changed", ["BadSignature RFC 5280, 6.1.3 (a)(1)"], (made) => {
    const changed = new Uint8Array(made.leaf.der)
    const at = changed.length - 5
    changed[at] = (changed[at] ?? 0) ^ 1
    return Effect.succeed(chain(made, { x5c: [changed, made.inter.der] }))
  }),
  define(
    "the root of another community",
    ["Untrusted RFC 5280, 6.1.3 (a)(4)"],
    (made) => Effect.succeed(chain(made, { anchors: [made.otherRoot.der] }))
  ),
  define("a self-signed leaf", ["Untrusted RFC 5280, 6.1.3 (a)(4)"], (made) =>
    Effect.map(
      Pki.issue({ commonName: "Server", keys: made.keys.leaf, names: [Pki.uri(FHIR_BASE)] }),
      ({ der }) => chain(made, { x5c: [der] })
    )),
  define(
    "a root of the attacker's with the anchor's name in x5c",
    ["BadSignature RFC 5280, 6.1.3 (a)(1)"],
    (made) =>
      Effect.gen(function*() {
        const root = yield* Pki.issue({ commonName: "Root A", authority: true, keys: made.keys.evil })
        const inter = yield* made.makeInter({}, root)
        const leaf = yield* made.makeLeaf({}, inter)
        return chain(made, { x5c: [leaf.der, inter.der, root.der] })
      })
  ),
  withInter("an intermediate with CA false", ["NotAnAuthority RFC 5280, 6.1.4 (k)"], {
    authority: false,
    keyUsage: 0x06
  }),
  withInter("an intermediate without basic constraints", ["NotAnAuthority RFC 5280, 6.1.4 (k)"], {
    basicConstraints: false
  }),
  withInter("an intermediate that must not sign certificates", ["KeyUsage RFC 5280, 6.1.4 (n)"], { keyUsage: 0x82 }),
  define(
    "a path that is longer than an intermediate allows",
    ["PathTooLong RFC 5280, 6.1.4 (l) and (m)"],
    (made) =>
      Effect.gen(function*() {
        const inter = yield* made.makeInter({ pathLength: 0 })
        const sub = yield* Pki.issue({ commonName: "Sub", authority: true, by: inter })
        const leaf = yield* made.makeLeaf({}, sub)
        return chain(made, {
          x5c: [leaf.der, sub.der, inter.der],
          crls: [made.crls.root, made.crls.inter, yield* Pki.crl(sub)]
        })
      })
  ),
  withLeaf("an unknown critical extension of the leaf", ["CriticalExtension RFC 5280, 4.2 and 6.1.5 (f)"], {
    extensions: [unknown(true)]
  }),
  withInter("an unknown critical extension of an intermediate", ["CriticalExtension RFC 5280, 4.2 and 6.1.5 (f)"], {
    extensions: [unknown(true)]
  }),
  withLeaf("two subject alternative names", ["DuplicateExtension RFC 5280, 4.2"], {
    extensions: [Pki.subjectAltName(Pki.uri("https://evil.example"))]
  }),
  withLeaf("a SHA-1 signature", ["UnsupportedAlgorithm RFC 5280, 4.1.1.2"], { signature: "SHA-1" }),
  withLeaf("an RSASSA-PSS signature", ["UnsupportedAlgorithm RFC 5280, 4.1.1.2"], { signature: "PSS" }, {
    deviation: "openssl accepts RSASSA-PSS; here it is refused, because no trust community uses it"
  }),
  define("an RSA key of 1024 bits in the leaf", ["UnsupportedKey RFC 5280, 4.1.2.7"], (made) =>
    Effect.gen(function*() {
      const leaf = yield* made.makeLeaf({ keys: yield* Pki.newKeys("rsa1024") })
      return chain(made, { x5c: [leaf.der, made.inter.der] })
    })),
  define(
    "an RSA key of 1024 bits in an intermediate",
    ["UnsupportedKey RFC 5280, 4.1.2.7"],
    (made) =>
      Effect.gen(function*() {
        const inter = yield* made.makeInter({ keys: yield* Pki.newKeys("rsa1024") })
        const leaf = yield* made.makeLeaf({}, inter)
        return chain(made, { x5c: [leaf.der, inter.der], crls: [made.crls.root, yield* Pki.crl(inter)] })
      })
  ),
  withLeaf("another signature algorithm inside than outside", ["AlgorithmMismatch RFC 5280, 4.1.1.2"], {
    signature: "Mixed"
  }),
  withLeaf("a leaf that must not make digital signatures", ["KeyUsage RFC 5280, 4.2.1.3"], { keyUsage: 0x20 }, {
    deviation: "openssl verify is not asked about the leaf's purpose"
  }),
  withLeaf("an issuer's name that no certificate has", ["Untrusted RFC 5280, 6.1.3 (a)(4)"], {
    issuerName: Pki.named("Someone")
  }),
  withLeaf("a leaf that names itself as its issuer", ["Untrusted RFC 5280, 6.1.3 (a)(4)"], {
    name: Pki.named("Someone"),
    issuerName: Pki.named("Someone")
  }),
  define(
    "bytes after a certificate",
    ["Malformed RFC 5280, 4.1"],
    (made) => Effect.succeed(chain(made, { x5c: [new Uint8Array([...made.leaf.der, 5, 0]), made.inter.der] })),
    {
      deviation: "openssl reads the first value and ignores what follows"
    }
  )
]

const ofNamesAndPolicies: ReadonlyArray<Definition> = [
  withInter("name constraints permit another domain", ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"], {
    extensions: [Pki.nameConstraints([Pki.uri(".example.com")])]
  }),
  withInter("name constraints exclude the domain", ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"], {
    extensions: [Pki.nameConstraints([], [Pki.uri(".example.org")])]
  }),
  withInter("name constraints permit another DNS name", ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"], {
    extensions: [Pki.nameConstraints([Pki.dns("example.com")])]
  }, { leaf: { names: [Pki.uri(FHIR_BASE), Pki.dns("fhir.example.org")] } }),
  withInter("name constraints permit another mailbox's domain", ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"], {
    extensions: [Pki.nameConstraints([Pki.email("example.com")])]
  }, { leaf: { names: [Pki.uri(FHIR_BASE), Pki.email("root@example.org")] } }),
  withInter("a URI that hides its host behind credentials", ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"], {
    extensions: [Pki.nameConstraints([Pki.uri(".example.org")])]
  }, { leaf: { names: [Pki.uri("https://a.example.org:x@evil.test/r4")] } }),
  withInter("a URI without a host under name constraints", ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"], {
    extensions: [Pki.nameConstraints([], [Pki.uri(".example.org")])]
  }, { leaf: { names: [Pki.uri("urn:uuid:00000000-0000-4000-8000-000000000000")] } }),
  define(
    "a sub-authority that widens its name constraints",
    ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"],
    (made) =>
      Effect.gen(function*() {
        const inter = yield* made.makeInter({ extensions: [Pki.nameConstraints([Pki.uri(".example.com")])] })
        const sub = yield* Pki.issue({
          commonName: "Sub",
          authority: true,
          by: inter,
          extensions: [Pki.nameConstraints([Pki.uri(".example.org")])]
        })
        const leaf = yield* made.makeLeaf({}, sub)
        return chain(made, {
          x5c: [leaf.der, sub.der, inter.der],
          crls: [made.crls.root, made.crls.inter, yield* Pki.crl(sub)]
        })
      })
  ),
  define(
    "name constraints of the anchor",
    ["NameConstraint RFC 5280, 6.1.3 (b) and (c)"],
    (made) =>
      Effect.gen(function*() {
        const root = yield* Pki.issue({
          commonName: "Root A",
          authority: true,
          keys: made.keys.root,
          extensions: [Pki.nameConstraints([Pki.uri(".example.com")])]
        })
        return chain(made, { anchors: [root.der] })
      })
  ),
  withInter("a required policy that the leaf lacks", ["PolicyRequired RFC 5280, 6.1.3 (f)"], {
    extensions: [Pki.policies("1.2.3.4"), requireExplicitPolicy(0)]
  }, { leaf: { extensions: [Pki.policies("1.2.3.5")] } }),
  withInter("a mapping of anyPolicy", ["PolicyRequired RFC 5280, 6.1.4 (a)"], {
    extensions: [Pki.policies("2.5.29.32.0"), policyMapping("2.5.29.32.0", "1.2.3.4")]
  })
]

const ofRevocation: ReadonlyArray<Definition> = [
  withCrl("a CRL has the leaf", ["Revoked RFC 5280, 6.1.3 (a)(3)"], (made) => Pki.crl(made.inter, [made.leaf.serial])),
  define(
    "a CRL has an intermediate",
    ["Revoked RFC 5280, 6.1.3 (a)(3)"],
    (made) =>
      Effect.map(Pki.crl(made.root, [made.inter.serial]), (crl) => chain(made, { crls: [crl, made.crls.inter] }))
  ),
  withCrl(
    "a CRL that has ended",
    ["RevocationUnknown RFC 5280, 6.3.3 (a)"],
    (made) => Pki.crl(made.inter, [], { from: NOW - 9 * DAY, to: NOW - DAY })
  ),
  withCrl(
    "a CRL of the future",
    ["RevocationUnknown RFC 5280, 6.3.3 (a)"],
    (made) => Pki.crl(made.inter, [], { from: NOW + 2 * DAY, to: NOW + 9 * DAY })
  ),
  withCrl(
    "a CRL signed with another key",
    ["RevocationUnknown RFC 5280, 6.3.3 (g)"],
    (made) => Pki.crl(made.inter, [], { keys: made.keys.evil })
  ),
  define(
    "no CRL of the leaf's issuer",
    ["RevocationUnknown RFC 5280, 6.1.3 (a)(3)"],
    (made) => Effect.succeed(chain(made, { crls: [made.crls.root] }))
  ),
  define(
    "no CRL at all",
    ["RevocationUnknown RFC 5280, 6.1.3 (a)(3)", "RevocationUnknown RFC 5280, 6.1.3 (a)(3)"],
    (made) => Effect.succeed(chain(made, { crls: [] }))
  ),
  define(
    "a CRL by a namesake of the issuer in x5c",
    ["RevocationUnknown RFC 5280, 6.3.3 (g)"],
    (made) =>
      Effect.gen(function*() {
        const evil = yield* Pki.issue({ commonName: "Intermediate A", authority: true, keys: made.keys.evil })
        const crl = yield* Pki.crl(evil)
        return chain(made, { x5c: [made.leaf.der, made.inter.der, evil.der], crls: [made.crls.root, crl] })
      })
  ),
  withCrl(
    "a CRL for authorities only",
    ["RevocationUnknown RFC 5280, 6.3.3 (b)(2)"],
    (made) => Pki.crl(made.inter, [], { extensions: [scope({ onlyContainsCACerts: true })] })
  ),
  withCrl(
    "a CRL for another distribution point",
    ["RevocationUnknown RFC 5280, 6.3.3 (b)(2)"],
    (made) =>
      Pki.crl(made.inter, [], { extensions: [scope({ distributionPoint: [Pki.uri("http://crl.example.org/b.crl")] })] })
  ),
  withServedCrl(
    "a CRL that does not say when it ends",
    ["RevocationUnknown RFC 5280, 5.1.2.5"],
    (made) => Pki.crl(made.inter, [], { to: null }),
    {
      deviation: "openssl takes a CRL without an end as valid for ever"
    }
  ),
  withServedCrl(
    "a CRL for some reasons only",
    ["RevocationUnknown RFC 5280, 5.2.5"],
    (made) =>
      Pki.crl(made.inter, [], {
        // By hand: pkijs writes a malformed one.
        extensions: [
          Pki.extension(Pki.Oid.issuingDistributionPoint, true, new Uint8Array([48, 4, 0x83, 2, 6, 64]).buffer)
        ]
      })
  ),
  withServedCrl(
    "a CRL for attribute certificates",
    ["RevocationUnknown RFC 5280, 5.2.5"],
    (made) => Pki.crl(made.inter, [], { extensions: [scope({ onlyContainsAttributeCerts: true })] })
  ),
  withServedCrl(
    "bytes that are not a CRL",
    ["RevocationUnknown RFC 5280, 5.1"],
    (made) => Effect.succeed(made.leaf.der)
  ),
  withServedCrl(
    "an indirect CRL",
    ["RevocationUnknown RFC 5280, 5.2.5"],
    (made) => Pki.crl(made.inter, [], { extensions: [scope({ indirectCRL: true })] })
  ),
  withServedCrl("a delta CRL alone", ["RevocationUnknown RFC 5280, 5.2.4"], (made) =>
    Pki.crl(made.inter, [], {
      extensions: [Pki.extension(Pki.Oid.deltaCrl, true, new asn1.Integer({ value: 1 }).toBER())]
    })),
  withServedCrl(
    "a CRL with an unknown critical extension",
    ["RevocationUnknown RFC 5280, 5.2"],
    (made) => Pki.crl(made.inter, [], { extensions: [unknown(true)] })
  ),
  withCrl(
    "a CRL entry with an unknown critical extension",
    ["RevocationUnknown RFC 5280, 5.3"],
    (made) => Pki.crl(made.inter, [new asn1.Integer({ value: 1 })], { entryExtensions: [unknown(true)] })
  ),
  withInter("an issuer that must not sign CRLs", ["RevocationUnknown RFC 5280, 6.3.3 (f)"], { keyUsage: 0x04 }),
  withOcsp("OCSP says revoked", ["Revoked RFC 6960, 2.2"], "revoked"),
  withOcsp("OCSP does not know the certificate", ["RevocationUnknown RFC 6960, 2.2"], "unknown"),
  withOcsp(
    "an OCSP response that has ended",
    ["RevocationUnknown RFC 6960, 3.2"],
    "good",
    () => Effect.succeed({ from: NOW - 9 * DAY, to: NOW - DAY })
  ),
  withOcsp(
    "an OCSP response of the future",
    ["RevocationUnknown RFC 6960, 3.2"],
    "good",
    () => Effect.succeed({ from: NOW + DAY, to: NOW + 2 * DAY })
  ),
  withOcsp(
    "an OCSP response signed by a stranger",
    ["RevocationUnknown RFC 6960, 4.2.2.2"],
    "good",
    (made) =>
      Effect.map(
        Pki.issue({
          commonName: "Stranger",
          keys: made.keys.evil,
          extensions: [Pki.extendedKeyUsage("1.3.6.1.5.5.7.3.9")]
        }),
        (signer) => ({ signer })
      )
  ),
  withOcsp(
    "an OCSP response by a certificate of the issuer that is not for OCSP",
    ["RevocationUnknown RFC 6960, 4.2.2.2"],
    "good",
    (made) => Effect.map(Pki.issue({ commonName: "Other server", by: made.inter }), (signer) => ({ signer }))
  ),
  withOcsp(
    "an OCSP response by an expired delegate",
    ["RevocationUnknown RFC 6960, 4.2.2.2"],
    "good",
    (made) => Effect.map(signingDelegate(made, { to: NOW - DAY }), (signer) => ({ signer }))
  ),
  withOcsp(
    "an OCSP response by a delegate whose own revocation is unknown",
    ["RevocationUnknown RFC 6960, 4.2.2.2.1"],
    "good",
    (made) => Effect.map(signingDelegate(made, {}, false), (signer) => ({ signer })),
    {
      deviation: "openssl does not ask whether a responder's certificate is revoked"
    }
  ),
  define(
    "an OCSP response about another certificate",
    ["RevocationUnknown RFC 6960, 3.2"],
    (made) =>
      Effect.gen(function*() {
        const leaf = yield* made.makeLeaf({ extensions: [Pki.ocspResponder(OCSP_URL)] })
        const ocsp = yield* ocspResponse(made.leaf, made.inter, "good")
        return chain(made, { x5c: [leaf.der, made.inter.der], crls: [made.crls.root], ocsp })
      })
  ),
  define(
    "a forged OCSP response and a CRL that has the leaf",
    ["Revoked RFC 5280, 6.1.3 (a)(3)"],
    (made) =>
      Effect.gen(function*() {
        const leaf = yield* made.makeLeaf({ extensions: [Pki.ocspResponder(OCSP_URL)] })
        const stranger = yield* Pki.issue({ commonName: "Stranger", keys: made.keys.evil })
        const ocsp = yield* ocspResponse(leaf, made.inter, "good", { signer: stranger })
        const crl = yield* Pki.crl(made.inter, [leaf.serial])
        return chain(made, { x5c: [leaf.der, made.inter.der], crls: [made.crls.root, crl], ocsp })
      })
  )
]

const hostile: ReadonlyArray<Definition> = [
  define("authorities that issued each other", ["Untrusted RFC 5280, 6.1.3 (a)(4)"], (made) =>
    Effect.gen(function*() {
      const one = { name: Pki.named("Loop 1"), keys: made.keys.evil }
      const two = { name: Pki.named("Loop 2"), keys: made.keys.inter }
      const a = yield* Pki.issue({ commonName: "Loop 1", authority: true, keys: one.keys, by: two })
      const b = yield* Pki.issue({ commonName: "Loop 2", authority: true, keys: two.keys, by: one })
      const leaf = yield* made.makeLeaf({}, a)
      return chain(made, { x5c: [leaf.der, a.der, b.der] })
    }), { hostile: true }),
  define(
    "a forged leaf twice, with a genuine chain between",
    ["Untrusted RFC 5280, 6.1.3 (a)(4)"],
    (made) =>
      Effect.gen(function*() {
        const evil = yield* Pki.issue({ commonName: "Evil", keys: made.keys.evil, names: [Pki.uri(FHIR_BASE)] })
        return chain(made, { x5c: [evil.der, made.leaf.der, made.inter.der, evil.der] })
      }),
    { hostile: true }
  ),
  define(
    "certificates that could issue each other, level by level",
    ["TooLarge UDAP-8"],
    (made) =>
      Effect.gen(function*() {
        let level = [yield* Pki.issue({ commonName: "L0", authority: true, by: made.root })]
        const all = level.map(({ der }) => der)
        for (let n = 1; n <= 9; n++) {
          const keys = yield* Pki.newKeys("p256")
          const [first] = level
          if (first === undefined) break
          level = yield* Effect.forEach(
            [0, 1],
            () => Pki.issue({ commonName: `L${n}`, authority: true, keys, by: first })
          )
          all.unshift(...level.map(({ der }) => der))
        }
        const leaf = yield* made.makeLeaf({}, level[0] ?? made.inter)
        return chain(made, { x5c: [leaf.der, ...all], crls: [] })
      }),
    { hostile: true }
  ),
  withLeaf("10,000 extensions", ["TooLarge RFC 5280, 4.1"], {
    extensions: Array.from(
      { length: 10_000 },
      (_, i) => Pki.extension(`1.3.6.1.4.1.99999.7.${i}`, false, new asn1.Null().toBER())
    )
  }, { hostile: true, deviation: "openssl has no such limit" }),
  withLeaf("40 extensions", ["TooLarge RFC 5280, 4.2"], {
    extensions: Array.from(
      { length: 40 },
      (_, i) => Pki.extension(`1.3.6.1.4.1.99999.7.${i}`, false, new asn1.Null().toBER())
    )
  }, { hostile: true, deviation: "openssl has no such limit" }),
  withLeaf("a certificate of 1.5 MB", ["TooLarge RFC 5280, 4.1"], {
    extensions: [
      Pki.extension(
        "1.3.6.1.4.1.99999.8",
        false,
        new asn1.OctetString({ valueHex: new ArrayBuffer(1_500_000) }).toBER()
      )
    ]
  }, { hostile: true, deviation: "openssl has no such limit" }),
  withLeaf("a certificate of 16 KB with thousands of elements", ["TooLarge RFC 5280, 4.1"], {
    extensions: [
      Pki.extension(
        "1.3.6.1.4.1.99999.9",
        false,
        new asn1.Sequence({
          value: Array.from({ length: 6_000 }, () => new asn1.Null())
        }).toBER()
      )
    ]
  }, { hostile: true, deviation: "openssl has no such limit" }),
  define("an x5c of 2,500 certificates", ["TooLarge UDAP-8"], (made) =>
    Effect.succeed(chain(made, {
      x5c: [made.leaf.der, made.inter.der, ...Array.from({ length: 2_500 }, () => made.otherRoot.der)]
    })), { hostile: true, deviation: "openssl has no such limit" })
]

export const definitions: ReadonlyArray<Definition> = [
  ...accepted,
  ...ofCertificates,
  ...ofNamesAndPolicies,
  ...ofRevocation,
  ...hostile
]
