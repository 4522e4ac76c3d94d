/** fhirclient 2.6, whose requests are those of node-fetch. */
import FHIR from "fhirclient"
import lib from "fhirclient/lib/lib.js"

const request = (url) => ({ headers: { host: "app.example.org", "x-forwarded-proto": "https" }, url, socket: {} })

/** Replaces the session of a web framework. */
const storageOf = (values) => ({
  get: async (key) => values.get(key),
  set: async (key, value) => void values.set(key, value),
  unset: async (key) => values.delete(key)
})

const stateOf = (setting, expiresAt) => ({
  clientId: setting.clientId,
  scope: setting.scopes.join(" "),
  redirectUri: setting.redirectUri,
  serverUrl: setting.fhirBaseUrl,
  tokenUri: setting.tokenEndpoint,
  authorizeUri: setting.authorizationEndpoint,
  key: "key",
  expiresAt,
  tokenResponse: {
    access_token: setting.accessToken,
    refresh_token: "refresh-token-0123456789abcdef",
    token_type: "Bearer",
    expires_in: 3600,
    scope: setting.scopes.join(" "),
    patient: setting.patientId
  }
})

const clientOf = (state) => FHIR(request("/"), {}, storageOf(new Map())).client(state)

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600

export const make = async (setting) => {
  const authorize = {
    iss: setting.fhirBaseUrl,
    clientId: setting.clientId,
    scope: setting.scopes.join(" "),
    redirectUri: setting.redirectUri,
    noRedirect: true
  }
  const exchange = (secret) => () => {
    const { expiresAt: _expiresAt, ...state } = stateOf(setting)
    const pending = { ...state, ...secret, tokenResponse: {}, codeVerifier: "v".repeat(43) }
    const storage = storageOf(new Map([["key", pending]]))
    return FHIR(request(`/callback?code=${setting.code}&state=key`), {}, storage).ready()
  }
  const client = clientOf(stateOf(setting, inAnHour()))
  const metadata = `${setting.fhirBaseUrl}/.well-known/smart-configuration`
  return {
    "authorization-url": () => FHIR(request("/launch"), {}, storageOf(new Map())).authorize(authorize),
    "discovery-cold": () => lib.getAndCache(metadata, undefined, true),
    "discovery-warm": () => lib.getAndCache(metadata),
    "exchange-public": exchange({}),
    "exchange-basic": exchange({ clientSecret: setting.clientSecret }),
    "fresh-token": async () => {
      await client.refreshIfNeeded()
      return client.getAuthorizationHeader()
    },
    "fhir-get": () => client.request(`Patient/${setting.patientId}`),
    stampede: {
      loop: async (callers, deadline) => {
        let stampedes = 0
        do {
          const shared = clientOf(stateOf(setting, inAnHour() - 7200))
          await Promise.all(Array.from({ length: callers }, () => shared.refreshIfNeeded()))
          stampedes++
        } while (performance.now() < deadline)
        return stampedes
      }
    }
  }
}

export const heap = {
  "a session, in memory": async () => (index) =>
    clientOf({
      clientId: "growth-chart",
      scope: "launch/patient patient/*.rs offline_access",
      redirectUri: "https://app.example.org/callback",
      serverUrl: "https://fhir.example.org/r4",
      tokenUri: "https://fhir.example.org/r4/token",
      authorizeUri: "https://fhir.example.org/r4/authorize",
      key: `key-${index}`,
      expiresAt: inAnHour(),
      tokenResponse: {
        access_token: `access-token-${index}-0123456789abcdef0123456789abcdef`,
        refresh_token: `refresh-token-${index}-0123456789abcdef`,
        token_type: "Bearer",
        expires_in: 3600,
        scope: "launch/patient patient/*.rs offline_access",
        patient: `patient-${index}`
      }
    })
}
