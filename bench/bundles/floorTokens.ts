/**
 * The floor beneath the launch, see `floor.ts`: the code exchange of a public client and its response.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import { ConformanceWarning, ConformanceWarnings, reportSafely } from "../../src/base/ConformanceWarning.js"
import { eitherOnDefect } from "../../src/base/FailOnDefect.js"
import * as HttpStatus from "../../src/base/HttpStatus.js"
import { isJsonObject, type JsonObject, parseJson, reader, withoutDeepMembers } from "../../src/base/JsonReader.js"
import * as MediaType from "../../src/base/MediaType.js"
import { construct, later } from "../../src/base/SchemaFields.js"
import * as Url from "../../src/base/Url.js"
import { HttpLimits } from "../../src/http/HttpLimits.js"
import * as OAuthError from "../../src/http/OAuthError.js"
import { errorFields, type ReceivedResponse } from "../../src/http/ReceivedResponse.js"
import { safeText } from "../../src/http/Redaction.js"
import * as TransportFailure from "../../src/http/TransportFailure.js"
import type { PendingAuthorization } from "../../src/launch/PendingAuthorization.js"
import * as Scopes from "../../src/launch/Scopes.js"
import { extensionsOf, fromMembers, type Warn } from "../../src/token/LaunchContext.js"
import { TokenError } from "../../src/token/TokenError.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import { retry, send } from "./floorSend.js"

const ignore = () => undefined

const oauthErrorIn = (members: JsonObject): OAuthError.OAuthError | undefined => {
  const found = OAuthError.fromJson(members)
  return found.error === undefined ? undefined : found
}

/** The OAuth error in the JSON object, in a form, or in the `WWW-Authenticate` header. */
const oauthErrorOf = ({ body, headers }: ReceivedResponse, members: JsonObject | undefined) => {
  const inMembers = members && oauthErrorIn(members)
  if (inMembers !== undefined) return inMembers
  if (body.startsWith("error=")) return oauthErrorIn(Object.fromEntries(new URLSearchParams(body)))
  const challenge = headers["www-authenticate"] ?? ""
  return oauthErrorIn(Object.fromEntries(
    ["error", "error_description", "error_uri"].map((
      name
    ) => [name, new RegExp(`\\b${name}="([^"]*)"`, "i").exec(challenge)?.[1]])
  ))
}

const expiryOf = ({ expires_in: raw }: JsonObject, now: DateTime.Utc, warn: Warn): DateTime.Utc | undefined => {
  const seconds = typeof raw === "string" && /^\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw
  const consequence = "the token is used until the server refuses it"
  if (seconds === undefined || seconds === null) {
    warn("ExpiresInMissing", `expires_in is missing; ${consequence}`, "112")
    return undefined
  }
  if (typeof seconds !== "number" || !(seconds > 0) || seconds > 315_360_000) {
    warn("ExpiresInNotNumber", `expires_in is not a usable number of seconds; ${consequence}`)
    return undefined
  }
  if (seconds !== raw) warn("ExpiresInNotNumber", "expires_in is a string; it was read as a number")
  return later(now, Math.max(1, Math.floor(seconds)) * 1000)
}

const scopesOf = ({ scope }: JsonObject, requested: ReadonlyArray<string>, warn: Warn): ReadonlyArray<string> => {
  if (typeof scope === "string") return scope.split(/\s/).filter((one) => one !== "")
  if (Array.isArray(scope) && scope.every((one): one is string => typeof one === "string")) {
    warn("ScopeNotString", "scope is an array; it was read as a list of scopes", "78")
    return scope
  }
  warn("ScopeMissing", "scope is missing; the requested scopes count as granted (RFC 6749, section 5.1)", "78")
  return requested
}

const compareScopes = (requested: ReadonlyArray<string>, tokens: TokenSet, warn: Warn): void => {
  const names = new Set(tokens.scopes)
  const isFulfilled = (scope: string): boolean =>
    names.has(scope) || (/^(offline|online)_access$/.test(scope) && tokens.refreshToken !== undefined) ||
    (scope === "openid" && tokens.idToken !== undefined) ||
    (scope === "launch/patient" && tokens.context.patient !== undefined) ||
    (scope === "launch/encounter" && tokens.context.encounter !== undefined) || scope === "launch"
  const missing = Scopes.notGranted(
    Scopes.parse(tokens.scopes.slice(0, 1_000)),
    Scopes.parse(requested.filter((scope) => !isFulfilled(scope)))
  )
  if (missing.length === 0) return
  const shown = safeText(Scopes.print(missing), [], 200)
  warn("ScopeNotGranted", `of the requested scopes, the server did not grant ${shown}`)
}

