/**
 * The FHIR servers that may start a launch. Closed by default: the caller of a launch URL chooses its `iss`, so the app
 * makes no request to an unknown server (RFC 6819, section 4.6.4, counterfeit resource server).
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { LaunchError } from "./LaunchError.js"

/**
 * A server from which launches are followed.
 *
 * @since 0.1.0
 * @category models
 */
export interface TrustedIssuer {
  /** The key of the server in the configuration. */
  readonly server: string
  /** Accept `http` for loopback hosts. */
  readonly allowInsecureLocalhost: boolean
}

/**
 * The servers from which launches are followed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * The server with this FHIR base URL, and with the key `server` if given. Fails with `IssUntrusted` or
   * `IssAmbiguous`.
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
