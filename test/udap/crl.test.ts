/** What a CRL says about a certificate: a function of both and the time. */
import { assert, describe, it } from "@effect/vitest"
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Pki from "../../src/testing/internal/pki.js"
import * as certificates from "../../src/udap/internal/certificate.js"
import * as crls from "../../src/udap/internal/crl.js"
import { base, CRL_URL, NOW } from "./artefacts.js"
import { type Bytes, encode, text } from "./encode.js"

const parsed = ({ der }: Pki.Issued) => Either.getOrThrow(certificates.parse(der))

const certificatesOfBase = Effect.map(base, ({ inter, leaf, root }) => ({
  leaf: parsed(leaf),
  inter: parsed(inter),
  root: parsed(root)
}))

/** The status, or the rule that makes the list unusable. */
const shown = (status: crls.Status): string => status._tag === "Unusable" ? status.rule : status._tag

describe("the list of revoked certificates", () => {
  const DATE = encode(0x17, text("260101000000Z"))
  const NULL = [5, 0]
  const entry = (serial: Bytes, ...others: ReadonlyArray<Bytes>) => encode(0x30, encode(0x02, serial), DATE, ...others)
  const extension = (...critical: ReadonlyArray<number>) =>
    encode(0x30, [6, 1, 0x2a], ...critical.map((value) => [1, 1, value]), encode(0x04, NULL))

  const statusIn = (...entries: ReadonlyArray<Bytes>) =>
    Effect.gen(function*() {
      const { inter, leaf } = yield* certificatesOfBase
      const list = Either.getOrThrow(crls.parse(yield* Effect.flatMap(base, ({ inter }) => Pki.crl(inter))))
      const der = new Uint8Array(entries.flatMap((bytes) => [...bytes]))
      const revoked = { tag: 0x30, start: 0, content: 0, end: der.length }
      return shown(yield* crls.status({ ...list, der, revoked }, leaf, inter, { now: NOW, skew: 0 }))
    })

  it.effect("revokes the certificates whose serial numbers are in it", () =>
    Effect.gen(function*() {
      const { leaf } = yield* certificatesOfBase
      const serial = [...leaf.serial]
      const last = serial.length - 1
      assert.isAbove(last, 0)
      const other = serial.map((byte, i) => i === last ? byte ^ 1 : byte)
      assert.strictEqual(yield* statusIn(entry(serial)), "Revoked")
      assert.strictEqual(yield* statusIn(entry(other), entry([1]), entry(serial), entry(other)), "Revoked")
      assert.strictEqual(yield* statusIn(), "Good")
      const others = [
        other,
        serial.map((byte, i) => i === 0 ? byte ^ 1 : byte),
        serial.slice(1),
        serial.slice(0, -1),
        [0, ...serial],
        [...serial, 0]
      ]
      assert.strictEqual(yield* statusIn(...others.map((one) => entry(one))), "Good")
    }))

  it.effect("a critical extension of an entry makes it unusable, and others do not", () =>
    Effect.gen(function*() {
      const critical = "RFC 5280, 5.3"
      assert.strictEqual(yield* statusIn(entry([1], encode(0x30, extension()))), "Good")
      assert.strictEqual(yield* statusIn(entry([1], encode(0x30, extension(0)))), "Good")
      assert.strictEqual(yield* statusIn(entry([1], encode(0x30, extension(0xff)))), critical)
      const mixed = encode(0x30, encode(0x30, [6, 1, 0x2b], encode(0x04, NULL)), extension(0xff))
      assert.strictEqual(yield* statusIn(entry([1], mixed)), critical)
      // Extensions that cannot be read may be critical.
      assert.strictEqual(yield* statusIn(entry([1], encode(0x30, NULL))), critical)
    }))

  it.effect("a malformed entry makes it unusable", () =>
    Effect.gen(function*() {
      const serial = encode(0x02, [1])
      const malformed: ReadonlyArray<Bytes> = [
        encode(0x31, serial, DATE),
        encode(0x30),
        encode(0x30, encode(0x04, [1]), DATE),
        encode(0x30, serial),
        encode(0x30, serial, [0x17, 9]),
        encode(0x30, serial, DATE, [0x30, 9]),
        [0x30, 9, 2, 1, 1],
        [0x30]
      ]
      for (const bytes of malformed) {
        assert.strictEqual(yield* statusIn(entry([2]), bytes), "RFC 5280, 5.1.2.6", String(bytes))
      }
    }))

  it.effect("is read in portions of 20,000 entries, between which the event loop goes on", () =>
    Effect.gen(function*() {
      const { inter, leaf } = yield* certificatesOfBase
      const list = Either.getOrThrow(crls.parse(yield* Effect.flatMap(base, ({ inter }) => Pki.crl(inter))))
      const one = entry([1])
      const der = new Uint8Array(one.length * 100_000)
      for (let at = 0; at < der.length; at += one.length) der.set(one, at)
      let turns = 0
      const seen: Array<number> = []
      // Each portion reads the end of the list once.
      const revoked = {
        tag: 0x30,
        start: 0,
        content: 0,
        get end() {
          seen.push(turns)
          return der.length
        }
      }
      const count = () => {
        turns++
        timer = setImmediate(count)
      }
      let timer = setImmediate(count)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearImmediate(timer)))
      const status = yield* crls.status({ ...list, der, revoked }, leaf, inter, { now: NOW, skew: 0 })
      assert.strictEqual(status._tag, "Good")
      assert.lengthOf(seen, 6)
      assert.strictEqual(new Set(seen).size, 6)
    }).pipe(Effect.scoped))
})