/** The tokens in a response, or the error; of a response that cannot be used, only the names of its members. */
const parse = (
  response: ReceivedResponse,
  { fhirBaseUrl, scopes: requested, server, verifier }: PendingAuthorization,
  code: Redacted.Redacted,
  now: DateTime.Utc,
  warn: Warn
): Either.Either<TokenSet, TokenError> => {
  const { body, headers, status } = response
  const json = parseJson(body)?.value
  const received = isJsonObject(json) ? json : undefined
  const tokens = reader(received ?? {}, ignore)
  const secrets = () => [
    Redacted.value(code),
    Redacted.value(verifier),
    ...["access_token", "refresh_token", "id_token"].flatMap((name) => tokens.string(name) ?? [])
  ]
  const isSuccess = HttpStatus.isSuccess(status)
  const oauthError = oauthErrorOf(response, received)
  const type = MediaType.of(headers) ?? "no content type"
  const shownType = () => safeText(type, secrets(), 60).toLowerCase()
  const fail = (fields: Pick<TokenError, "reason" | "detail" | "processed">) => {
    const accessToken = isSuccess ? tokens.redacted("access_token") : undefined
    const refreshToken = isSuccess ? tokens.redacted("refresh_token") : undefined
    return Either.left(
      new TokenError({
        ...errorFields(response, DateTime.toEpochMillis(now)),
        ...OAuthError.redacted(oauthError ?? {}, secrets()),
        ...fields,
        operation: "exchangeCode",
        server,
        received: oauthError === undefined && received !== undefined
          ? Object.keys(received).slice(0, 20).map((name) => safeText(name, secrets(), 60))
          : undefined,
        issued: accessToken === undefined && refreshToken === undefined ? undefined : { accessToken, refreshToken }
      })
    )
  }
  const unusable = (detail: string, reason: TokenError["reason"] = "Malformed") =>
    fail({ reason, detail, processed: "unknown" })

  if (!isSuccess || received === undefined || oauthError !== undefined) {
    const isUnavailable = HttpStatus.isTransient(status) || status >= 500
    const isUnknown = oauthError === undefined && isSuccess || isUnavailable && status !== 429 && status !== 503
    return fail({
      reason: isUnavailable ? "Unavailable" : oauthError !== undefined || status >= 400 ? "Refused" : "Malformed",
      detail: `HTTP status ${status}${oauthError === undefined ? `, without an OAuth error (${shownType()})` : ""}`,
      processed: isUnknown ? "unknown" : "no"
    })
  }
  if (!MediaType.isJson(type)) {
    warn("TokenContentType", `the content type of the exchangeCode response is ${shownType()}`)
  }
  const malformed = (member: string, expected: string) =>
    warn("TokenMemberMalformed", `${safeText(member, secrets(), 60)} is not ${expected}; it counts as absent`)
  const members = withoutDeepMembers(received, malformed)
  const read = reader(members, malformed)
  const accessToken = read.redacted("access_token")
  if (accessToken === undefined) return unusable("the response has no usable access_token")
  const tokenType = read.string("token_type")
  if (tokenType === undefined) warn("TokenTypeMissing", "token_type is missing; Bearer is assumed", "75")
  else if (tokenType.toLowerCase() !== "bearer") {
    return unusable(`token_type is "${safeText(tokenType, secrets(), 40)}"`, "UnsupportedTokenType")
  }
  const refreshToken = read.redacted("refresh_token")
  const idToken = read.redacted("id_token")
  const context = fromMembers(members, warn)
  const scopes = scopesOf(members, requested, warn)
  if (context.patient === undefined && scopes.some((scope) => /^(patient\/|launch\/patient$)/.test(scope))) {
    warn("PatientMissing", "patient scopes were granted but no patient is in context", "164")
  }
  const found = construct(TokenSet, {
    version: 1,
    fhirBaseUrl,
    accessToken,
    receivedAt: now,
    expiresAt: expiryOf(members, now, warn),
    scopes,
    refreshToken,
    idToken,
    context,
    extensions: Redacted.make(extensionsOf(members))
  })
  compareScopes(requested, found, warn)
  return Either.right(found)
}

const requests = Metric.counter("effect_safire_token_requests_total", {
  description: "Requests to token, introspection and revocation endpoints, by operation and result",
  incremental: true
}).pipe(Metric.tagged("operation", "exchangeCode"))

const count = (result: string) => Metric.increment(Metric.tagged(requests, "result", result))

export const exchangeCode = (
  pending: PendingAuthorization,
  clientId: string,
  code: Redacted.Redacted,
  allowInsecureLocalhost: boolean
): Effect.Effect<TokenSet, TokenError, HttpClient.HttpClient> => {
  const { redirectUri, server, tokenEndpoint, verifier } = pending
  const form = new URLSearchParams({
    grant_type: "authorization_code",
    code: Redacted.value(code),
    redirect_uri: redirectUri,
    code_verifier: Redacted.value(verifier),
    client_id: clientId
  })
  const request = HttpClientRequest.post(tokenEndpoint, {
    body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded"),
    acceptJson: true
  })
  const errorOf = (failure: TransportFailure.TransportFailure) =>
    new TokenError({
      operation: "exchangeCode",
      server,
      ...TransportFailure.errorFields(failure, [Redacted.value(code), Redacted.value(verifier)])
    })
  const attempt = Effect.gen(function*() {
    const limits = yield* HttpLimits
    const response = yield* Effect.mapError(
      send(request, {
        timeout: limits.tokenTimeout,
        maxBytes: limits.maxResponseBytes,
        redirects: 0,
        allowInsecureLocalhost
      }),
      errorOf
    )
    const now = yield* DateTime.now
    const warnings = new Map<string, ConformanceWarning>()
    const warn: Warn = (code, detail, requirement) => {
      const warning = new ConformanceWarning({ code, server, detail, requirement })
      warnings.set(warning.message, warning)
    }
    const tokens = eitherOnDefect(() => parse(response, pending, code, now, warn), (exception) =>
      new TokenError({
        ...errorFields(response, DateTime.toEpochMillis(now)),
        reason: "Malformed",
        operation: "exchangeCode",
        server,
        detail: `HTTP status ${response.status}, with a body that cannot be read (${exception})`,
        processed: "unknown"
      }))
    const reporter = yield* ConformanceWarnings
    yield* Effect.forEach(warnings.values(), (warning) => reportSafely(reporter, warning), { discard: true })
    return yield* tokens
  }).pipe(
    Effect.tap(count("success")),
    Effect.tapError(({ reason }) => count(reason))
  )
  return retry(attempt, false).pipe(
    Effect.withSpan("TokenEndpoint.exchangeCode", {
      kind: "client",
      attributes: { "smart.server": Url.forDisplay(server) }
    })
  )
}
