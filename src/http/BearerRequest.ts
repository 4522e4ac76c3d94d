/**
 * Requests with a bearer token (RFC 6750; SMART App Launch 2.2, requirements 93, 97 and 98): whether a transport may
 * send to a server, and the one renewal after a 401. `TokenAudience` checks the destination. Used by `BearerClient` and
 * by the FHIR requests.
 *
 * @internal
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as AddressGuard from "./AddressGuard.js"
import * as OutgoingRequest from "./OutgoingRequest.js"

export interface BearerTransport {
  readonly client: HttpClient.HttpClient
  /** Whether a server that was discovered in a launch may be reached over `client`. */
  readonly isGuarded: boolean
}

/** The guard belongs to the instance, and is therefore read before the client is changed. */
export const transport = (client: HttpClient.HttpClient): BearerTransport => ({
  client: OutgoingRequest.prepare(client),
  isGuarded: Option.isSome(AddressGuard.guardOf(client))
})

/** Whether requests to this server may be sent: one that was discovered in a launch needs the address guard. */
export const isAllowed = (
  { isGuarded }: BearerTransport,
  server: { readonly discovered?: boolean | undefined }
): boolean => isGuarded || server.discovered !== true

/** The token that replaces a rejected one; the same token if none is newer. */
export type TokenAfter<E, R> = (rejected: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, E, R>

/**
 * Sends with `token`. If the result is rejected, sends once more with the token that replaces it, provided that it is
 * another one; `isRenewed` is then true.
 */
export const sendRenewing = <A, E, R, E2, R2>(
  token: Redacted.Redacted,
  tokenAfter: TokenAfter<E2, R2>,
  isRejected: (result: A) => boolean,
  send: (token: Redacted.Redacted, isRenewed: boolean) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2, R | R2> =>
  Effect.flatMap(send(token, false), (first): Effect.Effect<A, E | E2, R | R2> =>
    isRejected(first)
      ? Effect.flatMap(tokenAfter(token), (next) =>
        Redacted.value(next) === Redacted.value(token) ? Effect.succeed(first) : send(next, true))
      : Effect.succeed(first))
