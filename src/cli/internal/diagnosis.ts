/**
 * A failed look at a server in words for the person who has to get it to work: what happened, and what to try first.
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
  readonly what: string
  readonly advice: ReadonlyArray<string>
}

const CERTIFICATE = /CERT|^UNABLE_TO_/

const unreachable = (host: string, { code, detail }: DiscoveryError): Diagnosis => {
  if (code === "ECONNREFUSED") {
    return {
      what: `Nothing listens at ${host} (${code}).`,
      advice: ["Is the server running?", "Is the port right?"]
    }
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return {
      what: `There is no host ${host}, as far as this machine knows (${code}).`,
      advice: ["Is it spelled right?", "Does it need a VPN, or a name server that this machine does not ask?"]
    }
  }
  if (code !== undefined && CERTIFICATE.test(code)) {
    return {
      what: `This machine does not trust the certificate of ${host} (${code}).`,
      advice: [
        "Has it run out, or is it for another name?",
        "If a private authority signed it: NODE_EXTRA_CA_CERTS=/path/to/authority.pem"
      ]
    }
  }
  if (code !== undefined && /^(EPROTO|ERR_SSL_|ERR_TLS_)/.test(code)) {
    return { what: `${host} does not speak TLS here (${code}).`, advice: ["Is the port the one for https?"] }
  }
  return {
    what: `There is no getting through to ${host} (${code ?? detail}).`,
    advice: ["Is there a firewall, a proxy or a VPN in between?", "Does it work from another network?"]
  }
}

const status = (host: string, code: number | undefined): Diagnosis => {
  if (code === 401 || code === 403) {
    return {
      what: `${host} wants a login before it says how to log in (${code}).`,
      advice: ["A SMART configuration is public: ask its operator to open /.well-known/smart-configuration."]
    }
  }
  if (code === 429) {
    return { what: `${host} has been asked too often (429).`, advice: ["Try again in a while."] }
  }
  return code !== undefined && code >= 500
    ? {
      what: `${host} is there, but in trouble: it answers ${code}.`,
      advice: ["Try again in a while.", "If it stays so, its operator finds the reason in its log."]
    }
    : {
      what: `${host} answers ${code ?? "with an error"} where its SMART configuration should be.`,
      advice: ["Is this the FHIR base URL, with its whole path?"]
    }
}

const insecure = (url: URL | undefined): Diagnosis =>
  url !== undefined && Url.isLoopback(url)
    ? {
      what: "This is http, and only https is asked.",
      advice: ["For a server on this machine: --allow-insecure-localhost, or SMART_ALLOW_INSECURE_LOCALHOST=true"]
    }
    : {
      what: "This is http, and only https is asked: whoever is on the way could read the tokens.",
      advice: ["Does the server have an https address?"]
    }

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (error: DiscoveryError, timeoutSeconds: number): Diagnosis => {
  const base = Url.parse(error.fhirBaseUrl)
  const host = Url.parse(error.url)?.host ?? base?.host ?? error.fhirBaseUrl
  switch (error.reason) {
    case "Unreachable":
      return unreachable(host, error)
    case "TimedOut":
      return {
        what: `${host} did not answer within ${timeoutSeconds} ${timeoutSeconds === 1 ? "second" : "seconds"}.`,
        advice: [
          `It may be slow, or asleep: give it longer with --timeout ${timeoutSeconds * 6}`,
          "A firewall that drops packets looks the same."
        ]
      }
    case "NotFound":
      return {
        what: `There is no SMART configuration at ${error.url}: ${error.detail}.`,
        advice: [
          "Is this the FHIR base URL, with its whole path? Such a path often ends in /fhir or /r4.",
          "If it is: this server does not do SMART App Launch, or does not say so."
        ]
      }
    case "Status":
      return status(host, error.status)
    case "NotJson":
      return {
        what: `There is no SMART configuration at ${error.url}: ${error.detail}.`,
        advice: [
          "This is what web sites and log-in pages answer: is it the FHIR base URL, with its whole path?",
          "A proxy or a network that wants a log-in first may have answered in the server's place."
        ]
      }
    case "NotObject":
      return {
        what: `What is at ${error.url} is JSON, but no SMART configuration: ${error.detail}.`,
        advice: ["A SMART configuration is a JSON object. Is this the FHIR base URL?"]
      }
    case "TooLarge":
      return {
        what: `What is at ${error.url} is too large for a SMART configuration: ${error.detail}.`,
        advice: ["Is this the FHIR base URL?"]
      }
    case "RedirectRefused":
      return {
        what: `${host} redirects where it is not safe to follow: ${error.detail}.`,
        advice: ["If that is the server you mean, give its own URL."]
      }
    case "InsecureEndpoint":
      return insecure(base)
    case "InvalidUrl":
    case "EndpointMissing":
      return { what: error.detail, advice: [] }
  }
}
