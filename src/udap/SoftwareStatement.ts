/**
 * The software statement with which an app registers (UDAP Security STU2, section 3.1; RFC 7591, section 2.3): which
 * metadata an app may register, and the signed JWT that holds them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import * as SecureRandom from "../base/SecureRandom.js"
import * as Url from "../base/Url.js"
import { checkValidity, type ClientCertificate, clientUri } from "./ClientCertificate.js"
import { isUri } from "./internal/communities.js"
import * as jws from "./internal/jws.js"

/**
 * A grant type of a registration.
 *
 * @since 0.1.0
 * @category models
 */
export type GrantType = "authorization_code" | "refresh_token" | "client_credentials"

/**
 * The metadata that an app registers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Metadata {
  /** The name that users and operators see. */
  readonly clientName: string
  /** URIs by which the operator of a server can contact you; one is a `mailto:`. */
  readonly contacts: ReadonlyArray<string>
  /** Either `authorization_code`, also with `refresh_token`, or `client_credentials`. */
  readonly grantTypes: ReadonlyArray<GrantType>
  /** For `authorization_code` only. */
  readonly redirectUris?: ReadonlyArray<string> | undefined
  /** The https URL of a PNG, JPG or GIF image. Required for `authorization_code`. */
  readonly logoUri?: string | undefined
  /** All scopes that the app may request later. */
  readonly scopes: ReadonlyArray<string>
  /** Other members of RFC 7591 or of a community, under their own names. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
}

/**
 * A rule that metadata violate.
 *
 * @since 0.1.0
 * @category models
 */
export interface Violation {
  readonly field: keyof Metadata
  /** Its number, such as `UDAP-84`. */
  readonly requirement: string
  readonly detail: string
}

/** The library sets these claims itself. */
const RESERVED: ReadonlySet<string> = new Set([
  "iss",
  "sub",
  "aud",
  "exp",
  "iat",
  "jti",
  "nbf",
  "client_name",
  "contacts",
  "grant_types",
  "redirect_uris",
  "response_types",
  "logo_uri",
  "scope",
  "token_endpoint_auth_method",
  "software_statement",
  "certifications",
  "udap"
])

const isMailto = (contact: string): boolean => /^mailto:[^\s@?]+@[^\s@?.]+(?:\.[^\s@?.]+)+$/i.test(contact)

/** RFC 6749, section 3.3. */
const isScopeToken = (scope: string): boolean => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)

const isWeb = (value: string, allowInsecureLocalhost: boolean): boolean => {
  const url = Url.parse(value)
  return url !== undefined && Url.isSecure(url, allowInsecureLocalhost) && url.username === "" && url.password === "" &&
    !value.includes("#")
}

const isImage = (value: string): boolean => /\.(png|jpe?g|gif)$/i.test(Url.parse(value)?.pathname ?? "")

const checkGrantTypes = (grantTypes: Metadata["grantTypes"]): string | undefined => {
  const isCode = grantTypes.includes("authorization_code")
  const isCredentials = grantTypes.includes("client_credentials")
  if (isCode && isCredentials) return "authorization_code and client_credentials need a registration each"
  if (!isCode && grantTypes.includes("refresh_token")) return "refresh_token needs authorization_code"
  if (!isCode && !isCredentials) return "give authorization_code or client_credentials"
  return undefined
}

/**
 * Every rule that metadata violate.
 *
 * @since 0.1.0
 * @category predicates
 */
export const violations = (
  metadata: Metadata,
  options: { readonly allowInsecureLocalhost?: boolean | undefined } = {}
): ReadonlyArray<Violation> => {
  const allowLocalhost = options.allowInsecureLocalhost ?? false
  const { clientName, contacts, extensions = {}, grantTypes, logoUri, redirectUris, scopes } = metadata
  const isCode = grantTypes.includes("authorization_code")
  const found: Array<Violation> = []
  const violated = (field: keyof Metadata, requirement: string, detail: string) => {
    found.push({ field, requirement, detail })
  }
  if (clientName.trim() === "") violated("clientName", "UDAP-83", "it is empty")
  if (!contacts.every(isUri)) violated("contacts", "UDAP-86", "each contact is a URI, such as mailto:it@example.org")
  if (!contacts.some(isMailto)) violated("contacts", "UDAP-87", "one of them is mailto: with an e-mail address")
  const grants = checkGrantTypes(grantTypes)
  if (grants !== undefined) violated("grantTypes", "UDAP-92", grants)
  if (isCode && (redirectUris ?? []).length === 0) violated("redirectUris", "UDAP-84", "authorization_code needs one")
  if (!isCode && redirectUris !== undefined) violated("redirectUris", "UDAP-85", "only authorization_code has them")
  if (isCode && !(redirectUris ?? []).every((uri) => isWeb(uri, allowLocalhost))) {
    violated("redirectUris", "UDAP-84", "each is an absolute https URL without fragment")
  }
  if (isCode && logoUri === undefined) violated("logoUri", "UDAP-88", "authorization_code needs a logo")
  if (logoUri !== undefined && !isWeb(logoUri, allowLocalhost)) violated("logoUri", "UDAP-90", "it is an https URL")
  if (logoUri !== undefined && !isImage(logoUri)) {
    violated("logoUri", "UDAP-91", "its path ends with .png, .jpg, .jpeg or .gif")
  }
  if (scopes.length === 0 || !scopes.every(isScopeToken)) violated("scopes", "UDAP-97", "give at least one scope")
  const reserved = Object.keys(extensions).filter((name) => RESERVED.has(name))
  if (reserved.length > 0) violated("extensions", "UDAP-71", `${reserved.join(", ")} cannot be replaced`)
  return found
}

