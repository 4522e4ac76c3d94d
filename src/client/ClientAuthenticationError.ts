/**
 * A client that learns its client id or its server's endpoints from a protocol, such as UDAP, and could not. The server
 * received no request of the step that needed them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { inMemory } from "../base/SchemaFields.js"
import * as RetryAfter from "../http/RetryAfter.js"

/**
 * - `DiscoveryFailed`: the server's metadata could not be fetched.
 * - `ServerNotTrusted`: the server's metadata is not signed by a server that this program trusts.
 * - `RegistrationFailed`: the server did not register the client.
 * - `StoreFailed`: the store of registrations could not be used.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = Schema.Literal("DiscoveryFailed", "ServerNotTrusted", "RegistrationFailed", "StoreFailed")

/**
 * The reason of a `ClientAuthenticationError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The client could not make its credentials for a request, such as an assertion. Nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class ClientAuthenticationError
  extends Schema.TaggedError<ClientAuthenticationError>("effect-safire/ClientAuthenticationError")(
    "ClientAuthenticationError",
    {
      reason: Reason,
      /** The FHIR base URL of the server. */
      server: Schema.String,
      /** The message of `cause`. */
      detail: Schema.String,
      /** Whether the failure is temporary. */
      temporary: Schema.Boolean,
      /** The `Retry-After` header of the server. */
      retryAfter: Schema.optional(RetryAfter.FromMillis),
      /**
       * The error of the step: of UDAP a `UdapDiscoveryError`, `TrustError` or `UdapRegistrationError`, of the store a
       * `SessionError`. Not part of the encoded error.
       */
      cause: inMemory(Schema.Unknown)
    }
  )
{
  override get message(): string {
    return `This client cannot authenticate to ${this.server} (${this.reason}): ${this.detail}`
  }

  get isRetryable(): boolean {
    return this.temporary
  }
}
