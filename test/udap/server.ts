/**
 * A FHIR server that publishes UDAP metadata, its authorities' CRLs, and what went over the network.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import { RetryPolicy } from "effect-safire"
import { TrustPolicy, UdapDiscovery } from "effect-safire/udap"
import * as jose from "jose"
import { base, FHIR_BASE, NOW } from "./artefacts.js"

export const COMMUNITY = "https://community.example.org/udap?tier=1"

export type Json = Readonly<Record<string, unknown>>

/** Metadata that violate no rule; `signed_metadata` apart. */
export const document: Json = {
  udap_versions_supported: ["1"],
  udap_profiles_supported: ["udap_dcr", "udap_authn", "udap_authz"],
  udap_authorization_extensions_supported: ["hl7-b2b"],
  udap_authorization_extensions_required: ["hl7-b2b"],
  udap_certifications_supported: [],
  grant_types_supported: ["authorization_code", "refresh_token", "client_credentials"],
  scopes_supported: ["openid", "udap", "system/*.rs"],
  authorization_endpoint: "https://auth.example.org/authorize",
  token_endpoint: "https://auth.example.org/token",
  token_endpoint_auth_methods_supported: ["private_key_jwt"],
  token_endpoint_auth_signing_alg_values_supported: ["RS256", "ES384"],
  registration_endpoint: "https://auth.example.org/register",
  registration_endpoint_jwt_signing_alg_values_supported: ["RS256"]
}

export const claims: Json = {
  iss: FHIR_BASE,
  sub: FHIR_BASE,
  iat: NOW / 1000 - 60,
  exp: NOW / 1000 + 86_400,
  jti: "a-unique-id",
  authorization_endpoint: document["authorization_endpoint"],
  token_endpoint: document["token_endpoint"],
  registration_endpoint: document["registration_endpoint"]
}

export const base64 = (der: Uint8Array): string => Encoding.encodeBase64(der)

export interface Signing {
  readonly claims?: Json | undefined
  readonly header?: Json | undefined
  readonly key?: CryptoKey | Uint8Array | undefined
  readonly x5c?: unknown
}

/** Without what is `undefined`. */
const compacted = (json: Json): Json =>
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined))

export const signed = (signing: Signing = {}): Effect.Effect<string> =>
  Effect.flatMap(base, ({ inter, keys, leaf }) =>
    Effect.promise(() => {
      const header = compacted({
        alg: "RS256",
        x5c: signing.x5c ?? [base64(leaf.der), base64(inter.der)],
        ...signing.header
      })
      const payload = new TextEncoder().encode(JSON.stringify(compacted({ ...claims, ...signing.claims })))
      const key = signing.key ?? keys.leaf.privateKey
      return new jose.CompactSign(payload).setProtectedHeader({ alg: "RS256", ...header }).sign(key)
    }))

export interface Answer {
  readonly status?: number | undefined
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** What each URL answers: bytes, or an HTTP answer; what is not there is unreachable. */
export type Network = Map<string, Uint8Array | Answer>

export interface World {
  readonly network: Network
  readonly requests: Array<string>
  readonly layer: Layer.Layer<HttpClient.HttpClient>
}

/** A turn of the event loop: the clock of these tests stands still. */
const tick = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

export const world = (network: Network): World => {
  const requests: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.suspend(() => {
      requests.push(url.href)
      const found = network.get(url.href)
      if (found === undefined) {
        return new HttpClientError.RequestError({ request, reason: "Transport", description: "nothing is there" })
      }
      const { body, headers = {}, status = 200 }: Answer = found instanceof Uint8Array ? { body: found } : found
      const content = body instanceof Uint8Array
        ? new Uint8Array(body)
        : typeof body === "string"
        ? body
        : body === undefined
        ? null
        : JSON.stringify(body)
      return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(content, { status, headers })))
    }).pipe((answer) => Effect.zipRight(tick, answer))
  )
  return { network, requests, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

export const WELL_KNOWN = `${FHIR_BASE}/.well-known/udap`

/** The URL that is asked for metadata of a community. */
export const wellKnown = (community?: string): string =>
  community === undefined ? WELL_KNOWN : `${WELL_KNOWN}?community=${encodeURIComponent(community)}`

/** A network with metadata at the server, with and without a community. */
export const serving = (plain: Json, jwt: unknown): World => {
  const body = compacted({ ...plain, signed_metadata: jwt })
  return world(new Map([[wellKnown(), { body }], [wellKnown(COMMUNITY), { body }]]))
}

/** Discovery over a network, trusting the test authority with CRLs that were given. */
export const discovery = (
  { layer }: World,
  options: {
    readonly discovery?: UdapDiscovery.Options | undefined
    readonly community?: Partial<TrustPolicy.Community> | undefined
    readonly policy?: Partial<TrustPolicy.Options> | undefined
    readonly retries?: RetryPolicy.Policy | undefined
  } = {}
) =>
  Layer.unwrapEffect(Effect.map(base, ({ crls, root }) =>
    UdapDiscovery.layer(options.discovery).pipe(
      Layer.provideMerge(TrustPolicy.layer({
        communities: { [COMMUNITY]: { anchors: [root.der], crls: [crls.root, crls.inter], ...options.community } },
        ...options.policy
      })),
      Layer.provide(layer),
      Layer.provide(RetryPolicy.layer(options.retries ?? RetryPolicy.none))
    )))
