/** The rules for OCSP responses: a function of a response and two certificates. */
import { assert, describe, it } from "@effect/vitest"
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as pki from "pkijs"
import * as Pki from "../../src/testing/internal/pki.js"
import { type OcspOptions, ocspResponse } from "../../src/testing/internal/pkiOcsp.js"
import * as certificates from "../../src/udap/internal/certificate.js"
import * as ocsp from "../../src/udap/internal/ocsp.js"
import { base, NOW } from "./artefacts.js"

interface Conditions {
  readonly now?: number
  readonly skew?: number
  readonly isUnrevoked?: boolean
}

const parsed = (issued: Pki.Issued) => Either.getOrThrow(certificates.parse(issued.der))

/** The status with its end after now, or the rule and the detail of the problem. */
const judge = (response: Uint8Array, { isUnrevoked = false, now = NOW, skew = 0 }: Conditions = {}) =>
  Effect.gen(function*() {
    const { inter, leaf } = yield* base
    const basic = ocsp.parse(response)
    if (Either.isLeft(basic)) return `${basic.left.rule}: ${basic.left.detail}`
    const status = yield* ocsp.status(
      basic.right,
      parsed(leaf),
      parsed(inter),
      { now, skew },
      () => Effect.succeed(isUnrevoked)
    )
    if (status._tag === "Unusable") return `${status.rule}: ${status.detail}`
    return status._tag === "Good" ? `Good, ${status.until - NOW}` : status._tag
  })

/** A response about the leaf by its issuer. */
const respond = (options: OcspOptions = {}, status: "good" | "revoked" | "unknown" = "good") =>
  Effect.flatMap(base, ({ inter, leaf }) => ocspResponse(leaf, inter, status, options))

const outcome = (options: OcspOptions = {}, conditions: Conditions = {}) =>
  Effect.flatMap(respond(options), (response) => judge(response, conditions))

const single = (basic: pki.BasicOCSPResponse) => basic.tbsResponseData.responses[0] ?? assert.fail("no response")

const HOUR = 3_600_000
const SIGNING = Pki.extendedKeyUsage("1.3.6.1.5.5.7.3.9")
const NO_CHECK = Pki.extension(Pki.Oid.ocspNoCheck, false, new asn1.Null().toBER())

/** A delegate of the issuer. */
const delegate = (change: Partial<Pki.CertificateOptions> = {}) =>
  Effect.flatMap(
    base,
    ({ inter }) => Pki.issue({ commonName: "Responder", by: inter, extensions: [SIGNING, NO_CHECK], ...change })
  )

const OTHERS = "RFC 6960, 3.2: its signature is by neither the issuer of the certificate nor its responder"

