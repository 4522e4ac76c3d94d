/**
 * Sends FHIR requests with the access token (SMART App Launch 2.2, "Access FHIR API"; requirements 93, 97, 98). The
 * link policy checks each hop; a 401 renews the token once; the retry policy repeats what may be repeated.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { withBuildTimeDefault } from "../../base/Settings.js"
import { span } from "../../base/Span.js"
import * as Url from "../../base/Url.js"
import * as BearerRequest from "../../http/BearerRequest.js"
import type { Limits } from "../../http/HttpLimits.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import type { TransportFailure } from "../../http/TransportFailure.js"
import { isTotalTimeout } from "../../http/TransportFailure.js"
import type * as SmartClient from "../../smart/SmartClient.js"
import type { TokenSet } from "../../token/TokenSet.js"
import { CapabilityWarnings } from "../CapabilityWarnings.js"
import type { Fields, File } from "../FhirError.js"
import { errorsAt, FhirError, isFhirError } from "../FhirError.js"
import { RateLimit } from "../RateLimit.js"
import type { EncodedRequest, FhirRequest, OpenResponse, ReadableResponse, ReadResponse } from "./fhirMessage.js"
import { encode, isConditional, read, statusError, stream, toHttpRequest, transportError } from "./fhirMessage.js"
import * as LinkPolicy from "./linkPolicy.js"
import * as Params from "./params.js"
import type { RateLimiter } from "./rateLimiter.js"
import { headersOf, type RequestOptions } from "./requestOptions.js"
import type { TokensOrRequest, TokenSource } from "./tokenSource.js"

/** What the interactions are made of. */
export interface FhirRequester<E, R> {
  readonly source: TokenSource<E, R>
  readonly send: (request: FhirRequest) => Effect.Effect<ReadResponse, FhirError | E, R>
  /** A response whose body is a stream until the scope closes; a status other than 2xx is an error. */
  readonly open: (request: FhirRequest) => Effect.Effect<ReadableResponse, FhirError | E, R | Scope.Scope>
  /** Makes errors about a request that is not sent. */
  readonly errors: (interaction: string) => Effect.Effect<(fields: Fields) => FhirError, E, R>
  /** Fails before a request is sent. */
  readonly refuse: (
    interaction: string,
    reason: "InvalidReference" | "InvalidRequest" | "NotInContext",
    detail: string
  ) => Effect.Effect<never, FhirError | E, R>
  /** The absolute URL of a reference. */
  readonly resolve: (reference: string) => Effect.Effect<URL | undefined, E, R>
}

const MAX_REDIRECTS = 5

/** A transport's limit of a body in memory does not apply to a stream. */
const UNLIMITED = Option.some(Number.MAX_SAFE_INTEGER)

/** A 401, before it is known whether there is a newer token. */
class TokenRejected {
  constructor(readonly error: FhirError) {}
}

type Failure = FhirError | TransportFailure | TokenRejected

type Attempt<A> = Effect.Effect<A, Failure>

/** Runs one attempt, which sends a request and opens or reads its response, within a time limit. */
type Limited = (
  timeout: Duration.DurationInput,
  onTimeout: () => FhirError
) => <A>(use: (sender: OutgoingRequest.Sender) => Attempt<A>) => Attempt<A>

/** What the requesters of one `FhirClient` share. */
export interface Transport extends BearerRequest.BearerTransport {
  /** Provides the retry policy and the limits of the service's layer. */
  readonly settings: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly rateLimit: RateLimiter | undefined
  readonly warnings: Context.Tag.Service<typeof CapabilityWarnings>
}

export const transport: Effect.Effect<Transport, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const withPolicy = yield* RetryPolicy.capture
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  return {
    ...BearerRequest.transport(client),
    settings: (self) => withLimits(withPolicy(self)),
    rateLimit: yield* RateLimit,
    warnings: yield* CapabilityWarnings
  }
})

/** The URL of a request, by the rules of the link policy. */
const locate = ({ base, page, params, url }: FhirRequest) => (rules: LinkPolicy.LinkRules): URL | undefined => {
  const resolved = LinkPolicy.resolve(rules, url, { base, page })
  const query = params === undefined ? "" : Params.print(params)
  if (resolved === undefined || query === "") return resolved
  const located = new URL(resolved)
  located.search = located.search === "" ? query : `${located.search.slice(1)}&${query}`
  return located
}

const errorsOf =
  (smart: SmartClient.Service, interaction: string, file?: File, attempts?: () => number | undefined) =>
  (fields: Fields): FhirError =>
    errorsAt(smart.config.fhirBaseUrl, interaction)({ file, attempts: attempts?.(), ...fields })

