import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { Capabilities, Conformance, FhirBaseUrl, SmartConfiguration } from "effect-safire"
import { isJsonObject, type JsonObject } from "../../src/base/JsonReader.js"
import { PREDICATES, servers } from "../fixtures/servers.js"

const base = Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)("https://ehr.example.com/fhir")
const read = (document: JsonObject) => SmartConfiguration.fromDocument(base, document)
const conformant = servers[0]?.document ?? {}

describe("pages", () => {
  it("a management endpoint that a browser could run as code counts as absent", () => {
    for (const url of ["javascript:alert('https://a.test')", "data:text/html,https:", "file:///etc/passwd"]) {
      const configuration = read({ management_endpoint: url })
      strictEqual(configuration.managementEndpoint, undefined)
      deepStrictEqual(configuration.deviations.map(({ member, problem }) => [member, problem]), [
        ["management_endpoint", "Malformed"]
      ])
    }
    for (const url of ["https://a.test/x", "HTTPS://a.test/x", "http://a.test/x"]) {
      strictEqual(read({ management_endpoint: url }).managementEndpoint, url)
    }
  })
})

describe("capability sets ", () => {
  const sets = (...capabilities: ReadonlyArray<string>) => Capabilities.capabilitySets(read({ capabilities }))

  it("[SMART-348] patient access for standalone apps", () => {
    const needed = ["launch-standalone", "client-public", "context-standalone-patient", "permission-patient"]
    deepStrictEqual(sets(...needed), ["PatientAccessForStandaloneApps"])
    for (const one of needed) deepStrictEqual(sets(...needed.filter((other) => other !== one)), [], one)
  })

  it("[SMART-349] patient access for EHR launch", () => {
    const needed = ["launch-ehr", "client-confidential-symmetric", "context-ehr-patient", "permission-patient"]
    deepStrictEqual(sets(...needed), ["PatientAccessForEhrLaunch"])
    for (const one of needed) deepStrictEqual(sets(...needed.filter((other) => other !== one)), [], one)
  })

  it("[SMART-350] clinician access for standalone", () => {
    const needed = ["launch-standalone", "client-public", "permission-user", "permission-patient"]
    deepStrictEqual(sets(...needed), ["ClinicianAccessForStandalone"])
    for (const one of needed) deepStrictEqual(sets(...needed.filter((other) => other !== one)), [], one)
  })

  it("[SMART-351] clinician access for EHR launch", () => {
    const needed = [
      "launch-ehr",
      "client-public",
      "context-ehr-patient",
      "context-ehr-encounter",
      "permission-user",
      "permission-patient"
    ]
    deepStrictEqual(sets(...needed), ["PatientAccessForEhrLaunch", "ClinicianAccessForEhrLaunch"])
    for (const one of needed) {
      assert(!sets(...needed.filter((other) => other !== one)).includes("ClinicianAccessForEhrLaunch"), one)
    }
  })

  it("asymmetric clients alone satisfy none", () => {
    deepStrictEqual(
      sets("launch-standalone", "client-confidential-asymmetric", "context-standalone-patient", "permission-patient"),
      []
    )
  })
})

