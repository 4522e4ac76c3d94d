/**
 * The URL that ends the person's session at the server, too (OpenID Connect RP-Initiated Logout 1.0, section 2). Pure.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as AuthorizationRequest from "../launch/AuthorizationRequest.js"

/**
 * The parameters of a logout at the OpenID provider.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogoutRequest {
  readonly clientId: string
  /** By what the server knows whose session it is. */
  readonly idTokenHint?: Redacted.Redacted | undefined
  /** Where the person goes afterwards; it must be registered at the server. */
  readonly postLogoutRedirectUri?: string | undefined
  /** Comes back to `postLogoutRedirectUri` as it is. */
  readonly state?: string | undefined
}

/**
 * The endpoint with the parameters. Redacted, because the id_token is in it: send the browser there and keep it out
 * of logs.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toUrl = (endpoint: string, self: LogoutRequest): Redacted.Redacted<URL> => {
  const params = [
    ["id_token_hint", self.idTokenHint === undefined ? undefined : Redacted.value(self.idTokenHint)],
    ["client_id", self.clientId],
    ["post_logout_redirect_uri", self.postLogoutRedirectUri],
    ["state", self.state]
  ] as const
  return Redacted.make(
    AuthorizationRequest.toUrl(
      endpoint,
      params.flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])
    )
  )
}
