/**
 * Judging what a token endpoint answered (RFC 6749, sections 5.1 and 5.2; SMART App Launch 2.2, "Access token response"). A pure step apart from the
 * request, so that every shape of answer can be tested without a server.
 */
import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import type { Code } from "../../base/ConformanceWarning.js"
import { ConformanceWarning } from "../../base/ConformanceWarning.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, parseJson, reader, withoutDeepMembers } from "../../base/JsonReader.js"
import { skipValidation } from "../../base/SkipValidation.js"
import * as Url from "../../base/Url.js"
import * as OAuthError from "../../http/OAuthError.js"
import type { ReceivedResponse } from "../../http/ReceivedResponse.js"
import { errorFields, isJsonType, isSuccess, isTransientStatus, mediaType } from "../../http/ReceivedResponse.js"
import { safeText } from "../../http/Redaction.js"
import * as Scopes from "../../launch/Scopes.js"
import { extensionsOf, fromAnswer } from "../LaunchContext.js"
import type { Operation } from "../TokenError.js"
import { TokenError } from "../TokenError.js"
import { TokenSet } from "../TokenSet.js"

/** @internal */
export interface RequestContext {
  readonly operation: Operation
  readonly server: string
  /** What was sent and must not come back in an error; to be asked for where there is one. */
  readonly secrets: () => ReadonlyArray<string>
  readonly now: DateTime.Utc
  /** What a refusal of the client's credentials may come from, for the error. */
  readonly credentialsHint?: (() => string) | undefined
}

/** @internal */
export interface Judged<A> {
  readonly value: A
  readonly warnings: ReadonlyArray<ConformanceWarning>
}

/** The client id and secret of HTTP Basic, joined by a colon; empty where the request has none. */
const basicOf = (request: HttpClientRequest): string => {
  const [scheme = "", credentials = ""] = request.headers["authorization"]?.split(" ") ?? []
  return scheme.toLowerCase() === "basic" ? Either.getOrElse(Encoding.decodeBase64String(credentials), () => "") : ""
}

/**
 * Where the client id or secret of HTTP Basic is sent differently by the two encodings that servers expect: which option chooses between them.
 *
 * @internal
 */
export const encodingHint = (request: HttpClientRequest): string => {
  const basic = basicOf(request)
  return /^[A-Za-z0-9*._-]*:?[A-Za-z0-9*._-]*$/.test(basic)
    ? ""
    : ", and the client id or secret has special characters, which some servers want form-encoded and others as they are: the option encoding of " +
      "ClientAuthentication.layerClientSecretBasic, or SMART_CLIENT_SECRET_ENCODING, is \"form\" or \"raw\""
}

const SECRET_PARAMS = [
  "code",
  "code_verifier",
  "refresh_token",
  "token",
  "client_secret",
  "client_assertion",
  "assertion",
  "password"
]

/**
 * The secrets a request carries: servers do echo them in what they complain about.
 *
 * @internal
 */
export const secretsOf = (request: HttpClientRequest, clientId: string): ReadonlyArray<string> => {
  const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
  const params = new URLSearchParams(body)
  const authorization = request.headers["authorization"]
  const credentials = authorization?.slice(authorization.indexOf(" ") + 1)
  const basic = basicOf(request)
  // The id is not a secret, and a part of it may stand in every URL of the server. It may hold colons, and so may the secret; either may be form-encoded.
  const formEncoded = new URLSearchParams([["", clientId]]).toString().slice(1)
  const id = [clientId, formEncoded].find((one) => basic.startsWith(`${one}:`))
  const suffixes = id === undefined
    ? [...basic.matchAll(/:/g)].map(({ index }) => basic.slice(index + 1))
    : [basic.slice(id.length + 1)]
  return [
    ...SECRET_PARAMS.flatMap((name) => params.getAll(name)),
    ...(credentials === undefined ? [] : [credentials]),
    ...(basic === "" || id !== undefined ? [] : [basic]),
    ...suffixes,
    ...suffixes.map((suffix) => new URLSearchParams(`=${suffix.replaceAll("&", "%26")}`).get("") ?? "")
  ].filter((secret) => secret !== "")
}

/** The tokens in an answer: its words may repeat them. */
const tokensIn = (members: JsonObject | undefined): ReadonlyArray<string> =>
  ["access_token", "refresh_token", "id_token"].flatMap((name) => {
    const value = members?.[name]
    return typeof value === "string" && value !== "" ? [value] : []
  })

/**
 * The tokens of an answer that is not used, so that they can be revoked.
 *
 * @internal
 */
export const issuedBy = (answer: ReceivedResponse, operation: Operation): TokenError["issued"] => {
  const isGrant = operation === "exchangeCode" || operation === "refresh" || operation === "clientCredentials"
  const json = isGrant && answer.status >= 200 && answer.status <= 299 ? parseJson(answer.body)?.value : undefined
  if (!isJsonObject(json)) return undefined
  const secret = (name: string) => {
    const [value] = tokensIn({ [name]: json[name] })
    return value === undefined ? undefined : Redacted.make(value)
  }
  const accessToken = secret("access_token")
  const refreshToken = secret("refresh_token")
  return accessToken === undefined && refreshToken === undefined ? undefined : { accessToken, refreshToken }
}

