/**
 * The authorization request as parameters and as a URL (SMART App Launch 2.2, "Obtain authorization code"; requirements
 * 32 to 45). Pure.
 *
 * @since 0.1.0
 */

/**
 * The parameters of an authorization request.
 *
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
  /** The `launch` parameter of an EHR launch, unchanged; absent in a standalone launch (requirements 35 and 36). */
  readonly launch?: string | undefined
  /** Present if `openid` is requested: the id_token must repeat it. */
  readonly nonce?: string | undefined
  /** Other parameters of the server; reserved names are not allowed. */
  readonly params?: Readonly<Record<string, string>> | undefined
}

/**
 * The parameters that a caller cannot set: those that the client sends, and those that would replace them (RFC 9101).
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
 * The parameters, in the order of the specification.
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
 * The endpoint without its fragment and without the query parameters that have one of these names.
 *
 * @internal
 */
export const withoutParams = (endpoint: string, names: ReadonlySet<string>): URL => {
  const url = new URL(endpoint)
  // Each assignment parses the URL again, and most endpoints have neither.
  if (endpoint.includes("#")) url.hash = ""
  if (!endpoint.includes("?")) return url
  url.search = url.search.slice(1).split("&").filter((pair) =>
    pair !== "" && !names.has(new URLSearchParams(pair).keys().next().value ?? "")
  ).join("&")
  return url
}

/**
 * The endpoint with the parameters. Its own query stays (RFC 6749, section 3.1), except for names that are sent. Spaces
 * become `%20`: some servers do not decode `+`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toUrl = (endpoint: string, params: ReadonlyArray<readonly [string, string]>): URL => {
  // `encodeURIComponent` would throw for half a surrogate pair, which a `launch` value from JSON can contain.
  const sent = new URLSearchParams(params.map(([name, value]) => [name, value])).toString().replaceAll("+", "%20")
  // Most endpoints have neither, and are parsed once.
  if (!/[?#]/.test(endpoint)) return new URL(`${endpoint}?${sent}`)
  const url = withoutParams(endpoint, new Set(params.map(([name]) => name)))
  const own = url.search.slice(1)
  url.search = own === "" ? sent : `${own}&${sent}`
  return url
}
