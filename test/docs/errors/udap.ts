/** What can go wrong between a server's UDAP metadata and their use. */
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { HttpLimits } from "effect-safire"
import { TrustError, TrustPolicy, UdapDiscovery, UdapDiscoveryError } from "effect-safire/udap"
import * as jose from "jose"
import * as pki from "pkijs"
import * as Pki from "../../../src/testing/internal/pki.js"
import { ConnectionFailure, type FakeResponse, hang, json, text } from "../../support/http.js"
import { final, nothingSent, readOnly, section } from "../entry.js"
import { fhirBaseUrl, http, met, patiently, smallLimits } from "../world.js"

const community = "https://community.example.org/udap"

const made = Effect.runSync(Effect.cached(Effect.gen(function*() {
  yield* TestClock.setTime(0)
  const keys = yield* Effect.all({
    root: Pki.newKeys(),
    inter: Pki.newKeys(),
    leaf: Pki.newKeys(),
    other: Pki.newKeys()
  })
  const root = yield* Pki.issue({ commonName: "Example Root", authority: true, keys: keys.root })
  const inter = yield* Pki.issue({ commonName: "Example Authority", authority: true, keys: keys.inter, by: root })
  const issueLeaf = (change: Partial<Pki.CertificateOptions> = {}, by: Pki.Signer = inter) =>
    Pki.issue({ commonName: "ehr.example.org", names: [Pki.uri(fhirBaseUrl)], keys: keys.leaf, by, ...change })
  const crls = [yield* Pki.crl(root), yield* Pki.crl(inter)]
  return { keys, root, inter, issueLeaf, leaf: yield* issueLeaf(), crls }
})))

type Made = Effect.Effect.Success<typeof made>

interface Chain {
  readonly x5c: ReadonlyArray<Uint8Array>
  readonly crls?: ReadonlyArray<Uint8Array>
}

const policy = ({ crls, root }: Made, given?: ReadonlyArray<Uint8Array>) =>
  TrustPolicy.layer({ communities: { [community]: { anchors: [root.der], crls: given ?? crls } } }).pipe(
    Layer.provide(http(() => new ConnectionFailure("ENOTFOUND", "getaddrinfo")))
  )

const validated = (chain: (made: Made) => Effect.Effect<Chain>, named = community) =>
  Effect.gen(function*() {
    const all = yield* made
    const { crls, x5c } = yield* chain(all)
    const { validate } = yield* Effect.provide(TrustPolicy.TrustPolicy, policy(all, crls))
    return yield* met(validate(x5c, { subject: fhirBaseUrl, community: named }))
  })

const leaf = (change: Partial<Pki.CertificateOptions>) =>
  validated((all) => Effect.map(all.issueLeaf(change), ({ der }) => ({ x5c: [der, all.inter.der] })))

const authority = (change: Partial<Pki.CertificateOptions>) =>
  validated((all) =>
    Effect.gen(function*() {
      const inter = yield* Pki.issue({
        commonName: "Example Authority",
        authority: true,
        keys: all.keys.inter,
        by: all.root,
        ...change
      })
      const { der } = yield* all.issueLeaf({}, inter)
      return { x5c: [der, inter.der] }
    })
  )

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

const claims = {
  iss: fhirBaseUrl,
  sub: fhirBaseUrl,
  iat: 0,
  exp: 3_600,
  jti: "1",
  token_endpoint: "https://ehr.example.org/token",
  registration_endpoint: "https://ehr.example.org/register"
}

