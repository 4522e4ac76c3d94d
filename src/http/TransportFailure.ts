/**
 * Why a request brought no whole answer, read from whatever the transport says of it.
 *
 * @internal
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Data from "effect/Data"
import * as Url from "../base/Url.js"

export class TransportFailure extends Data.TaggedError("OutboundFailure")<{
  readonly reason: "Unreachable" | "TimedOut" | "TooLarge" | "RedirectRefused" | "InsecureEndpoint"
  /** For display: no query, no credentials. */
  readonly url: string
  /** `no` where the request provably never left. */
  readonly processed: "no" | "unknown"
  readonly detail: string
  /** The code of the system, of TLS or of the transport, such as `ECONNREFUSED`. */
  readonly code?: string | undefined
  readonly status?: number | undefined
}> {}

const TOTAL_TIMEOUT = "ERR_TOTAL_TIMEOUT"

const NEVER_LEFT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|EPROTO|ERR_TLS_\w+|ERR_SSL_\w+|CERT_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+)$/

/** The system's code for a failure, wherever in the chain of causes the transport put it. */
const codeOf = (cause: unknown): { readonly code: string; readonly neverLeft: boolean } | undefined => {
  let current = cause
  for (let depth = 0; depth < 6 && typeof current === "object" && current !== null; depth++) {
    const { code, processed, syscall } = current as {
      readonly code?: unknown
      readonly processed?: unknown
      readonly syscall?: unknown
    }
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,80}$/.test(code)) {
      // A transport that watched the socket knows better than any code.
      if (processed === "no" || processed === "unknown") return { code, neverLeft: processed === "no" }
      return { code, neverLeft: NEVER_LEFT.test(code) || (code === "ETIMEDOUT" && syscall === "connect") }
    }
    current = (current as { readonly cause?: unknown }).cause
  }
  return undefined
}

/** What a transport's own limits say; a connection that was not made in time is one that was not made. */
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

const OUT_OF_TIME = "no complete answer in time"

/** Whether the transport ended the request because its total time limit had passed. */
export const isOutOfTime = ({ code, processed }: TransportFailure): boolean =>
  code === TOTAL_TIMEOUT && processed === "unknown"

/** A request that got no answer. */
export const requestError = (url: URL, error: HttpClientError.RequestError): TransportFailure => {
  const found = codeOf(error.cause)
  return new TransportFailure({
    reason: reasonOf(found?.code),
    url: Url.forDisplay(url),
    processed: error.reason !== "Transport" || found?.neverLeft === true ? "no" : "unknown",
    code: found?.code,
    detail: found?.code === TOTAL_TIMEOUT
      ? OUT_OF_TIME
      : found?.code ??
        (error.reason === "Transport" ? "no connection" : `the request could not be made (${error.reason})`)
  })
}

/** An answer whose body broke off. */
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
    detail: code === TOTAL_TIMEOUT ? OUT_OF_TIME : `the answer broke off (${code ?? "while reading"})`
  })
}
