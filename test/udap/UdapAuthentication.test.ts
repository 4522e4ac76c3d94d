import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import {
  BackendServices,
  ClientAuthentication,
  RetryPolicy,
  SessionError,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers
} from "effect-safire"
import { Certification, UdapAuthentication, UdapRegistration } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import { json, text } from "../support/http.js"
import { recorded } from "../support/warnings.js"
import {
  appCertificate,
  type AuthorizationServer,
  COMMUNITY,
  makeServer,
  type Options,
  registrations
} from "./authorizationServer.js"

const REDIRECT = "https://app.example.org/callback"

const app = (change: Partial<UdapAuthentication.Options> = {}) =>
  Effect.map(
    change.certificate === undefined ? appCertificate({ key: "p256" }) : Effect.succeed(change.certificate),
    (certificate): UdapAuthentication.Options => ({
      community: COMMUNITY,
      certificate,
      clientName: "Growth Chart",
      contacts: ["mailto:it@example.org"],
      logoUri: "https://app.example.org/logo.png",
      ...change
    })
  )

/** A registry of two: the same server for a backend service, and for an app with users. */
const servers = (
  server: AuthorizationServer,
  change: Partial<UdapAuthentication.Options> = {},
  users = false
) =>
  Layer.unwrapEffect(
    Effect.map(app(change), (options) =>
      Layer.mergeAll(BackendServices.layerWith({}), Sessions.layerWith({ idleTimeout: "1 hour" })).pipe(
        Layer.provideMerge(SmartServers.layer({
          north: {
            fhirBaseUrl: server.fhirBaseUrl,
            scopes: users ? ["patient/*.rs", "offline_access"] : ["system/*.rs"],
            ...(users ? { redirectUri: REDIRECT } : {}),
            authentication: UdapAuthentication.layer(options)
          }
        })),
        Layer.provideMerge(registrations(server)),
        Layer.provide(RetryPolicy.layer(RetryPolicy.none))
      ))
  )

const backendToken = Effect.flatMap(BackendServices.BackendServices, ({ accessToken }) => accessToken())

/** A launch that the server's user has approved. */
const login = Effect.gen(function*() {
  const sessions = yield* Sessions.Sessions
  const { pending, url } = yield* sessions.startLaunch({ server: "north" }).pipe(
    Effect.map((launch) => ({ pending: launch, url: launch.url }))
  )
  const callback = new URL(REDIRECT)
  callback.searchParams.set("code", "the-code")
  callback.searchParams.set("state", url.searchParams.get("state") ?? "")
  callback.searchParams.set("extra", "ignored")
  return { pending, url, id: yield* sessions.completeLaunch(callback) }
})

