/**
 * One FHIR request and its answer, with the token where it may go (SMART App Launch 2.2, "Access FHIR API"; requirements 93, 97, 98): judged anew at
 * every hop, renewed once after a 401, repeated where a repeat changes nothing.
 *
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { captured } from "../base/captured.js"
import { parseJson } from "../base/members.js"
import * as Url from "../base/Url.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as Outbound from "../http/Outbound.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import type * as SmartClient from "../SmartClient.js"
import type { TokenSet } from "../token/TokenSet.js"
import { admit } from "./Admission.js"
import type { Fields, File } from "./FhirError.js"
import { FhirError, outcomeOf, reasonOf } from "./FhirError.js"
import * as FhirLink from "./FhirLink.js"
import type { Answer, Request } from "./FhirRequest.js"
import * as Params from "./Params.js"
import { issuesOf } from "./Resource.js"

/**
 * Whose token it is.
 *
 * @internal
 */
export interface TokenSource<E, R> {
  readonly server: Effect.Effect<SmartClient.Service, E, R>
  readonly tokens: Effect.Effect<TokenSet, E, R>
  /** The token after one that was refused; the same again where nothing newer is to be had. */
  readonly tokenAfter: (refused: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, E, R>
}

/**
 * An answer for who reads it: with the errors about it, and its links.
 *
 * @internal
 */
export interface Answered extends Answer {
  readonly fail: (fields: Fields) => FhirError
  /** The token, where it was sent: it must not be shown. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** The URL that a link of the answer means. */
  readonly resolve: (link: string) => URL | undefined
}

/** @internal */
export interface Exchange<E, R> {
  readonly source: TokenSource<E, R>
  readonly send: (request: Request) => Effect.Effect<Answered, FhirError | E, R>
  /** The body as it comes. Only what a status of 2xx brings. */
  readonly download: (request: Request) => Stream.Stream<Uint8Array, FhirError | E, R>
  /** Errors about a request that is not sent. */
  readonly failing: (interaction: string) => Effect.Effect<(fields: Fields) => FhirError, E, R>
  /** The URL that a reference means. */
  readonly resolve: (reference: string) => Effect.Effect<URL | undefined, E, R>
}

/** What the source could not give: it has had its own retries, so that it passes through ours untouched. */
interface SourceFailure<E> {
  readonly _tag: "SourceFailure"
  readonly isRetryable: false
  readonly error: E
}

const sourced = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, SourceFailure<E>, R> =>
  Effect.mapError(self, (error) => ({ _tag: "SourceFailure", isRetryable: false, error }))

const unsourced = <A, E, R>(
  self: Effect.Effect<A, FhirError | SourceFailure<E>, R>
): Effect.Effect<A, FhirError | E, R> =>
  Effect.mapError(self, (error) => error._tag === "SourceFailure" ? error.error : error)

const MAX_REDIRECTS = 5

interface Opened extends Pick<Answered, "fail" | "secrets" | "resolve"> {
  readonly url: URL
  readonly response: HttpClientResponse.HttpClientResponse
}

type Scoped = HttpClient.HttpClient.With<HttpClientError.HttpClientError, Scope.Scope>

/**
 * What is taken from where the service is made.
 *
 * @internal
 */
export interface Prepared {
  readonly client: Scoped
  /** The retry policy and the limits that the service's layer was given. */
  readonly settings: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** @internal */
export const prepare: Effect.Effect<Prepared, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const withPolicy = yield* RetryPolicy.capture
  const withLimits = yield* captured(HttpLimits)
  // An answer that is not read to its end is closed with its scope, not when it is garbage.
  return {
    client: HttpClient.withScope(Outbound.prepare(client)),
    settings: (self) => withLimits(withPolicy(self))
  }
})

/**
 * @internal
 */
