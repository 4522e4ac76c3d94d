import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import {
  Identity,
  IdToken,
  IdTokenError,
  Jwks,
  LaunchContext,
  MetadataError,
  OpenIdConfiguration,
  Sessions,
  SessionStore,
  SmartClient,
  SmartConfiguration,
  SmartServers,
  TokenSet
} from "effect-safire"
import * as jose from "jose"
import * as FhirBaseUrl from "../../src/base/FhirBaseUrl.js"
import * as OnDemand from "../../src/base/OnDemand.js"
// The rules of a header, for those of tokens that no server signs.
import { ALGORITHMS, notAllowed, parseHeader } from "../../src/token/internal/idTokenHeader.js"
import {
  clientId,
  config,
  fhirBaseUrl,
  issuer,
  jwksUri,
  layerClient,
  login,
  makeKey,
  makeServer,
  type Members,
  openIdUrl,
  sign,
  smartConfiguration,
  tokenResponse,
  tokenUrl,
  validClaims
} from "../support/identityServer.js"
import { recorded } from "../support/warnings.js"
import { worked } from "../vectors/idToken.js"

const start = Date.parse("2026-01-01T00:00:00Z")

/** Logs in at a server with one key, which issues an id_token with changed claims; gives the server and the outcome. */
const attempt = (
  change: (claims: Members) => Members,
  options: {
    readonly policy?: IdToken.Policy | undefined
    readonly metadata?: Members | undefined
    readonly params?: Readonly<Record<string, string>> | undefined
  } = {}
) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(start)
    const key = yield* makeKey("k1")
    const server = makeServer([key.jwk], options.metadata)
    const outcome = yield* login(
      server,
      (nonce) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, change(claims))),
      { params: options.params }
    ).pipe(Effect.either, Effect.provide(layerClient(server, { idToken: options.policy })))
    return { server, outcome }
  })

const reasonOf = (self: ReturnType<typeof attempt>) =>
  Effect.map(self, ({ outcome }) =>
    outcome._tag === "Left"
      ? outcome.left._tag === "IdTokenError" ? outcome.left.reason : outcome.left._tag
      : outcome.right.identity === undefined
      ? "no identity"
      : "believed")

const seconds = start / 1000

