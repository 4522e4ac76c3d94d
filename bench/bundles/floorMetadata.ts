/**
 * The floor beneath the launch, see `floor.ts`: the members of the SMART configuration that a launch needs. One
 * request for all callers, a cache as long as the response says, and the last valid document while the server fails.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import { ConformanceWarning, ConformanceWarnings } from "../../src/base/ConformanceWarning.js"
import { type JsonObject, reader, withoutDeepMembers } from "../../src/base/JsonReader.js"
import * as MediaType from "../../src/base/MediaType.js"
import * as Url from "../../src/base/Url.js"
import { HttpLimits } from "../../src/http/HttpLimits.js"
import { errorFields, freshnessMillis, parseJsonObject } from "../../src/http/ReceivedResponse.js"
import { retryAfterCap } from "../../src/http/RetryPolicy.js"
import * as TransportFailure from "../../src/http/TransportFailure.js"
import { DiscoveryError } from "../../src/server/DiscoveryError.js"
import { retry, send } from "./floorSend.js"

export interface Metadata {
  readonly issuer: string | undefined
  readonly authorization_endpoint: string | undefined
  readonly token_endpoint: string | undefined
  readonly jwks_uri: string | undefined
  readonly code_challenge_methods_supported: ReadonlyArray<string> | undefined
  readonly authorization_response_iss_parameter_supported: boolean | undefined
}

type Warning = Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">

export const warn = (server: string, warning: Warning): Effect.Effect<void> =>
  Effect.flatMap(ConformanceWarnings, ({ report }) => report(new ConformanceWarning({ server, ...warning })))

const read = (
  fhirBaseUrl: string,
  received: JsonObject
): { readonly metadata: Metadata; readonly warnings: Map<string, Warning> } => {
  const warnings = new Map<string, Warning>()
  const malformed = (member: string, expected: string) => {
    const detail = `${member} is not ${expected}; it counts as absent`
    warnings.set(detail, { code: "MetadataMemberMalformed", detail })
  }
  const { boolean, string, strings } = reader(withoutDeepMembers(received, malformed), malformed)
  const url = (member: string): string | undefined => {
    const value = string(member)
    if (value === undefined || Url.parse(value) !== undefined) return value
    const resolved = Url.parse(value, fhirBaseUrl)
    if (resolved === undefined) malformed(member, "a URL")
    else {
      const detail = `${member} is relative; it was resolved`
      warnings.set(detail, { code: "MetadataEndpointRelative", detail, requirement: "379" })
    }
    return resolved?.href
  }
  const metadata = {
    issuer: string("issuer"),
    authorization_endpoint: url("authorization_endpoint"),
    token_endpoint: url("token_endpoint"),
    jwks_uri: url("jwks_uri"),
    code_challenge_methods_supported: strings("code_challenge_methods_supported"),
    authorization_response_iss_parameter_supported: boolean("authorization_response_iss_parameter_supported")
  }
  return { metadata, warnings }
}

/** The URL of an endpoint, if it is present and https. */
export const endpoint = (
  fhirBaseUrl: string,
  metadata: Metadata,
  member: "authorization_endpoint" | "token_endpoint" | "jwks_uri",
  allowInsecureLocalhost: boolean
): Effect.Effect<string, DiscoveryError> => {
  const value = metadata[member]
  if (value === undefined) {
    const detail = `its SMART configuration has no usable ${member}`
    return new DiscoveryError({ reason: "EndpointMissing", fhirBaseUrl, url: fhirBaseUrl, member, detail })
  }
  const url = Url.parse(value)
  if (url !== undefined && Url.isSecure(url, allowInsecureLocalhost)) return Effect.succeed(value)
  return new DiscoveryError({
    reason: "InsecureEndpoint",
    fhirBaseUrl,
    url: Url.forDisplay(value),
    member,
    detail: `its SMART configuration has a ${member} that is not https`
  })
}

const MINUTE = 60_000
const DAY = 1_440 * MINUTE

export const discovery = (
  fhirBaseUrl: string,
  allowInsecureLocalhost: boolean
): Effect.Effect<Metadata, DiscoveryError, HttpClient.HttpClient> => {
  const url = `${fhirBaseUrl.replace(/\/$/, "")}/.well-known/smart-configuration`
  const accept = "application/json, application/fhir+json;q=0.9"
  let found: { readonly metadata: Metadata; readonly freshUntil: number } | undefined
  let failure: { readonly error: DiscoveryError; readonly until: number } | undefined
  let running: Fiber.Fiber<Metadata, DiscoveryError> | undefined

  const attempt = Effect.gen(function*() {
    const limits = yield* HttpLimits
    const response = yield* send(HttpClientRequest.get(url, { headers: { accept } }), {
      timeout: limits.discoveryTimeout,
      maxBytes: limits.maxResponseBytes,
      redirects: 3,
      allowInsecureLocalhost
    }).pipe(Effect.mapError((problem) => new DiscoveryError({ fhirBaseUrl, ...TransportFailure.errorFields(problem) })))
    const now = yield* Clock.currentTimeMillis
    const document = parseJsonObject(response)
    if (Either.isLeft(document)) {
      return yield* new DiscoveryError({ fhirBaseUrl, ...document.left, ...errorFields(response, now) })
    }
    const { metadata, warnings } = read(fhirBaseUrl, document.right)
    yield* Effect.forEach(warnings.values(), (warning) => warn(fhirBaseUrl, warning), { discard: true })
    const type = MediaType.of(response.headers)?.toLowerCase()
    if (!MediaType.isJson(type)) {
      const detail = `the SMART configuration has the content type ${type ?? "(none)"}`
      yield* warn(fhirBaseUrl, { code: "MetadataContentType", detail, requirement: "374" })
    }
    const declared = freshnessMillis(response.headers, now)
    found = {
      metadata,
      freshUntil: now + (declared === undefined ? 60 * MINUTE : Math.min(DAY, Math.max(MINUTE, declared)))
    }
    failure = undefined
    return metadata
  })

  const fetched = retry(attempt, true).pipe(
    Effect.tapError((error) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const pause = Duration.min(error.retryAfter ?? Duration.zero, retryAfterCap)
        failure = { error, until: now + Math.max(3_000, Duration.toMillis(pause)) }
      })
    ),
    Effect.ensuring(Effect.sync(() => {
      running = undefined
    })),
    Effect.withSpan("Discovery.fetch", { kind: "client", attributes: { "smart.fhir_base_url": fhirBaseUrl } })
  )
  const shared = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      running ??= yield* Effect.forkDaemon(Effect.interruptible(fetched))
      return yield* restore(Fiber.join(running))
    })
  )
  const staleOrFail = (error: DiscoveryError, now: number): Effect.Effect<Metadata, DiscoveryError> => {
    if (found === undefined || now >= found.freshUntil + DAY || error.reason === "NotFound") return Effect.fail(error)
    const detail = `the SMART configuration could not be fetched (${error.reason}); the last valid one is used`
    return Effect.as(warn(fhirBaseUrl, { code: "MetadataStale", detail }), found.metadata)
  }
  return Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (found !== undefined && now < found.freshUntil) return Effect.succeed(found.metadata)
    if (failure !== undefined && now < failure.until) return staleOrFail(failure.error, now)
    return Effect.catchAll(shared, (error) => staleOrFail(error, now))
  })
}
