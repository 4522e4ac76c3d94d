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
}

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
  ["code_challenge_method", "S256"]
]

/**
 * The endpoint with the parameters: its own query is kept (RFC 6749, section 3.1) except for names that are sent, its fragment is not. Spaces become
 * `%20`, which every server decodes, where `+` is only decoded by those that read the query as a form.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toUrl = (endpoint: string, params: ReadonlyArray<readonly [string, string]>): URL => {
  const url = new URL(endpoint)
  const sent = new Set(params.map(([name]) => name))
  const own = url.search.slice(1).split("&").filter((pair) =>
    pair !== "" && !sent.has(new URLSearchParams(pair).keys().next().value ?? "")
  )
  url.hash = ""
  url.search = [...own, ...params.map((pair) => pair.map(encodeURIComponent).join("="))].join("&")
  return url
}
