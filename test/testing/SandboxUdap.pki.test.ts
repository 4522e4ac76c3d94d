import { execFileSync } from "node:child_process"
import { X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"
import * as SandboxUdap from "../../src/testing/SandboxUdap.js"
import { get } from "../support/rawApp.js"
import * as App from "../support/rawUdapApp.js"

/** The exit code and the output of openssl; undefined where it is not installed. */
const openssl = (...args: ReadonlyArray<string>): { readonly ok: boolean; readonly text: string } | undefined => {
  try {
    return { ok: true, text: execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }) }
  } catch (error) {
    const failed = error as { readonly code?: string; readonly stdout?: string; readonly stderr?: string }
    return failed.code === "ENOENT" ? undefined : { ok: false, text: `${failed.stdout ?? ""}${failed.stderr ?? ""}` }
  }
}

const hasOpenssl = openssl("version") !== undefined

const pem = (label: string, ders: ReadonlyArray<Uint8Array>): string =>
  ders.map((der) => `-----BEGIN ${label}-----\n${Encoding.encodeBase64(der)}\n-----END ${label}-----\n`).join("")

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sandbox-udap-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Writes files into a directory of the test. */
const files = Effect.map(directory, (path) => (name: string, content: string | Uint8Array) => {
  Fs.writeFileSync(Path.join(path, name), content)
  return Path.join(path, name)
})

/** Downloads from a URL of a certificate. */
const download = (url: string, request = HttpClientRequest.get(url)) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(request)
    return new Uint8Array(yield* response.arrayBuffer)
  }))

/** The verdict of `openssl verify` on a chain, with the CRLs of its community. */
const verify = (
  { chain, community }: SandboxUdap.Credentials,
  crls: ReadonlyArray<Uint8Array> | undefined = undefined
) =>
  Effect.gen(function*() {
    const udap = yield* SandboxUdap.SandboxUdap
    const file = yield* files
    return openssl(
      "verify",
      "-x509_strict",
      "-auth_level",
      "2",
      "-crl_check_all",
      "-trusted",
      file("anchors.pem", pem("CERTIFICATE", yield* udap.anchors(community))),
      "-untrusted",
      file("others.pem", pem("CERTIFICATE", chain.slice(1))),
      "-CRLfile",
      file("crls.pem", pem("X509 CRL", crls ?? (yield* udap.crls(community)))),
      file("leaf.pem", pem("CERTIFICATE", chain.slice(0, 1)))
    )
  })

const issue = (request: Partial<SandboxUdap.CertificateRequest> = {}) =>
  Effect.flatMap(
    SandboxUdap.SandboxUdap,
    (udap) => udap.issueCertificate({ uri: "https://app.permitted.example/udap", keys: "p256", ...request })
  )

const verdicts: Readonly<Record<SandboxUdap.CertificateKind, RegExp>> = {
  Valid: /leaf\.pem: OK/,
  WrongSan: /leaf\.pem: OK/,
  DnsOnlySan: /leaf\.pem: OK/,
  // Which use of the key is needed depends on the protocol: openssl does not know it.
  KeyUsage: /leaf\.pem: OK/,
  Expired: /certificate has expired/,
  NotYetValid: /certificate is not yet valid/,
  Revoked: /certificate revoked/,
  NameConstraint: /permitted subtree violation/,
  PathLength: /path length constraint exceeded/,
  Sha1: /CA signature digest algorithm too weak|signature digest algorithm too weak|md too weak/i,
  OtherCommunity: /unable to get (?:local )?issuer certificate/,
  UnknownRoot: /unable to get (?:local )?issuer certificate/
}

