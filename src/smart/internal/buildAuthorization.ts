/**
 * Sending a person to a server (SMART App Launch 2.2, "Obtain authorization code"): which scopes are asked for, what may be asked beside them, and what is
 * kept until the person returns.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import type { ConformanceWarning } from "../../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as SecureRandom from "../../base/SecureRandom.js"
import { skipValidation } from "../../base/SkipValidation.js"
import * as AuthorizationPost from "../../launch/AuthorizationPost.js"
import * as AuthorizationRequest from "../../launch/AuthorizationRequest.js"
import { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import type * as Pkce from "../../launch/Pkce.js"
import * as Scopes from "../../launch/Scopes.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import { endpoint } from "../../server/SmartConfiguration.js"
import type { Authorization, AuthorizeOptions } from "../SmartClient.js"
import type { Config, ScopeInput } from "./clientConfig.js"

/**
 * Who asks, and with what.
 *
 * @internal
 */
export interface AuthorizeContext {
  readonly name: string
  readonly config: Config
  readonly clientId: Effect.Effect<string, ConfigurationError>
  readonly configuration: Effect.Effect<SmartConfiguration, DiscoveryError>
  readonly pkce: Pkce.Service
  readonly random: SecureRandom.Service
  readonly warn: (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) => Effect.Effect<void>
}

const textOf = (scope: ScopeInput): string => typeof scope === "string" ? scope : Scopes.printScope(scope)

/** What cannot be sent as scopes at all. Odd ones are sent as they are: servers have scopes of their own. */
const UNSENDABLE: ReadonlySet<Scopes.FindingReason> = new Set(["Empty", "Spacing", "NotScopeToken", "CommaSeparated"])

/**
 * The scopes of one request, if they can be sent.
 *
 * @internal
 */
export const scopesOf = (
  { config, name }: Pick<AuthorizeContext, "config" | "name">,
  replace: ReadonlyArray<ScopeInput> | undefined,
  add: ReadonlyArray<ScopeInput> = []
): Effect.Effect<ReadonlyArray<string>, ConfigurationError> => {
  const scopes = [...new Set([...(replace ?? config.scopes ?? []), ...add].map(textOf))]
  if (scopes.length === 0) {
    return new ConfigurationError({
      reason: "Missing",
      fields: ["scopes"],
      server: name,
      detail: "say which scopes are asked for, in the configuration or in the call"
    })
  }
  const findings = Scopes.validate(scopes.join(" ")).filter(({ reason }) => UNSENDABLE.has(reason))
  return findings.length === 0 ? Effect.succeed(scopes) : new ConfigurationError({
    reason: "Invalid",
    fields: ["scopes"],
    server: name,
    detail: findings.map(({ advice, scope }) => `"${scope}": ${advice}`).join("; ")
  })
}

/** Extra parameters that are none of ours; `max_age`, if it is among them, has to be checked when the id_token comes. */
const maxAgeOf = (
  server: string,
  params: AuthorizeOptions["params"] = {}
): Effect.Effect<number | undefined, ConfigurationError> => {
  const reserved = Object.keys(params).filter((param) => AuthorizationRequest.reservedNames.has(param))
  const maxAge = params["max_age"]
  if (reserved.length === 0 && (maxAge === undefined || /^\d{1,9}$/.test(maxAge))) {
    return Effect.succeed(maxAge === undefined ? undefined : Number(maxAge))
  }
  return new ConfigurationError({
    reason: reserved.length > 0 ? "Conflict" : "Invalid",
    fields: (reserved.length > 0 ? reserved : ["max_age"]).map((param) => `params.${param}`),
    server,
    detail: reserved.length > 0 ? "these are for the client itself to send" : "max_age is a number of seconds"
  })
}

/**
 * An authorization request for `asker`, with all that its callback will be judged by. Nobody is sent to a server whose endpoints are missing or insecure.
 *
 * @internal
 */
export const buildAuthorization = (
  asker: AuthorizeContext,
  options: AuthorizeOptions = {}
): Effect.Effect<Authorization, DiscoveryError | ConfigurationError> =>
  Effect.gen(function*() {
    const { config, name, random } = asker
    const redirectUri = config.redirectUri
    const insecure = { allowInsecureLocalhost: config.allowInsecureLocalhost ?? false }
    if (redirectUri === undefined) {
      return yield* new ConfigurationError({
        reason: "Missing",
        fields: ["redirectUri"],
        server: name,
        detail: "an authorization request needs the registered redirect URI"
      })
    }
    if (options.iss !== undefined && !FhirBaseUrl.areSame(options.iss, config.fhirBaseUrl)) {
      return yield* new ConfigurationError({
        reason: "Conflict",
        fields: ["iss", "fhirBaseUrl"],
        server: name,
        detail: "the launch comes from another server than this client is configured for"
      })
    }
    const scopes = yield* scopesOf(asker, options.scopes, [
      ...(options.addScopes ?? []),
      ...(options.launch === undefined ? [] : ["launch"])
    ])
    const maxAge = yield* maxAgeOf(name, options.params)
    const found = yield* asker.configuration
    const authorizationEndpoint = yield* endpoint(found, "authorizationEndpoint", insecure)
    // The code will go there: better to know before a person has logged in.
    const tokenEndpoint = yield* endpoint(found, "tokenEndpoint", insecure)
    if (scopes.includes("openid") && found.jwksUri !== undefined) yield* endpoint(found, "jwksUri", insecure)
    if (found.codeChallengeMethodsSupported?.includes("S256") !== true) {
      yield* asker.warn({
        code: "PkceNotAdvertised",
        detail: "S256 is not among its code_challenge_methods_supported; it is sent all the same",
        requirement: "394"
      })
    }
    const state = yield* SecureRandom.base64Url(random, 32)
    const { challenge, verifier } = yield* asker.pkce.generate
    const nonce = scopes.includes("openid") ? yield* SecureRandom.base64Url(random, 32) : undefined
    const params = AuthorizationRequest.toParams({
      clientId: yield* asker.clientId,
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
      (options.method !== "GET" && isTooLong && found.supportsPostAuthorization)
    const pending = new PendingAuthorization({
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
    }, skipValidation)
    return { url, pending, post: isPosted ? AuthorizationPost.make(authorizationEndpoint, params) : undefined }
  })
