import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { ClientCertificate, SoftwareStatement } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import {
  appCertificate,
  type AppOptions,
  certificateOf,
  CLIENT_URI,
  issueApp,
  makePki,
  pemOf,
  privateKeyOf
} from "./authorizationServer.js"

const failing = (options: Effect.Effect<ClientCertificate.Options>) =>
  Effect.flatMap(options, (given) => Effect.flip(ClientCertificate.fromPem(given)))

const SUBJECT = "CN=Growth Chart, O=Test community"

/** A chain of which one thing is wrong. */
const optionsOf = (change: AppOptions = {}) =>
  Effect.gen(function*() {
    const { inter } = yield* makePki
    const leaf = yield* issueApp(change)
    return {
      chain: [pemOf("CERTIFICATE", leaf.der), pemOf("CERTIFICATE", inter.der)],
      privateKey: yield* privateKeyOf(leaf)
    }
  })

describe("ClientCertificate", () => {
  it.effect.each(
    [["rsa", ["RS256", "RS384"]], ["p256", ["ES256"]], ["p384", ["ES384"]]] as const
  )("[UDAP-4] [UDAP-5] [UDAP-6] a key of the kind %s signs %j", ([key, algorithms]) =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ key })
      assert.deepStrictEqual([...certificate.algorithms], [...algorithms])
      assert.deepStrictEqual([...certificate.uris], [CLIENT_URI])
      assert.strictEqual(certificate.chain.length, 2)
      for (const algorithm of algorithms) {
        const signature = yield* certificate.sign(algorithm, new Uint8Array([1]))
        assert.isAbove(signature.length, 60)
      }
    }))

  it.effect("reads the chain and the key from the environment, with line breaks as \\n", () =>
    Effect.gen(function*() {
      const leaf = yield* issueApp()
      const { inter } = yield* makePki
      const chain = pemOf("CERTIFICATE", leaf.der) + pemOf("CERTIFICATE", inter.der)
      const certificate = yield* Effect.withConfigProvider(
        ClientCertificate.fromConfig,
        ConfigProvider.fromMap(
          new Map([
            ["UDAP.CERTIFICATE", chain.replaceAll("\n", "\\n")],
            ["UDAP.PRIVATE_KEY", Redacted.value(yield* privateKeyOf(leaf)).replaceAll("\n", "\\n")]
          ]),
          { pathDelim: "." }
        )
      )
      assert.strictEqual(certificate.chain.length, 2)
    }))

  it.effect("a signer of a key management service signs instead of a key", () =>
    Effect.gen(function*() {
      const leaf = yield* issueApp()
      const own = yield* certificateOf(leaf)
      const certificate = yield* ClientCertificate.fromSigner({
        chain: leaf.der,
        sign: (algorithm, bytes) => Effect.mapError(own.sign(algorithm, bytes), () => "failed")
      })
      assert.strictEqual(certificate.fingerprint, own.fingerprint)
      const error = yield* Effect.flip(
        ClientCertificate.fromSigner({ chain: leaf.der, sign: () => Effect.fail("the module is locked") })
      )
      assert.include(error.message, "the module is locked")
      const other = yield* Effect.flip(
        ClientCertificate.fromSigner({ chain: leaf.der, sign: () => Effect.succeed(new Uint8Array(256)) })
      )
      assert.deepInclude(other, { reason: "BadKey", detail: `it does not belong to the certificate ${SUBJECT}` })
    }))

  it.effect("describes the certificate, and the time in which its whole chain is valid", () =>
    Effect.gen(function*() {
      const { inter } = yield* makePki
      const describe = (from: number, to: number) =>
        Effect.gen(function*() {
          const leaf = yield* issueApp({ key: "p256", from, to })
          const certificate = yield* certificateOf(leaf)
          assert.strictEqual(certificate.subject, SUBJECT)
          assert.deepStrictEqual(certificate.chain.map((der) => new Uint8Array(der)), [leaf.der, inter.der])
          assert.strictEqual(certificate.fingerprint, createHash("sha256").update(leaf.der).digest("base64url"))
          return [certificate.notBefore, certificate.notAfter]
        })
      const end = 75 * 365 * Pki.DAY
      assert.deepStrictEqual(yield* describe(Pki.DAY, 2 * Pki.DAY), [Pki.DAY, 2 * Pki.DAY])
      assert.deepStrictEqual(yield* describe(0, end + Pki.DAY), [0, end])
    }))

  it.effect("accepts a chain of six certificates", () =>
    Effect.gen(function*() {
      const { inter, root } = yield* makePki
      const { chain: [leaf = ""], privateKey } = yield* optionsOf({ key: "p256" })
      const chain = [leaf, inter.der, root.der, root.der, root.der, root.der]
      assert.strictEqual((yield* ClientCertificate.fromPem({ chain, privateKey })).chain.length, 6)
    }))

  it.effect("a runtime that cannot sign is an error without the runtime's words", () =>
    Effect.gen(function*() {
      const { subtle } = globalThis.crypto
      const { sign } = subtle
      const options = yield* optionsOf({ key: "p256" })
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          subtle.sign = () => Promise.reject(new Error("parts of the key"))
        }),
        () =>
          Effect.sync(() => {
            subtle.sign = sign
          })
      )
      const error = yield* Effect.flip(ClientCertificate.fromPem(options))
      assert.deepInclude(error, { reason: "BadKey", detail: "the runtime cannot sign with it" })
      assert.notInclude(String(error), "parts of the key")
    }).pipe(Effect.scoped))

  it.effect("the private key cannot be exported from WebCrypto", () =>
    Effect.gen(function*() {
      const { subtle } = globalThis.crypto
      const { importKey } = subtle
      const imported: Array<unknown> = []
      const options = yield* optionsOf({ key: "p256" })
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          subtle.importKey = (...args: ReadonlyArray<unknown>) => {
            if (args[0] === "pkcs8") imported.push(args[3])
            return Reflect.apply(importKey, subtle, args)
          }
        }),
        () =>
          Effect.sync(() => {
            subtle.importKey = importKey
          })
      )
      yield* ClientCertificate.fromPem(options)
      assert.deepStrictEqual(imported, [false])
    }).pipe(Effect.scoped))

  it.effect("a key of a kind that is not supported is refused", () =>
    Effect.gen(function*() {
      const { der } = yield* issueApp({ key: "p256" })
      // The last part of the OID of an elliptic curve key is changed.
      const at = Buffer.from(der).indexOf(Buffer.from("06072a8648ce3d0201", "hex")) + 8
      const chain = new Uint8Array(der).fill(9, at, at + 1)
      const error = yield* Effect.flip(
        ClientCertificate.fromSigner({ chain, sign: () => Effect.fail("not called") })
      )
      assert.deepStrictEqual([error.reason, error.detail], [
        "Invalid",
        `${SUBJECT}: its key is of an unsupported kind (1.2.840.10045.2.9)`
      ])
    }))

  it.effect("does not sign with an algorithm of another key", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ key: "p256" })
      const error = yield* Effect.flip(certificate.sign("ES384", new Uint8Array([1])))
      assert.deepStrictEqual([error.reason, ...error.fields, error.detail], [
        "Invalid",
        "certificate",
        "its key does not sign ES384"
      ])
    }))

  it.effect("an app has one of the URIs of its certificate", () =>
    Effect.sync(() => {
      const [first, second] = ["https://a.example.org", "https://b.example.org"] as const
      const choose = (uris: readonly [string, ...Array<string>], uri?: string) =>
        Either.mapLeft(ClientCertificate.clientUri({ subject: "CN=App", uris }, uri), ({ detail }) => detail)
      assert.deepStrictEqual(choose([first]), Either.right(first))
      assert.deepStrictEqual(choose([first], first), Either.right(first))
      assert.deepStrictEqual(choose([first, second], second), Either.right(second))
      assert.deepStrictEqual(
        choose([first, second]),
        Either.left(`the certificate of CN=App has several URIs; choose one: ${first}, ${second}`)
      )
      assert.deepStrictEqual(
        choose([first], second),
        Either.left(`it is not a URI of the certificate of CN=App, which has ${first}; case, port and slash count`)
      )
    }))

  const rejected: ReadonlyArray<readonly [string, Effect.Effect<ClientCertificate.Options>, string, RegExp]> = [
    [
      "[UDAP-75] [UDAP-101] a certificate whose URI is only a DNS name",
      optionsOf({ names: [Pki.dns("app.example.org")], uris: [] }),
      "certificate",
      /no URI/
    ],
    [
      "[UDAP-74] a key of another certificate",
      Effect.flatMap(optionsOf(), (options) =>
        Effect.map(
          Effect.flatMap(Pki.issue({ commonName: "Other" }), privateKeyOf),
          (privateKey) => ({ ...options, privateKey })
        )),
      "privateKey",
      /does not belong/
    ],
    [
      "a key of another kind",
      Effect.flatMap(
        optionsOf(),
        (options) => Effect.map(optionsOf({ key: "p256" }), ({ privateKey }) => ({ ...options, privateKey }))
      ),
      "privateKey",
      /not a key for RS256/
    ],
    [
      "[UDAP-8] a chain in the wrong order",
      Effect.map(optionsOf(), ({ chain, privateKey }) => ({ chain: [...chain].reverse(), privateKey })),
      "certificate",
      /order the chain/
    ],
    ["a key usage without signatures", optionsOf({ keyUsage: 0x20 }), "certificate", /key usage/],
    [
      "text that is not PEM",
      Effect.map(optionsOf(), ({ privateKey }) => ({ chain: "certificate", privateKey })),
      "certificate",
      /neither DER nor PEM/
    ],
    [
      "[UDAP-8] a chain with the key of another authority of the same name",
      Effect.gen(function*() {
        const other = yield* Pki.issue({
          commonName: "Authority One",
          authority: true,
          keys: yield* Pki.newKeys("p256")
        })
        const { chain: [leaf = ""], privateKey } = yield* optionsOf()
        return { chain: [leaf, other.der], privateKey }
      }),
      "certificate",
      /^CN=Authority One, O=Test community did not issue CN=Growth Chart/
    ],
    [
      "[UDAP-8] a chain with an authority of another name",
      Effect.gen(function*() {
        const { inter } = yield* makePki
        const other = yield* Pki.issue({ commonName: "Other", authority: true, keys: inter.keys })
        const { chain: [leaf = ""], privateKey } = yield* optionsOf()
        return { chain: [leaf, other.der], privateKey }
      }),
      "certificate",
      /^CN=Other, O=Test community did not issue/
    ],
    [
      "a chain of seven certificates",
      Effect.map(optionsOf(), ({ chain, privateKey }) => ({ chain: Array(7).fill(chain[1] ?? ""), privateKey })),
      "certificate",
      /the chain has 7 certificates, more than 6/
    ],
    [
      "a chain with a certificate that is broken",
      Effect.map(optionsOf(), ({ chain, privateKey }) => ({ chain: [...chain, new Uint8Array([48, 0])], privateKey })),
      "certificate",
      /^certificate 3 of the chain: it is not one DER-encoded/
    ],
    [
      "a key on the curve P-521",
      Effect.gen(function*() {
        const keys = yield* Effect.promise(() =>
          globalThis.crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-521" }, true, ["sign", "verify"])
        )
        return yield* optionsOf({ keys })
      }),
      "certificate",
      /^CN=Growth Chart, O=Test community: its key is on a curve that UDAP does not sign with/
    ],
    [
      "an RSA key of 1024 bits",
      Effect.flatMap(Pki.newKeys("rsa1024"), (keys) => optionsOf({ keys })),
      "certificate",
      /^CN=Growth Chart, O=Test community: its RSA key has 1024 bits$/
    ],
    [
      "a key that is not PEM",
      Effect.map(optionsOf(), ({ chain }) => ({ chain, privateKey: Redacted.make("secret") })),
      "privateKey",
      /^it is not a PKCS#8 private key in PEM$/
    ],
    [
      "a PKCS#1 key",
      Effect.map(optionsOf(), ({ chain }) => ({
        chain,
        privateKey: Redacted.make("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----")
      })),
      "privateKey",
      /PKCS#1/
    ],
    [
      "a SEC 1 key",
      Effect.map(optionsOf(), ({ chain }) => ({
        chain,
        privateKey: Redacted.make("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----")
      })),
      "privateKey",
      /SEC 1/
    ],
    [
      "an encrypted key",
      Effect.map(optionsOf(), ({ chain }) => ({
        chain,
        privateKey: Redacted.make("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----")
      })),
      "privateKey",
      /encrypted/
    ]
  ]

  it.effect.each(rejected)("%s is refused", ([, options, field, detail]) =>
    Effect.gen(function*() {
      const error = yield* failing(options)
      assert.deepStrictEqual([...error.fields], [field])
      assert.match(error.detail, detail)
      assert.notMatch(error.message, /MII|PRIVATE KEY-----/)
    }))

  it.effect("a certificate that has expired or is not valid yet does not sign", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ from: 1000 * Pki.DAY, to: 1100 * Pki.DAY })
      const sign = SoftwareStatement.make({
        clientName: "App",
        contacts: ["mailto:it@example.org"],
        grantTypes: ["client_credentials"],
        scopes: ["system/*.rs"]
      }, { certificate, registrationEndpoint: "https://ehr.example.org/register" })
      assert.match((yield* Effect.flip(sign)).detail, /valid from 1972-09-27/)
      yield* TestClock.setTime(1000 * Pki.DAY)
      yield* sign
      yield* TestClock.setTime(1100 * Pki.DAY)
      assert.match((yield* Effect.flip(sign)).detail, /ended at 1973-01-05/)
    }))
})