describe("the certificates of the UDAP sandbox", () => {
  for (const [kind, verdict] of Object.entries(verdicts)) {
    it.scopedLive.skipIf(!hasOpenssl)(
      `of the kind ${kind} have that error alone, by openssl`,
      () =>
        Effect.gen(function*() {
          const credentials = yield* issue({ kind: kind as SandboxUdap.CertificateKind })
          const result = yield* verify(credentials)
          assert.match(result?.text ?? "", verdict)
          const errors = (result?.text ?? "").match(/^error \d+/gm) ?? []
          assert.isAtMost(new Set(errors).size, 1, result?.text)
        }).pipe(Effect.provide(SandboxUdap.layerHttpClient()))
    )
  }

  it.effect("have the subject alternative name and the key usage of their kind", () =>
    Effect.gen(function*() {
      const san = (kind: SandboxUdap.CertificateKind) =>
        Effect.map(issue({ kind }), ({ certificate }) => new X509Certificate(certificate).subjectAltName)
      assert.strictEqual(yield* san("Valid"), "URI:https://app.permitted.example/udap")
      assert.strictEqual(yield* san("WrongSan"), "URI:https://other.sandbox.test/client")
      assert.strictEqual(yield* san("DnsOnlySan"), "DNS:app.permitted.example")
      const { certificate } = yield* issue({ kind: "KeyUsage" })
      const text = openssl("x509", "-inform", "DER", "-noout", "-text", "-in", yield* written(certificate))?.text
      if (text !== undefined) {
        assert.match(text, /Key Encipherment/)
        assert.notMatch(text, /Digital Signature/)
      }
    }).pipe(Effect.scoped, Effect.provide(SandboxUdap.layerHttpClient())))

  it.effect("have keys of the requested kind, as PKCS #8 and as a CryptoKey", () =>
    Effect.gen(function*() {
      for (const [keys, alg] of [["rsa", "RS256"], ["p256", "ES256"], ["p384", "ES384"]] as const) {
        const { certificate, chainPem, privateKeyPem } = yield* issue({ keys })
        assert.strictEqual(new X509Certificate(chainPem).raw.compare(certificate), 0)
        const jwt = yield* Effect.promise(() =>
          jose.importPKCS8(Redacted.value(privateKeyPem), alg).then((key) =>
            new jose.CompactSign(new Uint8Array([1])).setProtectedHeader({ alg }).sign(key)
          )
        )
        yield* Effect.promise(() =>
          jose.importX509(new X509Certificate(chainPem).toString(), alg).then((key) => jose.compactVerify(jwt, key))
        )
      }
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient())))

  it.effect("are generated only when they are needed", () => {
    const generateKey = vi.spyOn(globalThis.crypto.subtle, "generateKey")
    return Effect.gen(function*() {
      const { endpoints } = yield* SandboxEhr.SandboxEhr
      yield* get(endpoints.smartConfiguration)
      yield* App.udapAuthorizationUrl("unknown")
      assert.strictEqual(generateKey.mock.calls.length, 0)
      yield* issue()
      // The keys of root, intermediate and certificate.
      assert.strictEqual(generateKey.mock.calls.length, 3)
    }).pipe(
      Effect.provide(SandboxUdap.layerHttpClient()),
      Effect.ensuring(Effect.sync(() => generateKey.mockRestore()))
    )
  })
})

/** A file with a certificate. */
const written = (der: Uint8Array) => Effect.map(files, (file) => file("certificate.der", der))

describe("the CRLs of the UDAP sandbox", () => {
  const distributionPoint = (certificate: Uint8Array) =>
    Effect.map(written(certificate), (file) =>
      /URI:(\S+)/.exec(
        openssl("x509", "-inform", "DER", "-noout", "-ext", "crlDistributionPoints", "-in", file)?.text ?? ""
      )?.[1] ?? "")

  it.scopedLive.skipIf(!hasOpenssl)(
    "are at the distribution points of the certificates, and name what is revoked",
    () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const udap = yield* SandboxUdap.SandboxUdap
        const credentials = yield* issue()
        const served = Effect.forEach(
          credentials.chain,
          (certificate) => Effect.flatMap(distributionPoint(certificate), (url) => download(url))
        )
        assert.match((yield* verify(credentials, yield* served))?.text ?? "", /: OK/)
        yield* udap.revokeCertificate(credentials.certificate)
        assert.match((yield* verify(credentials, yield* served))?.text ?? "", /certificate revoked/)
        const other = yield* issue()
        assert.match((yield* verify(other, yield* served))?.text ?? "", /: OK/)
        yield* udap.revokeCertificate(other.chain[1] ?? new Uint8Array())
        assert.match((yield* verify(other, yield* served))?.text ?? "", /certificate revoked/)
        assert.strictEqual((yield* ehr.requests).every(({ step }) => step === "crl"), true)
      }).pipe(Effect.provide(SandboxUdap.layerHttpClient()))
  )

  it.scopedLive.skipIf(!hasOpenssl)("can be expired, not yet valid or by another key", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const credentials = yield* issue()
      const wrong = [
        ["Expired", /CRL has expired/],
        ["NotYetValid", /CRL is not yet valid/],
        ["WrongSigner", /CRL signature failure|unable to get certificate CRL/]
      ] as const
      for (const [crl, verdict] of wrong) {
        yield* udap.misbehave({ crl })
        assert.match((yield* verify(credentials))?.text ?? "", verdict)
      }
      yield* udap.behave
      assert.match((yield* verify(credentials))?.text ?? "", /: OK/)
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient())))
})