/**
 * The recommendations of the specification that metadata do not follow: a server may refuse them.
 *
 * @since 0.1.0
 * @category predicates
 */
export const recommendations = ({ grantTypes, scopes }: Metadata): ReadonlyArray<Violation> => {
  const [prefix, requirement] = grantTypes.includes("client_credentials")
    ? [/^(user|patient)\//, "UDAP-99"] as const
    : [/^system\//, "UDAP-100"] as const
  const unusual = scopes.filter((scope) => prefix.test(scope))
  return unusual.length === 0
    ? []
    : [{ field: "scopes", requirement, detail: `${unusual.join(" ")} is unusual with ${grantTypes.join(" and ")}` }]
}

/**
 * Fails with one `ConfigurationError` for all violations.
 *
 * @internal
 */
export const validate = (
  metadata: Metadata,
  options?: { readonly allowInsecureLocalhost?: boolean | undefined } | undefined
): Effect.Effect<void, ConfigurationError> => {
  const found = violations(metadata, options)
  return found.length === 0
    ? Effect.void
    : configurationError("Invalid", [
      ...new Set(found.map(({ field }) => field))
    ], found.map(({ detail, field, requirement }) => `${field}: ${detail} [${requirement}]`).join("; "))
}

/**
 * The claims that metadata become. Those of a cancellation have no grant type, and therefore neither redirect URIs nor
 * response types (section 3.4).
 *
 * @internal
 */
export const toClaims = (metadata: Metadata, operation: "register" | "cancel"): Readonly<Record<string, unknown>> => {
  const isCode = operation === "register" && metadata.grantTypes.includes("authorization_code")
  return {
    client_name: metadata.clientName,
    ...(isCode ? { redirect_uris: metadata.redirectUris } : {}),
    contacts: metadata.contacts,
    ...(metadata.logoUri === undefined ? {} : { logo_uri: metadata.logoUri }),
    grant_types: operation === "cancel" ? [] : metadata.grantTypes,
    ...(isCode ? { response_types: ["code"] } : {}),
    token_endpoint_auth_method: "private_key_jwt",
    scope: metadata.scopes.join(" "),
    ...metadata.extensions
  }
}

/** Five minutes are the limit; a server whose clock is behind refuses a statement of exactly five. */
const LIFETIME_SECONDS = 240

/**
 * The software statement to sign.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly certificate: ClientCertificate
  /** Default: the only URI of the certificate. */
  readonly clientUri?: string | undefined
  /** The registration endpoint, exactly as the server has published it. */
  readonly registrationEndpoint: string
  /** The `registration_endpoint_jwt_signing_alg_values_supported` of the server. */
  readonly signingAlgs?: ReadonlyArray<string> | undefined
  /** `cancel` for a statement that ends the registration. Default `register`. */
  readonly operation?: "register" | "cancel" | undefined
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * A signed statement for one registration request: it is valid for four minutes and for one server. Fails if the
 * metadata violate a rule, if the certificate is not valid now, or if it does not have the client URI.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  metadata: Metadata,
  options: Options
): Effect.Effect<Redacted.Redacted, ConfigurationError> =>
  Effect.gen(function*() {
    const { certificate, operation = "register", registrationEndpoint, signingAlgs } = options
    yield* validate(metadata, options)
    yield* checkValidity(certificate)
    const uri = yield* clientUri(certificate, options.clientUri)
    const random = yield* SecureRandom.SecureRandom
    const jti = yield* SecureRandom.base64Url(random, 32)
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const claims = {
      iss: uri,
      sub: uri,
      aud: registrationEndpoint,
      exp: now + LIFETIME_SECONDS,
      iat: now,
      jti,
      ...toClaims(metadata, operation)
    }
    return yield* jws.sign(
      certificate,
      claims,
      signingAlgs,
      "registration_endpoint_jwt_signing_alg_values_supported"
    )
  })
