/**
 * The one place through which every request leaves: https only, no redirect followed but where it is harmless, a time limit that covers the
 * body, a size limit while reading, no tracing headers, no ambient credentials.
 *
 * @internal
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Url from "../base/Url.js"
import * as LeanTransport from "./LeanTransport.js"

export interface Rules {
  readonly timeout: Duration.DurationInput
  readonly maxBytes: number
  /** How many redirects of a GET may be followed. Anything that carries a secret says 0. */
  readonly redirects: number
  readonly allowInsecureLocalhost: boolean
}

export interface Answer {
  /** Where the answer came from, after redirects. */
  readonly url: string
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

export class OutboundFailure extends Data.TaggedError("OutboundFailure")<{
  readonly reason: "Unreachable" | "TimedOut" | "TooLarge" | "RedirectRefused" | "InsecureEndpoint"
  /** For display: no query, no credentials. */
  readonly url: string
  /** `refused` where the request provably never left. */
  readonly outcome: "refused" | "unknown"
  readonly detail: string
  readonly status?: number | undefined
}> {}

/**
 * An HttpClient that leaves no trace with third parties: tracing headers are theirs to misread, break CORS, and the client's own spans would hold
 * URLs with queries.
 */
export const prepare = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  LeanTransport.isLeanTransport(client)
    ? client
    : client.pipe(HttpClient.withTracerPropagation(false), HttpClient.withTracerDisabledWhen(() => true))

const NEVER_LEFT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|EPROTO|ERR_TLS_\w+|ERR_SSL_\w+|CERT_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+)$/

/** The system's code for a failure, wherever in the chain of causes the transport put it. */
const codeOf = (cause: unknown): { readonly code: string; readonly neverLeft: boolean } | undefined => {
  let current = cause
  for (let depth = 0; depth < 6 && typeof current === "object" && current !== null; depth++) {
    const { code, outcome, syscall } = current as {
      readonly code?: unknown
      readonly outcome?: unknown
      readonly syscall?: unknown
    }
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,80}$/.test(code)) {
      // A transport that watched the socket knows better than any code.
      if (outcome === "refused" || outcome === "unknown") return { code, neverLeft: outcome === "refused" }
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
    case "ERR_TOTAL_TIMEOUT":
      return "TimedOut"
    case "UND_ERR_HEADERS_OVERFLOW":
    case "UND_ERR_RES_EXCEEDED_MAX_SIZE":
      return "TooLarge"
    default:
      return "Unreachable"
  }
}

const fromRequestError = (url: string, error: HttpClientError.RequestError): OutboundFailure => {
  const found = codeOf(error.cause)
  return new OutboundFailure({
    reason: reasonOf(found?.code),
    url,
    outcome: error.reason !== "Transport" || found?.neverLeft === true ? "refused" : "unknown",
    detail: found?.code ??
      (error.reason === "Transport" ? "no connection" : `the request could not be made (${error.reason})`)
  })
}

/** An answer whose body broke off. */
export const brokenOff = (
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  error: HttpClientError.ResponseError
): OutboundFailure => {
  const code = codeOf(error.cause)?.code
  return new OutboundFailure({
    reason: reasonOf(code),
    url,
    outcome: "unknown",
    status: response.status,
    detail: `the answer broke off (${code ?? "while reading"})`
  })
}

/**
 * The body as text, given up as soon as it passes the limit. A declared length is trusted only where no content coding could make it grow.
 */
