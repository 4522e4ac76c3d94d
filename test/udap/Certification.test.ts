import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Certification } from "effect-safire/udap"
import * as jose from "jose"
// Signs claims that `Certification.make` refuses.
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
    return yield* Jws.sign(signer, { ...claims, ...change }, { accepted: undefined, member: "" })
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
      yield* Certification.validate([own, other], { ...use, required: [PROFILE, "urn:audit:2026"] })
      const decoded = jose.decodeJwt(Redacted.value(other))
      assert.deepInclude(decoded, {
        iss: ISSUER,
        sub: CLIENT_URI,
        aud: ENDPOINT,
        response_types: ["code"],
        scope: "patient/*.rs",
        is_endorsement: true
      })
    }))

  it.effect("the error names a required extension that is missing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.flatMap(signed(), (one) => Certification.validate([one], { ...use, required: ["urn:other", PROFILE] }))
      )
      assert.strictEqual(error.reason, "Missing")
      assert.include(error.detail, "urn:other")
      assert.notInclude(error.detail, PROFILE)
    }))

  const rejected: ReadonlyArray<readonly [string, Json, RegExp]> = [
    ["another app's", { sub: "https://other.example.org" }, /sub/],
    ["a signer without the URI", { iss: "https://other.example.org" }, /signer's certificate/],
    ["exp that is text", { exp: "86400" }, /integers/],
    ["expired", { iat: -100, exp: 0 }, /ended at 1970/],
    ["more than three years", { exp: 3 * 366 * 86_400 + 1 }, /three years/],
    ["no jti", { jti: undefined }, /jti/],
    ["no name", { certification_name: "" }, /certification_name/],
    ["no URIs", { certification_uris: [] }, /certification_uris/],
    ["a text in the place of URIs", { certification_uris: PROFILE }, /certification_uris/],
    ["for another server", { aud: ["https://other.example.org/register"] }, /aud/],
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
    }))
})
