import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { FhirBaseUrl } from "effect-safire"
import { fromDocument } from "../../src/udap/UdapMetadata.js"
import { FHIR_BASE } from "./artefacts.js"
import type { Json } from "./server.js"
import { document } from "./server.js"

/** The metadata of a document with a change; `undefined` removes a member. The endpoints are signed. */
const metadataOf = (change: Json, unsigned: Json = {}) => {
  const plain = Object.fromEntries(
    Object.entries({ ...document, ...change }).filter(([, value]) => value !== undefined)
  )
  const endpoints = Object.fromEntries(Object.entries(plain).filter(([member]) => member.endsWith("_endpoint")))
  return fromDocument({ ...plain, ...unsigned }, {
    fhirBaseUrl: Either.getOrThrow(FhirBaseUrl.parse(FHIR_BASE)),
    claims: endpoints,
    community: "urn:example:community",
    certificatePath: [],
    trustedUntil: 0
  })
}

/** Code, member and requirement of each finding. */
const findings = (change: Json): Array<string> =>
  metadataOf(change).conformance().map(({ code, member, requirement }) => `${code} ${member} ${requirement}`)

describe("UdapMetadata", () => {
  it("a server supports what its profiles, grant types and endpoints have together", () => {
    const supports = (change: Json) => {
      const found = metadataOf(change)
      return [
        found.supportsRegistration,
        found.supportsAuthentication,
        found.supportsAuthorizationCode,
        found.supportsClientCredentials,
        found.supportsTieredOAuth
      ]
    }
    const profiles = ["udap_dcr", "udap_authn", "udap_authz", "udap_to"]
    assert.deepStrictEqual(supports({ udap_profiles_supported: profiles }), [true, true, true, true, true])
    assert.deepStrictEqual(supports({ udap_profiles_supported: undefined }), [false, false, true, false, false])
    assert.deepStrictEqual(
      supports({ udap_profiles_supported: profiles, grant_types_supported: undefined }),
      [true, true, false, false, false]
    )
    assert.deepStrictEqual(
      supports({ udap_profiles_supported: profiles, grant_types_supported: ["client_credentials"] }),
      [true, true, false, true, false]
    )
    assert.deepStrictEqual(
      supports({ udap_profiles_supported: profiles, authorization_endpoint: undefined }),
      [true, true, false, true, false]
    )
    assert.deepStrictEqual(supports({ udap_profiles_supported: ["udap_to"] }), [false, false, true, false, true])
  })

  it("[UDAP-47] an unsigned endpoint is not used, and is a warning", () => {
    const found = metadataOf({}, { introspection_endpoint: "https://auth.example.org/introspect", vendor: 1 })
    assert.strictEqual(found.tokenEndpoint, document["token_endpoint"])
    assert.strictEqual(found.registrationEndpoint, document["registration_endpoint"])
    assert.deepStrictEqual(found.unsignedEndpoints, ["introspection_endpoint"])
    assert.deepStrictEqual(found.extensions, { vendor: 1 })
    assert.deepStrictEqual(
      found.conformance().map(({ code, member, severity }) => [code, member, severity]),
      [["EndpointUnsigned", "introspection_endpoint", "warning"]]
    )
  })
})

