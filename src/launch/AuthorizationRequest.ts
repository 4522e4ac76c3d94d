/**
 * The authorization request as parameters and as a URL (SMART App Launch 2.2, "Obtain authorization code"; requirements 32 to 45). Pure.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 * @category models
 */
export interface AuthorizationRequest {
  readonly clientId: string
  readonly redirectUri: string
  readonly scopes: ReadonlyArray<string>
  readonly state: string
  /** The FHIR base URL, verbatim (requirement 41). */
  readonly aud: string
  readonly codeChallenge: string
  /** The opaque handle of an EHR launch, byte for byte; absent in a standalone launch (requirements 35 and 36). */
  readonly launch?: string | undefined
  /** Repeated in the id_token; where `openid` is asked for. */
  readonly nonce?: string | undefined
  /** Whatever else the server understands; no reserved name. */
  readonly params?: Readonly<Record<string, string>> | undefined
}

/**
 * The names that are not for the caller to choose: what this client sends itself, and what would replace it all (RFC 9101).
 *
 * @since 0.1.0
 * @category constructors
 */
export const reservedNames: ReadonlySet<string> = new Set([
  "response_type",
  "client_id",
  "redirect_uri",
  "launch",
  "scope",
  "state",
  "aud",
  "code_challenge",
  "code_challenge_method",
  "nonce",
  "request",
  "request_uri"
])

/**
 * The parameters, in the order in which the specification lists them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toParams = (self: AuthorizationRequest): ReadonlyArray<readonly [string, string]> => [
  ["response_type", "code"],
  ["client_id", self.clientId],
  ["redirect_uri", self.redirectUri],
  ...(self.launch === undefined ? [] : [["launch", self.launch] as const]),
  ["scope", self.scopes.join(" ")],
  ["state", self.state],
  ["aud", self.aud],
  ["code_challenge", self.codeChallenge],
  ["code_challenge_method", "S256"],
  ...(self.nonce === undefined ? [] : [["nonce", self.nonce] as const]),
  ...Object.entries(self.params ?? {})
]

/**
 * The endpoint without fragment, and without those parameters of its own query.
 *
 * @internal
 */
export const withoutParams = (endpoint: string, names: ReadonlySet<string>): URL => {
  const url = new URL(endpoint)
  // Each of these reads the whole URL anew, and most endpoints have neither.
  if (endpoint.includes("#")) url.hash = ""
  if (!endpoint.includes("?")) return url
  url.search = url.search.slice(1).split("&").filter((pair) =>
    pair !== "" && !names.has(new URLSearchParams(pair).keys().next().value ?? "")
  ).join("&")
  return url
}

/**
 * The endpoint with the parameters: its own query is kept (RFC 6749, section 3.1) except for names that are sent, its fragment is not. Spaces become
 * `%20`, which every server decodes, where `+` is only decoded by those that read the query as a form.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toUrl = (endpoint: string, params: ReadonlyArray<readonly [string, string]>): URL => {
  const url = withoutParams(endpoint, new Set(params.map(([name]) => name)))
  const own = url.search.slice(1)
  // Unlike `encodeURIComponent` it does not throw over half a surrogate pair, which a handle that came as JSON can hold.
  const sent = new URLSearchParams(params.map(([name, value]) => [name, value])).toString().replaceAll("+", "%20")
  url.search = own === "" ? sent : `${own}&${sent}`
  return url
}
