/**
 * OCSP responses for tests, well-formed or wrong in one way.
 */
import * as asn1 from "asn1js"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as pki from "pkijs"
import { DAY, type Issued } from "./pki.js"

/** @internal */
export interface OcspOptions {
  readonly from?: number | undefined
  readonly to?: number | undefined
  /** A delegate of the issuer, or a stranger. Its certificate is in the response. */
  readonly signer?: Issued | undefined
  /** Whether the signer's certificate is left out. */
  readonly bare?: boolean | undefined
  /** Changes the response before it is signed. */
  readonly change?: ((response: pki.BasicOCSPResponse) => void) | undefined
}

const TAGS = { good: 0, revoked: 1, unknown: 2 } as const

const date = (millis: number): Date => DateTime.toDateUtc(DateTime.unsafeMake(Math.floor(millis / 1000) * 1000))

/** @internal */
export const ocspResponse = (
  about: Issued,
  by: Issued,
  status: keyof typeof TAGS,
  options: OcspOptions = {}
): Effect.Effect<Uint8Array> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const signer = options.signer ?? by
    const certID = new pki.CertID()
    yield* Effect.promise(() =>
      certID.createForCertificate(about.x509, { hashAlgorithm: "SHA-1", issuerCertificate: by.x509 })
    )
    const idBlock = { tagClass: 3, tagNumber: TAGS[status] }
    const basic = new pki.BasicOCSPResponse()
    basic.tbsResponseData.responderID = signer.name
    basic.tbsResponseData.producedAt = date(options.from ?? now - 3_600_000)
    basic.tbsResponseData.responses = [
      new pki.SingleResponse({
        certID,
        certStatus: status === "revoked"
          ? new asn1.Constructed({ idBlock, value: [new asn1.GeneralizedTime({ valueDate: date(now - 2 * DAY) })] })
          : new asn1.Primitive({ idBlock, lenBlock: { length: 1 } }),
        thisUpdate: date(options.from ?? now - 3_600_000),
        nextUpdate: date(options.to ?? now + DAY)
      })
    ]
    if (options.bare !== true) basic.certs = [signer.x509]
    options.change?.(basic)
    yield* Effect.promise(() => basic.sign(signer.keys.privateKey, "SHA-256"))
    const response = new pki.OCSPResponse({
      responseStatus: new asn1.Enumerated({ value: 0 }),
      responseBytes: new pki.ResponseBytes({
        responseType: "1.3.6.1.5.5.7.48.1.1",
        response: new asn1.OctetString({ valueHex: basic.toSchema().toBER() })
      })
    })
    return new Uint8Array(response.toSchema().toBER())
  })
