import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { Conformance, FhirBaseUrl, SmartConfiguration } from "effect-safire"
import { PREDICATES, servers } from "../fixtures/servers.js"

const base = Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)("https://ehr.example.com/fhir")
const conformant = servers[0]?.document ?? {}

const findingsOf = (document: Readonly<Record<string, unknown>>): ReadonlyArray<Conformance.ConformanceFinding> =>
  Conformance.findings(SmartConfiguration.fromDocument(base, document))
const change = (changes: Readonly<Record<string, unknown>>) => findingsOf({ ...conformant, ...changes })
const brief = (findings: ReadonlyArray<Conformance.ConformanceFinding>) =>
  findings.map(({ code, member }) => `${code} ${member}`)

const one = (findings: ReadonlyArray<Conformance.ConformanceFinding>): Conformance.ConformanceFinding => {
  strictEqual(findings.length, 1, brief(findings).join(", "))
  const [finding] = findings
  assert(finding !== undefined)
  return finding
}

/** A document, the one thing wrong with it, and the requirement that says so. */
const rows: ReadonlyArray<
  readonly [
    requirement: string | undefined,
    code: Conformance.ConformanceCode,
    severity: Conformance.ConformanceFinding["severity"],
    member: string,
    changes: Readonly<Record<string, unknown>>
  ]
