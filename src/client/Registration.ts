/**
 * Registering a client with a server and managing that registration (RFC 7591, RFC 7592; SMART App Launch 2.2,
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
import { withBuildTimeDefault } from "../base/BuildTimeDefault.js"
import { ConfigurationError } from "../base/ConfigurationError.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import type { JsonObject } from "../base/JsonReader.js"
import { isJsonObject, parseJson, reader } from "../base/JsonReader.js"
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
import type { ClientMetadata as Metadata } from "./ClientMetadata.js"
import * as ClientMetadata from "./ClientMetadata.js"
import * as RegisteredClient from "./RegisteredClient.js"
import { RegistrationError } from "./RegistrationError.js"

/**
 * What may differ from one server to the next.
 *
 * @since 0.1.0
 * @category models
 */
export interface ManageOptions {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * Where to register: at a given endpoint, or at the one a FHIR server's configuration names.
 *
 * @since 0.1.0
 * @category models
 */
export type RegisterOptions =
  & ManageOptions
  & {
    /** What allows to register, where a server asks for it. */
    readonly initialAccessToken?: Redacted.Redacted | undefined
  }
  & (
    | { readonly endpoint: string; readonly fhirBaseUrl?: undefined }
    | { readonly fhirBaseUrl: string; readonly endpoint?: undefined }
  )

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Makes a client. Repeated only where the server did not act: a second client would be one too many. */
  readonly register: (
    metadata: Metadata,
    options: RegisterOptions
  ) => Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError | DiscoveryError | ConfigurationError>
  readonly read: (
    registered: RegisteredClient.RegisteredClient,
    options?: ManageOptions
  ) => Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError>
  /** Replaces the metadata as a whole. The answer may hold a new secret and a new access token: keep it. */
  readonly update: (
    registered: RegisteredClient.RegisteredClient,
    metadata: Metadata,
    options?: ManageOptions
  ) => Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError | ConfigurationError>
  readonly remove: (
    registered: RegisteredClient.RegisteredClient,
    options?: ManageOptions
  ) => Effect.Effect<void, RegistrationError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Registration extends Context.Tag("effect-safire/Registration")<Registration, Service>() {}

type Operation = RegistrationError["operation"]

/** One request, before it is sent, and what an error about it must not say. */
interface Step {
  readonly operation: Operation
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  readonly body: JsonObject | undefined
  readonly secrets: ReadonlyArray<string>
}

const METHODS = { register: "POST", read: "GET", update: "PUT", remove: "DELETE" } as const

const requestOf = (step: Step): HttpClientRequest.HttpClientRequest => {
  const request = HttpClientRequest.make(METHODS[step.operation])(step.url, {
    acceptJson: true,
    ...(step.body === undefined ? {} : { body: HttpBody.text(JSON.stringify(step.body), "application/json") })
  })
  return step.token === undefined ? request : HttpClientRequest.bearerToken(request, step.token)
}

const shownUrl = ({ secrets, url }: Step): string => safeText(Url.forDisplay(url), secrets)

const reasonOf = (status: number, hasError: boolean): RegistrationError["reason"] => {
  if (status === 401 || status === 403) return "Unauthorized"
  return !ReceivedResponse.isTransientStatus(status) && (status === 400 || hasError) ? "Refused" : "Status"
}

/** Judges an answer by its status: the body of a success, or why it is none. */
const judge = (
  step: Step,
  answer: ReceivedResponse.ReceivedResponse,
  nowMillis: number
): Either.Either<string, RegistrationError> => {
  const { status } = answer
  if (ReceivedResponse.isSuccess(status)) return Either.right(answer.body)
  const json = parseJson(answer.body)?.value
  const said = (member: string): string | undefined => {
    const value = isJsonObject(json) && Object.hasOwn(json, member) ? json[member] : undefined
    return typeof value === "string" && value !== "" ? value : undefined
  }
  const secrets = [
    ...step.secrets,
    ...["client_secret", "registration_access_token", "software_statement"].flatMap((member) => said(member) ?? [])
  ]
  const oauthError = OAuthError.redacted(isJsonObject(json) ? OAuthError.fromJson(json) : {}, secrets)
  return Either.left(
    new RegistrationError({
      ...ReceivedResponse.errorFields(answer, nowMillis),
      ...oauthError,
      reason: reasonOf(status, oauthError.error !== undefined),
      operation: step.operation,
      url: safeText(Url.forDisplay(answer.url), secrets),
      detail: `HTTP status ${status}`,
      processed: ReceivedResponse.processedAtStatus(status)
    })
  )
}

/** The credentials in an answer, however malformed the rest of it is. */
const credentialsIn = (body: string): RegistrationError["credentials"] => {
  const json = parseJson(body)?.value
  if (!isJsonObject(json)) return undefined
  const { string } = reader(json, () => undefined)
  const secret = (member: string) => {
    const value = string(member)
    return value === undefined ? undefined : Redacted.make(value)
  }
  const found = {
    clientId: string("client_id"),
    clientSecret: secret("client_secret"),
    registrationAccessToken: secret("registration_access_token"),
    registrationClientUri: secret("registration_client_uri")
  }
  return Object.values(found).some((value) => value !== undefined) ? found : undefined
}

/** Judges the body of a success. It may well have made a client, so that nothing here is worth repeating. */
const read = (
  step: Step,
  body: string,
  requested: Metadata | undefined,
  before: RegisteredClient.RegisteredClient | undefined
): Effect.Effect<RegisteredClient.RegisteredClient, RegistrationError> => {
  const fail = (reason: RegistrationError["reason"], detail: string) =>
    new RegistrationError({
      reason,
      operation: step.operation,
      url: shownUrl(step),
      detail,
      processed: "unknown",
      credentials: credentialsIn(body)
    })
  return Effect.suspend(() => {
    const json = parseJson(body)
    if (json === undefined) return fail("NotJson", "the answer to a success is not JSON")
    if (!isJsonObject(json.value)) return fail("NotObject", "the answer to a success is no JSON object")
    const registered = RegisteredClient.fromResponse(json.value, { requested, previous: before })
    return registered === undefined
      ? fail(
        "ClientIdMissing",
        before === undefined ? "there is no usable client_id in it" : "its client_id is not the one asked about"
      )
      : Effect.succeed(registered)
  }).pipe(
    failOnDefect((exception) => fail("NotObject", `the answer to a success cannot be read (${exception})`))
  )
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient | Discovery> = Effect.gen(function*() {
  const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
  const discovery = yield* Discovery
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  const withPolicy = yield* RetryPolicy.capture

  const send = (step: Step, options: ManageOptions): Effect.Effect<string, RegistrationError> =>
    Effect.flatMap(HttpLimits, ({ maxResponseBytes, tokenTimeout }) =>
      OutgoingRequest.send(client, requestOf(step), {
        timeout: tokenTimeout,
        maxBytes: maxResponseBytes,
        redirects: 0,
        allowInsecureLocalhost: options.allowInsecureLocalhost ?? false
      })).pipe(
        Effect.mapError((failure) =>
          new RegistrationError({
            operation: step.operation,
            ...TransportFailure.errorFields(failure, step.secrets)
          })
        ),
        Effect.flatMap((answer) => Effect.flatMap(Clock.currentTimeMillis, (now) => judge(step, answer, now))),
        RetryPolicy.retry(step.operation === "read" ? "always" : "never"),
        withPolicy,
        withLimits,
        Effect.withSpan(`Registration.${step.operation}`, { attributes: { "smart.url": shownUrl(step) } })
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
    const url = Url.parse(endpoint)
    return url !== undefined && Url.isSecure(url, allowInsecureLocalhost ?? false)
      ? Effect.succeed(endpoint)
      : new ConfigurationError({
        reason: url === undefined ? "Invalid" : "Insecure",
        fields: ["endpoint"],
        detail: "give an absolute https URL; http needs a loopback host and allowInsecureLocalhost"
      })
  }

  const secretsOf = (metadata: Metadata | undefined, ...secrets: ReadonlyArray<Redacted.Redacted | undefined>) =>
    [...secrets, metadata?.softwareStatement].flatMap((secret) => secret === undefined ? [] : [Redacted.value(secret)])

  /** A request to the registration's own URL, with its own token. */
  const manage = (
    operation: Operation,
    registered: RegisteredClient.RegisteredClient,
    body?: JsonObject | undefined,
    metadata?: Metadata | undefined
  ): Effect.Effect<Step, RegistrationError> => {
    const { clientSecret, registrationAccessToken: token, registrationClientUri: url } = registered
    return url === undefined || token === undefined
      ? new RegistrationError({
        reason: "NotManageable",
        operation,
        url: url === undefined ? "(none)" : safeText(Url.forDisplay(url), secretsOf(undefined, token, clientSecret)),
        detail: "this registration cannot be managed by its client",
        processed: "no"
      })
      : Effect.succeed({
        operation,
        url,
        token,
        body,
        // The query of a registration's own URL is a secret, too.
        secrets: [...secretsOf(metadata, token, clientSecret), ...(Url.parse(url)?.searchParams.values() ?? [])]
      })
  }

  return {
    register: (metadata, options) =>
      Effect.gen(function*() {
        yield* ClientMetadata.validate(metadata, options)
        const step: Step = {
          operation: "register",
          url: yield* endpointOf(options),
          token: options.initialAccessToken,
          body: ClientMetadata.toJson(metadata),
          secrets: secretsOf(metadata, options.initialAccessToken)
        }
        return yield* read(step, yield* send(step, options), metadata, undefined)
      }),
    read: (registered, options = {}) =>
      Effect.gen(function*() {
        const step = yield* manage("read", registered)
        return yield* read(step, yield* send(step, options), undefined, registered)
      }),
    update: (registered, metadata, options = {}) =>
      Effect.gen(function*() {
        yield* ClientMetadata.validate(metadata, options)
        const { clientId, clientSecret } = registered
        const step = yield* manage("update", registered, {
          ...ClientMetadata.toJson(metadata),
          client_id: clientId,
          ...(clientSecret === undefined ? {} : { client_secret: Redacted.value(clientSecret) })
        }, metadata)
        return yield* read(step, yield* send(step, options), metadata, registered)
      }),
    remove: (registered, options = {}) =>
      Effect.flatMap(manage("remove", registered), (step) => Effect.asVoid(send(step, options)))
  }
})

/**
 * Made anew for each use: it keeps nothing that could be shared, and uses the `HttpClient` it is provided with.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Registration, never, HttpClient.HttpClient | Discovery> = Layer.fresh(
  Layer.effect(Registration, make)
)
