/**
 * The hospitals of the demonstration, with one type of client each, and the EHRs to start. Your own app has the
 * settings that its hospitals' operators gave you.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError, SigningKeys } from "effect-safire"
import { ClientAuthentication } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import type * as EhrSite from "../ehr/index.js"
import type { Hospital } from "./Hospital.js"
import { APP_NAME, BACKEND_SCOPES, DEFAULT_SCOPES } from "./Hospital.js"
import { JWKS_PATH } from "./Keys.js"
import type { Prospect } from "./Registrations.js"

/** An EHR to be started, at a port of its own. */
export interface Ehr {
  readonly key: string
  readonly name: string
  readonly port: number
  readonly options: Omit<EhrSite.Options, "name" | "apps">
  /** Faults of every response. */
  readonly quirks: ReadonlyArray<readonly [step: SandboxEhr.Fault.Step, fault: SandboxEhr.Fault.Fault]>
  /** Whether apps can register themselves. */
  readonly isOpen: boolean
}

export interface DemoHospitals {
  readonly hospitals: Effect.Effect<ReadonlyArray<Hospital>, ConfigurationError, SigningKeys.SigningKeys>
  readonly prospects: ReadonlyArray<Prospect>
  /** The EHRs to start; one hospital has no running EHR. */
  readonly ehrs: ReadonlyArray<Ehr>
}

export interface Options {
  /** The app as browsers see it. */
  readonly baseUrl: string
  /** Ports for the EHRs, on 127.0.0.1; at the sixth, nothing listens. */
  readonly ports: readonly [
    north: number,
    south: number,
    east: number,
    west: number,
    old: number,
    gone: number,
    open: number,
    harbor: number
  ]
  /** What the EHRs fetch the app's keys with. */
  readonly httpClient: HttpClient.HttpClient
}

/** The app, as the EHRs list it beside a patient. */
export const launchable = (baseUrl: string): EhrSite.App => ({
  id: CLIENT_ID,
  name: APP_NAME,
  launchUrl: `${baseUrl}/launch`
})

const CLIENT_ID = "vital-lines"
const SECRET = Redacted.make("a demonstration secret")

/** The metadata of an old server: common deviations from the specification that are harmless. */
const LENIENT_METADATA = {
  code_challenge_methods_supported: undefined,
  token_endpoint: "/auth/token",
  scopes_supported: "openid fhirUser launch patient/*.read",
  capabilities: [
    "launch-ehr",
    "launch-standalone",
    "client-confidential-symmetric",
    "sso-openid-connect",
    "smart-of-old"
  ],
  grant_types_supported: undefined,
  management_endpoint: undefined
}

const LENIENT_TOKENS = SandboxEhr.Fault.all(
  SandboxEhr.Fault.headers({ set: { "content-type": "text/plain" } }),
  SandboxEhr.Fault.mutate(({ token_type: _, ...members }) => ({
    ...members,
    ...("expires_in" in members ? { expires_in: String(members["expires_in"]) } : {})
  }))
)

