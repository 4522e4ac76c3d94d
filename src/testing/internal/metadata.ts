/**
 * The published documents of the sandbox: the SMART configuration (SMART App Launch 2.2, "Conformance"), the OpenID
 * Connect discovery document, the FHIR CapabilityStatement and the SMART style.
 *
 * @since 0.1.0
 */
import type { Sandbox } from "./sandbox.js"
import { resourceTypes } from "./syntheticData.js"

const capabilities: ReadonlyArray<string> = [
  "launch-ehr",
  "launch-standalone",
  "authorize-post",
  "client-public",
  "client-confidential-symmetric",
  "client-confidential-asymmetric",
  "sso-openid-connect",
  "context-banner",
  "context-style",
  "context-ehr-patient",
  "context-ehr-encounter",
  "context-standalone-patient",
  "context-standalone-encounter",
  "permission-offline",
  "permission-online",
  "permission-patient",
  "permission-user",
  "permission-v1",
  "permission-v2"
]

/** The scopes that the sandbox supports. */
export const scopesSupported: ReadonlyArray<string> = [
  "openid",
  "fhirUser",
  "launch",
  "launch/patient",
  "launch/encounter",
  "offline_access",
  "online_access",
  ...["patient", "user", "system"].flatMap((context) => [`${context}/*.rs`, `${context}/*.read`]),
  ...["patient", "user", "system"].flatMap((context) => resourceTypes.map((type) => `${context}/${type}.rs`))
]

const shared = (sandbox: Sandbox) => ({
  issuer: sandbox.issuer,
  jwks_uri: sandbox.endpoints.jwks,
  authorization_endpoint: sandbox.endpoints.authorization,
  token_endpoint: sandbox.endpoints.token,
  token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
  token_endpoint_auth_signing_alg_values_supported: ["RS384", "ES384"],
  scopes_supported: scopesSupported,
  response_types_supported: ["code"],
  introspection_endpoint: sandbox.endpoints.introspection,
  revocation_endpoint: sandbox.endpoints.revocation,
  code_challenge_methods_supported: ["S256"],
  ...(sandbox.issueIss ? { authorization_response_iss_parameter_supported: true } : {})
})

/** The document at `{fhir}/.well-known/smart-configuration`. */
export const smartConfiguration = (sandbox: Sandbox): Readonly<Record<string, unknown>> => ({
  ...shared(sandbox),
  grant_types_supported: ["authorization_code", "client_credentials"],
  management_endpoint: sandbox.endpoints.management,
  capabilities,
  ...sandbox.metadata
})

/** The document at `{issuer}/.well-known/openid-configuration`. */
export const openidConfiguration = (sandbox: Sandbox): Readonly<Record<string, unknown>> => ({
  ...shared(sandbox),
  userinfo_endpoint: sandbox.endpoints.userinfo,
  grant_types_supported: ["authorization_code", "refresh_token", "client_credentials"],
  response_modes_supported: ["query"],
  subject_types_supported: ["public"],
  id_token_signing_alg_values_supported: ["RS256"],
  claims_supported: ["iss", "sub", "aud", "exp", "iat", "nonce", "fhirUser"],
  request_parameter_supported: false,
  request_uri_parameter_supported: false
})

const interactions = ["read", "vread", "history-instance", "search-type", "create", "update", "patch", "delete"]

/** The document at `{fhir}/metadata`. */
export const capabilityStatement = (sandbox: Sandbox): Readonly<Record<string, unknown>> => ({
  resourceType: "CapabilityStatement",
  status: "active",
  date: "2024-01-01",
  kind: "instance",
  fhirVersion: "4.0.1",
  format: ["application/fhir+json"],
  software: { name: "effect-safire sandbox EHR" },
  implementation: { description: "Synthetic data for tests", url: sandbox.fhirBaseUrl },
  rest: [{
    mode: "server",
    security: {
      service: [{
        coding: [{
          system: "http://terminology.hl7.org/CodeSystem/restful-security-service",
          code: "SMART-on-FHIR"
        }]
      }]
    },
    interaction: [{ code: "batch" }, { code: "transaction" }],
    resource: [...resourceTypes, "Basic"].map((type) => ({
      type,
      interaction: interactions.map((code) => ({ code })),
      searchParam: [
        { name: "_id", type: "token" },
        { name: "identifier", type: "token" },
        ...(type === "Patient" || type === "Practitioner" ? [] : [{ name: "patient", type: "reference" }]),
        { name: "category", type: "token" },
        { name: "code", type: "token" }
      ]
    }))
  }]
})

/** The document behind `smart_style_url`. */
export const style: Readonly<Record<string, string>> = {
  color_background: "#ffffff",
  color_error: "#b00020",
  color_highlight: "#00568c",
  color_modal_backdrop: "#00000080",
  color_success: "#1b6e3c",
  color_text: "#1d2733",
  dim_border_radius: "4px",
  dim_font_size: "16px",
  dim_spacing_size: "16px",
  font_family_body: "system-ui, sans-serif",
  font_family_heading: "system-ui, sans-serif"
}
