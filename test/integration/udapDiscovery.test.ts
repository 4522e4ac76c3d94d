/**
 * Discovery and trust of the library with a UDAP server over HTTP: the sandbox misbehaves in one way at a time.
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import { RetryPolicy } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import { TrustError, TrustPolicy, UdapDiscovery } from "effect-safire/udap"

const sandbox = (options: SandboxUdap.Options = {}) =>
  SandboxUdap.layerServer(options).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
  )

/** The library's discovery, which trusts the communities of the sandbox. */
const discovery = Layer.unwrapEffect(Effect.gen(function*() {
  const udap = yield* SandboxUdap.SandboxUdap
  const communities = yield* Effect.forEach(
    udap.communities,
    (uri) => Effect.map(udap.anchors(uri), (anchors) => [uri, { anchors }] as const)
  )
  return UdapDiscovery.layer().pipe(
    Layer.provide(
      TrustPolicy.layer({ communities: Object.fromEntries(communities), allowInsecureLocalhost: true })
    ),
    Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
    Layer.provide(NodeTransport.layer())
  )
}))

const metadata = (community: string = SandboxUdap.communityOne) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const { metadata } = yield* UdapDiscovery.UdapDiscovery
    return yield* metadata(ehr.fhirBaseUrl, { community, allowInsecureLocalhost: true })
  }).pipe(Effect.provide(discovery))

/** The reason of the failure, and of each problem. */
const reasons = Effect.map(
  Effect.flip(metadata()),
  (error) => error instanceof TrustError ? error.problems.map(({ reason }) => reason) : [error.reason]
)

interface Violation {
  readonly change: SandboxUdap.Misbehaviour
  readonly reasons: ReadonlyArray<string>
}

const changed = (
  claims: Readonly<Record<string, unknown>>,
  ...expected: ReadonlyArray<string>
): Violation => ({ change: { claims }, reasons: expected })

const certificate = (kind: SandboxUdap.CertificateKind, ...expected: ReadonlyArray<string>): Violation => ({
  change: { certificate: kind },
  reasons: expected
})

const large = Encoding.encodeBase64(new Uint8Array(1024))

const violations: Readonly<Record<string, Violation>> = {
  "[UDAP-16] no UDAP": { change: { withoutUdap: true }, reasons: ["NotSupported"] },
  "an expired certificate": certificate("Expired", "Expired"),
  "a certificate that is not yet valid": certificate("NotYetValid", "NotYetValid"),
  "a revoked certificate": certificate("Revoked", "Revoked"),
  "[UDAP-48] a certificate with another URI": certificate("WrongSan", "IssuerNotInCertificate"),
  "[UDAP-48] a certificate with a DNS name only": certificate("DnsOnlySan", "IssuerNotInCertificate"),
  "a certificate whose key may not sign": certificate("KeyUsage", "KeyUsage"),
  "a certificate outside its issuer's name constraints": certificate("NameConstraint", "NameConstraint"),
  "a certificate below an authority that may issue none": certificate("PathLength", "PathTooLong"),
  "a certificate signed with SHA-1": certificate("Sha1", "UnsupportedAlgorithm"),
  "a certificate of another community": certificate("OtherCommunity", "Untrusted"),
  "a certificate of an unknown authority": certificate("UnknownRoot", "Untrusted"),
  "a changed signature": { change: { signature: "Tampered" }, reasons: ["SignedMetadataSignature"] },
  "a signature by another key": { change: { signature: "OtherKey" }, reasons: ["SignedMetadataSignature"] },
  "a signature with ES256": { change: { signature: "ES256" }, reasons: ["SignedMetadataAlgorithm"] },
  "[UDAP-50] another iss": changed(
    { iss: "https://other.sandbox.test/fhir" },
    "IssuerNotInCertificate",
    "IssuerMismatch",
    "SubjectMismatch"
  ),
  "[UDAP-51] another sub": changed({ sub: "https://other.sandbox.test/fhir" }, "SubjectMismatch"),
  "[UDAP-52] an exp that has passed": changed({ iat: 1, exp: 2 }, "SignedMetadataExpired"),
  "[UDAP-55] no jti": changed({ jti: undefined }, "ClaimMissing"),
  "[UDAP-58] no token_endpoint": changed({ token_endpoint: undefined }, "EndpointMissing"),
  "[UDAP-59] a registration_endpoint over http": changed(
    { registration_endpoint: "http://auth.sandbox.test/register" },
    "EndpointInsecure"
  ),
  "[UDAP-8] no x5c": { change: { header: { x5c: undefined } }, reasons: ["SignedMetadataMalformed"] },
  "an x5c of 2 MB": {
    change: { header: { x5c: Array.from({ length: 1500 }, () => large) } },
    reasons: ["TooLarge"]
  },
  "a text in place of signed_metadata": {
    change: { metadata: { signed_metadata: "not a JWT" } },
    reasons: ["SignedMetadataMalformed"]
  },
  "no signed_metadata": { change: { metadata: { signed_metadata: undefined } }, reasons: ["SignedMetadataMissing"] },
  "an expired CRL": { change: { crl: "Expired" }, reasons: ["RevocationUnknown"] },
  "a CRL that is not yet valid": { change: { crl: "NotYetValid" }, reasons: ["RevocationUnknown"] },
  "a CRL by another key": { change: { crl: "WrongSigner" }, reasons: ["RevocationUnknown"] }
}

