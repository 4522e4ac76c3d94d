import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { RetryPolicy, SessionStore } from "effect-safire"
import { Certification, type SoftwareStatement, TrustPolicy, UdapDiscovery, UdapRegistration } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
// The key of an entry of the store.
import { idOf } from "../../src/udap/internal/registrationStore.js"
import { ConnectionFailure, fake, json, text } from "../support/http.js"
import { recorded } from "../support/warnings.js"
import {
  appCertificate,
  type AuthorizationServer,
  CLIENT_URI,
  COMMUNITY,
  makeServer,
  type Options,
  OTHER_COMMUNITY,
  otherAppCertificate,
  registrations,
  trust
} from "./authorizationServer.js"

const metadata: SoftwareStatement.Metadata = {
  clientName: "Growth Chart",
  contacts: ["mailto:it@example.org"],
  grantTypes: ["client_credentials"],
  scopes: ["system/*.rs"]
}

const requestAt = (server: AuthorizationServer, change: Partial<UdapRegistration.Request> = {}) =>
  Effect.map(
    change.certificate === undefined ? appCertificate({ key: "p256" }) : Effect.succeed(change.certificate),
    (certificate): UdapRegistration.Request => ({
      fhirBaseUrl: server.fhirBaseUrl,
      community: COMMUNITY,
      certificate,
      metadata,
      ...change
    })
  )

const registration = UdapRegistration.UdapRegistration

/** What `use` does at a server that behaves as `options` say. */
const at = <A, E>(
  use: (
    service: UdapRegistration.Service,
    server: AuthorizationServer
  ) => Effect.Effect<A, E, SessionStore.SessionStore>,
  options: Options = {}
) =>
  Effect.flatMap(
    makeServer(options),
    (server) => Effect.provide(Effect.flatMap(registration, (service) => use(service, server)), registrations(server))
  )

/** The error of a registration whose response is `response`. */
const refused = (response: () => Response, change: Partial<UdapRegistration.Request> = {}) =>
  at(
    (service, server) => Effect.flatMap(requestAt(server, change), (request) => Effect.flip(service.register(request))),
    { respond: ({ kind }) => kind === "register" ? response() : undefined }
  )

