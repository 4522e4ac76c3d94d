/**
 * The responses of the token endpoint: the token set of a success, the JSON object of any other success, and the error
 * of every other response (RFC 6749, sections 5.1 and 5.2; SMART App Launch 2.2, "Access token response"). Pure.
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as HttpStatus from "../../base/HttpStatus.js"
import { isJsonObject, type JsonObject, parseJson, reader, withoutDeepMembers } from "../../base/JsonReader.js"
import * as MediaType from "../../base/MediaType.js"
import { construct, later } from "../../base/SchemaFields.js"
import * as Url from "../../base/Url.js"
import * as OAuthError from "../../http/OAuthError.js"
import { errorFields, type ReceivedResponse } from "../../http/ReceivedResponse.js"
import { safeText } from "../../http/Redaction.js"
import * as Scopes from "../../launch/Scopes.js"
import { extensionsOf, fromMembers, type Warn } from "../LaunchContext.js"
import { type Operation, TokenError } from "../TokenError.js"
import { scopesIn, TokenSet } from "../TokenSet.js"

export interface RequestContext {
  readonly operation: Operation
  readonly server: string
  /** The secrets of the request, which must not be in an error. */
  readonly secrets: () => ReadonlyArray<string>
  readonly now: DateTime.Utc
  /** Collects the deviations of a response that can be used. */
  readonly warn: Warn
  /** A possible cause of refused credentials, for the error. */
  readonly credentialsHint?: (() => string) | undefined
}

export type Parse<A> = (response: ReceivedResponse, context: RequestContext) => Either.Either<A, TokenError>

/** The secrets of a request and of its response: a server may repeat both in its texts. */
const secretsIn = (context: RequestContext, members: JsonObject | undefined): ReadonlyArray<string> => {
  const { string } = reader(members ?? {}, () => undefined)
  const tokens = ["access_token", "refresh_token", "id_token"].flatMap((name) => string(name) ?? [])
  return [...context.secrets(), ...tokens]
}

/** The tokens of a response that cannot be used, so that they can be revoked. */
const issuedTokens = ({ body, status }: ReceivedResponse, operation: Operation): TokenError["issued"] => {
  const isGrant = operation === "exchangeCode" || operation === "refresh" || operation === "clientCredentials"
  const json = isGrant && HttpStatus.isSuccess(status) ? parseJson(body)?.value : undefined
  if (!isJsonObject(json)) return undefined
  const { redacted } = reader(json, () => undefined)
  const accessToken = redacted("access_token")
  const refreshToken = redacted("refresh_token")
  return accessToken === undefined && refreshToken === undefined ? undefined : { accessToken, refreshToken }
}

/** The fields of every error about a response. Of its members, only the names: a value may be a token. */
const commonFields = (
  response: ReceivedResponse,
  { operation, server }: RequestContext,
  members: JsonObject | undefined,
  secrets: ReadonlyArray<string>
) => ({
  operation,
  server,
  url: safeText(Url.forDisplay(response.url), secrets),
  status: response.status,
  received: members && Object.keys(members).slice(0, 20).map((name) => safeText(name, secrets, 60)),
  issued: issuedTokens(response, operation)
})

/** The error for a response with status 2xx that cannot be used. */
export const unusable = (
  response: ReceivedResponse,
  context: RequestContext,
  detail: string,
  members?: JsonObject | undefined,
  reason: TokenError["reason"] = "Malformed"
): TokenError => {
  const fields = commonFields(response, context, members, secretsIn(context, members))
  return new TokenError({ ...fields, reason, detail, processed: "unknown" })
}

const oauthErrorIn = (members: JsonObject | undefined): OAuthError.OAuthError | undefined => {
  const found = members === undefined ? undefined : OAuthError.fromJson(members)
  return found?.error === undefined ? undefined : found
}

/** The error in a form, or in the `WWW-Authenticate` header: some servers send it only there. */
const oauthErrorElsewhere = ({ body, headers }: ReceivedResponse): OAuthError.OAuthError | undefined => {
  if (body.startsWith("error=")) return oauthErrorIn(Object.fromEntries(new URLSearchParams(body)))
  const challenge = headers["www-authenticate"]
  if (challenge === undefined) return undefined
  const names = ["error", "error_description", "error_uri"]
  return oauthErrorIn(
    Object.fromEntries(names.map((name) => [name, new RegExp(`\\b${name}="([^"]*)"`, "i").exec(challenge)?.[1]]))
  )
}