describe("a UDAP server over HTTP is not trusted with", () => {
  for (const [name, violation] of Object.entries(violations)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const udap = yield* SandboxUdap.SandboxUdap
        yield* udap.misbehave(violation.change)
        const found = yield* Effect.timeout(reasons, "10 seconds")
        assert.deepStrictEqual([...new Set(found)], [...violation.reasons])
        yield* udap.behave
        assert.strictEqual((yield* metadata()).tokenEndpoint, udap.endpoints.token)
      }).pipe(Effect.provide(sandbox())))
  }

  const wrongOcsp: Readonly<Record<NonNullable<SandboxUdap.Misbehaviour["ocsp"]>, string>> = {
    Expired: "RevocationUnknown",
    WrongSigner: "RevocationUnknown",
    Unknown: "RevocationUnknown",
    TryLater: "RevocationUnknown",
    Garbage: "RevocationUnknown"
  }
  it.live("an OCSP response that is wrong", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      for (const [ocsp, reason] of Object.entries(wrongOcsp)) {
        yield* udap.misbehave({ ocsp: ocsp as NonNullable<SandboxUdap.Misbehaviour["ocsp"]> })
        assert.include(yield* reasons, reason, ocsp)
      }
      yield* udap.misbehave({ ocsp: undefined, certificate: "Revoked" })
      assert.deepStrictEqual(yield* reasons, ["Revoked"])
      yield* udap.behave
      assert.strictEqual((yield* metadata()).tokenEndpoint, udap.endpoints.token)
    }).pipe(Effect.provide(sandbox({ udap: { revocation: "ocsp" } }))))
})

describe("with a UDAP server over HTTP", () => {
  it.live("each community has its own certificate, and an unknown community is a result of its own", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      for (const uri of udap.communities) {
        const found = yield* metadata(uri)
        assert.strictEqual(found.community, uri)
        assert.include(found.certificatePath.at(-1), uri)
      }
      yield* udap.misbehave({ ignoreCommunity: true })
      const error = yield* Effect.flip(metadata(SandboxUdap.communityTwo))
      assert.deepInclude(error, { _tag: "TrustError", reason: "Untrusted" })
    }).pipe(Effect.provide(sandbox())))

  it.live("a CRL of 50 MB and a CRL that never arrives end in a typed error", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      yield* ehr.fault("crl", SandboxEhr.Fault.oversize(50_000_000), 2)
      const error = yield* Effect.timeout(Effect.flip(metadata()), "20 seconds")
      assert.deepInclude(error, { _tag: "TrustError", reason: "RevocationUnavailable" })
      yield* ehr.clearFaults
      yield* ehr.fault("crl", SandboxEhr.Fault.drop, 2)
      assert.deepInclude(yield* Effect.flip(metadata()), { _tag: "TrustError", reason: "RevocationUnavailable" })
    }).pipe(Effect.provide(sandbox())))

  it.live("faults of the metadata request end in a typed error", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const { Fault } = SandboxEhr
      const faults = [
        [Fault.status(503), "Status"],
        [Fault.html(), "NotJson"],
        [Fault.notJson(), "NotJson"],
        [Fault.emptyBody(), "NotJson"],
        [Fault.oversize(20_000_000), "TooLarge"],
        [Fault.drop, "Unreachable"],
        [Fault.redirect("http://169.254.169.254/udap"), "RedirectRefused"]
      ] as const
      for (const [fault, reason] of faults) {
        yield* ehr.fault("udap", fault)
        assert.deepInclude(yield* Effect.flip(metadata()), { _tag: "UdapDiscoveryError", reason })
      }
      assert.lengthOf(yield* ehr.pendingFaults, 0)
    }).pipe(Effect.provide(sandbox())))
})
