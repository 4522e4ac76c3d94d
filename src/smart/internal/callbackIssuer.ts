/**
 * The check of the `iss` of a callback (RFC 9207): what the check of one client and that of a registry (`mixUp.ts`)
 * share.
 */
import type * as Effect from "effect/Effect"
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