describe("UdapAuthentication", () => {
  it.effect(
    "[UDAP-186] [UDAP-223] [UDAP-225] [UDAP-226] [UDAP-227] [UDAP-228] a backend service registers on first need and gets a token at the signed endpoint",
    () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_000_700)
        const server = yield* makeServer()
        yield* Effect.gen(function*() {
          assert.lengthOf(server.received, 0)
          yield* backendToken
          yield* backendToken
        }).pipe(Effect.provide(servers(server)))
        assert.deepStrictEqual(server.of("register").map(({ claims }) => [claims["grant_types"], claims["scope"]]), [
          [["client_credentials"], "system/*.rs"]
        ])
        const [sent, ...others] = server.of("token")
        assert.lengthOf(others, 0)
        const { client_assertion: assertion, ...form } = sent?.body ?? {}
        assert.match(String(assertion), /^[\w-]+\.[\w-]+\.[\w-]+$/)
        assert.deepStrictEqual(form, {
          grant_type: "client_credentials",
          scope: "system/*.rs",
          client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
          udap: "1"
        })
        assert.strictEqual(sent?.seen.method, "POST")
        assert.strictEqual(sent?.seen.headers["content-type"], "application/x-www-form-urlencoded")
        assert.isFalse(server.received.some(({ seen }) => seen.url.includes("unsigned")))
      })
  )

  it.effect(
    "[UDAP-1] [UDAP-2] [UDAP-3] [UDAP-152] [UDAP-153] [UDAP-154] [UDAP-155] [UDAP-156] [UDAP-157] [UDAP-160] [UDAP-161] [UDAP-175] [UDAP-177] [UDAP-179] [UDAP-180] [UDAP-181] [UDAP-193] [UDAP-194] [UDAP-195] [UDAP-196] the assertion has the client id as iss and sub, the token endpoint as aud, and ends within five minutes",
    () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_000_700)
        const server = yield* makeServer()
        const certificate = yield* appCertificate({ key: "p384" })
        yield* Effect.provide(backendToken, servers(server, { certificate }))
        const [sent] = server.of("token")
        const { claims, header } = { claims: sent?.claims ?? {}, header: sent?.header ?? {} }
        assert.deepStrictEqual({ ...claims, jti: "" }, {
          iss: "client-1",
          sub: "client-1",
          aud: server.tokenEndpoint,
          exp: 1_240,
          iat: 1_000,
          jti: ""
        })
        assert.deepStrictEqual(header, {
          alg: "ES384",
          x5c: certificate.chain.map((der) => Buffer.from(der).toString("base64"))
        })
        assert.deepStrictEqual(header["x5c"], server.of("register")[0]?.header["x5c"])
      })
  )

  it.effect("[UDAP-STU2-7.3] a token response without scope grants the requested scopes, without a warning", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const response = { access_token: "AT", token_type: "Bearer", expires_in: 300 }
      const server = yield* makeServer({ respond: ({ kind }) => kind === "token" ? json(response) : undefined })
      const scopes = yield* Effect.gen(function*() {
        const backend = yield* Effect.flatMap(BackendServices.BackendServices, ({ tokens }) => tokens())
        return backend.scopes
      }).pipe(Effect.provide(servers(server).pipe(Layer.provide(warnings.layer))))
      assert.deepStrictEqual(scopes, ["system/*.rs"])
      assert.deepStrictEqual(warnings.codes(), [])
    }))

  it.effect("[UDAP-158] [UDAP-159] [UDAP-197] each request and each attempt has another jti", () => {
    let failures = 2
    return Effect.gen(function*() {
      const server = yield* makeServer({
        respond: ({ kind }) => kind === "token" && failures-- > 0 ? json({}, { status: 503 }) : undefined
      })
      yield* Effect.gen(function*() {
        const client = yield* Effect.flatMap(SmartServers.SmartServers, (registry) => registry.client("north"))
        yield* Effect.flip(client.clientCredentials())
        yield* Effect.flip(client.clientCredentials())
        yield* client.clientCredentials()
      }).pipe(Effect.provide(servers(server)))
      const ids = [...server.of("token"), ...server.of("register")].map(({ claims }) => claims["jti"])
      assert.strictEqual(new Set(ids).size, 4)
    })
  })

  it.effect(
    "[UDAP-126] [UDAP-127] [UDAP-128] [UDAP-129] [UDAP-130] [UDAP-185] [UDAP-188] the authorization request goes to the signed endpoint, with the registered client id, state and S256",
    () =>
      Effect.gen(function*() {
        const server = yield* makeServer()
        const { url } = yield* Effect.provide(login, servers(server, {}, true))
        assert.strictEqual(`${url.origin}${url.pathname}`, `${server.origin}/udap/authorize`)
        const { code_challenge: challenge, state, ...params } = Object.fromEntries(url.searchParams)
        assert.match(`${challenge} ${state}`, /^[\w-]{43} [\w-]{43}$/)
        assert.deepStrictEqual(params, {
          response_type: "code",
          client_id: "client-1",
          redirect_uri: REDIRECT,
          scope: "patient/*.rs offline_access",
          aud: server.fhirBaseUrl,
          code_challenge_method: "S256"
        })
      })
  )

  it.effect(
    "[UDAP-136] [UDAP-139] [UDAP-140] [UDAP-141] [UDAP-142] [UDAP-143] [UDAP-144] [UDAP-145] [UDAP-151] [UDAP-163] [UDAP-165] [UDAP-166] [UDAP-167] [UDAP-168] [UDAP-169] [UDAP-170] [UDAP-171] [UDAP-192] [UDAP-222] [UDAP-280] the code is exchanged once, with an assertion",
    () =>
      Effect.gen(function*() {
        const server = yield* makeServer()
        yield* Effect.provide(login, servers(server, {}, true))
        const [sent, ...others] = server.of("token")
        assert.lengthOf(others, 0)
        const { client_assertion: _, code_verifier: verifier, ...form } = sent?.body ?? {}
        assert.match(String(verifier), /^[\w-]{43}$/)
        assert.deepStrictEqual(form, {
          grant_type: "authorization_code",
          code: "the-code",
          redirect_uri: REDIRECT,
          client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
          udap: "1"
        })
      })
  )

  it.effect(
    "[UDAP-231] [UDAP-232] [UDAP-233] [UDAP-234] [UDAP-199] a session is renewed with a new assertion, which has no extensions",
    () =>
      Effect.gen(function*() {
        const server = yield* makeServer()
        yield* Effect.gen(function*() {
          const { id } = yield* login
          yield* TestClock.adjust("10 minutes")
          yield* Effect.flatMap(Sessions.Sessions, (sessions) => sessions.accessToken(id))
        }).pipe(Effect.provide(servers(server, { extensions: { "hl7-b2b": {} } }, true)))
        const [exchange, refresh] = server.of("token")
        const { client_assertion: _, refresh_token: token, ...form } = refresh?.body ?? {}
        assert.match(String(token), /^refresh-/)
        assert.deepStrictEqual(form, {
          grant_type: "refresh_token",
          client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
          udap: "1"
        })
        assert.notStrictEqual(exchange?.claims["jti"], refresh?.claims["jti"])
        assert.notProperty(exchange?.claims ?? {}, "extensions")
        assert.notProperty(refresh?.claims ?? {}, "extensions")
      })
  )

  it.effect("[UDAP-164] [UDAP-224] [UDAP-178] [UDAP-286] no request has an Authorization header, a secret or another client id", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.provide(login, servers(server, {}, true))
      yield* Effect.provide(backendToken, servers(server))
      for (const { body, seen } of server.of("token")) {
        assert.notProperty(seen.headers, "authorization")
        assert.notProperty(body, "client_secret")
        assert.notProperty(body, "client_id")
      }
    }))

  it.effect("an app with users registers its redirect URI, its scopes and its grants", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.provide(login, servers(server, {}, true))
      const [{ claims } = { claims: {} }] = server.of("register")
      assert.deepInclude(claims, {
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: [REDIRECT],
        response_types: ["code"],
        scope: "patient/*.rs offline_access"
      })
    }))

  it.effect("after invalid_client the app registers again, and the request is repeated once with the new client id", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.gen(function*() {
        yield* backendToken
        yield* TestClock.adjust("10 minutes")
        server.clients.clear()
        const token = yield* backendToken
        assert.match(Redacted.value(token), /^token-/)
      }).pipe(Effect.provide(servers(server)))
      assert.deepStrictEqual(server.of("token").map(({ claims }) => claims["iss"]), [
        "client-1",
        "client-1",
        "client-2"
      ])
      assert.lengthOf(server.of("register"), 2)
    }))

  it.effect("a server that refuses each client id gets two requests and one new registration a minute", () =>
    Effect.gen(function*() {
      const server = yield* makeServer({
        respond: ({ kind }) => kind === "token" ? json({ error: "invalid_client" }, { status: 401 }) : undefined
      })
      yield* Effect.gen(function*() {
        for (let i = 0; i < 3; i++) {
          const error = yield* Effect.flip(backendToken)
          assert.deepInclude(error, { _tag: "TokenError", error: "invalid_client" })
        }
      }).pipe(Effect.provide(servers(server)))
      assert.lengthOf(server.of("register"), 1)
      assert.lengthOf(server.of("token"), 2)
    }))

  it.effect("a renewed certificate is registered before it is used, without a restart", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      const old = yield* appCertificate({ key: "p256", to: Pki.DAY })
      const renewed = yield* appCertificate({ key: "p384", to: 400 * Pki.DAY })
      let certificate = old
      yield* Effect.gen(function*() {
        yield* backendToken
        certificate = renewed
        yield* TestClock.adjust("20 minutes")
        yield* backendToken
        yield* TestClock.adjust("1 hour")
        yield* backendToken
        yield* TestClock.adjust("2 days")
        yield* backendToken
      }).pipe(Effect.provide(servers(server, { certificate: Effect.sync(() => certificate) })))
      assert.deepStrictEqual(server.of("token").map(({ header }) => header["alg"]), [
        "ES256",
        "ES256",
        "ES384",
        "ES384"
      ])
      assert.deepStrictEqual(server.of("register").map(({ header }) => header["alg"]), ["ES256", "ES384"])
      assert.deepStrictEqual(new Set(server.of("token").map(({ claims }) => claims["iss"])), new Set(["client-1"]))
    }))

  const failures: ReadonlyArray<readonly [string, Options, string, string, boolean]> = [
    [
      "a server without UDAP",
      { respond: ({ kind }) => kind === "metadata" ? text("", { status: 404 }) : undefined },
      "DiscoveryFailed",
      "NotSupported",
      false
    ],
    [
      "a server that is down",
      { respond: ({ kind }) => kind === "metadata" ? text("", { status: 503 }) : undefined },
      "DiscoveryFailed",
      "Status",
      true
    ],
    [
      "metadata that are not signed",
      { metadata: { signed_metadata: undefined } },
      "ServerNotTrusted",
      "SignedMetadataMissing",
      false
    ],
    [
      "a registration that is refused",
      {
        respond: ({ kind }) =>
          kind === "register" ? json({ error: "unapproved_software_statement" }, { status: 400 }) : undefined
      },
      "RegistrationFailed",
      "UnapprovedSoftwareStatement",
      false
    ]
  ]

  it.effect.each(failures)(
    "[UDAP-16] [UDAP-21] %s fails with the step, its error and whether it is temporary",
    ([, options, reason, causeReason, retryable]) =>
      Effect.gen(function*() {
        const server = yield* makeServer(options)
        const error = yield* Effect.flip(Effect.provide(backendToken, servers(server)))
        if (error._tag !== "ClientAuthenticationError") return assert.fail(error.message)
        assert.strictEqual(error.reason, reason)
        assert.strictEqual((error.cause as { readonly reason?: unknown }).reason, causeReason)
        assert.strictEqual(error.isRetryable, retryable)
        assert.include(error.message, server.fhirBaseUrl)
        assert.lengthOf(server.of("token"), 0)
      })
  )

  it.effect("while the server's metadata cannot be fetched, a registration in memory is used", () => {
    let isDown = false
    return Effect.gen(function*() {
      const server = yield* makeServer({
        respond: ({ kind }) => isDown && kind === "metadata" ? text("", { status: 503 }) : undefined
      })
      yield* Effect.gen(function*() {
        yield* backendToken
        isDown = true
        yield* TestClock.adjust("90 minutes")
        yield* backendToken
      }).pipe(Effect.provide(servers(server)))
      assert.lengthOf(server.of("token"), 2)
    })
  })

  it.effect("members that UDAP does not define come from the SMART configuration; its other endpoints are not used", () =>
    Effect.gen(function*() {
      const server = yield* makeServer({
        smart: {
          issuer: "https://ehr.example.org",
          jwks_uri: "https://ehr.example.org/jwks",
          authorization_endpoint: "https://smart.example.org/authorize",
          token_endpoint: "https://smart.example.org/token",
          registration_endpoint: "https://smart.example.org/register",
          revocation_endpoint: "https://ehr.example.org/udap/revoke",
          introspection_endpoint: "https://smart.example.org/introspect",
          capabilities: ["launch-ehr"]
        }
      })
      const configuration = yield* Effect.provide(
        Effect.flatMap(
          SmartServers.SmartServers,
          (registry) => Effect.flatMap(registry.client("north"), (client) => client.configuration)
        ),
        servers(server)
      )
      assert.deepInclude({ ...configuration }, {
        issuer: "https://ehr.example.org",
        jwksUri: "https://ehr.example.org/jwks",
        authorizationEndpoint: `${server.origin}/udap/authorize`,
        tokenEndpoint: server.tokenEndpoint,
        registrationEndpoint: server.registrationEndpoint,
        revocationEndpoint: "https://ehr.example.org/udap/revoke",
        // At another origin than the signed token endpoint.
        introspectionEndpoint: undefined
      })
    }))

  it.effect("an app with users registers for refresh tokens unless the server lists other grants only", () =>
    Effect.gen(function*() {
      const grantsOf = (grant_types_supported: ReadonlyArray<string> | undefined) =>
        Effect.gen(function*() {
          const server = yield* makeServer({ metadata: { grant_types_supported } })
          yield* Effect.provide(
            Effect.flatMap(Sessions.Sessions, ({ startLaunch }) => startLaunch({ server: "north" })),
            servers(server, {}, true)
          )
          return server.of("register")[0]?.claims["grant_types"]
        })
      assert.deepStrictEqual(yield* grantsOf(undefined), ["authorization_code", "refresh_token"])
      assert.deepStrictEqual(yield* grantsOf(["authorization_code"]), ["authorization_code"])
    }))

  it.effect("certifications are a list, or are signed when they are needed", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ key: "p256" })
      const one = yield* Certification.make(certificate, { name: "Basic App", uris: ["urn:basic"] })
      const sent = (certifications: UdapAuthentication.Options["certifications"]) =>
        Effect.gen(function*() {
          const server = yield* makeServer()
          yield* Effect.provide(backendToken, servers(server, { certificate, certifications }))
          return server.of("register")[0]?.body["certifications"]
        })
      assert.deepStrictEqual(yield* sent([one]), [Redacted.value(one)])
      assert.deepStrictEqual(yield* sent(Effect.succeed([one])), [Redacted.value(one)])
      assert.isUndefined(yield* sent(undefined))
    }))

  it.effect("an invalid configuration stays a ConfigurationError, before a request is sent", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      const error = yield* Effect.flip(Effect.provide(backendToken, servers(server, { contacts: [] })))
      assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Invalid", fields: ["contacts"] })
      assert.lengthOf(server.of("register"), 0)
      const required = yield* makeServer({ metadata: { udap_authorization_extensions_required: ["hl7-b2b"] } })
      const missing = yield* Effect.flip(Effect.provide(backendToken, servers(required)))
      assert.deepInclude(missing, { _tag: "ConfigurationError", reason: "Missing", fields: ["extensions"] })
      assert.include(missing.message, "hl7-b2b")
    }))

  it.effect("extensions are in the assertion, are checked, and are named if the server requires others", () =>
    Effect.gen(function*() {
      const b2b = {
        version: "1",
        subject_name: "Dr. Smith",
        organization_id: "https://clinic.example.org",
        purpose_of_use: ["urn:oid:2.16.840.1.113883.5.8#TREAT"]
      }
      const required = ["hl7-b2b", "other"]
      const server = yield* makeServer({
        metadata: {
          udap_authorization_extensions_supported: required,
          udap_authorization_extensions_required: ["hl7-b2b"]
        }
      })
      yield* Effect.provide(backendToken, servers(server, { extensions: { "hl7-b2b": b2b } }))
      assert.deepStrictEqual(server.of("token").map(({ claims }) => claims["extensions"]), [{ "hl7-b2b": b2b }])
      const invalid = yield* Effect.flip(
        Effect.provide(backendToken, servers(server, { extensions: { "hl7-b2b": { ...b2b, version: 7 } } }))
      )
      assert.strictEqual(invalid._tag, "ConfigurationError")
      const strict = yield* makeServer({ metadata: { udap_authorization_extensions_required: required } })
      const missing = yield* Effect.flip(
        Effect.provide(backendToken, servers(strict, { extensions: { "hl7-b2b": b2b } }))
      )
      assert.include(missing.message, "the server requires other in every token request")
      const plain = yield* makeServer()
      yield* Effect.provide(backendToken, servers(plain))
      assert.notProperty(plain.of("token")[0]?.claims ?? {}, "extensions")
    }))

  /** The authentication at a server, and the number of reads of the store. */
  const boundTo = (
    server: AuthorizationServer,
    change: Partial<UdapAuthentication.Options> = {},
    configured: Partial<ClientAuthentication.ConfiguredServer> = {}
  ) =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const state = { isDown: false, reads: 0 }
      const failing = new SessionError({ reason: "StoreUnavailable", operation: "get", detail: "down" } as never)
      const service = yield* UdapAuthentication.make(yield* app(change)).pipe(
        Effect.provide(Layer.provideMerge(
          UdapRegistration.layer,
          Layer.succeed(SessionStore.SessionStore, {
            ...store,
            get: (id) => Effect.suspend(() => (state.reads++, state.isDown ? failing : store.get(id))),
            modify: (id, change) => state.isDown ? failing : store.modify(id, change)
          })
        ))
      )
      const bound = service.forServer?.({ fhirBaseUrl: server.fhirBaseUrl, ...configured } as never) ??
        assert.fail("no server")
      return { service, bound, state, clientId: bound.clientId ?? assert.fail("no client id") }
    })

  it.effect("the registration in memory is read again after an hour, and after a failure in a minute", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.gen(function*() {
        const { clientId, state } = yield* boundTo(server)
        const readsAt = (millis: number) =>
          Effect.gen(function*() {
            yield* TestClock.setTime(millis)
            yield* clientId
            return state.reads
          })
        const first = yield* readsAt(0)
        assert.strictEqual(yield* readsAt(3_599_999), first)
        state.isDown = true
        assert.strictEqual(yield* readsAt(3_600_000), first + 1)
        assert.strictEqual(yield* readsAt(3_600_001), first + 1)
        assert.strictEqual(yield* readsAt(3_659_999), first + 1)
        assert.strictEqual(yield* readsAt(3_660_000), first + 2)
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("without a registration in memory, a failure is the result", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.gen(function*() {
        const { clientId, state } = yield* boundTo(server)
        state.isDown = true
        assert.deepInclude(yield* Effect.flip(clientId), {
          _tag: "ClientAuthenticationError",
          reason: "StoreFailed",
          isRetryable: true
        })
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("after the end of the certificate, a temporary failure is the result, too", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      const old = yield* appCertificate({ key: "p256", to: Pki.DAY })
      const renewed = yield* appCertificate({ key: "p256", to: 400 * Pki.DAY })
      let certificate = old
      yield* Effect.gen(function*() {
        const { clientId, state } = yield* boundTo(server, { certificate: Effect.sync(() => certificate) })
        yield* clientId
        certificate = renewed
        state.isDown = true
        yield* TestClock.setTime(Pki.DAY - 1)
        yield* clientId
        yield* TestClock.setTime(Pki.DAY)
        assert.deepInclude(yield* Effect.flip(clientId), { reason: "StoreFailed" })
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("the fallback registers an app, and an assertion is made, without a registration in memory", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.gen(function*() {
        const { bound, service } = yield* boundTo(server, {}, { scopes: ["system/*.rs"] })
        assert.isTrue(service.sendsExtensions)
        assert.isTrue(service.scopeMayBeOmitted)
        assert.isTrue(bound.sendsExtensions)
        assert.isTrue(bound.scopeMayBeOmitted)
        const params = { grant_type: "client_credentials" }
        const request = yield* bound.authenticate({ endpoint: server.tokenEndpoint, clientId: "1", params })
        assert.isDefined(request)
        assert.strictEqual(yield* bound.fallback?.clientId ?? assert.fail("no fallback"), "client-1")
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("an app with users needs scopes to register", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.gen(function*() {
        const { clientId } = yield* boundTo(server, {}, { redirectUri: REDIRECT })
        const error = yield* Effect.flip(clientId)
        assert.deepStrictEqual("fields" in error && error.fields, ["scopes"])
        assert.lengthOf(server.of("register"), 0)
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("the configuration is made again from another SMART configuration", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      yield* Effect.gen(function*() {
        const { bound } = yield* boundTo(server)
        const configurationOf = (issuer: string) =>
          bound.configuration?.(
            Effect.succeed({ issuer, extensions: {}, deviations: [] } as never)
          ) ?? assert.fail("none")
        assert.strictEqual((yield* configurationOf("https://a.example")).issuer, "https://a.example")
        assert.strictEqual((yield* configurationOf("https://b.example")).issuer, "https://b.example")
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("a registration in memory is used until its certificate ends, also while the store is down", () =>
    Effect.gen(function*() {
      const end = 86_400_000
      const certificate = yield* appCertificate({ key: "p256", to: end })
      const server = yield* makeServer()
      const options = yield* app({ certificate })
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        let isDown = false
        const failing = (operation: string) =>
          new SessionError({ reason: "StoreUnavailable", operation: "get", detail: operation } as never)
        const service = yield* UdapAuthentication.make(options).pipe(
          Effect.provide(Layer.provideMerge(
            UdapRegistration.layer,
            Layer.succeed(SessionStore.SessionStore, {
              ...store,
              get: (id) => isDown ? failing("get") : store.get(id),
              modify: (id, change) => isDown ? failing("modify") : store.modify(id, change)
            })
          ))
        )
        const bound = service.forServer?.({ fhirBaseUrl: server.fhirBaseUrl } as never) ?? assert.fail("no server")
        const clientId = bound.clientId ?? assert.fail("no client id")
        const configuration = bound.configuration?.(Effect.succeed(undefined as never)) ?? assert.fail("none")
        const first = yield* clientId
        assert.strictEqual(yield* configuration, yield* configuration)
        isDown = true
        // Within the hour, nothing is read again; after it, a failure is logged and the registration stays.
        yield* TestClock.setTime(3_599_999)
        assert.strictEqual(yield* clientId, first)
        yield* TestClock.setTime(3_600_000)
        assert.strictEqual(yield* clientId, first)
        yield* TestClock.setTime(end)
        assert.strictEqual((yield* Effect.flip(clientId)).message.includes("ended at"), true)
      }).pipe(Effect.provide(registrations(server)))
    }))

  it.effect("requests without a server fail with advice", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      const options = yield* app()
      const service = yield* Effect.provide(UdapAuthentication.make(options), registrations(server))
      const error = yield* Effect.flip(
        service.authenticate({ endpoint: server.tokenEndpoint, clientId: "1", params: {} })
      )
      assert.include(error.detail, "forServer")
      assert.deepStrictEqual("fields" in error && error.fields, ["fhirBaseUrl"])
    }))

  it.effect("a client without client id and registration fails with a ConfigurationError", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      const error = yield* Effect.flip(
        Layer.build(
          Layer.provide(
            SmartServers.layer({
              north: { fhirBaseUrl: server.fhirBaseUrl, authentication: ClientAuthentication.layerPublic }
            }),
            server.net.layer
          )
        ).pipe(Effect.scoped)
      )
      assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Missing", server: "north" })
      const single = yield* Effect.flip(
        SmartClient.make({ fhirBaseUrl: server.fhirBaseUrl }).pipe(
          Effect.provide(Layer.merge(
            ClientAuthentication.layerPublic,
            Layer.provide(SmartClient.layerDependencies(), server.net.layer)
          ))
        )
      )
      assert.strictEqual(single.reason, "Missing")
    }))
})
