/**
 * A SMART server in memory for tests of identity: its documents, its keys, and token responses with a made id_token.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ClientAuthentication, ConformanceWarning, SmartClient } from "effect-safire"
import * as jose from "jose"

export const fhirBaseUrl = "https://ehr.test/fhir"
export const issuer = "https://login.ehr.test"
export const clientId = "app-1"
export const jwksUri = `${issuer}/jwks`
export const tokenUrl = `${issuer}/token`
export const openIdUrl = `${issuer}/.well-known/openid-configuration`

export type Members = Readonly<Record<string, unknown>>

export interface Key {
  readonly alg: string
  readonly privateKey: jose.CryptoKey
  readonly jwk: jose.JWK
}

export const makeKey = (kid: string | undefined, alg = "ES256"): Effect.Effect<Key> =>
  Effect.promise(() =>
    jose.generateKeyPair(alg, { extractable: true }).then(({ privateKey, publicKey }) =>
      jose.exportJWK(publicKey).then((jwk) => ({
        alg,
        privateKey,
        jwk: { ...jwk, alg, use: "sig", ...(kid === undefined ? {} : { kid }) }
      }))
    )
  )

export const sign = (key: Key, claims: Members, header: Members = {}): Effect.Effect<string> =>
  Effect.promise(() =>
    new jose.CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
      .setProtectedHeader({ alg: key.alg, ...(key.jwk.kid === undefined ? {} : { kid: key.jwk.kid }), ...header })
      .sign(key.privateKey)
  )

export interface Server {
  /** The responses by URL: a document, a web response, or a function of the request body. Absent: 404. */
  readonly responses: Map<string, Members | (() => Response) | ((form: URLSearchParams) => Effect.Effect<Members>)>
  /** The URLs of all requests. */
  readonly urls: Array<string>
  /** The Authorization headers of all requests. */
  readonly authorizations: Array<string | undefined>
  readonly warnings: Array<ConformanceWarning.ConformanceWarning>
  readonly layer: Layer.Layer<HttpClient.HttpClient>
  readonly layerWarnings: Layer.Layer<never>
  readonly times: (url: string) => number
  readonly codes: () => ReadonlyArray<string>
}

export const smartConfiguration: Members = {
  issuer,
  jwks_uri: jwksUri,
  authorization_endpoint: `${issuer}/authorize`,
  token_endpoint: tokenUrl,
  capabilities: ["sso-openid-connect", "launch-ehr", "launch-standalone", "authorize-post"],
  code_challenge_methods_supported: ["S256"],
  grant_types_supported: ["authorization_code"]
}

export const makeServer = (keys: ReadonlyArray<jose.JWK>, changes: Members = {}): Server => {
  const responses: Server["responses"] = new Map()
  responses.set(`${fhirBaseUrl}/.well-known/smart-configuration`, { ...smartConfiguration, ...changes })
  responses.set(jwksUri, { keys })
  const urls: Array<string> = []
  const authorizations: Array<string | undefined> = []
  const warnings: Array<ConformanceWarning.ConformanceWarning> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      urls.push(url.href)
      authorizations.push(request.headers["authorization"])
      const entry = responses.get(url.href)
      const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
      const made = typeof entry === "function" ? entry(new URLSearchParams(body)) : entry
      const response = made === undefined
        ? new Response("", { status: 404 })
        : made instanceof Response
        ? made
        : Response.json(Effect.isEffect(made) ? yield* made : made)
      return HttpClientResponse.fromWeb(request, response)
    })
  )
  return {
    responses,
    urls,
    authorizations,
    warnings,
    layer: Layer.succeed(HttpClient.HttpClient, client),
    layerWarnings: Layer.succeed(ConformanceWarning.ConformanceWarnings, {
      report: (warning) => Effect.sync(() => void warnings.push(warning)),
      stream: Stream.empty
    }),
    times: (url) => urls.filter((one) => one === url).length,
    codes: () => warnings.map(({ code }) => code)
  }
}

export const config: SmartClient.Config = {
  fhirBaseUrl,
  clientId,
  redirectUri: "https://app.test/callback",
  scopes: ["openid", "fhirUser", "patient/*.rs", "offline_access"]
}

/** A client of the server. */
export const layerClient = (server: Server, changes: Partial<SmartClient.Config> = {}) =>
  SmartClient.layer({ ...config, ...changes }).pipe(
    Layer.provide(ClientAuthentication.layerPublic),
    Layer.provide(server.layer),
    Layer.provide(server.layerWarnings)
  )

/** The claims of a valid id_token. */
export const validClaims = (nonce: string | undefined): Effect.Effect<Members> =>
  Effect.map(Clock.currentTimeMillis, (millis) => ({
    iss: issuer,
    sub: "person-1",
    aud: clientId,
    iat: Math.floor(millis / 1000),
    exp: Math.floor(millis / 1000) + 300,
    fhirUser: `${fhirBaseUrl}/Practitioner/p-1`,
    ...(nonce === undefined ? {} : { nonce })
  }))

export const tokenResponse = (idToken: string | undefined, changes: Members = {}): Members => ({
  access_token: "access-1",
  token_type: "Bearer",
  expires_in: 300,
  scope: "openid fhirUser patient/*.rs offline_access",
  patient: "patient-1",
  refresh_token: "refresh-1",
  ...(idToken === undefined ? {} : { id_token: idToken }),
  ...changes
})

/** A login with the id_token that `idTokenOf` makes for the nonce of the request. */
export const login = (
  server: Server,
  idTokenOf: (nonce: string | undefined) => Effect.Effect<string | undefined>,
  options: SmartClient.AuthorizeOptions & { readonly answer?: Members | undefined } = {}
) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const { answer, ...rest } = options
    const { pending, url } = yield* client.authorize(rest)
    const idToken = yield* idTokenOf(url.searchParams.get("nonce") ?? undefined)
    server.responses.set(tokenUrl, () => Effect.succeed(tokenResponse(idToken, answer)))
    return yield* client.exchange(
      `https://app.test/callback?code=code-1&state=${url.searchParams.get("state")}`,
      pending
    )
  })
