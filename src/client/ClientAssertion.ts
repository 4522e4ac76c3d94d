/**
 * The claims of a client assertion (SMART App Launch 2.2, "Client Authentication: Asymmetric", requirements 321 to
 * 332; RFC 7523, section 3). Pure: time and `jti` are arguments.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"

/**
 * The claims and header members in which servers differ.
 *
 * @since 0.1.0
 * @category models
 */
export interface Profile {
  /**
   * `endpoint`: the URL to which the assertion is posted. Any other value is sent unchanged, such as the server's
   * issuer.
   */
  readonly audience: string
  readonly typ: string
  /** Whether to send `iat`. */
  readonly iat: boolean
  /** Whether to send `nbf`. */
  readonly nbf: boolean
}

/**
 * The profile of SMART App Launch.
 *
 * @since 0.1.0
 * @category constructors
 */
export const smart: Profile = { audience: "endpoint", typ: "JWT", iat: false, nbf: false }

/**
 * For servers that accept only their issuer as audience.
 *
 * @since 0.1.0
 * @category constructors
 */
export const issuerAudience = (issuer: string): Profile => ({ ...smart, audience: issuer })

/**
 * For servers that follow the revision of RFC 7523: the issuer as audience, `typ` client-authentication+jwt, and `iat`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const strict = (issuer: string): Profile => ({
  audience: issuer,
  typ: "client-authentication+jwt",
  iat: true,
  nbf: false
})

/**
 * The claims of an assertion. Times are seconds since 1970.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claims {
  readonly iss: string
  readonly sub: string
  /** A string, because servers compare it with theirs (requirement 329). */
  readonly aud: string
  readonly exp: number
  readonly jti: string
  readonly iat?: number
  readonly nbf?: number
}

/**
 * Four minutes. SMART allows five, but a server whose clock is behind refuses an assertion of exactly five.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultLifetime: Duration.Duration = Duration.minutes(4)

const MAX_SECONDS = 300

/**
 * The lifetime of an assertion in whole seconds: at least one, at most five minutes (requirement 331).
 *
 * @since 0.1.0
 * @category constructors
 */
export const lifetimeSeconds = (
  lifetime: Duration.DurationInput | undefined
): Either.Either<number, ConfigurationError> => {
  const seconds = Math.floor(Duration.toSeconds(lifetime ?? defaultLifetime))
  return seconds >= 1 && seconds <= MAX_SECONDS
    ? Either.right(seconds)
    : Either.left(configurationError("Invalid", ["lifetime"], "give an assertion one second to five minutes"))
}

/**
 * The claims, in the order of the specification's examples.
 *
 * @since 0.1.0
 * @category constructors
 */
export const claims = (options: {
  readonly clientId: string
  /** The URL to which the assertion is posted. */
  readonly endpoint: string
  readonly jti: string
  readonly nowMillis: number
  readonly lifetimeSeconds: number
  readonly profile: Profile
}): Claims => {
  const { clientId, endpoint, jti, lifetimeSeconds, nowMillis, profile } = options
  const now = Math.floor(nowMillis / 1000)
  return {
    iss: clientId,
    sub: clientId,
    aud: profile.audience === "endpoint" ? endpoint : profile.audience,
    exp: now + lifetimeSeconds,
    jti,
    ...(profile.iat ? { iat: now } : {}),
    ...(profile.nbf ? { nbf: now } : {})
  }
}
