/** oauth4webapi 3 as in its examples, over the fetch of Node. */
import { importJWK } from "jose"
import * as oauth from "oauth4webapi"

const insecure = { [oauth.allowInsecureRequests]: true }

export const make = async (setting) => {
  const server = (tokenEndpoint) => ({
    issuer: setting.origin,
    authorization_endpoint: setting.authorizationEndpoint,
    token_endpoint: tokenEndpoint,
    token_endpoint_auth_signing_alg_values_supported: ["RS384", "ES384"]
  })
  const app = server(setting.tokenEndpoint)
  const backend = server(setting.backendTokenEndpoint)
  const client = { client_id: setting.clientId }
  const signer = async (alg) =>
    oauth.PrivateKeyJwt({ key: await importJWK(setting.keys[alg], alg), kid: setting.keys[alg].kid })
  const signing = await signer("RS384")
  const signingElliptic = await signer("ES384")
  const scope = setting.scopes.join(" ")
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const exchange = (authentication) => async () => {
    const callback = new URL(`${setting.redirectUri}?code=${setting.code}&state=${state}`)
    const parameters = oauth.validateAuthResponse(app, client, callback, state)
    const response = await oauth.authorizationCodeGrantRequest(
      app,
      client,
      authentication,
      parameters,
      setting.redirectUri,
      verifier,
      insecure
    )
    return oauth.processAuthorizationCodeResponse(app, client, response)
  }
  const patient = `${setting.fhirBaseUrl}/Patient/${setting.patientId}`
  return {
    "authorization-url": async () => {
      const url = new URL(app.authorization_endpoint)
      url.searchParams.set("client_id", client.client_id)
      url.searchParams.set("redirect_uri", setting.redirectUri)
      url.searchParams.set("response_type", "code")
      url.searchParams.set("scope", scope)
      url.searchParams.set("state", oauth.generateRandomState())
      url.searchParams.set("aud", setting.fhirBaseUrl)
      url.searchParams.set(
        "code_challenge",
        await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier())
      )
      url.searchParams.set("code_challenge_method", "S256")
      return url
    },
    "discovery-cold": async () => {
      const issuer = new URL(setting.origin)
      return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
    },
    "exchange-public": exchange(oauth.None()),
    "exchange-basic": exchange(oauth.ClientSecretBasic(setting.clientSecret)),
    "assertion-RS384": () => signing(backend, client, new URLSearchParams(), new Headers()),
    "assertion-ES384": () => signingElliptic(backend, client, new URLSearchParams(), new Headers()),
    "client-credentials": async () => {
      const parameters = new URLSearchParams({ scope: "system/*.rs" })
      const response = await oauth.clientCredentialsGrantRequest(backend, client, signing, parameters, insecure)
      return oauth.processClientCredentialsResponse(backend, client, response)
    },
    "fhir-get": async () => {
      const response = await oauth.protectedResourceRequest(
        setting.accessToken,
        "GET",
        new URL(patient),
        new Headers({ accept: "application/fhir+json" }),
        null,
        insecure
      )
      if (response.status !== 200) throw new Error(`status ${response.status}`)
      return response.json()
    }
  }
}
