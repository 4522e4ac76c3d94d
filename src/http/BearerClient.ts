/**
 * An `HttpClient` that carries an access token to where it may go, and fails before sending where it may not. After a 401 it has the token renewed
 * once, and repeats the request if its body can be sent again.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Url from "../base/Url.js"
import * as AddressGuard from "./AddressGuard.js"
import * as OutgoingRequest from "./OutgoingRequest.js"
import * as TokenAudience from "./TokenAudience.js"

/**
 * A request that would have carried a token to where it may not go. Nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenAudienceError extends Schema.TaggedError<TokenAudienceError>("effect-safire/TokenAudienceError")(
  "TokenAudienceError",
  {
    reason: Schema.Literal(
      "NotAUrl",
      "HasCredentials",
      "Insecure",
      "ForeignOrigin",
      "OutsideBasePath",
      "AmbiguousPath",
      "UnguardedTransport"
    ),
    /** Where it would have gone: only the origin, because a path may name a patient. */
    origin: Schema.String
  }
) {
  override get message(): string {
    if (this.reason === "UnguardedTransport") {
      return `A request to ${this.origin} was not sent (${this.reason}): an open registry found this server in a launch, and ${AddressGuard.advice}`
    }
    return `A request to ${this.origin} was not sent: the access token may not go there (${this.reason}); it goes to the FHIR base and to what ` +
      "the server declared beside it, over https"
  }

  get isRetryable(): boolean {
    return false
  }
}

/** @internal */
export interface Audience extends TokenAudience.TokenAudience {
  /** Whether the server was found in a launch. */
  readonly discovered?: boolean | undefined
}

/** @internal */
export interface TokenSource<E, R = never> {
  /** Where the token may go, and the token, which is not obtained for a request that may not be sent. */
  readonly authorization: Effect.Effect<
    { readonly audience: Audience; readonly token: Effect.Effect<Redacted.Redacted, E, R> },
    E,
    R
  >
  /** The token after one that was refused; the same again where nothing newer is to be had. */
  readonly tokenAfter: (refused: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, E, R>
}

const isRepeatable = (request: HttpClientRequest.HttpClientRequest): boolean =>
  request.body._tag !== "Stream" && request.body._tag !== "Raw"

const originOf = (url: string): string => Url.parse(url)?.origin ?? "(not a URL)"

/** @internal */
export const make = <E, R = never>(
  client: HttpClient.HttpClient,
  source: TokenSource<E, R>
): HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | E, R> => {
  const prepared = OutgoingRequest.prepare(client)
  const isGuarded = Option.isSome(AddressGuard.guardOf(client))

  const judge = (audience: Audience, url: URL) =>
    audience.discovered === true && !isGuarded
      ? Either.left("UnguardedTransport" as const)
      : TokenAudience.judge(audience, url)

  const send = (
    request: HttpClientRequest.HttpClientRequest
  ): Effect.Effect<
    HttpClientResponse.HttpClientResponse,
    HttpClientError.HttpClientError | TokenAudienceError | E,
    R
  > =>
    Effect.gen(function*() {
      const target = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
      if (Either.isLeft(target)) {
        return yield* new TokenAudienceError({ reason: "NotAUrl", origin: originOf(request.url) })
      }
      const authorization = yield* source.authorization
      const judged = judge(authorization.audience, target.right)
      if (Either.isLeft(judged)) {
        return yield* new TokenAudienceError({ reason: judged.left, origin: originOf(request.url) })
      }
      // What was judged is what is sent.
      const exact = HttpClientRequest.setUrl(request, judged.right)
      const sendWith = (token: Redacted.Redacted) =>
        OutgoingRequest.withManualRedirects(prepared.execute(HttpClientRequest.bearerToken(exact, token)))
      const token = yield* authorization.token
      const response = yield* sendWith(token)
      if (response.status !== 401 || !isRepeatable(request)) return response
      const next = yield* source.tokenAfter(token)
      return Redacted.value(next) === Redacted.value(token) ? response : yield* sendWith(next)
    })

  return HttpClient.makeWith<never, never, HttpClientError.HttpClientError | TokenAudienceError | E, R>(
    (request) => Effect.flatMap(request, send),
    Effect.succeed
  )
}
