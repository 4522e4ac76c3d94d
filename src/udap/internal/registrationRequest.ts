/**
 * One registration request, and the rules for its response (UDAP Security STU2, section 3.2).
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { canonicalJson } from "../../base/CanonicalJson.js"
import { failOnDefect } from "../../base/FailOnDefect.js"
import * as HttpStatus from "../../base/HttpStatus.js"
import { isJsonObject, type JsonObject, parseJson, reader, withoutDeepMembers } from "../../base/JsonReader.js"
import * as Url from "../../base/Url.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OAuthError from "../../http/OAuthError.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as ReceivedResponse from "../../http/ReceivedResponse.js"
import { safeText } from "../../http/Redaction.js"
import * as TransportFailure from "../../http/TransportFailure.js"
import { UdapRegistrationError } from "../UdapRegistrationError.js"

/** @internal */
export interface RegistrationRequest {
  readonly operation: "register" | "cancel"
  readonly endpoint: string
  readonly community: string
  readonly clientUri: string
  /** The requested metadata, as the claims of the statement. */
  readonly requested: JsonObject
  readonly statement: Redacted.Redacted
  readonly certifications: ReadonlyArray<Redacted.Redacted> | undefined
  readonly allowInsecureLocalhost: boolean
}

/** @internal */
export interface RegistrationResponse {
  readonly clientId: string
  /** Whether the server made a new registration, and did not change one. */
  readonly isNew: boolean
  readonly scopes: ReadonlyArray<string> | undefined
  readonly grantTypes: ReadonlyArray<string> | undefined
  /** The requested members that the server registered with another value. */
  readonly changed: ReadonlyArray<string>
}

const ERRORS: Readonly<Record<string, UdapRegistrationError["reason"]>> = {
  invalid_software_statement: "InvalidSoftwareStatement",
  unapproved_software_statement: "UnapprovedSoftwareStatement",
  invalid_client_metadata: "InvalidClientMetadata",
  invalid_redirect_uri: "InvalidRedirectUri"
}

const reasonOf = (status: number, error: string | undefined): UdapRegistrationError["reason"] => {
  if (HttpStatus.isTransient(status)) return "Status"
  const known = error === undefined ? undefined : Object.hasOwn(ERRORS, error) ? ERRORS[error] : "Refused"
  return known ?? (status === 400 || status === 401 || status === 403 ? "Refused" : "Status")
}

const scopesOf = (scope: string | undefined): ReadonlyArray<string> | undefined =>
  scope?.split(" ").filter((one) => one !== "")

/** Lists of RFC 7591 and scopes have no order. */
const comparable = (value: unknown): string =>
  canonicalJson(
    Array.isArray(value) ? [...value].sort() : typeof value === "string" ? value.split(" ").sort() : value
  )

/** A null or empty member has no meaning. */
const isGiven = (value: unknown): boolean => value !== null && value !== ""

/**
 * The registration in a response. The server may repeat `iss`, `aud` and others: they are ignored, as is each member
 * that is not requested.
 *
 * @internal
 */
export const parse = (
  request: RegistrationRequest,
  response: ReceivedResponse.ReceivedResponse,
  nowMillis: number
): Either.Either<RegistrationResponse, UdapRegistrationError> => {
  const { clientUri, community, operation } = request
  const secrets = secretsOf(request)
  const { status } = response
  const fail = (
    reason: UdapRegistrationError["reason"],
    detail: string,
    more: Partial<Pick<UdapRegistrationError, "error" | "errorDescription" | "errorUri" | "processed">> = {}
  ) =>
    Either.left(
      new UdapRegistrationError({
        ...ReceivedResponse.errorFields(response, nowMillis),
        url: safeText(Url.forDisplay(response.url), secrets),
        reason,
        operation,
        community,
        clientUri,
        detail,
        processed: "unknown",
        ...more
      })
    )
  const json = parseJson(response.body)?.value
  if (!HttpStatus.isSuccess(status)) {
    const error = OAuthError.redacted(OAuthError.fromJson(isJsonObject(json) ? json : {}), secrets)
    return fail(reasonOf(status, error.error), `HTTP status ${status}`, {
      ...error,
      processed: HttpStatus.processedAt(status)
    })
  }
  if (json === undefined) return fail("NotJson", `HTTP status ${status}, with a body that is not JSON`)
  if (!isJsonObject(json)) return fail("NotObject", `HTTP status ${status}, with JSON that is not an object`)
  const document = withoutDeepMembers(json, () => undefined)
  const { string, strings } = reader(document, () => undefined)
  const clientId = string("client_id")
  if (clientId === undefined || clientId.trim() === "") {
    return fail("ClientIdMissing", `HTTP status ${status}, without a usable client_id`)
  }
  const grantTypes = strings("grant_types")
  const isCancelled = grantTypes?.length === 0
  if (operation === "register" && isCancelled) {
    return fail("Cancelled", `the response has the client_id ${safeText(clientId, secrets, 80)} and no grant_types`)
  }
  if (operation === "cancel" && !isCancelled) return fail("NotCancelled", "the response has not an empty grant_types")
  return Either.right({
    clientId,
    isNew: status === 201,
    scopes: scopesOf(string("scope")),
    grantTypes,
    changed: Object.entries(request.requested).flatMap(([member, requested]) =>
      Object.hasOwn(document, member) && isGiven(document[member]) &&
        comparable(document[member]) !== comparable(requested)
        ? [member]
        : []
    )
  })
}

const secretsOf = ({ certifications = [], statement }: RegistrationRequest): ReadonlyArray<string> => [
  Redacted.value(statement),
  ...certifications.map(Redacted.value)
]

/**
 * One attempt.
 *
 * @internal
 */
export const send = (
  client: HttpClient.HttpClient,
  request: RegistrationRequest
): Effect.Effect<RegistrationResponse, UdapRegistrationError> =>
  Effect.gen(function*() {
    const { allowInsecureLocalhost, certifications, clientUri, community, endpoint, operation, statement } = request
    const limits = yield* HttpLimits
    const body = {
      software_statement: Redacted.value(statement),
      ...(certifications === undefined ? {} : { certifications: certifications.map(Redacted.value) }),
      udap: "1"
    }
    const about = { operation, community, clientUri }
    const response = yield* OutgoingRequest.send(
      client,
      HttpClientRequest.post(endpoint, {
        acceptJson: true,
        body: HttpBody.text(JSON.stringify(body), "application/json")
      }),
      { timeout: limits.tokenTimeout, maxBytes: limits.maxResponseBytes, redirects: 0, allowInsecureLocalhost }
    ).pipe(
      Effect.mapError((failure) =>
        new UdapRegistrationError({ ...TransportFailure.errorFields(failure, secretsOf(request)), ...about })
      )
    )
    const now = yield* Clock.currentTimeMillis
    return yield* Effect.suspend(() => parse(request, response, now)).pipe(
      failOnDefect((exception) =>
        new UdapRegistrationError({
          ...about,
          reason: "NotObject",
          url: Url.forDisplay(endpoint),
          detail: `HTTP status ${response.status}, with a body that cannot be read (${exception})`,
          processed: "unknown"
        })
      )
    )
  })
