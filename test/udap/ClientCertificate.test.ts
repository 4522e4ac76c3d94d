import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
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
      yield* TestClock.setTime(1050 * Pki.DAY)
      yield* sign
      yield* TestClock.setTime(1100 * Pki.DAY)
      assert.match((yield* Effect.flip(sign)).detail, /ended at 1973-01-05/)
    }))
})