/** Accepts JSON with any content type, and an OAuth error with any status. */
export const parseMembers: Parse<JsonObject> = (response, context) => {
  const { status } = response
  const json = parseJson(response.body)?.value
  const members = isJsonObject(json) ? json : undefined
  const oauthError = oauthErrorIn(members) ?? oauthErrorElsewhere(response)
  const secrets = () => secretsIn(context, members)
  const type = MediaType.of(response.headers) ?? "no content type"
  const shownType = () => safeText(type, secrets(), 60).toLowerCase()

  if (HttpStatus.isSuccess(status) && members !== undefined && oauthError === undefined) {
    if (!MediaType.isJson(type)) {
      context.warn("TokenContentType", `the content type of the ${context.operation} response is ${shownType()}`)
    }
    return Either.right(withoutDeepMembers(members, (member, expected) => {
      const shown = safeText(member, secrets(), 60)
      context.warn("TokenMemberMalformed", `${shown} is not ${expected}; it counts as absent`)
    }))
  }

  const isUnavailable = HttpStatus.isTransient(status) || status >= 500
  const isRefused = oauthError !== undefined || status >= 400
  // 429 and 503 say that the server did not act; 408, 502, 504 and an unreadable success leave it open.
  const isUnknown = oauthError === undefined && HttpStatus.isSuccess(status) ||
    isUnavailable && status !== 429 && status !== 503
  const hint = status === 401 || oauthError?.error === "invalid_client" ? context.credentialsHint?.() ?? "" : ""
  return Either.left(
    new TokenError({
      ...errorFields(response, DateTime.toEpochMillis(context.now)),
      ...OAuthError.redacted(oauthError ?? {}, secrets()),
      ...commonFields(response, context, oauthError === undefined ? members : undefined, secrets()),
      reason: isUnavailable ? "Unavailable" : isRefused ? "Refused" : "Malformed",
      detail: `HTTP status ${status}${
        oauthError === undefined ? `, without an OAuth error (${shownType()})` : ""
      }${hint}`,
      processed: isUnknown ? "unknown" : "no"
    })
  )
}

/** Only the status counts: the body of a success has no meaning (RFC 7009, section 2.2). */
export const parseRevocation: Parse<void> = (response, context) =>
  response.status === 200 || response.status === 204
    ? Either.void
    : Either.map(parseMembers(response, context), () => undefined)

const expiryOf = ({ expires_in: raw }: JsonObject, { now, warn }: RequestContext): DateTime.Utc | undefined => {
  const seconds = typeof raw === "string" && /^\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw
  const consequence = "the token is used until the server refuses it"
  if (seconds === undefined || seconds === null) {
    warn("ExpiresInMissing", `expires_in is missing; ${consequence}`, "112")
    return undefined
  }
  // More than ten years is a date, or milliseconds, rather than a lifetime.
  if (typeof seconds !== "number" || !(seconds > 0) || seconds > 315_360_000) {
    warn("ExpiresInNotNumber", `expires_in is not a usable number of seconds; ${consequence}`)
    return undefined
  }
  if (seconds !== raw) warn("ExpiresInNotNumber", "expires_in is a string; it was read as a number")
  // With less than a second, the token would have expired on arrival.
  return later(now, Math.max(1, Math.floor(seconds)) * 1000)
}

const scopesOf = (
  { scope }: JsonObject,
  { defaultScopes: defaults, scopeMayBeOmitted = false }: GrantContext,
  warn: Warn
): ReadonlyArray<string> => {
  if (typeof scope === "string") return scopesIn(scope)
  if (Array.isArray(scope) && scope.every((one): one is string => typeof one === "string")) {
    warn("ScopeNotString", "scope is an array; it was read as a list of scopes", "78")
    return scope
  }
  // Without a requested scope, RFC 6749 requires the granted one.
  if (scope === undefined && scopeMayBeOmitted && defaults.length > 0) return defaults
  warn("ScopeMissing", "scope is missing; the requested scopes count as granted (RFC 6749, section 5.1)", "78")
  return defaults
}

