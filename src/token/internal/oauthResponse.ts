/**
 * The JSON object in a successful response of the token endpoint, the introspection or the userinfo endpoint, or the
 * `TokenError` of any other response (RFC 6749, section 5.2). Pure.
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import type { Code } from "../../base/ConformanceWarning.js"
import { ConformanceWarning } from "../../base/ConformanceWarning.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, parseJson, reader, withoutDeepMembers } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import * as OAuthError from "../../http/OAuthError.js"
import type { ReceivedResponse } from "../../http/ReceivedResponse.js"
import { errorFields, isJsonType, isSuccess, isTransientStatus, mediaType } from "../../http/ReceivedResponse.js"
import { safeText } from "../../http/Redaction.js"
import type { Operation } from "../TokenError.js"
import { TokenError } from "../TokenError.js"

export interface RequestContext {
  readonly operation: Operation
  readonly server: string
  /** The secrets of the request, which must not be in an error. */
  readonly secrets: () => ReadonlyArray<string>
  readonly now: DateTime.Utc
  /** A possible cause of refused credentials, for the error. */
  readonly credentialsHint?: (() => string) | undefined
}

export interface Validated<A> {
  readonly value: A
  readonly warnings: ReadonlyArray<ConformanceWarning>
}

export type Warn = (code: Code, detail: string, requirement?: string) => void

/** Warnings after `earlier` ones. Equal warnings are collected once: a list may hold many malformed items. */
export const collectWarnings = (server: string, earlier: ReadonlyArray<ConformanceWarning>) => {
  const warnings = [...earlier]
  const reported = new Set<string>()
  const warn: Warn = (code, detail, requirement) => {
    if (reported.has(`${code} ${detail}`)) return
    reported.add(`${code} ${detail}`)
    warnings.push(new ConformanceWarning({ code, server, detail, requirement }))
  }
  return { warn, warnings }
}

const tokensIn = (members: JsonObject | undefined): ReadonlyArray<string> =>
  ["access_token", "refresh_token", "id_token"].flatMap((name) => {
    const value = members?.[name]
    return typeof value === "string" && value !== "" ? [value] : []
  })

/** The secrets of a request and of its response: a server may repeat both in its texts. */
export const secretsIn = (context: RequestContext, members: JsonObject | undefined) => (): ReadonlyArray<string> => [
  ...context.secrets(),
  ...tokensIn(members)
]

/** The tokens of a response that cannot be used, so that they can be revoked. */
const issuedTokens = ({ body, status }: ReceivedResponse, operation: Operation): TokenError["issued"] => {
  const isGrant = operation === "exchangeCode" || operation === "refresh" || operation === "clientCredentials"
  const json = isGrant && isSuccess(status) ? parseJson(body)?.value : undefined
  if (!isJsonObject(json)) return undefined
  const { redacted } = reader(json, () => undefined)
  const accessToken = redacted("access_token")
  const refreshToken = redacted("refresh_token")
  return accessToken === undefined && refreshToken === undefined ? undefined : { accessToken, refreshToken }
}

/** Names only: a value may be a token under another name. */
const memberNames = (members: JsonObject, secrets: ReadonlyArray<string>): ReadonlyArray<string> =>
  Object.keys(members).slice(0, 20).map((name) => safeText(name, secrets, 60))

/** The error for a response with status 2xx that cannot be used. */
export const unusable = (
  response: ReceivedResponse,
  context: RequestContext,
  detail: string,
  members?: JsonObject | undefined,
  reason: TokenError["reason"] = "Malformed"
): TokenError => {
  const secrets = secretsIn(context, members)()
  return new TokenError({
    reason,
    operation: context.operation,
    server: context.server,
    url: safeText(Url.forDisplay(response.url), secrets),
    detail,
    processed: "unknown",
    status: response.status,
    received: members === undefined ? undefined : memberNames(members, secrets),
    issued: issuedTokens(response, context.operation)
  })
}

const oauthErrorIn = (members: JsonObject | undefined): OAuthError.OAuthError | undefined => {
  const found = members === undefined ? undefined : OAuthError.fromJson(members)
  return found?.error === undefined ? undefined : found
}

/** The error in a form, or in the `WWW-Authenticate` header: some servers send it only there. */
const oauthErrorElsewhere = ({ body, headers }: ReceivedResponse): OAuthError.OAuthError | undefined => {
  if (body.startsWith("error=")) return oauthErrorIn(Object.fromEntries(new URLSearchParams(body)))
  const challenge = headers["www-authenticate"] ?? ""
  const param = (name: string) => new RegExp(`\\b${name}="([^"]*)"`, "i").exec(challenge)?.[1]
  return oauthErrorIn({
    error: param("error"),
    error_description: param("error_description"),
    error_uri: param("error_uri")
  })
}

/** Accepts JSON with any content type, and an OAuth error with any status. */
export const parseMembers = (
  response: ReceivedResponse,
  context: RequestContext
): Either.Either<Validated<JsonObject>, TokenError> => {
  const { status } = response
  const { operation, server } = context
  const json = parseJson(response.body)?.value
  const members = isJsonObject(json) ? json : undefined
  const oauthError = oauthErrorIn(members) ?? oauthErrorElsewhere(response)
  const secrets = secretsIn(context, members)
  const type = mediaType(response) ?? "no content type"
  const shownType = () => safeText(type, secrets(), 60).toLowerCase()

  if (isSuccess(status) && members !== undefined && oauthError === undefined) {
    const { warn, warnings } = collectWarnings(server, [])
    if (!isJsonType(type)) warn("TokenContentType", `the content type of the ${operation} response is ${shownType()}`)
    const value = withoutDeepMembers(
      members,
      (member, expected) =>
        warn("TokenMemberMalformed", `${safeText(member, secrets(), 60)} is not ${expected}; it counts as absent`)
    )
    return Either.right({ value, warnings })
  }

  const isRefused = oauthError !== undefined || (status >= 400 && status < 500)
  const isUnavailable = isTransientStatus(status) || status >= 500
  // 429 and 503 say that the server did not act; 408, 502, 504 and an unreadable success leave it open.
  const isUnknown = oauthError === undefined && isSuccess(status) ||
    isUnavailable && status !== 429 && status !== 503
  const hint = status === 401 || oauthError?.error === "invalid_client" ? context.credentialsHint?.() ?? "" : ""
  return Either.left(
    new TokenError({
      ...errorFields(response, DateTime.toEpochMillis(context.now)),
      ...OAuthError.redacted(oauthError ?? {}, secrets()),
      reason: isUnavailable ? "Unavailable" : isRefused ? "Refused" : "Malformed",
      operation,
      server,
      url: safeText(Url.forDisplay(response.url), secrets()),
      detail: `HTTP status ${status}${
        oauthError === undefined ? `, without an OAuth error (${shownType()})` : ""
      }${hint}`,
      processed: isUnknown ? "unknown" : "no",
      received: members === undefined || oauthError !== undefined ? undefined : memberNames(members, secrets()),
      issued: issuedTokens(response, operation)
    })
  )
}
