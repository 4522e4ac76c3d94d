import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { OpenIdConfiguration } from "effect-safire"
import { issuer, makeServer, type Members, openIdUrl } from "../support/identityServer.js"

const setUp = (documents: Readonly<Record<string, Members | (() => Response)>>) =>
  Effect.gen(function*() {
    const server = makeServer([])
    for (const [url, document] of Object.entries(documents)) server.responses.set(url, document)
    const { invalidate, metadata } = yield* Effect.provide(
      OpenIdConfiguration.OpenIdConfiguration,
      OpenIdConfiguration.layer({}).pipe(Layer.provide(server.layer))
    )
    const outcome = (of: string) =>
      metadata(of).pipe(
        Effect.map(({ issuer }) => issuer),
        Effect.catchAll(({ reason }) => Effect.succeed(reason))
      )
    return { server, metadata, invalidate, outcome }
  })

describe("OpenIdConfiguration", () => {
  it.effect("[SMART-201] reads the members that a client uses; malformed members count as absent", () =>
    Effect.gen(function*() {
      const { metadata } = yield* setUp({
        [openIdUrl]: {
          issuer,
          jwks_uri: `${issuer}/jwks`,
          userinfo_endpoint: "relative",
          end_session_endpoint: 7,
          id_token_signing_alg_values_supported: ["RS256", 1],
          other: true
        }
      })
      assert.deepStrictEqual(
        yield* metadata(issuer),
        new OpenIdConfiguration.Metadata({
          issuer,
          jwksUri: `${issuer}/jwks`,
          userinfoEndpoint: undefined,
          endSessionEndpoint: undefined,
          idTokenSigningAlgValuesSupported: undefined
        })
      )
    }))

  it.effect("the issuer is compared as a string", () =>
    Effect.gen(function*() {
      const document = (of: unknown) => ({ [openIdUrl]: { issuer: of } })
      for (const other of [`${issuer}/`, issuer.toUpperCase(), `${issuer}:443`, "https://evil.test", 7, undefined]) {
        const { metadata } = yield* setUp(document(other))
        const error = yield* Effect.flip(metadata(issuer))
        assert.strictEqual(error.reason, "IssuerMismatch")
        assert.notInclude(error.message, "evil")
      }
      const { metadata } = yield* setUp(document(`${issuer}/`))
      assert.include((yield* Effect.flip(metadata(issuer))).message, "slash at the end")
      assert.strictEqual((yield* metadata(`${issuer}/`)).issuer, `${issuer}/`)
    }))

  it.effect("the document of RFC 8414 is used where the OpenID one is missing", () =>
    Effect.gen(function*() {
      const tenant = `${issuer}/tenants/1`
      const { outcome, server } = yield* setUp({
        [`${issuer}/.well-known/oauth-authorization-server/tenants/1`]: { issuer: tenant },
        [`${issuer}/.well-known/oauth-authorization-server`]: { issuer }
      })
      assert.strictEqual(yield* outcome(tenant), tenant)
      assert.strictEqual(yield* outcome(issuer), issuer)
      assert.deepStrictEqual(server.urls, [
        `${tenant}/.well-known/openid-configuration`,
        `${issuer}/.well-known/oauth-authorization-server/tenants/1`,
        openIdUrl,
        `${issuer}/.well-known/oauth-authorization-server`
      ])
    }))

  it.effect("is fetched at the first call, once for concurrent calls, cached, and removed by `invalidate`", () =>
    Effect.gen(function*() {
      const { invalidate, outcome, server } = yield* setUp({ [openIdUrl]: { issuer } })
      assert.deepStrictEqual(server.urls, [])
      yield* Effect.all(Array.from({ length: 20 }, () => outcome(issuer)), { concurrency: "unbounded" })
      yield* TestClock.adjust("59 minutes")
      yield* outcome(issuer)
      assert.strictEqual(server.urls.length, 1)
      yield* TestClock.adjust("1 minute")
      yield* outcome(issuer)
      yield* invalidate(issuer)
      yield* outcome(issuer)
      assert.strictEqual(server.urls.length, 3)
    }))

  it.effect("errors state the response, without query, credentials and body", () =>
    Effect.gen(function*() {
      const rows: ReadonlyArray<readonly [Members | (() => Response), string]> = [
        [() => new Response("secret-body", { status: 403 }), "Status"],
        [() => new Response("secret-body"), "NotJson"],
        [() => Response.json("secret-body"), "NotObject"],
        [
          () => new Response("", { status: 302, headers: { location: "http://evil.test/?secret-body" } }),
          "RedirectRefused"
        ]
      ]
      for (const [document, reason] of rows) {
        const { metadata } = yield* setUp({ [openIdUrl]: document })
        const error = yield* Effect.flip(metadata(issuer))
        assert.strictEqual(error.reason, reason)
        assert.include(error.message, "OpenID Connect metadata at https://login.ehr.test/")
        assert.notInclude(JSON.stringify(error) + error.message, "secret-body")
      }
      const { outcome, server } = yield* setUp({})
      assert.strictEqual(yield* outcome("http://login.ehr.test"), "InsecureEndpoint")
      assert.strictEqual(yield* outcome("not a url"), "InvalidUrl")
      assert.deepStrictEqual(server.urls, [])
    }))
})
