/**
 * The output of `doctor`: text, or one JSON document for programs.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import * as Capabilities from "../../server/Capabilities.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import type { Finding, Severity } from "../../server/Finding.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import * as Diagnosis from "./diagnosis.js"
import { isUsable, type Probe, type ProbeResult } from "./probe.js"
import type { Style } from "./style.js"

const SETS: ReadonlyArray<readonly [Capabilities.CapabilitySet, string]> = [
  ["PatientAccessForStandaloneApps", "Patient access for standalone apps"],
  ["PatientAccessForEhrLaunch", "Patient access for EHR launch"],
  ["ClinicianAccessForStandalone", "Clinician access for standalone apps"],
  ["ClinicianAccessForEhrLaunch", "Clinician access for EHR launch"]
]

const ENDPOINTS = {
  authorization: "authorizationEndpoint",
  token: "tokenEndpoint",
  registration: "registrationEndpoint",
  introspection: "introspectionEndpoint",
  revocation: "revocationEndpoint",
  management: "managementEndpoint",
  jwks: "jwksUri"
} as const satisfies Record<string, keyof SmartConfiguration>

/** A supported feature: its key in the JSON document and its line in the text. */
type Feature = readonly [key: string, text: string, isSupported: (configuration: SmartConfiguration) => boolean]

const LAUNCHES: ReadonlyArray<Feature> = [
  ["ehr", "EHR launch", Capabilities.supportsEhrLaunch],
  ["standalone", "standalone launch", Capabilities.supportsStandaloneLaunch],
  ["post", "authorization requests by POST", Capabilities.supportsPostAuthorization]
]

const CLIENTS: ReadonlyArray<Feature> = [
  ["public", "public", Capabilities.supportsPublicClients],
  ["symmetric", "confidential, with a client secret", Capabilities.supportsSymmetricAuthentication],
  ["asymmetric", "confidential, with a private key", Capabilities.supportsAsymmetricAuthentication],
  ["backendServices", "backend services", Capabilities.supportsBackendServices],
  ["dynamicRegistration", "dynamic registration", Capabilities.supportsDynamicRegistration]
]

const OTHERS: ReadonlyArray<Feature> = [
  ["pkce", "PKCE with S256", Capabilities.supportsPkce],
  ["openIdConnect", "OpenID Connect", Capabilities.supportsOpenIdConnect],
  ["v2Permissions", "scopes of SMART 2 (patient/Observation.rs)", Capabilities.supportsV2Permissions],
  ["v1Permissions", "scopes of SMART 1 (patient/Observation.read)", Capabilities.supportsV1Permissions],
  ["introspection", "token introspection", Capabilities.supportsIntrospection],
  ["revocation", "token revocation", Capabilities.supportsRevocation]
]

const LABELS: Record<Severity, string> = { error: "error", warning: "warning", information: "note" }

const countsOf = (findings: ReadonlyArray<Finding<string>>): ReadonlyArray<string> =>
  (["error", "warning", "information"] as const).flatMap((severity) => {
    const count = findings.filter((one) => one.severity === severity).length
    return count === 0 ? [] : [`${count} ${LABELS[severity]}${count === 1 ? "" : "s"}`]
  })

/** The heading of the findings. */
export const headingOf = (findings: ReadonlyArray<Finding<string>>): string =>
  findings.length === 0 ? "No findings" : `Findings: ${countsOf(findings).join(", ")}`

/** The heading of a section, after an empty line. */
export const heading = (text: string, style: Style): ReadonlyArray<string> => ["", style.bold(text)]

/** The line of a feature. */
export const claimText = (isSupported: boolean, text: string, style: Style): string =>
  isSupported ? `  ${style.green("✓")} ${text}` : style.dim(`  – ${text}`)

/** The lines of a finding. */
export const findingText = (
  { advice, message, requirement, severity }: Pick<Finding<string>, "advice" | "message" | "requirement" | "severity">,
  style: Style
): ReadonlyArray<string> => {
  const colour = { error: style.red, warning: style.yellow, information: style.dim }
  return [
    `  ${colour[severity](LABELS[severity].padEnd(7))}  ${message}${
      requirement === undefined ? "" : style.dim(` [${requirement}]`)
    }`,
    `           ${style.dim("→")} ${advice}`
  ]
}

const summaryOf = (configuration: SmartConfiguration): string => {
  const uses = [
    ...(Capabilities.supportsEhrLaunch(configuration) ? ["EHR launch"] : []),
    ...(Capabilities.supportsStandaloneLaunch(configuration) ? ["standalone launch"] : []),
    ...(Capabilities.supportsBackendServices(configuration) ? ["backend services"] : [])
  ]
  return uses.length === 0 ? "Usable, but it claims no launch and no backend services." : `Usable: ${uses.join(", ")}.`
}

