/**
 * Which FHIR servers may start a launch. Closed by default: of a server that nobody named nothing is ever requested, because whoever calls a launch URL
 * chooses its `iss` (RFC 6819, section 4.6.4, counterfeit resource server).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { LaunchError } from "./LaunchError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface TrustedIssuer {
  /** The name the server is configured under. */
  readonly server: string
  /** Accept `http` for loopback hosts. */
  readonly allowInsecureLocalhost: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * The server with this FHIR base URL, and with the key `server` if given. Fails with `IssUntrusted` or `IssAmbiguous`.
   */
  readonly find: (
    iss: string,
    options?: { readonly server?: string | undefined }
  ) => Effect.Effect<TrustedIssuer, LaunchError>
}

/**
 * `SmartServers.layerTrustedIssuers` trusts the configured servers.
 *
 * @since 0.1.0
 * @category tags
 */
export class TrustedIssuers extends Context.Tag("effect-safire/TrustedIssuers")<TrustedIssuers, Service>() {}
