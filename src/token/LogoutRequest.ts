/**
 * The URL that ends the person's session at the server (OpenID Connect RP-Initiated Logout 1.0, section 2). Pure.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as AuthorizationRequest from "../launch/AuthorizationRequest.js"

/**
 * The parameters of a logout at the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogoutRequest {
  readonly clientId: string
  /** The id_token of the session that the server should end. */
  readonly idTokenHint?: Redacted.Redacted | undefined
  /** The URL to which the server redirects afterwards; it must be registered at the server. */
  readonly postLogoutRedirectUri?: string | undefined
  /** Returned unchanged with the redirect to `postLogoutRedirectUri`. */
  readonly state?: string | undefined
}

/**
 * The endpoint with the parameters. Redacted, because it contains the id_token: redirect the browser to it, and keep it
 * out of logs.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toUrl = (endpoint: string, self: LogoutRequest): Redacted.Redacted<URL> => {
  const params: ReadonlyArray<readonly [string, string | undefined]> = [
    ["id_token_hint", self.idTokenHint && Redacted.value(self.idTokenHint)],
    ["client_id", self.clientId],
    ["post_logout_redirect_uri", self.postLogoutRedirectUri],
    ["state", self.state]
  ]
  const given = params.flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])
  return Redacted.make(AuthorizationRequest.toUrl(endpoint, given))
}
