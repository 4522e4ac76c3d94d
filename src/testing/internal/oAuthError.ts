/**
 * The errors the sandbox answers with (RFC 6749 §5.2, RFC 6750 §3.1), and the error its driver meets.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"

/** An OAuth error on its way to becoming an answer; never leaves the sandbox as an Effect failure. */
export class OAuthError extends Data.TaggedError("OAuthError")<{
  readonly error: string
  readonly description: string
  /** 400 unless told otherwise. */
  readonly status?: number | undefined
  /** The value of `WWW-Authenticate`, for a 401. */
  readonly challenge?: string | undefined
}> {
  override get message(): string {
    return `${this.error}: ${this.description}`
  }
}

/** The refusal of a client's credentials; with a challenge only where the client tried the Authorization header. */
export const invalidClient = (
  description: string,
  options: { readonly basic?: boolean | undefined } = {}
): OAuthError =>
  new OAuthError({
    error: "invalid_client",
    description,
    status: 401,
    challenge: options.basic === true ? "Basic realm=\"sandbox\"" : undefined
  })

/**
 * What a test hears when it asks the sandbox for something that cannot be done.
 *
 * - `Refused`: the authorization request is one that must not be answered with a redirect (unknown client, wrong redirect URI); `error` has
 *   the OAuth error
 * - `NotAuthorizationEndpoint`: the URL is not that of this sandbox's authorization endpoint
 * - `NoRedirect`: a fault answered the authorization request with something that is no redirect
 * - `UnknownResource`: the store has no such patient, encounter or user
 * - `UnknownToken`: the sandbox never issued this token
 * - `UnknownTicket`: no person is asked under this ticket, or no longer
 *
 * @since 0.1.0
 * @category errors
 */
export class SandboxError
  extends Schema.TaggedError<SandboxError>("effect-safire/testing/SandboxError")("SandboxError", {
    reason: Schema.Literal(
      "Refused",
      "NotAuthorizationEndpoint",
      "NoRedirect",
      "UnknownResource",
      "UnknownToken",
      "UnknownTicket"
    ),
    description: Schema.String,
    error: Schema.optional(Schema.String)
  })
{
  /** @since 0.1.0 */
  override get message(): string {
    return this.error === undefined
      ? `${this.reason}: ${this.description}`
      : `${this.reason}: ${this.error}: ${this.description}`
  }
}
