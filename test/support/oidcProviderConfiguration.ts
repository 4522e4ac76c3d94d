/**
 * The configuration of `oidc-provider` as a SMART server, with a value for each setting that it would warn about.
 */
import type { Configuration } from "oidc-provider"
import { clients } from "./oidcProviderClients.js"

/** The only user and the only patient of this server. */
export const accountId = "person-1"
export const patientId = "patient-1"

export interface Options {
  /** Without it, registration is open to all. */
  readonly initialAccessToken?: string | undefined
}

const SCOPES = [
  "openid",
  "fhirUser",
  "offline_access",
  "launch",
  "launch/patient",
  "patient/*.rs",
  "patient/*.cruds",
  "patient/Patient.rs",
  "user/*.rs",
  "system/*.rs"
]

export const configuration = (
  issuer: string,
  adapter: NonNullable<Configuration["adapter"]>,
  options: Options,
  fetch: (url: string) => Promise<Response>
): Configuration => ({
  adapter,
  clients: clients(issuer),
  cookies: { keys: ["a signing key of a test"] },
  jwks: {
    keys: [
      // The key of RFC 7515, Appendix A.3: it is public.
      {
        kty: "EC",
        crv: "P-256",
        x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        d: "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
        alg: "ES256",
        kid: "rfc7515-a3"
      }
    ]
  },
  enabledJWA: {
    clientAuthSigningAlgValues: ["RS384", "ES384"],
    idTokenSigningAlgValues: ["ES256"]
  },
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  scopes: SCOPES,
  claims: { openid: ["sub"], fhirUser: ["fhirUser"] },
  conformIdTokenClaims: false,
  responseTypes: ["code"],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  allowOmittingSingleRegisteredRedirectUri: false,
  extraParams: ["aud", "launch"],
  clientBasedCORS: () => false,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) => client.clientAuthMethod !== "none" || token.clientId === client.clientId
    },
    revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
    registration: { enabled: true, initialAccessToken: options.initialAccessToken ?? false },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: true },
    rpInitiatedLogout: { enabled: false },
    userinfo: { enabled: true }
  },
  interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
  ttl: {
    AccessToken: 600,
    AuthorizationCode: 60,
    ClientCredentials: 300,
    Grant: 3600,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 3600,
    Session: 3600
  },
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, fhirUser: `${issuer}/fhir/Patient/${patientId}` })
  }),
  extraTokenClaims: (_ctx, token) =>
    token.scope?.split(" ").some((scope) => scope === "launch/patient" || scope.startsWith("patient/")) === true
      ? { patient: patientId }
      : undefined,
  renderError: (ctx, out) => {
    ctx.body = out
  },
  // Allows the keys of a client on this machine, which the guard of the provider would refuse.
  fetch: (url) => fetch(String(url))
})

/** The metadata of the provider as a SMART configuration. */
export const smartConfiguration = (metadata: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  ...Object.fromEntries(
    [
      "issuer",
      "jwks_uri",
      "authorization_endpoint",
      "token_endpoint",
      "introspection_endpoint",
      "revocation_endpoint",
      "registration_endpoint",
      "userinfo_endpoint",
      "grant_types_supported",
      "scopes_supported",
      "response_types_supported",
      "code_challenge_methods_supported",
      "token_endpoint_auth_methods_supported",
      "token_endpoint_auth_signing_alg_values_supported",
      "authorization_response_iss_parameter_supported"
    ].map((name) => [name, metadata[name]])
  ),
  capabilities: [
    "launch-standalone",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-standalone-patient",
    "permission-offline",
    "permission-patient",
    "permission-user",
    "permission-v2"
  ]
})