> = [
  ["385", "MemberMissing", "error", "token_endpoint", { token_endpoint: null }],
  ["384", "MemberMissing", "error", "grant_types_supported", { grant_types_supported: null }],
  ["393", "MemberMissing", "error", "capabilities", { capabilities: null }],
  ["394", "MemberMissing", "error", "code_challenge_methods_supported", { code_challenge_methods_supported: null }],
  ["383", "ConditionalMemberMissing", "error", "authorization_endpoint", { authorization_endpoint: null }],
  ["381", "ConditionalMemberMissing", "error", "issuer", { issuer: null }],
  ["382", "ConditionalMemberMissing", "error", "jwks_uri", { jwks_uri: null }],
  ["288", "ConditionalMemberMissing", "error", "token_endpoint_auth_methods_supported", {
    token_endpoint_auth_methods_supported: null
  }],
  ["289", "ConditionalMemberMissing", "error", "token_endpoint_auth_signing_alg_values_supported", {
    token_endpoint_auth_signing_alg_values_supported: null
  }],
  ["287", "ConditionalMemberMissing", "error", "scopes_supported", { scopes_supported: null }],
  ["409", "RecommendedMemberMissing", "information", "user_access_brand_identifier", {
    user_access_brand_identifier: null
  }],
  ["390", "RecommendedMemberMissing", "information", "response_types_supported", { response_types_supported: null }],
  ["391", "RecommendedMemberMissing", "information", "introspection_endpoint", { introspection_endpoint: null }],
  ["392", "RecommendedMemberMissing", "information", "revocation_endpoint", { revocation_endpoint: null }],
  [undefined, "RecommendedMemberMissing", "information", "management_endpoint", { management_endpoint: null }],
  ["385", "MemberMalformed", "error", "token_endpoint", { token_endpoint: 42 }],
  ["388", "MemberMalformed", "warning", "user_access_brand_identifier", {
    user_access_brand_identifier: "https://example.org"
  }],
  ["378", "EndpointRelative", "error", "token_endpoint", { token_endpoint: "auth/token" }],
  ["1", "EndpointInsecure", "error", "token_endpoint", { token_endpoint: "http://ehr.example.com/token" }],
  ["1", "EndpointInsecure", "error", "jwks_uri", { jwks_uri: "ftp://ehr.example.com/jwks" }],
  ["1", "EndpointInsecure", "warning", "token_endpoint", { token_endpoint: "http://localhost:8080/token" }],
  ["1", "EndpointInsecure", "warning", "management_endpoint", { management_endpoint: "http://ehr.example.com/manage" }],
  ["1", "EndpointInsecure", "error", "associated_endpoints", {
    associated_endpoints: [
      { url: "http://state.example.com/a", capabilities: ["smart-app-state"] },
      { url: "http://state.example.com/b", capabilities: ["smart-app-state"] }
    ]
  }],
  [undefined, "EndpointUnfit", "error", "token_endpoint", { token_endpoint: "https://ehr.example.com/token#here" }],
  [undefined, "EndpointUnfit", "error", "token_endpoint", {
    token_endpoint: "https://me:secret@ehr.example.com/token"
  }],
  ["381", "IssuerUnfit", "error", "issuer", { issuer: "ehr.example.com" }],
  ["381", "IssuerUnfit", "error", "issuer", { issuer: "https://ehr.example.com?tenant=1" }],
  ["381", "IssuerUnfit", "error", "issuer", { issuer: "https://me@ehr.example.com" }],
  ["381", "IssuerUnfit", "error", "issuer", { issuer: "https://:secret@ehr.example.com" }],
  ["381", "IssuerUnfit", "warning", "issuer", { issuer: "http://localhost:8080" }],
  ["14", "PkceS256Missing", "error", "code_challenge_methods_supported", { code_challenge_methods_supported: [] }],
  ["15", "PkcePlainPresent", "error", "code_challenge_methods_supported", {
    code_challenge_methods_supported: ["plain", "S256"]
  }],
  ["384", "GrantTypeMissing", "error", "grant_types_supported", { grant_types_supported: ["client_credentials"] }],
  ["384", "GrantTypeUnknown", "information", "grant_types_supported", {
    grant_types_supported: ["authorization_code", "password"]
  }],
  ["390", "ResponseTypeMissing", "error", "response_types_supported", { response_types_supported: ["token"] }],
  ["288", "AuthenticationMethodMissing", "error", "token_endpoint_auth_methods_supported", {
    token_endpoint_auth_methods_supported: ["client_secret_basic"]
  }],
  ["345", "AuthenticationMethodMissing", "error", "token_endpoint_auth_methods_supported", {
    token_endpoint_auth_methods_supported: ["private_key_jwt"]
  }],
  ["345", "AuthenticationMethodMissing", "warning", "token_endpoint_auth_methods_supported", {
    token_endpoint_auth_methods_supported: ["private_key_jwt", "client_secret_post"]
  }],
  ["386", "AuthenticationMethodUnknown", "information", "token_endpoint_auth_methods_supported", {
    token_endpoint_auth_methods_supported: ["private_key_jwt", "client_secret_basic", "tls_client_auth"]
  }],
  ["289", "SigningAlgorithmMissing", "error", "token_endpoint_auth_signing_alg_values_supported", {
    token_endpoint_auth_signing_alg_values_supported: ["RS256"]
  }],
  ["289", "SigningAlgorithmUnsafe", "warning", "token_endpoint_auth_signing_alg_values_supported", {
    token_endpoint_auth_signing_alg_values_supported: ["RS384", "none"]
  }],
  ["439", "AssociatedEndpointIncomplete", "warning", "associated_endpoints", {
    associated_endpoints: [{ url: "https://state.example.com" }]
  }],
  ["410", "BrandIdentifierIncomplete", "error", "user_access_brand_identifier", {
    user_access_brand_identifier: { system: "urn:ietf:rfc:3986" }
  }],
  ["411", "BrandIdentifierIncomplete", "warning", "user_access_brand_identifier", {
    user_access_brand_identifier: { value: "https://example.org" }
  }]
]