const oauthErrorIn = (members: JsonObject | undefined): OAuthError.OAuthError | undefined => {
  const found = members === undefined ? undefined : OAuthError.fromJson(members)
  return found?.error === undefined ? undefined : found
}

/** The error of a body that came as a form, or of a challenge: some servers say it there and nowhere else. */
const oauthErrorElsewhere = (answer: ReceivedResponse): OAuthError.OAuthError | undefined => {
  if (answer.body.startsWith("error=")) return oauthErrorIn(Object.fromEntries(new URLSearchParams(answer.body)))
  const challenge = answer.headers["www-authenticate"]
  if (challenge === undefined) return undefined
  const param = (name: string) => new RegExp(`\\b${name}="([^"]*)"`, "i").exec(challenge)?.[1]
  const error = param("error")
  return error === undefined || error === "" ? undefined : {
    error,
    errorDescription: param("error_description"),
    errorUri: param("error_uri")
  }
}

/**
 * The members of an answer that succeeded, whatever its content type; or the error it is, whatever its status.
 *
 * @internal
 */
export const membersOf = (
  answer: ReceivedResponse,
  asked: RequestContext
): Either.Either<Judged<JsonObject>, TokenError> => {
  const json = parseJson(answer.body)?.value
  const members = isJsonObject(json) ? json : undefined
  const succeeded = isSuccess(answer.status)
  const oauthError = oauthErrorIn(members) ?? oauthErrorElsewhere(answer)
  const server = asked.server
  const secrets = () => [...asked.secrets(), ...tokensIn(members)]
  const type = mediaType(answer) ?? "no content type"
  const shownType = () => safeText(type, secrets(), 60).toLowerCase()
  const warnings: Array<ConformanceWarning> = []
  const warn = (code: Code, detail: string) => {
    warnings.push(new ConformanceWarning({ code, server, detail }))
  }

  if (succeeded && members !== undefined && oauthError === undefined) {
    if (!isJsonType(type)) {
      warn("TokenContentType", `the ${asked.operation} answer came as ${shownType()}`)
    }
    const value = withoutDeepMembers(members, (member, expected) => {
      const name = safeText(member, secrets(), 60)
      warn("TokenMemberMalformed", `${name} is not ${expected}; it counts as absent`)
    })
    return Either.right({ value, warnings })
  }

  const refused = oauthError !== undefined || (answer.status >= 400 && answer.status < 500)
  const unavailable = isTransientStatus(answer.status) || answer.status >= 500
  const isCredentialsError = answer.status === 401 || oauthError?.error === "invalid_client"
  return Either.left(
    new TokenError({
      ...errorFields(answer, DateTime.toEpochMillis(asked.now)),
      ...OAuthError.redacted(oauthError ?? {}, secrets()),
      reason: unavailable ? "Unavailable" : refused ? "Refused" : "Malformed",
      operation: asked.operation,
      server,
      url: safeText(Url.forDisplay(answer.url), secrets()),
      detail: `HTTP status ${answer.status}${
        oauthError === undefined ? `, without an OAuth answer (${shownType()})` : ""
      }${isCredentialsError ? asked.credentialsHint?.() ?? "" : ""}`,
      // 429 and 503 say that nothing was done; 408, 502, 504 and success that cannot be read leave it open.
      processed: succeeded && oauthError === undefined
        ? "unknown"
        : unavailable && answer.status !== 429 && answer.status !== 503
        ? "unknown"
        : "no",
      received: members === undefined || oauthError !== undefined
        ? undefined
        : receivedMembers(members, secrets()),
      issued: issuedBy(answer, asked.operation)
    })
  )
}

/**
 * Names only: a value may be a token under another name.
 *
 * @internal
 */
export const receivedMembers = (members: JsonObject, secrets: ReadonlyArray<string>): ReadonlyArray<string> =>
  Object.keys(members).slice(0, 20).map((name) => safeText(name, secrets, 60))

const expiryOf = (
  members: JsonObject,
  now: DateTime.Utc,
  warn: (code: Code, detail: string, requirement?: string) => void
): DateTime.Utc | undefined => {
  const raw = members["expires_in"]
  const seconds = typeof raw === "string" && /^\d+(\.\d+)?$/.test(raw.trim()) ? Number(raw) : raw
  if (seconds === undefined || seconds === null) {
    warn("ExpiresInMissing", "expires_in is missing; the token is used until it is refused", "112")
    return undefined
  }
  // Ten years: beyond it stands a date, or milliseconds of one, rather than a lifetime.
  if (typeof seconds !== "number" || !(seconds > 0) || seconds > 315_360_000) {
    warn("ExpiresInNotNumber", "expires_in is no usable number of seconds; the token is used until it is refused")
    return undefined
  }
  if (seconds !== raw) warn("ExpiresInNotNumber", "expires_in is a string; it was read as a number")
  // A token that lives for less than a second would have expired when it comes.
  return DateTime.add(now, { seconds: Math.max(1, Math.floor(seconds)) })
}

