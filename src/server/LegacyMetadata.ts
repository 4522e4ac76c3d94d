/**
 * Metadata of a server that has no SMART configuration: the deprecated `oauth-uris` of its CapabilityStatement
 * (SMART App Launch 2.2, requirements 226 and 227). `Discovery` uses them only if a program asks for it, so that other
 * programs do not contain this code.
 *
 * @example
 * import { LegacyMetadata, SmartClient } from "effect-safire"
 *
 * export const layer = SmartClient.layer({
 *   fhirBaseUrl: "https://old.example.org/fhir",
 *   clientId: "my-app",
 *   legacyMetadata: LegacyMetadata.capabilityStatement
 * })
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { ConformanceWarning } from "../base/ConformanceWarning.js"
import { unsafeMillis } from "../base/FiberEnvironment.js"
import type { JsonObject } from "../base/JsonReader.js"
import * as MediaType from "../base/MediaType.js"
import type { ReceivedResponse } from "../http/ReceivedResponse.js"
import type { DiscoveryError } from "./DiscoveryError.js"
import * as CapabilityStatement from "./internal/capabilityStatement.js"
import * as DocumentRequest from "./internal/documentRequest.js"
import type { Loaded } from "./PublishedDocument.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

/**
 * The steps of one attempt to fetch a configuration.
 *
 * @internal
 */
export interface Steps {
  readonly fhirBaseUrl: string
  readonly request: (
    path: string,
    accept: string,
    limits: "metadata" | "fhir"
  ) => Effect.Effect<ReceivedResponse, DiscoveryError>
  readonly decode: (
    members: JsonObject,
    fetched: DocumentRequest.Fetched,
    warnings: ReadonlyArray<ConformanceWarning>,
    source?: "CapabilityStatement"
  ) => Effect.Effect<Loaded<SmartConfiguration>, DiscoveryError>
  readonly errorOf: (problem: DocumentRequest.Problem) => DiscoveryError
}

/**
 * A source of metadata for a server without a SMART configuration: an option of `SmartClient` and `Discovery`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LegacyMetadata {
  /**
   * The metadata, or the error for `problem` if the server may have a SMART configuration.
   *
   * @internal
   */
  readonly find: (
    steps: Steps,
    problem: DocumentRequest.Problem,
    response: ReceivedResponse
  ) => Effect.Effect<Loaded<SmartConfiguration>, DiscoveryError>
}

const ACCEPT = "application/fhir+json, application/json;q=0.9"

/** Whether a response means that the server has no SMART configuration. A failed request does not mean that. */
const isAbsent = ({ reason }: DocumentRequest.Problem, response: ReceivedResponse): boolean =>
  reason === "NotFound" || response.status === 406 ||
  (reason === "NotJson" &&
    (/^\s*</.test(response.body) || MediaType.of(response.headers)?.toLowerCase().endsWith("html") === true))

/**
 * The `oauth-uris` and `capabilities` extensions of the CapabilityStatement, with a `MetadataLegacy` warning. Requested
 * only if the response to the request for the SMART configuration is 404, 410, 406 or a web page; not after a failure
 * of the network.
 *
 * @since 0.1.0
 * @category constructors
 */
export const capabilityStatement: LegacyMetadata = {
  find: ({ decode, errorOf, fhirBaseUrl, request }, problem, response) =>
    Effect.gen(function*() {
      if (!isAbsent(problem, response)) return yield* errorOf(problem)
      // Some servers send XML despite `Accept`, unless the URL contains the format too.
      for (const path of ["metadata", "metadata?_format=json"]) {
        const parsed = DocumentRequest.parse(yield* request(path, ACCEPT, "fhir"), unsafeMillis())
        if (Either.isRight(parsed)) {
          const members = CapabilityStatement.toDocument(parsed.right.members ?? {})
          if (members === undefined) break
          const detail =
            "the server has no SMART configuration; the deprecated oauth-uris of its CapabilityStatement are used"
          const warning = new ConformanceWarning({ code: "MetadataLegacy", server: fhirBaseUrl, detail })
          return yield* decode(members, parsed.right, [warning], "CapabilityStatement")
        }
        // After a failure that may pass, it is unknown whether the server has a CapabilityStatement.
        const error = errorOf(parsed.left)
        if (error.isRetryable) return yield* error
        if (error.reason === "NotFound") break
      }
      const detail = `${problem.detail}, and the server has no CapabilityStatement with endpoints`
      return yield* errorOf({ ...problem, detail })
    })
}