describe("UdapRegistration", () => {
  it.effect("[UDAP-66] [UDAP-67] [UDAP-69] registers once, and uses the client id that the server assigned", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const first = yield* service.current(request)
        assert.strictEqual(first.clientId, "client-1")
        assert.deepStrictEqual(
          [first.registrationEndpoint, first.community, first.clientUri],
          [server.registrationEndpoint, COMMUNITY, CLIENT_URI]
        )
        assert.deepStrictEqual(yield* service.current(request), first)
        const [sent, ...others] = server.of("register")
        assert.lengthOf(others, 0)
        assert.deepStrictEqual(Object.keys(sent?.body ?? {}).sort(), ["software_statement", "udap"])
        assert.strictEqual(sent?.body["udap"], "1")
        assert.strictEqual(sent?.seen.headers["content-type"], "application/json")
        // The signed endpoint, and no request to the unsigned one.
        assert.strictEqual(sent?.claims["aud"], server.registrationEndpoint)
        assert.isFalse(server.received.some(({ seen }) => seen.url.includes("unsigned")))
      })
    ))

  it.effect("changed metadata, certifications or certificates register again, under the same client id", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const certificate = yield* appCertificate({ key: "p256", to: 60 * 365 * Pki.DAY })
        const request = yield* requestAt(server, { certificate })
        yield* service.current(request)
        const changed = { ...request, metadata: { ...metadata, scopes: ["system/Patient.rs"] } }
        const next = yield* service.current(changed)
        assert.strictEqual(next.clientId, "client-1")
        assert.deepStrictEqual(next.scopes, ["system/Patient.rs"])
        const certifications = [yield* Certification.make(certificate, { name: "Basic", uris: ["urn:basic"] })]
        yield* service.current({ ...changed, certifications })
        assert.lengthOf(server.of("register"), 3)
        // The same certification, signed again: its content has not changed.
        const copy = [yield* Certification.make(certificate, { name: "Basic", uris: ["urn:basic"] })]
        yield* service.current({ ...changed, certifications: copy })
        assert.lengthOf(server.of("register"), 3)
        assert.lengthOf(server.of("register")[2]?.body["certifications"] as ReadonlyArray<unknown>, 1)
        const renewed = yield* appCertificate({ key: "p256", to: 65 * 365 * Pki.DAY })
        const last = yield* service.current({ ...changed, certifications: copy, certificate: renewed })
        assert.strictEqual(last.certificate, renewed.fingerprint)
        assert.lengthOf(server.of("register"), 4)
        // A process that still has the old certificate does not register it again.
        assert.deepStrictEqual(yield* service.current({ ...changed, certifications: copy }), last)
        assert.lengthOf(server.of("register"), 4)
      })
    ))

  it.effect("[UDAP-67] a new client id in the response to a change replaces the old one", () => {
    let registered = 0
    return at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        assert.strictEqual((yield* service.register(request)).clientId, "id-1")
        assert.strictEqual((yield* service.register(request)).clientId, "id-2")
        assert.strictEqual((yield* service.current(request)).clientId, "id-2")
      }), {
      respond: ({ claims, kind }) =>
        kind === "register" ? json({ ...claims, client_id: `id-${++registered}` }) : undefined
    })
  })

  it.effect("ten concurrent registrations send one request", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const all = yield* Effect.all(Array.from({ length: 10 }, () => service.current(request)), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(new Set(all.map(({ clientId }) => clientId)), new Set(["client-1"]))
        assert.lengthOf(server.of("register"), 1)
      })
    ))

  it.effect("a registration in one community does not affect another", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const other = { ...request, community: OTHER_COMMUNITY, certificate: yield* otherAppCertificate }
        const one = yield* service.current(request)
        const two = yield* service.current(other)
        assert.deepStrictEqual([one.clientId, two.clientId], ["client-1", "client-2"])
        yield* service.cancel(other)
        assert.deepStrictEqual(yield* service.current(request), one)
        assert.lengthOf(server.of("register"), 3)
      })
    ))

  it.effect("[UDAP-123] a confirmed cancellation removes the registration from the store", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        yield* service.current(request)
        yield* service.cancel(request)
        assert.deepStrictEqual(server.of("register")[1]?.claims["grant_types"], [])
        assert.strictEqual(server.clients.size, 0)
        assert.strictEqual((yield* service.current(request)).clientId, "client-2")
      })
    ))

  it.effect("[UDAP-123] a response without grant types to a registration means that it is cancelled", () => {
    let registered = 0
    return at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        yield* service.register(request)
        const error = yield* Effect.flip(service.register(request))
        assert.deepInclude(error, { _tag: "UdapRegistrationError", reason: "Cancelled" })
        const third = yield* service.current(request)
        assert.strictEqual(third.clientId, "id-3")
      }), {
      respond: ({ kind }) =>
        kind === "register"
          ? json({ client_id: `id-${++registered}`, grant_types: registered === 2 ? [] : ["client_credentials"] })
          : undefined
    })
  })

  it.effect.each(
    [
      ["with another client id", { client_id: "another", grant_types: [] }],
      ["with grant types", { client_id: "client-1", grant_types: ["client_credentials"] }],
      ["that does not name them", { client_id: "client-1" }]
    ] as const
  )(
    "[UDAP-123] a response %s does not confirm a cancellation, and the registration stays in the store",
    ([, body]) =>
      at((service, server) =>
        Effect.gen(function*() {
          const request = yield* requestAt(server)
          const before = yield* service.current(request)
          assert.deepInclude(yield* Effect.flip(service.cancel(request)), { reason: "NotCancelled" })
          assert.deepStrictEqual(yield* service.current(request), before)
        }), {
        respond: ({ claims, kind }) =>
          kind === "register" && (claims["grant_types"] as ReadonlyArray<string>).length === 0 ? json(body) : undefined
      })
  )

  it.effect("registers a client again that the server no longer knows, once for all processes", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const { clientId } = yield* service.current(request)
        server.clients.clear()
        // Younger than a minute: the reason is another one.
        assert.strictEqual((yield* service.replace(request, clientId)).clientId, clientId)
        yield* TestClock.adjust("2 minutes")
        const replaced = yield* Effect.all([service.replace(request, clientId), service.replace(request, clientId)], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(replaced.map((one) => one.clientId), ["client-2", "client-2"])
        assert.lengthOf(server.of("register"), 2)
      })
    ))

  it.effect("warns about members that the server changed, and not about members that it repeats, adds or omits", () => {
    const { layer, reported } = recorded()
    return Effect.gen(function*() {
      const server = yield* makeServer({
        respond: ({ claims, kind }) =>
          kind === "register"
            ? json({ ...claims, client_id: "1", scope: "system/Patient.rs", contacts: null, client_name: "", extra: 1 })
            : undefined
      })
      const request = yield* requestAt(server)
      const registered = yield* Effect.provide(
        Effect.flatMap(registration, (service) => service.register(request)),
        Layer.provide(registrations(server), layer)
      )
      assert.deepStrictEqual(registered.scopes, ["system/Patient.rs"])
      assert.deepStrictEqual(reported.map(({ code, detail }) => [code, detail]), [
        ["RegistrationChanged", "the server registered another scope than was requested"]
      ])
    })
  })

  it.effect("checks for required certifications before any request", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const error = yield* Effect.flip(service.register(request))
        assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Missing" })
        assert.lengthOf(server.of("register"), 0)
      }), { metadata: { udap_certifications_supported: ["urn:basic"], udap_certifications_required: ["urn:basic"] } }))

  it.effect("does not request a wildcard from a server that lists scopes without one", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.flatMap(requestAt(server), service.register))
        assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Conflict", fields: ["scopes"] })
        assert.lengthOf(server.of("register"), 0)
      }), { metadata: { scopes_supported: ["system/Patient.rs"] } }))

  it.effect("the error names the scopes with a wildcard; resources and servers without lists are not affected", () =>
    Effect.gen(function*() {
      const outcome = (scopes: ReadonlyArray<string>, metadataOfServer: Options["metadata"]) =>
        at(
          (service, server) =>
            Effect.flatMap(requestAt(server, { metadata: { ...metadata, scopes } }), service.register),
          { metadata: metadataOfServer }
        ).pipe(Effect.match({ onFailure: ({ message }) => message, onSuccess: ({ clientId }) => clientId }))
      const listed = { scopes_supported: ["system/Patient.rs"] }
      assert.strictEqual(yield* outcome(["system/Patient.rs"], listed), "client-1")
      assert.include(yield* outcome(["system/Patient.rs", "system/*.rs"], listed), "so system/*.rs cannot be requested")
      assert.strictEqual(yield* outcome(["system/*.rs"], { scopes_supported: undefined }), "client-1")
      assert.strictEqual(yield* outcome(["system/*.rs"], { udap_profiles_supported: undefined }), "client-1")
    }))

  it.effect("[UDAP-123] a cancellation has neither certifications nor a need for them", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const one = yield* Certification.make(request.certificate, { name: "Basic", uris: ["urn:basic"] })
        yield* service.register({ ...request, certifications: [one] })
        yield* service.cancel({ ...request, certifications: [one] })
        yield* service.cancel(request)
        assert.deepStrictEqual(server.of("register").map(({ body }) => body["certifications"]), [
          [Redacted.value(one)],
          undefined,
          undefined
        ])
      }), { metadata: { udap_certifications_supported: ["urn:basic"], udap_certifications_required: ["urn:basic"] } }))

  it.effect("[UDAP-20] a server without the profile udap_dcr does not register apps", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.flatMap(requestAt(server), service.register))
        assert.deepInclude(error, { reason: "NotSupported", processed: "no" })
        assert.lengthOf(server.of("register"), 0)
      }), { metadata: { udap_profiles_supported: [] } }))

  it.effect("[UDAP-75] checks the client URI before any request", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server, { clientUri: "https://other.example.org" })
        assert.deepInclude(yield* Effect.flip(service.register(request)), { reason: "Invalid" })
        assert.lengthOf(server.received, 0)
      })
    ))

  const responses: ReadonlyArray<readonly [string, () => Response, string]> = [
    [
      "invalid_software_statement",
      () => json({ error: "invalid_software_statement" }, { status: 400 }),
      "InvalidSoftwareStatement"
    ],
    [
      "unapproved_software_statement",
      () => json({ error: "unapproved_software_statement" }, { status: 400 }),
      "UnapprovedSoftwareStatement"
    ],
    [
      "invalid_client_metadata",
      () => json({ error: "invalid_client_metadata" }, { status: 400 }),
      "InvalidClientMetadata"
    ],
    ["invalid_redirect_uri", () => json({ error: "invalid_redirect_uri" }, { status: 400 }), "InvalidRedirectUri"],
    ["an unknown code", () => json({ error: "constructor" }, { status: 400 }), "Refused"],
    ["400 without a code", () => json({}, { status: 400 }), "Refused"],
    ["401 without a code", () => text("", { status: 401 }), "Refused"],
    ["403 without a code", () => text("", { status: 403 }), "Refused"],
    ["404 without a code", () => text("", { status: 404 }), "Status"],
    ["503", () => json({ error: "invalid_client_metadata" }, { status: 503 }), "Status"],
    ["a page", () => text("<html>", { status: 200 }), "NotJson"],
    ["a list", () => json([]), "NotObject"],
    ["no client id", () => json({ client_name: "App" }, { status: 201 }), "ClientIdMissing"],
    ["a blank client id", () => json({ client_id: " " }, { status: 201 }), "ClientIdMissing"],
    ["a client id that is a number", () => json({ client_id: 7 }, { status: 201 }), "ClientIdMissing"],
    [
      "a redirect",
      () => text("", { status: 307, headers: { location: "https://other.example.org" } }),
      "RedirectRefused"
    ]
  ]

  it.effect.each(responses)(
    "%s is an error with its own reason",
    ([, response, reason]) =>
      Effect.gen(function*() {
        const error = yield* refused(response)
        assert.strictEqual(`${error._tag} ${error.reason}`, `UdapRegistrationError ${reason}`)
      })
  )

  it.effect("an error shows the code of the server, if there is one", () =>
    Effect.gen(function*() {
      const messageOf = (body: unknown) =>
        Effect.map(refused(() => json(body, { status: 400 })), ({ message }) => message)
      const body = { error: "invalid_redirect_uri", error_description: "not https" }
      assert.include(yield* messageOf(body), ": HTTP status 400: invalid_redirect_uri — not https; ")
      assert.include(yield* messageOf({}), ": HTTP status 400; ")
    }))

  it.effect("a refused registration leaves the stored one, which `replace` keeps for a minute", () => {
    let isRefusing = false
    return at((service, server) =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_000)
        const request = yield* requestAt(server)
        const first = yield* service.register(request)
        assert.deepStrictEqual(yield* service.replace(request, "another"), first)
        yield* TestClock.setTime(60_999)
        assert.deepStrictEqual(yield* service.replace(request, first.clientId), first)
        isRefusing = true
        yield* TestClock.setTime(61_000)
        assert.deepInclude(yield* Effect.flip(service.replace(request, first.clientId)), { reason: "Refused" })
        assert.lengthOf(server.of("register"), 2)
        assert.deepStrictEqual(yield* service.replace(request, "another"), first)
        assert.deepStrictEqual(yield* service.current(request), first)
        assert.lengthOf(server.of("register"), 2)
      }), {
      respond: ({ kind }) => isRefusing && kind === "register" ? json({ error: "no" }, { status: 400 }) : undefined
    })
  })

  it.effect("an entry of the store that is of another registration, or cannot be read, counts as absent", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const store = yield* SessionStore.SessionStore
        const first = yield* service.current(request)
        const id = idOf(first)
        const saved = (yield* store.get(id)).pipe(Option.getOrThrow)
        if (saved._tag !== "StoredValue") return assert.fail(saved._tag)
        assert.strictEqual(DateTime.toEpochMillis(saved.expiresAt), request.certificate.notAfter)
        const value = saved.value as Readonly<Record<string, unknown>>
        const changes = [
          { registrationEndpoint: "https://other.example.org/register" },
          { community: OTHER_COMMUNITY },
          { clientUri: "https://other.example.org" },
          { clientId: 7 },
          { clientId: "" }
        ]
        for (const [index, change] of changes.entries()) {
          const entry = new SessionStore.StoredValue({ ...saved, value: { ...value, ...change } })
          yield* store.modify(id, () => Effect.succeed([undefined, Option.some(entry)] as const))
          assert.strictEqual((yield* service.current(request)).clientId, first.clientId)
          assert.lengthOf(server.of("register"), index + 2)
        }
      })
    ))

  it.effect("an entry that cannot be read stays in the store if a registration is refused", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server)
        const store = yield* SessionStore.SessionStore
        const id = idOf({
          registrationEndpoint: server.registrationEndpoint,
          community: COMMUNITY,
          clientUri: CLIENT_URI
        })
        const entry = new SessionStore.StoredValue({
          version: 1,
          expiresAt: DateTime.unsafeMake(Pki.DAY),
          value: { later: "version" }
        })
        yield* store.modify(id, () => Effect.succeed([undefined, Option.some(entry)] as const))
        yield* Effect.flip(service.register(request))
        const found = yield* store.get(id)
        assert.isTrue(Option.isSome(found) && found.value._tag === "StoredValue")
      }), { respond: ({ kind }) => kind === "register" ? json({ error: "no" }, { status: 400 }) : undefined }))

  it.effect("another certificate with the same end is registered", () =>
    at((service, server) =>
      Effect.gen(function*() {
        const one = yield* appCertificate({ key: "p256" })
        const two = yield* appCertificate({ key: "p256" })
        assert.notStrictEqual(one.fingerprint, two.fingerprint)
        yield* service.current(yield* requestAt(server, { certificate: one }))
        yield* service.current(yield* requestAt(server, { certificate: two }))
        assert.lengthOf(server.of("register"), 2)
        assert.strictEqual(server.of("register")[0]?.seen.headers["accept"], "application/json")
      })
    ))

  it.effect("the stored registration is read without the lock of the store", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      let modified = 0
      const counting = Layer.map(SessionStore.layerMemory, (context) => {
        const store = Context.get(context, SessionStore.SessionStore)
        return Context.make(SessionStore.SessionStore, {
          ...store,
          modify: (id, change) => Effect.suspend(() => (modified++, store.modify(id, change)))
        })
      })
      yield* Effect.gen(function*() {
        const service = yield* registration
        const request = yield* requestAt(server)
        yield* service.current(request)
        const before = modified
        yield* service.current(request)
        assert.strictEqual(modified, before)
      }).pipe(Effect.provide(registrations(server, counting)))
    }))

  it.effect("the order of lists and scopes does not matter, and their content does", () =>
    Effect.gen(function*() {
      const changedBy = (change: Readonly<Record<string, unknown>>) => {
        const { layer, reported } = recorded()
        return Effect.gen(function*() {
          const server = yield* makeServer({
            respond: ({ claims, kind }) =>
              kind === "register" ? json({ ...claims, client_id: "1", ...change }) : undefined
          })
          const request = yield* requestAt(server, {
            metadata: {
              ...metadata,
              contacts: ["mailto:a@example.org", "mailto:b@example.org"],
              scopes: ["system/A.rs", "system/B.rs"],
              extensions: { level: 1, flags: ["x"] }
            }
          })
          const { scopes } = yield* Effect.provide(
            Effect.flatMap(registration, (service) => service.register(request)),
            Layer.provide(registrations(server), layer)
          )
          return [scopes, ...reported.map(({ detail }) => detail.replace(/^.*another (\w+) than.*$/, "$1"))]
        })
      }
      const scopes = ["system/A.rs", "system/B.rs"]
      assert.deepStrictEqual(yield* changedBy({}), [scopes])
      assert.deepStrictEqual(yield* changedBy({ scope: "  system/B.rs  system/A.rs " }), [
        ["system/B.rs", "system/A.rs"],
        "scope"
      ])
      assert.deepStrictEqual(yield* changedBy({ scope: "system/B.rs system/A.rs" }), [[...scopes].reverse()])
      assert.deepStrictEqual(yield* changedBy({ contacts: ["mailto:b@example.org", "mailto:a@example.org"] }), [scopes])
      assert.deepStrictEqual(yield* changedBy({ contacts: ["mailto:a@example.org", "mailto:c@example.org"] }), [
        scopes,
        "contacts"
      ])
      assert.deepStrictEqual(yield* changedBy({ level: 2 }), [scopes, "level"])
      assert.deepStrictEqual(yield* changedBy({ flags: ["x"], level: null }), [scopes])
    }))

  it.effect("the log has unusual scopes, and whether the registration is new", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return at((service, server) =>
      Effect.gen(function*() {
        const request = yield* requestAt(server, { metadata: { ...metadata, scopes: ["user/*.rs"] } })
        yield* service.register(request)
        yield* service.register(request)
        const unusual = `${server.fhirBaseUrl}: user/*.rs is unusual with client_credentials [UDAP-99]`
        assert.deepStrictEqual(lines, [
          unusual,
          `${server.fhirBaseUrl} registered ${CLIENT_URI}`,
          unusual,
          `${server.fhirBaseUrl} changed the registration of ${CLIENT_URI}`
        ])
      }), { metadata: { scopes_supported: undefined } }).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
  })

  it.effect("an error contains no statement that the server repeats in base64", () => {
    let repeated = ""
    return Effect.gen(function*() {
      const error = yield* at(
        (service, server) => Effect.flatMap(requestAt(server), (request) => Effect.flip(service.register(request))),
        {
          respond: ({ body, kind }) => {
            if (kind !== "register") return undefined
            repeated = Buffer.from(String(body["software_statement"])).toString("base64")
            return json({ error: "invalid_software_statement", error_description: `got ${repeated}` }, { status: 400 })
          }
        }
      )
      assert.strictEqual(error.reason, "InvalidSoftwareStatement")
      assert.notInclude(`${error.message} ${JSON.stringify(error)}`, repeated.slice(0, 40))
    })
  })

  it.effect("an error contains no statement and no certification, also if the server repeats them", () =>
    Effect.gen(function*() {
      const certificate = yield* appCertificate({ key: "p256" })
      const certification = yield* Certification.make(certificate, { name: "Basic", uris: ["urn:basic"] })
      let sent = ""
      const error = yield* at(
        (service, server) =>
          Effect.flatMap(
            requestAt(server, { certificate, certifications: [certification] }),
            (request) => Effect.flip(service.register(request))
          ),
        {
          respond: ({ body, kind }) => {
            if (kind !== "register") return undefined
            sent = String(body["software_statement"])
            return json({
              error: "invalid_software_statement",
              error_description: `${sent} ${Redacted.value(certification)}`
            }, {
              status: 400
            })
          }
        }
      )
      for (const secret of [sent, Redacted.value(certification)]) {
        for (const part of secret.split(".")) {
          assert.notInclude(`${error.message} ${JSON.stringify(error)}`, part)
        }
      }
    }))

  it.effect("repeats a request without a response, with a new statement for each attempt", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      let failures = 1
      const net = fake((seen) =>
        new URL(seen.url).pathname === "/udap/register" && failures-- > 0
          ? new ConnectionFailure("ECONNRESET")
          : Effect.promise(() => server.handle(seen))
      )
      const options = yield* trust
      const request = yield* requestAt(server)
      const done = Effect.flatMap(registration, (service) => service.current(request)).pipe(
        Effect.provide(
          UdapRegistration.layer.pipe(
            Layer.provide(UdapDiscovery.layer()),
            Layer.provide(TrustPolicy.layer(options)),
            Layer.provide(SessionStore.layerMemory),
            Layer.provide(net.layer),
            Layer.provide(RetryPolicy.layer(Schedule.recurs(2)))
          )
        )
      )
      assert.strictEqual((yield* done).clientId, "client-1")
      const jtis = net.requests.filter(({ url }) => url.endsWith("/register")).map(({ body }) => body)
      assert.strictEqual(new Set(jtis).size, 2)
    }))
})