export const make = (
  { baseUrl, httpClient, ports: [north, south, east, west, old, gone, open, harbor] }: Options
): DemoHospitals => {
  const jwksUri = `${baseUrl}${JWKS_PATH}`
  const fhirBaseUrl = (port: number) => `http://127.0.0.1:${port}/fhir`

  const client = (key: string, authentication: SandboxEhr.ClientAuthentication): SandboxEhr.Client => ({
    clientId: CLIENT_ID,
    name: APP_NAME,
    redirectUris: [`${baseUrl}/callback/${key}`],
    launchUris: [`${baseUrl}/launch`],
    authentication
  })
  const ehr = (
    key: string,
    name: string,
    port: number,
    authentication: SandboxEhr.ClientAuthentication,
    options: Ehr["options"] = {}
  ): Ehr => ({
    key,
    name,
    port,
    options: { ...options, clients: [client(key, authentication)], httpClient },
    quirks: [],
    isOpen: false
  })
  const algorithms = (...algs: ReadonlyArray<string>) => ({
    metadata: { token_endpoint_auth_signing_alg_values_supported: algs }
  })

  const hospital = (
    port: number,
    authentication: ClientAuthentication.Service,
    settings: Omit<Hospital, "server">
  ): Hospital => ({
    ...settings,
    ehrUrl: `http://127.0.0.1:${port}/`,
    server: {
      fhirBaseUrl: fhirBaseUrl(port),
      clientId: CLIENT_ID,
      redirectUri: `${baseUrl}/callback/${settings.key}`,
      scopes: DEFAULT_SCOPES,
      authentication,
      allowInsecureLocalhost: true
    }
  })

  const hospitals = Effect.gen(function*() {
    const signed = yield* ClientAuthentication.makePrivateKeyJwt({ jwksUri, allowInsecureLocalhost: true })
    return [
      hospital(north, ClientAuthentication.makePublic, {
        key: "north",
        name: "North Hospital",
        about: "Accepts public clients. PKCE alone binds a login to the app.",
        kind: "public"
      }),
      hospital(south, ClientAuthentication.makeClientSecretBasic({ clientSecret: SECRET }), {
        key: "south",
        name: "South Clinic",
        about: "Shares a secret with the app. The app sends it with every token request.",
        kind: "client_secret_basic",
        backendScopes: BACKEND_SCOPES
      }),
      hospital(east, signed, {
        key: "east",
        name: "East Hospital",
        about: "Verifies the app's signed assertions. Accepts RSA signatures only (RS384).",
        kind: "private_key_jwt",
        signsWith: "RS384",
        backendScopes: BACKEND_SCOPES
      }),
      hospital(west, signed, {
        key: "west",
        name: "West Clinic",
        about: "Verifies the app's signed assertions. Accepts elliptic curve signatures only (ES384).",
        kind: "private_key_jwt",
        signsWith: "ES384",
        backendScopes: BACKEND_SCOPES
      }),
      hospital(old, ClientAuthentication.makeClientSecretPost({ clientSecret: SECRET }), {
        key: "old",
        name: "Old Mill Practice",
        about: "Deviates from the specification in harmless ways. Logins work, with warnings.",
        kind: "client_secret_post",
        backendScopes: BACKEND_SCOPES
      }),
      hospital(gone, ClientAuthentication.makePublic, {
        key: "ferry",
        name: "Ferry Practice",
        about: "Is down. Shows how the app handles an unavailable server.",
        kind: "public"
      })
    ]
  })

  return {
    hospitals,
    prospects: [{
      key: "newtown",
      name: "Newtown Hospital",
      about: "Supports dynamic registration. The app is not registered here yet.",
      fhirBaseUrl: fhirBaseUrl(open)
    }, {
      key: "harbor",
      name: "Harbor Hospital",
      about: "Is in a trust community. The app registers itself with its certificate (UDAP).",
      fhirBaseUrl: fhirBaseUrl(harbor)
    }],
    ehrs: [
      ehr("north", "North Hospital", north, { method: "none" }),
      ehr("south", "South Clinic", south, { method: "client_secret_basic", secret: SECRET }),
      ehr("east", "East Hospital", east, { method: "private_key_jwt", jwksUri }, algorithms("RS384")),
      ehr("west", "West Clinic", west, { method: "private_key_jwt", jwksUri }, algorithms("ES384")),
      {
        ...ehr("old", "Old Mill Practice", old, { method: "client_secret_post", secret: SECRET }, {
          issueIss: false,
          metadata: LENIENT_METADATA
        }),
        quirks: [["token", LENIENT_TOKENS]]
      },
      {
        key: "newtown",
        name: "Newtown Hospital",
        port: open,
        options: { clients: [], httpClient },
        quirks: [],
        isOpen: true
      },
      {
        key: "harbor",
        name: "Harbor Hospital",
        port: harbor,
        options: { clients: [], httpClient, udap: { allowInsecureLocalhost: true } },
        quirks: [],
        isOpen: false
      }
    ]
  }
}
