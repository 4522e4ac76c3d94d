/**
 * The errors of the sandbox: OAuth error responses (RFC 6749 §5.2, RFC 6750 §3.1) and the failures of `SandboxEhr`
 * methods.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"

/** An OAuth error that becomes an HTTP response; it never leaves the sandbox as an Effect failure. */
export class OAuthError extends Data.TaggedError("OAuthError")<{
  readonly error: string
  readonly description: string
  /** Default: 400. */
  readonly status?: number | undefined
  /** The value of `WWW-Authenticate`. */
  readonly challenge?: string | undefined
}> {
  override get message(): string {
    return `${this.error}: ${this.description}`
  }
}

/** The error `invalid_request`. */
export const invalidRequest = (description: string): OAuthError =>
  new OAuthError({ error: "invalid_request", description })

/** The error `invalid_client`; with a challenge only if the client used the Authorization header. */
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
 * A method of `SandboxEhr` cannot do what the test asked for.
 *
 * - `Refused`: the authorization request must not be answered with a redirect (unknown client, unregistered redirect
 *   URI); `error` has the OAuth error
 * - `NotAuthorizationEndpoint`: the URL is not that of this sandbox's authorization endpoint
 * - `NoRedirect`: a fault replaced the redirect with another response
 * - `UnknownResource`: the store has no such patient, encounter or user
 * - `UnknownToken`: the sandbox never issued this token
 * - `UnknownCertificate`: no authority of the sandbox issued this certificate
 * - `UnknownTicket`: no authorization request with this ticket waits for a decision
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
      "UnknownCertificate",
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

/** The error for a reference that the FHIR store cannot resolve. */
export const unknownResource = (reference: string): SandboxError =>
  new SandboxError({ reason: "UnknownResource", description: `the store has no ${reference}` })