describe("IdToken, claims", () => {
  const rows: ReadonlyArray<
    readonly [name: string, change: (claims: Members) => Members, expected: string, policy?: IdToken.Policy]
  > = [
    ["a good one", (claims) => claims, "believed"],
    ["another issuer", (claims) => ({ ...claims, iss: "https://evil.test" }), "IssuerMismatch"],
    ["the issuer with a slash more", (claims) => ({ ...claims, iss: `${issuer}/` }), "IssuerMismatch"],
    ["an issuer that is a list", (claims) => ({ ...claims, iss: [issuer] }), "IssuerMismatch"],
    ["no issuer", ({ iss: _, ...claims }) => claims, "ClaimMissing"],
    ["another audience", (claims) => ({ ...claims, aud: "app-2" }), "AudienceMismatch"],
    ["no audience", (claims) => ({ ...claims, aud: null }), "ClaimMissing"],
    ["an empty list of audiences", (claims) => ({ ...claims, aud: [] }), "AudienceMismatch"],
    ["this client in a list", (claims) => ({ ...claims, aud: [clientId] }), "believed"],
    [
      "a stranger beside this client",
      (claims) => ({ ...claims, aud: [clientId, "x"], azp: clientId }),
      "AudienceMismatch"
    ],
    [
      "a trusted audience beside",
      (claims) => ({ ...claims, aud: [clientId, "x"], azp: clientId }),
      "believed",
      { trustedAudiences: ["x"] }
    ],
    [
      "a stranger beside this client and a trusted audience",
      (claims) => ({ ...claims, aud: [clientId, "x", "y"], azp: clientId }),
      "AudienceMismatch",
      { trustedAudiences: ["x"] }
    ],
    [
      "several audiences without azp",
      (claims) => ({ ...claims, aud: [clientId, "x"] }),
      "AuthorizedPartyMismatch",
      { trustedAudiences: ["x"] }
    ],
    ["issued to another party", (claims) => ({ ...claims, azp: "app-2" }), "AuthorizedPartyMismatch"],
    ["azp is this client", (claims) => ({ ...claims, azp: clientId }), "believed"],
    ["expired by more than the skew", (claims) => ({ ...claims, exp: seconds - 60 }), "Expired"],
    ["expired within the skew", (claims) => ({ ...claims, exp: seconds - 59 }), "believed"],
    ["expired, without skew", (claims) => ({ ...claims, exp: seconds }), "Expired", { clockSkew: 0 }],
    ["no exp", ({ exp: _, ...claims }) => claims, "ClaimMissing"],
    ["exp as text", (claims) => ({ ...claims, exp: "9999999999" }), "ClaimMalformed"],
    ["from the future", (claims) => ({ ...claims, iat: seconds + 61 }), "IssuedInFuture"],
    ["from the future within the skew", (claims) => ({ ...claims, iat: seconds + 60 }), "believed"],
    ["no iat", ({ iat: _, ...claims }) => claims, "ClaimMissing"],
    ["not valid yet", (claims) => ({ ...claims, nbf: seconds + 61 }), "NotYetValid"],
    ["valid since", (claims) => ({ ...claims, nbf: seconds + 60 }), "believed"],
    ["nbf as text", (claims) => ({ ...claims, nbf: "0" }), "ClaimMalformed"],
    ["no sub", ({ sub: _, ...claims }) => claims, "ClaimMissing"],
    ["an empty sub", (claims) => ({ ...claims, sub: "" }), "SubjectInvalid"],
    ["a sub of 255 characters", (claims) => ({ ...claims, sub: "x".repeat(255) }), "believed"],
    ["a sub of 256 characters", (claims) => ({ ...claims, sub: "x".repeat(256) }), "SubjectInvalid"],
    ["a sub that is not ASCII", (claims) => ({ ...claims, sub: "pérson" }), "SubjectInvalid"],
    ["a sub that is a number", (claims) => ({ ...claims, sub: 7 }), "SubjectInvalid"],
    ["another nonce", (claims) => ({ ...claims, nonce: "another" }), "NonceMismatch"],
    ["a nonce that is a number", (claims) => ({ ...claims, nonce: 1 }), "NonceMismatch"],
    ["no nonce", ({ nonce: _, ...claims }) => claims, "believed"],
    ["no nonce where it is required", ({ nonce: _, ...claims }) => claims, "NonceMissing", {
      nonce: "required"
    }],
    ["a list of claims", () => [] as unknown as Members, "Malformed"]
  ]
  for (const [name, change, expected, policy] of rows) {
    it.effect(`${name}: ${expected}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* reasonOf(attempt(change, { policy })), expected)
      }))
  }

  it.effect("a nonce that was sent and not repeated is a warning", () =>
    Effect.gen(function*() {
      const { server } = yield* attempt(({ nonce: _, ...claims }) => claims)
      assert.deepStrictEqual(server.codes(), ["IdTokenNonceMissing"])
    }))

  it.effect("[SMART-211] max_age is never sent by itself; where it is, auth_time is checked", () =>
    Effect.gen(function*() {
      const params = { max_age: "300" }
      const withAuthTime = (age: number) => (claims: Members) => ({ ...claims, auth_time: seconds - age })
      assert.strictEqual(yield* reasonOf(attempt((claims) => claims, { params })), "ClaimMissing")
      assert.strictEqual(yield* reasonOf(attempt(withAuthTime(360), { params })), "believed")
      assert.strictEqual(yield* reasonOf(attempt(withAuthTime(361), { params })), "AuthenticationTooOld")
      assert.strictEqual(yield* reasonOf(attempt(withAuthTime(100_000))), "believed")
    }))

  it.effect("the issuer may be configured where metadata does not name it", () =>
    Effect.gen(function*() {
      const { outcome, server } = yield* attempt((claims) => claims, {
        metadata: { issuer: undefined },
        policy: { issuer }
      })
      // The SMART configuration names no issuer, so its keys verify no id_token.
      assert.strictEqual(outcome._tag === "Right" ? outcome.right.identity : "failed", undefined)
      assert.deepStrictEqual(server.codes(), ["IdTokenUnverifiable"])
      assert.strictEqual(server.times(openIdUrl), 1)
    }))
})

describe("IdToken, fhirUser", () => {
  const rows: ReadonlyArray<
    readonly [name: string, claim: unknown, expected: Members | undefined, warnings: ReadonlyArray<string>]
  > = [
    ["[SMART-203] absolute", `${fhirBaseUrl}/Patient/p-1`, {
      resourceType: "Patient",
      id: "p-1",
      url: `${fhirBaseUrl}/Patient/p-1`,
      isLocal: true
    }, []],
    ["[SMART-202] relative", "PractitionerRole/1", {
      resourceType: "PractitionerRole",
      id: "1",
      url: `${fhirBaseUrl}/PractitionerRole/1`,
      isLocal: true
    }, []],
    ["[SMART-97] on another server", "https://other.test/fhir/Person/1", {
      resourceType: "Person",
      id: "1",
      url: "https://other.test/fhir/Person/1",
      isLocal: false
    }, []],
    ["[SMART-97] under another base", "https://ehr.test/fhir-evil/Person/1", {
      resourceType: "Person",
      id: "1",
      url: "https://ehr.test/fhir-evil/Person/1",
      isLocal: false
    }, []],
    ["with a version", "RelatedPerson/1/_history/2", {
      resourceType: "RelatedPerson",
      id: "1",
      url: `${fhirBaseUrl}/RelatedPerson/1/_history/2`,
      isLocal: true
    }, []],
    ["[SMART-199] of another type", "Device/1", undefined, ["FhirUserMalformed"]],
    ["[SMART-199] with credentials", "https://a:b@ehr.test/fhir/Person/1", undefined, ["FhirUserMalformed"]],
    ["[SMART-199] with a query", `${fhirBaseUrl}/Person?x=/Person/1`, undefined, ["FhirUserMalformed"]],
    ["[SMART-199] a scheme of its own", "javascript:x/Person/1", undefined, ["FhirUserMalformed"]],
    ["[SMART-199] with a path before it", "../Person/1", undefined, ["FhirUserMalformed"]],
    ["[SMART-199] no string", { reference: "Person/1" }, undefined, ["FhirUserMalformed"]],
    ["[SMART-200] missing", undefined, undefined, ["FhirUserMissing"]]
  ]
  for (const [name, claim, expected, warnings] of rows) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const { outcome, server } = yield* attempt((claims) => ({ ...claims, fhirUser: claim }))
        const identity = outcome._tag === "Right" ? outcome.right.identity : undefined
        assert.strictEqual(identity?.sub, "person-1")
        assert.deepStrictEqual(identity?.fhirUser, expected)
        assert.deepStrictEqual(server.codes(), warnings)
      }))
  }

  it("prints only iss, sub and fhirUser, and can be stored and read", () => {
    const identity = new Identity.Identity({
      iss: issuer,
      sub: "s",
      claims: Redacted.make({ email: "who@example.test" })
    })
    assert.notInclude(`${String(identity)} ${inspect(identity, { depth: 9 })} ${JSON.stringify(identity)}`, "who@")
    const stored = Schema.encodeSync(Identity.Identity)(identity)
    assert.deepStrictEqual(
      Redacted.value(Schema.decodeSync(Identity.Identity)(stored).claims),
      { email: "who@example.test" }
    )
  })
})

const encoded = (value: Members): string => jose.base64url.encode(JSON.stringify(value))

/** Everything an error shows, in every way that errors are shown. */
const shown = (error: IdTokenError): string =>
  `${error.message} ${String(error)} ${inspect(error, { depth: 10 })} ${JSON.stringify(error)}`

describe("IdToken, hostile", () => {
  const forge = (
    make: (tools: {
      readonly claims: Members
      readonly key: { readonly jwk: jose.JWK }
    }) => Effect.Effect<string>
  ) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      let token = ""
      const outcome = yield* login(server, (nonce) =>
        validClaims(nonce).pipe(
          Effect.map((claims) => ({ ...claims, name: "canary-name" })),
          Effect.flatMap((claims) => make({ claims, key })),
          Effect.tap((made) => Effect.sync(() => void (token = made)))
        )).pipe(Effect.either, Effect.provide(layerClient(server)))
      if (outcome._tag === "Right") return "believed"
      const error = outcome.left
      if (error._tag !== "IdTokenError") return error._tag
      for (const secret of [token, ...token.split(".").filter((part) => part.length > 20), "canary-name"]) {
        assert.notInclude(shown(error), secret)
      }
      return error.reason
    })

  const hmac = (claims: Members, secret: string) =>
    Effect.promise(() =>
      new jose.SignJWT({ ...claims }).setProtectedHeader({ alg: "HS256", kid: "k1" }).sign(
        new TextEncoder().encode(secret)
      )
    )

  it.effect("[SMART-210] without a signature", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* forge(({ claims }) => Effect.succeed(`${encoded({ alg: "none" })}.${encoded(claims)}.`)),
        "AlgorithmNotAllowed"
      )
    }))

  it.effect("[SMART-210] HS256 with the public key as the secret", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* forge(({ claims, key }) => hmac(claims, JSON.stringify(key.jwk))),
        "AlgorithmNotAllowed"
      )
    }))

  it.effect("[SMART-201] signed with another key under the same kid", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* forge(({ claims }) => Effect.flatMap(makeKey("k1"), (other) => sign(other, claims))),
        "SignatureInvalid"
      )
    }))

  it.effect("[SMART-201] signed with a key that the token brings along", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* forge(({ claims }) =>
          Effect.flatMap(
            makeKey("k2"),
            (other) => sign(other, claims, { jwk: other.jwk, jku: "https://evil.test/jwks" })
          )
        ),
        "KeyNotFound"
      )
    }))

  it.effect("[SMART-201] changed after it was signed", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* forge(({ claims }) =>
          Effect.gen(function*() {
            const key = yield* makeKey("k1")
            const [header, , signature] = (yield* sign(key, claims)).split(".")
            return `${header}.${encoded({ ...claims, sub: "person-2" })}.${signature}`
          })
        ),
        "SignatureInvalid"
      )
    }))

  it.effect("an access token of the same issuer, an encrypted one, nonsense", () =>
    Effect.gen(function*() {
      const access = forge(({ claims }) => Effect.flatMap(makeKey("k1"), (key) => sign(key, claims, { typ: "at+jwt" })))
      assert.strictEqual(yield* access, "Malformed")
      assert.strictEqual(
        yield* forge(() => Effect.succeed(`${encoded({ alg: "RSA-OAEP" })}.aaaaaaaaaaaaaaaaaaaaaaaa.b.c.d`)),
        "Malformed"
      )
      assert.strictEqual(yield* forge(() => Effect.succeed("nonsense-that-is-long-enough-to-be-seen")), "Malformed")
      assert.strictEqual(yield* forge(() => Effect.succeed("a.b.c")), "Malformed")
      assert.strictEqual(
        yield* forge(({ claims }) =>
          Effect.succeed(`${encoded({ alg: "ES256", crit: ["x"], x: 1 })}.${encoded(claims)}.AAAA`)
        ),
        "Malformed"
      )
    }))

  /** A login at a server whose SMART metadata is given by hand, and whose OpenID metadata lists `listed`. */
  const configured = (listed: ReadonlyArray<string> | undefined, policy?: IdToken.Policy, alg = "ES256") =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1", alg)
      const server = makeServer([key.jwk])
      server.responses.set(openIdUrl, {
        issuer,
        jwks_uri: jwksUri,
        ...(listed === undefined ? {} : { id_token_signing_alg_values_supported: listed })
      })
      const outcome = yield* login(
        server,
        (nonce) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims))
      ).pipe(
        Effect.as("believed"),
        Effect.catchTag("IdTokenError", ({ message }) => Effect.succeed(message)),
        Effect.provide(layerClient(server, {
          idToken: policy,
          metadata: { issuer, authorizationEndpoint: `${issuer}/authorize`, tokenEndpoint: tokenUrl }
        }))
      )
      return { outcome, warnings: server.warnings.filter(({ code }) => code.startsWith("IdToken")) }
    })

  it.effect("[SMART-210] an id_token with an algorithm that the server does not list is accepted, with a warning", () =>
    Effect.gen(function*() {
      const { outcome, warnings } = yield* configured(["RS256"])
      assert.strictEqual(outcome, "believed")
      assert.deepStrictEqual(warnings.map(({ code }) => code), ["IdTokenAlgorithmUnlisted"])
      assert.include(warnings[0]?.detail, "ES256")
      assert.include(warnings[0]?.detail, "RS256")
      for (const listed of [undefined, ["RS256", "ES256"]]) {
        assert.deepStrictEqual(yield* configured(listed), { outcome: "believed", warnings: [] })
      }
    }))

  it.effect("[SMART-210] the configured algorithms have priority over the server's list", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* configured(["RS256"], { algorithms: ["ES256"] }), {
        outcome: "believed",
        warnings: []
      })
      const refused = yield* configured(["RS256"], { algorithms: ["RS256", "PS256"] })
      assert.include(refused.outcome, "AlgorithmNotAllowed")
      assert.include(
        refused.outcome,
        "it is signed with ES256, and idToken.algorithms accepts RS256, PS256; the server lists RS256"
      )
      assert.deepStrictEqual(refused.warnings, [])
      const policy: IdToken.Policy = { algorithms: ["RS256"] }
      assert.strictEqual(yield* reasonOf(attempt((claims) => claims, { policy })), "AlgorithmNotAllowed")
    }))

  it.effect("[SMART-210] an id_token signed with a shared secret is rejected under every list and setting", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      server.responses.set(openIdUrl, {
        issuer,
        jwks_uri: jwksUri,
        id_token_signing_alg_values_supported: ["HS256", "none"]
      })
      const error = yield* login(
        server,
        (nonce) => Effect.flatMap(validClaims(nonce), (claims) => hmac(claims, "secret"))
      ).pipe(
        Effect.flip,
        Effect.provide(layerClient(server, {
          idToken: { algorithms: ["HS256" as IdToken.Algorithm, "ES256"] },
          metadata: { issuer, authorizationEndpoint: `${issuer}/authorize`, tokenEndpoint: tokenUrl }
        }))
      )
      assert.include(error.message, "it is signed with HS256")
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "AlgorithmNotAllowed")
    }))

  it.effect("the message omits an alg that is not an algorithm", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const server = makeServer([])
      const error = yield* login(
        server,
        () => Effect.succeed(`${encoded({ alg: "access-1 echoed <script>" })}.e30.AAAA`)
      ).pipe(
        Effect.flip,
        Effect.provide(layerClient(server))
      )
      assert.include(error.message, "it is signed with another algorithm")
      assert.notInclude(error.message, "echoed")
    }))
})

describe("IdToken, the published example", () => {
  const verify = (change: Partial<IdToken.Request> = {}) =>
    Effect.gen(function*() {
      const jwk = yield* Effect.promise(() => jose.importSPKI(worked.publicKey, "RS384").then(jose.exportJWK))
      const server = makeServer([])
      server.responses.set("https://my-ehr.org/jwks", { keys: [jwk] })
      const base = Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)("https://my-ehr.org/fhir")
      const idToken = yield* Effect.provide(IdToken.IdToken, IdToken.layer().pipe(Layer.provide(server.layer)))
      return yield* idToken.verify(Redacted.make(worked.idToken), {
        server: "my-ehr",
        clientId: "growth-chart-app-123",
        configuration: SmartConfiguration.fromDocument(base, {
          issuer: "https://my-ehr.org/fhir",
          jwks_uri: "https://my-ehr.org/jwks"
        }),
        ...change
      })
    })

  it.effect("[SMART-201] rejects an id_token with a valid signature that lacks a claim of OpenID Connect", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(verify())
      assert.strictEqual(
        error._tag === "IdTokenError" ? `${error.reason} ${error.claim}` : error._tag,
        "ClaimMissing exp"
      )
      assert.include(error.message, "exp")
      const key = yield* Effect.promise(() => jose.importSPKI(worked.publicKey, "RS384"))
      const { payload } = yield* Effect.promise(() => jose.compactVerify(worked.idToken, key))
      assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(payload)), worked.claims)
    }))
})

describe("IdToken, in a whole launch", () => {
  it.effect("[SMART-47] the client sends a nonce of 256 bits and keeps it in the pending launch, but only with openid", () =>
    Effect.gen(function*() {
      const server = makeServer([])
      yield* Effect.gen(function*() {
        const client = yield* SmartClient.SmartClient
        const { pending, url } = yield* client.authorize()
        const nonce = url.searchParams.get("nonce") ?? ""
        assert.match(nonce, /^[A-Za-z0-9_-]{43}$/)
        assert.strictEqual(pending.nonce === undefined ? "" : Redacted.value(pending.nonce), nonce)
        assert.notInclude(`${inspect(pending, { depth: 9 })}${JSON.stringify(pending)}`, nonce)
        const without = yield* client.authorize({ scopes: ["launch/patient"] })
        assert.isFalse(without.url.searchParams.has("nonce"))
        assert.isUndefined(without.pending.nonce)
      }).pipe(Effect.provide(layerClient(server)))
    }))

  it.effect("[SMART-1] `authorize` with openid fails if the keys are at an http URL", () =>
    Effect.gen(function*() {
      const server = makeServer([], { jwks_uri: "http://login.ehr.test/jwks" })
      const client = yield* Effect.provide(SmartClient.SmartClient, layerClient(server))
      const error = yield* Effect.flip(client.authorize())
      assert.strictEqual(error.reason, "InsecureEndpoint")
      assert.include(error.message, "jwks_uri")
      assert.isUndefined((yield* client.authorize({ scopes: ["patient/*.rs"] })).pending.nonce)
    }))

  it.effect("[SMART-80] a missing id_token causes a warning if openid was granted, and no warning otherwise", () =>
    Effect.gen(function*() {
      const server = makeServer([])
      const none = yield* login(server, () => Effect.succeed(undefined)).pipe(Effect.provide(layerClient(server)))
      assert.isUndefined(none.identity)
      assert.deepStrictEqual(server.codes(), ["IdTokenMissing"])
      const quiet = makeServer([])
      yield* login(quiet, () => Effect.succeed(undefined), { answer: { scope: "patient/*.rs" } }).pipe(
        Effect.provide(layerClient(quiet))
      )
      assert.deepStrictEqual(quiet.codes(), ["ScopeNotGranted"])
    }))

  it.effect("[SMART-200] the client ignores an id_token that it did not ask for", () =>
    Effect.gen(function*() {
      const server = makeServer([])
      const tokens = yield* login(server, () => Effect.succeed("nonsense"), {
        scopes: ["patient/*.rs"],
        answer: { scope: "patient/*.rs" }
      }).pipe(Effect.provide(layerClient(server)))
      assert.isUndefined(tokens.identity)
      assert.strictEqual(server.times(jwksUri), 0)
    }))

  it.effect("a login at a server without issuer or keys gives a warning and no identity", () =>
    Effect.gen(function*() {
      for (const metadata of [{ issuer: undefined, jwks_uri: undefined }, { jwks_uri: undefined }]) {
        const { outcome, server } = yield* attempt((claims) => claims, { metadata })
        assert.isUndefined(outcome._tag === "Right" ? outcome.right.identity : "failed")
        assert.deepStrictEqual(server.codes(), ["IdTokenUnverifiable"])
      }
    }))

  it.effect("[SMART-201] keys come from the issuer's OpenID metadata where the SMART configuration has none", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const believed = (document: Members, metadata: Members) =>
        Effect.gen(function*() {
          const server = makeServer([key.jwk], metadata)
          server.responses.set(openIdUrl, document)
          server.responses.set(`${fhirBaseUrl}/.well-known/openid-configuration`, document)
          const iss = String(document["issuer"])
          return yield* login(server, (nonce) =>
            Effect.flatMap(validClaims(nonce), (claims) => sign(key, { ...claims, iss })))
            .pipe(
              Effect.map(({ identity }) =>
                identity === undefined ? "no identity" : "believed"
              ),
              Effect.catchTag("IdTokenError", ({ reason }) => Effect.succeed(reason)),
              Effect.provide(layerClient(server))
            )
        })
      assert.strictEqual(yield* believed({ issuer, jwks_uri: jwksUri }, { jwks_uri: undefined }), "believed")
      // The FHIR base as the issuer: some servers say so in this document alone.
      assert.strictEqual(
        yield* believed({ issuer: fhirBaseUrl, jwks_uri: jwksUri }, { issuer: undefined, jwks_uri: undefined }),
        "believed"
      )
      assert.strictEqual(
        yield* believed({ issuer: "https://evil.test", jwks_uri: jwksUri }, { jwks_uri: undefined }),
        "IssuerMismatch"
      )
      assert.strictEqual(
        yield* believed({ issuer: "https://evil.test", jwks_uri: jwksUri }, { issuer: undefined, jwks_uri: undefined }),
        "no identity"
      )
      const listed = { issuer, jwks_uri: jwksUri, id_token_signing_alg_values_supported: ["RS256"] }
      assert.strictEqual(yield* believed(listed, { jwks_uri: undefined }), "believed")
    }))

  it.effect("an id_token must come from the configured issuer where the SMART configuration names none", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const outcome = (iss: string, config: Parameters<typeof layerClient>[1]) =>
        Effect.suspend(() => {
          const server = makeServer([key.jwk], { issuer: undefined, jwks_uri: undefined })
          server.responses.set(openIdUrl, { issuer, jwks_uri: jwksUri })
          return login(server, (nonce) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, { ...claims, iss })))
            .pipe(
              Effect.map(({ identity }) => identity === undefined ? "no identity" : "believed"),
              Effect.catchTag("IdTokenError", ({ reason }) => Effect.succeed(reason)),
              Effect.provide(layerClient(server, config))
            )
        })
      assert.strictEqual(yield* outcome(issuer, {}), "no identity")
      assert.strictEqual(yield* outcome(issuer, { issuer }), "believed")
      assert.strictEqual(yield* outcome("https://evil.test", { issuer }), "IssuerMismatch")
      assert.strictEqual(yield* outcome(issuer, { issuer: "https://x.test", idToken: { issuer } }), "believed")
    }))

  it.effect("a login fails when the client cannot fetch the keys that verify the id_token", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([])
      server.responses.set(jwksUri, () => new Response("no", { status: 500 }))
      const error = yield* login(server, (nonce) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims)))
        .pipe(
          Effect.flip,
          Effect.provide(layerClient(server))
        )
      assert.strictEqual(error._tag === "IdTokenError" ? error.reason : error._tag, "KeysUnavailable")
    }))
})

describe("IdToken, the code that verifies", () => {
  /** Imports fail `failures` times. */
  const failing = (failures: number) => {
    let imports = 0
    return <M>(load: () => Promise<M>): Promise<M> =>
      imports++ < failures ? Promise.reject(new TypeError("Failed to fetch dynamically imported module")) : load()
  }

  it.effect("is loaded before the code is sent: if it cannot be loaded, the same callback works later", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      yield* Effect.gen(function*() {
        const client = yield* SmartClient.SmartClient
        const { pending, url } = yield* client.authorize()
        const claims = yield* validClaims(url.searchParams.get("nonce") ?? undefined)
        const idToken = yield* sign(key, claims)
        let exchanges = 0
        server.responses.set(tokenUrl, () => {
          exchanges++
          return Effect.succeed(tokenResponse(idToken))
        })
        const exchange = client.exchange(
          `https://app.test/callback?code=code-1&state=${url.searchParams.get("state")}`,
          pending
        )
        const error = yield* Effect.flip(exchange)
        assert.deepInclude(error, { _tag: "AuthorizationError", reason: "ModuleUnavailable", isRetryable: true })
        assert.isTrue(Sessions.isCallbackRetryable(error))
        assert.strictEqual(exchanges, 0)
        assert.strictEqual((yield* exchange).identity?.sub, "person-1")
        assert.strictEqual(exchanges, 1)
      }).pipe(Effect.provide(layerClient(server)), Effect.provideService(OnDemand.Importer, failing(1)))
    }))

  it.effect("`verify` fails with `ModuleUnavailable` while it cannot be loaded", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      const token = Redacted.make(yield* sign(key, yield* validClaims(undefined)))
      const base = Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)(fhirBaseUrl)
      const configuration = SmartConfiguration.fromDocument(base, { issuer, jwks_uri: jwksUri })
      yield* Effect.gen(function*() {
        const service = yield* IdToken.IdToken
        const verify = service.verify(token, { server: "ehr", configuration, clientId })
        const error = yield* Effect.flip(verify)
        assert.deepInclude(error, { _tag: "IdTokenError", reason: "ModuleUnavailable", server: "ehr" })
        assert.strictEqual(Option.getOrUndefined(yield* verify)?.sub, "person-1")
      }).pipe(
        Effect.provide(IdToken.layer()),
        Effect.provide(server.layer),
        Effect.provideService(OnDemand.Importer, failing(1))
      )
    }))

  it.effect("a launch of `Sessions` stays pending while it cannot be loaded", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      const layerSessions = Sessions.layer.pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provide(SmartServers.layerFromClient),
        Layer.provide(layerClient(server))
      )
      yield* Effect.gen(function*() {
        const sessions = yield* Sessions.Sessions
        const { url } = yield* sessions.startLaunch()
        const claims = yield* validClaims(url.searchParams.get("nonce") ?? undefined)
        const idToken = yield* sign(key, claims)
        server.responses.set(tokenUrl, () => Effect.succeed(tokenResponse(idToken)))
        const complete = sessions.completeLaunch(
          `https://app.test/callback?code=code-1&state=${url.searchParams.get("state")}`
        )
        const error = yield* Effect.flip(complete)
        assert.deepInclude(error, { _tag: "AuthorizationError", reason: "ModuleUnavailable" })
        const { tokens } = yield* sessions.session(yield* complete)
        assert.strictEqual(tokens.identity?.sub, "person-1")
      }).pipe(Effect.provide(layerSessions), Effect.provideService(OnDemand.Importer, failing(1)))
    }))

  it.effect("is not loaded for a launch without openid", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const server = makeServer([])
      const tokens = yield* login(server, () => Effect.succeed(undefined), { scopes: ["launch/patient"] }).pipe(
        Effect.provide(layerClient(server)),
        Effect.provideService(OnDemand.Importer, failing(Infinity))
      )
      assert.strictEqual(tokens.identity, undefined)
      assert.deepStrictEqual(server.codes(), [])
    }))

  it.effect("an id_token that was not requested is dropped, with a warning, while it cannot be loaded", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      const tokens = yield* Effect.gen(function*() {
        const client = yield* SmartClient.SmartClient
        const { pending, url } = yield* client.authorize({ scopes: ["launch/patient"] })
        const idToken = yield* Effect.flatMap(validClaims(undefined), (claims) => sign(key, claims))
        server.responses.set(tokenUrl, () => Effect.succeed(tokenResponse(idToken)))
        return yield* client.exchange(
          `https://app.test/callback?code=code-1&state=${url.searchParams.get("state")}`,
          pending
        )
      }).pipe(Effect.provide(layerClient(server)), Effect.provideService(OnDemand.Importer, failing(Infinity)))
      assert.include(tokens.scopes, "openid")
      assert.strictEqual(tokens.identity, undefined)
      assert.strictEqual(tokens.idToken, undefined)
      assert.include(server.codes(), "IdTokenUnverifiable")
    }))

  for (const granted of [true, false]) {
    it.effect(`an id_token that was not requested is ${granted ? "verified if openid was granted" : "not used if openid was not granted"}`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(start)
        const key = yield* makeKey("k1")
        const server = makeServer([key.jwk])
        const tokens = yield* login(
          server,
          () => Effect.flatMap(validClaims(undefined), (claims) => sign(key, claims)),
          { scopes: ["launch/patient"], answer: { scope: granted ? "launch/patient openid" : "launch/patient" } }
        ).pipe(Effect.provide(layerClient(server)))
        assert.strictEqual(tokens.identity?.sub, granted ? "person-1" : undefined)
      }))
  }

  it.effect("is not loaded for the refresh of tokens without openid", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      const idToken = yield* Effect.flatMap(validClaims(undefined), (claims) => sign(key, claims))
      let imports = 0
      const importer = <M>(): Promise<M> => {
        imports++
        return Promise.reject(new TypeError("Failed to fetch dynamically imported module"))
      }
      const answer = { scope: "launch/patient offline_access" }
      yield* Effect.gen(function*() {
        const tokens = yield* login(server, () => Effect.succeed(undefined), {
          scopes: ["launch/patient", "offline_access"],
          answer
        })
        server.responses.set(tokenUrl, () => Effect.succeed(tokenResponse(idToken, answer)))
        const renewed = yield* Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(tokens))
        assert.strictEqual(renewed.identity, undefined)
        assert.strictEqual(imports, 0)
        assert.deepStrictEqual(server.codes(), [])
      }).pipe(Effect.provide(layerClient(server)), Effect.provideService(OnDemand.Importer, importer))
    }))

  const never = <M>(): Promise<M> => new Promise<M>(() => undefined)

  for (const [name, importer] of [["cannot be loaded", failing(Infinity)], ["never arrives", never]] as const) {
    it.effect(`[SMART-117] a refresh does without it if it ${name}: new tokens, the old identity, a warning`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(start)
        const key = yield* makeKey("k1")
        const server = makeServer([key.jwk])
        const good = (nonce: string | undefined) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims))
        const before = yield* login(server, good).pipe(Effect.provide(layerClient(server)))
        const idToken = yield* good(undefined)
        server.responses.set(tokenUrl, () => Effect.succeed(tokenResponse(idToken, { access_token: "access-2" })))
        server.warnings.length = 0
        const refreshing = yield* Effect.flatMap(SmartClient.SmartClient, (client) => client.refresh(before)).pipe(
          Effect.provide(layerClient(server)),
          Effect.provideService(OnDemand.Importer, importer),
          Effect.fork
        )
        yield* TestClock.adjust("10 seconds")
        const tokens = yield* Fiber.join(refreshing)
        assert.strictEqual(Redacted.value(tokens.accessToken), "access-2")
        assert.strictEqual(tokens.identity, before.identity)
        assert.strictEqual(tokens.idToken, before.idToken)
        assert.deepStrictEqual(server.codes(), ["IdTokenUnverifiable"])
      }))
  }

  it.effect("userinfo and logout fail with retryable errors while it cannot be loaded, and send nothing", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      const good = (nonce: string | undefined) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims))
      const tokens = yield* login(server, good).pipe(Effect.provide(layerClient(server)))
      server.urls.length = 0
      yield* Effect.gen(function*() {
        const client = yield* SmartClient.SmartClient
        const userInfo = yield* Effect.flip(client.userInfo(tokens))
        assert.deepInclude(userInfo, {
          _tag: "TokenError",
          reason: "ModuleUnavailable",
          operation: "userInfo",
          processed: "no",
          isRetryable: true
        })
        const logout = yield* Effect.flip(client.logoutUrl(tokens))
        assert.deepInclude(logout, { _tag: "DiscoveryError", reason: "ModuleUnavailable", isRetryable: true })
        assert.deepStrictEqual(server.urls, [])
      }).pipe(Effect.provide(layerClient(server)), Effect.provideService(OnDemand.Importer, failing(Infinity)))
    }))
})

