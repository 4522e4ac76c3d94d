/**
 * Builds an authorization request (SMART App Launch 2.2, "Obtain authorization code"): which scopes it requests, which
 * extra parameters it may have, and what is stored until the callback arrives.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { type ConfigurationError, configurationError } from "../../base/ConfigurationError.js"
import type { ConformanceWarning } from "../../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import { construct } from "../../base/SchemaFields.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import type * as ClientAuthentication from "../../client/ClientAuthentication.js"
import * as AuthorizationPost from "../../launch/AuthorizationPost.js"
import * as AuthorizationRequest from "../../launch/AuthorizationRequest.js"
import { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import type * as Pkce from "../../launch/Pkce.js"
import * as Scopes from "../../launch/Scopes.js"
import * as Capabilities from "../../server/Capabilities.js"
import { endpoint, type SmartConfiguration } from "../../server/SmartConfiguration.js"
import type { Authorization, AuthorizeOptions, Config, ScopeInput } from "./client.js"

/** @internal */
export interface AuthorizeContext {
  readonly name: string
  readonly config: Config
  readonly clientId: Effect.Effect<string, ClientAuthentication.ClientIdError>
  readonly configuration: Effect.Effect<SmartConfiguration, ClientAuthentication.EndpointsError>
  readonly pkce: Pkce.Service
  readonly random: SecureRandom.Service
  readonly warn: (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) => Effect.Effect<void>
}

const textOf = (scope: ScopeInput): string => typeof scope === "string" ? scope : Scopes.printScope(scope)

/**
 * The scopes of one request as text; a `ConfigurationError` if they cannot be sent.
 *
 * @internal
 */
export const scopesOf = (
  { config, name }: Pick<AuthorizeContext, "config" | "name">,
  replacement: ReadonlyArray<ScopeInput> | undefined,
  added: ReadonlyArray<ScopeInput> = []
): Effect.Effect<ReadonlyArray<string>, ConfigurationError> => {
  const scopes = [...new Set([...(replacement ?? config.scopes ?? []), ...added].map(textOf))]
  if (scopes.length === 0) {
    return configurationError("Missing", ["scopes"], "configure scopes, or pass them to the call", name)
  }
  const findings = Scopes.unsendable(scopes.join(" "))
  const detail = findings.map(({ advice, scope }) => `"${scope}": ${advice}`).join("; ")
  return findings.length === 0 ? Effect.succeed(scopes) : configurationError("Invalid", ["scopes"], detail, name)
}

/** Validates the extra parameters and returns `max_age`, which the id_token is checked against. */
const maxAgeOf = (
  server: string,
  params: AuthorizeOptions["params"] = {}
): Effect.Effect<number | undefined, ConfigurationError> => {
  const reserved = Object.keys(params).filter((param) => AuthorizationRequest.reservedNames.has(param))
  const maxAge = params["max_age"]
  if (reserved.length > 0) {
    const fields = reserved.map((param) => `params.${param}`)
    return configurationError("Conflict", fields, "the client sends these parameters itself", server)
  }
  return maxAge === undefined || /^\d{1,9}$/.test(maxAge)
    ? Effect.succeed(maxAge === undefined ? undefined : Number(maxAge))
    : configurationError("Invalid", ["params.max_age"], "max_age must be a number of seconds", server)
}

/**
 * An authorization request and the `PendingAuthorization` that validates its callback. Fails if an endpoint that the
 * flow needs is missing or insecure, so that the person does not log in first.
 *
 * @internal
 */
export const buildAuthorization = (
  context: AuthorizeContext,
  options: AuthorizeOptions = {}
): Effect.Effect<Authorization, ClientAuthentication.EndpointsError | ConfigurationError> =>
  Effect.gen(function*() {
    const { config, name, random } = context
    const redirectUri = config.redirectUri
    const insecure = { allowInsecureLocalhost: config.allowInsecureLocalhost ?? false }
    if (redirectUri === undefined) {
      const detail = "an authorization request needs the registered redirect URI"
      return yield* configurationError("Missing", ["redirectUri"], detail, name)
    }
    if (options.iss !== undefined && !FhirBaseUrl.areSame(options.iss, config.fhirBaseUrl)) {
      const detail = "the launch comes from another server than the one this client is configured for"
      return yield* configurationError("Conflict", ["iss", "fhirBaseUrl"], detail, name)
    }
    const scopes = yield* scopesOf(context, options.scopes, [
      ...(options.addScopes ?? []),
      ...(options.launch === undefined ? [] : ["launch"])
    ])
    const maxAge = yield* maxAgeOf(name, options.params)
    const found = yield* context.configuration
    const authorizationEndpoint = yield* endpoint(found, "authorizationEndpoint", insecure)
    // The code goes to the token endpoint: check it before the person logs in.
    const tokenEndpoint = yield* endpoint(found, "tokenEndpoint", insecure)
    if (scopes.includes("openid") && found.jwksUri !== undefined) yield* endpoint(found, "jwksUri", insecure)
    if (found.codeChallengeMethodsSupported?.includes("S256") !== true) {
      yield* context.warn({
        code: "PkceNotAdvertised",
        detail: "S256 is not among its code_challenge_methods_supported; the request uses S256 nevertheless",
        requirement: "394"
      })
    }
    const state = yield* SecureRandom.base64Url(random, 32)
    const { challenge, verifier } = yield* context.pkce.generate
    const nonce = scopes.includes("openid") ? yield* SecureRandom.base64Url(random, 32) : undefined
    const params = AuthorizationRequest.toParams({
      clientId: yield* context.clientId,
      redirectUri,
      scopes,
      state,
      aud: config.audience ?? options.iss ?? config.fhirBaseUrl,
      codeChallenge: challenge,
      launch: options.launch,
      nonce,
      params: options.params
    })
    const url = AuthorizationRequest.toUrl(authorizationEndpoint, params)
    const isTooLong = url.href.length > (config.maxAuthorizationUrlLength ?? 2_000)
    const isPosted = options.method === "POST" ||
      (options.method !== "GET" && isTooLong && Capabilities.supportsPostAuthorization(found))
    const pending = construct(PendingAuthorization, {
      version: 1,
      server: name,
      fhirBaseUrl: config.fhirBaseUrl,
      authorizationEndpoint,
      tokenEndpoint,
      state: Redacted.make(state),
      verifier,
      nonce: nonce === undefined ? undefined : Redacted.make(nonce),
      maxAge,
      redirectUri,
      scopes,
      issuer: found.issuer,
      issuerPromised: found.authorizationResponseIssParameterSupported ?? false,
      createdAt: yield* DateTime.now
    })
    return { url, pending, post: isPosted ? AuthorizationPost.make(authorizationEndpoint, params) : undefined }
  })
