import * as NodeCrypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { assertSome } from "@effect/vitest/utils"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import { ConfigurationError } from "../../src/base/ConfigurationError.js"
import * as SigningKey from "../../src/client/SigningKey.js"
import * as SigningKeys from "../../src/client/SigningKeys.js"
import { assertions, ec, jwk, pem, publicJwk, publicSet, rsa, vector, verifies } from "./keys.js"

const sign = (claims: Readonly<Record<string, unknown>>, options?: SigningKeys.SignOptions) =>
  Effect.flatMap(SigningKeys.SigningKeys, (keys) => Effect.map(keys.sign(claims, options), Redacted.value))
const published = Effect.flatMap(SigningKeys.SigningKeys, ({ publicJwks }) => publicJwks)

/** What a layer refuses, in one line. */
const refusal = <E>(layer: Layer.Layer<SigningKeys.SigningKeys, E>) =>
  Effect.map(
    Effect.flip(Effect.provide(SigningKeys.SigningKeys, layer)),
    (error) => error instanceof ConfigurationError ? `${error.reason}: ${error.detail}` : "another error"
  )

const claims = {
  iss: "https://bili-monitor.example.com",
  sub: "https://bili-monitor.example.com",
  aud: "https://authorize.smarthealthit.org/token",
  exp: 1422568860,
  jti: "random-non-reusable-jwt-id-123"
}

const ecPair = ec()
const rsaPair = rsa()

const opensslPem = (type: "pkcs1" | "sec1", pair: NodeCrypto.KeyPairKeyObjectResult) =>
  Redacted.make(pair.privateKey.export({ type, format: "pem" }).toString())

