/**
 * Requests with a bearer token (RFC 6750; SMART App Launch 2.2, requirements 93, 97 and 98): whether a transport may
 * send to a server, the token in a request to a checked destination, and the one renewal after a 401.
 */
import type * as HttpBody from "@effect/platform/HttpBody"
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
import { catchFailure } from "../base/CatchFailure.js"
import * as Url from "../base/Url.js"
import * as AddressGuard from "./AddressGuard.js"
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
export interface BearerTransport {
  readonly client: HttpClient.HttpClient
  /** Whether a server that was discovered in a launch may be reached over `client`. */
  readonly isGuarded: boolean
}

/**
 * The guard belongs to the instance, and is therefore read before the client is changed.
 *
 * @internal
 */
export const transport = (client: HttpClient.HttpClient): BearerTransport => ({
  client: OutgoingRequest.prepare(client),
  isGuarded: Option.isSome(AddressGuard.guardOf(client))
})

/**
 * Whether requests to this server may be sent: one that was discovered in a launch needs the address guard.
 *
 * @internal
 */
export const isAllowed = (
  { isGuarded }: BearerTransport,
  server: { readonly discovered?: boolean | undefined }
): boolean => isGuarded || server.discovered !== true

/**
 * The request with the token, in place of a caller's own `Authorization`.
 *
 * @internal
 */
export const authorize: (
  request: HttpClientRequest.HttpClientRequest,
  token: Redacted.Redacted
) => HttpClientRequest.HttpClientRequest = HttpClientRequest.bearerToken

/**
 * Whether a body can be sent again. A stream may have been consumed.
 *
 * @internal
 */
export const isRepeatable = ({ _tag }: HttpBody.HttpBody): boolean => _tag !== "Stream" && _tag !== "Raw"

/**
 * The token that replaces a rejected one; the same token if none is newer.
 *
 * @internal
 */
export type TokenAfter<E, R> = (rejected: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, E, R>

/**
 * Sends with `token`. If the server rejects it, sends once more with the token that replaces it, provided that it is
 * another one. `recover` gets the failure of the last attempt, and whether that had the other token.
 *
 * @internal
 */
export const sendRenewing = <A, E, R, E2, R2, E3>(
  token: Redacted.Redacted,
  tokenAfter: TokenAfter<E2, R2>,
  isRejected: (error: E) => boolean,
  send: (token: Redacted.Redacted) => Effect.Effect<A, E, R>,
  recover: (error: E, isRenewed: boolean) => Effect.Effect<A, E3>
): Effect.Effect<A, E2 | E3, R | R2> =>
  catchFailure(send(token), (error): Effect.Effect<A, E2 | E3, R | R2> =>
    isRejected(error)
      ? Effect.flatMap(tokenAfter(token), (next) =>
        Redacted.value(next) === Redacted.value(token)
          ? recover(error, false)
          : catchFailure(send(next), (last) => recover(last, true)))
      : recover(error, false))

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
  readonly tokenAfter: TokenAfter<E, R>
}

/** A 401, before it is known whether there is a newer token. */
class Rejected {
  constructor(readonly response: HttpClientResponse.HttpClientResponse) {}
}

/**
 * An `HttpClient` that adds the token to requests within its audience, and fails before it sends any other.
 *
 * @internal
 */
export const makeClient = <E, R = never>(
  client: HttpClient.HttpClient,
  source: TokenSource<E, R>
): HttpClient.HttpClient.With<HttpClientError.HttpClientError | TokenAudienceError | E, R> => {
  const bearing = transport(client)

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
      if (!isAllowed(bearing, audience)) return yield* refuse("UnguardedTransport")
      const checked = TokenAudience.check(audience, target.right)
      if (Either.isLeft(checked)) return yield* refuse(checked.left)
      // The URL that was checked is the URL that is sent to.
      const exact = HttpClientRequest.setUrl(request, checked.right)
      const isTokenRepeatable = isRepeatable(request.body)
      return yield* sendRenewing(
        yield* token,
        source.tokenAfter,
        (error: HttpClientError.HttpClientError | Rejected) => error instanceof Rejected,
        (bearer) =>
          Effect.flatMap(
            bearing.client.execute(authorize(exact, bearer)),
            (response) =>
              response.status === 401 && isTokenRepeatable
                ? Effect.fail(new Rejected(response))
                : Effect.succeed(response)
          ),
        (error) => error instanceof Rejected ? Effect.succeed(error.response) : Effect.fail(error)
      )
    })

  return HttpClient.makeWith<never, never, HttpClientError.HttpClientError | TokenAudienceError | E, R>(
    (request) => Effect.flatMap(request, send),
    Effect.succeed
  )
}
