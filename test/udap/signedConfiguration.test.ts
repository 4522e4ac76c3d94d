import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { FhirBaseUrl, SmartConfiguration } from "effect-safire"
import { signedConfiguration } from "../../src/udap/internal/signedConfiguration.js"
import { fromDocument } from "../../src/udap/UdapMetadata.js"
import { FHIR_BASE } from "./artefacts.js"
import type { Json } from "./server.js"
import { document } from "./server.js"

const fhirBaseUrl = Either.getOrThrow(FhirBaseUrl.parse(FHIR_BASE))

const metadata = (signed: Json = {}) =>
  fromDocument(document, {
    fhirBaseUrl,
    claims: {
      token_endpoint: "https://auth.example.org/token",
      registration_endpoint: "https://auth.example.org/register",
      authorization_endpoint: "https://auth.example.org/authorize",
      ...signed
    },
    community: "urn:example:community",
    certificatePath: [],
    trustedUntil: 0
  })

const smart = (change: Partial<SmartConfiguration.SmartConfiguration> = {}) =>
  new SmartConfiguration.SmartConfiguration({ fhirBaseUrl, deviations: [], extensions: {}, ...change })

describe("the configuration of a UDAP server", () => {
  it("has the values of the UDAP metadata, also without a SMART configuration", () => {
    const found = signedConfiguration(metadata(), undefined)
    const members: Json = { ...found }
    assert.deepInclude(members, {
      fhirBaseUrl,
      deviations: [],
      authorizationEndpoint: "https://auth.example.org/authorize",
      tokenEndpoint: "https://auth.example.org/token",
      registrationEndpoint: "https://auth.example.org/register",
      introspectionEndpoint: undefined,
      revocationEndpoint: undefined,
      grantTypesSupported: document["grant_types_supported"],
      scopesSupported: document["scopes_supported"],
      tokenEndpointAuthMethodsSupported: ["private_key_jwt"],
      tokenEndpointAuthSigningAlgValuesSupported: ["RS256", "ES384"],
      codeChallengeMethodsSupported: ["S256"]
    })
    assert.deepInclude<Json>(found.extensions, {
      udap_profiles_supported: document["udap_profiles_supported"],
      udap_authorization_extensions_supported: ["hl7-b2b"],
      udap_authorization_extensions_required: ["hl7-b2b"]
    })
  })

  it("the endpoints for introspection and revocation are signed, or at the origin of the token endpoint", () => {
    const endpoints = (signed: Json, unsigned: string | undefined) => {
      const found = signedConfiguration(
        metadata(signed),
        smart({ introspectionEndpoint: unsigned, revocationEndpoint: unsigned })
      )
      return [found.introspectionEndpoint, found.revocationEndpoint]
    }
    const near = "https://auth.example.org/other"
    assert.deepStrictEqual(endpoints({}, near), [near, near])
    for (const foreign of ["https://evil.example/other", "http://auth.example.org/other", "not a URL", undefined]) {
      assert.deepStrictEqual(endpoints({}, foreign), [undefined, undefined])
    }
    const [one, two] = ["https://a.example/introspect", "https://b.example/revoke"]
    assert.deepStrictEqual(endpoints({ introspection_endpoint: one, revocation_endpoint: two }, near), [one, two])
    assert.deepStrictEqual(endpoints({ introspection_endpoint: 7, revocation_endpoint: [two] }, near), [near, near])
  })

  it("members that UDAP does not define are those of the SMART configuration", () => {
    const found = signedConfiguration(
      metadata({ vendor: 1 }),
      smart({
        codeChallengeMethodsSupported: ["plain", "S256"],
        deviations: [{ member: "a", problem: "Malformed", expected: "b" }],
        extensions: { other: 2 }
      })
    )
    assert.deepStrictEqual(found.codeChallengeMethodsSupported, ["plain", "S256"])
    assert.deepStrictEqual(found.deviations, [{ member: "a", problem: "Malformed", expected: "b" }])
    assert.deepInclude<Json>(found.extensions, { vendor: 1, other: 2 })
  })
})