describe("one deviation, one finding", () => {
  it.each(rows)("[SMART-%s] %s (%s) of %s", (requirement, code, severity, member, changes) => {
    const found = change(changes).filter((finding) =>
      finding.code === code || finding.severity !== "information" || severity === "information"
    )
    const finding = one(found.filter((one) => one.code === code && one.member === member))
    deepStrictEqual([finding.severity, finding.requirement], [severity, requirement])
    assert(finding.message !== "" && finding.advice !== "")
    // A deviation that is made alone is found alone, recommendations apart.
    deepStrictEqual(
      brief(found.filter(({ code }) => code !== "RecommendedMemberMissing" || severity === "information")),
      [
        `${code} ${member}`
      ]
    )
  })

  it("[SMART-387] [SMART-388] brands are recommended", () => {
    const found = change({ user_access_brand_bundle: null, user_access_brand_identifier: null })
    deepStrictEqual(found.map(({ code, member, requirement, severity }) => [code, severity, member, requirement]), [
      ["RecommendedMemberMissing", "information", "user_access_brand_bundle", "387"],
      ["RecommendedMemberMissing", "information", "user_access_brand_identifier", "388"]
    ])
  })

  it("[SMART-412] a brand identifier requires a brand bundle", () => {
    deepStrictEqual(brief(change({ user_access_brand_bundle: null })), [
      "RecommendedMemberMissing user_access_brand_bundle",
      "BrandBundleMissing user_access_brand_bundle"
    ])
  })

  it("signs of a capability that is not claimed are reported, each with its capability", () => {
    const unclaimed = (changes: Readonly<Record<string, unknown>>) =>
      findingsOf({ capabilities: ["launch-ehr"], ...changes })
        .filter(({ code }) => code === "CapabilityMissing")
        .flatMap(({ advice }) => /^claim (\S+), so/.exec(advice)?.[1] ?? [])
    const methods = (...names: ReadonlyArray<string>) => unclaimed({ token_endpoint_auth_methods_supported: names })
    deepStrictEqual(methods("private_key_jwt"), ["client-confidential-asymmetric"])
    deepStrictEqual(methods("client_secret_basic"), ["client-confidential-symmetric"])
    deepStrictEqual(methods("client_secret_post"), ["client-confidential-symmetric"])
    deepStrictEqual(methods("none"), [])
    const scopes = (...names: ReadonlyArray<string>) => unclaimed({ scopes_supported: names })
    deepStrictEqual(scopes("openid", "x"), ["sso-openid-connect"])
    deepStrictEqual(scopes("offline_access", "online_access"), ["permission-offline", "permission-online"])
    deepStrictEqual(scopes("patient/A.rs", "launch"), ["permission-patient", "permission-v2"])
    deepStrictEqual(scopes("user/A.read", "launch"), ["permission-user", "permission-v1"])
    deepStrictEqual(scopes("__patient/", "x/user/"), [])
    deepStrictEqual(unclaimed({ smart_app_state_endpoint: "https://a.test" }), ["smart-app-state"])
    deepStrictEqual(
      unclaimed({ capabilities: ["launch-ehr", "smart-app-state"], smart_app_state_endpoint: "https://a.test" }),
      []
    )
  })

  it("a capability with white space is not a URI", () => {
    const unknown = (name: string) =>
      findingsOf({ capabilities: [name] }).some(({ code }) => code === "CapabilityUnknown")
    deepStrictEqual(["https://a.test/x", "urn:a:b"].map(unknown), [false, false])
    deepStrictEqual(["see https://a.test/x", "https://a.test/x y", "x"].map(unknown), [true, true, true])
  })

  it("[SMART-383] an authorization endpoint without a launch capability is reported", () => {
    const found = (capabilities: ReadonlyArray<string>) =>
      findingsOf({ capabilities, authorization_endpoint: "https://a.test/authorize" })
        .filter(({ code }) => code === "CapabilityMissing")
        .map(({ member, requirement, severity }) => [severity, member, requirement])
    deepStrictEqual(found([]), [["warning", "capabilities", "383"]])
    deepStrictEqual(found(["launch-ehr"]), [])
    deepStrictEqual(found(["launch-standalone"]), [])
  })

  it("[SMART-1] http is an error for app state and a warning for brands", () => {
    const insecure = (member: string) =>
      findingsOf({ [member]: "http://a.test/x" })
        .flatMap((finding) => finding.code === "EndpointInsecure" ? [`${finding.severity} ${finding.member}`] : [])
    deepStrictEqual(insecure("smart_app_state_endpoint"), ["error smart_app_state_endpoint"])
    deepStrictEqual(insecure("user_access_brand_bundle"), ["warning user_access_brand_bundle"])
  })

  it("a malformed member does not hide one that is missing", () => {
    const found = brief(change({ token_endpoint: 42, grant_types_supported: null }))
    assert.includeMembers(found, ["MemberMalformed token_endpoint", "MemberMissing grant_types_supported"])
    assert.notInclude(found, "MemberMissing token_endpoint")
  })

  it("the parameter iss of authorization responses requires an issuer, also without sso-openid-connect", () => {
    const names = conformant["capabilities"]
    assert(Array.isArray(names))
    const capabilities = names.filter((name) => name !== "sso-openid-connect")
    const issuerFindings = (changes: Readonly<Record<string, unknown>>) =>
      change({ capabilities, ...changes }).filter(({ member }) => member === "issuer")
    const missing = issuerFindings({ issuer: null, authorization_response_iss_parameter_supported: true })
    deepStrictEqual(missing.map(({ code, requirement }) => [code, requirement]), [
      ["ConditionalMemberMissing", undefined]
    ])
    assert.include(missing[0]?.message, "authorization_response_iss_parameter_supported")
    deepStrictEqual(issuerFindings({ issuer: null, authorization_response_iss_parameter_supported: false }), [])
    deepStrictEqual(issuerFindings({ authorization_response_iss_parameter_supported: true }), [])
    for (const supported of [false, null]) {
      deepStrictEqual(
        brief(issuerFindings({ authorization_response_iss_parameter_supported: supported })),
        ["MemberUnexpected issuer"]
      )
    }
  })

  it("values of a list that SMART does not use have one finding each, in their order", () => {
    const listed = (member: string, values: ReadonlyArray<string>) =>
      change({ [member]: values }).filter((finding) => finding.member === member)
        .flatMap(({ message }) => /lists (\S+?),/.exec(message)?.[1] ?? [])
    deepStrictEqual(
      listed("grant_types_supported", ["password", "authorization_code", "urn:a:b", "implicit", "refresh_token"]),
      ["implicit", "password"]
    )
    deepStrictEqual(
      listed("token_endpoint_auth_methods_supported", [
        "tls_client_auth",
        "private_key_jwt",
        "client_secret_basic",
        "none"
      ]),
      ["none", "tls_client_auth"]
    )
    deepStrictEqual(
      listed("token_endpoint_auth_signing_alg_values_supported", [
        ...["none", "RS384", "HS512", "XHS256", "HS256-x", "nonesuch", "HS256", "NONE"]
      ]),
      ["HS256", "HS512", "NONE", "none"]
    )
  })

  it("[SMART-232] the FHIR base URL must be https", () => {
    const insecure = Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)("http://ehr.example.com/fhir")
    const finding = one(Conformance.findings(SmartConfiguration.fromDocument(insecure, conformant)))
    deepStrictEqual([finding.code, finding.severity, finding.requirement], ["EndpointInsecure", "error", "232"])
  })

  it("[SMART-1] with allowInsecureLocalhost, http to a loopback host is information, and the advice says that it is used", () => {
    const loopback = Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)("http://127.0.0.1:8080/fhir")
    const configuration = SmartConfiguration.fromDocument(loopback, {
      ...conformant,
      token_endpoint: "http://localhost:8080/token",
      issuer: "http://localhost:8080",
      introspection_endpoint: "http://ehr.example.com/introspect"
    })
    const insecure = (options?: { readonly allowInsecureLocalhost?: boolean }) =>
      Conformance.findings(configuration, options).filter(({ code }) =>
        code === "EndpointInsecure" || code === "IssuerUnfit"
      )
    deepStrictEqual(
      insecure({ allowInsecureLocalhost: true }).map(({ member, severity }) => [member, severity]),
      [
        ["issuer", "information"],
        [undefined, "information"],
        ["token_endpoint", "information"],
        ["introspection_endpoint", "error"]
      ]
    )
    deepStrictEqual(
      insecure({ allowInsecureLocalhost: true }).map(({ advice }) => /does not use it/.test(advice)),
      [false, false, false, true]
    )
    for (const options of [undefined, { allowInsecureLocalhost: false }]) {
      deepStrictEqual(insecure(options).map(({ severity }) => severity), ["warning", "warning", "warning", "error"])
    }
  })
})

