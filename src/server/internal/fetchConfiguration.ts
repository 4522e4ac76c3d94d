/**
 * One request for the SMART configuration of a server and the checks of its response (SMART App Launch 2.2, "Retrieve
 * .well-known/smart-configuration"; requirements 226, 227, 374, 379), with the deprecated CapabilityStatement as
 * fallback.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Service as Warnings } from "../../base/ConformanceWarning.js"
import { ConformanceWarning } from "../../base/ConformanceWarning.js"
import { failOnDefect } from "../../base/FailOnDefect.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { span } from "../../base/Span.js"
import * as ReceivedResponse from "../../http/ReceivedResponse.js"
import { DiscoveryError } from "../DiscoveryError.js"
import type { Loaded, Request } from "../PublishedDocument.js"
import type { SmartConfiguration } from "../SmartConfiguration.js"
import { fromDocument } from "../SmartConfiguration.js"
import * as CapabilityStatement from "./capabilityStatement.js"
import type { Fetched, Problem } from "./fetchDocument.js"
import * as fetchDocument from "./fetchDocument.js"

const ACCEPT = "application/json, application/fhir+json;q=0.9"
const FHIR_ACCEPT = "application/fhir+json, application/json;q=0.9"

const contentTypeWarning = (server: string, response: ReceivedResponse.ReceivedResponse) => {
  const type = ReceivedResponse.mediaType(response)?.toLowerCase()
  return ReceivedResponse.isJsonType(type) ? [] : [
    new ConformanceWarning({
      code: "MetadataContentType",
      server,
      detail: `the SMART configuration has the content type ${type ?? "(none)"}`,
      requirement: "374"
    })
  ]
}

const warningsOf = (
  { deviations, fhirBaseUrl: server, source }: SmartConfiguration,
  response: ReceivedResponse.ReceivedResponse
): ReadonlyArray<ConformanceWarning> => [
  ...deviations.map(({ expected, member, problem }) =>
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
  ...(source === "CapabilityStatement"
    ? [
      new ConformanceWarning({
        code: "MetadataLegacy",
        server,
        detail: "the server has no SMART configuration; the deprecated oauth-uris of its CapabilityStatement are used"
      })
    ]
    : contentTypeWarning(server, response))
]

/** Whether a response means that the server has no SMART configuration. A failed request does not mean that. */
const isAbsent = ({ reason }: Problem, response: ReceivedResponse.ReceivedResponse): boolean =>
  reason === "NotFound" || response.status === 406 ||
  (reason === "NotJson" &&
    (/^\s*</.test(response.body) || ReceivedResponse.mediaType(response)?.toLowerCase().endsWith("html") === true))

/** @internal */
export const fetchConfiguration = (
  client: HttpClient.HttpClient,
  warnings: Warnings,
  fhirBaseUrl: FhirBaseUrl.FhirBaseUrl,
  { allowInsecureLocalhost, legacyMetadata }: Request = {}
): Effect.Effect<Loaded<SmartConfiguration>, DiscoveryError> => {
  const errorOf = (problem: Problem): DiscoveryError => new DiscoveryError({ fhirBaseUrl, ...problem })

  const request = (path: string, accept: string, limits: "metadata" | "fhir") => {
    const url = FhirBaseUrl.append(fhirBaseUrl, path)
    return Effect.mapError(fetchDocument.request({ client, url, accept, limits, allowInsecureLocalhost }), errorOf)
  }

  const decode = (members: JsonObject, { declaredMaxAge, response }: Fetched, source?: "CapabilityStatement") =>
    Effect.gen(function*() {
      const value = yield* Effect.sync(() => fromDocument(fhirBaseUrl, members, source)).pipe(
        failOnDefect((exception) => {
          const { status, url } = response
          return errorOf({ reason: "NotObject", url, detail: `the document cannot be read (${exception})`, status })
        })
      )
      yield* Effect.forEach(warningsOf(value, response), warnings.report, { discard: true })
      return { value, declaredMaxAge }
    })

  /** Some servers send XML despite `Accept`, unless the URL contains the format too. */
  const fetchCapabilityStatement = (absent: Problem) =>
    Effect.gen(function*() {
      for (const path of ["metadata", "metadata?_format=json"]) {
        const parsed = yield* Effect.either(fetchDocument.parse(yield* request(path, FHIR_ACCEPT, "fhir")))
        if (Either.isRight(parsed)) {
          const members = CapabilityStatement.toDocument(parsed.right.members ?? {})
          if (members !== undefined) return yield* decode(members, parsed.right, "CapabilityStatement")
          break
        }
        // After a failure that may pass, it is unknown whether the server has a CapabilityStatement.
        const error = errorOf(parsed.left)
        if (error.isRetryable) return yield* error
        if (error.reason === "NotFound") break
      }
      const detail = `${absent.detail}, and the server has no CapabilityStatement with endpoints`
      return yield* errorOf({ ...absent, detail })
    })

  return Effect.gen(function*() {
    const response = yield* request(".well-known/smart-configuration", ACCEPT, "metadata")
    const parsed = yield* Effect.either(fetchDocument.parse(response))
    if (Either.isRight(parsed)) return yield* decode(parsed.right.members ?? {}, parsed.right)
    return legacyMetadata === true && isAbsent(parsed.left, response)
      ? yield* fetchCapabilityStatement(parsed.left)
      : yield* errorOf(parsed.left)
  }).pipe(span("Discovery.fetch", { kind: "client", attributes: { "smart.fhir_base_url": fhirBaseUrl } }))
}
