/**
 * The output of `doctor --anchor`: text, or one JSON document for programs.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import { TrustError } from "../../udap/TrustError.js"
import type { UdapDiscoveryError } from "../../udap/UdapDiscoveryError.js"
import type { UdapMetadata } from "../../udap/UdapMetadata.js"
import { claimText, findingText, heading, headingOf } from "./report.js"
import type { Style } from "./style.js"
import { isUsable, type UdapProbe } from "./udapProbe.js"

/** A supported feature: its key in the JSON document and its line in the text. */
type Feature = readonly [key: string, text: string, isSupported: (metadata: UdapMetadata) => boolean]

const FEATURES: ReadonlyArray<Feature> = [
  ["registration", "registration (udap_dcr)", (metadata) => metadata.supportsRegistration],
  ["authentication", "authentication with a certificate (udap_authn)", (metadata) => metadata.supportsAuthentication],
  ["authorizationCode", "apps with users (authorization_code)", (metadata) => metadata.supportsAuthorizationCode],
  ["clientCredentials", "B2B (client_credentials, udap_authz)", (metadata) => metadata.supportsClientCredentials],
  ["tieredOAuth", "Tiered OAuth (udap_to)", (metadata) => metadata.supportsTieredOAuth]
]

const printable = (text: string): string => safeText(text, [])

const endpointsOf = ({ authorizationEndpoint, registrationEndpoint, tokenEndpoint }: UdapMetadata) => ({
  registration: registrationEndpoint,
  authorization: authorizationEndpoint,
  token: tokenEndpoint
})

const timeOf = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

const errorText = (error: UdapDiscoveryError | TrustError, style: Style): ReadonlyArray<string> => {
  if (!(error instanceof TrustError)) return [`${style.red("✗")} ${style.bold(printable(error.message))}`]
  const { problems } = error
  return [
    `${style.red("✗")} ${style.bold("The server is not trusted.")}`,
    ...heading(`Problems: ${problems.length}`, style),
    ...problems.flatMap(({ certificate, detail, reason, rule }) =>
      findingText({
        severity: "error",
        message: printable(certificate === undefined ? detail : `certificate ${certificate}: ${detail}`),
        requirement: rule,
        advice: TrustError.remedy(reason)
      }, style)
    )
  ]
}

const resultText = (metadata: UdapMetadata, style: Style): ReadonlyArray<string> => {
  const findings = metadata.conformance()
  const usable = metadata.supportsRegistration && metadata.supportsAuthentication
  const list = (values: ReadonlyArray<string> | undefined) =>
    values === undefined || values.length === 0 ? [style.dim("  none")] : values.map((value) => `  ${printable(value)}`)
  return [
    usable
      ? `${style.green("✓")} ${style.bold("Trusted: apps can register and authenticate.")}`
      : `${style.red("✗")} ${style.bold("Trusted, but apps cannot register and authenticate.")}`,
    ...heading(`Certificate path, trusted until ${timeOf(metadata.trustedUntil)}`, style),
    ...list(metadata.certificatePath),
    ...heading("Features", style),
    ...FEATURES.map(([, text, isSupported]) => claimText(isSupported(metadata), text, style)),
    ...heading("Required authorization extensions", style),
    ...list(metadata.authorizationExtensionsRequired),
    ...heading("Required certifications", style),
    ...list(metadata.certificationsRequired),
    ...heading("Endpoints", style),
    ...Object.entries(endpointsOf(metadata)).flatMap(([name, endpoint]) => {
      const url = Url.parse(endpoint ?? "")
      return url === undefined ? [] : [`  ${name.padEnd(13)}  ${printable(url.href)}`]
    }),
    ...heading(headingOf(findings), style),
    ...findings.flatMap((finding) => findingText({ ...finding, message: printable(finding.message) }, style))
  ]
}

/**
 * @since 0.1.0
 * @category combinators
 */
export const toText = ({ community, fhirBaseUrl, result }: UdapProbe, style: Style): string =>
  [
    style.bold(fhirBaseUrl),
    ...(community === undefined ? [] : [style.dim(`in the community ${community}`)]),
    "",
    ...Either.match(result, {
      onLeft: (error) => errorText(error, style),
      onRight: (metadata) => resultText(metadata, style)
    })
  ].join("\n")

const errorJson = (error: UdapDiscoveryError | TrustError) => ({
  tag: error._tag,
  reason: error.reason,
  message: error.message,
  retryable: error.isRetryable,
  ...(error instanceof TrustError
    ? { problems: error.problems.map((problem) => ({ ...problem, remedy: TrustError.remedy(problem.reason) })) }
    : { url: error.url, status: error.status, detail: error.detail })
})

const resultJson = (metadata: UdapMetadata) => ({
  certificatePath: metadata.certificatePath,
  trustedUntil: timeOf(metadata.trustedUntil),
  supports: Object.fromEntries(FEATURES.map(([key, , isSupported]) => [key, isSupported(metadata)])),
  profiles: metadata.profilesSupported ?? null,
  grantTypes: metadata.grantTypesSupported ?? null,
  scopes: metadata.scopesSupported ?? null,
  authorizationExtensionsRequired: metadata.authorizationExtensionsRequired ?? [],
  certificationsRequired: metadata.certificationsRequired ?? [],
  endpoints: endpointsOf(metadata),
  unsignedEndpoints: metadata.unsignedEndpoints,
  findings: metadata.conformance()
})

/**
 * @since 0.1.0
 * @category combinators
 */
export const toJson = (probe: UdapProbe): string => {
  const details = Either.match(probe.result, {
    onLeft: (error): object => ({ error: errorJson(error) }),
    onRight: (metadata): object => resultJson(metadata)
  })
  const { community = null, fhirBaseUrl } = probe
  return JSON.stringify({ fhirBaseUrl, community, usable: isUsable(probe), ...details }, null, 2)
}