describe("capabilities", () => {
  const capabilities = (...names: ReadonlyArray<string>) => change({ capabilities: names, issuer: null })

  it("accepts full URIs of any organization, and simple names of HL7 only", () => {
    const standard = conformant["capabilities"]
    assert(Array.isArray(standard))
    deepStrictEqual(brief(change({ capabilities: [...standard, "https://sdo.example.org/new", "urn:x:new"] })), [])
    const finding = one(change({ capabilities: [...standard, "example\u001b[31m-new"] }))
    deepStrictEqual([finding.code, finding.severity], ["CapabilityUnknown", "information"])
    assert(!finding.message.includes("\u001b"))
  })

  it("gives the current name of an old capability", () => {
    const legacy = change({
      capabilities: ["context-passthrough-banner", "context-passthrough-style", "single-sign-on"]
    }).filter(({ code }) => code === "CapabilityLegacy")
    deepStrictEqual(legacy.map(({ advice }) => advice), [
      "its name is context-banner now",
      "its name is context-style now",
      "its name is sso-openid-connect now"
    ])
  })

  it("reports launch context without the launch that it applies to", () => {
    const found = capabilities("launch-ehr", "context-standalone-patient", "context-banner")
    assert(
      found.some(({ code, message }) =>
        code === "CapabilityInconsistent" && message.startsWith("context-standalone-patient")
      )
    )
    assert(
      !found.some(({ code, message }) => code === "CapabilityInconsistent" && message.startsWith("context-banner"))
    )
  })

  it("[SMART-346] a server with a launch satisfies at least one capability set", () => {
    const sets = (names: ReadonlyArray<string>) =>
      capabilities(...names).filter(({ code }) => code === "CapabilitySetMissing")
    const finding = one(
      sets(["launch-ehr", "client-confidential-asymmetric", "context-ehr-patient", "permission-patient"])
    )
    deepStrictEqual([finding.severity, finding.requirement], ["warning", "346"])
    deepStrictEqual(sets(["launch-ehr", "client-public", "context-ehr-patient", "permission-patient"]), [])
    deepStrictEqual(sets(["client-confidential-asymmetric"]), [])
  })

  it("[SMART-383] reports an authorization endpoint without a launch", () => {
    assert(brief(capabilities("client-public")).includes("CapabilityMissing capabilities"))
  })
})

