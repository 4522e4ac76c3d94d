/**
 * The failures of UDAP's steps as the error of an authentication, which the rest of the library knows.
 */
import { ClientAuthenticationError } from "../../client/ClientAuthenticationError.js"
import type { SessionError } from "../../session/SessionError.js"
import type { TrustError } from "../TrustError.js"
import type { UdapDiscoveryError } from "../UdapDiscoveryError.js"
import type { UdapRegistrationError } from "../UdapRegistrationError.js"

const REASONS = {
  UdapDiscoveryError: "DiscoveryFailed",
  TrustError: "ServerNotTrusted",
  UdapRegistrationError: "RegistrationFailed",
  SessionError: "StoreFailed"
} as const

/** @internal */
export const clientError =
  (fhirBaseUrl: string) =>
  (cause: UdapDiscoveryError | TrustError | UdapRegistrationError | SessionError): ClientAuthenticationError =>
    new ClientAuthenticationError({
      reason: REASONS[cause._tag],
      server: fhirBaseUrl,
      detail: cause.message,
      temporary: cause.isRetryable,
      retryAfter: "retryAfter" in cause ? cause.retryAfter : undefined,
      cause
    })
