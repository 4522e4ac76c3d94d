import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { ConfigurationError } from "effect-safire"
import { BackendServices, ClientAuthentication, RetryPolicy, SmartClient, SmartServers } from "effect-safire"
import { AuthorizationExtension, UdapAuthentication } from "effect-safire/udap"
import {
  appCertificate,
  type AuthorizationServer,
  COMMUNITY,
  makeServer,
  type Options,
  registrations
} from "./authorizationServer.js"

const options: AuthorizationExtension.B2bOptions = {
  organizationId: "https://clinic.example.org",
  organizationName: "North Clinic",
  purposeOfUse: [AuthorizationExtension.purposeOfUse("TREAT")],
  subject: {
    kind: "Human",
    name: "Dr. Jane Doe",
    id: AuthorizationExtension.npi("1234567890"),
    role: "urn:oid:2.16.840.1.113883.6.101#207Q00000X"
  },
  consentPolicy: ["urn:policy:1"],
  consentReference: ["https://clinic.example.org/fhir/Consent/1"]
}

const object: AuthorizationExtension.Hl7B2b = {
  version: "1",
  organization_id: "https://clinic.example.org",
  purpose_of_use: ["urn:oid:2.16.840.1.113883.5.8#TREAT"]
}

/** A backend service at a server of the test's community. */
const backend = (server: AuthorizationServer, change: Partial<UdapAuthentication.Options> = {}) =>
  Layer.unwrapEffect(Effect.map(appCertificate({ key: "p256" }), (certificate) =>
    BackendServices.layerWith({}).pipe(
      Layer.provideMerge(SmartServers.layer({
        north: {
          fhirBaseUrl: server.fhirBaseUrl,
          scopes: ["system/*.rs"],
          authentication: UdapAuthentication.layer({
            community: COMMUNITY,
            certificate,
            clientName: "Growth Chart",
            contacts: ["mailto:it@example.org"],
            ...change
          })
        }
      })),
      Layer.provide(registrations(server)),
      Layer.provide(RetryPolicy.layer(RetryPolicy.none))
    )))

const token = (extensions?: AuthorizationExtension.Extensions) =>
  Effect.flatMap(
    BackendServices.BackendServices,
    ({ accessToken }) => Effect.map(accessToken({ extensions }), Redacted.value)
  )

const at = <A, E>(
  use: (server: AuthorizationServer) => Effect.Effect<A, E, BackendServices.BackendServices>,
  how: Options = {},
  change: Partial<UdapAuthentication.Options> = {}
) => Effect.flatMap(makeServer(how), (server) => Effect.provide(use(server), backend(server, change)))