/**
 * The number of granted scopes that are compared. The server chooses the length of the list, and only a warning
 * depends on it.
 */
const COMPARED_SCOPES = 1_000

/**
 * Warns if the server granted less than the request asked for or, at a refresh, more. A scope also counts as granted if
 * the response holds its effect: a refresh token, an id_token, the launch context.
 */
const compareScopes = (
  requested: ReadonlyArray<string>,
  { context, idToken, refreshToken, scopes }: TokenSet,
  { operation, warn }: RequestContext
): void => {
  // Most servers repeat the requested scopes, which need not be parsed to be compared.
  const names = new Set(scopes)
  const isFulfilled = (scope: string): boolean =>
    names.has(scope) || (/^(offline|online)_access$/.test(scope) && refreshToken !== undefined) ||
    (scope === "openid" && idToken !== undefined) ||
    (scope === "launch/patient" && context.patient !== undefined) ||
    (scope === "launch/encounter" && context.encounter !== undefined) || scope === "launch"
  const granted = scopes.slice(0, COMPARED_SCOPES)
  const unfulfilled = requested.filter((scope) => !isFulfilled(scope))
  const missing = unfulfilled.length === 0 ? [] : Scopes.notGranted(Scopes.parse(granted), Scopes.parse(unfulfilled))
  if (missing.length > 0) {
    const shown = safeText(Scopes.print(missing), [], 200)
    warn("ScopeNotGranted", `of the requested scopes, the server did not grant ${shown}`)
  }
  const added = operation === "refresh" ? granted.filter((scope) => !requested.includes(scope)) : []
  if (added.length === 0) return
  if (Scopes.notGranted(Scopes.parse(requested), Scopes.parse(added)).length > 0) {
    warn("ScopeNotNarrowed", "the refresh requested fewer scopes than the server granted")
  }
}

export interface GrantContext {
  readonly fhirBaseUrl: string | undefined
  /** The scopes that count as granted if the response does not name any. */
  readonly defaultScopes: ReadonlyArray<string>
  /** The scopes of the request. */
  readonly requestedScopes?: ReadonlyArray<string> | undefined
  /** Whether a response may omit the scopes that were requested. Default false. */
  readonly scopeMayBeOmitted?: boolean | undefined
  /** The refresh token that was sent. */
  readonly refreshToken?: Redacted.Redacted | undefined
}

export const parseTokenSet = (grant: GrantContext): Parse<TokenSet> => (response, context) =>
  Either.flatMap(parseMembers(response, context), (members) => {
    const { now, operation, warn } = context
    const { redacted, string } = reader(
      members,
      (member, expected) => warn("TokenMemberMalformed", `${member} is not ${expected}; it counts as absent`)
    )
    const fail = (detail: string, reason?: TokenError["reason"]) =>
      Either.left(unusable(response, context, detail, members, reason))

    const accessToken = redacted("access_token")
    if (accessToken === undefined) return fail("the response has no usable access_token")
    const tokenType = string("token_type")
    if (tokenType === undefined) warn("TokenTypeMissing", "token_type is missing; Bearer is assumed", "75")
    else if (tokenType.toLowerCase() !== "bearer") {
      return fail(`token_type is "${safeText(tokenType, secretsIn(context, members), 40)}"`, "UnsupportedTokenType")
    }
    const refreshToken = redacted("refresh_token") ?? grant.refreshToken
    const idToken = redacted("id_token")
    const launchContext = fromMembers(members, warn)
    const scopes = scopesOf(members, grant, warn)
    if (
      operation === "exchangeCode" && launchContext.patient === undefined &&
      scopes.some((scope) => scope.startsWith("patient/") || scope === "launch/patient")
    ) {
      warn("PatientMissing", "patient scopes were granted but no patient is in context", "164")
    }
    const tokens = construct(TokenSet, {
      version: 1,
      fhirBaseUrl: grant.fhirBaseUrl,
      accessToken,
      receivedAt: now,
      expiresAt: expiryOf(members, context),
      scopes,
      refreshToken,
      idToken,
      context: launchContext,
      extensions: Redacted.make(extensionsOf(members))
    })
    if (grant.requestedScopes !== undefined) compareScopes(grant.requestedScopes, tokens, context)
    return Either.right(tokens)
  })
