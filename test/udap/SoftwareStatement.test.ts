import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { SoftwareStatement } from "effect-safire/udap"
import { appCertificate, CLIENT_URI, type Json } from "./authorizationServer.js"

const backend: SoftwareStatement.Metadata = {
  clientName: "Growth Chart",
  contacts: ["mailto:it@example.org", "https://example.org/contact"],
  grantTypes: ["client_credentials"],
  scopes: ["system/*.rs"]
}

const withUsers: SoftwareStatement.Metadata = {
  clientName: "Growth Chart",
  contacts: ["mailto:it@example.org"],
  grantTypes: ["authorization_code", "refresh_token"],
  redirectUris: ["https://app.example.org/callback"],
  logoUri: "https://app.example.org/logo.png",
  scopes: ["openid", "patient/*.rs"]
}

const registrationEndpoint = "https://ehr.example.org/udap/register"

const decoded = (jwt: Redacted.Redacted) => {
  const [header, claims] = Redacted.value(jwt).split(".").slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, "base64url").toString()) as Json)
  return { header: header ?? {}, claims: claims ?? {} }
}

const made = (metadata: SoftwareStatement.Metadata, options: Partial<SoftwareStatement.Options> = {}) =>
  Effect.gen(function*() {
    const certificate = options.certificate ?? (yield* appCertificate())
    return decoded(yield* SoftwareStatement.make(metadata, { certificate, registrationEndpoint, ...options }))
  })

