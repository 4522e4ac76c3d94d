/**
 * Registers an app with the authorization server of a trust community, and keeps the registration (UDAP Security STU2,
 * section 3). Processes that share a `SessionStore` share registrations: of several that start together one registers.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { canonicalJson } from "../base/CanonicalJson.js"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { ConformanceWarning, ConformanceWarnings } from "../base/ConformanceWarning.js"
import { withBuildTimeDefault } from "../base/Settings.js"
import * as Sha256 from "../base/Sha256.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import type { SessionError } from "../session/SessionError.js"
import { SessionStore } from "../session/SessionStore.js"
import * as Certification from "./Certification.js"
import { checkValidity, type ClientCertificate, clientUri } from "./ClientCertificate.js"
import { type RegistrationResponse, send } from "./internal/registrationRequest.js"
import * as registrations from "./internal/registrationStore.js"
import { RegisteredApp } from "./internal/registrationStore.js"
import * as SoftwareStatement from "./SoftwareStatement.js"
import type { TrustError } from "./TrustError.js"
import { UdapDiscovery } from "./UdapDiscovery.js"
import type { UdapDiscoveryError } from "./UdapDiscoveryError.js"
import type { UdapMetadata } from "./UdapMetadata.js"
import { UdapRegistrationError } from "./UdapRegistrationError.js"

export { RegisteredApp } from "./internal/registrationStore.js"

/**
 * An app at a server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  readonly fhirBaseUrl: string
  /** The trust community; optional where `TrustPolicy` has only one. */
  readonly community?: string | undefined
  readonly certificate: ClientCertificate
  /** The URI by which the app is known. Default: the only URI of the certificate. */
  readonly clientUri?: string | undefined
  readonly metadata: SoftwareStatement.Metadata
  /** Signed by `Certification.make`, or by a third party. A modification replaces all of them. */
  readonly certifications?: ReadonlyArray<Redacted.Redacted> | undefined
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * The errors of a registration.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failure = UdapRegistrationError | UdapDiscoveryError | TrustError | SessionError | ConfigurationError

/**
 * Registers a client with its certificates (UDAP Dynamic Client Registration).
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * The stored registration, if it has these metadata, these certifications and this certificate. Otherwise registers:
   * a second registration replaces the metadata of the first. A stored registration with a certificate that ends later
   * is used, too: another process has the new certificate already.
   */
  readonly current: (request: Request) => Effect.Effect<RegisteredApp, Failure>
  /** Registers, also if a registration is stored. */
  readonly register: (request: Request) => Effect.Effect<RegisteredApp, Failure>
  /**
   * Registers again because the server does not know the client id `refused` any more, unless another process has
   * done so, or the registration is younger than a minute.
   */
  readonly replace: (request: Request, refused: string) => Effect.Effect<RegisteredApp, Failure>
  /** Cancels the registration, and removes it from the store. */
  readonly cancel: (request: Request) => Effect.Effect<void, Failure>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class UdapRegistration extends Context.Tag("effect-safire/udap/UdapRegistration")<UdapRegistration, Service>() {}

/** The server of a request. */
interface Prepared extends registrations.Key {
  readonly request: Request
  readonly server: UdapMetadata
}

const MIN_AGE_MILLIS = 60_000

type Outcome = Either.Either<RegisteredApp, UdapRegistrationError | ConfigurationError>

/** Wildcards are allowed only where the server lists some (section 7.3). */
const checkWildcards = (
  { metadata: { scopes } }: Request,
  { scopesSupported }: UdapMetadata
): Effect.Effect<void, ConfigurationError> => {
  const isWildcard = (scope: string) => scope.includes("*")
  const wildcards = scopes.filter(isWildcard)
  return wildcards.length === 0 || scopesSupported === undefined || scopesSupported.some(isWildcard)
    ? Effect.void
    : configurationError(
      "Conflict",
      ["scopes"],
      `the server lists no scope with a wildcard, so ${wildcards.join(" ")} cannot be requested; name resources`
    )
}

