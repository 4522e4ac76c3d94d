/**
 * The CRLs and OCSP responders of the sandbox's authorities (RFC 5280, section 5; RFC 6960).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as pkijs from "pkijs"
import * as Http from "./http.js"
import * as Pki from "./pki.js"
import { ocspResponse } from "./pkiOcsp.js"
import type { Authority, UdapPki } from "./udapPki.js"
import type { Misbehaviour } from "./udapServer.js"

/** The CRL of an authority. */
export const crl = (authority: Authority, wrong: Misbehaviour["crl"]): Effect.Effect<Uint8Array> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    return yield* Pki.crl(authority, authority.revoked.map(({ serial }) => serial), {
      ...(wrong === "Expired" ? { from: now - 9 * Pki.DAY, to: now - Pki.DAY } : {}),
      ...(wrong === "NotYetValid" ? { from: now + Pki.DAY, to: now + 9 * Pki.DAY } : {}),
      ...(wrong === "WrongSigner" ? { keys: yield* Pki.newKeys("p256") } : {})
    })
  })

/** An OCSP response that says "try later" (RFC 6960, section 4.2.1). */
const tryLater = new Uint8Array([0x30, 0x03, 0x0a, 0x01, 0x03])

const requestedSerial = (body: string): pkijs.CertID["serialNumber"] | undefined =>
  Either.getOrUndefined(
    Either.flatMap(Encoding.decodeBase64(body), (der) =>
      Either.try(() =>
        pkijs.OCSPRequest.fromBER(new Uint8Array(der)).tbsRequest.requestList[0]?.reqCert.serialNumber
      ))
  )

const ocsp = (
  authority: Authority,
  body: string,
  wrong: Misbehaviour["ocsp"]
): Effect.Effect<Uint8Array | undefined> =>
  Effect.gen(function*() {
    if (wrong === "TryLater") return tryLater
    if (wrong === "Garbage") return new TextEncoder().encode("not an OCSP response")
    const serial = requestedSerial(body)
    const about = serial === undefined ? undefined : authority.issued.find((one) => one.serial.isEqual(serial))
    if (about === undefined) return undefined
    const now = yield* Clock.currentTimeMillis
    const status = wrong === "Unknown" ? "unknown" : authority.revoked.includes(about) ? "revoked" : "good"
    return yield* ocspResponse(about, authority, status, {
      ...(wrong === "Expired" ? { from: now - 9 * Pki.DAY, to: now - Pki.DAY } : {}),
      ...(wrong === "WrongSigner"
        ? { signer: { ...authority, keys: yield* Pki.newKeys("p256") } }
        : {})
    })
  })

/** Responds to a request for a CRL. */
export const handleCrl = (
  authority: Authority,
  misbehaviour: () => Misbehaviour
): Effect.Effect<Http.SandboxResponse> =>
  Effect.map(
    Effect.suspend(() => crl(authority, misbehaviour().crl)),
    (der) => Http.binary(der, "application/pkix-crl")
  )

/** Responds to an OCSP request; a certificate that the authority did not issue gets status 404. */
export const handleOcsp = (
  authority: Authority,
  request: Http.SandboxRequest,
  misbehaviour: () => Misbehaviour
): Effect.Effect<Http.SandboxResponse> =>
  Effect.map(
    Effect.suspend(() => ocsp(authority, request.body, misbehaviour().ocsp)),
    (der) => der === undefined ? Http.empty(404) : Http.binary(der, "application/ocsp-response")
  )

/** The authority of a path below `/pki/`. */
export const authorityAt = (pki: UdapPki, path: string): Authority | undefined =>
  pki.authorities.get(/^\/pki\/(\d+)(?:\.crl|\/ocsp)$/.exec(path)?.[1] ?? "")