export const readBody = (
  url: string,
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.Effect<string, OutboundFailure> => {
  // Made when it is needed: an error takes its stack with it.
  const tooLarge = () =>
    new OutboundFailure({
      reason: "TooLarge",
      url,
      outcome: "unknown",
      status: response.status,
      detail: `the answer has more than ${maxBytes} bytes`
    })
  if (LeanTransport.isLeanResponse(response)) {
    return Effect.mapError(response.textUpTo(maxBytes), (error) => {
      const failure = brokenOff(url, response, error)
      return failure.reason === "TooLarge" ? tooLarge() : failure
    })
  }
  const declared = Number(response.headers["content-length"])
  if (declared > maxBytes) return tooLarge()
  return response.stream.pipe(
    Stream.runFoldEffect(
      { size: 0, text: "", decoder: new TextDecoder() },
      ({ decoder, size, text }, chunk) =>
        size + chunk.byteLength > maxBytes
          ? tooLarge()
          : Effect.succeed({
            decoder,
            size: size + chunk.byteLength,
            text: text + decoder.decode(chunk, { stream: true })
          })
    ),
    Effect.map(({ decoder, text }) => text + decoder.decode()),
    Effect.catchTag(
      "ResponseError",
      (error) => error.reason === "EmptyBody" ? Effect.succeed("") : brokenOff(url, response, error)
    )
  )
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** fetch follows redirects by itself unless told; every other client ignores this. */
export const withManualRedirects = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.serviceOption(FetchHttpClient.RequestInit),
    (given) =>
      Effect.provideService(self, FetchHttpClient.RequestInit, {
        credentials: "omit",
        ...Option.getOrUndefined(given),
        redirect: "manual"
      }) as Effect.Effect<A, E, R>
  )

const CREDENTIALS = ["authorization", "proxy-authorization", "cookie", "dpop"]

/** The request to where a redirect points: another origin gets no credentials. */
const redirectTo = (request: HttpClientRequest.HttpClientRequest, from: URL, to: URL) =>
  HttpClientRequest.get(to.href, {
    headers: from.origin === to.origin ? request.headers : Headers.remove(request.headers, CREDENTIALS)
  })

/**
 * Whether an answer sends the request elsewhere. A browser shows a redirect it was told not to follow as status 0, without headers.
 */
export const isRedirect = (response: HttpClientResponse.HttpClientResponse): boolean =>
  response.status === 0 || (REDIRECTS.has(response.status) && response.headers["location"] !== undefined)

/**
 * Sends one request and gives its answer unread, with the URL that was asked; a redirect is an answer like any other. To be run within
 * `withManualRedirects`.
 */
export const open = <R>(
  client: Pick<HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>, "execute">,
  request: HttpClientRequest.HttpClientRequest,
  allowInsecureLocalhost: boolean
): Effect.Effect<
  { readonly url: URL; readonly response: HttpClientResponse.HttpClientResponse },
  OutboundFailure,
  R
> => {
  const target = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
  const shown = Url.forDisplay(request.url)
  if (Either.isLeft(target) || !Url.isSecure(target.right, allowInsecureLocalhost)) {
    return new OutboundFailure({
      reason: "InsecureEndpoint",
      url: shown,
      outcome: "refused",
      detail: "it is no https URL"
    })
  }
  return client.execute(request).pipe(
    Effect.mapError((error) =>
      error._tag === "RequestError"
        ? fromRequestError(shown, error)
        : new OutboundFailure({ reason: "Unreachable", url: shown, outcome: "unknown", detail: error.reason })
    ),
    Effect.map((response) => ({ url: target.right, response }))
  )
}

/** How one request of a chain is sent, and an answer put away that nobody reads. */
interface Way<R> {
  readonly execute: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, R>
  readonly discard: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<void>
}

const hop = <R>(
  way: Way<R>,
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules,
  redirectsLeft: number
): Effect.Effect<Answer, OutboundFailure, R> => {
  const shown = Url.forDisplay(request.url)
  return Effect.flatMap(
    open(way, request, rules.allowInsecureLocalhost),
    ({ response, url }) => {
      const location = response.headers["location"]
      if (!isRedirect(response)) {
        return Effect.map(readBody(shown, response, rules.maxBytes), (body): Answer => ({
          url: url.href,
          status: response.status,
          headers: response.headers,
          body
        }))
      }
      const refuse = (detail: string) =>
        new OutboundFailure({
          reason: "RedirectRefused",
          url: shown,
          outcome: "unknown",
          status: response.status,
          detail
        })
      const onward = (): Effect.Effect<Answer, OutboundFailure, R> => {
        if (location === undefined) return refuse("it redirects to where the browser does not show")
        const next = Url.parse(location, url.href)
        const to = next === undefined ? "something that is no URL" : Url.forDisplay(next)
        if (rules.redirects === 0 || request.method !== "GET") {
          return refuse(`it redirects to ${to}`)
        }
        if (redirectsLeft === 0) return refuse(`more than ${rules.redirects} redirects, the last to ${to}`)
        if (next === undefined || !Url.isSecure(next, rules.allowInsecureLocalhost)) {
          return refuse(`it redirects to ${to}, which is not https`)
        }
        return hop(way, redirectTo(request, url, next), rules, redirectsLeft - 1)
      }
      return Effect.zipRight(way.discard(response), Effect.suspend(onward))
    }
  )
}

const timedOut = (request: HttpClientRequest.HttpClientRequest, rules: Rules): OutboundFailure =>
  new OutboundFailure({
    reason: "TimedOut",
    url: Url.forDisplay(request.url),
    outcome: "unknown",
    detail: `no complete answer within ${Duration.format(rules.timeout)}`
  })

/** The transport keeps the time; it covers the redirects too. */
const sendLean = (
  client: LeanTransport.LeanTransport,
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules
): Effect.Effect<Answer, OutboundFailure> =>
  Effect.clockWith((clock) => {
    const limit = Duration.toMillis(rules.timeout)
    const start = clock.unsafeCurrentTimeMillis()
    const way: Way<never> = {
      // 0 would be no limit at all.
      execute: (next) =>
        client[LeanTransport.TypeId](next, Math.max(1, start + limit - clock.unsafeCurrentTimeMillis())),
      discard: (response) => LeanTransport.isLeanResponse(response) ? response.discard : Effect.void
    }
    return Effect.mapError(
      hop(way, request, rules, rules.redirects),
      (failure) =>
        failure.detail.includes("ERR_TOTAL_TIMEOUT") && failure.outcome === "unknown"
          ? timedOut(request, rules)
          : failure
    )
  })

/**
 * Sends one request and reads its whole answer, whatever its status.
 */
export const send = (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  rules: Rules
): Effect.Effect<Answer, OutboundFailure> => {
  if (LeanTransport.isLeanTransport(client)) return sendLean(client, request, rules)
  const way = { execute: HttpClient.withScope(client).execute, discard: () => Effect.void }
  return hop(way, request, rules, rules.redirects).pipe(
    // Whatever was not read to its end is closed now, not when it is garbage.
    Effect.scoped,
    withManualRedirects,
    Effect.timeoutFail({ duration: rules.timeout, onTimeout: () => timedOut(request, rules) })
  )
}