const contentOf = ({ certifications, metadata }: Request): Effect.Effect<string> => {
  const content = canonicalJson([
    SoftwareStatement.toClaims(metadata, "register"),
    certifications?.map(Certification.content)
  ])
  return Sha256.base64Url(content)
}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient | UdapDiscovery | SessionStore> = Effect.gen(
  function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const discovery = yield* UdapDiscovery
    const store = yield* SessionStore
    const warnings = yield* ConformanceWarnings
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    const withPolicy = yield* RetryPolicy.capture

    /** Checks all that can be checked before a request is sent. */
    const prepare = (request: Request) =>
      Effect.gen(function*() {
        const { certificate, fhirBaseUrl, metadata } = request
        yield* SoftwareStatement.validate(metadata, request)
        yield* checkValidity(certificate)
        const uri = yield* clientUri(certificate, request.clientUri)
        const server = yield* discovery.metadata(fhirBaseUrl, request)
        const { community, registrationEndpoint } = server
        if (server.profilesSupported !== undefined && !server.supportsRegistration) {
          return yield* new UdapRegistrationError({
            reason: "NotSupported",
            operation: "register",
            url: registrationEndpoint,
            detail: "its udap_profiles_supported does not have udap_dcr",
            community,
            clientUri: uri,
            processed: "no"
          })
        }
        yield* checkWildcards(request, server)
        return { request, server, registrationEndpoint, community, clientUri: uri }
      })

    const post = (
      { request, server, ...key }: Prepared,
      operation: "register" | "cancel"
    ): Effect.Effect<RegistrationResponse, UdapRegistrationError | ConfigurationError> =>
      Effect.gen(function*() {
        const { allowInsecureLocalhost = false, certificate, certifications, metadata } = request
        if (operation === "register") {
          yield* Certification.validate(certifications ?? [], { ...key, required: server.certificationsRequired })
        }
        // Each attempt has its own statement, which is valid for one request.
        const statement = yield* SoftwareStatement.make(metadata, {
          certificate,
          clientUri: key.clientUri,
          registrationEndpoint: key.registrationEndpoint,
          signingAlgs: server.registrationEndpointJwtSigningAlgValuesSupported,
          operation,
          allowInsecureLocalhost
        })
        return yield* send(client, {
          operation,
          endpoint: key.registrationEndpoint,
          community: key.community,
          clientUri: key.clientUri,
          requested: SoftwareStatement.toClaims(metadata, operation),
          statement,
          certifications: operation === "register" ? certifications : undefined,
          allowInsecureLocalhost
        })
      }).pipe(
        // A second registration changes the first into itself, so that repeating is safe.
        RetryPolicy.retry("always"),
        withPolicy,
        withLimits,
        Effect.withSpan(`UdapRegistration.${operation}`, {
          kind: "client",
          attributes: { "smart.fhir_base_url": request.fhirBaseUrl, "udap.community": key.community }
        })
      )

    const registerNow = (prepared: Prepared, content: string) =>
      Effect.gen(function*() {
        const { clientUri, community, registrationEndpoint, request: { certificate, fhirBaseUrl, metadata } } = prepared
        for (const { detail, requirement } of SoftwareStatement.recommendations(metadata)) {
          yield* Effect.logInfo(`${fhirBaseUrl}: ${detail} [${requirement}]`)
        }
        const response = yield* post(prepared, "register")
        for (const member of response.changed) {
          yield* warnings.report(
            new ConformanceWarning({
              code: "RegistrationChanged",
              server: fhirBaseUrl,
              detail: `the server registered another ${member} than was requested`
            })
          )
        }
        yield* Effect.logInfo(
          `${fhirBaseUrl} ${response.isNew ? "registered" : "changed the registration of"} ${clientUri}`
        )
        return new RegisteredApp({
          registrationEndpoint,
          community,
          clientUri,
          clientId: response.clientId,
          scopes: response.scopes,
          grantTypes: response.grantTypes,
          content,
          certificate: certificate.fingerprint,
          certificateEnd: certificate.notAfter,
          registeredAt: yield* Clock.currentTimeMillis
        })
      })

    /** A registration that the server has cancelled does not stay in the store. */
    const registerUnless = (prepared: Prepared, isUsable: (current: RegisteredApp, now: number) => boolean) =>
      Effect.gen(function*() {
        const content = yield* contentOf(prepared.request)
        const result = yield* registrations.modify<Outcome, never>(
          store,
          prepared,
          (current) =>
            Effect.gen(function*() {
              const now = yield* Clock.currentTimeMillis
              if (Option.isSome(current) && isUsable(current.value, now)) return [Either.right(current.value), current]
              const outcome: Outcome = yield* Effect.either(registerNow(prepared, content))
              if (Either.isRight(outcome)) return [outcome, Option.some(outcome.right)]
              const isCancelled = outcome.left._tag === "UdapRegistrationError" && outcome.left.reason === "Cancelled"
              return [outcome, isCancelled ? Option.none() : current]
            })
        )
        return yield* result
      })

    const isCurrent = ({ certificate }: Request, content: string) => (registered: RegisteredApp): boolean =>
      registered.content === content &&
      (registered.certificate === certificate.fingerprint || registered.certificateEnd > certificate.notAfter)

    return {
      current: (request) =>
        Effect.gen(function*() {
          const prepared = yield* prepare(request)
          const isUsable = isCurrent(request, yield* contentOf(request))
          // Without the lock: in most cases the registration exists.
          const stored = Option.filter(yield* registrations.get(store, prepared), isUsable)
          return Option.isSome(stored) ? stored.value : yield* registerUnless(prepared, isUsable)
        }),
      register: (request) => Effect.flatMap(prepare(request), (prepared) => registerUnless(prepared, () => false)),
      replace: (request, refused) =>
        Effect.flatMap(prepare(request), (prepared) =>
          registerUnless(
            prepared,
            ({ clientId, registeredAt }, now) => clientId !== refused || now - registeredAt < MIN_AGE_MILLIS
          )),
      cancel: (request) =>
        Effect.flatMap(
          prepare(request),
          (prepared) =>
            registrations.modify(store, prepared, (current) =>
              Effect.gen(function*() {
                const { clientId } = yield* post(prepared, "cancel")
                if (Option.isSome(current) && current.value.clientId !== clientId) {
                  return yield* new UdapRegistrationError({
                    reason: "NotCancelled",
                    operation: "cancel",
                    url: prepared.registrationEndpoint,
                    detail: "the response confirms the end of another client_id",
                    community: prepared.community,
                    clientUri: prepared.clientUri,
                    processed: "unknown"
                  })
                }
                return [undefined, Option.none()] as const
              }))
        )
    }
  }
)

/**
 * Built for each use, with the `HttpClient` that it is provided with: the store has the state.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<UdapRegistration, never, HttpClient.HttpClient | UdapDiscovery | SessionStore> = Layer
  .fresh(Layer.effect(UdapRegistration, make))