describe("IdToken, at a refresh", () => {
  /** A good login, then a refresh whose id_token is changed. */
  const refreshed = (
    change: ((claims: Members) => Members) | undefined,
    first = true,
    { answer = {}, hasKeys = true, hasNonce = true } = {}
  ) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      const good = (nonce: string | undefined) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims))
      return yield* Effect.gen(function*() {
        const before = yield* login(
          server,
          (nonce) => first ? good(hasNonce ? nonce : undefined) : Effect.succeed(undefined)
        )
        if (!hasKeys) {
          const url = `${fhirBaseUrl}/.well-known/smart-configuration`
          server.responses.set(url, { ...smartConfiguration, issuer: undefined, jwks_uri: undefined })
          yield* Effect.flatMap(SmartClient.SmartClient, ({ invalidate }) => invalidate)
        }
        server.warnings.length = 0
        yield* TestClock.adjust("4 minutes")
        const claims = yield* validClaims(undefined)
        const idToken = change === undefined ? undefined : yield* sign(key, change(claims))
        server.responses.set(
          tokenUrl,
          () =>
            Effect.succeed(tokenResponse(idToken, { access_token: "access-2", refresh_token: "refresh-2", ...answer }))
        )
        const client = yield* SmartClient.SmartClient
        const outcome = yield* Effect.either(client.refresh(before))
        return { before, outcome, codes: server.codes(), idToken }
      }).pipe(Effect.provide(layerClient(server)))
    })

  it.effect("a refresh without an id_token keeps the identity", () =>
    Effect.gen(function*() {
      const { before, codes, outcome } = yield* refreshed(undefined)
      assert.strictEqual(outcome._tag === "Right" ? outcome.right.identity : outcome, before.identity)
      assert.deepStrictEqual(codes, [])
    }))

  it.effect("a good one replaces the old, and keeps a fhirUser that it does not repeat", () =>
    Effect.gen(function*() {
      const { before, codes, idToken, outcome } = yield* refreshed(({ fhirUser: _, ...claims }) => claims)
      const tokens = outcome._tag === "Right" ? outcome.right : undefined
      assert.strictEqual(Redacted.value(tokens?.idToken ?? Redacted.make("")), idToken)
      assert.deepStrictEqual(tokens?.identity?.fhirUser, before.identity?.fhirUser)
      assert.strictEqual(
        tokens?.identity === undefined ? 0 : Redacted.value(tokens.identity.claims)["iat"],
        seconds + 240
      )
      assert.deepStrictEqual(codes, [])
    }))

  const bad: ReadonlyArray<readonly [string, (claims: Members) => Members]> = [
    ["expired", (claims) => ({ ...claims, exp: seconds })],
    ["of another issuer", (claims) => ({ ...claims, iss: "https://evil.test", sub: "person-2" })],
    ["with another nonce", (claims) => ({ ...claims, nonce: "another" })],
    ["for another client", (claims) => ({ ...claims, aud: "app-2" })]
  ]
  for (const [name, change] of bad) {
    it.effect(`a bad one (${name}) is a warning: the new tokens are good, the old identity stays`, () =>
      Effect.gen(function*() {
        const { before, codes, outcome } = yield* refreshed(change)
        const tokens = outcome._tag === "Right" ? outcome.right : undefined
        assert.strictEqual(Redacted.value(tokens?.accessToken ?? Redacted.make("")), "access-2")
        assert.strictEqual(tokens?.identity, before.identity)
        assert.strictEqual(
          tokens?.idToken === undefined ? "none" : Redacted.value(tokens.idToken),
          before.idToken === undefined ? "" : Redacted.value(before.idToken)
        )
        assert.deepStrictEqual(codes, ["IdTokenInvalid"])
      }))
  }

  it.effect("an id_token of another person at a refresh fails with SubjectChanged; the error has the new tokens, redacted", () =>
    Effect.gen(function*() {
      const { outcome } = yield* refreshed((claims) => ({ ...claims, sub: "person-2" }))
      const error = outcome._tag === "Left" && outcome.left._tag === "IdTokenError" ? outcome.left : undefined
      assert.strictEqual(error?.reason, "SubjectChanged")
      const tokens = error?.tokens === undefined ? undefined : Redacted.value(error.tokens)
      assert.strictEqual(tokens?.refreshToken === undefined ? "" : Redacted.value(tokens.refreshToken), "refresh-2")
      for (const secret of ["access-2", "refresh-2", "person-2", "patient-1"]) {
        assert.notInclude(error === undefined ? secret : shown(error), secret)
      }
    }))

  it.effect("an id_token is not used if the tokens have no identity and openid is not granted any more", () =>
    Effect.gen(function*() {
      const { codes, outcome } = yield* refreshed((claims) => claims, false, { answer: { scope: "patient/*.rs" } })
      assert.strictEqual(outcome._tag === "Right" ? outcome.right.identity : outcome._tag, undefined)
      assert.notInclude(codes, "IdTokenInvalid")
      const known = yield* refreshed((claims) => ({ ...claims, sub: "person-2" }), true, {
        answer: { scope: "patient/*.rs" }
      })
      assert.strictEqual(
        known.outcome._tag === "Left" && known.outcome.left._tag === "IdTokenError" && known.outcome.left.reason,
        "SubjectChanged"
      )
    }))

  it.effect("a nonce at a refresh is not compared if the first id_token had none", () =>
    Effect.gen(function*() {
      const { codes, outcome } = yield* refreshed((claims) => ({ ...claims, nonce: "any" }), true, { hasNonce: false })
      assert.strictEqual(outcome._tag === "Right" ? outcome.right.identity?.sub : outcome._tag, "person-1")
      assert.deepStrictEqual(codes, [])
    }))

  it.effect("of a server that publishes no keys any more, the tokens are new, and the identity is the old one", () =>
    Effect.gen(function*() {
      const { before, codes, outcome } = yield* refreshed((claims) => claims, true, { hasKeys: false })
      const tokens = outcome._tag === "Right" ? outcome.right : undefined
      assert.strictEqual(Redacted.value(tokens?.accessToken ?? Redacted.make("")), "access-2")
      assert.strictEqual(tokens?.identity, before.identity)
      assert.deepStrictEqual(codes, ["IdTokenUnverifiable"])
    }))

  it.effect("an identity that begins at a refresh may be without fhirUser", () =>
    Effect.gen(function*() {
      const { outcome } = yield* refreshed(({ fhirUser: _, ...claims }) => claims, false)
      const identity = outcome._tag === "Right" ? outcome.right.identity : undefined
      assert.deepStrictEqual([identity?.sub, identity?.fhirUser], ["person-1", undefined])
    }))

  it.effect("a verified id_token adds an identity to a token set without one", () =>
    Effect.gen(function*() {
      const { outcome } = yield* refreshed((claims) => claims, false)
      assert.strictEqual(outcome._tag === "Right" ? outcome.right.identity?.sub : outcome._tag, "person-1")
    }))
})