describe("an OCSP response", () => {
  it.effect("is valid between its dates, both included; a clock may be behind by the skew", () =>
    Effect.gen(function*() {
      const response = yield* respond({ from: NOW - HOUR, to: NOW + HOUR })
      const at = (now: number, skew = 0) => judge(response, { now, skew })
      assert.strictEqual(yield* at(NOW), `Good, ${HOUR}`)
      assert.strictEqual(yield* at(NOW - HOUR), `Good, ${HOUR}`)
      assert.strictEqual(yield* at(NOW + HOUR), `Good, ${HOUR}`)
      assert.match(yield* at(NOW - HOUR - 1), /^RFC 6960, 3\.2: it is not valid before \d{4}-/)
      assert.strictEqual(yield* at(NOW - HOUR - 1_000, 1_000), `Good, ${HOUR}`)
      assert.match(yield* at(NOW - HOUR - 1_001, 1_000), /^RFC 6960, 3\.2: it is not valid before \d{4}-/)
      assert.match(yield* at(NOW + HOUR + 1, 1_000), /^RFC 6960, 3\.2: it ended on \d{4}-/)
    }))

  it.effect("without an end is valid for five minutes", () =>
    Effect.gen(function*() {
      const response = yield* respond({
        from: NOW,
        change: (basic) => {
          delete single(basic).nextUpdate
        }
      })
      assert.strictEqual(yield* judge(response), "Good, 300000")
      assert.strictEqual(yield* judge(response, { now: NOW + 300_000 }), "Good, 300000")
      assert.match(yield* judge(response, { now: NOW + 300_001 }), /it ended on/)
    }))

  it.effect("identifies the certificate with SHA-1 or SHA-256, by issuer and serial number", () =>
    Effect.gen(function*() {
      const { inter, leaf, root } = yield* base
      const identified = (by: Pki.Issued, about: Pki.Issued, hashAlgorithm: string) => {
        const id = new pki.CertID()
        return Effect.flatMap(
          Effect.promise(() => id.createForCertificate(about.x509, { hashAlgorithm, issuerCertificate: by.x509 })),
          () =>
            outcome({
              change: (basic) => {
                single(basic).certID = id
              }
            })
        )
      }
      const other = "RFC 6960, 3.2: it is about another certificate"
      assert.strictEqual(yield* identified(inter, leaf, "SHA-1"), `Good, ${24 * HOUR}`)
      assert.strictEqual(yield* identified(inter, leaf, "SHA-256"), `Good, ${24 * HOUR}`)
      assert.strictEqual(yield* identified(inter, leaf, "SHA-384"), other)
      assert.strictEqual(yield* identified(root, leaf, "SHA-1"), other)
      assert.strictEqual(yield* identified(inter, inter, "SHA-1"), other)
    }))

  it.effect("is not about a certificate of which the runtime makes no digest", () =>
    Effect.gen(function*() {
      const response = yield* respond()
      const { subtle } = globalThis.crypto
      const { digest } = subtle
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          subtle.digest = () => Promise.reject(new Error("not in this mode"))
        }),
        () =>
          Effect.sync(() => {
            subtle.digest = digest
          })
      )
      assert.strictEqual(yield* judge(response), "RFC 6960, 3.2: it is about another certificate")
    }).pipe(Effect.scoped))

  it.effect("may be about several certificates, of which eight are read", () =>
    Effect.gen(function*() {
      const { inter, root } = yield* base
      const id = new pki.CertID()
      yield* Effect.promise(() =>
        id.createForCertificate(inter.x509, { hashAlgorithm: "SHA-1", issuerCertificate: root.x509 })
      )
      const behind = (count: number) =>
        outcome({
          change: ({ tbsResponseData }) => {
            const [first] = tbsResponseData.responses
            if (first === undefined) return
            const { certStatus, thisUpdate } = first
            const others = Array.from(
              { length: count },
              () => new pki.SingleResponse({ certID: id, certStatus, thisUpdate })
            )
            tbsResponseData.responses = [...others, first]
          }
        })
      assert.strictEqual(yield* behind(7), `Good, ${24 * HOUR}`)
      assert.strictEqual(yield* behind(8), "RFC 6960, 3.2: it is about another certificate")
      assert.strictEqual(
        yield* outcome({
          change: ({ tbsResponseData }) => {
            tbsResponseData.responses = []
          }
        }),
        "RFC 6960, 4.2.1: it is malformed"
      )
    }))

  it.effect("with a critical extension is not used", () =>
    Effect.gen(function*() {
      const extension = (critical: boolean) => Pki.extension("1.2.3", critical, new asn1.Null().toBER())
      const ofSingle = (critical: boolean) =>
        outcome({
          change: (basic) => {
            single(basic).singleExtensions = [extension(critical)]
          }
        })
      const ofResponse = (critical: boolean) =>
        outcome({
          change: ({ tbsResponseData }) => {
            tbsResponseData.responseExtensions = [extension(critical)]
          }
        })
      for (const withExtension of [ofSingle, ofResponse]) {
        assert.strictEqual(yield* withExtension(false), `Good, ${24 * HOUR}`)
        assert.strictEqual(yield* withExtension(true), "RFC 6960, 4.4: it has the unknown critical extension 1.2.3")
      }
    }))

  it.effect("has one of the known statuses", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* judge(yield* respond({}, "revoked")), "Revoked")
      const unknown = "RFC 6960, 2.2: the responder does not know the certificate"
      assert.strictEqual(yield* judge(yield* respond({}, "unknown")), unknown)
    }))

  it.effect("is signed with an accepted algorithm", () =>
    Effect.gen(function*() {
      const { inter, leaf } = yield* base
      const algorithm = new asn1.ObjectIdentifier({ value: "1.2.840.113549.1.1.11" }).toBER()
      const weak = new asn1.ObjectIdentifier({ value: "1.2.840.113549.1.1.5" }).toBER()
      const bytes = Buffer.from(yield* ocspResponse(leaf, inter, "good", { bare: true }))
      Buffer.from(weak).copy(bytes, bytes.lastIndexOf(Buffer.from(algorithm)))
      assert.strictEqual(yield* judge(new Uint8Array(bytes)), "RFC 6960, 4.3: it is signed with SHA-1 with RSA")
    }))
})