const scopesOf = (
  members: JsonObject,
  assumed: ReadonlyArray<string>,
  warn: (code: Code, detail: string, requirement?: string) => void
): ReadonlyArray<string> => {
  const raw = members["scope"]
  if (typeof raw === "string") return raw.split(/\s+/).filter((scope) => scope !== "")
  if (Array.isArray(raw) && raw.every((scope): scope is string => typeof scope === "string")) {
    warn("ScopeNotString", "scope is an array; it was read as a list of scopes", "78")
    return raw
  }
  warn("ScopeMissing", "scope is missing; what was asked for counts as granted (RFC 6749, section 5.1)", "78")
  return assumed
}

/** At most so many granted scopes are compared: the list is the server's, and only a warning depends on it. */
const COMPARED_SCOPES = 1_000

/**
 * What the answer grants less, or at a refresh more, than the request asked for. A scope counts as granted, too, where the answer holds what it stands
 * for: a refresh token, an id_token, the launch context.
 */
const compareScopes = (
  requested: ReadonlyArray<string>,
  tokens: TokenSet,
  operation: Operation,
  warn: (code: Code, detail: string, requirement?: string) => void
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
      `of the scopes asked for, the server did not grant ${safeText(Scopes.print(missing), [], 200)}`
    )
  }
  const asked = Scopes.parse(requested)
  if (operation === "refresh" && granted.some((scope) => !Scopes.covers(asked, [scope]))) {
    warn("ScopeNotNarrowed", "a refresh asked for fewer scopes, and the server granted more than that")
  }
}

/**
 * The token set of an answer.
 *
 * @internal
 */
export const judgeTokens = (
  answer: ReceivedResponse,
  asked: RequestContext & {
    readonly fhirBaseUrl: string | undefined
    /** What counts as granted where the answer does not say. */
    readonly assumedScopes: ReadonlyArray<string>
    /** What the request named. */
    readonly requestedScopes?: ReadonlyArray<string> | undefined
    readonly refreshToken?: Redacted.Redacted | undefined
  }
): Either.Either<Judged<TokenSet>, TokenError> =>
  Either.flatMap(membersOf(answer, asked), ({ value: members, warnings: soFar }) => {
    const warnings = [...soFar]
    const secrets = () => [...asked.secrets(), ...tokensIn(members)]
    const said = new Set<string>()
    const warn = (code: Code, detail: string, requirement?: string) => {
      // A long list of malformed items makes one warning.
      if (said.has(`${code} ${detail}`)) return
      said.add(`${code} ${detail}`)
      warnings.push(new ConformanceWarning({ code, server: asked.server, detail, requirement }))
    }
    const malformed = (member: string, expected: string) =>
      warn("TokenMemberMalformed", `${member} is not ${expected}; it counts as absent`)
    const read = reader(members, malformed)
    const fail = (reason: TokenError["reason"], detail: string) =>
      Either.left(
        new TokenError({
          reason,
          operation: asked.operation,
          server: asked.server,
          url: safeText(Url.forDisplay(answer.url), secrets()),
          detail,
          processed: "unknown",
          status: answer.status,
          received: receivedMembers(members, secrets()),
          issued: issuedBy(answer, asked.operation)
        })
      )

    const accessToken = read.string("access_token")
    if (accessToken === undefined) return fail("Malformed", "there is no usable access_token in the answer")
    const tokenType = read.string("token_type")
    if (tokenType === undefined) warn("TokenTypeMissing", "token_type is missing; Bearer is assumed", "75")
    else if (tokenType.toLowerCase() !== "bearer") {
      return fail("UnsupportedTokenType", `token_type is "${safeText(tokenType, secrets(), 40)}"`)
    }
    const refreshToken = read.string("refresh_token")
    const idToken = read.string("id_token")
    const context = fromAnswer(
      members,
      read,
      () => warn("LaunchContextLegacy", "fhirContext holds strings, as SMART 2.0 had it", "177"),
      malformed,
      (detail, requirement) => warn("LaunchContextMalformed", detail, requirement)
    )
    const scopes = scopesOf(members, asked.assumedScopes, warn)
    if (
      asked.operation === "exchangeCode" && context.patient === undefined &&
      scopes.some((scope) => scope.startsWith("patient/") || scope === "launch/patient")
    ) {
      warn("PatientMissing", "patient scopes were granted but no patient is in context", "164")
    }
    const tokens = new TokenSet({
      version: 1,
      fhirBaseUrl: asked.fhirBaseUrl,
      accessToken: Redacted.make(accessToken),
      receivedAt: asked.now,
      expiresAt: expiryOf(members, asked.now, warn),
      scopes,
      refreshToken: refreshToken === undefined ? asked.refreshToken : Redacted.make(refreshToken),
      idToken: idToken === undefined ? undefined : Redacted.make(idToken),
      context,
      extensions: Redacted.make(extensionsOf(members))
    }, skipValidation)
    if (asked.requestedScopes !== undefined) compareScopes(asked.requestedScopes, tokens, asked.operation, warn)
    return Either.right({ value: tokens, warnings })
  })