export const make = <E, R>(
  { client, settings }: Prepared,
  source: TokenSource<E, R>,
  options: FhirLink.LinkOptions = {}
): Exchange<E, R> => {
  const failOf = (smart: SmartClient.Service, interaction: string, file?: File) => (fields: Fields): FhirError =>
    new FhirError({ issues: [], file, ...fields, fhirBaseUrl: smart.config.fhirBaseUrl, interaction })

  const outgoing = (request: Request, url: URL, token: Redacted.Redacted | undefined) => {
    const { body, headers, method = "GET" } = request
    const made = HttpClientRequest.make(method)(url.href, {
      headers: Headers.remove(
        Headers.fromInput({ accept: "application/fhir+json, application/json;q=0.9", ...headers }),
        "authorization"
      )
    })
    const filled = body === undefined ? made : HttpClientRequest.bodyText(made, body.text, body.contentType)
    return token === undefined ? filled : HttpClientRequest.bearerToken(filled, token)
  }

  const outboundFailed = (fail: Opened["fail"]) => ({ detail, outcome, reason, status }: Outbound.OutboundFailure) =>
    fail({ reason, detail, status, outcome })

  /** Sends, and follows redirects as far as they may be followed, each judged as if it were the first request. */
  const follow = (
    smart: SmartClient.Service,
    tokens: TokenSet,
    request: Request,
    token: Redacted.Redacted,
    fail: Opened["fail"]
  ) => {
    const isFollowing = request.method === undefined || request.method === "GET" || request.method === "HEAD"
    const insecure = smart.config.allowInsecureLocalhost ?? false
    const hop = (
      { url, withToken }: FhirLink.Destination,
      left: number
    ): Effect.Effect<Opened, FhirError, Scope.Scope> =>
      Effect.gen(function*() {
        const { response } = yield* Effect.mapError(
          Outbound.open(client, outgoing(request, url, withToken ? token : undefined), insecure),
          outboundFailed(fail)
        )
        const secrets = withToken ? [token] : []
        if (!Outbound.isRedirect(response)) {
          const resolve = (link: string) =>
            FhirLink.resolve(FhirLink.rules(smart.config, [], options), link, { base: request.base, page: url.href })
          return { url, response, fail, secrets, resolve }
        }
        const location = response.headers["location"]
        const refuse = (detail: string) =>
          fail({ reason: "RedirectRefused", detail, status: response.status, outcome: "unknown" })
        if (location === undefined) return yield* refuse("a redirect that the browser does not show")
        if (!isFollowing) return yield* refuse("what changes something follows no redirect")
        if (left === 0) return yield* refuse(`more than ${MAX_REDIRECTS} redirects`)
        const locate = (rules: FhirLink.LinkRules) => {
          const next = Url.parse(location, url.href)
          return next === undefined ? undefined : FhirLink.resolve(rules, next.href)
        }
        return yield* hop(yield* admit(smart, tokens, request, locate, options, fail), left - 1)
      })
    return (first: FhirLink.Destination) => Outbound.withManualRedirects(hop(first, MAX_REDIRECTS))
  }

  const locate = ({ base, page, params, url }: Request) => (rules: FhirLink.LinkRules): URL | undefined => {
    const found = FhirLink.resolve(rules, url, { base, page })
    const query = params === undefined ? "" : Params.print(params)
    if (found === undefined || query === "") return found
    const whole = new URL(found)
    whole.search = whole.search === "" ? query : `${whole.search.slice(1)}&${query}`
    return whole
  }

  const refused = ({ fail, response, secrets }: Opened, maxBytes: number): Effect.Effect<FhirError> =>
    Effect.gen(function*() {
      const body = yield* Outbound.readBody("", response, maxBytes).pipe(Effect.orElseSucceed(() => ""))
      return fail({
        reason: reasonOf(response.status),
        detail: `it answered ${response.status}`,
        issues: issuesOf(parseJson(body)?.value, secrets),
        status: response.status,
        retryAfter: RetryAfter.parse(response.headers["retry-after"], yield* Clock.currentTimeMillis),
        outcome: outcomeOf(response.status)
      })
    })

  /** One attempt: `use` reads the answer within the time limit. */
  const attempt = <A>(
    request: Request,
    use: (opened: Opened, maxBytes: number) => Effect.Effect<A, FhirError, Scope.Scope>
  ): Effect.Effect<A, FhirError | SourceFailure<E>, R | Scope.Scope> =>
    Effect.gen(function*() {
      const smart = yield* sourced(source.server)
      yield* Effect.annotateCurrentSpan("smart.server", smart.name)
      const tokens = yield* sourced(source.tokens)
      const limits = yield* HttpLimits
      const fail = failOf(smart, request.interaction, request.file)
      const destination = yield* admit(smart, tokens, request, locate(request), options, fail)
      /** The answer, or the refusal of the token. */
      const judged = (opened: Opened): Effect.Effect<Either.Either<A, FhirError>, FhirError, Scope.Scope> => {
        const { status } = opened.response
        if (status >= 200 && status <= 299) {
          return Effect.map(use(opened, limits.maxFhirResponseBytes), (value) => Either.right(value))
        }
        return Effect.flatMap(
          refused(opened, limits.maxFhirResponseBytes),
          (error) => status === 401 && opened.secrets.length > 0 ? Effect.succeed(Either.left(error)) : error
        )
      }
      const run = (token: Redacted.Redacted) =>
        follow(smart, tokens, request, token, fail)(destination).pipe(
          Effect.flatMap(judged),
          Effect.timeoutFail({
            duration: limits.fhirTimeout,
            onTimeout: () => fail({ reason: "TimedOut", detail: "no complete answer in time", outcome: "unknown" })
          })
        )
      const first = yield* run(tokens.accessToken)
      if (Either.isRight(first)) return first.right
      const next = yield* sourced(source.tokenAfter(tokens.accessToken))
      if (Redacted.value(next) === Redacted.value(tokens.accessToken)) return yield* first.left
      return yield* yield* run(next)
    })

  const repeated = (request: Request) =>
  <A, R1>(
    self: Effect.Effect<A, FhirError | SourceFailure<E>, R1>
  ): Effect.Effect<A, FhirError | E, R1> => {
    const { method = "GET", repeat = method === "GET" || method === "HEAD" ? "always" : "never" } = request
    return unsourced(
      repeat === "never" ? self : RetryPolicy.retry(repeat === "always" ? "always" : "never")(self)
    )
  }

  const span = (request: Request) => <A, E1, R1>(self: Effect.Effect<A, E1, R1>) =>
    Effect.withSpan(self, `FhirClient.${request.interaction}`, { kind: "client", captureStackTrace: false })

  const read = (opened: Opened, maxBytes: number): Effect.Effect<Answered, FhirError> =>
    Outbound.readBody(Url.forDisplay(opened.url), opened.response, maxBytes).pipe(
      Effect.mapError(outboundFailed(opened.fail)),
      Effect.map((body) => ({
        fail: opened.fail,
        secrets: opened.secrets,
        resolve: opened.resolve,
        url: opened.url.href,
        status: opened.response.status,
        headers: opened.response.headers,
        body,
        json: parseJson(body)?.value
      }))
    )

  /** The time limit holds for every piece, and only while it is waited for. */
  const bytesOf = ({ fail, response, url }: Opened) =>
    Stream.unwrap(Effect.map(HttpLimits, ({ fhirTimeout }) =>
      response.stream.pipe(
        Stream.catchAll((error) =>
          error.reason === "EmptyBody"
            ? Stream.empty
            : Stream.fail(outboundFailed(fail)(Outbound.brokenOff(Url.forDisplay(url), response, error)))
        ),
        Stream.timeoutFail(
          () => fail({ reason: "TimedOut", detail: "the file stopped coming", outcome: "unknown" }),
          fhirTimeout
        )
      )))

  return {
    source,
    send: (request) => attempt(request, read).pipe(Effect.scoped, repeated(request), settings, span(request)),
    download: (request) =>
      Stream.unwrapScoped(
        attempt(request, (opened) => Effect.succeed(opened)).pipe(
          repeated(request),
          settings,
          span(request),
          Effect.map(bytesOf)
        )
      ),
    failing: (interaction) => Effect.map(source.server, (smart) => failOf(smart, interaction)),
    resolve: (reference) =>
      Effect.map(source.server, (smart) => FhirLink.resolve(FhirLink.rules(smart.config, [], options), reference))
  }
}