describe("Capabilities", () => {
  it("[SMART-352] [SMART-353] a launch requires its capability and both endpoints", () => {
    for (const member of ["capabilities", "authorization_endpoint", "token_endpoint"]) {
      const configuration = read({ ...conformant, [member]: undefined })
      deepStrictEqual(
        [Capabilities.supportsEhrLaunch(configuration), Capabilities.supportsStandaloneLaunch(configuration)],
        [false, false],
        member
      )
    }
    const configuration = read({ ...conformant, capabilities: ["launch-ehr"] })
    deepStrictEqual([
      Capabilities.supportsEhrLaunch(configuration),
      Capabilities.supportsStandaloneLaunch(configuration)
    ], [true, false])
  })

  it("[SMART-1] an insecure endpoint counts as absent, except on a loopback host", () => {
    assert(!Capabilities.supportsEhrLaunch(read({ ...conformant, token_endpoint: "http://ehr.example.com/token" })))
    assert(Capabilities.supportsEhrLaunch(read({ ...conformant, token_endpoint: "http://127.0.0.1:8080/token" })))
  })

  it("an authentication is supported by capability or by method", () => {
    const token = { token_endpoint: "https://ehr.example.com/token" }
    const by = (members: JsonObject) => {
      const configuration = read({ ...token, ...members })
      return [
        Capabilities.supportsPublicClients(configuration),
        Capabilities.supportsSymmetricAuthentication(configuration),
        Capabilities.supportsAsymmetricAuthentication(configuration)
      ]
    }
    deepStrictEqual(by({}), [false, false, false])
    deepStrictEqual(by({ capabilities: ["client-public"] }), [true, false, false])
    deepStrictEqual(by({ capabilities: ["client-confidential-symmetric"] }), [false, true, false])
    deepStrictEqual(by({ capabilities: ["client-confidential-asymmetric"] }), [false, false, true])
    const methods = (...names: ReadonlyArray<string>) => ({ token_endpoint_auth_methods_supported: names })
    deepStrictEqual(by(methods("none")), [true, false, false])
    deepStrictEqual(by(methods("client_secret_post")), [false, true, false])
    deepStrictEqual(by(methods("private_key_jwt")), [false, false, true])
    deepStrictEqual(
      by({ ...methods("private_key_jwt"), token_endpoint_auth_signing_alg_values_supported: ["RS256"] }),
      [false, false, false]
    )
  })

  it("[SMART-384] backend services require client_credentials, unless the document has no list of grants", () => {
    const backend = (grants: ReadonlyArray<string> | undefined) =>
      Capabilities.supportsBackendServices(
        read({ ...conformant, authorization_endpoint: undefined, grant_types_supported: grants })
      )
    deepStrictEqual([backend(["client_credentials"]), backend(undefined), backend(["authorization_code"])], [
      true,
      true,
      false
    ])
  })

  it("[SMART-369] [SMART-370] permissions are supported by capability or by a listed scope of the syntax", () => {
    const syntaxes = (scope: string) => {
      const configuration = read({ scopes_supported: [scope] })
      return [Capabilities.supportsV1Permissions(configuration), Capabilities.supportsV2Permissions(configuration)]
    }
    deepStrictEqual(syntaxes("patient/Observation.read"), [true, false])
    deepStrictEqual(syntaxes("system/*.*"), [true, false])
    deepStrictEqual(syntaxes("user/Observation.rs?category=vital-signs"), [false, true])
    for (const other of ["patient/Observation.", "patient/Observation.sr", "*/*.read", "openid"]) {
      deepStrictEqual(syntaxes(other), [false, false], other)
    }
    assert(Capabilities.supportsV1Permissions(read({ capabilities: ["permission-v1"] })))
    assert(Capabilities.supportsV2Permissions(read({ capabilities: ["permission-v2"] })))
  })

  it("[SMART-289] `signingAlgorithms` has those that server and client support, and both where the server lists none", () => {
    const algorithms = (list: unknown) =>
      Capabilities.signingAlgorithms(read({ token_endpoint_auth_signing_alg_values_supported: list }))
    deepStrictEqual(algorithms(undefined), ["ES384", "RS384"])
    deepStrictEqual(algorithms(["RS256", "RS384"]), ["RS384"])
    deepStrictEqual(algorithms(["RS384", "ES384"]), ["ES384", "RS384"])
    deepStrictEqual(algorithms(["RS256"]), [])
    deepStrictEqual(algorithms("RS384"), ["ES384", "RS384"])
  })

  it("malformed members of a brand identifier are deviations", () => {
    const { deviations, userAccessBrandIdentifier } = read({ user_access_brand_identifier: { system: 1, value: "a" } })
    deepStrictEqual(userAccessBrandIdentifier, { system: undefined, value: "a" })
    deepStrictEqual(deviations.map(({ member }) => member), ["user_access_brand_identifier.system"])
  })

  it("malformed members of associated endpoints are deviations", () => {
    const { associatedEndpoints, deviations } = read({
      associated_endpoints: [{ url: 1, capabilities: [] }, { url: "https://a.test", capabilities: "x" }]
    })
    deepStrictEqual(associatedEndpoints, [{ url: "https://a.test", capabilities: [] }])
    deepStrictEqual(deviations.map(({ member, problem }) => [member, problem]), [
      ["associated_endpoints.url", "Malformed"],
      ["associated_endpoints.capabilities", "Malformed"]
    ])
  })

  it("[SMART-439] associated endpoints by capability, the deprecated member included", () => {
    const configuration = read({
      associated_endpoints: [
        { url: "https://state.example.com", capabilities: ["smart-app-state"] },
        { url: "https://other.example.com", capabilities: ["https://example.org/x"] }
      ],
      smart_app_state_endpoint: "https://old.example.com"
    })
    deepStrictEqual(Capabilities.associatedEndpoints(configuration, "smart-app-state"), [
      "https://state.example.com",
      "https://old.example.com"
    ])
    deepStrictEqual(Capabilities.associatedEndpoints(configuration, "https://example.org/x"), [
      "https://other.example.com"
    ])
    deepStrictEqual(Capabilities.associatedEndpoints(configuration, "context-style"), [])
  })
})