describe("servers", () => {
  it.each(servers)("$name: $statement", ({ document, fhirBaseUrl, findings, works }) => {
    const configuration = SmartConfiguration.fromDocument(
      Schema.decodeSync(FhirBaseUrl.FhirBaseUrl)(fhirBaseUrl),
      document
    )
    deepStrictEqual(
      Object.entries(PREDICATES).flatMap(([name, isSupported]) => isSupported(configuration) ? [name] : []),
      [...works]
    )
    deepStrictEqual(
      brief(Conformance.findings(configuration).filter(({ code }) => code !== "RecommendedMemberMissing")),
      [
        ...findings
      ]
    )
  })
})

describe("stability", () => {
  const documents = FastCheck.constantFrom(...servers.map(({ document }) => document))

  it("findings do not depend on the order of members", () => {
    FastCheck.assert(FastCheck.property(
      documents.chain((document) =>
        FastCheck.tuple(
          FastCheck.constant(document),
          FastCheck.shuffledSubarray(Object.keys(document), { minLength: Object.keys(document).length })
        )
      ),
      ([document, order]) => {
        const shuffled = Object.fromEntries(order.map((member) => [member, document[member]]))
        deepStrictEqual(findingsOf(shuffled), findingsOf(document))
      }
    ))
  })

  it("findings do not depend on the order of capabilities", () => {
    FastCheck.assert(FastCheck.property(documents, FastCheck.func(FastCheck.integer()), (document, weight) => {
      const capabilities = document["capabilities"]
      if (!Array.isArray(capabilities)) return
      const order = [...capabilities].sort((a, b) => weight(a) - weight(b))
      deepStrictEqual(findingsOf({ ...document, capabilities: order }), findingsOf(document))
    }))
  })

  it("every value of a known member leads to findings with message and advice", () => {
    const members = Object.keys(conformant)
    FastCheck.assert(FastCheck.property(
      FastCheck.dictionary(FastCheck.constantFrom(...members), FastCheck.jsonValue()),
      (changes) => {
        for (const { advice, code, message } of change(changes)) {
          assert(code !== undefined && message !== "" && advice !== "")
        }
      }
    ))
  })
})