describe("Identity", () => {
  it("a person is the same if issuer and subject are equal", () => {
    const of = (iss: string, sub: string) => new Identity.Identity({ iss, sub, claims: Redacted.make({}) })
    assert.isTrue(Identity.isSamePerson(of("a", "1"), of("a", "1")))
    assert.isFalse(Identity.isSamePerson(of("a", "1"), of("b", "1")))
    assert.isFalse(Identity.isSamePerson(of("a", "1"), of("a", "2")))
    assert.isTrue(Identity.isSamePerson(of("a", "1"))(of("a", "1")))
  })

  it("[SMART-198] [SMART-199] [SMART-202] a fhirUser is a reference to a person's resource, local or not", () => {
    const base = "https://ehr.test/fhir"
    const local = (resourceType: string, id: string, url = `${base}/${resourceType}/${id}`) => ({
      resourceType,
      id,
      url,
      isLocal: true
    })
    const found = (claim: string, fhirBaseUrl = base) => Identity.parseFhirUser(claim, fhirBaseUrl) as unknown
    for (const type of ["Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"]) {
      assert.deepStrictEqual(found(`${type}/a-1.B`), local(type, "a-1.B"))
    }
    assert.deepStrictEqual(found(`${base}/Patient/1`), local("Patient", "1"))
    assert.deepStrictEqual(found("Patient/1", `${base}/`), local("Patient", "1"))
    assert.deepStrictEqual(
      found("Patient/1/_history/2"),
      local("Patient", "1", `${base}/Patient/1/_history/2`)
    )
    const foreign = "https://other.test/fhir/Patient/1"
    assert.deepStrictEqual(found(foreign), { resourceType: "Patient", id: "1", url: foreign, isLocal: false })
    const others = ["", "Patient", "Patient/", "Device/1", "xPatient/1", "Patient/1/", "Patient/1/Patient", "patient/1"]
    for (const claim of [...others, `Patient/${"a".repeat(65)}`, "x/Patient/1", "javascript:/Patient/1"]) {
      assert.isUndefined(found(claim), claim)
    }
    assert.isUndefined(found("Patient/1", "nonsense"))
  })

  it("the errors of an identity name what was refused", () => {
    const tokens = Redacted.make(
      new TokenSet.TokenSet({
        version: 1,
        accessToken: Redacted.make("AT"),
        receivedAt: DateTime.unsafeMake(0),
        scopes: [],
        context: new LaunchContext.LaunchContext({}),
        extensions: Redacted.make({})
      })
    )
    const errorOf = (reason: IdTokenError["reason"], more: Partial<IdTokenError> = {}) =>
      new IdTokenError({ reason, server: "ehr", detail: "it", ...more })
    assert.match(errorOf("NoIdentity").message, /^The person who logged in at ehr is not known \(NoIdentity\): it; req/)
    assert.match(
      errorOf("ModuleUnavailable").message,
      /^The id_token of ehr cannot be verified \(ModuleUnavailable\): /
    )
    assert.match(errorOf("SubjectMismatch").message, /^The userinfo of ehr was refused \(SubjectMismatch\): /)
    assert.match(errorOf("Expired").message, /^The id_token of ehr was refused \(Expired\): /)
    assert.isTrue(errorOf("ModuleUnavailable").isRetryable)
    assert.isFalse(errorOf("ModuleUnavailable", { tokens }).isRetryable)
    assert.isFalse(errorOf("Expired").isRetryable)
  })
})

