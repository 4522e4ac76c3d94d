/**
 * A probe of a server's UDAP metadata (UDAP Security STU2, section 2): whether its certificate leads to an anchor of
 * the community, what it supports, and how it deviates.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as HttpLimits from "../../http/HttpLimits.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import type { TrustError } from "../../udap/TrustError.js"
import * as TrustPolicy from "../../udap/TrustPolicy.js"
import * as UdapDiscovery from "../../udap/UdapDiscovery.js"
import type { UdapDiscoveryError } from "../../udap/UdapDiscoveryError.js"
import type { UdapMetadata } from "../../udap/UdapMetadata.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface UdapProbe {
  readonly fhirBaseUrl: string
  readonly community: string | undefined
  readonly result: Either.Either<UdapMetadata, UdapDiscoveryError | TrustError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface UdapProbeOptions {
  /** Without one, the server chooses its certificate. */
  readonly community: string | undefined
  /** Files with certificates, as PEM or DER. */
  readonly anchors: ReadonlyArray<string>
  readonly intermediates: ReadonlyArray<string>
  readonly revocation: NonNullable<TrustPolicy.Community["revocation"]>
  readonly allowInsecureLocalhost: boolean
  readonly timeout: Duration.DurationInput
}

/**
 * An anchor cannot be read, or the community is not a URI.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidTrust extends Data.TaggedError("InvalidTrust")<{ readonly detail: string }> {}

/** Stands for the community that the command line does not name. */
const UNNAMED = "urn:effect-safire:unnamed-community"

const read = (paths: ReadonlyArray<string>) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (files) =>
      Effect.forEach(paths, (path) =>
        Effect.mapBoth(files.readFile(path), {
          // An element of DER starts with the byte of a sequence.
          onSuccess: (bytes): TrustPolicy.Encoded => bytes[0] === 0x30 ? bytes : new TextDecoder().decode(bytes),
          onFailure: () => new InvalidTrust({ detail: `the file ${path} cannot be read` })
        }))
  )

/**
 * Probes a server with one attempt.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  fhirBaseUrl: string,
  { community, ...options }: UdapProbeOptions
): Effect.Effect<UdapProbe, InvalidTrust, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const { allowInsecureLocalhost, revocation, timeout } = options
    const anchors = yield* read(options.anchors)
    const intermediates = yield* read(options.intermediates)
    const policy = TrustPolicy.layer({
      communities: { [community ?? UNNAMED]: { anchors, intermediates, revocation } },
      allowInsecureLocalhost
    })
    const result = yield* Effect.flatMap(UdapDiscovery.UdapDiscovery, (discovery) =>
      Effect.either(discovery.metadata(fhirBaseUrl, { community, allowInsecureLocalhost }))).pipe(
        Effect.provide(UdapDiscovery.layer().pipe(Layer.provide(policy))),
        RetryPolicy.withPolicy(RetryPolicy.none),
        Effect.provide(HttpLimits.layer({ discoveryTimeout: timeout })),
        Effect.catchTag("ConfigurationError", ({ detail }) =>
          new InvalidTrust({ detail })),
        // The report has all that the log would have.
        Logger.withMinimumLogLevel(LogLevel.None)
      )
    return { fhirBaseUrl, community, result }
  })

/**
 * Whether an app of this library can register with the server and authenticate.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isUsable = ({ result }: UdapProbe): boolean =>
  Either.isRight(result) && result.right.supportsRegistration && result.right.supportsAuthentication

/**
 * Whether the server has a finding of the severity `error`.
 *
 * @since 0.1.0
 * @category predicates
 */
export const hasErrors = ({ result }: UdapProbe): boolean =>
  Either.isRight(result) && result.right.conformance().some(({ severity }) => severity === "error")