describe("the certificates that a CRL covers", () => {
  const scope = (value: Bytes) => Pki.extension(Pki.Oid.issuingDistributionPoint, true, new Uint8Array(value).buffer)

  it.effect("are those of its issuer", () =>
    Effect.gen(function*() {
      const { keys } = yield* base
      const { inter: issuer, leaf } = yield* certificatesOfBase
      // Another name, with the key of the issuer.
      const list = yield* Pki.crl({ name: Pki.named("Other"), keys: keys.inter })
      const status = yield* crls.status(Either.getOrThrow(crls.parse(list)), leaf, issuer, { now: NOW, skew: 0 })
      assert.strictEqual(shown(status), "RFC 5280, 6.3.3 (b)(1)")
    }))

  it.effect("are users or authorities alone, if it says so", () =>
    Effect.gen(function*() {
      const { inter, root } = yield* base
      const found = yield* certificatesOfBase
      const statusOf = (only: number, of: "leaf" | "inter") =>
        Effect.gen(function*() {
          const list = yield* Pki.crl(of === "leaf" ? inter : root, [], {
            extensions: [scope(encode(0x30, [only, 1, 0xff]))]
          })
          const issuer = of === "leaf" ? found.inter : found.root
          return shown(
            yield* crls.status(Either.getOrThrow(crls.parse(list)), found[of], issuer, { now: NOW, skew: 0 })
          )
        })
      const other = "RFC 5280, 6.3.3 (b)(2)"
      assert.deepStrictEqual([yield* statusOf(0x81, "leaf"), yield* statusOf(0x81, "inter")], ["Good", other])
      assert.deepStrictEqual([yield* statusOf(0x82, "leaf"), yield* statusOf(0x82, "inter")], [other, "Good"])
    }))

  it.effect("name one of the points of a list that has several names", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const { inter: issuer } = yield* certificatesOfBase
      const points = ["http://other.example/", CRL_URL].map((uri) => encode(0x86, text(uri)))
      const list = yield* Pki.crl(inter, [], {
        extensions: [scope(encode(0x30, encode(0xa0, encode(0xa0, ...points))))]
      })
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL)] })
      const status = yield* crls.status(Either.getOrThrow(crls.parse(list)), parsed(leaf), issuer, {
        now: NOW,
        skew: 0
      })
      assert.strictEqual(shown(status), "Good")
    }))
})

describe("the issuer of a CRL", () => {
  it.effect("signed it, with a key that may sign CRLs", () =>
    Effect.gen(function*() {
      const { inter, keys, makeInter } = yield* base
      const found = yield* certificatesOfBase
      const times = { now: NOW, skew: 0 }
      const list = Either.getOrThrow(crls.parse(yield* Pki.crl(inter)))
      assert.strictEqual(shown(yield* crls.status(list, found.leaf, found.inter, times)), "Good")
      const only = parsed(yield* makeInter({ keyUsage: 0x04 }))
      assert.strictEqual(shown(yield* crls.status(list, found.leaf, only, times)), "RFC 5280, 6.3.3 (f)")
      const forged = Either.getOrThrow(crls.parse(yield* Pki.crl(inter, [], { keys: keys.evil })))
      assert.strictEqual(shown(yield* crls.status(forged, found.leaf, found.inter, times)), "RFC 5280, 6.3.3 (g)")
    }))

  it.effect("is asked at each distribution point once", () =>
    Effect.gen(function*() {
      const { makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL, "http://b.example/", CRL_URL)] })
      assert.deepStrictEqual(crls.distributionPoints(parsed(leaf)), [CRL_URL, "http://b.example/"])
      assert.deepStrictEqual(crls.distributionPoints(parsed(yield* makeLeaf({}))), [])
    }))
})

describe("the time of a CRL", () => {
  it.effect("is between its dates, both included; a clock may be behind by the skew", () =>
    Effect.gen(function*() {
      const { inter } = yield* base
      const found = yield* certificatesOfBase
      const list = Either.getOrThrow(
        crls.parse(yield* Pki.crl(inter, [new asn1.Integer({ value: 1 })], { from: NOW - 1_000, to: NOW + 1_000 }))
      )
      const at = (now: number, skew = 0) =>
        Effect.map(crls.status(list, found.leaf, found.inter, { now, skew }), (status) =>
          status._tag === "Good" ? status.until - NOW : shown(status))
      const outside = "RFC 5280, 6.3.3 (a)"
      assert.strictEqual(yield* at(NOW), 1_000)
      assert.strictEqual(yield* at(NOW - 1_000), 1_000)
      assert.strictEqual(yield* at(NOW - 1_001), outside)
      assert.strictEqual(yield* at(NOW - 1_500, 500), 1_000)
      assert.strictEqual(yield* at(NOW - 1_501, 500), outside)
      assert.strictEqual(yield* at(NOW + 1_000), 1_000)
      assert.strictEqual(yield* at(NOW + 1_001, 500), outside)
    }))
})