const errorText = (error: DiscoveryError, timeoutSeconds: number, style: Style): ReadonlyArray<string> => {
  const { advice, problem } = Diagnosis.make(error, timeoutSeconds)
  return [`${style.red("✗")} ${style.bold(problem)}`, "", ...advice.map((line) => `  ${style.dim("→")} ${line}`)]
}

const resultText = ({ blockers, configuration, findings }: ProbeResult, style: Style): ReadonlyArray<string> => {
  const features = (list: ReadonlyArray<Feature>) =>
    list.map(([, text, isSupported]) => claimText(isSupported(configuration), text, style))
  const sets = Capabilities.capabilitySets(configuration)
  const algorithms = Capabilities.signingAlgorithms(configuration)
  const endpoints = Object.entries(ENDPOINTS).flatMap(([name, member]) => {
    const url = Url.parse(configuration[member] ?? "")
    // The URL parser removes control characters, which a terminal would execute.
    return url === undefined ? [] : [`  ${name.padEnd(13)}  ${safeText(url.href, [])}`]
  })
  return [
    ...(blockers.length === 0
      ? [`${style.green("✓")} ${style.bold(summaryOf(configuration))}`]
      : blockers.map((blocker) => `${style.red("✗")} ${style.bold(`Not usable: ${blocker}.`)}`)),
    ...heading("Launches", style),
    ...features(LAUNCHES),
    ...heading("Clients", style),
    ...features(CLIENTS),
    ...heading("Other features", style),
    ...features(OTHERS),
    ...heading("Algorithms for client assertions", style),
    algorithms.length === 0 ? style.dim("  none") : `  ${algorithms.join(", ")}`,
    ...heading("Capability sets", style),
    ...SETS.map(([set, text]) => claimText(sets.includes(set), text, style)),
    ...heading("Endpoints", style),
    ...(endpoints.length === 0 ? [style.dim("  none")] : endpoints),
    ...heading(headingOf(findings), style),
    ...findings.flatMap((finding) => findingText(finding, style))
  ]
}

/**
 * @since 0.1.0
 * @category combinators
 */
export const toText = (
  { fhirBaseUrl, result }: Probe,
  timeoutSeconds: number,
  style: Style,
  access: ReadonlyArray<string> = []
): string =>
  [
    style.bold(fhirBaseUrl),
    "",
    ...Either.match(result, {
      onLeft: (error) => errorText(error, timeoutSeconds, style),
      onRight: (found) => resultText(found, style)
    }),
    ...access
  ].join("\n")

const errorJson = (error: DiscoveryError, timeoutSeconds: number) => {
  const { advice, problem } = Diagnosis.make(error, timeoutSeconds)
  const { code, detail, isRetryable, reason, status, url } = error
  // JSON.stringify omits undefined members.
  return { reason, url, code, status, detail, message: problem, advice, retryable: isRetryable }
}

const resultJson = ({ blockers, configuration, findings }: ProbeResult) => {
  const features = (list: ReadonlyArray<Feature>) =>
    Object.fromEntries(list.map(([key, , isSupported]) => [key, isSupported(configuration)]))
  const sets = Capabilities.capabilitySets(configuration)
  return {
    blockers,
    source: configuration.source === undefined ? "smart-configuration" : "capability-statement",
    issuer: configuration.issuer ?? null,
    launches: features(LAUNCHES),
    clients: features(CLIENTS),
    supports: features(OTHERS),
    signingAlgorithms: Capabilities.signingAlgorithms(configuration),
    capabilities: configuration.capabilities ?? [],
    capabilitySets: Object.fromEntries(SETS.map(([set]) => [set, sets.includes(set)])),
    endpoints: Object.fromEntries(
      Object.entries(ENDPOINTS).map(([name, member]) => [name, configuration[member] ?? null])
    ),
    findings
  }
}

/**
 * @since 0.1.0
 * @category combinators
 */
export const toJson = (probe: Probe, timeoutSeconds: number, access?: object | undefined): string => {
  const details = Either.match(probe.result, {
    onLeft: (error): object => ({ error: errorJson(error, timeoutSeconds) }),
    onRight: (found): object => resultJson(found)
  })
  return JSON.stringify({ fhirBaseUrl: probe.fhirBaseUrl, usable: isUsable(probe), ...details, access }, null, 2)
}
