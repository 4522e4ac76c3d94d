/**
 * The same work without a library: the lower bound of the costs.
 */
import * as Jose from "jose"
import type { Dispatcher } from "undici"
import { Agent } from "undici"
import type { ContenderModule, Work } from "../harness/Contender.js"
import { jwks, NONCE, signedIdToken } from "../harness/idToken.js"
import type { Setting } from "../harness/Setting.js"
import * as Transaction from "../harness/transaction.js"

type Works = Record<string, Work>

const random = (bytes: number) => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("base64url")

const codeForm = (setting: Setting, client: Record<string, string>) =>
  new URLSearchParams({
    grant_type: "authorization_code",
    code: setting.code,
    redirect_uri: setting.redirectUri,
    code_verifier: "v".repeat(43),
    ...client
  }).toString()

const checked = (tokens: unknown): unknown => {
  if (typeof tokens !== "object" || tokens === null || !("access_token" in tokens)) throw new Error("no tokens")
  return tokens
}

const JWKS = { accept: "application/jwk-set+json, application/json;q=0.9" }
const FORM = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" }

interface Request {
  readonly url: string
  readonly method: "GET" | "POST"
  readonly headers: Record<string, string>
  readonly body?: string
}

/** The requests of the rows over a function that sends them and returns the JSON of the response. */
const requests = (setting: Setting, send: (request: Request) => Promise<unknown>): Works => {
  const entries = Transaction.requests(setting)
  const basic = Buffer.from(`${setting.clientId}:${setting.clientSecret}`).toString("base64")
  return {
    "fhir-get": () =>
      send({
        url: `${setting.fhirBaseUrl}/Patient/${setting.patientId}`,
        method: "GET",
        headers: { authorization: `Bearer ${setting.accessToken}`, accept: "application/fhir+json" }
      }),
    "fhir-search": async () => {
      let found = 0
      let url: string | undefined = `${setting.fhirBaseUrl}/Observation`
      while (url !== undefined) {
        const bundle = await send({
          url,
          method: "GET",
          headers: { authorization: `Bearer ${setting.accessToken}`, accept: "application/fhir+json" }
        }) as { readonly entry: ReadonlyArray<unknown>; readonly link: ReadonlyArray<{ readonly url: string }> }
        found += bundle.entry.length
        url = bundle.link[0]?.url
      }
      return found
    },
    "fhir-transaction": () =>
      send({
        url: setting.fhirBaseUrl,
        method: "POST",
        headers: {
          authorization: `Bearer ${setting.accessToken}`,
          accept: "application/fhir+json",
          "content-type": "application/fhir+json"
        },
        body: Transaction.encode(entries)
      }),
    "discovery-cold": () =>
      send({
        url: `${setting.fhirBaseUrl}/.well-known/smart-configuration`,
        method: "GET",
        headers: { accept: "application/json" }
      }),
    "exchange-public": () =>
      send({
        url: setting.tokenEndpoint,
        method: "POST",
        headers: FORM,
        body: codeForm(setting, { client_id: setting.clientId })
      }).then(checked),
    "exchange-basic": () =>
      send({
        url: setting.tokenEndpoint,
        method: "POST",
        headers: { ...FORM, authorization: `Basic ${basic}` },
        body: codeForm(setting, {})
      }).then(checked)
  }
}

const overFetch = async ({ url, ...init }: Request): Promise<unknown> => {
  const response = await fetch(url, { ...init, redirect: "manual" })
  if (response.status !== 200) throw new Error(`status ${response.status}`)
  return response.json()
}

const overUndici = () => {
  const agent = new Agent({ connections: 64 })
  return async ({ url, ...options }: Request): Promise<unknown> => {
    const { origin, pathname, search } = new URL(url)
    const request: Dispatcher.RequestOptions = { origin, path: pathname + search, ...options }
    const response = await agent.request(request)
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
    return response.body.json()
  }
}

const claims = (setting: Setting) => ({
  iss: setting.clientId,
  sub: setting.clientId,
  aud: setting.backendTokenEndpoint,
  exp: Math.floor(Date.now() / 1000) + 240,
  jti: random(32)
})

const josely = async (setting: Setting): Promise<Works> => {
  const signer = async (alg: "RS384" | "ES384") => {
    const key = await Jose.importJWK(setting.keys[alg], alg)
    const header = { alg, kid: setting.keys[alg].kid, typ: "JWT" }
    return () => new Jose.SignJWT(claims(setting)).setProtectedHeader(header).sign(key)
  }
  const rs384 = await signer("RS384")
  const es384 = await signer("ES384")
  const form = async (sign: () => Promise<string>, params: Record<string, string>) =>
    new URLSearchParams({
      ...params,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: await sign()
    }).toString()
  const idToken = await signedIdToken(setting)
  const keySet = Jose.createLocalJWKSet(jwks(setting) as Jose.JSONWebKeySet)
  return {
    "jwks-cold": async () => {
      const keys = await overFetch({ url: `${setting.origin}/jwks`, method: "GET", headers: JWKS })
      return Jose.createLocalJWKSet(keys as Jose.JSONWebKeySet)({ alg: "RS384", kid: setting.keys.RS384.kid })
    },
    "id-token": async () => {
      const { payload } = await Jose.jwtVerify(idToken, keySet, {
        algorithms: ["RS384"],
        issuer: setting.origin,
        audience: setting.clientId,
        requiredClaims: ["sub", "iat", "exp"]
      })
      if (payload["nonce"] !== NONCE) throw new Error("another nonce")
    },
    "assertion-RS384": () => form(rs384, {}),
    "assertion-ES384": () => form(es384, {}),
    "client-credentials": async () =>
      checked(
        await overFetch({
          url: setting.backendTokenEndpoint,
          method: "POST",
          headers: FORM,
          body: await form(rs384, { grant_type: "client_credentials", scope: "system/*.rs" })
        })
      )
  }
}

const authorizationUrl = (setting: Setting) => async () => {
  const verifier = random(32)
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))
  const url = new URL(setting.authorizationEndpoint)
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: setting.clientId,
    redirect_uri: setting.redirectUri,
    scope: setting.scopes.join(" "),
    state: random(32),
    aud: setting.fhirBaseUrl,
    code_challenge: Buffer.from(digest).toString("base64url"),
    code_challenge_method: "S256"
  }).toString()
  return { url, verifier }
}

export const make: ContenderModule["make"] = async (setting, variant): Promise<Works> => {
  switch (variant) {
    case "fetch":
      return requests(setting, overFetch)
    case "undici":
      return requests(setting, overUndici())
    case "jose":
      return josely(setting)
    default:
      return { "authorization-url": authorizationUrl(setting) }
  }
}
