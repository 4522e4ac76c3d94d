import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { UdapDiscovery } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import { base, FHIR_BASE, NOW } from "./artefacts.js"
import type { Json, Signing } from "./server.js"
import { base64, claims, discovery, document, serving, signed } from "./server.js"

const seconds = NOW / 1000
const YEAR = 366 * 86_400

/** The metadata, or reason and rule of each problem. */
const outcome = (signing: Signing, plain: Json = document, fhirBaseUrl = FHIR_BASE) =>
  Effect.gen(function*() {
    const jwt = yield* signed(signing)
    return yield* outcomeOf(jwt, plain, fhirBaseUrl)
  })

const outcomeOf = (jwt: unknown, plain: Json = document, fhirBaseUrl = FHIR_BASE) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(NOW)
    const service = yield* UdapDiscovery.UdapDiscovery
    return yield* service.metadata(fhirBaseUrl)
  }).pipe(
    Effect.provide(discovery(serving(plain, jwt))),
    Effect.match({
      onFailure: (error) =>
        error._tag === "TrustError" ? error.problems.map(({ reason, rule }) => `${reason} ${rule}`) : [error.message],
      onSuccess: ({ tokenEndpoint }) => tokenEndpoint
    })
  )

describe("signed_metadata", () => {
  it.effect("[UDAP-8] [UDAP-48] [UDAP-58] is trusted if it follows all rules", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* outcome({}), "https://auth.example.org/token")
    }))

  it.effect("[UDAP-48] [UDAP-49] iss may be any of several URIs of the certificate", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ names: [Pki.uri("https://other.example.org"), Pki.uri(FHIR_BASE)] })
      assert.isString(yield* outcome({ x5c: [base64(leaf.der), base64(inter.der)] }))
    }))

  it.effect("[UDAP-50] one slash at the end may differ between iss and the configured base", () =>
    Effect.gen(function*() {
      assert.isString(yield* outcome({}, document, `${FHIR_BASE}/`))
    }))

  it.effect("[UDAP-53] may be valid for a year, also one with a leap day", () =>
    Effect.gen(function*() {
      const iat = seconds - 60
      assert.isString(yield* outcome({ claims: { iat, exp: iat + YEAR } }))
      assert.deepStrictEqual(yield* outcome({ claims: { iat, exp: iat + YEAR + 1 } }), ["LifetimeTooLong UDAP-53"])
    }))

  it.effect("[UDAP-57] authorization_endpoint is not required if the metadata have none", () =>
    Effect.gen(function*() {
      const { authorization_endpoint: _, ...plain } = document
      assert.isString(yield* outcome({ claims: { authorization_endpoint: undefined } }, plain))
    }))

  it.effect("[UDAP-57] a signed authorization_endpoint is checked, also if the metadata have none", () =>
    Effect.gen(function*() {
      const { authorization_endpoint: _, ...plain } = document
      const change = { claims: { authorization_endpoint: "http://auth.example.org/authorize" } }
      assert.deepStrictEqual(yield* outcome(change, plain), ["EndpointInsecure UDAP-57"])
    }))

  it.effect("[UDAP-54] iat and nbf may be later than the clock of this machine by `clockSkew`", () =>
    Effect.gen(function*() {
      assert.isString(yield* outcome({ claims: { iat: seconds + 60, nbf: seconds + 60 } }))
    }))

  it.effect("[UDAP-50] iss may end with a slash that the configured base does not have", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const iss = `${FHIR_BASE}/`
      const leaf = yield* makeLeaf({ names: [Pki.uri(iss)] })
      const x5c = [base64(leaf.der), base64(inter.der)]
      assert.isString(yield* outcome({ x5c, claims: { iss, sub: iss } }))
    }))

  it.effect("is trusted until exp, or the end of the chain if that is earlier", () =>
    Effect.gen(function*() {
      const until = (exp: number, to: number) =>
        Effect.gen(function*() {
          const { inter, makeLeaf } = yield* base
          const leaf = yield* makeLeaf({ to })
          const jwt = yield* signed({ claims: { exp: exp / 1000 }, x5c: [base64(leaf.der), base64(inter.der)] })
          const service = UdapDiscovery.UdapDiscovery.pipe(Effect.flatMap(({ metadata }) => metadata(FHIR_BASE)))
          return (yield* Effect.provide(service, discovery(serving(document, jwt)))).trustedUntil
        })
      assert.strictEqual(yield* until(NOW + 60_000, NOW + 120_000), NOW + 60_000)
      assert.strictEqual(yield* until(NOW + 120_000, NOW + 60_000), NOW + 60_000)
    }))

  it.effect("[UDAP-8] x5c has six certificates of 16 KiB at most", () =>
    Effect.gen(function*() {
      const { inter, leaf, otherRoot, root } = yield* base
      const x5c = (...others: ReadonlyArray<Uint8Array>) => [leaf.der, inter.der, ...others].map(base64)
      const four = [root.der, otherRoot.der, otherRoot.der, otherRoot.der]
      assert.isString(yield* outcome({ x5c: x5c(...four) }))
      assert.deepStrictEqual(yield* outcome({ x5c: x5c(...four, root.der) }), ["TooLarge UDAP-8"])
      assert.deepStrictEqual(yield* outcome({ x5c: x5c(new Uint8Array(16_385)) }), ["TooLarge RFC 5280, 4.1"])
    }))

  it.effect("is not longer than 262,144 characters", () =>
    Effect.gen(function*() {
      const jwt = yield* signed({ claims: { padding: "x".repeat(100_000) } })
      const details = (value: unknown) =>
        Effect.gen(function*() {
          const service = UdapDiscovery.UdapDiscovery.pipe(Effect.flatMap(({ metadata }) => metadata(FHIR_BASE)))
          const error = yield* Effect.flip(Effect.provide(service, discovery(serving(document, value))))
          return error._tag === "TrustError" ? error.problems.map(({ detail }) => detail) : [error.message]
        })
      const signature = "the signature of signed_metadata is not by the key of the first certificate in x5c"
      const filled = (length: number) => `${jwt}${"A".repeat(length - jwt.length)}`
      assert.include(yield* details(filled(262_144)), signature)
      assert.deepStrictEqual(yield* details(filled(262_145)), [
        "signed_metadata has more than 262144 characters"
      ])
      assert.deepStrictEqual(yield* details(null), ["it has no signed_metadata"])
      assert.deepStrictEqual(yield* details(7), ["signed_metadata is not a string"])
    }))

  const refusals: ReadonlyArray<readonly [title: string, problems: Array<string>, change: Signing]> = [
    ["critical header members", ["SignedMetadataMalformed RFC 7515, 4.1.11"], { header: { crit: ["b64"], b64: true } }],
    ["[UDAP-8] no x5c", ["SignedMetadataMalformed UDAP-8"], { header: { x5c: undefined } }],
    ["[UDAP-8] an empty x5c", ["SignedMetadataMalformed UDAP-8"], { x5c: [] }],
    ["[UDAP-8] an x5c that is a string", ["SignedMetadataMalformed UDAP-8"], { x5c: "MIIB" }],
    ["[UDAP-48] no iss", ["ClaimMissing UDAP-48", "SubjectMismatch UDAP-51"], { claims: { iss: undefined } }],
    ["[UDAP-48] neither iss nor sub", ["ClaimMissing UDAP-48", "SubjectMismatch UDAP-51"], {
      claims: { iss: undefined, sub: undefined }
    }],
    ["[UDAP-48] an empty iss", ["ClaimMissing UDAP-48"], { claims: { iss: "", sub: "" } }],
    ["[UDAP-48] an iss that is a number", ["ClaimMissing UDAP-48"], { claims: { iss: 7, sub: 7 } }],
    ["[UDAP-51] another sub", ["SubjectMismatch UDAP-51"], { claims: { sub: `${FHIR_BASE}/` } }],
    ["[UDAP-51] no sub", ["SubjectMismatch UDAP-51"], { claims: { sub: undefined } }],
    ["[UDAP-52] an exp that is a string", ["ClaimMissing UDAP-52"], { claims: { exp: String(seconds + 60) } }],
    ["[UDAP-52] an exp that is a string, years after iat", ["ClaimMissing UDAP-52"], {
      claims: { exp: String(seconds + 2 * YEAR) }
    }],
    ["[UDAP-52] an exp with a fraction", ["ClaimMissing UDAP-52"], { claims: { exp: seconds + 60.5 } }],
    ["[UDAP-52] an exp that has passed", ["SignedMetadataExpired UDAP-52"], { claims: { exp: seconds } }],
    ["[UDAP-54] no iat", ["ClaimMissing UDAP-54"], { claims: { iat: undefined } }],
    ["[UDAP-54] an iat with a fraction", ["ClaimMissing UDAP-54"], { claims: { iat: seconds - 0.5 } }],
    ["[UDAP-54] an iat that is a string, years before exp", ["ClaimMissing UDAP-54"], {
      claims: { iat: String(seconds - 2 * YEAR) }
    }],
    ["[UDAP-54] an iat of the future", ["SignedMetadataNotYetValid UDAP-54"], { claims: { iat: seconds + 61 } }],
    ["an nbf of the future", ["SignedMetadataNotYetValid RFC 7519, 4.1.5"], { claims: { nbf: seconds + 61 } }],
    ["an nbf that is a string", ["ClaimMissing RFC 7519, 4.1.5"], { claims: { nbf: String(seconds - 60) } }],
    ["[UDAP-55] a jti that is a number", ["ClaimMissing UDAP-55"], { claims: { jti: 7 } }],
    ["[UDAP-55] no jti", ["ClaimMissing UDAP-55"], { claims: { jti: undefined } }],
    ["[UDAP-55] an empty jti", ["ClaimMissing UDAP-55"], { claims: { jti: "" } }],
    ["[UDAP-57] no signed authorization_endpoint", ["EndpointMissing UDAP-57"], {
      claims: { authorization_endpoint: undefined }
    }],
    ["[UDAP-58] no signed token_endpoint", ["EndpointMissing UDAP-58"], { claims: { token_endpoint: undefined } }],
    ["[UDAP-58] an empty token_endpoint", ["EndpointMissing UDAP-58"], { claims: { token_endpoint: "" } }],
    ["[UDAP-58] a token_endpoint that is a list", ["EndpointMissing UDAP-58"], {
      claims: { token_endpoint: [claims["token_endpoint"]] }
    }],
    ["[UDAP-58] a token_endpoint on a loopback host over http", ["EndpointInsecure UDAP-58"], {
      claims: { token_endpoint: "http://localhost:8080/token" }
    }],
    ["[UDAP-58] a token_endpoint with a fragment", ["EndpointInsecure UDAP-58"], {
      claims: { token_endpoint: "https://auth.example.org/token#x" }
    }],
    ["[UDAP-58] a token_endpoint over http", ["EndpointInsecure UDAP-58"], {
      claims: { token_endpoint: "http://auth.example.org/token" }
    }],
    ["[UDAP-58] a relative token_endpoint", ["EndpointInsecure UDAP-58"], { claims: { token_endpoint: "/token" } }],
    ["[UDAP-59] no signed registration_endpoint", ["EndpointMissing UDAP-59"], {
      claims: { registration_endpoint: undefined }
    }],
    ["[UDAP-59] a registration_endpoint with credentials", ["EndpointInsecure UDAP-59"], {
      claims: { registration_endpoint: "https://a:b@auth.example.org/register" }
    }],
    ["[UDAP-59] a registration_endpoint with a user name", ["EndpointInsecure UDAP-59"], {
      claims: { registration_endpoint: "https://a@auth.example.org/register" }
    }],
    ["[UDAP-59] a registration_endpoint with a password", ["EndpointInsecure UDAP-59"], {
      claims: { registration_endpoint: "https://:b@auth.example.org/register" }
    }]
  ]
  for (const [title, problems, change] of refusals) {
    it.effect(`${title} is refused`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcome(change), problems)
      }))
  }

  it.effect("[UDAP-7] is signed with RS256, unless others are allowed", () =>
    Effect.gen(function*() {
      const [, ...others] = (yield* signed()).split(".")
      const { inter, leaf } = yield* base
      for (const alg of ["RS384", "RS512", "PS256", "rs256", "", 7, null, undefined]) {
        const header = JSON.stringify({ alg, x5c: [base64(leaf.der), base64(inter.der)] })
        const jwt = [Buffer.from(header).toString("base64url"), ...others].join(".")
        assert.deepStrictEqual(yield* outcomeOf(jwt), ["SignedMetadataAlgorithm UDAP-7"])
      }
    }))

  it.effect("[UDAP-3] is a JWT in compact serialization", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* outcomeOf(undefined), ["SignedMetadataMissing UDAP-46"])
      const text = (value: string | Uint8Array) => Buffer.from(value).toString("base64url")
      const good = yield* signed()
      const broken = [
        `${text("x")}.e30.AA`,
        `e30.${text("x")}.AA`,
        `e30.${text(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))}.AA`,
        `e30.${good}`,
        `\n${good}`,
        `${good}\n`
      ]
      for (const jwt of broken) {
        assert.deepStrictEqual(yield* outcomeOf(jwt), ["SignedMetadataMalformed UDAP-3"], jwt.slice(0, 20))
      }
      for (const jwt of [7, "", "a.b", "a.b.c", "e30.W10.AA", "e30.e30.AA\n", "e30..AA", "a".repeat(300_000)]) {
        assert.deepStrictEqual(yield* outcomeOf(jwt), ["SignedMetadataMalformed UDAP-3"], String(jwt).slice(0, 20))
      }
    }))

  it.effect("[UDAP-8] x5c is base64, not base64url, PEM or base64 with line breaks", () =>
    Effect.gen(function*() {
      const { leaf } = yield* base
      const right = base64(leaf.der)
      const url = right.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")
      const lines = right.replace(/.{64}/g, "$&\n")
      const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----`
      for (
        const entry of [
          url.includes("-") || url.includes("_") ? url : `${url}-`,
          lines,
          `\n${right}`,
          `${right}\n`,
          right.slice(0, -1),
          pem,
          "",
          7,
          null,
          {
            toString: right
          }
        ]
      ) {
        assert.deepStrictEqual(yield* outcome({ x5c: [entry] }), ["SignedMetadataMalformed UDAP-8"])
      }
    }))

  it.effect("[UDAP-48] [UDAP-49] the issuer's URI counts as a URI of the first certificate, character by character", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const problems = ["IssuerNotInCertificate UDAP-49"]
      const others = [
        [Pki.dns("fhir.example.org")],
        [Pki.email(FHIR_BASE)],
        [Pki.uri(`${FHIR_BASE}/`)],
        [Pki.uri("https://FHIR.example.org/r4")],
        [Pki.uri("https://fhir.example.org:443/r4")],
        [Pki.uri(`https://evil.example,URI:${FHIR_BASE}`)],
        [Pki.dns(`x,URI:${FHIR_BASE}`)]
      ]
      for (const names of others) {
        const leaf = yield* makeLeaf({ names })
        assert.deepStrictEqual(yield* outcome({ x5c: [base64(leaf.der), base64(inter.der)] }), problems)
      }
      const named = yield* makeLeaf({ names: [], name: Pki.named(FHIR_BASE) })
      assert.deepStrictEqual(yield* outcome({ x5c: [base64(named.der), base64(inter.der)] }), problems)
    }))

  it.effect("[UDAP-50] iss must be the FHIR base URL of the request", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const iss = "https://other.example.org/r4"
      const leaf = yield* makeLeaf({ names: [Pki.uri(iss)] })
      const x5c = [base64(leaf.der), base64(inter.der)]
      assert.deepStrictEqual(yield* outcome({ x5c, claims: { iss, sub: iss } }), ["IssuerMismatch UDAP-50"])
    }))

  it.effect("is not signed with another key than that of the first certificate", () =>
    Effect.gen(function*() {
      const { inter, keys, leaf } = yield* base
      const problems = ["SignedMetadataSignature UDAP-8"]
      assert.deepStrictEqual(yield* outcome({ key: keys.evil.privateKey }), problems)
      assert.deepStrictEqual(
        yield* outcome({ key: keys.inter.privateKey, x5c: [base64(leaf.der), base64(inter.der)] }),
        problems
      )
      const [head, , signature] = (yield* signed()).split(".")
      const other = Buffer.from(JSON.stringify({ ...claims, token_endpoint: "https://evil.example" })).toString(
        "base64url"
      )
      assert.deepStrictEqual(yield* outcomeOf(`${head}.${other}.${signature}`), problems)
    }))

  it.effect("is not verified with an algorithm that the header chooses", () =>
    Effect.gen(function*() {
      const { inter, leaf, makeLeaf } = yield* base
      const secret = new Uint8Array(leaf.der)
      const problems = ["SignedMetadataAlgorithm UDAP-7"]
      assert.deepStrictEqual(yield* outcome({ header: { alg: "HS256" }, key: secret }), problems)
      const none = `${
        Buffer.from(JSON.stringify({ alg: "none", x5c: [base64(leaf.der), base64(inter.der)] })).toString("base64url")
      }.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.AA`
      assert.deepStrictEqual(yield* outcomeOf(none), problems)
      // An RSA key that is too short is a problem of the certificate, and its signature is not looked at.
      const weak = yield* makeLeaf({ keys: yield* Pki.newKeys("rsa1024") })
      assert.deepStrictEqual(yield* outcome({ x5c: [base64(weak.der), base64(inter.der)] }), [
        "UnsupportedKey RFC 5280, 4.1.2.7"
      ])
      // RS256 in the header, and a key that cannot make it.
      const keys = yield* Pki.newKeys("p256")
      const elliptic = yield* makeLeaf({ keys })
      assert.deepStrictEqual(yield* outcome({ x5c: [base64(elliptic.der), base64(inter.der)] }), [
        "SignedMetadataSignature UDAP-8"
      ])
    }))

  it.effect("one error lists all failures", () =>
    Effect.gen(function*() {
      const { makeLeaf, keys } = yield* base
      const leaf = yield* makeLeaf({ to: NOW - Pki.DAY, names: [Pki.dns("fhir.example.org")] }, {
        name: Pki.named("Unknown"),
        keys: keys.evil
      })
      const found = yield* outcome({
        x5c: [base64(leaf.der)],
        claims: {
          sub: "x",
          exp: seconds - 1,
          iat: undefined,
          jti: undefined,
          token_endpoint: "http://auth.example.org"
        }
      })
      assert.deepStrictEqual(found, [
        "Expired RFC 5280, 6.1.3 (a)(2)",
        "Untrusted RFC 5280, 6.1.3 (a)(4)",
        "IssuerNotInCertificate UDAP-49",
        "SubjectMismatch UDAP-51",
        "SignedMetadataExpired UDAP-52",
        "ClaimMissing UDAP-54",
        "ClaimMissing UDAP-55",
        "EndpointInsecure UDAP-58"
      ])
    }))

  it.effect("an error contains neither the JWT nor a certificate", () =>
    Effect.gen(function*() {
      const jwt = yield* signed({ claims: { sub: "x" } })
      const error = yield* Effect.flip(
        Effect.gen(function*() {
          yield* TestClock.setTime(NOW)
          const service = yield* UdapDiscovery.UdapDiscovery
          return yield* service.metadata(FHIR_BASE)
        }).pipe(Effect.provide(discovery(serving(document, jwt))))
      )
      const text = `${error.message} ${JSON.stringify(error)}`
      for (const part of jwt.split(".")) assert.notInclude(text, part.slice(0, 40))
      assert.include(error.message, FHIR_BASE)
      assert.include(error.message, "UDAP-51")
    }))
})
