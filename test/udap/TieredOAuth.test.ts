import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SmartClient } from "effect-safire"
import { TieredOAuth, UdapAuthentication } from "effect-safire/udap"
import { appCertificate, COMMUNITY, makeServer, type Options, registrations } from "./authorizationServer.js"

const REDIRECT = "https://app.example.org/callback"

const providers: ReadonlyArray<TieredOAuth.IdentityProvider> = [
  { url: "https://idp.example.org", name: "State" },
  { url: "https://bank.example.org/id", name: "Bank" }
]

const [state, bank] = providers as readonly [TieredOAuth.IdentityProvider, TieredOAuth.IdentityProvider]

const at = <A, E>(
  use: (client: SmartClient.Service) => Effect.Effect<A, E>,
  how: Options = {},
  allowInsecureLocalhost?: boolean
) =>
  Effect.gen(function*() {
    const server = yield* makeServer(how)
    const certificate = yield* appCertificate({ key: "p256" })
    return yield* Effect.provide(
      Effect.flatMap(SmartClient.SmartClient, use),
      SmartClient.layer({
        fhirBaseUrl: server.fhirBaseUrl,
        redirectUri: REDIRECT,
        allowInsecureLocalhost,
        scopes: ["patient/*.rs", "udap", "openid"]
      }).pipe(
        Layer.provide(UdapAuthentication.layer({
          community: COMMUNITY,
          certificate,
          clientName: "Growth Chart",
          contacts: ["mailto:it@example.org"],
          logoUri: "https://app.example.org/logo.png"
        })),
        Layer.provide(registrations(server))
      )
    )
  })

/** The error of a callback of this launch. */
const refused = (client: SmartClient.Service, params: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const { pending, url } = yield* client.authorize(yield* TieredOAuth.authorizeOptions(client, state))
    const callback = new URL(REDIRECT)
    for (const [name, value] of Object.entries(params)) callback.searchParams.set(name, value)
    if (params["state"] === undefined) callback.searchParams.set("state", url.searchParams.get("state") ?? "")
    const error = yield* Effect.flip(client.exchange(callback, pending))
    return error._tag === "AuthorizationError" ? error : yield* Effect.die(error)
  })

describe("TieredOAuth", () => {
  it.effect(
    "[UDAP-132] [UDAP-236] [UDAP-237] [UDAP-256] the request has idp, and the scopes udap and openid once",
    () =>
      at((client) =>
        Effect.gen(function*() {
          const { url } = yield* client.authorize(yield* TieredOAuth.authorizeOptions(client, bank))
          assert.strictEqual(url.searchParams.get("idp"), "https://bank.example.org/id")
          assert.strictEqual(url.searchParams.get("scope"), "patient/*.rs udap openid")
          assert.deepStrictEqual(yield* TieredOAuth.authorizeOptions(bank)(client), {
            addScopes: ["udap", "openid"],
            params: { idp: bank.url }
          })
        })
      )
  )

  it.effect("[UDAP-244] invalid_idp is the reason InvalidIdentityProvider, and the app can use another provider", () =>
    at((client) =>
      Effect.gen(function*() {
        const error = yield* refused(client, { error: "invalid_idp", error_description: "unknown provider" })
        assert.strictEqual(error.reason, "InvalidIdentityProvider")
        assert.isTrue(TieredOAuth.isProviderRefused(error))
        assert.include(error.message, "another identity provider")
        assert.deepStrictEqual(TieredOAuth.others(providers, state), [bank])
        assert.deepStrictEqual(TieredOAuth.others(bank)(providers), [state])
        const denied = yield* refused(client, { error: "access_denied" })
        assert.isFalse(TieredOAuth.isProviderRefused(denied))
      })
    ))

  it.effect("[UDAP-274] [UDAP-275] [UDAP-276] [UDAP-277] an error with another state is rejected as a callback of another launch", () =>
    at((client) =>
      Effect.gen(function*() {
        const error = yield* refused(client, { error: "invalid_idp", state: "guessed" })
        assert.strictEqual(error.reason, "StateMismatch")
      })
    ))

  it.effect("a server without the profile udap_to gets no request with idp", () =>
    at((client) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(TieredOAuth.authorizeOptions(client, state))
        assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Conflict" })
      }), { metadata: { udap_profiles_supported: ["udap_dcr", "udap_authn"] } }))

  it.effect("a provider on a loopback host needs an option", () =>
    at((client) => TieredOAuth.authorizeOptions(client, { url: "http://localhost:8080" }), {}, true))

  it.effect.each(
    [["http://idp.example.org", "Insecure"], ["http://localhost:8080", "Insecure"], ["idp", "Invalid"]] as const
  )(
    "%s is not an identity provider",
    ([url, reason]) =>
      at((client) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(TieredOAuth.authorizeOptions(client, { url }))
          assert.deepInclude(error, { reason, fields: ["idp"] })
        })
      )
  )

  it.effect("[UDAP-235] accepts a provider that lists openid and udap; the error names another one", () =>
    Effect.gen(function*() {
      const check = (how: Options) =>
        Effect.flatMap(makeServer(how), (server) =>
          Effect.provide(
            TieredOAuth.check({ url: server.fhirBaseUrl }, { community: COMMUNITY }),
            registrations(server)
          ))
      yield* check({})
      const error = yield* Effect.flip(check({ metadata: { scopes_supported: ["openid"] } }))
      assert.include(error.message, "does not list the scopes udap, which")
      const neither = yield* Effect.flip(check({ metadata: { scopes_supported: undefined } }))
      assert.deepInclude(neither, { _tag: "ConfigurationError", reason: "Conflict" })
      assert.include(neither.message, "does not list the scopes udap, openid, which")
    }))
})
