/**
 * What every protocol step of one sandbox works with: its settings, its endpoints, its memory and its FHIR store.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import type * as jose from "jose"
import type { Job } from "./bulkData.js"
import type { Client } from "./client.js"
import { defaultClients } from "./client.js"
import * as FhirStore from "./fhirStore.js"
import type * as IdToken from "./idToken.js"
import type { LaunchContext } from "./launchContext.js"
import * as State from "./state.js"
import type { FhirResource } from "./syntheticData.js"
import { syntheticResources } from "./syntheticData.js"

/**
 * What a person decides at the consent page.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decision {
  /** The reference of who decides, for instance `Practitioner/practitioner-one` (the default) or `Patient/patient-alpha`. */
  readonly user?: string | undefined
  /** The id of the chosen patient, where the request asks for one (default: the launch's, or the first in the store). */
  readonly patient?: string | undefined
  /** The id of the chosen encounter, where the request asks for one. */
  readonly encounter?: string | undefined
  /** The scopes granted, verbatim: fewer, none, or other ones than requested. Without it, all that were requested and that the sandbox has. */
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * The settings of a sandbox; all have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** In memory `https://ehr.sandbox.test/fhir`, over a port `http://127.0.0.1:PORT/fhir`. Verbatim: `aud` is compared with it to the letter. */
  readonly fhirBaseUrl?: string | undefined
  readonly clients?: ReadonlyArray<Client> | undefined
  /** Default: 60 seconds. */
  readonly codeLifetime?: Duration.DurationInput | undefined
  /** Default: 5 minutes. */
  readonly accessTokenLifetime?: Duration.DurationInput | undefined
  /** Default: 30 days. */
  readonly refreshTokenLifetime?: Duration.DurationInput | undefined
  /** Whether a refresh token is good for one use only (default: true). A used one that comes again ends the whole family of tokens. */
  readonly rotateRefreshTokens?: boolean | undefined
  /** Whether the redirect back carries `iss` (RFC 9207) and the metadata promises it (default: true). */
  readonly issueIss?: boolean | undefined
  /** Members put over those of the SMART configuration; one that is `undefined` is taken out. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** Whether GET /authorize redirects at once, and with which decision; else it shows a page. Default: true over a port, false in memory. */
  readonly autoApprove?: boolean | Decision | undefined
  /**
   * A consent page of one's own: where GET /authorize sends the browser that nobody approves for at once, given a ticket for `Service.consent` and
   * `Service.decide`. Without it, the sandbox shows a plain page.
   */
  readonly consentPage?: ((ticket: string) => string) | undefined
  /** The FHIR resources in the store (default: `syntheticResources`). */
  readonly resources?: ReadonlyArray<FhirResource> | undefined
  /** What the sandbox fetches a client's `jwksUri` with; without it, such a client cannot authenticate. */
  readonly httpClient?: HttpClient.HttpClient | undefined
}

/**
 * The URLs of a sandbox's endpoints.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoints {
  readonly smartConfiguration: string
  readonly openidConfiguration: string
  readonly authorization: string
  readonly token: string
  readonly jwks: string
  readonly userinfo: string
  readonly introspection: string
  readonly revocation: string
  readonly management: string
  readonly registration: string
  readonly style: string
}

/** A JWKS fetched from a client, good until a moment by the clock. */
export interface CachedJwks {
  readonly keys: ReadonlyArray<jose.JWK>
  readonly until: number
}

/** An authorization request that passed all checks, and who may be sent where for it. */
export interface ValidRequest {
  readonly client: Client
  readonly redirectUri: string
  readonly state: string
  readonly scopes: ReadonlyArray<string>
  readonly challenge: string
  readonly nonce: string | undefined
  readonly launch: LaunchContext | undefined
}

/** One sandbox. */
export interface World {
  readonly fhirBaseUrl: string
  readonly issuer: string
  readonly endpoints: Endpoints
  /** By id; they come and go with `Service.register` and `Service.unregister`. */
  readonly clients: Map<string, Client>
  readonly accessTokenLifetime: Duration.Duration
  readonly rotateRefreshTokens: boolean
  readonly issueIss: boolean
  readonly metadata: Readonly<Record<string, unknown>>
  readonly autoApprove: Decision | undefined
  readonly consentPage: ((ticket: string) => string) | undefined
  readonly httpClient: HttpClient.HttpClient | undefined
  readonly jwksCache: Map<string, CachedJwks>
  readonly state: State.State<ValidRequest>
  readonly store: FhirStore.FhirStore
  readonly exports: Map<string, Job>
  readonly idTokens: IdToken.Signer
}

/** The endpoints of the sandbox whose FHIR base is given. */
const endpointsOf = (fhirBaseUrl: string, issuer: string): Endpoints => ({
  smartConfiguration: `${fhirBaseUrl.replace(/\/$/, "")}/.well-known/smart-configuration`,
  openidConfiguration: `${issuer}/.well-known/openid-configuration`,
  authorization: `${issuer}/authorize`,
  token: `${issuer}/token`,
  jwks: `${issuer}/jwks`,
  userinfo: `${issuer}/userinfo`,
  introspection: `${issuer}/introspect`,
  revocation: `${issuer}/revoke`,
  management: `${issuer}/manage`,
  registration: `${issuer}/register`,
  style: `${issuer}/style.json`
})

/** A new sandbox at a FHIR base URL. */
export const make = (
  fhirBaseUrl: string,
  options: Options,
  defaults: { readonly autoApprove: boolean },
  idTokens: IdToken.Signer
): World => {
  // The issuer is not the FHIR base: clients that take one for the other are found out.
  const issuer = `${new URL(fhirBaseUrl).origin}/auth`
  const { autoApprove = defaults.autoApprove } = options
  return {
    fhirBaseUrl,
    issuer,
    endpoints: endpointsOf(fhirBaseUrl, issuer),
    clients: new Map((options.clients ?? defaultClients).map((client) => [client.clientId, client])),
    accessTokenLifetime: Duration.decode(options.accessTokenLifetime ?? "5 minutes"),
    rotateRefreshTokens: options.rotateRefreshTokens ?? true,
    issueIss: options.issueIss ?? true,
    metadata: options.metadata ?? {},
    autoApprove: autoApprove === true ? {} : autoApprove === false ? undefined : autoApprove,
    consentPage: options.consentPage,
    httpClient: options.httpClient,
    jwksCache: new Map(),
    state: State.make({
      code: Duration.decode(options.codeLifetime ?? "60 seconds"),
      refreshToken: Duration.decode(options.refreshTokenLifetime ?? "30 days")
    }),
    store: FhirStore.make(fhirBaseUrl.replace(/\/$/, ""), options.resources ?? syntheticResources),
    exports: new Map(),
    idTokens
  }
}
