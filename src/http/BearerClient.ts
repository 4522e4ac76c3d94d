/**
 * An `HttpClient` that adds an access token to requests within its audience, and fails before it sends any other. After
 * a 401 it renews the token once, and repeats the request if its body can be sent again.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Url from "../base/Url.js"
import * as AddressGuard from "./AddressGuard.js"
import * as BearerRequest from "./BearerRequest.js"
import * as OutgoingRequest from "./OutgoingRequest.js"
import * as TokenAudience from "./TokenAudience.js"

/**
 * A request outside the audience of its access token. It was not sent.
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
    /** The origin of the request. Its path may name a patient. */
    origin: Schema.String
  }
) {
  override get message(): string {
    if (this.reason === "UnguardedTransport") {
      return `A request to ${this.origin} was not sent (${this.reason}): an open registry found this server in a launch, and ${AddressGuard.advice}`
    }
    return `A request to ${this.origin} was not sent (${this.reason}): the access token may be sent only over https, to the FHIR base URL and to the ` +
      "endpoints that the server declares"
  }

  get isRetryable(): boolean {
    return false
  }
}

/** @internal */
export interface TokenSource<E, R = never> {
  /** The server, the audience of its token, and the token, which is obtained only for a request that may be sent. */
  readonly authorization: Effect.Effect<
    {
      readonly audience: TokenAudience.TokenAudience & { readonly discovered?: boolean | undefined }
      readonly token: Effect.Effect<Redacted.Redacted, E, R>
    },
    E,
    R
  >
  readonly tokenAfter: BearerRequest.TokenAfter<E, R>
}

const isRepeatable = (request: HttpClientRequest.HttpClientRequest): boolean =>
  request.body._tag !== "Stream" && request.body._tag !== "Raw"

/** @internal */
export const make = <E, R = never>(
  client: HttpClient.HttpClient,
  source: TokenSource<E, R>
): HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | E, R> => {
  const transport = BearerRequest.transport(client)

  const send = (
    request: HttpClientRequest.HttpClientRequest
  ): Effect.Effect<
    HttpClientResponse.HttpClientResponse,
    HttpClientError.HttpClientError | TokenAudienceError | E,
    R
  > =>
    Effect.gen(function*() {
      const refuse = (reason: TokenAudienceError["reason"]) =>
        new TokenAudienceError({ reason, origin: Url.parse(request.url)?.origin ?? "(not a URL)" })
      const target = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
      if (Either.isLeft(target)) return yield* refuse("NotAUrl")
      const { audience, token } = yield* source.authorization
      if (!BearerRequest.isAllowed(transport, audience)) return yield* refuse("UnguardedTransport")
      const checked = TokenAudience.check(audience, target.right)
      if (Either.isLeft(checked)) return yield* refuse(checked.left)
      // The URL that was checked is the URL that is sent to.
      const exact = HttpClientRequest.setUrl(request, checked.right)
      return yield* BearerRequest.sendRenewing(
        yield* token,
        source.tokenAfter,
        (response: HttpClientResponse.HttpClientResponse) => response.status === 401 && isRepeatable(request),
        (bearer) =>
          OutgoingRequest.withManualRedirects(transport.client.execute(HttpClientRequest.bearerToken(exact, bearer)))
      )
    })

  return HttpClient.makeWith<never, never, HttpClientError.HttpClientError | TokenAudienceError | E, R>(
    (request) => Effect.flatMap(request, send),
    Effect.succeed
  )
}
