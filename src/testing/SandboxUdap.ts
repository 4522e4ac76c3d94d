/**
 * UDAP for `SandboxEhr` (UDAP Security STU2): two trust communities with their own certification authorities, dynamic
 * registration, client authentication with certificates, the B2B extension, and Tiered OAuth with an identity provider.
 *
 * The sandbox rejects what the specification forbids; `misbehave` makes it a wrong or hostile server. All certificates
 * are made at run time, when they are needed. It needs `pkijs`.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpServer from "@effect/platform/HttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as InMemory from "./internal/inMemory.js"
import type { SandboxError } from "./internal/oAuthError.js"
import * as OverPort from "./internal/overPort.js"
import type { Options as EhrOptions } from "./internal/sandbox.js"
import {
  defaultFhirBaseUrl,
  type ExtensionContext,
  makeSandbox,
  type Service as EhrService
} from "./internal/service.js"
import type { UdapCertification, UdapOptions } from "./internal/udap.js"
import * as Udap from "./internal/udap.js"
import type { CertificateKind, CertificateRequest, Credentials, RevocationSource } from "./internal/udapPki.js"
import type { Misbehaviour, UdapEndpoints, UdapRegistration } from "./internal/udapServer.js"
import { SandboxEhr } from "./SandboxEhr.js"

// ---------------------------------------------------------------------------------------------------------------------
// Models
// ---------------------------------------------------------------------------------------------------------------------

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  UdapOptions
} from "./internal/udap.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  communityOne,
  /**
   * @since 0.1.0
   * @category models
   */
  communityTwo
} from "./internal/udap.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  CertificateKind,
  /**
   * @since 0.1.0
   * @category models
   */
  CertificateRequest,
  /**
   * @since 0.1.0
   * @category models
   */
  Credentials,
  /**
   * @since 0.1.0
   * @category models
   */
  Misbehaviour,
  /**
   * @since 0.1.0
   * @category models
   */
  RevocationSource,
  /**
   * @since 0.1.0
   * @category models
   */
  UdapCertification as Certification,
  /**
   * @since 0.1.0
   * @category models
   */
  UdapEndpoints as Endpoints,
  /**
   * @since 0.1.0
   * @category models
   */
  UdapRegistration as Registration
}

/**
 * The options of the sandbox, with those of UDAP.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends EhrOptions {
  readonly udap?: UdapOptions | undefined
}

/**
 * The control of the sandbox's UDAP by a test. A community that is not given is the first one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly endpoints: UdapEndpoints
  /** The URIs of the trust communities; the first is that of a metadata request without `community`. */
  readonly communities: ReadonlyArray<string>
  /** The base URL of the identity provider, for the parameter `idp`. */
  readonly identityProvider: string
  /** The root certificates of a community, as DER. */
  readonly anchors: (community?: string) => Effect.Effect<ReadonlyArray<Uint8Array>>
  /** The intermediate certificates of a community, as DER. */
  readonly intermediates: (community?: string) => Effect.Effect<ReadonlyArray<Uint8Array>>
  /** The current CRLs of a community's authorities, as DER. */
  readonly crls: (community?: string) => Effect.Effect<ReadonlyArray<Uint8Array>>
  /** Issues a certificate with a new key. */
  readonly issueCertificate: (request: CertificateRequest) => Effect.Effect<Credentials>
  /** Revokes a certificate (DER) of a community: a client's, a server's or an intermediate one. */
  readonly revokeCertificate: (certificate: Uint8Array) => Effect.Effect<void, SandboxError>
  /** Signs a certification of a client; the result is a JWT. */
  readonly signCertification: (certification: UdapCertification) => Effect.Effect<string>
  /** All registrations, also the cancelled ones. */
  readonly registrations: Effect.Effect<ReadonlyArray<UdapRegistration>>
  /** The `extensions` that the client asserted in the request for an access token. */
  readonly tokenContext: (accessToken: string) => Effect.Effect<unknown>
  /** Makes the server misbehave until `behave`; a second change adds to the first. */
  readonly misbehave: (change: Misbehaviour) => Effect.Effect<void>
  /** Ends all misbehaviour. */
  readonly behave: Effect.Effect<void>
}

/**
 * The UDAP part of a sandbox.
 *
 * @since 0.1.0
 * @category tags
 */
export class SandboxUdap extends Context.Tag("effect-safire/testing/SandboxUdap")<SandboxUdap, Service>() {}

/** The extension of a sandbox, and its service once the sandbox exists. */
const extension = ({ udap = {}, ...options }: Options) => {
  let service: Service | undefined
  return {
    extend: (context: ExtensionContext) => {
      const made = Udap.make(context, options, udap)
      service = made.service
      return made.extension
    },
    service: Effect.suspend(() =>
      service === undefined ? Effect.dieMessage("the sandbox has no UDAP") : Effect.succeed(service)
    )
  }
}

/**
 * A sandbox with UDAP, without a server; mount the `httpApp` of its EHR.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<{ readonly ehr: EhrService; readonly udap: Service }> =>
  Effect.gen(function*() {
    const { extend, service: udap } = extension(options)
    const fhirBaseUrl = options.fhirBaseUrl ?? defaultFhirBaseUrl
    const { service: ehr } = yield* makeSandbox(fhirBaseUrl, options, { autoApprove: true }, extend)
    return { ehr, udap: yield* udap }
  })

// ---------------------------------------------------------------------------------------------------------------------
// Layers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The sandbox with UDAP, and an `HttpClient` that sends its requests to it without a port: see
 * `SandboxEhr.layerHttpClient`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient = (
  options: Options = {}
): Layer.Layer<SandboxUdap | SandboxEhr | HttpClient.HttpClient> =>
  Layer.effectContext(Effect.gen(function*() {
    const { extend, service: udap } = extension(options)
    const { client, service } = yield* InMemory.sandbox(options, extend)
    return Context.make(SandboxEhr, service).pipe(
      Context.add(SandboxUdap, yield* udap),
      Context.add(HttpClient.HttpClient, client)
    )
  }))

/**
 * The sandbox with UDAP on an `HttpServer`: see `SandboxEhr.layerServer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (
  options: Options = {}
): Layer.Layer<SandboxUdap | SandboxEhr, never, HttpServer.HttpServer> =>
  Layer.scopedContext(Effect.gen(function*() {
    const { extend, service: udap } = extension(options)
    const { service } = yield* OverPort.sandbox(options, extend)
    return Context.make(SandboxEhr, service).pipe(Context.add(SandboxUdap, yield* udap))
  }))