interface Published {
  readonly claims?: Readonly<Record<string, unknown>>
  /** Put in after the JWT was signed. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly leaf?: Partial<Pki.CertificateOptions>
}

/** Discovery at a server that publishes something else than it should. */
const signed = (published: Published) =>
  Effect.gen(function*() {
    const all = yield* made
    const own = yield* all.issueLeaf(published.leaf)
    const x5c = [own.der, all.inter.der].map((der) => Buffer.from(der).toString("base64"))
    const payload = new TextEncoder().encode(JSON.stringify({ ...claims, ...published.claims }))
    const jwt = yield* Effect.promise(() =>
      new jose.CompactSign(payload).setProtectedHeader({ alg: "RS256", x5c }).sign(all.keys.leaf.privateKey)
    )
    const [head, ...rest] = jwt.split(".")
    const header = published.header === undefined ? head : base64url({ alg: "RS256", x5c, ...published.header })
    return yield* publishing([header, ...rest].join("."))
  })

const publishing = (signedMetadata: unknown) => discovered(() => json({ signed_metadata: signedMetadata }))

const discovering = (
  answer: () => FakeResponse,
  url = fhirBaseUrl,
  named?: string,
  limits: Layer.Layer<never> = HttpLimits.layer({})
) =>
  Effect.gen(function*() {
    const all = yield* made
    const discovery = UdapDiscovery.layer({ failureTimeToLive: 0 }).pipe(
      Layer.provide(policy(all)),
      Layer.provide(http(answer)),
      Layer.provide(limits)
    )
    return yield* Effect.provide(
      met(Effect.flatMap(UdapDiscovery.UdapDiscovery, (service) => service.metadata(url, { community: named }))),
      discovery
    )
  })

const discovered = (answer: () => FakeResponse) =>
  Effect.filterOrDie(
    discovering(answer, fhirBaseUrl, community),
    (error): error is TrustError => error._tag === "TrustError",
    () => new Error("another error")
  )

const undiscovered = (...how: Parameters<typeof discovering>) =>
  Effect.filterOrDie(
    discovering(...how),
    (error): error is UdapDiscoveryError => error._tag === "UdapDiscoveryError",
    () => new Error("another error")
  )

const CERTIFICATE =
  "Not repeated: the certificate stays invalid. After the server has a new one, the next call fetches it."
const METADATA =
  "Not repeated: the server sends the same document until its operator changes it. Calling again is safe."

const problem = (example: ReturnType<typeof leaf>, cause: string, cure: string, again = CERTIFICATE) => ({
  example,
  cause,
  cure,
  again
})

const operator = "Send the message to the server's operator: it has the certificate, the rule and the remedy."

export const trustError = section<TrustError["reason"]>({
  name: "TrustError",
  literals: TrustError.fields.reason.literals,
  about:
    "A certificate chain, or `signed_metadata`, is not trusted, and the library uses no metadata of the server. `problems` lists all problems, each with its `reason`, the `certificate`'s subject, the `rule` and a `detail`; `reason` is that of the first. Numbers such as `UDAP-51` are those of [conformance.md](conformance.md). From `effect-safire/udap`: see [udap.md](udap.md).",
  names: /ehr\.example\.org/,
  entries: {
    CommunityUnknown: problem(
      validated(({ inter, leaf }) => Effect.succeed({ x5c: [leaf.der, inter.der] }), "urn:example:other"),
      "The trust community is not one of `TrustPolicy.layer`, or none is named and there are several.",
      "Name a configured community, or add it with its anchors.",
      nothingSent
    ),
    Malformed: problem(
      validated(({ inter, leaf }) => Effect.succeed({ x5c: [leaf.der.slice(0, -1), inter.der] })),
      "A certificate is not strict DER, has bytes behind it, or an extension that cannot be read.",
      operator
    ),
    TooLarge: problem(
      validated(({ leaf }) => Effect.succeed({ x5c: Array.from({ length: 7 }, () => leaf.der) })),
      "More than 6 certificates, 16 KiB, 500 elements or 32 extensions: more than a trust community needs.",
      "Ask the operator for the chain that the community's authority issued, without extras."
    ),
    DuplicateExtension: problem(
      leaf({ extensions: [Pki.subjectAltName(Pki.uri("https://other.example.org"))] }),
      "Two extensions of one kind: programs could read different ones.",
      operator
    ),
    AlgorithmMismatch: problem(
      leaf({ signature: "Mixed" }),
      "The two signature algorithms of a certificate differ.",
      operator
    ),
    UnsupportedAlgorithm: problem(
      leaf({ signature: "SHA-1" }),
      "Something other than RSA (PKCS #1 v1.5) or ECDSA with SHA-256, SHA-384 or SHA-512. MD5 and SHA-1 are broken; RSASSA-PSS and Ed25519 are not in use in trust communities.",
      operator
    ),
    UnsupportedKey: problem(
      validated((all) =>
        Effect.gen(function*() {
          const { der } = yield* all.issueLeaf({ keys: yield* Pki.newKeys("rsa1024") })
          return { x5c: [der, all.inter.der] }
        })
      ),
      "RSA under 2,048 or over 8,192 bits, another curve than P-256, P-384 and P-521, or another kind of key.",
      operator
    ),
    Untrusted: problem(
      validated((all) =>
        Effect.gen(function*() {
          const keys = all.keys.other
          const root = yield* Pki.issue({ commonName: "Other Root", authority: true, keys })
          const { der } = yield* all.issueLeaf({}, root)
          return { x5c: [der, root.der] }
        })
      ),
      "No path leads from the server's certificate to an anchor of the community. A root certificate in the server's chain is trusted only if it is an anchor.",
      "If the message names a missing intermediate, add it to `intermediates`. Otherwise the server belongs to another community."
    ),
    BadSignature: problem(
      validated(({ inter, leaf }) => {
        const changed = new Uint8Array(leaf.der)
        changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1
        return Effect.succeed({ x5c: [changed, inter.der] })
      }),
      "The key of the issuer did not sign the certificate: it was changed or forged, or the authority has a new key.",
      "Compare with the community's current certificates; if its authority has a new key, configure that one."
    ),
    Expired: problem(
      leaf({ to: -Pki.DAY }),
      "A certificate on the path, or the anchor, has expired.",
      "The operator must renew it. Replace an anchor or an intermediate in `TrustPolicy.layer`."
    ),
    NotYetValid: problem(
      leaf({ from: Pki.DAY }),
      "The validity of a certificate starts in the future, by more than `clockSkew`.",
      "Compare the clocks: usually that of this machine is wrong."
    ),
    NotAnAuthority: problem(
      authority({ basicConstraints: false }),
      "A certificate was issued by one that is not an authority's. This is an attack.",
      operator
    ),
    KeyUsage: problem(
      leaf({ keyUsage: 0x20 }),
      "The key usage does not allow the signature of metadata or certificates.",
      operator
    ),
    PathTooLong: problem(
      validated((all) =>
        Effect.gen(function*() {
          const inter = yield* Pki.issue({
            commonName: "Example Authority",
            authority: true,
            keys: all.keys.inter,
            by: all.root,
            pathLength: 0
          })
          const sub = yield* Pki.issue({ commonName: "Example Sub", authority: true, by: inter })
          const { der } = yield* all.issueLeaf({}, sub)
          return { x5c: [der, sub.der, inter.der] }
        })
      ),
      "An authority issued the certificate of another authority, which its path length does not allow.",
      operator
    ),
    CriticalExtension: problem(
      leaf({ extensions: [Pki.extension("1.3.6.1.4.1.99999.1", true, new asn1.Null().toBER())] }),
      "A certificate has a critical extension that the library does not support.",
      "Ask the community for a certificate without the extension."
    ),
    NameConstraint: problem(
      authority({ extensions: [Pki.nameConstraints([Pki.uri(".example.com")])] }),
      "The name constraints of an authority do not allow the server's name.",
      operator
    ),
    PolicyRequired: problem(
      authority({
        extensions: [
          Pki.extension(
            Pki.Oid.policyConstraints,
            true,
            new pki.PolicyConstraints({ requireExplicitPolicy: 0 }).toSchema().toBER()
          )
        ]
      }),
      "An authority requires a certificate policy that is not valid for the whole path.",
      operator
    ),
    Revoked: problem(
      validated((all) =>
        Effect.map(Pki.crl(all.inter, [all.leaf.serial]), (crl) => ({
          x5c: [all.leaf.der, all.inter.der],
          crls: [crl, ...all.crls.slice(0, 1)]
        }))
      ),
      "The authority has revoked the certificate: its key may be stolen.",
      "Do not use the server until its operator has a new certificate."
    ),
    RevocationUnavailable: problem(
      validated((all) =>
        Effect.map(
          all.issueLeaf({ extensions: [Pki.distributionPoints("http://crl.example.org/authority.crl")] }),
          ({ der }) => ({
            x5c: [der, all.inter.der],
            crls: all.crls.slice(0, 1)
          })
        )
      ),
      "Neither the CRL nor the OCSP response of a certificate could be fetched. Without a response, the library refuses the chain.",
      "Check egress rules for the host in the message: CRLs come over plain http. Or configure a current CRL in `crls`. With `revocation: \"whenAvailable\"`, the library trusts a chain without a response.",
      "The next call fetches it again."
    ),
    RevocationUnknown: problem(
      validated((all) => Effect.succeed({ x5c: [all.leaf.der, all.inter.der], crls: all.crls.slice(0, 1) })),
      "No CRL or OCSP response is valid: the certificate names none, it has expired, another key signed it, or it covers other certificates. The rule has the cause.",
      "Tell the authority. Until then, configure a current CRL in `crls`.",
      "The next call fetches it again."
    ),
    SignedMetadataMissing: problem(
      publishing(undefined),
      "The document has no `signed_metadata`. Unsigned endpoints are never used.",
      "Ask the operator to complete the configuration of UDAP.",
      METADATA
    ),
    SignedMetadataMalformed: problem(
      publishing("not a JWT"),
      "`signed_metadata` is not a JWT in compact serialization, or its `x5c` is not base64 DER.",
      operator,
      METADATA
    ),
    SignedMetadataAlgorithm: problem(
      signed({ header: { alg: "ES256" } }),
      "Signed with another algorithm than STU2 asks for (RS256). The header does not decide which algorithms count.",
      "If your community uses another one, list it: `UdapDiscovery.layer({ algorithms })`.",
      METADATA
    ),
    SignedMetadataSignature: problem(
      signed({ header: { kid: "1" } }),
      "The signature is not by the key of the first certificate in `x5c`, or the content was changed.",
      "Treat it as an attack until the operator has explained it.",
      METADATA
    ),
    ClaimMissing: problem(
      signed({ claims: { jti: "" } }),
      "A claim is missing or of the wrong type.",
      operator,
      METADATA
    ),
    IssuerNotInCertificate: problem(
      signed({ claims: { iss: `${fhirBaseUrl}/`, sub: `${fhirBaseUrl}/` } }),
      "`iss` is not, character by character, one of the URIs in the certificate's subject alternative name.",
      operator,
      METADATA
    ),
    IssuerMismatch: problem(
      signed({
        leaf: { names: [Pki.uri("https://other.example.org/fhir")] },
        claims: { iss: "https://other.example.org/fhir", sub: "https://other.example.org/fhir" }
      }),
      "`iss` is the URL of another server than the requested one: this server publishes the metadata of another.",
      "Configure the FHIR base URL as the server writes it, if that is the server you mean.",
      METADATA
    ),
    SubjectMismatch: problem(
      signed({ claims: { sub: "https://other.example.org" } }),
      "`sub` is not the same as `iss`.",
      operator,
      METADATA
    ),
    SignedMetadataExpired: problem(
      signed({ claims: { exp: -1 } }),
      "`exp` of the JWT has passed; the server did not sign anew in time.",
      operator,
      METADATA
    ),
    SignedMetadataNotYetValid: problem(
      signed({ claims: { iat: 3_000 } }),
      "`iat` or `nbf` lies in the future by more than `clockSkew`.",
      "Compare the clocks of both machines.",
      METADATA
    ),
    LifetimeTooLong: problem(
      signed({ claims: { exp: 40_000_000 } }),
      "`exp` is more than a year after `iat`.",
      operator,
      METADATA
    ),
    EndpointMissing: problem(
      signed({ claims: { registration_endpoint: undefined } }),
      "An endpoint is not signed. The one outside the signature is not used instead.",
      operator,
      METADATA
    ),
    EndpointInsecure: problem(
      signed({ claims: { token_endpoint: "http://ehr.example.org/token" } }),
      "A signed endpoint is not an absolute https URL.",
      operator,
      METADATA
    )
  }
})

const html = () => text("<!doctype html><title>Sign in</title>", { headers: { "content-type": "text/html" } })

export const udapDiscoveryError = section<UdapDiscoveryError["reason"]>({
  name: "UdapDiscoveryError",
  literals: UdapDiscoveryError.fields.reason.literals,
  about:
    "A server's UDAP metadata could not be fetched. Verified metadata are used while the server is unavailable, as long as it is trusted (with the warning `MetadataStale`); a failure is cached for three seconds. Fields: `fhirBaseUrl`, `community`, `url`, `detail`, `status`, `retryAfter`. From `effect-safire/udap`.",
  names: /ehr\.example\.org/,
  entries: {
    InvalidUrl: {
      example: undiscovered(html, `${fhirBaseUrl}?tenant=1`),
      cause: "The argument is not a FHIR base URL.",
      cure: "Give the absolute URL of the FHIR server, with its whole path and nothing after it.",
      again: nothingSent
    },
    InvalidCommunity: {
      example: undiscovered(html, fhirBaseUrl, "My community"),
      cause: "The trust community is not named by a URI.",
      cure: "Use the URI that the community publishes, as in `TrustPolicy.layer`.",
      again: nothingSent
    },
    NotSupported: {
      example: undiscovered(() => text("", { status: 404 })),
      cause:
        "404 or 410: the server has no UDAP metadata. A server of STU1 responds like this also for an unknown community.",
      cure: "Use SMART App Launch with a manual registration. If you requested a community, try without one.",
      again: final
    },
    CommunityUnknown: {
      example: undiscovered(() => new Response(null, { status: 204 }), fhirBaseUrl, community),
      cause: "204: the server supports UDAP and is not a member of the requested community.",
      cure: "Request another community to which you and the server belong.",
      again: final
    },
    Unreachable: {
      example: undiscovered(() => new ConnectionFailure("ECONNREFUSED", "connect")),
      cause: "The connection to the server failed or was interrupted. The code is that of the operating system.",
      cure:
        "`ENOTFOUND`: the name. `ECONNREFUSED`, `ETIMEDOUT`: server, firewall or proxy. `CERT_…`: its TLS certificate.",
      again: readOnly
    },
    TimedOut: {
      example: patiently(undiscovered(() => hang)),
      cause: "No complete response within `HttpLimits.discoveryTimeout` (10 seconds), redirects included.",
      cure: "Ask the operator. If the server is known to be slow, raise the limit.",
      again: readOnly
    },
    Status: {
      example: undiscovered(() => text("", { status: 503, headers: { "retry-after": "120" } })),
      cause: "The server responded with an error status.",
      cure:
        "Wait as long as `retryAfter` says. 401 or 403: the metadata are public; a gateway may require credentials.",
      again:
        "Retried if the status is temporary and the server did not require a longer wait. Safe to call again after `retryAfter`."
    },
    NotJson: {
      example: undiscovered(html),
      cause: "The response is not JSON. It may be a login page, a captive portal or a page of a proxy.",
      cure: "Open the URL with curl and see which program responds.",
      again: final
    },
    NotObject: {
      example: undiscovered(() => json([])),
      cause: "The response is JSON, but not an object.",
      cure: "The document is not UDAP metadata: compare the URL, then ask the operator.",
      again: final
    },
    TooLarge: {
      example: undiscovered(() => json({ text: "x".repeat(2_000) }), fhirBaseUrl, undefined, smallLimits),
      cause: "The response is longer than `HttpLimits.maxResponseBytes` (1 MiB; a small one here).",
      cure: "UDAP metadata have a few kilobytes: look at the response before you raise the limit.",
      again: final
    },
    RedirectRefused: {
      example: undiscovered(() => text("", { status: 302, headers: { location: "http://portal.example.org/login" } })),
      cause: "The server redirects to http, or for the fourth time in a row.",
      cure: "If you trust the URL it redirects to, configure that URL.",
      again: final
    },
    InsecureEndpoint: {
      example: undiscovered(html, "http://ehr.example.org/fhir"),
      cause: "The FHIR base URL is not https.",
      cure: "Use https. For a server on this machine, use a loopback host and set `allowInsecureLocalhost`.",
      again: nothingSent
    }
  }
})
