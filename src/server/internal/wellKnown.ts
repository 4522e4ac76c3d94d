/**
 * Asking a server for its SMART configuration, once, and judging what it answers (SMART App Launch 2.2, "Retrieve .well-known/smart-configuration";
 * requirements 226, 227, 374, 379). Where the caller asks for it, a server that has none may answer with the deprecated CapabilityStatement instead.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Service as Warnings } from "../../base/ConformanceWarning.js"
import { ConformanceWarning } from "../../base/ConformanceWarning.js"
import { failOnDefect } from "../../base/FailOnDefect.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { JsonObject } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import * as Freshness from "../../http/Freshness.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as ReceivedResponse from "../../http/ReceivedResponse.js"
import * as TransportFailure from "../../http/TransportFailure.js"
import type { Request } from "../Discovery.js"
import { DiscoveryError } from "../DiscoveryError.js"
import type { SmartConfiguration } from "../SmartConfiguration.js"
import { fromDocument } from "../SmartConfiguration.js"
import * as LegacyMetadata from "./capabilityStatement.js"

/** @internal */
export interface Found {
  readonly configuration: SmartConfiguration
  /** How long the answer may be kept by its own word, in milliseconds. */
  readonly declaredMaxAge: number | undefined
}

const WELL_KNOWN_ACCEPT = "application/json, application/fhir+json;q=0.9"
const FHIR_ACCEPT = "application/fhir+json, application/json;q=0.9"

/** Judges an answer: a pure step, so that every shape of answer can be tested without a server. */
const judge = (
  fhirBaseUrl: FhirBaseUrl.FhirBaseUrl,
  answer: ReceivedResponse.ReceivedResponse,
  nowMillis: number
): Either.Either<JsonObject, DiscoveryError> => {
  return Either.mapLeft(
    ReceivedResponse.parseJsonObject(answer),
    (problem) => new DiscoveryError({ fhirBaseUrl, ...problem, ...ReceivedResponse.errorFields(answer, nowMillis) })
  )
}

const warningsOf = (
  configuration: SmartConfiguration,
  answer: ReceivedResponse.ReceivedResponse
): ReadonlyArray<ConformanceWarning> => {
  const server = configuration.fhirBaseUrl
  const type = ReceivedResponse.mediaType(answer)?.toLowerCase()
  return [
    ...configuration.deviations.map(({ expected, member, problem }) =>
      new ConformanceWarning(
        problem === "Relative"
          ? {
            code: "MetadataEndpointRelative",
            server,
            detail: `${member} is relative; it was resolved`,
            requirement: "379"
          }
          : { code: "MetadataMemberMalformed", server, detail: `${member} is not ${expected}; it counts as absent` }
      )
    ),
    ...(configuration.source === "CapabilityStatement"
      ? [
        new ConformanceWarning({
          code: "MetadataLegacy",
          server,
          detail: "it has no SMART configuration; the deprecated oauth-uris of its CapabilityStatement serve instead"
        })
      ]
      : !ReceivedResponse.isJsonType(type)
      ? [
        new ConformanceWarning({
          code: "MetadataContentType",
          server,
          detail: `the SMART configuration came as ${type ?? "no content type"}`,
          requirement: "374"
        })
      ]
      : [])
  ]
}

/** Answers that say there is no SMART configuration here. Failures of the network say nothing about that. */
const saysNone = (error: DiscoveryError, answer: ReceivedResponse.ReceivedResponse): boolean =>
  error.reason === "NotFound" || answer.status === 406 ||
  (error.reason === "NotJson" &&
    (/^\s*</.test(answer.body) || ReceivedResponse.mediaType(answer)?.toLowerCase().endsWith("html") === true))

/**
 * One attempt.
 *
 * @internal
 */
export const fetch = Effect.fn("Discovery.fetch")(
  function*(
    client: HttpClient.HttpClient,
    warnings: Warnings,
    fhirBaseUrl: FhirBaseUrl.FhirBaseUrl,
    request: Request | undefined
  ) {
    const limits = yield* HttpLimits
    yield* Effect.annotateCurrentSpan("smart.fhir_base_url", fhirBaseUrl)

    const ask = (path: string, accept: string, maxBytes: number) =>
      OutgoingRequest.send(
        client,
        HttpClientRequest.get(FhirBaseUrl.append(fhirBaseUrl, path)).pipe(
          HttpClientRequest.setHeader("accept", accept)
        ),
        {
          timeout: limits.discoveryTimeout,
          maxBytes,
          redirects: 3,
          allowInsecureLocalhost: request?.allowInsecureLocalhost ?? false
        }
      ).pipe(
        Effect.mapError((failure) => new DiscoveryError({ fhirBaseUrl, ...TransportFailure.errorFields(failure) }))
      )

    const found = (
      document: JsonObject,
      answer: ReceivedResponse.ReceivedResponse,
      now: number,
      source?: "CapabilityStatement"
    ) =>
      Effect.gen(function*() {
        const configuration = yield* Effect.sync(() => fromDocument(fhirBaseUrl, document, source)).pipe(
          failOnDefect((exception) =>
            new DiscoveryError({
              reason: "NotObject",
              fhirBaseUrl,
              url: Url.forDisplay(answer.url),
              detail: `it answered with a document that cannot be read (${exception})`,
              status: answer.status
            })
          )
        )
        yield* Effect.forEach(warningsOf(configuration, answer), warnings.report, { discard: true })
        return { configuration, declaredMaxAge: Freshness.millis(answer.headers, now) }
      })

    /** The CapabilityStatement in JSON: some servers give XML whatever is accepted, unless the URL says it, too. */
    const legacy = (without: DiscoveryError) =>
      Effect.gen(function*() {
        for (const path of ["metadata", "metadata?_format=json"]) {
          const answer = yield* ask(path, FHIR_ACCEPT, limits.maxFhirResponseBytes)
          const now = yield* Clock.currentTimeMillis
          const judged = judge(fhirBaseUrl, answer, now)
          if (Either.isRight(judged)) {
            const document = LegacyMetadata.toDocument(judged.right)
            if (document !== undefined) return yield* found(document, answer, now, "CapabilityStatement")
            break
          }
          // What may be otherwise in a moment must not pass for "there is none".
          if (judged.left.isRetryable) return yield* judged.left
          if (judged.left.reason === "NotFound") break
        }
        return yield* new DiscoveryError({
          reason: without.reason,
          fhirBaseUrl,
          url: without.url,
          detail: `${without.detail}, and no CapabilityStatement names endpoints instead`,
          status: without.status,
          retryAfter: without.retryAfter
        })
      })

    const answer = yield* ask(".well-known/smart-configuration", WELL_KNOWN_ACCEPT, limits.maxResponseBytes)
    const now = yield* Clock.currentTimeMillis
    const judged = judge(fhirBaseUrl, answer, now)
    if (Either.isRight(judged)) return yield* found(judged.right, answer, now)
    return request?.legacyMetadata === true && saysNone(judged.left, answer)
      ? yield* legacy(judged.left)
      : yield* judged.left
  }
)