describe("documents", () => {
  const isKnown = new Set(Object.keys(conformant).concat("associated_endpoints", "smart_app_state_endpoint"))
  const documents = FastCheck.oneof(
    FastCheck.jsonValue(),
    FastCheck.dictionary(
      FastCheck.oneof(FastCheck.constantFrom(...isKnown), FastCheck.string()),
      FastCheck.jsonValue()
    ),
    FastCheck.constantFrom(...servers.map(({ document }) => document))
  )

  it("every function accepts the configuration of any JSON object", () => {
    FastCheck.assert(FastCheck.property(documents, (json) => {
      const document: unknown = JSON.parse(JSON.stringify(json))
      if (!isJsonObject(document)) return
      const configuration = read(document)
      for (const isSupported of Object.values(PREDICATES)) strictEqual(typeof isSupported(configuration), "boolean")
      for (const { code } of Conformance.findings(configuration)) strictEqual(typeof code, "string")
      assert(Schema.is(SmartConfiguration.SmartConfiguration)(configuration))
    }))
  })

  it("unknown members survive encoding and decoding", () => {
    const codec = Schema.parseJson(SmartConfiguration.SmartConfiguration)
    FastCheck.assert(FastCheck.property(
      FastCheck.dictionary(
        FastCheck.string().filter((name) => name !== "__proto__" && !isKnown.has(name)),
        FastCheck.jsonValue()
      ),
      (members) => {
        const extensions: unknown = JSON.parse(JSON.stringify(members))
        const configuration = read({ ...conformant, ...members })
        const again = Schema.decodeSync(codec)(Schema.encodeSync(codec)(configuration))
        deepStrictEqual(JSON.parse(JSON.stringify(again.extensions)), extensions)
        deepStrictEqual(Conformance.findings(again), Conformance.findings(configuration))
      }
    ))
  })

  it("unknown capabilities stay in the list", () => {
    const names = ["https://example.org/extra", "something-new"]
    deepStrictEqual(read({ capabilities: names }).capabilities, names)
    assert(Capabilities.has(read({ capabilities: names }), "something-new"))
  })

  it("[SMART-379] relative URLs are resolved against the unchanged base URL", () => {
    const resolve = (fhirBaseUrl: string, value: string) =>
      SmartConfiguration.fromDocument(Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)(fhirBaseUrl), {
        token_endpoint: value
      }).tokenEndpoint
    strictEqual(resolve("https://h.example/fhir", "token"), "https://h.example/token")
    strictEqual(resolve("https://h.example/fhir/", "token"), "https://h.example/fhir/token")
    strictEqual(resolve("https://h.example/fhir", "/auth/token"), "https://h.example/auth/token")
  })
})

describe("endpoint", () => {
  it.effect("[SMART-230] accepts https, and http to a loopback host with allowInsecureLocalhost", () =>
    Effect.gen(function*() {
      const reason = (tokenEndpoint: unknown, allowInsecureLocalhost: boolean) =>
        SmartConfiguration.endpoint(read({ token_endpoint: tokenEndpoint }), "tokenEndpoint", {
          allowInsecureLocalhost
        }).pipe(
          Effect.match({ onFailure: (error) => error.reason, onSuccess: (value) => value })
        )
      strictEqual(yield* reason(undefined, true), "EndpointMissing")
      strictEqual(yield* reason("http://ehr.example.com/token", true), "InsecureEndpoint")
      strictEqual(yield* reason("http://localhost/token", false), "InsecureEndpoint")
      strictEqual(yield* reason("http://localhost/token", true), "http://localhost/token")
      strictEqual(yield* reason("https://ehr.example.com/token", false), "https://ehr.example.com/token")
    }))

  it.effect("without options, http is insecure, also to a loopback host", () =>
    Effect.gen(function*() {
      const configuration = read({ token_endpoint: "http://localhost/token" })
      const error = yield* Effect.flip(SmartConfiguration.endpoint(configuration, "tokenEndpoint"))
      deepStrictEqual([error.reason, error.member], ["InsecureEndpoint", "token_endpoint"])
      strictEqual(
        yield* SmartConfiguration.endpoint("tokenEndpoint", { allowInsecureLocalhost: true })(configuration),
        "http://localhost/token"
      )
    }))

  it.effect("a setting that is not a URL is insecure", () =>
    Effect.gen(function*() {
      const configuration = SmartConfiguration.fromSettings(base, { tokenEndpoint: "token" })
      strictEqual(
        (yield* Effect.flip(SmartConfiguration.endpoint(configuration, "tokenEndpoint"))).reason,
        "InsecureEndpoint"
      )
    }))
})

describe("fromSettings", () => {
  it("has the settings, supports S256 and deviates in nothing", () => {
    const configuration = SmartConfiguration.fromSettings(base, { tokenEndpoint: "https://a.test/token" })
    deepStrictEqual(
      { ...configuration },
      {
        fhirBaseUrl: base,
        tokenEndpoint: "https://a.test/token",
        codeChallengeMethodsSupported: ["S256"],
        extensions: {},
        deviations: [],
        source: "Settings"
      }
    )
    const methods = SmartConfiguration.fromSettings(base, { codeChallengeMethodsSupported: ["plain"] })
    deepStrictEqual(methods.codeChallengeMethodsSupported, ["plain"])
  })
})