describe("the OCSP responder of the UDAP sandbox", () => {
  /** What openssl says of the response about the leaf of a chain. */
  const status = ({ chain: [leaf = new Uint8Array(), issuer = new Uint8Array()] }: SandboxUdap.Credentials) =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const file = yield* files
      const certificates = [
        "-issuer",
        file("issuer.pem", pem("CERTIFICATE", [issuer])),
        "-cert",
        file("leaf.pem", pem("CERTIFICATE", [leaf]))
      ]
      const request = file("request.der", "")
      openssl("ocsp", ...certificates, "-no_nonce", "-reqout", request)
      const url = /URI:(\S+)/.exec(new X509Certificate(leaf).infoAccess ?? "")?.[1] ?? ""
      const response = yield* download(
        url,
        HttpClientRequest.post(url).pipe(
          HttpClientRequest.bodyUint8Array(Fs.readFileSync(request), "application/ocsp-request")
        )
      )
      const anchors = file("anchors.pem", pem("CERTIFICATE", [...(yield* udap.anchors()), issuer]))
      return openssl(
        "ocsp",
        ...certificates,
        "-respin",
        file("response.der", response),
        "-CAfile",
        anchors,
        "-no_nonce"
      )
        ?.text ?? ""
    })

  it.scopedLive.skipIf(!hasOpenssl)(
    "responds whether a certificate is revoked, or with an invalid response",
    () =>
      Effect.gen(function*() {
        const udap = yield* SandboxUdap.SandboxUdap
        const credentials = yield* issue()
        assert.match(yield* status(credentials), /leaf\.pem: good/)
        const wrong = [
          ["Expired", /Status times invalid|status expired/],
          ["WrongSigner", /Response Verify Failure/],
          ["Unknown", /leaf\.pem: unknown/],
          ["TryLater", /trylater/],
          ["Garbage", /Error|error/]
        ] as const
        for (const [ocsp, verdict] of wrong) {
          yield* udap.misbehave({ ocsp })
          assert.match(yield* status(credentials), verdict)
        }
        yield* udap.behave
        yield* udap.revokeCertificate(credentials.certificate)
        assert.match(yield* status(credentials), /leaf\.pem: revoked/)
      }).pipe(Effect.provide(SandboxUdap.layerHttpClient({ udap: { revocation: "ocsp" } })))
  )
})

describe("the signed metadata of the UDAP sandbox", () => {
  const metadata = Effect.gen(function*() {
    const udap = yield* SandboxUdap.SandboxUdap
    const { body } = yield* get(udap.endpoints.metadata)
    const jwt = String(body["signed_metadata"])
    const header = jose.decodeProtectedHeader(jwt)
    const verifies = yield* Effect.promise(() =>
      jose.importX509(
        pem("CERTIFICATE", [new Uint8Array(Buffer.from(String(header.x5c?.[0]), "base64"))]),
        header.alg ?? ""
      ).then((key) => jose.compactVerify(jwt, key)).then(() => true, () => false)
    )
    return { body, header, verifies, claims: jose.decodeJwt(jwt) }
  })

  it.effect("has a new jti, and is valid for a day", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* metadata, yield* metadata]
      assert.isTrue(one.verifies)
      assert.strictEqual(one.header.alg, "RS256")
      assert.notStrictEqual(one.claims.jti, two.claims.jti)
      assert.strictEqual((one.claims.exp ?? 0) - (one.claims.iat ?? 0), 86_400)
      assert.deepStrictEqual(one.header.x5c, two.header.x5c)
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient())))

  it.effect("has the deviation that the test chooses", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const wrong = (change: SandboxUdap.Misbehaviour) =>
        Effect.zipRight(udap.misbehave(change), Effect.zipLeft(metadata, udap.behave))
      assert.isFalse((yield* wrong({ signature: "Tampered" })).verifies)
      assert.isFalse((yield* wrong({ signature: "OtherKey" })).verifies)
      const es256 = yield* wrong({ signature: "ES256" })
      assert.deepStrictEqual([es256.header.alg, es256.verifies], ["ES256", true])
      assert.isUndefined((yield* wrong({ claims: { sub: undefined } })).claims.sub)
      assert.strictEqual(
        (yield* wrong({ claims: { iss: "https://other.sandbox.test" } })).claims.iss,
        "https://other.sandbox.test"
      )
      assert.deepStrictEqual((yield* wrong({ header: { crit: ["x"] } })).header.crit, ["x"])
      const plain = yield* wrong({
        metadata: { token_endpoint: "https://evil.sandbox.test", scopes_supported: undefined }
      })
      assert.strictEqual(plain.body["token_endpoint"], "https://evil.sandbox.test")
      assert.isUndefined(plain.body["scopes_supported"])
      assert.strictEqual(plain.claims["token_endpoint"], udap.endpoints.token)
      const expired = yield* wrong({ certificate: "Expired" })
      const leaf = new X509Certificate(Buffer.from(String(expired.header.x5c?.[0]), "base64"))
      assert.isBelow(Date.parse(leaf.validTo), 0)
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient())))

  it.effect("is the first community's for all communities of a server that ignores them", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      yield* udap.misbehave({ ignoreCommunity: true })
      const { status } = yield* get(`${udap.endpoints.metadata}?community=urn:unknown`)
      assert.strictEqual(status, 200)
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient())))

  it.effect("has the faults of the step udap, and the registration endpoint those of register", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const udap = yield* SandboxUdap.SandboxUdap
      yield* ehr.fault("udap", SandboxEhr.Fault.status(503))
      assert.strictEqual((yield* get(udap.endpoints.metadata)).status, 503)
      yield* ehr.fault("register", SandboxEhr.Fault.mutate((members) => ({ ...members, client_id: 1 })))
      assert.strictEqual((yield* App.registerBackend()).clientId, "1")
      assert.lengthOf(yield* udap.registrations, 1)
    }).pipe(Effect.provide(SandboxUdap.layerHttpClient())))
})