describe("SoftwareStatement", () => {
  it.effect(
    "[UDAP-71] [UDAP-76] [UDAP-77] [UDAP-83] [UDAP-86] [UDAP-95] [UDAP-96] [UDAP-97] [UDAP-103] has the claims of a backend service, and no others",
    () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_000_500)
        const { claims } = yield* made(backend)
        assert.deepStrictEqual({ ...claims, jti: "" }, {
          iss: CLIENT_URI,
          sub: CLIENT_URI,
          aud: registrationEndpoint,
          exp: 1_240,
          iat: 1_000,
          jti: "",
          client_name: "Growth Chart",
          contacts: ["mailto:it@example.org", "https://example.org/contact"],
          grant_types: ["client_credentials"],
          token_endpoint_auth_method: "private_key_jwt",
          scope: "system/*.rs"
        })
      })
  )

  it.effect(
    "[UDAP-84] [UDAP-88] [UDAP-93] [UDAP-94] an app with users has redirect URIs, a logo and the response type code",
    () =>
      Effect.gen(function*() {
        const { claims } = yield* made(withUsers)
        assert.deepStrictEqual(claims["redirect_uris"], ["https://app.example.org/callback"])
        assert.deepStrictEqual(claims["logo_uri"], "https://app.example.org/logo.png")
        assert.deepStrictEqual(claims["response_types"], ["code"])
        assert.deepStrictEqual(claims["grant_types"], ["authorization_code", "refresh_token"])
      })
  )

  it.effect("[UDAP-7] [UDAP-72] [UDAP-73] the header has alg and the chain as base64 of DER, and nothing else", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate()
      const { header } = yield* made(backend, { certificate })
      assert.deepStrictEqual(header, {
        alg: "RS256",
        x5c: certificate.chain.map((der) => Buffer.from(der).toString("base64"))
      })
    }))

  it.effect("[UDAP-78] [UDAP-79] [UDAP-80] [UDAP-104] is valid for at most five minutes, in whole seconds", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_999)
      const { exp, iat } = (yield* made(backend)).claims
      assert.strictEqual(iat, 1)
      assert.isTrue(Number.isSafeInteger(exp) && Number(exp) - Number(iat) <= 300)
    }))

  it.effect("[UDAP-81] [UDAP-82] each statement has another jti", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ key: "p256" })
      const ids = yield* Effect.replicateEffect(made(backend, { certificate }), 50)
      assert.strictEqual(new Set(ids.map(({ claims }) => claims["jti"])).size, 50)
    }))

  it.effect("signs with the first algorithm of its key that the server accepts", () =>
    Effect.gen(function*() {
      const rsa = yield* appCertificate()
      assert.strictEqual(
        (yield* made(backend, { certificate: rsa, signingAlgs: ["ES384", "RS384"] })).header["alg"],
        "RS384"
      )
      const error = yield* Effect.flip(made(backend, { certificate: rsa, signingAlgs: ["ES256"] }))
      assert.deepStrictEqual([error.reason, ...error.fields], [
        "Conflict",
        "certificate",
        "registration_endpoint_jwt_signing_alg_values_supported"
      ])
    }))

  it.effect("[UDAP-75] [UDAP-101] [UDAP-102] iss is a URI of the certificate, of several the chosen one", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ uris: [CLIENT_URI, "https://app.example.org/backend"] })
      const choose = (clientUri: string | undefined) => made(backend, { certificate, clientUri })
      assert.strictEqual(
        (yield* choose("https://app.example.org/backend")).claims["iss"],
        "https://app.example.org/backend"
      )
      for (
        const other of [undefined, `${CLIENT_URI}/`, "https://APP.example.org/udap", "https://app.example.org:443/udap"]
      ) {
        assert.deepStrictEqual((yield* Effect.flip(choose(other))).fields, ["clientUri"])
      }
    }))

  it.effect("a cancellation has no grant types, and therefore neither redirect URIs nor response types", () =>
    Effect.gen(function*() {
      const { claims } = yield* made(withUsers, { operation: "cancel" })
      assert.deepStrictEqual(claims["grant_types"], [])
      assert.notProperty(claims, "redirect_uris")
      assert.notProperty(claims, "response_types")
    }))

  it("the claims of a registration and of its end", () => {
    const common = {
      client_name: "Growth Chart",
      contacts: ["mailto:it@example.org"],
      logo_uri: "https://app.example.org/logo.png",
      token_endpoint_auth_method: "private_key_jwt",
      scope: "openid patient/*.rs"
    }
    assert.deepStrictEqual<unknown>(SoftwareStatement.toClaims(withUsers, "register"), {
      ...common,
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: ["https://app.example.org/callback"],
      response_types: ["code"]
    })
    assert.deepStrictEqual<unknown>(SoftwareStatement.toClaims(withUsers, "cancel"), { ...common, grant_types: [] })
    assert.notProperty(SoftwareStatement.toClaims(backend, "register"), "logo_uri")
  })

  it.effect("sends other members unchanged", () =>
    Effect.gen(function*() {
      const { claims } = yield* made({ ...backend, extensions: { software_id: "growth-chart" } })
      assert.strictEqual(claims["software_id"], "growth-chart")
    }))

  const violations: ReadonlyArray<readonly [string, SoftwareStatement.Metadata]> = [
    ["UDAP-83", { ...backend, clientName: " " }],
    ["UDAP-86", { ...backend, contacts: ["mailto:it@example.org", "the front desk"] }],
    ["UDAP-87", { ...backend, contacts: ["https://example.org/contact"] }],
    ["UDAP-87", { ...backend, contacts: ["mailto:nowhere"] }],
    ["UDAP-87", { ...backend, contacts: [] }],
    ["UDAP-87", { ...backend, contacts: ["https://example.org/mailto:it@example.org"] }],
    ["UDAP-87", { ...backend, contacts: ["mailto:it@example.org?subject=x"] }],
    ["UDAP-87", { ...backend, contacts: ["mailto:@example.org"] }],
    ["UDAP-87", { ...backend, contacts: ["mailto:it@example..org"] }],
    ["UDAP-87", { ...backend, contacts: ["mailto:it@.org"] }],
    ["UDAP-87", { ...backend, contacts: ["mailto:it@example.org@example.com"] }],
    ["UDAP-92", { ...backend, grantTypes: ["client_credentials", "refresh_token"] }],
    ["UDAP-92", { ...withUsers, grantTypes: ["authorization_code", "client_credentials"] }],
    ["UDAP-92", { ...backend, grantTypes: [] }],
    ["UDAP-84", { ...withUsers, redirectUris: ["http://app.example.org/callback"] }],
    ["UDAP-84", { ...withUsers, redirectUris: ["/callback"] }],
    ["UDAP-84", { ...withUsers, redirectUris: ["https://app.example.org/callback", "https://app.example.org/#"] }],
    ["UDAP-84", { ...withUsers, redirectUris: ["https://user@app.example.org/callback"] }],
    ["UDAP-84", { ...withUsers, redirectUris: ["https://:password@app.example.org/callback"] }],
    ["UDAP-84", { ...withUsers, redirectUris: [] }],
    ["UDAP-84", { ...withUsers, redirectUris: undefined }],
    ["UDAP-85", { ...backend, redirectUris: [] }],
    ["UDAP-85", { ...backend, redirectUris: ["https://app.example.org/callback"] }],
    ["UDAP-88", { ...withUsers, logoUri: undefined }],
    ["UDAP-90", { ...withUsers, logoUri: "http://app.example.org/logo.png" }],
    ["UDAP-91", { ...withUsers, logoUri: "https://app.example.org/logo.svg" }],
    ["UDAP-91", { ...withUsers, logoUri: "https://app.example.org/logo.png/" }],
    ["UDAP-91", { ...withUsers, logoUri: "https://app.example.org/logo-png" }],
    ["UDAP-91", { ...backend, logoUri: "https://app.example.org/?logo.png" }],
    ["UDAP-90", { ...backend, logoUri: "http://app.example.org/logo.png" }],
    ["UDAP-97", { ...backend, scopes: [] }],
    ["UDAP-97", { ...backend, scopes: ["system/*.rs system/*.c"] }],
    ["UDAP-97", { ...backend, scopes: ["system/*.rs", "a\"b"] }],
    ["UDAP-97", { ...backend, scopes: ["system/*.rs", ""] }],
    ["UDAP-71", { ...backend, extensions: { aud: "https://other.example.org" } }]
  ]

  it.effect.each(violations)(
    "[%s] is violated by %j, and by no other rule",
    ([requirement, metadata]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(SoftwareStatement.violations(metadata).map((one) => one.requirement), [requirement])
        const error = yield* Effect.flip(SoftwareStatement.validate(metadata))
        assert.strictEqual(error.reason, "Invalid")
        assert.include(error.detail, `[${requirement}]`)
      })
  )

  it.effect("invalid metadata are not signed; the error names each invalid field once and lists all details", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        made({ ...backend, logoUri: "logo", extensions: { aud: "x", scope: "y", software_id: "z" } })
      )
      assert.deepStrictEqual([...error.fields], ["logoUri", "extensions"])
      assert.strictEqual(
        error.detail,
        "logoUri: it is an https URL [UDAP-90]; logoUri: its path ends with .png, .jpg, .jpeg or .gif [UDAP-91]; extensions: aud, scope cannot be replaced [UDAP-71]"
      )
    }))

  it("valid metadata have no findings; loopback hosts need an option", () => {
    const images = ["a.jpg", "a.jpeg", "a.GIF", "a.png?size=1"].map((name) => `https://app.example.org/${name}`)
    const more: ReadonlyArray<SoftwareStatement.Metadata> = [
      ...images.map((logoUri) => ({ ...withUsers, logoUri })),
      { ...backend, contacts: ["MAILTO:first.last@mail.example.org"], scopes: ["a", "system/Patient.rs?a=b"] },
      { ...withUsers, grantTypes: ["authorization_code"] }
    ]
    assert.deepStrictEqual([backend, withUsers, ...more].flatMap((one) => SoftwareStatement.violations(one)), [])
    const local = { ...withUsers, redirectUris: ["http://localhost:3000/callback"] }
    assert.lengthOf(SoftwareStatement.violations(local), 1)
    assert.deepStrictEqual(SoftwareStatement.violations(local, { allowInsecureLocalhost: true }), [])
  })

  it("[UDAP-99] [UDAP-100] recommends system scopes for backend services, and user or patient scopes for others", () => {
    const of = (metadata: SoftwareStatement.Metadata) =>
      SoftwareStatement.recommendations(metadata).map(({ requirement }) => requirement)
    assert.deepStrictEqual(of({ ...backend, scopes: ["patient/*.rs"] }), ["UDAP-99"])
    assert.deepStrictEqual(of({ ...withUsers, scopes: ["system/*.rs"] }), ["UDAP-100"])
    assert.deepStrictEqual([...of(backend), ...of(withUsers)], [])
    assert.deepStrictEqual(
      SoftwareStatement.recommendations({
        ...withUsers,
        scopes: ["patient/*.rs", "system/*.rs", "system/Patient.rs", "x/system/"]
      }),
      [{
        field: "scopes",
        requirement: "UDAP-100",
        detail: "system/*.rs system/Patient.rs is unusual with authorization_code and refresh_token"
      }]
    )
    assert.deepStrictEqual(of({ ...backend, scopes: ["user/*.rs"] }), ["UDAP-99"])
    assert.deepStrictEqual(of({ ...backend, scopes: ["x/user/"] }), [])
  })
})
