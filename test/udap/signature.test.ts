/** Which keys and signatures are accepted: functions of certificates, also of those that no authority issues. */
import { assert, describe, it } from "@effect/vitest"
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as pki from "pkijs"
import * as Pki from "../../src/testing/internal/pki.js"
import * as certificates from "../../src/udap/internal/certificate.js"
import { iso } from "../../src/udap/internal/pathRules.js"
import * as signature from "../../src/udap/internal/signature.js"
import { base } from "./artefacts.js"

const RSA = "1.2.840.113549.1.1.1"
const EXPONENT = [1, 0, 1]

const parsed = ({ der }: Pki.Issued) => Either.getOrThrow(certificates.parse(der))

/** A modulus of so many bits, behind leading zeros. */
const modulus = (bits: number, zeros = 1) => {
  const bytes = new Uint8Array(Math.ceil(bits / 8)).fill(0xff)
  bytes[0] = 0xff >> (bytes.length * 8 - bits)
  return [...new Uint8Array(zeros), ...bytes]
}

describe("keys", () => {
  const withKey = (algorithmId: string, key: pki.RSAPublicKey | pki.ECPublicKey | undefined) =>
    Effect.map(base, ({ leaf }) => {
      const x509 = new pki.Certificate()
      x509.subjectPublicKeyInfo.algorithm = new pki.AlgorithmIdentifier({ algorithmId })
      Object.defineProperty(x509.subjectPublicKeyInfo, "parsedKey", { value: key })
      return signature.keyProblem({ ...parsed(leaf), x509 })?.detail
    })
  const integer = (bytes: ReadonlyArray<number>) => new asn1.Integer({ valueHex: new Uint8Array(bytes).buffer })
  const rsa = (modulus: ReadonlyArray<number>, exponent: ReadonlyArray<number> = EXPONENT, algorithm = RSA) =>
    withKey(
      algorithm,
      new pki.RSAPublicKey({ modulus: integer(modulus), publicExponent: integer(exponent) })
    )

  it.effect("an RSA key has 2048 to 8192 bits", () =>
    Effect.gen(function*() {
      for (const bits of [2048, 2049, 4096, 8192]) assert.isUndefined(yield* rsa(modulus(bits)))
      assert.isUndefined(yield* rsa(modulus(2048, 3)))
      assert.isUndefined(yield* rsa(modulus(2048, 0)))
      for (const bits of [1, 1024, 2041, 2047, 8193]) {
        assert.strictEqual(yield* rsa(modulus(bits)), `its RSA key has ${bits} bits`)
      }
      assert.strictEqual(yield* rsa(modulus(1024, 200)), "its RSA key has 1024 bits")
      assert.strictEqual(yield* rsa([0, 0]), "its RSA key has 0 bits")
    }))

  it.effect("the exponent of an RSA key is odd, above 1 and has eight bytes at most", () =>
    Effect.gen(function*() {
      const key = modulus(2048)
      for (const exponent of [[3], [0, 3], [1, 1], EXPONENT, [1, 0, 0, 0, 0, 0, 0, 1]]) {
        assert.isUndefined(yield* rsa(key, exponent), String(exponent))
      }
      for (const exponent of [[0], [1], [0, 1], [2], [4], [1, 0], [1, 0, 0, 0, 0, 0, 0, 0, 1]]) {
        assert.strictEqual(yield* rsa(key, exponent), "the exponent of its RSA key is not usable", String(exponent))
      }
    }))

  it.effect("a key is for RSA PKCS #1 or on a known curve", () =>
    Effect.gen(function*() {
      const PSS = "1.2.840.113549.1.1.10"
      assert.strictEqual(yield* rsa(modulus(2048), EXPONENT, PSS), `its key is of an unsupported kind (${PSS})`)
      assert.strictEqual(yield* withKey(RSA, undefined), `its key is of an unsupported kind (${RSA})`)
      const point = { x: new Uint8Array(1).buffer, y: new Uint8Array(1).buffer }
      const EC = "1.2.840.10045.2.1"
      for (const namedCurve of ["P-256", "P-384", "P-521"]) {
        assert.isUndefined(yield* withKey(EC, new pki.ECPublicKey({ ...point, namedCurve })))
      }
      assert.strictEqual(
        yield* withKey(EC, new pki.ECPublicKey({ ...point, namedCurve: "secp256k1" })),
        "its key is on the curve secp256k1"
      )
    }))
})

describe("signatures", () => {
  it("a refused algorithm has its name in the error, or its identifier", () => {
    const detail = (algorithmId: string) => signature.algorithmProblem({ algorithmId })?.detail
    assert.isUndefined(detail("1.2.840.113549.1.1.11"))
    assert.isUndefined(detail("1.2.840.10045.4.3.4"))
    assert.strictEqual(detail("1.2.840.113549.1.1.5"), "it is signed with SHA-1 with RSA")
    assert.strictEqual(detail("1.2.3"), "it is signed with 1.2.3")
  })

  it.effect("a correct signature counts only with an accepted algorithm and key", () =>
    Effect.gen(function*() {
      const verified = (keys: Pki.KeyPair, hash?: "SHA-1") =>
        Effect.gen(function*() {
          const issuer = yield* Pki.issue({ commonName: "Issuer", authority: true, keys })
          const leaf = yield* Pki.issue({ commonName: "Leaf", keys, by: issuer, signature: hash })
          return yield* signature.verifies(signature.ofCertificate(parsed(leaf)), parsed(issuer))
        })
      const { keys } = yield* base
      const weak = yield* Pki.newKeys("rsa1024")
      assert.isTrue(yield* verified(keys.leaf))
      assert.isTrue(yield* verified(yield* Pki.newKeys("p256")))
      assert.isFalse(yield* verified(keys.leaf, "SHA-1"))
      assert.isFalse(yield* verified(weak))
      assert.isFalse(yield* verified(weak, "SHA-1"))
    }))

  it.effect("a key that WebCrypto refuses verifies nothing", () =>
    Effect.gen(function*() {
      const keys = yield* Pki.newKeys("p256")
      const issuer = yield* Pki.issue({ commonName: "Issuer", authority: true, keys })
      const leaf = yield* Pki.issue({ commonName: "Leaf", keys, by: issuer })
      // The point is not on the curve.
      const raw = yield* Effect.promise(() => globalThis.crypto.subtle.exportKey("raw", keys.publicKey))
      const at = Buffer.from(issuer.der).indexOf(Buffer.from(raw)) + 40
      const broken = new Uint8Array(issuer.der)
      broken[at] = (broken[at] ?? 0) ^ 1
      const signer = Either.getOrThrow(certificates.parse(broken))
      assert.isUndefined(signature.keyProblem(signer))
      assert.isFalse(yield* signature.verifies(signature.ofCertificate(parsed(leaf)), signer))
    }))
})

describe("dates in messages", () => {
  it("a date that cannot be read is told so", () => {
    assert.strictEqual(iso(0), "1970-01-01T00:00:00.000Z")
    assert.strictEqual(iso(Number.NaN), "an unreadable date")
  })
})
