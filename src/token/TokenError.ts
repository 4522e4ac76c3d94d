/**
 * The failure of a request to the token, introspection, revocation or userinfo endpoint.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as OnDemand from "../base/OnDemand.js"
import { inMemory, reasonsOf } from "../base/SchemaFields.js"
import * as OAuthError from "../http/OAuthError.js"
import * as RetryAfter from "../http/RetryAfter.js"
import * as TransportFailure from "../http/TransportFailure.js"

const ADVICE = {
  ...TransportFailure.advice("tokenTimeout", "maxResponseBytes"),
  Refused: "the server's description says more; its operator finds the request in the log",
  Unavailable: "the server is busy or down; the request was repeated as often as the retry policy allows",
  Malformed:
    "the server, or a proxy in front of it, did not send a response of OAuth; show its operator the names of the members received",
  UnsupportedTokenType: "this client supports bearer tokens only; ask the server's operator",
  Expired:
    "call again; if it happens often, the server's tokens have too short a lifetime, or the session store takes too long to write",
  RedirectRefused:
    "a request with credentials follows no redirect; the endpoint in the server's metadata is wrong, or a gateway redirects the request",
  NoRefreshToken:
    "only a new launch helps: request offline_access or online_access; if the app requested it, add prompt=consent (params of authorize), and ask the " +
    "server's operator whether this client may have refresh tokens",
  ScopeExceedsGrant: "a refresh may request granted scopes only; other scopes need a new launch",
  WrongServer: "pass tokens only to the client of the server that issued them",
  ModuleUnavailable: OnDemand.ADVICE
}

/**
 * `Refused`: the server refused the request (`error` has its code). `Unavailable`: the server is busy or failed.
 * `Malformed`: the response is not one of OAuth. `Expired`: the new access token expired before it could be returned.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Reason = reasonsOf(ADVICE)

/**
 * The reason of a `TokenError`.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = typeof Reason.Type

/**
 * The operations of an authorization server, as a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Operation = Schema.Literal(
  "exchangeCode",
  "refresh",
  "clientCredentials",
  "introspect",
  "revoke",
  "userInfo"
)

/**
 * The operation that failed.
 *
 * @since 0.1.0
 * @category models
 */
export type Operation = typeof Operation.Type

/** The subject of the message. */
const ATTEMPT: Record<Operation, string> = {
  exchangeCode: "The code exchange with",
  refresh: "The token refresh at",
  clientCredentials: "The client credentials request to",
  introspect: "The introspection at",
  revoke: "The revocation at",
  userInfo: "The userinfo request to"
}

const adviceFor = (operation: Operation, error: string | undefined): string => {
  switch (error) {
    case "invalid_grant":
      return operation === "clientCredentials"
        ? "the server did not accept this client's credentials: compare client id, key or secret with the registration, and check the clock of this machine"
        : `the ${
          operation === "refresh" ? "refresh token" : "code"
        } was used, has expired or was revoked; only a new launch helps`
    case "invalid_client":
    case "unauthorized_client":
      return "compare client id, secret or key, and the method of authentication, with the registration at the server"
    case "invalid_scope":
      return "compare the scopes with the registration and with scopes_supported"
    case "unsupported_grant_type":
      return "the server does not offer this grant to this client"
    default:
      return ADVICE.Refused
  }
}

const Issued = Schema.Struct({
  accessToken: Schema.optional(Schema.RedactedFromSelf(Schema.String)),
  refreshToken: Schema.optional(Schema.RedactedFromSelf(Schema.String))
})

/**
 * A request to a token, introspection, revocation or userinfo endpoint failed. `processed` says whether the server
 * acted; `error`, `errorDescription` and `errorUri` are those of the server.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenError extends Schema.TaggedError<TokenError>("effect-safire/TokenError")("TokenError", {
  reason: Reason,
  operation: Operation,
  /** The name of the server. */
  server: Schema.String,
  /** The endpoint, without query. */
  url: Schema.String,
  /** What happened; holds no part of a body. */
  detail: Schema.String,
  /** `no`: the server did not act on the request. `unknown`: it may have. */
  processed: Schema.Literal("no", "unknown"),
  /** The names of the members of a response that could not be used. */
  received: Schema.optional(Schema.Array(Schema.String)),
  /**
   * The tokens in a response that cannot be used. They are nowhere else: revoke them. Not part of the encoded error.
   */
  issued: inMemory(Issued),
  ...OAuthError.oauthErrorFields
}) {
  override get message(): string {
    const oauthError = OAuthError.print(this)
    const received = this.received === undefined ? "" : `, members received: ${this.received.join(", ") || "none"}`
    const isUnknown = this.isRetryable && this.reason !== "Expired" && this.processed === "unknown"
    const unknown = isUnknown ? ", and whether the server acted is not known" : ""
    const issued = this.issued === undefined ? "" : "; the received tokens are in `issued`: revoke them"
    const advice = this.reason === "Refused" ? adviceFor(this.operation, this.error) : ADVICE[this.reason]
    const server = this.url === this.server ? this.server : `${this.server} (${this.url})`
    return `${ATTEMPT[this.operation]} ${server} failed (${this.reason}): ${this.detail}${
      oauthError === "" ? "" : `: ${oauthError}`
    }${received}${issued}${unknown}${RetryAfter.print(this.retryAfter)}; ${advice}`
  }

  /** Whether the failure is temporary. `processed` tells whether it is safe to repeat the request. */
  get isRetryable(): boolean {
    return TransportFailure.isTransient(this) || this.reason === "Expired" || this.reason === "ModuleUnavailable"
  }
}
