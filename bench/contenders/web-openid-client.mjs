/** A login by hand: openid-client 6 in plain node:http, with launches and sessions in memory. */
import { createServer } from "node:http"
import * as client from "openid-client"
import { logins } from "../harness/logins.mjs"

export const make = async (setting) => {
  const config = new client.Configuration(
    {
      issuer: setting.origin,
      authorization_endpoint: setting.authorizationEndpoint,
      token_endpoint: setting.tokenEndpoint,
      code_challenge_methods_supported: ["S256"]
    },
    setting.clientId,
    undefined,
    client.None()
  )
  client.allowInsecureRequests(config)
  const pending = new Map()
  const sessions = new Map()
  const cookie = (name, value) => `__Host-${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax`
  const redirect = (response, location, cookies) => {
    response.writeHead(303, { location, "set-cookie": cookies })
    response.end()
  }

  const launch = async (response) => {
    const verifier = client.randomPKCECodeVerifier()
    const state = client.randomState()
    pending.set(state, verifier)
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: setting.redirectUri,
      scope: setting.scopes.join(" "),
      state,
      aud: setting.fhirBaseUrl,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256"
    })
    redirect(response, url.href, cookie("launch", state))
  }

  const callback = async (request, response) => {
    const state = /__Host-launch=([^;]+)/.exec(request.headers.cookie ?? "")?.[1] ?? ""
    const verifier = pending.get(state)
    pending.delete(state)
    const url = new URL(request.url, setting.redirectUri)
    const tokens = await client.authorizationCodeGrant(config, url, {
      pkceCodeVerifier: verifier,
      expectedState: state
    })
    const id = client.randomState()
    sessions.set(id, tokens)
    redirect(response, "https://app.example.org/", cookie("session", id))
  }

  const server = createServer((request, response) => {
    const done = request.url.startsWith("/launch") ? launch(response) : callback(request, response)
    done.catch((cause) => {
      response.writeHead(500)
      response.end(String(cause))
    })
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { "login": await logins(server.address().port) }
}
