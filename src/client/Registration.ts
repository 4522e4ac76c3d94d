/**
 * Registers a client with a server, and manages the registration (RFC 7591, RFC 7592; SMART App Launch 2.2,
 * "Register App with EHR", requirement 292).
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import * as HttpStatus from "../base/HttpStatus.js"
import { isJsonObject, type JsonObject, parseJson, reader } from "../base/JsonReader.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import { span } from "../base/Span.js"
import * as Url from "../base/Url.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OAuthError from "../http/OAuthError.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import * as ReceivedResponse from "../http/ReceivedResponse.js"
import { safeText } from "../http/Redaction.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TransportFailure from "../http/TransportFailure.js"
import { Discovery } from "../server/Discovery.js"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import * as SmartConfiguration from "../server/SmartConfiguration.js"
import * as ClientMetadata from "./ClientMetadata.js"
import { urlError } from "./internal/configurationError.js"
import * as RegisteredClient from "./RegisteredClient.js"
import { RegistrationError } from "./RegistrationError.js"

/**
 * The options of every request.
 *
 * @since 0.1.0
 * @category models
 */
export interface ManageOptions {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * The endpoint: a URL, or the `registration_endpoint` in the SMART configuration of a FHIR server.
 *
 * @since 0.1.0
 * @category models
 */
export type RegisterOptions =
  & ManageOptions
  & {
    /** The token that allows registration, for servers that require one. */
    readonly initialAccessToken?: Redacted.Redacted | undefined
  }
  & (
    | { readonly endpoint: string; readonly fhirBaseUrl?: undefined }
    | { readonly fhirBaseUrl: string; readonly endpoint?: undefined }
  )

/**
 * Registers clients and manages their registrations. Each operation fails with a `RegistrationError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Registers a client. Retried only if the server did not act, because a retry could register a second client. */
  readonly register: (
    metadata: ClientMetadata.ClientMetadata,
    options: RegisterOptions
  ) => Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError | DiscoveryError | ConfigurationError>
  /** The registration as the server has it (RFC 7592, section 2.1). */
  readonly read: (
    registered: RegisteredClient.RegisteredClient,
    options?: ManageOptions
  ) => Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError>
  /** Replaces all metadata. Store the result: it may have a new secret and a new registration access token. */
  readonly update: (
    registered: RegisteredClient.RegisteredClient,
    metadata: ClientMetadata.ClientMetadata,
    options?: ManageOptions
  ) => Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError | ConfigurationError>
  /** Removes the client at the server (RFC 7592, section 2.3). */
  readonly remove: (
    registered: RegisteredClient.RegisteredClient,
    options?: ManageOptions
  ) => Effect.Effect<void, RegistrationError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Registration extends Context.Tag("effect-safire/Registration")<Registration, Service>() {}

type Operation = RegistrationError["operation"]

interface RequestDescription {
  readonly operation: Operation
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  readonly body: JsonObject | undefined
  /** Must not be in an error. */
  readonly secrets: ReadonlyArray<string>
}

const METHODS = { register: "POST", read: "GET", update: "PUT", remove: "DELETE" } as const

const build = ({ body, operation, token, url }: RequestDescription): HttpClientRequest.HttpClientRequest => {
  const request = HttpClientRequest.make(METHODS[operation])(url, {
    acceptJson: true,
    ...(body === undefined ? {} : { body: HttpBody.text(JSON.stringify(body), "application/json") })
  })
  return token === undefined ? request : HttpClientRequest.bearerToken(request, token)
}

const shownUrl = ({ secrets, url }: RequestDescription): string => safeText(Url.forDisplay(url), secrets)

const reasonOf = (status: number, hasError: boolean): RegistrationError["reason"] => {
  if (status === 401 || status === 403) return "Unauthorized"
  return !HttpStatus.isTransient(status) && (status === 400 || hasError) ? "Refused" : "Status"
}

/** The body of a success, or the error that the status means. */
const validateStatus = (
  request: RequestDescription,
  response: ReceivedResponse.ReceivedResponse,
  nowMillis: number
): Either.Either<string, RegistrationError> => {
  const { status } = response
  if (HttpStatus.isSuccess(status)) return Either.right(response.body)
  const value = parseJson(response.body)?.value
  const members = isJsonObject(value) ? value : {}
  const { string } = reader(members, () => undefined)
  const secrets = [
    ...request.secrets,
    ...["client_secret", "registration_access_token", "software_statement"].flatMap((member) => string(member) ?? [])
  ]
  const oauthError = OAuthError.redacted(OAuthError.fromJson(members), secrets)
  return Either.left(
    new RegistrationError({
      ...ReceivedResponse.errorFields(response, nowMillis),
      ...oauthError,
      reason: reasonOf(status, oauthError.error !== undefined),
      operation: request.operation,
      url: safeText(Url.forDisplay(response.url), secrets),
      detail: `HTTP status ${status}`,
      processed: HttpStatus.processedAt(status)
    })
  )
}

/** The credentials in a response, although the rest of it is unusable. */
const credentialsIn = (body: string): RegistrationError["credentials"] => {
  const json = parseJson(body)?.value
  if (!isJsonObject(json)) return undefined
  const { redacted, string } = reader(json, () => undefined)
  const found = {
    clientId: string("client_id"),
    clientSecret: redacted("client_secret"),
    registrationAccessToken: redacted("registration_access_token"),
    registrationClientUri: redacted("registration_client_uri")
  }
  return Object.values(found).some((value) => value !== undefined) ? found : undefined
}

/**
 * The client in the body of a success. After an error here the server may have registered a client: it is not
 * retried.
 */
const parse = (
  request: RequestDescription,
  body: string,
  requested: ClientMetadata.ClientMetadata | undefined,
  previous: RegisteredClient.RegisteredClient | undefined
): Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError> => {
  const fail = (reason: RegistrationError["reason"], detail: string) =>
    new RegistrationError({
      reason,
      operation: request.operation,
      url: shownUrl(request),
      detail,
      processed: "unknown",
      credentials: credentialsIn(body)
    })
  return Effect.suspend(() => {
    const json = parseJson(body)
    if (json === undefined) return fail("NotJson", "the body of the success is not JSON")
    if (!isJsonObject(json.value)) return fail("NotObject", "the body of the success is not a JSON object")
    const registered = RegisteredClient.fromResponse(json.value, { requested, previous })
    if (registered !== undefined) return Effect.succeed(registered)
    const detail = previous === undefined
      ? "the response has no usable client_id"
      : "the response has another client_id"
    return fail("ClientIdMissing", detail)
  }).pipe(
    failOnDefect((exception) => fail("NotObject", `the body of the success cannot be read (${exception})`))
  )
}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient | Discovery> = Effect.gen(function*() {
  const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
  const discovery = yield* Discovery
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  const withPolicy = yield* RetryPolicy.capture

  const send = (request: RequestDescription, options: ManageOptions): Effect.Effect<string, RegistrationError> =>
    Effect.flatMap(HttpLimits, ({ maxResponseBytes, tokenTimeout }) =>
      OutgoingRequest.send(client, build(request), {
        timeout: tokenTimeout,
        maxBytes: maxResponseBytes,
        redirects: 0,
        allowInsecureLocalhost: options.allowInsecureLocalhost ?? false
      })).pipe(
        Effect.mapError((failure) =>
          new RegistrationError({
            operation: request.operation,
            ...TransportFailure.errorFields(failure, request.secrets)
          })
        ),
        Effect.flatMap((response) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => validateStatus(request, response, now))
        ),
        // `isRetryable` is false after a change that the server may have made.
        RetryPolicy.retry("always"),
        withPolicy,
        withLimits,
        span(`Registration.${request.operation}`, { attributes: { "smart.url": shownUrl(request) } })
      )

  const endpointOf = (
    options: RegisterOptions
  ): Effect.Effect<string, DiscoveryError | ConfigurationError> => {
    const { allowInsecureLocalhost, endpoint, fhirBaseUrl } = options
    if (fhirBaseUrl !== undefined) {
      return Effect.flatMap(
        discovery.configuration(fhirBaseUrl, { allowInsecureLocalhost }),
        (configuration) =>
          SmartConfiguration.endpoint(configuration, "registrationEndpoint", { allowInsecureLocalhost })
      )
    }
    return urlError("endpoint", endpoint, allowInsecureLocalhost) ?? Effect.succeed(endpoint)
  }

  const secretsOf = (
    metadata: ClientMetadata.ClientMetadata | undefined,
    ...secrets: ReadonlyArray<Redacted.Redacted | undefined>
  ) =>
    [...secrets, metadata?.softwareStatement].flatMap((secret) => secret === undefined ? [] : [Redacted.value(secret)])

  /** A request to `registration_client_uri`, with the registration access token. */
  const manage = (
    operation: Operation,
    registered: RegisteredClient.RegisteredClient,
    body?: JsonObject | undefined,
    metadata?: ClientMetadata.ClientMetadata | undefined
  ): Effect.Effect<RequestDescription, RegistrationError> => {
    const { clientSecret, registrationAccessToken: token, registrationClientUri: url } = registered
    return url === undefined || token === undefined
      ? new RegistrationError({
        reason: "NotManageable",
        operation,
        url: url === undefined ? "(none)" : safeText(Url.forDisplay(url), secretsOf(undefined, token, clientSecret)),
        detail: "the registration has no registration_client_uri or no registration_access_token",
        processed: "no"
      })
      : Effect.succeed({
        operation,
        url,
        token,
        body,
        // The query of a registration's URL may hold a secret.
        secrets: [...secretsOf(metadata, token, clientSecret), ...(Url.parse(url)?.searchParams.values() ?? [])]
      })
  }

  return {
    register: (metadata, options) =>
      Effect.gen(function*() {
        yield* ClientMetadata.validate(metadata, options)
        const request: RequestDescription = {
          operation: "register",
          url: yield* endpointOf(options),
          token: options.initialAccessToken,
          body: ClientMetadata.toJson(metadata),
          secrets: secretsOf(metadata, options.initialAccessToken)
        }
        return yield* parse(request, yield* send(request, options), metadata, undefined)
      }),
    read: (registered, options = {}) =>
      Effect.gen(function*() {
        const request = yield* manage("read", registered)
        return yield* parse(request, yield* send(request, options), undefined, registered)
      }),
    update: (registered, metadata, options = {}) =>
      Effect.gen(function*() {
        yield* ClientMetadata.validate(metadata, options)
        const { clientId, clientSecret } = registered
        const request = yield* manage("update", registered, {
          ...ClientMetadata.toJson(metadata),
          client_id: clientId,
          ...(clientSecret === undefined ? {} : { client_secret: Redacted.value(clientSecret) })
        }, metadata)
        return yield* parse(request, yield* send(request, options), metadata, registered)
      }),
    remove: (registered, options = {}) =>
      Effect.flatMap(manage("remove", registered), (request) => Effect.asVoid(send(request, options)))
  }
})

/**
 * Built for each use, with the `HttpClient` that it is provided with: it has no state to share.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Registration, never, HttpClient.HttpClient | Discovery> = Layer.fresh(
  Layer.effect(Registration, make)
)