export const make = <E, R>(
  transport: Transport,
  source: TokenSource<E, R>,
  options: RequestOptions = {}
): FhirRequester<E, R> => {
  const { client, rateLimit, settings, warnings } = transport
  const checkLink = LinkPolicy.make(options)
  const headers = headersOf(options)

  /** The rules of the server for links of its responses. */
  let latest: undefined | { readonly config: SmartClient.Service["config"]; readonly rules: LinkPolicy.LinkRules }

  const resolve = (
    { config }: SmartClient.Service,
    link: string,
    from?: { readonly base: string | undefined; readonly page: string }
  ) => {
    if (latest?.config !== config) latest = { config, rules: LinkPolicy.rules(config, [], options) }
    return LinkPolicy.resolve(latest.rules, link, from)
  }

  const withHeaders = (request: EncodedRequest): EncodedRequest =>
    headers.values === undefined ? request : { ...request, headers: { ...headers.values, ...request.headers } }

  /** Sends the request and follows redirects; the link policy checks each of them like a first request. */
  const follow = <A>(
    sender: OutgoingRequest.Sender,
    smart: SmartClient.Service,
    tokens: TokenSet,
    request: EncodedRequest,
    token: Redacted.Redacted,
    fail: OpenResponse["fail"],
    use: (response: OpenResponse) => Attempt<A>
  ) => {
    const { base, method = "GET" } = request
    const hop = ({ url, withToken }: LinkPolicy.Destination, redirectsLeft: number): Attempt<A> =>
      Effect.flatMap(
        OutgoingRequest.open(
          sender,
          withToken
            ? BearerRequest.authorize(toHttpRequest(withHeaders(request), url), token)
            : toHttpRequest(request, url),
          url,
          smart.config.allowInsecureLocalhost ?? false
        ),
        (response) =>
          OutgoingRequest.isRedirect(response)
            ? Effect.zipRight(sender.discard(response), Effect.suspend(() => redirect(url, response, redirectsLeft)))
            : use({
              url,
              response,
              fail,
              secrets: withToken ? [token, ...headers.secrets] : [],
              resolve: (link) => resolve(smart, link, { base, page: url.href })
            })
      )
    const redirect = (
      from: URL,
      { headers, status }: HttpClientResponse.HttpClientResponse,
      redirectsLeft: number
    ): Attempt<A> => {
      const refuse = (detail: string) => fail({ reason: "RedirectRefused", detail, status, processed: "unknown" })
      const location = headers["location"]
      if (location === undefined) return refuse("the browser hides the location of a redirect")
      if (method !== "GET" && method !== "HEAD") return refuse(`a ${method} does not follow redirects`)
      if (redirectsLeft === 0) return refuse(`more than ${MAX_REDIRECTS} redirects`)
      const target = (rules: LinkPolicy.LinkRules) => {
        const next = Url.parse(location, from.href)
        return next === undefined ? undefined : LinkPolicy.resolve(rules, next.href)
      }
      const checked = checkLink(smart, tokens, request, target, fail)
      return Effect.isEffect(checked)
        ? Effect.flatMap(checked, (destination) => hop(destination, redirectsLeft - 1))
        : hop(checked, redirectsLeft - 1)
    }
    return (destination: LinkPolicy.Destination) => hop(destination, MAX_REDIRECTS)
  }

  /** One attempt. The first run uses the tokens of `first`, later runs those that the source then has. */
  const attempt = <A>(
    smart: SmartClient.Service,
    first: TokensOrRequest<E, R>,
    request: EncodedRequest,
    limited: Limited,
    use: (response: OpenResponse, limits: Limits) => Attempt<A>
  ): Effect.Effect<A, FhirError | E, R> => {
    let sent = 0
    const fail = errorsOf(smart, request.interaction, request.file, () => sent === 0 ? undefined : sent)
    const attemptWith = (
      tokens: TokenSet,
      fiber: Fiber.RuntimeFiber<unknown, unknown>
    ): Effect.Effect<A, FhirError | E, R> => {
      const limits = Context.get(fiber.currentContext, HttpLimits)
      const { fhirTimeout, maxFhirResponseBytes } = limits
      const timedOut = () =>
        fail({
          reason: "TimedOut",
          detail: `no complete response within ${Duration.format(fhirTimeout)}`,
          processed: "unknown"
        })
      const inTime = limited(fhirTimeout, timedOut)
      const { fhirBaseUrl } = smart.config
      const checkStatus = (open: OpenResponse): Attempt<A> => {
        const { status } = open.response
        if ((status >= 200 && status <= 299) || (status === 304 && isConditional(request))) return use(open, limits)
        return Effect.flatMap(
          statusError(open, maxFhirResponseBytes),
          (error) => Effect.fail(status === 401 && open.secrets.length > 0 ? new TokenRejected(error) : error)
        )
      }
      const onResponse = rateLimit === undefined
        ? checkStatus
        : (open: OpenResponse) => Effect.zipRight(rateLimit.observe(fhirBaseUrl, open.response), checkStatus(open))
      const run = (destination: LinkPolicy.Destination, token: Redacted.Redacted) => {
        const send = () => {
          sent += 1
          return inTime((sender) => follow(sender, smart, tokens, request, token, fail, onResponse)(destination))
        }
        return rateLimit === undefined ?
          send() :
          rateLimit.run(
            fhirBaseUrl,
            Effect.suspend(send),
            (retryAfter) =>
              fail({
                reason: "RateLimited",
                detail: "the server's rate limit is used up",
                retryAfter,
                processed: "no"
              })
          )
      }
      const isRepeatable = BearerRequest.isRepeatable(request.encoded)
      const errorOf = (failure: Failure, isRenewed: boolean): FhirError => {
        if (failure instanceof TokenRejected) {
          const { error } = failure
          return isRenewed
            ? new FhirError({ ...error, detail: `${error.detail}, also for a renewed token`, tokenRenewed: true })
            : error
        }
        return failure._tag !== "TransportFailure"
          ? failure
          : isTotalTimeout(failure)
          ? timedOut()
          : transportError(fail)(failure)
      }
      const sendTo = (destination: LinkPolicy.Destination) =>
        BearerRequest.sendRenewing(
          tokens.accessToken,
          source.tokenAfter,
          (failure: Failure) => failure instanceof TokenRejected && isRepeatable,
          (token) => run(destination, token),
          (failure, isRenewed) => Effect.fail(errorOf(failure, isRenewed))
        )
      const checked = checkLink(smart, tokens, request, locate(request), fail)
      return Effect.isEffect(checked) ? Effect.flatMap(checked, sendTo) : sendTo(checked)
    }
    let isFirst = true
    return Effect.withFiberRuntime((fiber) => {
      const tokens = isFirst ? first : source.tokens
      isFirst = false
      return Effect.isEffect(tokens)
        ? Effect.flatMap(tokens, (obtained) => attemptWith(obtained, fiber))
        : attemptWith(tokens, fiber)
    })
  }

  /** The errors of the token source were retried where they arose, and are not retried here. */
  const retried = (
    { body, method = "GET", retry = method === "GET" || method === "HEAD" ? "always" : "never" }: FhirRequest
  ) =>
  <A, R1>(self: Effect.Effect<A, FhirError | E, R1>): Effect.Effect<A, FhirError | E, R1> =>
    retry === "never" || (body !== undefined && "stream" in body)
      ? self
      : RetryPolicy.retryOurs(retry === "always" ? "always" : "never", isFhirError<E>)(self)

  /** Runs the attempts of a request in one span. */
  const perform = <A, R1>(
    request: FhirRequest,
    run: (
      smart: SmartClient.Service,
      tokens: TokensOrRequest<E, R>,
      request: EncodedRequest
    ) => Effect.Effect<A, FhirError | E, R1>
  ): Effect.Effect<A, FhirError | E, R | R1> =>
    Effect.flatMap(source.authorization, ({ client: smart, tokens }) => {
      const encoded = !BearerRequest.isAllowed(transport, smart.config)
        ? Either.left<Fields>({
          reason: "UnguardedTransport",
          detail: "an open registry found this server in a launch",
          processed: "no"
        })
        : encode(request, headers.values)
      const attempts: Effect.Effect<A, FhirError | E, R1> = Either.isLeft(encoded)
        ? errorsOf(smart, request.interaction, request.file)(encoded.left)
        : run(smart, tokens, encoded.right)
      const checked = warnings === undefined || request.base !== undefined || Either.isLeft(encoded)
        ? attempts
        : Effect.zipRight(warnings(smart.config, request), attempts)
      return span(`FhirClient.${request.interaction}`, { kind: "client", attributes: { "smart.server": smart.name } })(
        settings(retried(request)(checked))
      )
    })

  const errors = (interaction: string) => Effect.map(source.server, (smart) => errorsOf(smart, interaction))

  return {
    source,
    send: (request) =>
      perform(request, (smart, tokens, encoded) =>
        attempt(
          smart,
          tokens,
          encoded,
          (timeout, onTimeout) => (use) => OutgoingRequest.within(client, timeout, onTimeout, use),
          read
        )),
    open: (request) =>
      perform(request, (smart, tokens, encoded) =>
        Effect.flatMap(Effect.scope, (scope) =>
          attempt(
            smart,
            tokens,
            encoded,
            (timeout, onTimeout) => (use) => OutgoingRequest.opening(client, scope, timeout, onTimeout, use),
            stream
          ))).pipe(HttpIncomingMessage.withMaxBodySize(UNLIMITED)),
    refuse: (interaction, reason, detail) =>
      Effect.flatMap(errors(interaction), (fail) => fail({ reason, detail, processed: "no" })),
    errors,
    resolve: (reference) => Effect.map(source.server, (smart) => resolve(smart, reference))
  }
}
