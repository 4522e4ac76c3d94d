/**
 * What a client is told of its server and of itself, from code or from the environment, and what makes it unusable.
 *
 * @since 0.1.0
 */
import * as EffectConfig from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { ConfigurationError } from "../../base/ConfigurationError.js"
import { flag } from "../../base/EnvironmentFlag.js"
import * as FhirBaseUrl from "../../base/FhirBaseUrl.js"
import * as Url from "../../base/Url.js"
import type * as Scopes from "../../launch/Scopes.js"
import type { StaticMetadata } from "../../server/SmartConfiguration.js"
import type * as IdToken from "../../token/IdToken.js"

/**
 * A scope as text or as a value of `Scopes`.
 *
 * @since 0.1.0
 * @category models
 */
export type ScopeInput = string | Scopes.Scope

/**
 * @since 0.1.0
 * @category models
 */
export interface Config {
  /** The FHIR base URL, exactly as the server knows it. */
  readonly fhirBaseUrl: string
  readonly clientId: string
  /** Exactly as registered. Needed for `authorize`. */
  readonly redirectUri?: string | undefined
  /** What is asked for where a call does not say otherwise. */
  readonly scopes?: ReadonlyArray<ScopeInput> | undefined
  /** `aud`, for servers that want another value than the FHIR base URL. */
  readonly audience?: string | undefined
  /** Accept `http` for `localhost`, `127.0.0.1` and `[::1]`. For development. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
  /**
   * What the server's SMART configuration would say, given by hand, endpoints above all: then the server is never asked for one. Endpoints are
   * absolute URLs.
   */
  readonly metadata?: StaticMetadata | undefined
  /**
   * The issuer identifier of the authorization server, to the letter: what a callback's `iss` must be (RFC 9207), in place of what the server's metadata
   * says. To be given where the metadata names none, or where two servers claim one. Id_tokens must come from it, too, unless `idToken.issuer` is given.
   */
  readonly issuer?: string | undefined
  /** Put up with the deprecated `oauth-uris` of the CapabilityStatement where there is no SMART configuration. Default false. */
  readonly legacyMetadata?: boolean | undefined
  /** Its name in a session, a span, an error. Default: `fhirBaseUrl`. */
  readonly name?: string | undefined
  /** How long a person may take between `authorize` and the callback. Default 30 minutes. */
  readonly authorizationMaxAge?: Duration.DurationInput | undefined
  /** Whether an exchange or a refresh whose outcome nobody knows is sent once more. Default true. */
  readonly retryUnknown?: boolean | undefined
  /**
   * The longest authorization URL that is used where the server takes a form instead. Default 2,000 characters: browsers take more, but gateways and
   * proxies before a server often stop at 2,048.
   */
  readonly maxAuthorizationUrlLength?: number | undefined
  /** What is expected of id_tokens beyond the rules. */
  readonly idToken?: IdToken.Policy | undefined
  /**
   * Whether an open registry found this server in a launch: no FHIR request goes to it over an `HttpClient` without an address guard.
   *
   * @internal
   */
  readonly discovered?: boolean | undefined
}

/** A redirect URI is https, a loopback address in development, or an app's own scheme in reverse-domain form (RFC 8252, section 7.1). */
const isRedirectUri = (url: URL, allowInsecureLocalhost: boolean): boolean =>
  Url.isSecure(url, allowInsecureLocalhost) || /^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$/.test(url.protocol)

/** What a configuration can give by hand and a client would use. */
const GIVEN_URLS = [
  "authorizationEndpoint",
  "tokenEndpoint",
  "registrationEndpoint",
  "introspectionEndpoint",
  "revocationEndpoint",
  "jwksUri",
  "issuer"
] as const satisfies ReadonlyArray<keyof StaticMetadata>

/** Everything that is wrong with a configuration at once: nobody wants to mend it in five rounds. */
const problemOf = (config: Config, name: string): ConfigurationError | undefined => {
  const insecureAllowed = config.allowInsecureLocalhost ?? false
  const invalid: Array<string> = []
  const insecure: Array<string> = []
  const base = FhirBaseUrl.parse(config.fhirBaseUrl)
  if (Either.isLeft(base)) invalid.push("fhirBaseUrl")
  else if (!Url.isSecure(new URL(base.right), insecureAllowed)) insecure.push("fhirBaseUrl")
  if (config.clientId === "") invalid.push("clientId")
  const given = GIVEN_URLS.map((member) => [`metadata.${member}`, config.metadata?.[member]] as const)
  for (const [field, value] of [["issuer", config.issuer] as const, ...given]) {
    if (value === undefined) continue
    const url = Url.parse(value)
    if (url === undefined || url.username !== "" || url.password !== "") invalid.push(field)
    else if (!Url.isSecure(url, insecureAllowed)) insecure.push(field)
  }
  if (config.redirectUri !== undefined) {
    const redirectUri = Url.parse(config.redirectUri)
    if (redirectUri === undefined || config.redirectUri.includes("#") || redirectUri.username !== "") {
      invalid.push("redirectUri")
    } else if (!isRedirectUri(redirectUri, insecureAllowed)) insecure.push("redirectUri")
  }
  if (invalid.length > 0) {
    return new ConfigurationError({
      reason: "Invalid",
      fields: [...invalid, ...insecure],
      server: name,
      detail: "URLs must be absolute, without fragment or credentials, and the client id not empty"
    })
  }
  if (insecure.length > 0) {
    return new ConfigurationError({
      reason: "Insecure",
      fields: insecure,
      server: name,
      detail: "only https is used; http needs a loopback host and allowInsecureLocalhost"
    })
  }
  return undefined
}

/**
 * Whether a client can be made of a configuration.
 *
 * @internal
 */
export const validate = (config: Config, name: string): Effect.Effect<void, ConfigurationError> => {
  const problem = problemOf(config, name)
  return problem === undefined ? Effect.void : Effect.fail(problem)
}

/**
 * The environment of one client: `SMART_FHIR_BASE_URL`, `SMART_CLIENT_ID`, `SMART_REDIRECT_URI`, `SMART_ISSUER`, `SMART_SCOPES` (space separated)
 * and `SMART_ALLOW_INSECURE_LOCALHOST`. Several servers: `SmartServers.layerConfig()`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const config: EffectConfig.Config<Config> = EffectConfig.all({
  fhirBaseUrl: EffectConfig.nonEmptyString("FHIR_BASE_URL"),
  clientId: EffectConfig.nonEmptyString("CLIENT_ID"),
  redirectUri: EffectConfig.withDefault(EffectConfig.nonEmptyString("REDIRECT_URI"), undefined),
  issuer: EffectConfig.withDefault(EffectConfig.nonEmptyString("ISSUER"), undefined),
  scopes: EffectConfig.withDefault(
    EffectConfig.map(EffectConfig.string("SCOPES"), (scopes) => scopes.split(/\s+/).filter((scope) => scope !== "")),
    undefined
  ),
  allowInsecureLocalhost: flag("ALLOW_INSECURE_LOCALHOST")
}).pipe(EffectConfig.nested("SMART"))
