/**
 * One sandbox: its options, its endpoints, its state and its FHIR store. All protocol steps receive it.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as jose from "jose"
import * as BulkState from "./bulkState.js"
import { type Client, defaultClients } from "./client.js"
import * as FhirStore from "./fhirStore.js"
import type { SandboxRequest } from "./http.js"
import type * as IdToken from "./idToken.js"
import type { OAuthError } from "./oAuthError.js"
import * as State from "./state.js"
import { type FhirResource, syntheticResources } from "./syntheticData.js"

/**
 * A user's decision about an authorization request.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decision {
  /** The FHIR reference of the user: `Practitioner/practitioner-one` (default), `Patient/patient-alpha`. */
  readonly user?: string | undefined
  /** The id of the chosen patient, if the request asks for one (default: the launch's, or the first in the store). */
  readonly patient?: string | undefined
  /** The id of the chosen encounter, if the request asks for one. */
  readonly encounter?: string | undefined
  /**
   * The granted scopes, verbatim: also fewer, none or others than requested (default: all that the sandbox supports).
   */
  readonly scopes?: ReadonlyArray<string> | undefined
}

/**
 * The options of a sandbox; all have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Default: `https://ehr.sandbox.test/fhir` in memory, `http://127.0.0.1:PORT/fhir` over a port. `aud` must be the
   * same string.
   */
  readonly fhirBaseUrl?: string | undefined
  /** The registered clients (default: `defaultClients`). */
  readonly clients?: ReadonlyArray<Client> | undefined
  /** Default: 60 seconds. */
  readonly codeLifetime?: Duration.DurationInput | undefined
  /** Default: 5 minutes. */
  readonly accessTokenLifetime?: Duration.DurationInput | undefined
  /** Default: 30 days. */
  readonly refreshTokenLifetime?: Duration.DurationInput | undefined
  /** Whether each refresh token works once (default: true). Using it again revokes all tokens of the same approval. */
  readonly rotateRefreshTokens?: boolean | undefined
  /** Whether the callback has `iss` (RFC 9207) and the metadata declares it (default: true). */
  readonly issueIss?: boolean | undefined
  /** Members that replace those of the SMART configuration; `undefined` removes a member. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /**
   * Whether GET /authorize approves at once, or the decision it approves with; with false it shows a consent page.
   * Default: true over a port, false in memory.
   */
  readonly autoApprove?: boolean | Decision | undefined
  /**
   * The URL of your own consent page, for a ticket to pass to `Service.consent` and `Service.decide`. Used when
   * `autoApprove` is false (default: a plain page of the sandbox).
   */
  readonly consentPage?: ((ticket: string) => string) | undefined
  /** The FHIR resources in the store (default: `syntheticResources`). */
  readonly resources?: ReadonlyArray<FhirResource> | undefined
  /** How bulk data are exported. */
  readonly bulkData?: BulkState.BulkDataOptions | undefined
  /** Fetches clients' `jwksUri`s; without it, clients with a `jwksUri` cannot authenticate. */
  readonly httpClient?: HttpClient.HttpClient | undefined
}

/** Authenticates a client of the introspection or revocation endpoint by its certificate. */
export type CertificateAuthentication = (
  request: SandboxRequest,
  params: ReadonlyMap<string, string>,
  endpoint: string
) => Effect.Effect<Client, OAuthError>

/** A client's JWKS, fetched from its `jwksUri`. */
interface CachedJwks {
  readonly keys: ReadonlyArray<jose.JWK>
  readonly expiresAt: number
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

/** One sandbox. */
export type Sandbox = ReturnType<typeof make>

/** A sandbox at a FHIR base URL. */
export const make = (
  fhirBaseUrl: string,
  options: Options,
  defaults: { readonly autoApprove: boolean; readonly issuer?: string | undefined },
  idTokens: IdToken.Signer
) => {
  // The issuer differs from the FHIR base, so that tests detect a client that confuses them.
  const issuer = defaults.issuer ?? `${new URL(fhirBaseUrl).origin}/auth`
  const fhirRoot = fhirBaseUrl.replace(/\/$/, "")
  const { autoApprove = defaults.autoApprove } = options
  return {
    fhirBaseUrl,
    /** The FHIR base URL without its trailing slash. */
    fhirRoot,
    issuer,
    endpoints: {
      smartConfiguration: `${fhirRoot}/.well-known/smart-configuration`,
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
    } satisfies Endpoints,
    /** By client id. */
    clients: new Map((options.clients ?? defaultClients).map((client) => [client.clientId, client])),
    accessTokenLifetime: Duration.decode(options.accessTokenLifetime ?? "5 minutes"),
    rotateRefreshTokens: options.rotateRefreshTokens ?? true,
    issueIss: options.issueIss ?? true,
    metadata: options.metadata ?? {},
    autoApprove: autoApprove === true ? {} : autoApprove === false ? undefined : autoApprove,
    consentPage: options.consentPage,
    httpClient: options.httpClient,
    jwksCache: new Map<string, CachedJwks>(),
    state: State.make({
      code: Duration.decode(options.codeLifetime ?? "60 seconds"),
      refreshToken: Duration.decode(options.refreshTokenLifetime ?? "30 days")
    }),
    store: FhirStore.make(fhirRoot, options.resources ?? syntheticResources),
    bulk: BulkState.makeState(options.bulkData ?? {}),
    /** Set by an extension that knows clients with certificates. */
    certificates: {} as { authenticate?: CertificateAuthentication },
    idTokens
  }
}
