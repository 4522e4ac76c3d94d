/**
 * The floor beneath the launch, see `floor.ts`: the authorization request and the callback of one public client.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import { type ConfigurationError, configurationError } from "../../src/base/ConfigurationError.js"
import * as FhirBaseUrl from "../../src/base/FhirBaseUrl.js"
import { construct } from "../../src/base/SchemaFields.js"
import * as Url from "../../src/base/Url.js"
import * as AuthorizationCallback from "../../src/launch/AuthorizationCallback.js"
import { AuthorizationError } from "../../src/launch/AuthorizationError.js"
import { PendingAuthorization } from "../../src/launch/PendingAuthorization.js"
import * as Scopes from "../../src/launch/Scopes.js"
import type { DiscoveryError } from "../../src/server/DiscoveryError.js"
import type { IdTokenError } from "../../src/token/IdTokenError.js"
import type { TokenError } from "../../src/token/TokenError.js"
import type { TokenSet } from "../../src/token/TokenSet.js"
import { discovery, endpoint, warn } from "./floorMetadata.js"
import { exchangeCode } from "./floorTokens.js"

export interface Config {
  readonly fhirBaseUrl: string
  readonly clientId: string
  readonly redirectUri: string
  readonly scopes: ReadonlyArray<string>
  readonly allowInsecureLocalhost?: boolean
}

export interface Client {
  readonly authorize: (launch?: { readonly iss: string; readonly launch: string }) => Effect.Effect<
    { readonly url: URL; readonly pending: PendingAuthorization },
    ConfigurationError | DiscoveryError,
    HttpClient.HttpClient
  >
  readonly exchange: (
    callback: AuthorizationCallback.Callback,
    pending: PendingAuthorization
  ) => Effect.Effect<
    TokenSet,
    AuthorizationError | DiscoveryError | TokenError | IdTokenError,
    HttpClient.HttpClient
  >
}

const validate = (
  { allowInsecureLocalhost = false, clientId, fhirBaseUrl, redirectUri }: Config
): Effect.Effect<void, ConfigurationError> => {
  const isSecure = (url: URL) => Url.isSecure(url, allowInsecureLocalhost)
  const [base, redirect] = [FhirBaseUrl.parse(fhirBaseUrl), Url.parse(redirectUri)]
  const isInvalid = redirect === undefined || redirectUri.includes("#") || Url.hasCredentials(redirect)
  const isApp = /^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$/.test(redirect?.protocol ?? "")
  const invalid = [
    ...(Either.isLeft(base) ? ["fhirBaseUrl"] : []),
    ...(clientId === "" ? ["clientId"] : []),
    ...(isInvalid ? ["redirectUri"] : [])
  ]
  const insecure = [
    ...(Either.isRight(base) && !isSecure(new URL(base.right)) ? ["fhirBaseUrl"] : []),
    ...(isInvalid || isSecure(redirect) || isApp ? [] : ["redirectUri"])
  ]
  const name = Url.forDisplay(fhirBaseUrl)
  if (invalid.length > 0) {
    const detail = "URLs must be absolute, without fragment or credentials, and the client id not empty"
    return configurationError("Invalid", [...invalid, ...insecure], detail, name)
  }
  const detail = "only https is used; http needs a loopback host and allowInsecureLocalhost"
  return insecure.length > 0 ? configurationError("Insecure", insecure, detail, name) : Effect.void
}

const scopesOf = (
  scopes: ReadonlyArray<string>,
  server: string
): Effect.Effect<ReadonlyArray<string>, ConfigurationError> => {
  if (scopes.length === 0) {
    return configurationError("Missing", ["scopes"], "configure scopes, or pass them to the call", server)
  }
  const findings = Scopes.unsendable(scopes.join(" "))
  const detail = findings.map(({ advice, scope }) => `"${scope}": ${advice}`).join("; ")
  return findings.length === 0 ? Effect.succeed(scopes) : configurationError("Invalid", ["scopes"], detail, server)
}

const random = Effect.sync(() => Encoding.encodeBase64Url(crypto.getRandomValues(new Uint8Array(32))))

const challengeOf = (verifier: string) =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))),
    (digest) => Encoding.encodeBase64Url(new Uint8Array(digest))
  )

/** The parameters replace those of the endpoint's own query; its other ones stay. */
const urlWith = (endpoint: string, params: Readonly<Record<string, string>>): URL => {
  const url = new URL(endpoint)
  url.hash = ""
  for (const name of Object.keys(params)) url.searchParams.delete(name)
  const sent = new URLSearchParams(params).toString().replaceAll("+", "%20")
  const own = url.search.slice(1)
  url.search = own === "" ? sent : `${own}&${sent}`
  return url
}

