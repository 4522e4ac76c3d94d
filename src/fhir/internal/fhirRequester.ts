/**
 * One FHIR request and its answer, with the token where it may go (SMART App Launch 2.2, "Access FHIR API"; requirements 93, 97, 98): judged anew at
 * every hop, renewed once after a 401, repeated where a repeat changes nothing.
 *
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { withBuildTimeDefault } from "../../base/BuildTimeDefault.js"
import { span } from "../../base/Span.js"
import * as Url from "../../base/Url.js"
import * as AddressGuard from "../../http/AddressGuard.js"
import type { Limits } from "../../http/HttpLimits.js"
import { HttpLimits } from "../../http/HttpLimits.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import * as RetryPolicy from "../../http/RetryPolicy.js"
import type { TransportFailure } from "../../http/TransportFailure.js"
import { isTotalTimeout } from "../../http/TransportFailure.js"
import type * as SmartClient from "../../smart/SmartClient.js"
import type { TokenSet } from "../../token/TokenSet.js"
import type { Fields, File } from "../FhirError.js"
import { FhirError, isFhirError } from "../FhirError.js"
import * as FhirLink from "./fhirLink.js"
import type { Request } from "./fhirRequest.js"
import type { FhirResponse, Opened } from "./fhirResponse.js"
import { bytesOf, outboundFailed, read, refused } from "./fhirResponse.js"
import * as Admission from "./linkPolicy.js"
import * as Params from "./params.js"

/**
 * Whose token it is.
 *
 * @internal
 */
export interface TokenSource<E, R> {
  readonly server: Effect.Effect<SmartClient.Service, E, R>
  readonly tokens: Effect.Effect<TokenSet, E, R>
  /** Both, from one read of the place that holds them. Tokens that have to be requested are requested only when they are needed. */
  readonly authorization: Effect.Effect<
    { readonly client: SmartClient.Service; readonly tokens: Effect.Effect<TokenSet, E, R> },
    E,
    R
  >
  /** The token after one that was refused; the same again where nothing newer is to be had. */
  readonly tokenAfter: (refused: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, E, R>
}

/** @internal */
export interface FhirRequester<E, R> {
  readonly source: TokenSource<E, R>
  readonly send: (request: Request) => Effect.Effect<FhirResponse, FhirError | E, R>
  /** The body as it comes. Only what a status of 2xx brings. */
  readonly download: (request: Request) => Stream.Stream<Uint8Array, FhirError | E, R>
  /** Errors about a request that is not sent. */
  readonly failing: (interaction: string) => Effect.Effect<(fields: Fields) => FhirError, E, R>
  /** The URL that a reference means. */
  readonly resolve: (reference: string) => Effect.Effect<URL | undefined, E, R>
}

const MAX_REDIRECTS = 5

/** What is no failure yet: there may be a newer token. */
class TokenRefused {
  constructor(readonly error: FhirError) {}
}

/** In which one attempt sends and opens, and `send` reads, too. */
type Limited = (
  timeout: Duration.DurationInput,
  onTimeout: () => FhirError
) => <A>(
  use: (way: OutgoingRequest.Sender) => Effect.Effect<A, FhirError | TransportFailure>
) => Effect.Effect<A, FhirError | TransportFailure>

/**
 * What is taken from where the service is made.
 *
 * @internal
 */
export interface Prepared {
  readonly client: HttpClient.HttpClient
  /** Whether `client` may send to a server that was found in a launch. */
  readonly isGuarded: boolean
  /** The retry policy and the limits that the service's layer was given. */
  readonly settings: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** @internal */
export const prepare: Effect.Effect<Prepared, never, HttpClient.HttpClient> = Effect.gen(function*() {
  const given = yield* HttpClient.HttpClient
  const withPolicy = yield* RetryPolicy.capture
  const withLimits = yield* withBuildTimeDefault(HttpLimits)
  return {
    client: OutgoingRequest.prepare(given),
    isGuarded: Option.isSome(AddressGuard.guardOf(given)),
    settings: (self) => withLimits(withPolicy(self))
  }
})

/** Only then a 304 is an answer. */
const isConditional = ({ headers = {} }: Request): boolean =>
  Object.keys(headers).some((name) => /^if-(?:none-match|modified-since)$/i.test(name))

const ACCEPT = { accept: "application/fhir+json, application/json;q=0.9" }

/**
 * @internal
 */
export const make = <E, R>(
  { client, isGuarded, settings }: Prepared,
  source: TokenSource<E, R>,
  options: FhirLink.LinkOptions = {}
): FhirRequester<E, R> => {
  const admit = Admission.make(options)

  const failOf =
    (smart: SmartClient.Service, interaction: string, file?: File, attempts?: () => number | undefined) =>
    (fields: Fields): FhirError =>
      new FhirError({
        issues: [],
        file,
        attempts: attempts?.(),
        ...fields,
        fhirBaseUrl: smart.config.fhirBaseUrl,
        interaction
      })

  const outgoing = (request: Request, url: URL, token: Redacted.Redacted | undefined) => {
    const { body, headers, method = "GET" } = request
    // The token's source decides which token is sent.
    const given = headers === undefined
      ? ACCEPT
      : Headers.remove(Headers.fromInput({ ...ACCEPT, ...headers }), "authorization")
    const authorization = token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }
    const made = HttpClientRequest.make(method)(url.href, { headers: { ...given, ...authorization } })
    return body === undefined ? made : HttpClientRequest.bodyText(made, body.text, body.contentType)
  }