describe("AuthorizationExtension", () => {
  it.effect(
    "[UDAP-187] [UDAP-198] [UDAP-202] [UDAP-203] [UDAP-204] [UDAP-205] [UDAP-208] [UDAP-210] [UDAP-211] [UDAP-212] [UDAP-213] [UDAP-214] [UDAP-215] [UDAP-217] [UDAP-218] [UDAP-219] [UDAP-220] a request for client credentials has the subject, the organization and the purpose",
    () =>
      at((server) =>
        Effect.gen(function*() {
          yield* token(yield* AuthorizationExtension.b2b(options))
          assert.deepStrictEqual(server.of("token")[0]?.claims["extensions"], {
            "hl7-b2b": {
              version: "1",
              subject_name: "Dr. Jane Doe",
              subject_id: "urn:oid:2.16.840.1.113883.4.6#1234567890",
              subject_role: "urn:oid:2.16.840.1.113883.6.101#207Q00000X",
              organization_name: "North Clinic",
              organization_id: "https://clinic.example.org",
              purpose_of_use: ["urn:oid:2.16.840.1.113883.5.8#TREAT"],
              consent_policy: ["urn:policy:1"],
              consent_reference: ["https://clinic.example.org/fhir/Consent/1"]
            }
          })
        })
      )
  )

  it("[UDAP-206] [UDAP-207] a system, and a person without an NPI, have no subject_id", () => {
    const of = (subject: AuthorizationExtension.Subject) =>
      Either.map(
        AuthorizationExtension.b2b({ ...options, subject }),
        (extensions) => Object.keys(extensions["hl7-b2b"] as object).filter((name) => name.startsWith("subject"))
      )
    assert.deepStrictEqual(of({ kind: "System", name: "Night batch" }), Either.right(["subject_name"]))
    assert.deepStrictEqual(of({ kind: "Human", name: "Jane Doe" }), Either.right(["subject_name"]))
    const more = { kind: "System", name: "Night batch", id: AuthorizationExtension.npi("1234567890") } as const
    assert.deepStrictEqual(of(more), Either.right(["subject_name"]))
    assert.deepStrictEqual(
      AuthorizationExtension.b2b({ organizationId: options.organizationId, purposeOfUse: options.purposeOfUse }),
      Either.right({ "hl7-b2b": object })
    )
  })

  it("an error names each invalid member once, and the object itself, by rules or in general words", () => {
    const { b2b, define, hl7B2b, make, validate } = AuthorizationExtension
    const errorOf = (outcome: Either.Either<unknown, ConfigurationError>) =>
      Either.match(outcome, {
        onLeft: ({ detail, fields, reason }) => [reason, [...fields], detail],
        onRight: () => assert.fail("accepted")
      })
    assert.deepStrictEqual(errorOf(b2b({ ...options, organizationName: "", purposeOfUse: ["", " "] })), [
      "Invalid",
      ["extensions.hl7-b2b.organization_name", "extensions.hl7-b2b.purpose_of_use"],
      "organization_name is text that is not empty [UDAP-210]; purpose_of_use is a list with at least one purpose [UDAP-215]"
    ])
    const own = define({
      key: "own",
      schema: Schema.Struct({ level: Schema.Number }).pipe(Schema.filter(({ level }) => level > 1))
    })
    assert.deepStrictEqual(errorOf(validate({ other: {}, own: { level: "2" } }, [hl7B2b, own])), [
      "Invalid",
      ["extensions.own.level"],
      "level has not the required form"
    ])
    assert.deepStrictEqual(errorOf(make(own, { level: 1 })), [
      "Invalid",
      ["extensions.own"],
      "the object has not the required form"
    ])
    for (const value of [null, [], "text", 7]) {
      assert.deepStrictEqual(errorOf(validate({ own: value }, [])).slice(0, 2), ["Invalid", ["extensions.own"]])
    }
    assert.deepStrictEqual(validate({ own: { level: 2 }, "hl7-b2b": object }, [hl7B2b, own]), Either.right(undefined))
  })

  it("[UDAP-218] [UDAP-219] a consent reference is an absolute URL, in which nothing is missing", () => {
    const { hl7B2b, validate } = AuthorizationExtension
    const isAccepted = (reference: string) =>
      Either.isRight(
        validate({ "hl7-b2b": { ...object, consent_policy: ["urn:a"], consent_reference: [reference] } }, [hl7B2b])
      )
    for (const url of ["https://clinic.example.org/fhir/Consent/1", "http://h/c"]) assert.isTrue(isAccepted(url), url)
    const others = [" https://a.b/c", "https://a.b/c d", "https:///c", "https://a.b", "https://a.b/", "ftp://a.b/c"]
    for (const url of [...others, "https://a b/c", "Consent/1"]) assert.isFalse(isAccepted(url), url)
  })

  const violations: ReadonlyArray<readonly [string, string, unknown]> = [
    ["UDAP-202", "version", { ...object, version: 1 }],
    ["UDAP-203", "subject_name", { ...object, subject_name: "" }],
    ["UDAP-204", "subject_id", { ...object, subject_id: "urn:oid:2.16.840.1.113883.4.6#1234567890" }],
    ["UDAP-208", "subject_role", { ...object, subject_role: "nurse" }],
    ["UDAP-210", "organization_name", { ...object, organization_name: 7 }],
    ["UDAP-212", "organization_id", { ...object, organization_id: "North Clinic" }],
    ["UDAP-212", "organization_id", { version: "1", purpose_of_use: ["TREAT"] }],
    ["UDAP-215", "purpose_of_use", { ...object, purpose_of_use: [] }],
    ["UDAP-215", "purpose_of_use", { ...object, purpose_of_use: "TREAT" }],
    ["UDAP-217", "consent_policy", { ...object, consent_policy: [] }],
    ["UDAP-218", "consent_reference", {
      ...object,
      consent_policy: ["urn:policy:1"],
      consent_reference: ["Consent/1"]
    }],
    ["UDAP-221", "consent_reference", { ...object, consent_reference: ["https://clinic.example.org/fhir/Consent/1"] }]
  ]

  it.effect.each(violations)(
    "[%s] %s of %j is refused before a token is requested",
    ([requirement, member, value]) =>
      at((server) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(token({ "hl7-b2b": value }))
          if (error._tag !== "ConfigurationError") return assert.fail(error.message)
          assert.deepStrictEqual([...error.fields], [`extensions.hl7-b2b.${member}`])
          assert.include(error.detail, requirement)
          assert.notInclude(error.message, "1234567890")
          assert.lengthOf(server.of("token"), 0)
        })
      )
  )

  it.effect("an object that is text is refused", () =>
    at(() =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(token({ "hl7-b2b": JSON.stringify(object) }))
        assert.include(error.message, "JSON object")
      })
    ))

  it.effect("a token is used only for requests with equal extensions", () =>
    at((server) =>
      Effect.gen(function*() {
        const treatment = yield* AuthorizationExtension.b2b(options)
        const research = yield* AuthorizationExtension.b2b({ ...options, purposeOfUse: ["urn:purpose:research"] })
        const first = yield* token(treatment)
        const second = yield* token(research)
        assert.notStrictEqual(first, second)
        assert.strictEqual(yield* token(treatment), first)
        // The order of members does not matter.
        const reversed = Object.fromEntries(Object.entries(treatment["hl7-b2b"] as object).reverse())
        assert.strictEqual(yield* token({ "hl7-b2b": reversed }), first)
        yield* token()
        assert.lengthOf(server.of("token"), 3)
      })
    ))

  it.effect("a server that requires an extension gets no request without it; a configured one is the default", () =>
    Effect.gen(function*() {
      const metadata = { udap_authorization_extensions_required: ["hl7-b2b"] }
      const error = yield* at(() => Effect.flip(token()), { metadata })
      assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Missing" })
      const extensions = yield* AuthorizationExtension.b2b(options)
      yield* at(
        (server) =>
          Effect.gen(function*() {
            yield* token()
            assert.deepStrictEqual(server.of("token")[0]?.claims["extensions"], extensions)
          }),
        { metadata },
        { extensions }
      )
    }))

  it.effect("objects of TEFCA and of other communities are checked by their definitions", () =>
    Effect.gen(function*() {
      const own = AuthorizationExtension.define({
        key: "my-community",
        schema: Schema.Struct({ level: Schema.Number }),
        rules: { level: "level is a number" }
      })
      yield* at(
        (server) =>
          Effect.gen(function*() {
            const extensions = {
              ...(yield* AuthorizationExtension.make(own, { level: 2 })),
              ...(yield* AuthorizationExtension.make(AuthorizationExtension.tefcaIas, {
                version: "1",
                purposeOfUse: "T-IAS",
                idToken: "e30.e30.e30"
              })),
              unknown: { any: "thing" }
            }
            yield* token(extensions)
            assert.deepStrictEqual(server.of("token")[0]?.claims["extensions"], {
              "my-community": { level: 2 },
              "tefca-ias": { version: "1", purpose_of_use: "T-IAS", id_token: "e30.e30.e30" },
              unknown: { any: "thing" }
            })
            const error = yield* Effect.flip(token({ "my-community": { level: "secret" } }))
            assert.include(error.message, "level is a number")
            assert.notInclude(error.message, "secret")
          }),
        {},
        { definitions: [own] }
      )
    }))

  it.effect("a client that does not send extensions refuses them", () =>
    Effect.gen(function*() {
      const server = yield* makeServer()
      const client = yield* SmartClient.make({
        fhirBaseUrl: server.fhirBaseUrl,
        clientId: "1",
        scopes: ["system/*.rs"],
        metadata: { tokenEndpoint: server.tokenEndpoint }
      }).pipe(
        Effect.provide(ClientAuthentication.layerPublic),
        Effect.provide(Layer.provide(SmartClient.layerDependencies(), server.net.layer))
      )
      const error = yield* Effect.flip(client.clientCredentials({ extensions: { "hl7-b2b": object } }))
      assert.deepInclude(error, { _tag: "ConfigurationError", reason: "Conflict" })
      assert.lengthOf(server.received, 0)
    }))
})