describe("an OCSP response by a delegate", () => {
  const by = (change: Partial<Pki.CertificateOptions>, conditions: Conditions = {}) =>
    Effect.flatMap(delegate(change), (signer) => outcome({ signer, to: NOW + 2 * Pki.DAY }, conditions))
  const RULE = "RFC 6960, 4.2.2.2"

  it.effect("is valid no longer than the delegate's certificate", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* by({}), `Good, ${2 * Pki.DAY}`)
      assert.strictEqual(yield* by({ to: NOW + HOUR }), `Good, ${HOUR}`)
      assert.strictEqual(yield* by({ to: NOW }), "Good, 0")
      const outside = `${RULE}: the responder's certificate has expired or is not yet valid`
      assert.strictEqual(yield* by({ to: NOW - 1_000 }, { skew: 1_000 }), outside)
      assert.strictEqual(yield* by({ from: NOW }), `Good, ${2 * Pki.DAY}`)
      assert.strictEqual(yield* by({ from: NOW + 1_000 }), outside)
      assert.strictEqual(yield* by({ from: NOW + 1_000 }, { skew: 1_000 }), `Good, ${2 * Pki.DAY}`)
    }))

  it.effect("is used only if the issuer of the certificate made the delegate, for this purpose", () =>
    Effect.gen(function*() {
      const { inter, keys } = yield* base
      const foreign = `${RULE}: the responder's certificate is not by the issuer of the certificate`
      // A namesake of the issuer, and another name with the issuer's key.
      assert.strictEqual(yield* by({ by: { name: inter.name, keys: keys.evil } }), foreign)
      assert.strictEqual(yield* by({ by: { name: Pki.named("Other"), keys: inter.keys } }), foreign)
      const otherPurpose = `${RULE}: the responder's certificate is not for signing OCSP responses`
      assert.strictEqual(yield* by({ extensions: [NO_CHECK] }), otherPurpose)
      assert.strictEqual(yield* by({ extensions: [Pki.extendedKeyUsage("1.2.3"), NO_CHECK] }), otherPurpose)
    }))

  it.effect("is used only if the delegate is known to be unrevoked, or need not be checked", () =>
    Effect.gen(function*() {
      const unknown = `${RULE}.1: whether the responder's own certificate is revoked is not known`
      assert.strictEqual(yield* by({ extensions: [SIGNING] }), unknown)
      assert.strictEqual(yield* by({ extensions: [SIGNING] }, { isUnrevoked: true }), `Good, ${2 * Pki.DAY}`)
      assert.strictEqual(yield* by({}, { isUnrevoked: false }), `Good, ${2 * Pki.DAY}`)
    }))

  it.effect("has the delegate's certificate among its first four", () =>
    Effect.gen(function*() {
      const { inter, root } = yield* base
      const signer = yield* delegate()
      const weak = yield* delegate({ keys: yield* Pki.newKeys("rsa1024") })
      const behind = (...others: ReadonlyArray<Pki.Issued>) =>
        outcome({
          signer,
          bare: true,
          change: (basic) => {
            basic.certs = [...others, signer].map(({ x509 }) => x509)
          }
        })
      assert.strictEqual(yield* behind(root, inter, weak), `Good, ${24 * HOUR}`)
      // One that cannot be read.
      const twice = yield* delegate({ extensions: [SIGNING, SIGNING] })
      assert.strictEqual(yield* behind(twice), `Good, ${24 * HOUR}`)
      assert.strictEqual(yield* behind(root, inter, weak, root), OTHERS)
      assert.strictEqual(yield* outcome({ signer, bare: true }), OTHERS)
      // A key that is too short does not sign responses.
      assert.strictEqual(yield* outcome({ signer: weak }), OTHERS)
    }))
})

