/**
 * The token set in a response of the token endpoint (RFC 6749, section 5.1; SMART App Launch 2.2, "Access token
 * response"). Pure, so that every shape of response can be tested without a server.
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { JsonObject } from "../../base/JsonReader.js"
import { reader } from "../../base/JsonReader.js"
import { skipValidation } from "../../base/SchemaFields.js"
import type { ReceivedResponse } from "../../http/ReceivedResponse.js"
import { safeText } from "../../http/Redaction.js"
import * as Scopes from "../../launch/Scopes.js"
import type { Operation, TokenError } from "../TokenError.js"
import { TokenSet } from "../TokenSet.js"
import { extensionsOf, readLaunchContext } from "./launchContext.js"
import type { RequestContext, Validated, Warn } from "./oauthResponse.js"
import { collectWarnings, parseMembers, secretsIn, unusable } from "./oauthResponse.js"

const expiryOf = (
  members: JsonObject,
  now: DateTime.Utc,
  warn: Warn
): DateTime.Utc | undefined => {
  const raw = members["expires_in"]
  const seconds = typeof raw === "string" && /^\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw
  if (seconds === undefined || seconds === null) {
    warn("ExpiresInMissing", "expires_in is missing; the token is used until the server refuses it", "112")
    return undefined
  }
  // More than ten years is a date, or milliseconds, rather than a lifetime.
  if (typeof seconds !== "number" || !(seconds > 0) || seconds > 315_360_000) {
    warn(
      "ExpiresInNotNumber",
      "expires_in is not a usable number of seconds; the token is used until the server refuses it"
    )
    return undefined
  }
  if (seconds !== raw) warn("ExpiresInNotNumber", "expires_in is a string; it was read as a number")
  // With less than a second, the token would have expired on arrival.
  return DateTime.add(now, { seconds: Math.max(1, Math.floor(seconds)) })
}

const scopesOf = (
  members: JsonObject,
  defaults: ReadonlyArray<string>,
  warn: Warn
): ReadonlyArray<string> => {
  const raw = members["scope"]
  if (typeof raw === "string") return raw.split(/\s+/).filter((scope) => scope !== "")
  if (Array.isArray(raw) && raw.every((scope): scope is string => typeof scope === "string")) {
    warn("ScopeNotString", "scope is an array; it was read as a list of scopes", "78")
    return raw
  }
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
  tokens: TokenSet,
  operation: Operation,
  warn: Warn
): void => {
  const granted = Scopes.parse(tokens.scopes.slice(0, COMPARED_SCOPES))
  const isFulfilled = (scope: string): boolean =>
    (/^(offline|online)_access$/.test(scope) && tokens.refreshToken !== undefined) ||
    (scope === "openid" && tokens.idToken !== undefined) ||
    (scope === "launch/patient" && tokens.context.patient !== undefined) ||
    (scope === "launch/encounter" && tokens.context.encounter !== undefined) || scope === "launch"
  const missing = Scopes.missing(granted, Scopes.parse(requested.filter((scope) => !isFulfilled(scope))))
  if (missing.length > 0) {
    warn(
      "ScopeNotGranted",
      `of the requested scopes, the server did not grant ${safeText(Scopes.print(missing), [], 200)}`
    )
  }
  const wanted = Scopes.parse(requested)
  if (operation === "refresh" && granted.some((scope) => !Scopes.covers(wanted, [scope]))) {
    warn("ScopeNotNarrowed", "the refresh requested fewer scopes than the server granted")
  }
}

export interface GrantContext {
  readonly fhirBaseUrl: string | undefined
  /** The scopes that count as granted if the response does not name any. */
  readonly defaultScopes: ReadonlyArray<string>
  /** The scopes of the request. */
  readonly requestedScopes?: ReadonlyArray<string> | undefined
  /** The refresh token that was sent. */
  readonly refreshToken?: Redacted.Redacted | undefined
}

export const parseTokenSet = (
  response: ReceivedResponse,
  context: RequestContext & GrantContext
): Either.Either<Validated<TokenSet>, TokenError> =>
  Either.flatMap(parseMembers(response, context), ({ value: members, warnings: earlier }) => {
    const { fhirBaseUrl, now, operation, requestedScopes, server } = context
    const { warn, warnings } = collectWarnings(server, earlier)
    const read = reader(
      members,
      (member, expected) => warn("TokenMemberMalformed", `${member} is not ${expected}; it counts as absent`)
    )
    const fail = (detail: string, reason?: TokenError["reason"]) =>
      Either.left(unusable(response, context, detail, members, reason))

    const accessToken = read.redacted("access_token")
    if (accessToken === undefined) return fail("the response has no usable access_token")
    const tokenType = read.string("token_type")
    if (tokenType === undefined) warn("TokenTypeMissing", "token_type is missing; Bearer is assumed", "75")
    else if (tokenType.toLowerCase() !== "bearer") {
      return fail(`token_type is "${safeText(tokenType, secretsIn(context, members)(), 40)}"`, "UnsupportedTokenType")
    }
    const refreshToken = read.redacted("refresh_token") ?? context.refreshToken
    const idToken = read.redacted("id_token")
    const launchContext = readLaunchContext(members, warn)
    const scopes = scopesOf(members, context.defaultScopes, warn)
    if (
      operation === "exchangeCode" && launchContext.patient === undefined &&
      scopes.some((scope) => scope.startsWith("patient/") || scope === "launch/patient")
    ) {
      warn("PatientMissing", "patient scopes were granted but no patient is in context", "164")
    }
    const tokens = new TokenSet({
      version: 1,
      fhirBaseUrl,
      accessToken,
      receivedAt: now,
      expiresAt: expiryOf(members, now, warn),
      scopes,
      refreshToken,
      idToken,
      context: launchContext,
      extensions: Redacted.make(extensionsOf(members))
    }, skipValidation)
    if (requestedScopes !== undefined) compareScopes(requestedScopes, tokens, operation, warn)
    return Either.right({ value: tokens, warnings })
  })
