import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as asn1 from "asn1js"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { TrustPolicy } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import { ocspResponse } from "../../src/testing/internal/pkiOcsp.js"
// The pure rules, for thousands of changed bytes that cannot each be served.
import * as certificates from "../../src/udap/internal/certificate.js"
import * as crls from "../../src/udap/internal/crl.js"
import * as ocsp from "../../src/udap/internal/ocsp.js"
import { base, FHIR_BASE, NOW } from "./artefacts.js"

const quiet = Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.never))
const times = { now: NOW, skew: 0 }

/** Copies with one bit changed, and copies that were cut off or go on, spread over the whole. */
const mutations = (der: Uint8Array, count: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.floor(count) }, (_, i) => {
    const at = Math.floor((i * der.length) / count)
    if (i % 8 === 7) return der.slice(0, at)
    if (i % 8 === 6) return new Uint8Array([...der.slice(0, at), 0, ...der.slice(at)])
    const copy = new Uint8Array(der)
    copy[at] = (copy[at] ?? 0) ^ (1 << (i % 8))
    return copy
  })

describe("changed bytes", () => {
  it.effect("a changed certificate is not trusted and causes no defect", () =>
    Effect.gen(function*() {
      const { crls, inter, leaf, root } = yield* base
      yield* Effect.gen(function*() {
        const { validate } = yield* TrustPolicy.TrustPolicy
        const chains = [
          ...mutations(leaf.der, leaf.der.length / 2).map((der) => [der, inter.der]),
          ...mutations(inter.der, inter.der.length / 4).map((der) => [leaf.der, der])
        ]
        for (const chain of chains) {
          const exit = yield* Effect.exit(validate(chain, { subject: FHIR_BASE }))
          assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause), String(exit))
        }
      }).pipe(Effect.provide(
        TrustPolicy.layer({ communities: { "urn:x": { anchors: [root.der], crls: [crls.root, crls.inter] } } }).pipe(
          Layer.provide(quiet)
        )
      ))
    }), 60_000)

  it.effect(
    "a changed CRL does not make a revoked certificate valid and causes no defect",
    () =>
      Effect.gen(function*() {
        const { inter, leaf } = yield* base
        const [certificate, issuer] = [leaf, inter].map(({ der }) => Either.getOrThrow(certificates.parse(der)))
        if (certificate === undefined || issuer === undefined) return assert.fail("no certificates")
        const revoked = [1, 2, 300].map((value) => new asn1.Integer({ value }))
        const list = yield* Pki.crl(inter, revoked, {
          extensions: [
            Pki.extension(Pki.Oid.issuingDistributionPoint, true, new Uint8Array([0x30, 3, 0x81, 1, 0xff]).buffer)
          ]
        })
        const judged = (der: Uint8Array) =>
          Either.match(crls.parse(der), {
            onLeft: () => Effect.succeed("Malformed"),
            onRight: (crl) => Effect.map(crls.status(crl, certificate, issuer, times), ({ _tag }) => _tag)
          })
        assert.strictEqual(yield* judged(list), "Good")
        for (const der of mutations(list, list.length * 4)) assert.notStrictEqual(yield* judged(der), "Good")
      }),
    60_000
  )

  it.effect(
    "a changed OCSP response does not make a revoked certificate valid and causes no defect",
    () =>
      Effect.gen(function*() {
        const { inter, leaf } = yield* base
        const [certificate, issuer] = [leaf, inter].map(({ der }) => Either.getOrThrow(certificates.parse(der)))
        if (certificate === undefined || issuer === undefined) return assert.fail("no certificates")
        const response = yield* ocspResponse(leaf, inter, "revoked")
        const judged = (der: Uint8Array) =>
          Either.match(ocsp.parse(der), {
            onLeft: () => Effect.succeed("Malformed"),
            onRight: (parsed) =>
              Effect.map(
                ocsp.status(parsed, certificate, issuer, times, () => Effect.succeed(false)),
                ({ _tag }) => _tag
              )
          })
        assert.strictEqual(yield* judged(response), "Revoked")
        for (const der of mutations(response, response.length / 2)) assert.notStrictEqual(yield* judged(der), "Good")
      }),
    60_000
  )
})
