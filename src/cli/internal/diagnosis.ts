/**
 * A failed discovery, explained to the person who has to fix it: what happened, and what to try first.
 *
 * @since 0.1.0
 */
import * as Url from "../../base/Url.js"
import type { DiscoveryError } from "../../server/DiscoveryError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Diagnosis {
  readonly problem: string
  readonly advice: ReadonlyArray<string>
}

const diagnosis = (problem: string, ...advice: ReadonlyArray<string>): Diagnosis => ({ problem, advice })

const unreachable = (host: string, { code = "", detail }: DiscoveryError): Diagnosis => {
  if (code === "ECONNREFUSED") {
    return diagnosis(`${host} refuses connections (${code}).`, "Is the server running?", "Is the port correct?")
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return diagnosis(
      `The host name ${host} cannot be resolved on this machine (${code}).`,
      "Is the name correct?",
      "Does it need a VPN or another DNS server?"
    )
  }
  if (/CERT|^UNABLE_TO_/.test(code)) {
    return diagnosis(
      `This machine does not trust the certificate of ${host} (${code}).`,
      "Is it expired, or is it for another host name?",
      "If a private authority issued it: NODE_EXTRA_CA_CERTS=/path/to/authority.pem"
    )
  }
  return /^(EPROTO|ERR_SSL_|ERR_TLS_)/.test(code)
    ? diagnosis(`${host} does not use TLS on this port (${code}).`, "Is it the port for https?")
    : diagnosis(
      `The connection to ${host} failed (${code === "" ? detail : code}).`,
      "Is there a firewall, a proxy or a VPN between this machine and the server?",
      "Does it work from another network?"
    )
}

const status = (host: string, code: number | undefined): Diagnosis => {
  if (code === 401 || code === 403) {
    return diagnosis(
      `${host} requires authentication for its SMART configuration (status ${code}).`,
      "A SMART configuration is public: ask the operator to open /.well-known/smart-configuration."
    )
  }
  if (code === 429) return diagnosis(`${host} receives too many requests (status 429).`, "Try again later.")
  return code !== undefined && code >= 500
    ? diagnosis(
      `${host} is running but fails (status ${code}).`,
      "Try again later.",
      "If it still fails, its operator can find the reason in the log of the server."
    )
    : diagnosis(
      `${host} does not return its SMART configuration (status ${code ?? "unknown"}).`,
      "Is this the FHIR base URL, with its whole path?"
    )
}

const insecure = (url: URL | undefined): Diagnosis =>
  url !== undefined && Url.isLoopback(url)
    ? diagnosis(
      "The URL is http, and only https is used.",
      "For a server on this machine: --allow-insecure-localhost, or SMART_ALLOW_INSECURE_LOCALHOST=true"
    )
    : diagnosis(
      "The URL is http, and only https is used: with http, others on the network could read the tokens.",
      "Does the server have an https URL?"
    )

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (error: DiscoveryError, timeoutSeconds: number): Diagnosis => {
  const { detail, fhirBaseUrl, reason, url } = error
  const base = Url.parse(fhirBaseUrl)
  const host = Url.parse(url)?.host ?? base?.host ?? fhirBaseUrl
  switch (reason) {
    case "Unreachable":
      return unreachable(host, error)
    case "TimedOut":
      return diagnosis(
        `${host} did not respond within ${timeoutSeconds} ${timeoutSeconds === 1 ? "second" : "seconds"}.`,
        `If the server is slow, use a longer time limit: --timeout ${timeoutSeconds * 6}`,
        "A firewall that drops packets has the same effect."
      )
    case "NotFound":
      return diagnosis(
        `No SMART configuration was found at ${url}: ${detail}.`,
        "Is this the FHIR base URL, with its whole path? Such a path often ends in /fhir or /r4.",
        "If it is, this server does not support SMART App Launch, or does not publish that it does."
      )
    case "Status":
      return status(host, error.status)
    case "NotJson":
      return diagnosis(
        `No SMART configuration was found at ${url}: ${detail}.`,
        "Web sites and login pages respond like this: is it the FHIR base URL, with its whole path?",
        "A proxy or a network that requires a login may have responded instead of the server."
      )
    case "NotObject":
      return diagnosis(
        `The document at ${url} is not a SMART configuration: ${detail}.`,
        "A SMART configuration is a JSON object. Is this the FHIR base URL?"
      )
    case "TooLarge":
      return diagnosis(
        `The document at ${url} is too large for a SMART configuration: ${detail}.`,
        "Is this the FHIR base URL?"
      )
    case "RedirectRefused":
      return diagnosis(
        `${host} redirects to a URL that is not safe to follow: ${detail}.`,
        "If that is the server you mean, use its own URL."
      )
    case "InsecureEndpoint":
      return insecure(base)
    case "InvalidUrl":
    case "EndpointMissing":
    case "ModuleUnavailable":
      return diagnosis(detail)
  }
}
