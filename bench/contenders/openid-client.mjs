/** openid-client 6 as in its documentation, over the fetch of Node. */
import { importJWK } from "jose"
import * as client from "openid-client"

const configuration = (setting, tokenEndpoint, authentication) => {
  const config = new client.Configuration(
    {
      issuer: setting.origin,
      authorization_endpoint: setting.authorizationEndpoint,
      token_endpoint: tokenEndpoint,
      code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_signing_alg_values_supported: ["RS384", "ES384"]
    },
    setting.clientId,
    undefined,
    authentication
  )
  client.allowInsecureRequests(config)
  return config
}

const privateKey = async (jwk, alg) => ({ key: await importJWK(jwk, alg), kid: jwk.kid })

export const make = async (setting) => {
  const app = configuration(setting, setting.tokenEndpoint, client.None())
  const confidential = configuration(setting, setting.tokenEndpoint, client.ClientSecretBasic(setting.clientSecret))
  const signing = client.PrivateKeyJwt(await privateKey(setting.keys.RS384, "RS384"))
  const signingElliptic = client.PrivateKeyJwt(await privateKey(setting.keys.ES384, "ES384"))
  const backend = configuration(setting, setting.backendTokenEndpoint, signing)
  const server = backend.serverMetadata()
  const self = { client_id: setting.clientId }
  const scope = setting.scopes.join(" ")
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const exchange = (config) => () =>
    client.authorizationCodeGrant(
      config,
      new URL(`${setting.redirectUri}?code=${setting.code}&state=${expectedState}`),
      { pkceCodeVerifier, expectedState }
    )
  const patient = `${setting.fhirBaseUrl}/Patient/${setting.patientId}`
  return {
    "authorization-url": async () => {
      const verifier = client.randomPKCECodeVerifier()
      return client.buildAuthorizationUrl(app, {
        redirect_uri: setting.redirectUri,
        scope,
        state: client.randomState(),
        aud: setting.fhirBaseUrl,
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256"
      })
    },
    "discovery-cold": () =>
      client.discovery(
        new URL(`${setting.fhirBaseUrl}/.well-known/smart-configuration`),
        setting.clientId,
        undefined,
        client.None(),
        { execute: [client.allowInsecureRequests] }
      ),
    "discovery-warm": () => app.serverMetadata(),
    "exchange-public": exchange(app),
    "exchange-basic": exchange(confidential),
    "assertion-RS384": () => signing(server, self, new URLSearchParams(), new Headers()),
    "assertion-ES384": () => signingElliptic(server, self, new URLSearchParams(), new Headers()),
    "client-credentials": () => client.clientCredentialsGrant(backend, { scope: "system/*.rs" }),
    "fhir-get": async () => {
      const response = await client.fetchProtectedResource(
        app,
        setting.accessToken,
        new URL(patient),
        "GET",
        undefined,
        new Headers({ accept: "application/fhir+json" })
      )
      if (response.status !== 200) throw new Error(`status ${response.status}`)
      return response.json()
    },
    // It stores no tokens: each caller refreshes its expired tokens.
    stampede: {
      loop: async (callers, deadline) => {
        let stampedes = 0
        do {
          await Promise.all(Array.from({ length: callers }, () => client.refreshTokenGrant(app, "refresh-token")))
          stampedes++
        } while (performance.now() < deadline)
        return stampedes
      }
    }
  }
}

export const heap = {
  "a server, configured": async () => (index) =>
    new client.Configuration(
      {
        issuer: `https://fhir-${index}.example.org/tenants/${index}`,
        authorization_endpoint: `https://fhir-${index}.example.org/tenants/${index}/authorize`,
        token_endpoint: `https://fhir-${index}.example.org/tenants/${index}/token`
      },
      `client-${index}`,
      { redirect_uris: ["https://app.example.org/callback"] },
      client.ClientSecretBasic(`secret-${index}`)
    )
}
