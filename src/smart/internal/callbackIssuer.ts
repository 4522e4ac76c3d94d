/**
 * The check of the `iss` of a callback (RFC 9207). A client outside a registry has no other server that the `iss` could
 * belong to; the check of a registry is in `mixUp.ts`.
 */
import * as Effect from "effect/Effect"
import type { ConformanceWarning } from "../../base/ConformanceWarning.js"
import type { AuthorizationError } from "../../launch/AuthorizationError.js"
import type { PendingAuthorization } from "../../launch/PendingAuthorization.js"
import type { Config } from "./client.js"

/** @internal */
export interface Launch {
  readonly name: string
  readonly config: Config
  readonly pending: PendingAuthorization
  readonly warn: (warning: Omit<ConstructorParameters<typeof ConformanceWarning>[0], "server">) => Effect.Effect<void>
}

/**
 * Fails if the `iss` of a callback may belong to another server. The caller has checked that `iss` equals the issuer
 * that the launch expects, if there is one.
 *
 * @internal
 */
export type CheckIssuer = (launch: Launch, iss: string) => Effect.Effect<void, AuthorizationError>

/**
 * The configured issuer.
 *
 * @internal
 */
export const configuredIssuer = ({ issuer, metadata }: Pick<Config, "issuer" | "metadata">): string | undefined =>
  issuer ?? metadata?.issuer

/** @internal */
export const UNKNOWN_ISSUER = "the callback has an iss, but neither the configuration nor the metadata has an issuer"

/**
 * The check of a client outside a registry.
 *
 * @internal
 */
export const checkAlone: CheckIssuer = ({ config, pending, warn }) =>
  (configuredIssuer(config) ?? pending.issuer) === undefined
    ? warn({ code: "IssuerUnknown", detail: UNKNOWN_ISSUER })
    : Effect.void