describe("UdapMetadata.conformance", () => {
  it("has no findings for metadata that follow the rules", () => {
    assert.deepStrictEqual(findings({}), [])
    assert.deepStrictEqual(findings({ scopes_supported: ["openid"] }), [])
    assert.deepStrictEqual(
      findings({
        udap_authorization_extensions_supported: [],
        udap_authorization_extensions_required: undefined,
        udap_certifications_supported: ["https://example.org/certification"],
        udap_certifications_required: [],
        udap_profiles_supported: ["udap_dcr", "udap_authn", "udap_to"],
        grant_types_supported: ["authorization_code"]
      }),
      []
    )
  })

  const rules: ReadonlyArray<readonly [title: string, change: Json, found: Array<string>]> = [
    ["[UDAP-22] versions are missing", { udap_versions_supported: undefined }, [
      "MemberMissing udap_versions_supported UDAP-22"
    ]],
    ["[UDAP-22] versions are other than 1", { udap_versions_supported: ["1", "2"] }, [
      "ValueUnexpected udap_versions_supported UDAP-22"
    ]],
    ["[UDAP-22] versions are a text", { udap_versions_supported: "1" }, [
      "MemberMalformed udap_versions_supported UDAP-22"
    ]],
    ["[UDAP-23] profiles are missing", { udap_profiles_supported: undefined }, [
      "MemberMissing udap_profiles_supported UDAP-23"
    ]],
    ["[UDAP-24] registration is missing", { udap_profiles_supported: ["udap_authn", "udap_authz"] }, [
      "ValueMissing udap_profiles_supported UDAP-24"
    ]],
    ["[UDAP-25] authentication is missing", { udap_profiles_supported: ["udap_dcr", "udap_authz"] }, [
      "ValueMissing udap_profiles_supported UDAP-25"
    ]],
    ["[UDAP-26] client credentials have no profile", { udap_profiles_supported: ["udap_dcr", "udap_authn"] }, [
      "ValueMissing udap_profiles_supported UDAP-26"
    ]],
    ["[UDAP-26] the profile of client credentials stands without them", {
      grant_types_supported: ["authorization_code"]
    }, ["ValueUnexpected udap_profiles_supported UDAP-26"]],
    ["[UDAP-27] Tiered OAuth stands without the scope udap", {
      udap_profiles_supported: ["udap_dcr", "udap_authn", "udap_authz", "udap_to"],
      scopes_supported: ["openid"]
    }, ["ValueMissing scopes_supported UDAP-27"]],
    ["[UDAP-28] extensions are missing", {
      udap_authorization_extensions_supported: undefined,
      udap_authorization_extensions_required: undefined
    }, ["MemberMissing udap_authorization_extensions_supported UDAP-28"]],
    ["[UDAP-30] required extensions are missing", { udap_authorization_extensions_required: undefined }, [
      "MemberMissing udap_authorization_extensions_required UDAP-30"
    ]],
    ["[UDAP-31] required extensions stand without supported ones", {
      udap_authorization_extensions_supported: [],
      udap_authorization_extensions_required: []
    }, ["MemberUnexpected udap_authorization_extensions_required UDAP-31"]],
    ["[UDAP-32] an extension is required and not supported", { udap_authorization_extensions_required: ["x"] }, [
      "ValueUnexpected udap_authorization_extensions_required UDAP-32"
    ]],
    ["[UDAP-33] certifications are missing", { udap_certifications_supported: undefined }, [
      "MemberMissing udap_certifications_supported UDAP-33"
    ]],
    ["[UDAP-33] a certification is not a URI", {
      udap_certifications_supported: ["gold"],
      udap_certifications_required: []
    }, ["ValueUnexpected udap_certifications_supported UDAP-33"]],
    ["[UDAP-34] required certifications are missing", { udap_certifications_supported: ["urn:a"] }, [
      "MemberMissing udap_certifications_required UDAP-34"
    ]],
    ["[UDAP-35] a certification is required and not supported", {
      udap_certifications_supported: ["urn:a"],
      udap_certifications_required: ["urn:b"]
    }, ["ValueUnexpected udap_certifications_required UDAP-35"]],
    ["[UDAP-36] grant types are missing", { grant_types_supported: undefined }, [
      "MemberMissing grant_types_supported UDAP-36"
    ]],
    ["[UDAP-36] grant types are empty", {
      grant_types_supported: [],
      udap_profiles_supported: ["udap_dcr", "udap_authn"],
      authorization_endpoint: undefined
    }, ["ValueMissing grant_types_supported UDAP-36"]],
    ["[UDAP-37] refresh tokens stand without the code grant", {
      grant_types_supported: ["refresh_token", "client_credentials"],
      authorization_endpoint: undefined
    }, ["ValueUnexpected grant_types_supported UDAP-37"]],
    ["[UDAP-38] the code grant has no endpoint", { authorization_endpoint: undefined }, [
      "MemberMissing authorization_endpoint UDAP-38"
    ]],
    ["[UDAP-39] an authorization endpoint stands without the code grant", {
      grant_types_supported: ["client_credentials"]
    }, ["MemberUnexpected authorization_endpoint UDAP-39"]],
    ["scopes are missing", { scopes_supported: undefined }, ["MemberMissing scopes_supported UDAP-STU2-2.2"]],
    ["[UDAP-22] versions are empty", { udap_versions_supported: [] }, [
      "ValueMissing udap_versions_supported UDAP-22"
    ]],
    ["[UDAP-22] the only version is 2", { udap_versions_supported: ["2"] }, [
      "ValueUnexpected udap_versions_supported UDAP-22"
    ]],
    ["[UDAP-24] [UDAP-25] profiles are empty", { udap_profiles_supported: [] }, [
      "ValueMissing udap_profiles_supported UDAP-23"
    ]],
    ["[UDAP-27] scopes are empty, and Tiered OAuth is listed", {
      udap_profiles_supported: ["udap_dcr", "udap_authn", "udap_authz", "udap_to"],
      scopes_supported: []
    }, ["ValueMissing scopes_supported UDAP-STU2-2.2"]],
    ["[UDAP-30] supported extensions are malformed, and some are required", {
      udap_authorization_extensions_supported: "hl7-b2b"
    }, ["MemberMalformed udap_authorization_extensions_supported UDAP-28"]],
    ["[UDAP-20] [UDAP-30] required extensions are a text", { udap_authorization_extensions_required: "hl7-b2b" }, [
      "MemberMalformed udap_authorization_extensions_required UDAP-20",
      "MemberMissing udap_authorization_extensions_required UDAP-30"
    ]],
    ["[UDAP-22] versions are missing, and scopes are a text", {
      udap_versions_supported: undefined,
      scopes_supported: "openid"
    }, ["MemberMalformed scopes_supported UDAP-STU2-2.2", "MemberMissing udap_versions_supported UDAP-22"]],
    ["[UDAP-23] profiles are missing, and there are no client credentials", {
      udap_profiles_supported: undefined,
      grant_types_supported: ["authorization_code"]
    }, ["MemberMissing udap_profiles_supported UDAP-23"]],
    ["[UDAP-33] one of two certifications is not a URI", {
      udap_certifications_supported: ["urn:a", "gold"],
      udap_certifications_required: ["urn:a"]
    }, ["ValueUnexpected udap_certifications_supported UDAP-33"]],
    ["[UDAP-41] clients may authenticate in other ways", {
      token_endpoint_auth_methods_supported: ["private_key_jwt", "client_secret_basic"]
    }, ["ValueUnexpected token_endpoint_auth_methods_supported UDAP-41"]],
    ["[UDAP-42] algorithms of the token endpoint are empty", { token_endpoint_auth_signing_alg_values_supported: [] }, [
      "ValueMissing token_endpoint_auth_signing_alg_values_supported UDAP-42"
    ]],
    ["[UDAP-44] algorithms of registration are missing", {
      registration_endpoint_jwt_signing_alg_values_supported: undefined
    }, ["MemberMissing registration_endpoint_jwt_signing_alg_values_supported UDAP-44"]],
    ["[UDAP-20] a list has other things than texts", { scopes_supported: ["openid", 7] }, [
      "MemberMalformed scopes_supported UDAP-STU2-2.2"
    ]]
  ]
  for (const [title, change, found] of rules) {
    it(`${title}: one finding`, () => assert.deepStrictEqual(findings(change), found))
  }
})
