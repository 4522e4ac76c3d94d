/**
 * What `doctor` prints: text for a person, one JSON document for a program.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Url from "../../base/Url.js"
import { safeText } from "../../http/Redaction.js"
import type { CapabilitySet } from "../../server/Capabilities.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"
import type { Finding, Severity } from "../../server/Finding.js"
import type { SmartConfiguration } from "../../server/SmartConfiguration.js"
import * as Diagnosis from "./diagnosis.js"
import type { Probe, ProbeResult } from "./probe.js"
import { isUsable } from "./probe.js"
import type { Style } from "./style.js"

const SETS: ReadonlyArray<readonly [CapabilitySet, string]> = [
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

const LABELS: Record<Severity, string> = { error: "error", warning: "warning", information: "note" }

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`

const countsOf = (findings: ReadonlyArray<Finding<string>>): ReadonlyArray<string> =>
  (["error", "warning", "information"] as const).flatMap((severity) => {
    const count = findings.filter((one) => one.severity === severity).length
    return count === 0 ? [] : [plural(count, LABELS[severity])]
  })

const verdictOf = ({ supportsBackendServices, supportsEhrLaunch, supportsStandaloneLaunch }: SmartConfiguration) => {
  const ways = [
    ...(supportsEhrLaunch ? ["EHR launch"] : []),
    ...(supportsStandaloneLaunch ? ["standalone launch"] : []),
    ...(supportsBackendServices ? ["backend services"] : [])
  ]
  return ways.length === 0 ? "Usable, though it claims no way of launching." : `Usable: ${ways.join(", ")}.`
}

const failureText = (error: DiscoveryError, timeoutSeconds: number, style: Style): ReadonlyArray<string> => {
  const { advice, what } = Diagnosis.make(error, timeoutSeconds)
  return [`${style.red("✗")} ${style.bold(what)}`, "", ...advice.map((line) => `  ${style.dim("→")} ${line}`)]
}

const seenText = ({ configuration, findings, blockers }: ProbeResult, style: Style): ReadonlyArray<string> => {
  const claim = ([holds, text]: readonly [boolean, string]) =>
    holds ? `  ${style.green("✓")} ${text}` : style.dim(`  – ${text}`)
  const heading = (text: string) => ["", style.bold(text)]
  const colour: Record<Severity, (text: string) => string> = {
    error: style.red,
    warning: style.yellow,
    information: style.dim
  }
  const findingText = ({ advice, message, requirement, severity }: Finding<string>) => [
    `  ${colour[severity](LABELS[severity].padEnd(7))}  ${message}${
      requirement === undefined ? "" : style.dim(` [${requirement}]`)
    }`,
    `           ${style.dim("→")} ${advice}`
  ]
  const algorithms = configuration.signingAlgorithms.join(", ")
  const given = Object.entries(ENDPOINTS).flatMap(([name, member]) => {
    const url = Url.parse(configuration[member] ?? "")
    // As the URL parser prints it: without control characters, which a terminal would obey.
    return url === undefined ? [] : [[name, safeText(url.href, [])] as const]
  })
  return [
    ...(blockers.length === 0
      ? [`${style.green("✓")} ${style.bold(verdictOf(configuration))}`]
      : blockers.map((obstacle) => `${style.red("✗")} ${style.bold(`Not usable: ${obstacle}.`)}`)),
    ...heading("Launches"),
    ...([
      [configuration.supportsEhrLaunch, "from the EHR"],
      [configuration.supportsStandaloneLaunch, "standalone"],
      [configuration.supportsPostAuthorization, "authorization requests by POST, too"]
    ] as const).map(claim),
    ...heading("Clients"),
    ...([
      [configuration.supportsPublicClients, "public"],
      [configuration.supportsSymmetricAuthentication, "with a secret"],
      [
        configuration.supportsAsymmetricAuthentication,
        `with a key (private_key_jwt${algorithms === "" ? "" : `: ${algorithms}`})`
      ],
      [configuration.supportsBackendServices, "backend services"],
      [configuration.supportsDynamicRegistration, "that register themselves"]
    ] as const).map(claim),
    ...heading("Beyond that"),
    ...([
      [configuration.supportsPkce, "PKCE with S256"],
      [configuration.supportsOpenIdConnect, "OpenID Connect"],
      [configuration.supportsV2Permissions, "permissions as in SMART 2 (patient/Observation.rs)"],
      [configuration.supportsV1Permissions, "permissions as in SMART 1 (patient/Observation.read)"],
      [configuration.supportsIntrospection, "token introspection"],
      [configuration.supportsRevocation, "token revocation"]
    ] as const).map(claim),
    ...heading("Capability sets"),
    ...SETS.map(([set, text]) => claim([configuration.capabilitySets[set], text])),
    ...heading("Endpoints"),
    ...(given.length === 0 ? [style.dim("  none")] : given.map(([name, url]) => `  ${name.padEnd(13)}  ${url}`)),
    ...heading(findings.length === 0 ? "No findings" : `Findings: ${countsOf(findings).join(", ")}`),
    ...findings.flatMap(findingText)
  ]
}

/**
 * @since 0.1.0
 * @category combinators
 */
