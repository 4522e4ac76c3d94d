/**
 * A probe of an access token: its scopes, what they allow at the server, and on request one search for each type that
 * they allow. The token goes to the introspection endpoint and to the FHIR base URL only.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as jose from "jose"
import type { ConfigurationError } from "../../base/ConfigurationError.js"
import { type JsonObject, reader } from "../../base/JsonReader.js"
import { construct } from "../../base/SchemaFields.js"
import * as ClientAuthentication from "../../client/ClientAuthentication.js"
import * as FhirClient from "../../fhir/FhirClient.js"
import type { FhirError } from "../../fhir/FhirError.js"
import * as HttpLimits from "../../http/HttpLimits.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import * as Scopes from "../../launch/Scopes.js"
import * as CapabilityStatements from "../../server/CapabilityStatements.js"
import * as LegacyMetadata from "../../server/LegacyMetadata.js"
import type { MetadataError } from "../../server/MetadataError.js"
import * as SmartClient from "../../smart/SmartClient.js"
import * as LaunchContext from "../../token/LaunchContext.js"
import { TokenSet } from "../../token/TokenSet.js"
import { compare, type TypeAccess } from "./access.js"
import type { AccessToken } from "./accessToken.js"

/**
 * Where the scopes of the token are known from.
 *
 * @since 0.1.0
 * @category models
 */
export type ScopeSource = "option" | "tokenResponse" | "introspection" | "jwt"

/**
 * The result of one search.
 *
 * @since 0.1.0
 * @category models
 */
export interface SearchResult {
  readonly type: string
  readonly status: number | undefined
  /** Absent if the search succeeded. */
  readonly reason: FhirError["reason"] | undefined
}

/**
 * What was learned about a token.
 *
 * @since 0.1.0
 * @category models
 */
export interface AccessProbe {
  /** The token, so that a report can leave it out of a text of the server. */
  readonly token: Redacted.Redacted | undefined
  readonly scopes: { readonly source: ScopeSource; readonly granted: ReadonlyArray<Scopes.Scope> } | undefined
  /** Why the introspection gave no scopes; absent if it was not tried. */
  readonly introspectionFailure: string | undefined
  /** `false` if the server says so; `undefined` if it was not asked. */
  readonly active: boolean | undefined
  readonly expiresAt: DateTime.Utc | undefined
  readonly isExpired: boolean
  readonly types: Either.Either<ReadonlyArray<TypeAccess>, MetadataError>
  /** Absent if no searches were requested. */
  readonly searches: ReadonlyArray<SearchResult> | undefined
}

/**
 * Options of the probe.
 *
 * @since 0.1.0
 * @category models
 */
export interface AccessProbeOptions {
  readonly allowInsecureLocalhost: boolean
  readonly timeout: Duration.DurationInput
  readonly token: AccessToken | undefined
  /** The granted scopes, if they are known. */
  readonly scope: string | undefined
  /** Whether to search each type that the scopes allow and the server offers. */
  readonly search: boolean
}

/** What a token or the server states about the token. */
interface Statement {
  readonly scope?: string | undefined
  readonly active?: boolean | undefined
  readonly expiresAt?: DateTime.Utc | undefined
  readonly patient?: string | undefined
  readonly failure?: string | undefined
}

/** The claims of a JWT (RFC 9068), which are not verified: the server that the token is for does that. */
const fromJwt = (token: Redacted.Redacted): Statement => {
  const claims: JsonObject | undefined = Either.getOrUndefined(Either.try(() => jose.decodeJwt(Redacted.value(token))))
  if (claims === undefined) return {}
  const { exp, scope, scp = scope } = claims
  const list = Array.isArray(scp) ? scp.filter((one) => typeof one === "string").join(" ") : scp
  return {
    scope: typeof list === "string" ? list : undefined,
    expiresAt: typeof exp === "number" ? expiry(exp) : undefined,
    patient: reader(claims, () => undefined).string("patient")
  }
}

const expiry = (seconds: number): DateTime.Utc | undefined => {
  const millis = seconds * 1000
  return millis > 0 && millis < 8.64e15 ? DateTime.unsafeMake(millis) : undefined
}

/** The server's statement about the token, which authorizes the request itself (requirement 282). */
const introspect = (client: SmartClient.Service, token: Redacted.Redacted): Effect.Effect<Statement> =>
  client.introspect(token, { authorization: token, tokenTypeHint: "access_token" }).pipe(
    Effect.map(({ active, context, expiresAt, scopes }): Statement => ({
      active,
      expiresAt,
      scope: scopes.length === 0 ? undefined : scopes.join(" "),
      patient: context.patient,
      failure: active && scopes.length === 0 ? "the response has no scope" : undefined
    })),
    Effect.catchAll((error) =>
      Effect.succeed({
        failure: error._tag === "DiscoveryError" && error.reason === "EndpointMissing"
          ? "the server has no introspection endpoint"
          : "status" in error && error.status !== undefined
          ? `HTTP status ${error.status} (${error.reason})`
          : error.reason
      })
    )
  )

/** More searches than a server needs to show which types it refuses. */
const MAX_SEARCHES = 200

/** The parameter that limits a search to the patient in context, if the server lists one. */
const patientParam = (
  type: string,
  patient: string | undefined,
  { resources }: CapabilityStatements.ServerCapabilities
): Readonly<Record<string, string>> =>
  patient === undefined
    ? {}
    : type === "Patient"
    ? { _id: patient }
    : resources.get(type)?.searchParams.has("patient") === true
    ? { patient }
    : {}