describe("UserInfo and logout", () => {
  const endpoints = {
    issuer,
    jwks_uri: jwksUri,
    userinfo_endpoint: `${issuer}/userinfo`,
    end_session_endpoint: `${issuer}/logout?tenant=1`
  }
  const setUp = (document: Members | undefined, userInfo: Members) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      if (document !== undefined) server.responses.set(openIdUrl, document)
      for (const url of [`${issuer}/userinfo`, "https://elsewhere.test/userinfo"]) server.responses.set(url, userInfo)
      const context = yield* Layer.build(layerClient(server))
      const client = yield* Effect.provide(SmartClient.SmartClient, context)
      const tokens = yield* login(server, (nonce) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims)))
        .pipe(
          Effect.provide(context)
        )
      return { server, client, tokens }
    })

  it.scoped("[SMART-214] `userInfo` sends a bearer token and returns the claims of the person who logged in", () =>
    Effect.gen(function*() {
      const { client, server, tokens } = yield* setUp(endpoints, {
        sub: "person-1",
        fhirUser: "Practitioner/p-1",
        email: "x@y.test"
      })
      const found = yield* client.userInfo(tokens)
      assert.strictEqual(found.fhirUser?.url, `${fhirBaseUrl}/Practitioner/p-1`)
      assert.strictEqual(Redacted.value(found.claims)["email"], "x@y.test")
      assert.notInclude(inspect(found, { depth: 9 }), "x@y.test")
      assert.strictEqual(server.authorizations.at(-1), "Bearer access-1")
    }))

  const refusals: ReadonlyArray<readonly [string, Members | undefined, Members, string]> = [
    ["of another person", endpoints, { sub: "person-2" }, "IdTokenError SubjectMismatch"],
    ["without sub", endpoints, { email: "x@y.test" }, "TokenError Malformed"],
    ["without a userinfo_endpoint", { issuer, jwks_uri: jwksUri }, {}, "MetadataError EndpointMissing"],
    [
      "on a foreign host",
      { ...endpoints, userinfo_endpoint: "https://elsewhere.test/userinfo" },
      { sub: "person-1" },
      "MetadataError ForeignEndpoint"
    ],
    [
      "over http",
      { ...endpoints, userinfo_endpoint: "http://login.ehr.test/userinfo" },
      { sub: "person-1" },
      "MetadataError ForeignEndpoint"
    ],
    ["without OpenID metadata", undefined, {}, "MetadataError NotFound"]
  ]
  for (const [name, document, userInfo, expected] of refusals) {
    it.scoped(`[SMART-214] userinfo ${name}: ${expected}`, () =>
      Effect.gen(function*() {
        const { client, server, tokens } = yield* setUp(document, userInfo)
        const error = yield* Effect.flip(client.userInfo(tokens))
        assert.strictEqual(`${error._tag} ${error.reason}`, expected)
        assert.strictEqual(server.times("https://elsewhere.test/userinfo"), 0)
        assert.notInclude(`${error.message}${inspect(error)}`, "x@y.test")
      }))
  }

  it.scoped("userinfo refuses a token set without identity and one of another server", () =>
    Effect.gen(function*() {
      const { client, server, tokens } = yield* setUp(endpoints, { sub: "person-1" })
      const error = yield* Effect.flip(client.userInfo(new TokenSet.TokenSet({ ...tokens, identity: undefined })))
      assert.strictEqual(error.reason, "NoIdentity")
      const foreign = new TokenSet.TokenSet({ ...tokens, fhirBaseUrl: "https://other.test/fhir" })
      assert.strictEqual((yield* Effect.flip(client.userInfo(foreign))).reason, "WrongServer")
      assert.strictEqual(server.times(`${issuer}/userinfo`), 0)
    }))

  it.scoped("userinfo of a person who logged in at another issuer is not requested", () =>
    Effect.gen(function*() {
      const { client, server, tokens } = yield* setUp(endpoints, { sub: "person-1" })
      const identity = new Identity.Identity({ iss: "https://old.test", sub: "person-1", claims: Redacted.make({}) })
      const error = yield* Effect.flip(client.userInfo(new TokenSet.TokenSet({ ...tokens, identity })))
      assert.deepInclude(error, { _tag: "IdTokenError", reason: "IssuerMismatch", claim: "iss" })
      assert.strictEqual(server.times(`${issuer}/userinfo`), 0)
    }))

  it.scoped("`logoutUrl` fails if the OpenID metadata cannot be fetched; without metadata it has no URL", () =>
    Effect.gen(function*() {
      const { client, server, tokens } = yield* setUp(undefined, {})
      assertNone(yield* client.logoutUrl(tokens))
      server.responses.set(openIdUrl, () => new Response("{}", { status: 403 }))
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(yield* Effect.flip(client.logoutUrl(tokens)), { _tag: "MetadataError", reason: "Status" })
    }))

  it.effect("an end_session_endpoint of a loopback host requires allowInsecureLocalhost", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey("k1")
      const server = makeServer([key.jwk])
      server.responses.set(openIdUrl, { ...endpoints, end_session_endpoint: "http://localhost:8080/logout" })
      const good = (nonce: string | undefined) => Effect.flatMap(validClaims(nonce), (claims) => sign(key, claims))
      for (const allowInsecureLocalhost of [false, true]) {
        const outcome = yield* Effect.gen(function*() {
          const client = yield* SmartClient.SmartClient
          return yield* Effect.either(client.logoutUrl(yield* login(server, good)))
        }).pipe(Effect.provide(layerClient(server, { allowInsecureLocalhost })))
        if (allowInsecureLocalhost) {
          const url = Either.isRight(outcome) ? Option.map(outcome.right, Redacted.value) : Option.none()
          assertSome(Option.map(url, ({ host }) => host), "localhost:8080")
        } else assert.deepInclude(outcome._tag === "Left" ? outcome.left : {}, { reason: "InsecureEndpoint" })
      }
    }))

  it.scoped("`logoutUrl` has id_token_hint, client_id, redirect URI and state, and keeps the query of the endpoint", () =>
    Effect.gen(function*() {
      const { client, tokens } = yield* setUp(endpoints, {})
      const found = yield* client.logoutUrl(tokens, { postLogoutRedirectUri: "https://app.test/bye", state: "s 1" })
      const url = Option.map(found, Redacted.value)
      assertSome(Option.map(url, ({ searchParams }) => [...searchParams]), [
        ["tenant", "1"],
        ["id_token_hint", Redacted.value(tokens.idToken ?? Redacted.make(""))],
        ["client_id", clientId],
        ["post_logout_redirect_uri", "https://app.test/bye"],
        ["state", "s 1"]
      ])
      assert.notInclude(inspect(found, { depth: 9 }), "id_token_hint")
    }))

  it.scoped("logout where it is not offered, and where it is not https", () =>
    Effect.gen(function*() {
      for (const document of [undefined, { issuer }]) {
        const { client, tokens } = yield* setUp(document, {})
        assert.isTrue(Option.isNone(yield* client.logoutUrl(tokens)))
      }
      const { client, tokens } = yield* setUp({ ...endpoints, end_session_endpoint: "http://login.ehr.test/bye" }, {})
      const error = yield* Effect.flip(client.logoutUrl(tokens))
      assert.strictEqual(error.reason, "InsecureEndpoint")
      assert.strictEqual(config.clientId, clientId)
    }))
})

