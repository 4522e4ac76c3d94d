/**
 * FHIR requests that carry the access token to where it may go and nowhere else (SMART App Launch 2.2, "Access FHIR API"; requirements 93, 97, 98).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { captured } from "../base/captured.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import type { JsonObject } from "../base/members.js"
import { isJsonObject, parseJson, reader } from "../base/members.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as Outbound from "../http/Outbound.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TokenAudience from "../http/TokenAudience.js"
import { isTransientStatus } from "../http/wireFields.js"
import type * as SmartClient from "../SmartClient.js"
import type { TokenSet } from "../token/TokenSet.js"
import type { Issue } from "./FhirError.js"
import { FhirError } from "./FhirError.js"

/**
 * A FHIR resource as JSON: what `@types/fhir` describes, or a caller's own schema decodes.
 *
 * @since 0.1.0
 * @category models
 */
export type Resource = JsonObject & { readonly resourceType: string }

/**
 * Requests with one token.
 *
 * @since 0.1.0
 * @category models
 */
export interface Authorized {
  readonly read: (resourceType: string, id: string) => Effect.Effect<Resource, FhirError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** With tokens that somebody else keeps fresh. */
  readonly forTokens: (client: SmartClient.Service, tokens: TokenSet) => Authorized
}

/**
 * @since 0.1.0
 * @category tags
 */
export class FhirClient extends Context.Tag("effect-safire/FhirClient")<FhirClient, Service>() {}

const issuesOf = (resource: JsonObject | undefined): ReadonlyArray<Issue> => {
  if (resource?.["resourceType"] !== "OperationOutcome") return []
  const ignore = () => undefined
  return (reader(resource, ignore).objects("issue") ?? []).slice(0, 20).map((issue) => {
    const { object, string } = reader(issue, ignore)
    const details = object("details")
    return {
      severity: string("severity"),
      code: string("code"),
      text: details === undefined ? undefined : reader(details, ignore).string("text"),
      diagnostics: string("diagnostics")
    }
  })
}

const reasonOf = (status: number): FhirError["reason"] => {
  switch (status) {
    case 401:
      return "Unauthorized"
    case 403:
      return "Forbidden"
    case 404:
    case 410:
      return "NotFound"
    default:
      return isTransientStatus(status) || status >= 500 ? "Unavailable" : "Refused"
  }
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = Outbound.prepare(yield* HttpClient.HttpClient)
  const withPolicy = yield* RetryPolicy.capture
  const withLimits = yield* captured(HttpLimits)

  return {
    forTokens: (smart, tokens) => {
      const { allowInsecureLocalhost = false, fhirBaseUrl } = smart.config
      const audience = TokenAudience.make(
        [fhirBaseUrl, ...(tokens.context.authorizationDetails ?? []).flatMap(({ locations }) => locations)],
        { allowInsecureLocalhost }
      )

      const get = (interaction: string, target: string) =>
        Effect.gen(function*() {
          const fail = (
            fields: Omit<ConstructorParameters<typeof FhirError>[0], "fhirBaseUrl" | "interaction" | "issues"> & {
              readonly issues?: ReadonlyArray<Issue>
            }
          ) => new FhirError({ issues: [], ...fields, fhirBaseUrl, interaction })
          const url = TokenAudience.judge(audience, target)
          if (Either.isLeft(url)) {
            return yield* fail({ reason: "ForeignLink", detail: `the URL is not this token's to visit (${url.left})` })
          }
          const limits = yield* HttpLimits
          const answer = yield* Outbound.send(
            client,
            HttpClientRequest.get(url.right.href).pipe(
              HttpClientRequest.setHeader("accept", "application/fhir+json, application/json;q=0.9"),
              HttpClientRequest.bearerToken(tokens.accessToken)
            ),
            {
              timeout: limits.fhirTimeout,
              maxBytes: limits.maxFhirResponseBytes,
              redirects: 0,
              allowInsecureLocalhost
            }
          ).pipe(Effect.mapError(({ detail, reason, status }) => fail({ reason, detail, status })))
          const json = parseJson(answer.body)?.value
          const resource = isJsonObject(json) ? json : undefined
          if (answer.status < 200 || answer.status > 299) {
            const now = yield* Clock.currentTimeMillis
            return yield* fail({
              reason: reasonOf(answer.status),
              detail: `it answered ${answer.status}`,
              issues: issuesOf(resource),
              status: answer.status,
              retryAfter: RetryAfter.parse(answer.headers["retry-after"], now)
            })
          }
          if (resource === undefined || typeof resource["resourceType"] !== "string") {
            return yield* fail({ reason: "NotFhir", detail: `it answered ${answer.status}`, status: answer.status })
          }
          return resource as Resource
        }).pipe(
          RetryPolicy.retry("always"),
          withPolicy,
          withLimits,
          Effect.withSpan(`FhirClient.${interaction}`, { kind: "client", attributes: { "smart.server": smart.name } })
        )

      return {
        read: (resourceType, id) =>
          // FHIR R4, section 2.24.0.1: what a type and an id may look like; anything else could leave the path.
          /^[A-Za-z]+$/.test(resourceType) && /^[A-Za-z0-9\-.]{1,64}$/.test(id)
            ? get(
              `read ${resourceType}`,
              FhirBaseUrl.append(fhirBaseUrl as FhirBaseUrl.FhirBaseUrl, `${resourceType}/${id}`)
            )
            : new FhirError({
              reason: "InvalidReference",
              fhirBaseUrl,
              interaction: "read",
              detail: "the resource type or the id has characters that FHIR does not allow",
              issues: []
            })
      }
    }
  }
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<FhirClient, never, HttpClient.HttpClient> = Layer.effect(FhirClient, make)