const isRefused = ({ reason }: SearchResult): boolean => reason === "Unauthorized"

/** Searches that count: the response has no resources. After a refused token, no other is sent. */
const searchAll = (
  fhir: FhirClient.Authorized,
  types: ReadonlyArray<TypeAccess>,
  patient: string | undefined,
  capabilities: CapabilityStatements.ServerCapabilities
): Effect.Effect<ReadonlyArray<SearchResult>> =>
  Effect.gen(function*() {
    const search = ({ contexts, type }: TypeAccess) =>
      fhir.request({
        interaction: `search ${type}`,
        url: type,
        params: {
          ...patientParam(type, contexts.includes("patient") ? patient : undefined, capabilities),
          _summary: "count"
        }
      }).pipe(
        Effect.match({
          onFailure: ({ reason, status }): SearchResult => ({ type, status, reason }),
          onSuccess: ({ status }): SearchResult => ({ type, status, reason: undefined })
        })
      )
    const [first, ...others] = types
      .filter(({ allowedAndOffered }) => allowedAndOffered.includes("search-type"))
      .slice(0, MAX_SEARCHES)
    if (first === undefined) return []
    const result = yield* search(first)
    return isRefused(result) ? [result] : [result, ...(yield* Effect.forEach(others, search, { concurrency: 2 }))]
  })

const isTooOld = (expiresAt: DateTime.Utc | undefined, nowMillis: number): boolean =>
  expiresAt !== undefined && DateTime.toEpochMillis(expiresAt) <= nowMillis

/** The first source that states the scopes: the option, the token response, the introspection, or the JWT. */
const sourceOf = (
  option: string | undefined,
  token: AccessToken | undefined,
  introspection: Statement,
  jwt: Statement
): AccessProbe["scopes"] => {
  const sources: ReadonlyArray<readonly [ScopeSource, string | undefined]> = [
    ["option", option],
    ["tokenResponse", token?.scope],
    ["introspection", introspection.scope],
    ["jwt", jwt.scope]
  ]
  const [source, scope] = sources.find(([, one]) => one !== undefined && one.trim() !== "") ?? []
  return source === undefined || scope === undefined ? undefined : { source, granted: Scopes.parse(scope) }
}

/**
 * Probes a token. Without a token, the scopes of the option are compared with the CapabilityStatement.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  fhirBaseUrl: string,
  { allowInsecureLocalhost, scope, search, timeout, token }: AccessProbeOptions
): Effect.Effect<AccessProbe, ConfigurationError, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const statements = yield* CapabilityStatements.CapabilityStatements
    const client = yield* SmartClient.SmartClient
    const fhirClient = yield* FhirClient.FhirClient
    const now = yield* DateTime.now
    const statement = yield* Effect.either(statements.capabilities(fhirBaseUrl, { allowInsecureLocalhost }))
    const isKnown = scope !== undefined || token?.scope !== undefined
    const introspection = token === undefined || isKnown ? {} : yield* introspect(client, token.token)
    const jwt = token === undefined ? {} : fromJwt(token.token)
    const scopes = sourceOf(scope, token, introspection, jwt)
    const expiresAt = introspection.expiresAt ?? jwt.expiresAt
    const types = Either.map(statement, (capabilities) => compare(scopes?.granted ?? [], capabilities))
    const isExpired = isTooOld(expiresAt, yield* Clock.currentTimeMillis)
    const isSearchable = search && token !== undefined && introspection.active !== false && !isExpired
    const searches = isSearchable && Either.isRight(statement) && Either.isRight(types)
      ? yield* searchAll(
        fhirClient.forTokens(
          client,
          construct(TokenSet, {
            version: 1,
            fhirBaseUrl,
            accessToken: token.token,
            receivedAt: now,
            scopes: [],
            context: new LaunchContext.LaunchContext({}),
            extensions: Redacted.make({})
          })
        ),
        types.right,
        token.patient ?? introspection.patient ?? jwt.patient,
        statement.right
      )
      : undefined
    return {
      token: token?.token,
      scopes,
      introspectionFailure: introspection.failure,
      active: introspection.active,
      expiresAt,
      isExpired,
      types,
      searches
    }
  }).pipe(
    Effect.provide(Layer.mergeAll(
      CapabilityStatements.layer(),
      FhirClient.layer,
      // A request with a bearer token has no client id.
      SmartClient.layer({
        fhirBaseUrl,
        clientId: "effect-safire",
        allowInsecureLocalhost,
        legacyMetadata: LegacyMetadata.capabilityStatement
      }).pipe(
        Layer.provide(ClientAuthentication.layerPublic)
      )
    )),
    RetryPolicy.withPolicy(RetryPolicy.none),
    Effect.provide(HttpLimits.layer({ discoveryTimeout: timeout, fhirTimeout: timeout, tokenTimeout: timeout })),
    // The report has all that the log would have.
    Logger.withMinimumLogLevel(LogLevel.None)
  )

/**
 * Whether the token is accepted as far as it was tried, and its scopes could be compared with the server.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUsable = ({ active, isExpired, scopes, searches, types }: AccessProbe): boolean =>
  active !== false && !isExpired && scopes !== undefined && Either.isRight(types) &&
  !(searches ?? []).some(isRefused)

/**
 * Whether the server failed a search that the scopes allow and that it offers.
 *
 * @since 0.1.0
 * @category predicates
 */
export const hasErrors = ({ searches }: AccessProbe): boolean =>
  (searches ?? []).some(({ reason }) => reason !== undefined)