describe("IdToken over other key sets", () => {
  const configuration = (members: Members) =>
    SmartConfiguration.fromDocument(Either.getOrThrow(FhirBaseUrl.parse(fhirBaseUrl)), members)
  const metadataError = (reason: MetadataError["reason"]) =>
    new MetadataError({ subject: "Jwks", reason, url: jwksUri, detail: "it" })

  interface Setting {
    readonly find?: Jwks.Service["find"]
    readonly metadata?: OpenIdConfiguration.Service["metadata"]
  }

  /** The service over a key set and OpenID metadata in memory. */
  const over = ({ find, metadata }: Setting) => {
    const warnings = recorded()
    const layer = Layer.mergeAll(
      Layer.succeed(Jwks.Jwks, {
        find: find ?? (() => metadataError("NoSuchKey")),
        invalidate: () => Effect.void
      }),
      Layer.succeed(OpenIdConfiguration.OpenIdConfiguration, {
        metadata: metadata ?? (() => metadataError("NotFound")),
        invalidate: () => Effect.void
      }),
      warnings.layer
    )
    return Effect.map(Effect.provide(IdToken.make, layer), (service) => ({ service, warnings }))
  }

  const request: IdToken.Request = {
    server: "ehr",
    clientId,
    configuration: configuration({ issuer, jwks_uri: jwksUri })
  }
  const claims: Members = { iss: issuer, sub: "person-1", aud: clientId, exp: seconds + 60, iat: seconds }

  const outcomeOf = (
    change: Members,
    more: Partial<IdToken.Request> = {},
    { find, header, payload }: Setting & { readonly header?: Members; readonly payload?: string } = {}
  ) =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const key = yield* makeKey(undefined)
      const { service, warnings } = yield* over({
        find: find ?? (() => Effect.promise(() => jose.importJWK(key.jwk) as Promise<jose.CryptoKey>))
      })
      const token = payload === undefined
        ? yield* sign(key, { ...claims, ...change }, header)
        : yield* Effect.promise(() =>
          new jose.CompactSign(new TextEncoder().encode(payload)).setProtectedHeader({ alg: "ES256" }).sign(
            key.privateKey
          )
        )
      const outcome = yield* Effect.either(service.verify(Redacted.make(token), { ...request, ...more }))
      return { outcome, codes: warnings.codes() }
    })

  const codesOf = (change: Members, more: Partial<IdToken.Request> = {}) =>
    Effect.map(
      outcomeOf(change, more),
      ({ codes, outcome }) => outcome._tag === "Right" ? codes : [outcome.left.reason]
    )
  const detailOf = (...args: Parameters<typeof outcomeOf>) =>
    Effect.map(
      outcomeOf(...args),
      ({ outcome }) => outcome._tag === "Left" ? `${outcome.left.reason}: ${outcome.left.detail}` : "accepted"
    )

  it.effect("a nonce is compared only if the request had one, and may be missing at a refresh", () =>
    Effect.gen(function*() {
      const nonce = Redacted.make("n1")
      const required: IdToken.Policy = { nonce: "required" }
      assert.deepStrictEqual(yield* codesOf({}), [])
      assert.deepStrictEqual(yield* codesOf({ nonce: "n2" }), [])
      assert.deepStrictEqual(yield* codesOf({}, { nonce }), ["IdTokenNonceMissing"])
      assert.deepStrictEqual(yield* codesOf({ nonce: null }, { nonce }), ["IdTokenNonceMissing"])
      assert.deepStrictEqual(yield* codesOf({}, { nonce, policy: required }), ["NonceMissing"])
      assert.deepStrictEqual(yield* codesOf({}, { nonce, policy: required, renewal: true }), [])
      assert.deepStrictEqual(yield* codesOf({ nonce: "n1" }, { nonce, policy: required }), [])
      for (const other of ["n2", ["n1"], 1]) {
        assert.deepStrictEqual(yield* codesOf({ nonce: other }, { nonce, renewal: true }), ["NonceMismatch"])
      }
    }))

  it.effect("an issuer that differs only in a slash at the end is named as such", () =>
    Effect.gen(function*() {
      const mismatch = `IssuerMismatch: its iss is not "${issuer}"`
      const slash = "; they differ in a slash at the end"
      assert.strictEqual(yield* detailOf({ iss: `${issuer}/` }), mismatch + slash)
      assert.strictEqual(yield* detailOf({ iss: `${issuer}/x` }), mismatch)
      assert.strictEqual(yield* detailOf({ iss: 7 }), mismatch)
      const configured = configuration({ issuer: `${issuer}/`, jwks_uri: jwksUri })
      assert.strictEqual(
        yield* detailOf({}, { configuration: configured }),
        `IssuerMismatch: its iss is not "${issuer}/"${slash}`
      )
    }))

  it.effect("times that are missing or not numbers, and a person that is not a reference", () =>
    Effect.gen(function*() {
      for (const claim of ["exp", "iat", "nbf", "auth_time"]) {
        assert.strictEqual(yield* detailOf({ [claim]: "1" }), `ClaimMalformed: its ${claim} is not a number`)
      }
      assert.deepStrictEqual(yield* codesOf({ exp: seconds - 60 }), ["Expired"])
      assert.deepStrictEqual(yield* codesOf({ exp: seconds - 59 }), [])
      assert.deepStrictEqual(yield* codesOf({ iat: seconds + 61 }), ["IssuedInFuture"])
      assert.deepStrictEqual(yield* codesOf({ iat: seconds + 60, nbf: seconds + 60 }), [])
      assert.deepStrictEqual(yield* codesOf({ nbf: seconds + 61 }), ["NotYetValid"])
      assert.deepStrictEqual(yield* codesOf({}, { maxAge: 10 }), ["ClaimMissing"])
      assert.deepStrictEqual(yield* codesOf({ auth_time: seconds - 70 }, { maxAge: 10 }), [])
      assert.deepStrictEqual(yield* codesOf({ auth_time: seconds - 71 }, { maxAge: 10 }), ["AuthenticationTooOld"])
      for (const fhirUser of [["Patient/1"], 7, "Device/1"]) {
        assert.deepStrictEqual(yield* codesOf({ fhirUser }), ["FhirUserMalformed"])
      }
      assert.deepStrictEqual(yield* codesOf({ fhirUser: null }), [])
      assert.deepStrictEqual(yield* codesOf({ fhirUser: null }, { fhirUser: true }), ["FhirUserMissing"])
    }))

  it.effect("the reason of a missing key, and exceptions without their words", () =>
    Effect.gen(function*() {
      const reasons: ReadonlyArray<readonly [MetadataError["reason"], IdTokenError["reason"]]> = [
        ["ModuleUnavailable", "ModuleUnavailable"],
        ["NoSuchKey", "KeyNotFound"],
        ["AmbiguousKey", "KeyAmbiguous"],
        ["NotFound", "KeysUnavailable"]
      ]
      for (const [reason, expected] of reasons) {
        const detail = `${expected}: no key of the server at ${jwksUri} (${reason}): it`
        assert.strictEqual(yield* detailOf({}, {}, { find: () => metadataError(reason) }), detail)
      }
      const defect = () => Effect.die(new TypeError("person-1"))
      assert.strictEqual(
        yield* detailOf({}, {}, { find: defect }),
        "Malformed: its validation ended with an exception (TypeError)"
      )
      for (const payload of ["text", "[]", "7", ""]) {
        assert.strictEqual(yield* detailOf({}, {}, { payload }), "Malformed: its payload is not a JSON object")
      }
    }))

  it.effect("the metadata of the server name issuer and keys, and OpenID metadata what is missing there", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const found = (metadata: Partial<OpenIdConfiguration.Metadata>, members: Members, policy?: IdToken.Policy) =>
        Effect.flatMap(
          over({
            metadata: (...args) => {
              asked.push(args)
              return Effect.succeed({ issuer: "https://openid.test", ...metadata } as OpenIdConfiguration.Metadata)
            }
          }),
          ({ service }) =>
            Effect.map(
              service.provider({
                server: "ehr",
                configuration: configuration(members),
                policy,
                allowInsecureLocalhost: true
              }),
              Option.getOrUndefined
            )
        )
      assert.deepStrictEqual(yield* found({}, { issuer, jwks_uri: jwksUri }), { issuer, jwksUri })
      assert.deepStrictEqual(asked, [])
      const keys = { jwksUri: "https://openid.test/keys", idTokenSigningAlgValuesSupported: ["ES256"] }
      const openId = { issuer: "https://openid.test", jwksUri: keys.jwksUri, algorithms: ["ES256"] }
      assert.deepStrictEqual(yield* found(keys, { jwks_uri: jwksUri }), openId)
      assert.deepStrictEqual(yield* found(keys, { issuer }), openId)
      assert.deepStrictEqual(
        yield* found(keys, { issuer, jwks_uri: jwksUri }, { issuer: "https://other.test" }),
        openId
      )
      const insecure = { allowInsecureLocalhost: true }
      assert.deepStrictEqual(asked, [[fhirBaseUrl, insecure], [issuer, insecure], ["https://other.test", insecure]])
      assert.deepStrictEqual(yield* found({}, { jwks_uri: jwksUri }), {
        issuer: "https://openid.test",
        jwksUri,
        algorithms: undefined
      })
      assert.isUndefined(yield* found({}, { issuer }))
    }))

  it.effect("OpenID metadata that cannot be used are an error if an issuer is known", () =>
    Effect.gen(function*() {
      const reasonOf = (reason: MetadataError["reason"], members: Members) =>
        Effect.flatMap(
          over({ metadata: () => metadataError(reason) }),
          ({ service }) => service.provider({ server: "ehr", configuration: configuration(members) })
        ).pipe(Effect.match({ onFailure: ({ reason }) => reason, onSuccess: ({ _tag }) => _tag }))
      assert.strictEqual(yield* reasonOf("IssuerMismatch", { issuer }), "IssuerMismatch")
      assert.strictEqual(yield* reasonOf("Unreachable", { issuer }), "KeysUnavailable")
      assert.strictEqual(yield* reasonOf("NotFound", { issuer }), "None")
      assert.strictEqual(yield* reasonOf("Unreachable", {}), "None")
    }))

  it.effect("an algorithm that is not accepted, with and without a policy, in the error", () =>
    Effect.gen(function*() {
      const all = ALGORITHMS.join(", ").slice(0, 20)
      const header = { alg: "HS256" }
      const unsigned = (alg: unknown) =>
        `${[{ alg }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.AA`
      const refused = (alg: unknown, policy?: IdToken.Policy) =>
        Effect.gen(function*() {
          const { service } = yield* over({})
          const error = yield* Effect.flip(service.verify(Redacted.make(unsigned(alg)), { ...request, policy }))
          return `${error.reason}: ${error.detail}`
        })
      assert.include(
        yield* refused(header.alg),
        `AlgorithmNotAllowed: it is signed with HS256, and this client accepts ${all}`
      )
      assert.strictEqual(
        yield* refused("RS256", { algorithms: ["ES256", "ES384"] }),
        "AlgorithmNotAllowed: it is signed with RS256, and idToken.algorithms accepts ES256, ES384"
      )
      assert.include(yield* refused("!RS256"), "it is signed with another algorithm, and")
      assert.include(yield* refused("RS256!"), "it is signed with another algorithm, and")
      assert.strictEqual(
        notAllowed("none", [], ["RS256"]),
        "it is signed with none, and idToken.algorithms accepts nothing; the server lists RS256"
      )
    }))

  it("a header is that of a signed id_token, and of no other token", () => {
    const parse = (header: unknown, parts = 3) => {
      const first = typeof header === "string" ? header : Buffer.from(JSON.stringify(header)).toString("base64url")
      return parseHeader(jose, [first, ...Array.from({ length: parts - 1 }, () => "AA")].join("."))
    }
    const alg = "RS256"
    assert.deepStrictEqual(parse({ alg, kid: "1", typ: "JWT" }), Either.right({ alg, kid: "1" }))
    assert.deepStrictEqual(parse({ alg, kid: 1 }), Either.right({ alg, kid: undefined }))
    for (const typ of ["xat+jwt", "at+jwtx", 7, ["at+jwt"], null]) {
      assert.deepStrictEqual(parse({ alg, typ }), Either.right({ alg, kid: undefined }), String(typ))
    }
    for (const typ of ["at+jwt", "application/AT+jwt", "logout+jwt"]) {
      assert.deepStrictEqual(parse({ alg, typ }), Either.left("it is a token of another kind"))
    }
    assert.deepStrictEqual(parse({ alg }, 5), Either.left("it is encrypted, which this client does not request"))
    for (const parts of [1, 2, 4, 6]) {
      assert.deepStrictEqual(parse({ alg }, parts), Either.left("it is not a signed JWT"))
    }
    assert.deepStrictEqual(parse("%%"), Either.left("it is not a signed JWT"))
    for (const other of [{}, { alg: 7 }, { alg: null }]) {
      assert.deepStrictEqual(parse(other), Either.left("its header has no alg"))
    }
    assert.deepStrictEqual(
      parse({ alg, crit: ["b64"] }),
      Either.left("its header requires extensions (crit), which this client does not support")
    )
  })

  it.effect("a verification is a span with the server", () =>
    Effect.gen(function*() {
      const { context, span } = yield* Effect.tracer
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        context,
        span: (...args) => {
          const made = span(...args)
          spans.push(made)
          return made
        }
      })
      yield* Effect.withTracer(codesOf({}), tracer)
      const verify = spans.find(({ name }) => name === "IdToken.verify")
      assert.strictEqual(verify?.attributes.get("smart.server"), "ehr")
    }))
})