  /** Sends, and follows redirects as far as they may be followed, each judged as if it were the first request; then `use`s the answer. */
  const follow = <A>(
    way: OutgoingRequest.Sender,
    smart: SmartClient.Service,
    tokens: TokenSet,
    request: Request,
    token: Redacted.Redacted,
    fail: Opened["fail"],
    use: (opened: Opened) => Effect.Effect<A, FhirError | TransportFailure>
  ) => {
    const isFollowing = request.method === undefined || request.method === "GET" || request.method === "HEAD"
    const insecure = smart.config.allowInsecureLocalhost ?? false
    const hop = (
      { url, withToken }: FhirLink.Destination,
      left: number
    ): Effect.Effect<A, FhirError | TransportFailure> =>
      Effect.flatMap(
        OutgoingRequest.open(way, outgoing(request, url, withToken ? token : undefined), url, insecure),
        (response) => {
          if (OutgoingRequest.isRedirect(response)) {
            return Effect.zipRight(way.discard(response), Effect.suspend(() => onward(url, response, left)))
          }
          const resolve = (link: string) =>
            FhirLink.resolve(FhirLink.rules(smart.config, [], options), link, { base: request.base, page: url.href })
          return use({ url, response, fail, secrets: withToken ? [token] : [], resolve })
        }
      )
    const onward = (from: URL, { headers, status }: HttpClientResponse.HttpClientResponse, left: number) => {
      const refuse = (detail: string) => fail({ reason: "RedirectRefused", detail, status, processed: "unknown" })
      const location = headers["location"]
      if (location === undefined) return refuse("a redirect that the browser does not show")
      if (!isFollowing) return refuse("what changes something follows no redirect")
      if (left === 0) return refuse(`more than ${MAX_REDIRECTS} redirects`)
      const locate = (rules: FhirLink.LinkRules) => {
        const next = Url.parse(location, from.href)
        return next === undefined ? undefined : FhirLink.resolve(rules, next.href)
      }
      return Effect.flatMap(admit(smart, tokens, request, locate, fail), (next) => hop(next, left - 1))
    }
    return (first: FhirLink.Destination) => hop(first, MAX_REDIRECTS)
  }

  const locate = ({ base, page, params, url }: Request) => (rules: FhirLink.LinkRules): URL | undefined => {
    const found = FhirLink.resolve(rules, url, { base, page })
    const query = params === undefined ? "" : Params.print(params)
    if (found === undefined || query === "") return found
    const whole = new URL(found)
    whole.search = whole.search === "" ? query : `${whole.search.slice(1)}&${query}`
    return whole
  }

