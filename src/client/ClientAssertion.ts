/**
 * What a client says about itself in the assertion it signs (SMART App Launch 2.2, "Client Authentication: Asymmetric", requirements 321 to 332;
 * RFC 7523, section 3). Pure: time and chance are arguments.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { ConfigurationError } from "../base/ConfigurationError.js"

/**
 * What servers want differently.
 *
 * @since 0.1.0
 * @category models
 */
export interface Profile {
  /** `endpoint`: the URL the assertion is posted to. Anything else is sent as it is, such as the server's issuer. */
  readonly audience: string
  readonly typ: string
  /** Say when it was made. */
  readonly iat: boolean
  /** Say that it does not hold before it was made. */
  readonly nbf: boolean
}

/**
 * As SMART App Launch has it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const smart: Profile = { audience: "endpoint", typ: "JWT", iat: false, nbf: false }

/**
 * For servers that take only their issuer as audience.
 *
 * @since 0.1.0
 * @category constructors
 */
export const issuerAudience = (issuer: string): Profile => ({ ...smart, audience: issuer })

/**
 * For servers in the strict mode of RFC 7523's revision: the issuer as audience, a `typ` of its own, and when it was made.
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
 * @since 0.1.0
 * @category models
 */
export interface Claims {
  readonly iss: string
  readonly sub: string
  /** One string: servers compare it, and an array would not be equal (requirement 329). */
  readonly aud: string
  readonly exp: number
  readonly jti: string
  readonly iat?: number
  readonly nbf?: number
}

/**
 * Four minutes: less than the five that are allowed, because an assertion of exactly five is refused by a server whose clock is behind.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultLifetime: Duration.Duration = Duration.minutes(4)

const LONGEST = 300

/**
 * The whole seconds an assertion lives: one at least, five minutes at most (requirement 331).
 *
 * @since 0.1.0
 * @category constructors
 */
export const lifetimeSeconds = (
  lifetime: Duration.DurationInput | undefined
): Either.Either<number, ConfigurationError> => {
  const seconds = Math.floor(Duration.toSeconds(lifetime ?? defaultLifetime))
  return seconds >= 1 && seconds <= LONGEST
    ? Either.right(seconds)
    : Either.left(
      new ConfigurationError({
        reason: "Invalid",
        fields: ["lifetime"],
        detail: "an assertion lives one second at least and five minutes at most"
      })
    )
}

/**
 * The claims, in the order of the specification's examples.
 *
 * @since 0.1.0
 * @category constructors
 */
export const claims = (options: {
  readonly clientId: string
  /** The URL it will be posted to, exactly. */
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