describe("SigningKeys", () => {
  it.effect("[SMART-307 SMART-308] reproduces the RS384 assertion of the specification byte for byte", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* sign(claims), assertions.RS384)
      assert.isTrue(yield* verifies(assertions.RS384, (yield* published).keys))
    }).pipe(Effect.provide(SigningKeys.layerJwk({ jwk: Redacted.make(vector("RS384.private.json")) }))))

  it.effect("[SMART-307 SMART-309] verifies the ES384 assertion of the specification, and signs the same input", () =>
    Effect.gen(function*() {
      const { keys } = yield* published
      assert.isTrue(yield* verifies(assertions.ES384, keys))
      const ours = yield* sign(claims)
      assert.isTrue(yield* verifies(ours, publicSet("ES384").keys))
      assert.strictEqual(
        ours.slice(0, ours.lastIndexOf(".")),
        assertions.ES384.slice(0, assertions.ES384.lastIndexOf("."))
      )
    }).pipe(Effect.provide(SigningKeys.layerJwk({ jwk: Redacted.make(vector("ES384.private.json")) }))))

  it.effect("[SMART-309] verifies the assertions of the worked example with its public key", () =>
    Effect.gen(function*() {
      const { keys } = yield* published
      assert.isTrue(yield* verifies(assertions.exampleCode, keys))
      assert.isTrue(yield* verifies(assertions.exampleRefresh, keys))
      assert.notStrictEqual(jose.decodeJwt(assertions.exampleCode).jti, jose.decodeJwt(assertions.exampleRefresh).jti)
    }).pipe(Effect.provide(SigningKeys.layerJwk({ jwk: Redacted.make(assertions.exampleKey) }))))

  for (const name of ["RS384", "ES384"] as const) {
    it.effect(`the ${name} example set, with two copies under one kid, publishes one public key`, () =>
      Effect.gen(function*() {
        const { keys } = yield* published
        assert.strictEqual(keys.length, 1)
        const { ext: _ext, key_ops: _ops, ...bare } = publicSet(name).keys[0] ?? {}
        assert.deepStrictEqual({ ...keys[0] }, { ...bare, use: "sig" })
      }).pipe(Effect.provide(SigningKeys.layerJwk({ jwk: Redacted.make(vector(`${name}.private.json`)) }))))
  }

  it.effect("[SMART-321 SMART-322 SMART-323 SMART-324] the header has alg, kid, typ, and jku if it is configured", () =>
    Effect.gen(function*() {
      const plain = jose.decodeProtectedHeader(yield* sign(claims))
      assert.deepStrictEqual(Object.entries(plain), [["alg", "ES384"], ["kid", "k1"], ["typ", "JWT"]])
      const full = jose.decodeProtectedHeader(yield* sign(claims, { typ: "other+jwt", jku: "https://app.test/jwks" }))
      assert.deepStrictEqual({ ...full }, { alg: "ES384", kid: "k1", typ: "other+jwt", jku: "https://app.test/jwks" })
    }).pipe(Effect.provide(SigningKeys.layerPem({ pem: pem(ecPair), kid: "k1" }))))

  it.effect("[SMART-322] the kid of a PEM key is its RFC 7638 thumbprint by default", () =>
    Effect.gen(function*() {
      const thumbprint = yield* Effect.promise(() => jose.calculateJwkThumbprint(publicJwk(rsaPair)))
      assert.deepStrictEqual((yield* published).keys.map(({ kid }) => kid), [thumbprint])
      assert.strictEqual(jose.decodeProtectedHeader(yield* sign(claims)).kid, thumbprint)
    }).pipe(Effect.provide(SigningKeys.layerPem({ pem: pem(rsaPair) }))))

  it.effect("reads a PEM key with escaped line breaks and surrounding text, as in environment variables", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* verifies(yield* sign(claims), (yield* published).keys))
    }).pipe(Effect.provide(SigningKeys.layerPem({
      pem: Redacted.make(`Bag Attributes\\n${Redacted.value(pem(ecPair)).replaceAll("\n", "\\n")}`)
    }))))

  it.effect("[SMART-320] the first key that the server accepts signs", () =>
    Effect.gen(function*() {
      const kid = (algs?: ReadonlyArray<string>) =>
        Effect.map(sign(claims, { algs }), (jwt) => jose.decodeProtectedHeader(jwt).kid)
      assert.strictEqual(yield* kid(), "rsa")
      assert.strictEqual(yield* kid(["RS256", "RS384", "ES384"]), "rsa")
      assert.strictEqual(yield* kid(["ES384"]), "ec")
      const none = yield* Effect.flip(sign(claims, { algs: ["RS256", "ES256"] }))
      assert.deepStrictEqual([none.reason, none.fields.length, none.detail], [
        "Conflict",
        2,
        "the server accepts RS256, ES256, and the keys here sign RS384, ES384"
      ])
      assert.strictEqual((yield* Effect.flip(sign(claims, { algs: [] }))).reason, "Conflict")
    }).pipe(Effect.provide(
      SigningKeys.layerPem({ pem: pem(rsaPair), kid: "rsa" }, { pem: pem(ecPair), kid: "ec" })
    )))

  it.effect("[SMART-306] `kid` selects the key of a set that signs; all are published", () =>
    Effect.gen(function*() {
      assert.strictEqual(jose.decodeProtectedHeader(yield* sign(claims)).kid, "second")
      assert.deepStrictEqual((yield* published).keys.map(({ kid }) => kid), ["first", "second"])
      assert.strictEqual((yield* Effect.flip(sign(claims, { algs: ["ES384"] }))).reason, "Conflict")
    }).pipe(Effect.provide(SigningKeys.layerJwk({
      jwk: Redacted.make({ keys: [{ ...jwk(ecPair), kid: "first" }, { ...jwk(rsaPair), kid: "second" }] }),
      kid: "second"
    }))))

  it.effect("[SMART-293 SMART-313 SMART-314 SMART-315] the published set has public members only", () =>
    Effect.gen(function*() {
      const { keys } = yield* published
      assert.deepStrictEqual(keys.map((key) => Object.keys(key).sort()), [
        ["alg", "crv", "kid", "kty", "use", "x", "y"],
        ["alg", "e", "kid", "kty", "n", "use"],
        ["alg", "crv", "kid", "kty", "use", "x", "y"]
      ])
    }).pipe(Effect.provide(SigningKeys.layerJwk({
      jwk: Redacted.make({
        keys: [
          { ...jwk(ecPair), kid: "a", x5c: ["MII"], key_ops: ["sign"], custom: "x" },
          { ...jwk(rsaPair), kid: "b" },
          { ...publicJwk(ec()), kid: "retired" }
        ]
      })
    }))))

  it.effect("signs with CryptoKeys that are not extractable", () =>
    Effect.gen(function*() {
      const pair = yield* Effect.promise(() => jose.generateKeyPair("RS384", { extractable: false }))
      const layer = SigningKeys.layerCryptoKey({ ...pair, kid: "web" })
      const [jwt, { keys }] = yield* Effect.provide(Effect.zip(sign(claims), published), layer)
      assert.isTrue(yield* verifies(jwt, keys))
    }))

  describe("a signer in a key management service", () => {
    const signer = (changes: Partial<SigningKey.Signer> = {}): SigningKey.Signer => ({
      kid: "kms",
      alg: "ES384",
      publicJwk: publicJwk(ecPair),
      encoding: "der",
      sign: (bytes) =>
        Effect.sync(() =>
          new Uint8Array(NodeCrypto.sign("sha384", bytes, { key: ecPair.privateKey, dsaEncoding: "der" }))
        ),
      ...changes
    })

    it.effect("signs, with signatures in DER or as r and s", () =>
      Effect.gen(function*() {
        for (let i = 0; i < 40; i++) {
          const [jwt, { keys }] = yield* Effect.provide(
            Effect.zip(sign({ i }), published),
            SigningKeys.layerSigner(signer())
          )
          assert.isTrue(yield* verifies(jwt, keys))
        }
        const raw = signer({
          encoding: undefined,
          sign: (bytes) =>
            Effect.sync(() =>
              new Uint8Array(
                NodeCrypto.sign("sha384", bytes, { key: ecPair.privateKey, dsaEncoding: "ieee-p1363" })
              )
            )
        })
        const [jwt, { keys }] = yield* Effect.provide(Effect.zip(sign(claims), published), SigningKeys.layerSigner(raw))
        assert.isTrue(yield* verifies(jwt, keys))
      }))

    it.effect("fails if its result is not a signature", () =>
      Effect.gen(function*() {
        const failure = (changes: Partial<SigningKey.Signer>) =>
          Effect.map(
            Effect.flip(Effect.provide(sign(claims), SigningKeys.layerSigner(signer(changes)))),
            ({ detail, fields, reason }) => `${reason} ${fields.join()}: ${detail}`
          )
        assert.include(
          yield* failure({ encoding: "jose" }),
          "not an ES384 signature; ECDSA in DER needs encoding: \"der\""
        )
        assert.include(yield* failure({ encoding: "jose" }), "BadKey signingKey: ")
        assert.include(yield* failure({ sign: () => Effect.succeed(new Uint8Array(96)) }), "not an ES384 signature")
        for (
          const bytes of [[], [0x30], [0x30, 2, 2, 0], [0x30, 6, 2, 1, 1, 2, 1, 1, 0], [0x30, 6, 2, 1, 1, 3, 1, 1]]
        ) {
          assert.include(
            yield* failure({ sign: () => Effect.succeed(new Uint8Array(bytes)) }),
            "not an ES384 signature"
          )
        }
        assert.include(yield* failure({ sign: () => Effect.fail("the KMS is\naway") }), "failed: the KMS is away")
      }))

    it.effect("[SMART-309] an integer of a DER signature fills the 48 bytes of its half; malformed DER is refused", () =>
      Effect.gen(function*() {
        const sequence = (...content: ReadonlyArray<number>) => [0x30, content.length, ...content]
        const integer = (...bytes: ReadonlyArray<number>) => [2, bytes.length, ...bytes]
        const signature = (bytes: ReadonlyArray<number>) =>
          sign(claims).pipe(
            Effect.provide(
              SigningKeys.layerSigner(signer({ sign: () => Effect.succeed(new Uint8Array(bytes)) }))
            ),
            Effect.map((jwt) => Buffer.from(jwt.slice(jwt.lastIndexOf(".") + 1), "base64url")),
            Effect.option
          )
        const ones = Array.from({ length: 48 }, () => 0xff)
        const zeros = Array.from({ length: 47 }, () => 0)
        for (
          const [r, s, expected] of [
            [integer(1), integer(2), [...zeros, 1, ...zeros, 2]],
            [integer(0, ...ones), integer(0, 7), [...ones, ...zeros, 7]],
            [integer(0, 0, 0x80), integer(...ones), [...zeros, 0x80, ...ones]]
          ] as const
        ) {
          assertSome(yield* signature(sequence(...r, ...s)), Buffer.from(expected))
        }
        const malformed = [
          [0x31, 6, ...integer(1), ...integer(2)],
          [0x30, 7, ...integer(1), ...integer(2)],
          [...sequence(...integer(1), ...integer(2)), 0],
          sequence(...integer(1), ...integer(2), 0),
          sequence(...integer(1)),
          sequence(...integer(), ...integer(2)),
          sequence(...integer(1), ...integer()),
          sequence(3, 1, 1, ...integer(2)),
          sequence(...integer(1), 3, 1, 2),
          sequence(...integer(1, ...ones), ...integer(2)),
          sequence(...integer(1), ...integer(1, ...ones)),
          sequence(...integer(1), 2, 2, 2),
          sequence(2, 9, 1, ...integer(2))
        ]
        for (const bytes of malformed) assert.isTrue(Option.isNone(yield* signature(bytes)), bytes.join())
      }))

    it.effect("[SMART-308] the length of an RSA signature is that of the modulus without leading zeros", () =>
      Effect.gen(function*() {
        const modulus = Buffer.from(String(publicJwk(rsaPair)["n"]), "base64url")
        const withModulus = (n: Uint8Array, sign: SigningKey.Signer["sign"]) =>
          SigningKeys.layerSigner({
            kid: "kms",
            alg: "RS384",
            publicJwk: { ...publicJwk(rsaPair), n: Buffer.from(n).toString("base64url") },
            // Only an ECDSA signature has an encoding.
            encoding: "der",
            sign
          })
        const rsaSign = (bytes: Uint8Array) =>
          Effect.sync(() => new Uint8Array(NodeCrypto.sign("sha384", bytes, rsaPair.privateKey)))
        for (const n of [modulus, Buffer.concat([Buffer.alloc(2), modulus])]) {
          const jwt = yield* Effect.provide(sign(claims), withModulus(n, rsaSign))
          assert.isTrue(yield* verifies(jwt, [{ ...publicJwk(rsaPair), kid: "kms" }]))
        }
        const short = withModulus(modulus, () => Effect.succeed(new Uint8Array(255)))
        assert.include(
          (yield* Effect.flip(Effect.provide(sign(claims), short))).detail,
          "returned 255 bytes, not an RS384 signature"
        )
        const bits = (n: Uint8Array) => refusal(withModulus(n, rsaSign))
        assert.include(yield* bits(Buffer.from([0x7f, ...modulus.subarray(1)])), "an RSA key of 2047 bits is too short")
        assert.include(yield* bits(modulus.subarray(1)), "an RSA key of 20")
        assert.include(yield* bits(Buffer.from([0, 1])), "an RSA key of 1 bits is too short")
        assert.include(yield* bits(Buffer.alloc(256)), "an RSA key of 0 bits is too short")
        assert.include(yield* bits(Buffer.alloc(0)), "an RSA key of 0 bits is too short")
        const noBase64 = SigningKeys.layerJwk({ jwk: Redacted.make({ ...jwk(rsaPair), n: "not base64url" }) })
        assert.include(yield* refusal(noBase64), "an RSA key of 0 bits is too short")
      }))

    it.effect("is refused if its alg, kid or public key do not fit", () =>
      Effect.gen(function*() {
        const refused = (changes: Partial<SigningKey.Signer>) => refusal(SigningKeys.layerSigner(signer(changes)))
        assert.include(yield* refused({ publicJwk: jwk(ecPair) }), "holds a private member")
        assert.include(yield* refused({ alg: "RS384" }), "do not agree")
        assert.include(yield* refused({ kid: "" }), "no kid")
        // The WebCrypto of Deno imports a point that is not on the curve.
        if ("Deno" in globalThis) return
        assert.include(
          yield* refused({ publicJwk: { ...publicJwk(ecPair), y: publicJwk(ec())["y"] } }),
          "not a usable key"
        )
      }))
  })

  it.effect("[SMART-320] refuses keys that SMART cannot use, with the cause in the error", () =>
    Effect.gen(function*() {
      const fromPem = (text: Redacted.Redacted) => refusal(SigningKeys.layerPem({ pem: text }))
      const fromJwk = (value: string | object, kid?: string) =>
        refusal(SigningKeys.layerJwk({ jwk: Redacted.make(value), kid }))
      assert.include(yield* fromPem(pem(ec("P-256"))), "BadKey: an EC key on P-256 does not fit")
      assert.include(yield* fromPem(pem(rsa(1024))), "BadKey: an RSA key of 1024 bits is too short")
      assert.include(yield* fromPem(opensslPem("pkcs1", rsaPair)), "PKCS#1")
      assert.include(yield* fromPem(opensslPem("sec1", ecPair)), "SEC 1")
      assert.include(yield* fromPem(Redacted.make("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")), "encrypted")
      assert.include(yield* fromPem(Redacted.make("hello")), "not a PEM private key")
      assert.include(
        yield* fromPem(Redacted.make("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")),
        "neither an RSA key nor one on P-384"
      )
      assert.include(yield* fromJwk("{"), "neither a JWK nor a JWK Set")
      assert.include(yield* fromJwk("[]"), "neither a JWK nor a JWK Set")
      assert.include(yield* fromJwk({ keys: [] }), "neither a JWK nor a JWK Set")
      assert.include(yield* fromJwk({ keys: ["x"] }), "neither a JWK nor a JWK Set")
      assert.include(yield* fromJwk({ kty: "oct", k: "c2VjcmV0" }), "a key of type oct")
      assert.include(yield* fromJwk({ ...jwk(ec("P-256")) }), "P-256")
      assert.include(yield* fromJwk({ ...jwk(rsa(1024)) }), "1024 bits")
      assert.include(yield* fromJwk({ ...jwk(rsaPair), alg: "RS256" }), "its alg is RS256")
      assert.include(yield* fromJwk({ ...jwk(rsaPair), use: "enc" }), "its use is enc")
      assert.include(yield* fromJwk({ ...jwk(ecPair), crv: "a secret with spaces" }), "on something else")
      for (const member of ["n", "e"]) {
        assert.include(yield* fromJwk({ ...jwk(rsaPair), [member]: undefined }), "n and e")
      }
      for (const member of ["x", "y"]) {
        assert.include(yield* fromJwk({ ...jwk(ecPair), [member]: 5 }), "x and y")
      }
      assert.include(yield* fromJwk({ ...jwk(rsaPair), use: 5 }), "its use is something else")
      assert.include(yield* fromJwk({ ...jwk(ecPair), d: [jwk(ecPair)["d"]] }), "private half is not a usable key")
      assert.include(yield* fromJwk({ keys: [jwk(ecPair), "x"] }), "neither a JWK nor a JWK Set")
      assert.include(yield* fromPem(Redacted.make("-----BEGIN CERTIFICATE-----\n")), "not a PEM private key")
      assert.include(
        yield* fromJwk({ ...publicJwk(rsaPair), d: jwk(rsaPair)["d"] }),
        "private half is not a usable key"
      )
      assert.include(yield* fromJwk(publicJwk(ecPair)), "none of the keys is private")
      assert.include(yield* fromJwk({ ...jwk(ecPair), kid: "a" }, "b"), "have other kids")
    }))

  it.effect("refuses halves that do not belong together", () =>
    Effect.gen(function*() {
      const [one, other, sha256] = yield* Effect.promise(() =>
        Promise.all([jose.generateKeyPair("ES384"), jose.generateKeyPair("ES384"), jose.generateKeyPair("RS256")])
      )
      const refused = (options: SigningKey.CryptoKeyOptions) => refusal(SigningKeys.layerCryptoKey(options))
      assert.include(
        yield* refused({ privateKey: one.privateKey, publicKey: other.publicKey }),
        "do not belong together"
      )
      assert.include(
        yield* refused({ privateKey: one.publicKey, publicKey: one.publicKey }),
        "not a private key that may sign"
      )
      assert.include(yield* refused(sha256), "not made for RS384")
      assert.include(yield* refused({ privateKey: one.privateKey, publicKey: sha256.publicKey }), "not made for RS384")
    }))

  it.effect("refuses CryptoKeys that were made for something else", () =>
    Effect.gen(function*() {
      const { subtle } = globalThis.crypto
      const rsaKey = (pair: Record<string, unknown>, name: string, usage: KeyUsage) =>
        subtle.importKey("jwk", pair, { name, hash: "SHA-384" }, true, [usage])
      const [publicKey, pss, decrypts, hmac, secret] = yield* Effect.promise(() =>
        Promise.all([
          rsaKey(publicJwk(rsaPair), "RSASSA-PKCS1-v1_5", "verify"),
          rsaKey(jwk(rsaPair), "RSA-PSS", "sign"),
          rsaKey(jwk(rsaPair), "RSA-OAEP", "decrypt"),
          subtle.generateKey({ name: "HMAC", hash: "SHA-384" }, false, ["sign", "verify"]),
          subtle.importKey("jwk", jwk(ecPair), { name: "ECDSA", namedCurve: "P-384" }, false, ["sign"])
        ])
      )
      const refused = (privateKey: CryptoKey) => refusal(SigningKeys.layerCryptoKey({ privateKey, publicKey }))
      assert.include(yield* refused(decrypts), "not a private key that may sign")
      assert.include(yield* refused(hmac), "not a private key that may sign")
      assert.include(yield* refused(pss), "not made for RS384")
      assert.include(
        yield* refusal(SigningKeys.layerCryptoKey({ privateKey: secret, publicKey: secret })),
        "publicKey cannot be exported"
      )
    }))

  it.effect("[SMART-322] the kid of a single JWK is its own, else the configured one, else its thumbprint", () =>
    Effect.gen(function*() {
      const thumbprint = yield* Effect.promise(() => jose.calculateJwkThumbprint(publicJwk(ecPair)))
      const kids = (value: string | object, kid?: string) =>
        Effect.map(SigningKey.fromJwk({ jwk: Redacted.make(value), kid }), (keys) => keys.map(({ kid }) => kid))
      const key = jwk(ecPair)
      assert.deepStrictEqual(yield* kids({ ...key, kid: "own" }, "other"), ["own"])
      for (const kid of [undefined, "", 5]) {
        assert.deepStrictEqual(yield* kids({ ...key, kid }, "configured"), ["configured"])
        assert.deepStrictEqual(yield* kids({ ...key, kid, use: "sig" }), [thumbprint])
      }
      assert.deepStrictEqual(yield* kids({ keys: [{ ...key, kid: "a" }, key] }, "configured"), ["a", thumbprint])
      const pemKey = yield* SigningKey.fromPem({ pem: pem(ecPair), kid: "" })
      assert.strictEqual(pemKey.kid, thumbprint)
      const texts = [` \n${JSON.stringify({ ...key, kid: "json" })}`, `\n${Redacted.value(pem(ecPair))}`]
      const fromTexts = yield* Effect.forEach(
        texts,
        (text) => SigningKey.fromText({ text: Redacted.make(text), kid: "configured" })
      )
      assert.deepStrictEqual(fromTexts.flat().map(({ kid }) => kid), ["json", "configured"])
    }))

  it.effect("[SMART-322] of copies of one key the private one signs; keys that differ in one member are different", () =>
    Effect.gen(function*() {
      const set = (...keys: ReadonlyArray<object>) =>
        SigningKeys.layerJwk({ jwk: Redacted.make({ keys: keys.map((key) => ({ ...key, kid: "same" })) }) })
      for (const pair of [ecPair, rsaPair]) {
        for (const layer of [set(jwk(pair), publicJwk(pair)), set(publicJwk(pair), jwk(pair))]) {
          const [jwt, { keys }] = yield* Effect.provide(Effect.zip(sign(claims), published), layer)
          assert.lengthOf(keys, 1)
          assert.isTrue(yield* verifies(jwt, keys))
        }
      }
      // The other point of the curve with the same x.
      const prime = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n
      const y = BigInt(`0x${Buffer.from(String(publicJwk(ecPair)["y"]), "base64url").toString("hex")}`)
      const negative = Buffer.from((prime - y).toString(16).padStart(96, "0"), "hex").toString("base64url")
      const different = [
        [jwk(ecPair), { ...publicJwk(ecPair), y: negative }],
        [jwk(ecPair), publicJwk(ec())],
        [jwk(rsaPair), { ...publicJwk(rsaPair), e: "Aw" }],
        [jwk(ecPair), publicJwk(rsaPair)],
        [jwk(rsaPair), publicJwk(ecPair)]
      ]
      for (const keys of different) {
        assert.include(yield* refusal(set(...keys)), "two different keys have the kid same")
      }
    }))

  it.effect("[SMART-322] refuses two different keys under one kid", () =>
    Effect.gen(function*() {
      const detail = yield* refusal(
        SigningKeys.layerPem({ pem: pem(ecPair), kid: "same" }, { pem: pem(rsaPair), kid: "same" })
      )
      assert.include(detail, "two different keys have the kid same")
    }))

  describe("layerConfig", () => {
    const provide = (entries: ReadonlyArray<readonly [string, string]>) =>
      SigningKeys.layerConfig.pipe(
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(entries), { pathDelim: "_" })))
      )

    it.effect("reads a PEM key and its id, or a JWK", () =>
      Effect.gen(function*() {
        const kids = (entries: ReadonlyArray<readonly [string, string]>) =>
          Effect.provide(Effect.map(published, ({ keys }) => keys.map(({ kid }) => kid)), provide(entries))
        assert.deepStrictEqual(
          yield* kids([["SMART_PRIVATE_KEY", Redacted.value(pem(ecPair))], ["SMART_KEY_ID", "env"]]),
          ["env"]
        )
        assert.deepStrictEqual(
          yield* kids([["SMART_PRIVATE_KEY", JSON.stringify({ ...jwk(ecPair), kid: "own" })], ["SMART_KEY_ID", ""]]),
          ["own"]
        )
        const set = JSON.stringify({ keys: [{ ...jwk(rsaPair), kid: "first" }, { ...jwk(ecPair), kid: "second" }] })
        const jwt = yield* Effect.provide(
          sign(claims),
          provide([["SMART_PRIVATE_KEY", set], ["SMART_KEY_ID", "second"]])
        )
        assert.strictEqual(jose.decodeProtectedHeader(jwt).kid, "second")
      }))

    it.effect("the error names the variable that is missing or wrong", () =>
      Effect.gen(function*() {
        const error = (entries: ReadonlyArray<readonly [string, string]>) =>
          Effect.flip(Effect.provide(published, provide(entries)))
        for (const entries of [[], [["SMART_PRIVATE_KEY", " "]]] as const) {
          const missing = yield* error(entries)
          assert.deepStrictEqual(
            missing instanceof ConfigurationError ? [missing.reason, ...missing.fields] : [],
            ["Missing", "SMART_PRIVATE_KEY"]
          )
        }
        const wrong = yield* error([["SMART_PRIVATE_KEY", "hello"]])
        assert.deepStrictEqual(
          wrong instanceof ConfigurationError ? [wrong.reason, ...wrong.fields] : [],
          ["BadKey", "SMART_PRIVATE_KEY"]
        )
      }))
  })
})
