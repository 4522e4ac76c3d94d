/**
 * Requests without a complete response: the reasons that all error classes share, with their advice, and how they are
 * found in the errors of a transport.
 *
 * @internal
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Data from "effect/Data"
import * as HttpStatus from "../base/HttpStatus.js"
import * as Url from "../base/Url.js"
import type { Limits } from "./HttpLimits.js"
import { safeText } from "./Redaction.js"

/** To be listed among the reasons of an error class. */
export const reasons = ["Unreachable", "TimedOut", "TooLarge", "RedirectRefused", "InsecureEndpoint"] as const

export type Reason = typeof reasons[number]

/** The advice of each reason. The limits are those that the request was sent with. */
export const advice = (
  timeout: Extract<keyof Limits, `${string}Timeout`>,
  maxBytes: Extract<keyof Limits, `max${string}`>
): Record<Reason, string> => ({
  Unreachable: "check the address, DNS, the certificate and whether the server is up",
  TimedOut: `the server is slow or does not respond; HttpLimits.${timeout} limits the time of one attempt`,
  TooLarge: `HttpLimits.${maxBytes} limits the size of a response`,
  RedirectRefused: "if you trust the URL it redirects to, use that URL",
  InsecureEndpoint: "use https; http is allowed only for a loopback host, with allowInsecureLocalhost"
})

/** Whether the same request may succeed later although the program and the server's configuration stay as they are. */
export const isTransient = (error: { readonly reason: string; readonly status?: number | undefined }): boolean =>
  error.reason === "Unreachable" || error.reason === "TimedOut" ||
  ((error.reason === "Status" || error.reason === "Unavailable") && HttpStatus.isTransient(error.status))

export class TransportFailure extends Data.TaggedError("TransportFailure")<{
  readonly reason: Reason
  /** For display: no query, no credentials. */
  readonly url: string
  /** `no` where the request was certainly not sent. */
  readonly processed: "no" | "unknown"
  readonly detail: string
  /** The code of the system, of TLS or of the transport, such as `ECONNREFUSED`. */
  readonly code?: string | undefined
  readonly status?: number | undefined
}> {}

/** The fields of an error class. A redirect may repeat `secrets` of the request in its URL. */
export const errorFields = (
  { code, detail, processed, reason, status, url }: TransportFailure,
  secrets: ReadonlyArray<string> = []
) => ({ reason, url: safeText(url, secrets), detail: safeText(detail, secrets), processed, code, status })

const TOTAL_TIMEOUT = "ERR_TOTAL_TIMEOUT"

const NOT_SENT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|EPROTO|ERR_TLS_\w+|ERR_SSL_\w+|CERT_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+)$/

/** The system's code for a failure, at any depth of the chain of causes. */
const codeOf = (cause: unknown): { readonly code: string; readonly isNotSent: boolean } | undefined => {
  let current = cause
  for (let depth = 0; depth < 6 && typeof current === "object" && current !== null; depth++) {
    const { code, processed, syscall } = current as {
      readonly code?: unknown
      readonly processed?: unknown
      readonly syscall?: unknown
    }
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,80}$/.test(code)) {
      // A transport that watched the socket is more exact than a code.
      if (processed === "no" || processed === "unknown") return { code, isNotSent: processed === "no" }
      return { code, isNotSent: NOT_SENT.test(code) || (code === "ETIMEDOUT" && syscall === "connect") }
    }
    current = (current as { readonly cause?: unknown }).cause
  }
  return undefined
}

/** A connection that was not made in time is `Unreachable`: the request was not sent. */
const reasonOf = (code: string | undefined): "Unreachable" | "TimedOut" | "TooLarge" => {
  switch (code) {
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
    case TOTAL_TIMEOUT:
      return "TimedOut"
    case "UND_ERR_HEADERS_OVERFLOW":
    case "UND_ERR_RES_EXCEEDED_MAX_SIZE":
      return "TooLarge"
    default:
      return "Unreachable"
  }
}

const TIMED_OUT = "no complete response in time"

/** Whether the transport ended the request because its total time limit had passed. */
export const isTotalTimeout = ({ code, processed }: TransportFailure): boolean =>
  code === TOTAL_TIMEOUT && processed === "unknown"

/** A request without a response. */
export const requestError = (url: URL, error: HttpClientError.RequestError): TransportFailure => {
  const found = codeOf(error.cause)
  return new TransportFailure({
    reason: reasonOf(found?.code),
    url: Url.forDisplay(url),
    processed: error.reason !== "Transport" || found?.isNotSent === true ? "no" : "unknown",
    code: found?.code,
    detail: found?.code === TOTAL_TIMEOUT
      ? TIMED_OUT
      : found?.code ??
        (error.reason === "Transport" ? "no connection" : `the request could not be made (${error.reason})`)
  })
}

/** A response with an incomplete body. */
export const bodyError = (
  url: URL,
  response: HttpClientResponse.HttpClientResponse,
  error: HttpClientError.ResponseError
): TransportFailure => {
  const code = codeOf(error.cause)?.code
  return new TransportFailure({
    reason: reasonOf(code),
    url: Url.forDisplay(url),
    processed: "unknown",
    status: response.status,
    code,
    detail: code === TOTAL_TIMEOUT ? TIMED_OUT : `the body is incomplete (${code ?? "connection lost"})`
  })
}