export const make = (config: Config): Effect.Effect<Client, ConfigurationError> => {
  const { allowInsecureLocalhost = false, clientId, fhirBaseUrl, redirectUri } = config
  const configuration = discovery(fhirBaseUrl, allowInsecureLocalhost)
  const span = (name: string) => Effect.withSpan(name, { attributes: { "smart.server": fhirBaseUrl } })

  const authorize: Client["authorize"] = (launch) =>
    Effect.gen(function*() {
      if (launch !== undefined && !FhirBaseUrl.areSame(launch.iss, fhirBaseUrl)) {
        const detail = "the launch comes from another server than the one this client is configured for"
        return yield* configurationError("Conflict", ["iss", "fhirBaseUrl"], detail, fhirBaseUrl)
      }
      const added = launch === undefined ? [] : ["launch"]
      const scopes = yield* scopesOf([...new Set([...config.scopes, ...added])], fhirBaseUrl)
      const found = yield* configuration
      const authorizationEndpoint = yield* endpoint(
        fhirBaseUrl,
        found,
        "authorization_endpoint",
        allowInsecureLocalhost
      )
      const tokenEndpoint = yield* endpoint(fhirBaseUrl, found, "token_endpoint", allowInsecureLocalhost)
      const isOpenId = scopes.includes("openid")
      if (isOpenId) yield* endpoint(fhirBaseUrl, found, "jwks_uri", allowInsecureLocalhost)
      if (found.code_challenge_methods_supported?.includes("S256") !== true) {
        yield* warn(fhirBaseUrl, {
          code: "PkceNotAdvertised",
          detail: "S256 is not among its code_challenge_methods_supported; the request uses S256 nevertheless",
          requirement: "394"
        })
      }
      const [state, verifier, nonce] = [yield* random, yield* random, yield* random]
      const url = urlWith(authorizationEndpoint, {
        response_type: "code",
        client_id: clientId,
        redirect_uri: redirectUri,
        ...(launch === undefined ? {} : { launch: launch.launch }),
        scope: scopes.join(" "),
        state,
        aud: launch?.iss ?? fhirBaseUrl,
        code_challenge: yield* challengeOf(verifier),
        code_challenge_method: "S256",
        ...(isOpenId ? { nonce } : {})
      })
      const pending = construct(PendingAuthorization, {
        version: 1,
        server: fhirBaseUrl,
        fhirBaseUrl,
        authorizationEndpoint,
        tokenEndpoint,
        state: Redacted.make(state),
        verifier: Redacted.make(verifier),
        nonce: isOpenId ? Redacted.make(nonce) : undefined,
        redirectUri,
        scopes,
        issuer: found.issuer,
        issuerPromised: found.authorization_response_iss_parameter_supported ?? false,
        createdAt: yield* DateTime.now
      })
      return { url, pending }
    }).pipe(span("SmartClient.authorize"))

  const exchange: Client["exchange"] = (callback, pending) =>
    Effect.gen(function*() {
      if (!FhirBaseUrl.areSame(pending.fhirBaseUrl, fhirBaseUrl)) {
        const detail = `the launch was started with ${pending.server}`
        return yield* new AuthorizationError({ reason: "WrongServer", server: fhirBaseUrl, detail })
      }
      const now = yield* DateTime.now
      const { iss, result } = yield* AuthorizationCallback.validate(callback, pending, {
        now,
        maxAge: Duration.minutes(30)
      })
      if (iss !== undefined && pending.issuer === undefined) {
        const detail = "the callback has an iss, but neither the configuration nor the metadata has an issuer"
        yield* warn(fhirBaseUrl, { code: "IssuerUnknown", detail })
      }
      const code = yield* result
      if (!pending.scopes.includes("openid")) {
        return yield* exchangeCode(pending, clientId, code, allowInsecureLocalhost)
      }
      // Before the code is sent, which can be used only once.
      const { verify } = yield* Effect.tryPromise({
        try: () => import("./floorOpenId.js"),
        catch: () =>
          new AuthorizationError({
            reason: "ModuleUnavailable",
            server: fhirBaseUrl,
            detail: "the part of this program that verifies id_tokens could not be loaded"
          })
      })
      const jwksUri = yield* endpoint(fhirBaseUrl, yield* configuration, "jwks_uri", allowInsecureLocalhost)
      const tokens = yield* exchangeCode(pending, clientId, code, allowInsecureLocalhost)
      return yield* verify(tokens, pending, clientId, jwksUri, allowInsecureLocalhost)
    }).pipe(span("SmartClient.exchange"))

  return Effect.as(validate(config), { authorize, exchange })
}
