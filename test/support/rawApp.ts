/**
 * An app that is only HTTP requests, to test a server without the library: it builds the authorization URL, posts forms
 * and reads FHIR.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as SandboxEhr from "../../src/testing/SandboxEhr.js"

/** RFC 7636, Appendix B. */
export const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
export const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

export const clientId = "sandbox-public-app"
export const redirectUri = "https://app.sandbox.test/callback"
export const state = "raw-app-state-0123456789"

export type Fields = Readonly<Record<string, string | undefined>>

export const present = (fields: Fields): ReadonlyArray<readonly [string, string]> =>
  Object.entries(fields).flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])

/** The authorization URL for scopes; `changes` replaces valid parameters. */
export const authorizationUrl = (
  scope: string,
  changes: Fields = {}
): Effect.Effect<URL, never, SandboxEhr.SandboxEhr> =>
  Effect.map(SandboxEhr.SandboxEhr, (ehr) => {
    const url = new URL(ehr.endpoints.authorization)
    url.search = new URLSearchParams(
      present({
        response_type: "code",
        client_id: clientId,
        redirect_uri: redirectUri,
        scope,
        state,
        aud: ehr.fhirBaseUrl,
        code_challenge: challenge,
        code_challenge_method: "S256",
        ...changes
      }).map(([name, value]) => [name, value])
    ).toString()
    return url
  })

export interface RawResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Readonly<Record<string, unknown>>
}

const isMembers = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Sends a request; a body that is not a JSON object reads as `{}`. */
export const send = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<RawResponse, HttpClientError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const response = yield* client.execute(request)
    const text = yield* response.text
    const value: unknown = text.startsWith("{") ? JSON.parse(text) : {}
    return { status: response.status, headers: response.headers, body: isMembers(value) ? value : {} }
  })

/** Posts a form. */
export const post = (
  url: string,
  fields: Fields,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<RawResponse, HttpClientError, HttpClient.HttpClient> =>
  send(
    HttpClientRequest.post(url, { acceptJson: true, headers }).pipe(HttpClientRequest.bodyUrlParams(present(fields)))
  )

/** Gets a URL, with a token if one is given. */
export const get = (
  url: string,
  token?: unknown
): Effect.Effect<RawResponse, HttpClientError, HttpClient.HttpClient> =>
  send(
    token === undefined
      ? HttpClientRequest.get(url)
      : HttpClientRequest.get(url).pipe(HttpClientRequest.bearerToken(String(token)))
  )

/** A code for scopes. */
export const authorize = (
  scope: string,
  options: { readonly decision?: SandboxEhr.Decision; readonly changes?: Fields } = {}
): Effect.Effect<string, SandboxEhr.SandboxError, SandboxEhr.SandboxEhr> =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const callback = yield* ehr.approve(yield* authorizationUrl(scope, options.changes), options.decision)
    return callback.searchParams.get("code") ?? ""
  })

/** Exchanges a code as the public app. */
export const exchange = (
  code: string,
  changes: Fields = {}
): Effect.Effect<RawResponse, HttpClientError, HttpClient.HttpClient | SandboxEhr.SandboxEhr> =>
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) =>
    post(ehr.endpoints.token, {
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
      client_id: clientId,
      ...changes
    }))

/** Refreshes as the public app. */
export const refresh = (
  refreshToken: unknown,
  changes: Fields = {}
): Effect.Effect<RawResponse, HttpClientError, HttpClient.HttpClient | SandboxEhr.SandboxEhr> =>
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) =>
    post(ehr.endpoints.token, {
      grant_type: "refresh_token",
      refresh_token: String(refreshToken),
      client_id: clientId,
      ...changes
    }))

/** Authorization and exchange in one. */
export const login = (
  scope: string,
  options: { readonly decision?: SandboxEhr.Decision; readonly changes?: Fields } = {}
): Effect.Effect<
  RawResponse,
  HttpClientError | SandboxEhr.SandboxError,
  HttpClient.HttpClient | SandboxEhr.SandboxEhr
> => Effect.flatMap(authorize(scope, options), (code) => exchange(code))
