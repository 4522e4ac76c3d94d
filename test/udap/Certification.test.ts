import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { Certification } from "effect-safire/udap"
import * as jose from "jose"
// Signs claims that `Certification.make` refuses.
import * as certificates from "../../src/udap/internal/certificate.js"
import * as Jws from "../../src/udap/internal/jws.js"
import { appCertificate, CLIENT_URI, type Json } from "./authorizationServer.js"

const ENDPOINT = "https://ehr.example.org/udap/register"
const PROFILE = "https://community.example.org/profiles/basic"
const ISSUER = "https://certifier.example.org"

const use: Certification.Use = { clientUri: CLIENT_URI, registrationEndpoint: ENDPOINT }

const claims: Json = {
  iss: ISSUER,
  sub: CLIENT_URI,
  iat: 0,
  exp: 86_400,
  jti: "1",
  certification_name: "Basic App",
  certification_uris: [PROFILE]
}

/** A certification whose claims have one change. */
const signed = (change: Json = {}) =>
  Effect.gen(function*() {
    const signer = yield* appCertificate({ key: "p256", uris: [ISSUER] })
    return yield* Jws.sign(signer, { ...claims, ...change }, undefined, "")
  })

describe("Certification", () => {
  it.effect("an app or a third party signs a certification", () =>
    Effect.gen(function*() {
      const app = yield* appCertificate()
      const certifier = yield* appCertificate({ key: "p384", uris: [ISSUER] })
      const own = yield* Certification.make(app, {
        name: "Basic App",
        uris: [PROFILE],
        grantTypes: ["client_credentials"]
      })
      const other = yield* Certification.make(certifier, {
        name: "Audit",
        uris: ["urn:audit:2026"],
        subject: CLIENT_URI,
        audience: ENDPOINT,
        grantTypes: ["authorization_code", "refresh_token"],
        scopes: ["patient/*.rs"],
        extensions: { audit: { level: 2 } },
        claims: { is_endorsement: true }
      })
      // Further claims stay where no option replaces them.
      const further = { aud: ENDPOINT, grant_types: ["client_credentials"], scope: "system/*.rs", extensions: {} }
      assert.deepInclude(
        Certification.content(
          yield* Certification.make(app, { name: "Basic App", uris: [PROFILE], claims: { ...further, iss: "x" } })
        ),
        { ...further, iss: CLIENT_URI }
      )
      yield* Certification.validate([own, other], { ...use, required: [PROFILE, "urn:audit:2026"] })
      const { jti: _, ...decoded } = jose.decodeJwt(Redacted.value(other))
      const content = {
        iss: ISSUER,
        sub: CLIENT_URI,
        aud: ENDPOINT,
        certification_name: "Audit",
        certification_uris: ["urn:audit:2026"],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        scope: "patient/*.rs",
        extensions: { audit: { level: 2 } },
        is_endorsement: true
      }
      assert.deepStrictEqual<unknown>(decoded, { ...content, iat: 0, exp: 365 * 86_400 })
      assert.deepStrictEqual<unknown>(Certification.content(other), content)
      assert.deepStrictEqual<unknown>(Certification.content(own), {
        iss: CLIENT_URI,
        sub: CLIENT_URI,
        certification_name: "Basic App",
        certification_uris: [PROFILE],
        grant_types: ["client_credentials"]
      })
    }))

  it.effect("the signer's certificate may have several URIs", () =>
    Effect.gen(function*() {
      const signer = yield* appCertificate({ key: "p256", uris: ["https://other.example.org", ISSUER] })
      yield* Certification.validate([yield* Jws.sign(signer, claims, undefined, "")], use)
    }))

  it.effect("signs with an algorithm that the server accepts, and names those that it accepts", () =>
    Effect.gen(function*() {
      const signer = yield* appCertificate({ key: "p256" })
      const detail = (accepted: ReadonlyArray<string>) =>
        Effect.map(Effect.flip(Jws.sign(signer, claims, accepted, "list")), ({ detail, fields }) => [fields, detail])
      const own = "and the key of the certificate signs ES256"
      assert.deepStrictEqual(yield* detail([]), [["certificate", "list"], `the server accepts nothing, ${own}`])
      assert.deepStrictEqual(yield* detail(["RS256", "HS256"]), [
        ["certificate", "list"],
        `the server accepts RS256, HS256, ${own}`
      ])
      const jwt = Redacted.value(yield* Jws.sign(signer, claims, ["RS256", "ES256"], "list"))
      const [certificate] = signer.chain
      const key = certificates.publicKeyInfo(Either.getOrThrow(certificates.parse(certificate)))
      assert.strictEqual(yield* Jws.verifies(jwt, "ES256", key), true)
      assert.strictEqual(yield* Jws.verifies(`${jwt}A`, "ES256", key), false)
    }))

  it.effect("a certification lasts for its lifetime, in whole seconds", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(5_999)
      const app = yield* appCertificate({ key: "p256" })
      const one = yield* Certification.make(app, { name: "Basic App", uris: [PROFILE], lifetime: "1500 millis" })
      const { exp, iat } = jose.decodeJwt(Redacted.value(one))
      assert.deepStrictEqual([iat, exp], [5, 6])
      yield* Certification.validate([one], use)
      assert.deepStrictEqual(Object.keys(Certification.content(one)), [
        "iss",
        "sub",
        "certification_name",
        "certification_uris"
      ])
      assert.deepStrictEqual(Certification.content(Redacted.make("not a JWT")), {})
    }))

  it.effect("the error names a required extension that is missing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.flatMap(signed(), (one) => Certification.validate([one], { ...use, required: ["urn:other", PROFILE] }))
      )
      assert.deepStrictEqual([error.reason, ...error.fields], ["Missing", "certifications"])
      assert.include(error.detail, "urn:other")
      assert.notInclude(error.detail, PROFILE)
    }))

  const rejected: ReadonlyArray<readonly [string, Json, RegExp]> = [
    ["another app's", { sub: "https://other.example.org" }, /sub/],
    ["a signer without the URI", { iss: "https://other.example.org" }, /signer's certificate/],
    ["exp that is text", { exp: "86400" }, /integers/],
    ["iat that is text", { iat: "0" }, /integers/],
    ["exp with a fraction", { exp: 86_400.5 }, /integers/],
    ["expired", { iat: -100, exp: 0 }, /ended at 1970/],
    ["expired for a day", { iat: -100_000, exp: -86_400 }, /ended at 1969-12-31T00:00:00\.000Z$/],
    ["more than three years", { exp: 3 * 366 * 86_400 + 1 }, /three years/],
    ["no jti", { jti: undefined }, /jti/],
    ["an empty jti", { jti: "" }, /jti/],
    ["no name", { certification_name: "" }, /certification_name/],
    ["a name that is a number", { certification_name: 7 }, /certification_name/],
    ["no URIs", { certification_uris: [] }, /certification_uris/],
    ["a text in the place of URIs", { certification_uris: PROFILE }, /certification_uris/],
    ["a URI that is a number", { certification_uris: [PROFILE, 7] }, /certification_uris/],
    ["a list in the place of a URI", { certification_uris: [[PROFILE]] }, /certification_uris/],
    ["a name in the place of a URI", { certification_uris: [PROFILE, "gold"] }, /certification_uris/],
    ["for another server", { aud: ["https://other.example.org/register"] }, /aud/],
    ["a text as grants", { grant_types: "authorization_code", response_types: ["code"] }, /grant_types has/],
    ["no grants", { grant_types: [] }, /grant_types has/],
    ["refresh tokens for a backend", { grant_types: ["client_credentials", "refresh_token"] }, /grant_types has/],
    ["a response type without grants", { response_types: ["code"] }, /grant_types has/],
    ["another response type", { grant_types: ["authorization_code"], response_types: ["token"] }, /needs/],
    ["two response types", { grant_types: ["authorization_code"], response_types: ["code", "token"] }, /needs/],
    [
      "response types that are not a list",
      { grant_types: ["authorization_code"], response_types: { 0: "code", length: 1 } },
      /needs/
    ],
    [
      "both grants",
      { grant_types: ["authorization_code", "client_credentials"], response_types: ["code"] },
      /grant_types/
    ],
    ["a code grant without its response type", { grant_types: ["authorization_code"] }, /response_types/],
    [
      "a response type without its grant",
      { grant_types: ["client_credentials"], response_types: ["code"] },
      /response_types/
    ]
  ]

  it.effect.each(rejected)("refuses %s", ([, change, detail]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.flatMap(signed(change), (one) => Certification.validate([one], use))
      )
      assert.deepStrictEqual([...error.fields], ["certifications"])
      assert.match(error.detail, detail)
    }))

  it.effect("accepts three years, a code grant, several audiences and a backend", () =>
    Effect.gen(function*() {
      const changes: ReadonlyArray<Json> = [
        { iat: 10, exp: 10 + 3 * 366 * 86_400 },
        { aud: ["https://other.example.org", ENDPOINT] },
        { grant_types: ["authorization_code"], response_types: ["code"] },
        { grant_types: ["client_credentials"] }
      ]
      for (const change of changes) yield* Certification.validate([yield* signed(change)], use)
    }))

  it.effect("refuses a header without a usable algorithm, certificate or issuer, and names the certification", () =>
    Effect.gen(function*() {
      const one = yield* signed()
      const [head = "", , signature = ""] = Redacted.value(one).split(".")
      const encode = (json: unknown) => Buffer.from(JSON.stringify(json)).toString("base64url")
      const header = JSON.parse(Buffer.from(head, "base64url").toString()) as Json
      const headers: ReadonlyArray<readonly [Json, string]> = [
        [{ alg: "HS256" }, "certification 2: its alg is not one of RS256, RS384, ES256, ES384"],
        [{ alg: undefined }, "certification 2: its alg is not one of RS256, RS384, ES256, ES384"],
        [{ x5c: undefined }, "certification 2: its x5c header has no certificate"],
        [{ x5c: [] }, "certification 2: its x5c header has no certificate"],
        [{ x5c: { 0: "MIIB" } }, "certification 2: its x5c header has no certificate"],
        [{ x5c: ["AAAA"] }, "certification 2: its x5c header has no certificate"]
      ]
      const detailOf = (head: string, claims: Json) =>
        Effect.map(
          Effect.flip(
            Certification.validate([one, Redacted.make(`${head}.${encode(claims)}.${signature}`)], use)
          ),
          ({ detail }) => detail
        )
      for (const [change, detail] of headers) {
        assert.strictEqual(yield* detailOf(encode({ ...header, ...change }), claims), detail)
      }
      assert.include(yield* detailOf(head, { ...claims, iss: 7 }), "iss is not a URI")
      assert.include(yield* detailOf(head, { ...claims, jti: "3" }), "its signature is not by the key")
    }))

  it.effect("rejects text that is not a JWT, and a signature of another key", () =>
    Effect.gen(function*() {
      const one = Redacted.value(yield* signed())
      const other = Redacted.value(yield* signed({ jti: "2" }))
      const forged = `${one.slice(0, one.lastIndexOf("."))}${other.slice(other.lastIndexOf("."))}`
      for (const jwt of ["a.b", `${one}.${one}`, "", forged]) {
        const error = yield* Effect.flip(Certification.validate([Redacted.make(jwt)], use))
        assert.match(error.detail, /JWT|signature/)
        assert.notInclude(error.message, one.slice(0, 30))
      }
    }))

  it.effect("refuses to sign for more than three years, or without URIs", () =>
    Effect.gen(function*() {
      const app = yield* appCertificate({ key: "p256" })
      const make = (options: Partial<Certification.Options>) =>
        Effect.flip(Certification.make(app, { name: "Basic App", uris: [PROFILE], ...options }))
      assert.match((yield* make({ lifetime: "1100 days" })).detail, /three years/)
      assert.match((yield* make({ uris: [] })).detail, /certification_uris/)
      const several = yield* appCertificate({ key: "p256", uris: [CLIENT_URI, ISSUER] })
      const issued = (issuer?: string) => Certification.make(several, { name: "Basic App", uris: [PROFILE], issuer })
      assert.deepStrictEqual((yield* Effect.flip(issued())).fields, ["clientUri"])
      assert.deepInclude(Certification.content(yield* issued(ISSUER)), { iss: ISSUER, sub: ISSUER })
      yield* TestClock.setTime(80 * 365 * 86_400_000)
      assert.match((yield* make({})).detail, /have it renewed/)
    }))
})
