/**
 * The error of a request without a complete response: the `cause` of the `RequestError` or `ResponseError` of this
 * transport. It contains no part of the request or the response.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { reasonsOf } from "../base/SchemaFields.js"

const EXPLANATION = {
  ConnectTimeout: "no connection in time",
  HeadersTimeout: "no response in time",
  BodyTimeout: "the body stopped",
  TotalTimeout: "no complete response in time",
  AddressRefused: "the host has no address that may be connected to",
  NotResolved: "the host name has no address",
  NotConnected: "no connection",
  CertificateRefused: "the certificate of the other side is not trusted",
  HandshakeFailed: "the TLS handshake failed",
  HeadersTooLarge: "the headers of the response are too large",
  BodyTooLarge: "the body of the response is too large",
  BodyUsed: "the body has been read as a stream already",
  Malformed: "the response violates its protocol or its content coding",
  InvalidRequest: "the request cannot be sent",
  ConnectionLost: "the connection was lost",
  Closed: "the request was cancelled"
}

/**
 * The reasons of a `TransportError`, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(EXPLANATION)

/**
 * The reason of a `TransportError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The cause of a failed request of `NodeTransport`: the `cause` of an `HttpClientError`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportError extends Schema.TaggedError<TransportError>("effect-safire/TransportError")(
  "TransportError",
  {
    reason: Reason,
    /** The code of the system, of TLS or of undici. */
    code: Schema.String,
    /** `no`: the request was certainly not sent, or not read. `unknown`: the server may have acted on it. */
    processed: Schema.Literal("no", "unknown")
  }
) {
  override get message(): string {
    const where = this.processed === "no" ? "the server did not act" : "the server may have acted"
    return `${this.reason} (${this.code}): ${EXPLANATION[this.reason]}; ${where}`
  }
}

const REASONS: Readonly<Record<string, Reason>> = {
  UND_ERR_CONNECT_TIMEOUT: "ConnectTimeout",
  UND_ERR_HEADERS_TIMEOUT: "HeadersTimeout",
  UND_ERR_BODY_TIMEOUT: "BodyTimeout",
  UND_ERR_HEADERS_OVERFLOW: "HeadersTooLarge",
  UND_ERR_RES_EXCEEDED_MAX_SIZE: "BodyTooLarge",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "Malformed",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "InvalidRequest",
  UND_ERR_INVALID_ARG: "InvalidRequest",
  UND_ERR_NOT_SUPPORTED: "InvalidRequest",
  UND_ERR_ABORTED: "Closed",
  UND_ERR_DESTROYED: "Closed",
  UND_ERR_CLOSED: "Closed",
  UND_ERR_PRX_TLS: "CertificateRefused",
  ERR_INVALID_ARG_TYPE: "InvalidRequest",
  HOSTNAME_MISMATCH: "CertificateRefused",
  DEPTH_ZERO_SELF_SIGNED_CERT: "CertificateRefused",
  SELF_SIGNED_CERT_IN_CHAIN: "CertificateRefused",
  EPROTO: "HandshakeFailed"
}

const PATTERNS: ReadonlyArray<readonly [RegExp, Reason]> = [
  [/^(ENOTFOUND|EAI_\w+)$/, "NotResolved"],
  [/^(CERT_\w+|UNABLE_TO_\w+|ERR_TLS_CERT_\w+)$/, "CertificateRefused"],
  [/^(ERR_SSL_\w+|ERR_TLS_\w+)$/, "HandshakeFailed"],
  [/^(HPE_\w+|Z_\w+|ERR__ERROR_FORMAT_\w+|ERR_PADDING_\w+|ERR_BROTLI_\w+)$/, "Malformed"]
]

/**
 * Alerts with which the other side ends a TLS 1.3 handshake, after the request was written but before anything of it
 * can be read.
 */
const HANDSHAKE_ALERT =
  /^ERR_SSL_(TLSV1|TLSV13|SSLV3)_ALERT_(CERTIFICATE_\w+|BAD_CERTIFICATE\w*|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE|PROTOCOL_VERSION|UNRECOGNIZED_NAME)$/

/**
 * @internal
 */
export const isHandshakeAlert = (failure: { readonly code?: unknown }): boolean =>
  typeof failure.code === "string" && HANDSHAKE_ALERT.test(failure.code)

const CODE = /^[A-Z][A-Z0-9_]{2,60}$/

/** The code of a failure or of its causes; after attempts at several addresses, that of the first. */
const codeOf = (failure: unknown): string | undefined => {
  let current = failure
  for (let depth = 0; depth < 6 && typeof current === "object" && current !== null; depth++) {
    const { cause, code, errors } = current as {
      readonly code?: unknown
      readonly cause?: unknown
      readonly errors?: unknown
    }
    if (typeof code === "string" && CODE.test(code)) return code
    current = cause ?? (Array.isArray(errors) ? errors[0] : undefined)
  }
  return undefined
}

/**
 * The error for a failure of Node or undici; `wasSent` is whether a part of the request was written to a connection.
 *
 * @internal
 */
export const from = (failure: unknown, wasSent: boolean): TransportError => {
  if (failure instanceof TransportError) return failure
  const code = codeOf(failure) ?? "UNKNOWN"
  return new TransportError({
    reason: REASONS[code] ?? PATTERNS.find(([pattern]) => pattern.test(code))?.[1] ??
      (wasSent ? "ConnectionLost" : "NotConnected"),
    code,
    processed: wasSent && !HANDSHAKE_ALERT.test(code) ? "unknown" : "no"
  })
}