export const toText = (examination: Probe, timeoutSeconds: number, style: Style): string =>
  [
    style.bold(examination.fhirBaseUrl),
    "",
    ...Either.match(examination.outcome, {
      onLeft: (error) => failureText(error, timeoutSeconds, style),
      onRight: (seen) => seenText(seen, style)
    })
  ].join("\n")

const errorJson = (error: DiscoveryError, timeoutSeconds: number) => {
  const { advice, what } = Diagnosis.make(error, timeoutSeconds)
  return {
    reason: error.reason,
    url: error.url,
    ...(error.code === undefined ? {} : { code: error.code }),
    ...(error.status === undefined ? {} : { status: error.status }),
    detail: error.detail,
    message: what,
    advice,
    retryable: error.isRetryable
  }
}

const seenJson = ({ configuration, findings, blockers }: ProbeResult) => ({
  blockers,
  source: configuration.source === undefined ? "smart-configuration" : "capability-statement",
  issuer: configuration.issuer ?? null,
  launches: {
    ehr: configuration.supportsEhrLaunch,
    standalone: configuration.supportsStandaloneLaunch,
    post: configuration.supportsPostAuthorization
  },
  clients: {
    public: configuration.supportsPublicClients,
    symmetric: configuration.supportsSymmetricAuthentication,
    asymmetric: configuration.supportsAsymmetricAuthentication,
    backendServices: configuration.supportsBackendServices,
    dynamicRegistration: configuration.supportsDynamicRegistration
  },
  supports: {
    pkce: configuration.supportsPkce,
    openIdConnect: configuration.supportsOpenIdConnect,
    v1Permissions: configuration.supportsV1Permissions,
    v2Permissions: configuration.supportsV2Permissions,
    introspection: configuration.supportsIntrospection,
    revocation: configuration.supportsRevocation
  },
  signingAlgorithms: configuration.signingAlgorithms,
  capabilities: configuration.capabilities ?? [],
  capabilitySets: configuration.capabilitySets,
  endpoints: Object.fromEntries(
    Object.entries(ENDPOINTS).map(([name, member]) => [name, configuration[member] ?? null])
  ),
  findings
})

/**
 * @since 0.1.0
 * @category combinators
 */
export const toJson = (examination: Probe, timeoutSeconds: number): string =>
  JSON.stringify(
    {
      fhirBaseUrl: examination.fhirBaseUrl,
      usable: isUsable(examination),
      ...Either.match(examination.outcome, {
        onLeft: (error): object => ({ error: errorJson(error, timeoutSeconds) }),
        onRight: (seen): object => seenJson(seen)
      })
    },
    null,
    2
  )
