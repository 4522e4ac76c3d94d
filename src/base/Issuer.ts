/**
 * The issuer identifier of an authorization server (RFC 8414, OpenID Connect Core, RFC 9207). Two issuers are equal
 * when their strings are, and never otherwise: no case folding, no forgiven slash.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The schema of an issuer identifier. Issuers are compared exactly.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Issuer: Schema.brand<typeof Schema.NonEmptyString, "effect-safire/Issuer"> = Schema.NonEmptyString.pipe(
  Schema.brand("effect-safire/Issuer")
)

/**
 * The issuer identifier of an authorization server (RFC 8414, OpenID Connect).
 *
 * @since 0.1.0
 * @category models
 */
export type Issuer = typeof Issuer.Type
