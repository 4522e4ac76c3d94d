/**
 * Where the tokens of a FHIR client come from.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as SmartClient from "../../smart/SmartClient.js"
import type { TokenSet } from "../../token/TokenSet.js"

/** Tokens, or the request for them. */
export type TokensOrRequest<E, R> = TokenSet | Effect.Effect<TokenSet, E, R>

/** The tokens, requested if necessary. */
export const obtain = <E, R>(tokens: TokensOrRequest<E, R>): Effect.Effect<TokenSet, E, R> =>
  Effect.isEffect(tokens) ? tokens : Effect.succeed(tokens)

/** Where the tokens of a FHIR client come from: a session, a backend service, or one set of tokens. */
export interface TokenSource<E, R> {
  readonly server: Effect.Effect<SmartClient.Service, E, R>
  readonly tokens: Effect.Effect<TokenSet, E, R>
  /** Both, from one read of the store. Tokens that must be requested are requested only when they are needed. */
  readonly authorization: Effect.Effect<
    { readonly client: SmartClient.Service; readonly tokens: TokensOrRequest<E, R> },
    E,
    R
  >
  /** The token that replaces a rejected one; the same token if none is newer. */
  readonly tokenAfter: (rejected: Redacted.Redacted) => Effect.Effect<Redacted.Redacted, E, R>
}