describe("bytes from a responder", () => {
  it.effect("are one response that was made, of the basic type, within the limits", () =>
    Effect.gen(function*() {
      const response = (status: number, type?: string) => {
        const made = new pki.OCSPResponse({
          responseStatus: new asn1.Enumerated({ value: status }),
          ...(type !== undefined && {
            responseBytes: new pki.ResponseBytes({
              responseType: type,
              response: new asn1.OctetString({ valueHex: new asn1.Null().toBER() })
            })
          })
        })
        return judge(new Uint8Array(made.toSchema().toBER()))
      }
      assert.strictEqual(yield* response(3), "RFC 6960, 2.3: the responder answered tryLater")
      assert.strictEqual(yield* response(6), "RFC 6960, 2.3: the responder answered unauthorized")
      assert.strictEqual(yield* response(9), "RFC 6960, 2.3: the responder answered 9")
      assert.strictEqual(yield* response(0), "RFC 6960, 4.2.1: it is not a basic response")
      assert.strictEqual(yield* response(0, "1.2.3"), "RFC 6960, 4.2.1: it is not a basic response")
      assert.strictEqual(yield* response(3, "1.3.6.1.5.5.7.48.1.1"), "RFC 6960, 2.3: the responder answered tryLater")
      const malformed = "RFC 6960, 4.2.1: it is malformed"
      assert.strictEqual(yield* response(0, "1.3.6.1.5.5.7.48.1.1"), malformed)
      assert.strictEqual(yield* judge(new Uint8Array([5, 0])), malformed)
      const not = "RFC 6960, 4.2.1: it is not one DER-encoded OCSP response"
      const filled = (size: number) => {
        const length = size - 4
        return new Uint8Array([0x02, 0x82, length >> 8, length & 0xff, 1, ...new Uint8Array(length - 1)])
      }
      assert.strictEqual(yield* judge(filled(32_768)), malformed)
      assert.strictEqual(yield* judge(filled(32_769)), not)
      const whole = yield* respond()
      assert.strictEqual(yield* judge(new Uint8Array([...whole, 0])), not)
      assert.strictEqual(yield* judge(whole.slice(0, -1)), not)
    }))
})

describe("the responders of a certificate", () => {
  it.effect("are the URIs for OCSP among its access descriptions", () =>
    Effect.gen(function*() {
      const { makeLeaf } = yield* base
      const description = (accessMethod: string, accessLocation: pki.GeneralName) =>
        new pki.AccessDescription({ accessMethod, accessLocation })
      const OCSP = "1.3.6.1.5.5.7.48.1"
      const info = new pki.InfoAccess({
        accessDescriptions: [
          description("1.3.6.1.5.5.7.48.2", Pki.uri("http://a.example/ca.crt")),
          description(OCSP, Pki.dns("b.example")),
          description(OCSP, Pki.uri("http://c.example/")),
          description(OCSP, Pki.uri("http://d.example/"))
        ]
      })
      const leaf = yield* makeLeaf({
        extensions: [Pki.extension(Pki.Oid.authorityInfoAccess, false, info.toSchema().toBER())]
      })
      assert.deepStrictEqual(ocsp.responders(parsed(leaf)), ["http://c.example/", "http://d.example/"])
      assert.deepStrictEqual(ocsp.responders(parsed(yield* makeLeaf({}))), [])
      const empty = yield* makeLeaf({
        extensions: [Pki.extension(Pki.Oid.authorityInfoAccess, false, new Uint8Array([0x30, 2, 0x30, 0]).buffer)]
      })
      assert.deepStrictEqual(ocsp.responders(parsed(empty)), [])
    }))

  it.effect("receive a request that identifies one certificate with SHA-1", () =>
    Effect.gen(function*() {
      const { inter, leaf } = yield* base
      const bytes = (yield* ocsp.request(parsed(leaf), parsed(inter))) ?? assert.fail("no request")
      const { tbsRequest } = pki.OCSPRequest.fromBER(new Uint8Array(bytes))
      assert.lengthOf(tbsRequest.requestList, 1)
      const id = tbsRequest.requestList[0]?.reqCert
      assert.strictEqual(id?.hashAlgorithm.algorithmId, "1.3.14.3.2.26")
      assert.isTrue(id?.serialNumber.isEqual(leaf.serial))
    }))
})