  /** One attempt each time it runs: the first with `first`, later ones with the tokens of their time. */
  const attempt = <A>(
    smart: SmartClient.Service,
    first: Effect.Effect<TokenSet, E, R>,
    request: Request,
    limited: Limited,
    use: (opened: Opened, limits: Limits) => Effect.Effect<A, FhirError | TransportFailure>
  ): Effect.Effect<A, FhirError | E, R> => {
    let sent = 0
    let isFirst = true
    const tokensNow = Effect.suspend(() => {
      const given = isFirst ? first : source.tokens
      isFirst = false
      return given
    })
    const fail = failOf(smart, request.interaction, request.file, () => sent === 0 ? undefined : sent)
    return Effect.flatMap(tokensNow, (tokens) =>
      Effect.withFiberRuntime((fiber) => {
        const limits = Context.get(fiber.currentContext, HttpLimits)
        const { fhirTimeout, maxFhirResponseBytes } = limits
        const tooSlow = () =>
          fail({
            reason: "TimedOut",
            detail: `no complete answer within ${Duration.format(fhirTimeout)}`,
            processed: "unknown"
          })
        const inTime = limited(fhirTimeout, tooSlow)
        const judged = (opened: Opened): Effect.Effect<A | TokenRefused, FhirError | TransportFailure> => {
          const { status } = opened.response
          if ((status >= 200 && status <= 299) || (status === 304 && isConditional(request))) return use(opened, limits)
          return Effect.flatMap(
            refused(opened, maxFhirResponseBytes),
            (error) => status === 401 && opened.secrets.length > 0 ? Effect.succeed(new TokenRefused(error)) : error
          )
        }
        const run = (destination: FhirLink.Destination, token: Redacted.Redacted) => {
          sent += 1
          return Effect.mapError(
            inTime((way) => follow(way, smart, tokens, request, token, fail, judged)(destination)),
            (error) =>
              error._tag !== "TransportFailure"
                ? error
                : isTotalTimeout(error)
                ? tooSlow()
                : outboundFailed(fail)(error)
          )
        }
        const renewed = (
          destination: FhirLink.Destination,
          { error }: TokenRefused
        ): Effect.Effect<A, FhirError | E, R> =>
          Effect.flatMap(source.tokenAfter(tokens.accessToken), (next) =>
            Redacted.value(next) === Redacted.value(tokens.accessToken)
              ? error
              : Effect.flatMap(
                run(destination, next),
                (second) =>
                  second instanceof TokenRefused
                    ? new FhirError({
                      ...second.error,
                      detail: `${second.error.detail}, also to a newer token`,
                      tokenRenewed: true
                    })
                    : Effect.succeed(second)
              ))
        return Effect.flatMap(admit(smart, tokens, request, locate(request), fail), (destination) =>
          Effect.flatMap(
            run(destination, tokens.accessToken),
            (first): Effect.Effect<A, FhirError | E, R> =>
              first instanceof TokenRefused ? renewed(destination, first) : Effect.succeed(first)
          ))
      }))
  }

  /** What the source could not give has had its own retries, and passes through ours untouched. */
  const repeated =
    (request: Request) => <A, R1>(self: Effect.Effect<A, FhirError | E, R1>): Effect.Effect<A, FhirError | E, R1> => {
      const { method = "GET", repeat = method === "GET" || method === "HEAD" ? "always" : "never" } = request
      return repeat === "never"
        ? self
        : RetryPolicy.retryOurs(repeat === "always" ? "always" : "never", isFhirError<E>)(self)
    }

  const unguarded = (smart: SmartClient.Service, { file, interaction }: Request): Effect.Effect<never, FhirError> =>
    failOf(smart, interaction, file)({
      reason: "UnguardedTransport",
      detail: "an open registry found this server in a launch",
      processed: "no"
    })

  /** What is done with a request at its server: each step of its own retries, all in one span. */
  const asked = <A, R1>(
    request: Request,
    step: (smart: SmartClient.Service, tokens: Effect.Effect<TokenSet, E, R>) => Effect.Effect<A, FhirError | E, R1>
  ): Effect.Effect<A, FhirError | E, R | R1> =>
    Effect.flatMap(
      source.authorization,
      ({ client: smart, tokens }) =>
        (smart.config.discovered === true && !isGuarded ? unguarded(smart, request) : step(smart, tokens)).pipe(
          repeated(request),
          settings,
          span(`FhirClient.${request.interaction}`, { kind: "client", attributes: { "smart.server": smart.name } })
        )
    )

  return {
    source,
    send: (request) =>
      asked(
        request,
        (smart, tokens) =>
          attempt(
            smart,
            tokens,
            request,
            (timeout, onTimeout) => (use) => OutgoingRequest.within(client, timeout, onTimeout, use),
            read
          )
      ),
    download: (request) =>
      Stream.unwrapScoped(
        asked(request, (smart, tokens) =>
          Effect.flatMap(Effect.scope, (scope) =>
            attempt(
              smart,
              tokens,
              request,
              (timeout, onTimeout) => (use) => OutgoingRequest.opening(client, scope, timeout, onTimeout, use),
              bytesOf
            )))
      ),
    failing: (interaction) => Effect.map(source.server, (smart) => failOf(smart, interaction)),
    resolve: (reference) =>
      Effect.map(source.server, (smart) => FhirLink.resolve(FhirLink.rules(smart.config, [], options), reference))
  }
}
