/**
 * The service of a sandbox: one value with the control of a test and the handler of its requests.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as Effect from "effect/Effect"
import * as Authorize from "./authorize.js"
import type { Client } from "./client.js"
import * as Consent from "./consent.js"
import type { Fault, Step } from "./fault.js"
import * as Faults from "./faults.js"
import type { SandboxRequest, SandboxResponse } from "./http.js"
import * as SandboxHttpApp from "./httpApp.js"
import * as IdToken from "./idToken.js"
import type { LaunchContext } from "./launchContext.js"
import { SandboxError } from "./oAuthError.js"
import * as RequestLog from "./requestLog.js"
import * as Routes from "./routes.js"
import * as Sandbox from "./sandbox.js"
import type { Access } from "./state.js"

/**
 * The control of a sandbox by a test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The FHIR base URL: the start of discovery, and the required `aud`. */
  readonly fhirBaseUrl: string
  /** The issuer of the id_tokens; it differs from the FHIR base URL. */
  readonly issuer: string
  readonly endpoints: Sandbox.Endpoints
  /**
   * Approves an authorization request as a user; the result is the callback URL. If the server must reject the request,
   * the callback URL has an `error`; an unknown client or redirect URI fails, because it must not be redirected. The
   * sandbox sends and records no HTTP request, but faults of the step `authorize` apply.
   */
  readonly approve: (
    request: Consent.AuthorizationRequest,
    decision?: Sandbox.Decision
  ) => Effect.Effect<URL, SandboxError>
  /** Denies an authorization request as a user (default error: `access_denied`); the result is the callback URL. */
  readonly deny: (request: Consent.AuthorizationRequest, error?: string) => Effect.Effect<URL, SandboxError>
  /** Starts an EHR launch; the result has the parameters of the launch URL. */
  readonly launch: (
    context?: LaunchContext
  ) => Effect.Effect<{ readonly iss: string; readonly launch: string }, SandboxError>
  /** The registered clients with their secrets. */
  readonly clients: Effect.Effect<ReadonlyArray<Client>>
  /** Registers a client, or replaces the client with the same id. */
  readonly register: (client: Client) => Effect.Effect<void>
  /** Removes a client and revokes its access; false if the id is unknown. */
  readonly unregister: (clientId: string) => Effect.Effect<boolean>
  /** With the option `consentPage`: the authorization request of a ticket. */
  readonly consent: (ticket: string) => Effect.Effect<Consent.ConsentRequest, SandboxError>
  /**
   * With the option `consentPage`: the user's decision; the result is the callback URL. Only the first decision counts:
   * another one, after a double click, gets the same callback URL.
   */
  readonly decide: (ticket: string, decision: Sandbox.Decision | "deny") => Effect.Effect<URL, SandboxError>
  /** The access of all apps, without tokens. */
  readonly access: Effect.Effect<ReadonlyArray<Access>>
  /** Revokes an access with all tokens issued for it; false if the id is unknown. */
  readonly revokeAccess: (id: string) => Effect.Effect<boolean>
  /** All HTTP requests so far, with secrets in clear. */
  readonly requests: Effect.Effect<ReadonlyArray<RequestLog.RecordedRequest>>
  readonly clearRequests: Effect.Effect<void>
  /** Adds a fault for `times` (default 1) requests of a step, after the step's pending faults. */
  readonly fault: (step: Step, fault: Fault, times?: number) => Effect.Effect<void>
  readonly clearFaults: Effect.Effect<void>
  /** The pending faults by step, the next one first. */
  readonly pendingFaults: Effect.Effect<ReadonlyArray<Faults.PendingFault>>
  /** Removes a pending fault; false if the id is unknown. */
  readonly removeFault: (id: string) => Effect.Effect<boolean>
  /** Revokes an access token, or the grant of a refresh token or a code with everything issued for it. */
  readonly revoke: (token: string) => Effect.Effect<void, SandboxError>
  /** All codes and tokens issued so far. */
  readonly issued: Effect.Effect<ReadonlyArray<string>>
  /** The sandbox as an `HttpApp`, for a server of your own at `fhirBaseUrl`'s origin. */
  readonly httpApp: HttpApp.Default
}

const unknownToken = new SandboxError({
  reason: "UnknownToken",
  description: "the sandbox never issued this token"
})

/** What a sandbox can do beyond SMART App Launch. */
export interface Extension {
  /** The route of a path; it replaces that of the sandbox. */
  readonly routeOf: (path: string) => Routes.Route | undefined
  readonly authorizationEndpoints: ReadonlyArray<Consent.AuthorizationEndpoint>
}

/** What an extension uses of its sandbox. */
export interface ExtensionContext {
  readonly sandbox: Sandbox.Sandbox
  /** A request to the sandbox itself, with faults and the request log. */
  readonly send: (request: SandboxRequest) => Effect.Effect<SandboxResponse, Faults.ConnectionReset>
}

/** A sandbox at a FHIR base URL. */
export const makeSandbox = (
  fhirBaseUrl: string,
  options: Sandbox.Options,
  defaults: { readonly autoApprove: boolean },
  extend: (context: ExtensionContext) => Extension = () => ({ routeOf: () => undefined, authorizationEndpoints: [] })
) =>
  Effect.map(IdToken.make, (idTokens) => {
    const sandbox = Sandbox.make(fhirBaseUrl, options, defaults, idTokens)
    const { clients, endpoints, issuer, state } = sandbox
    const faults = Faults.make()
    const requestLog = RequestLog.make()
    const { authorizationEndpoints, routeOf } = extend({ sandbox, send: (request) => handle(request) })
    const consent = Consent.make(sandbox, faults, [
      {
        url: endpoints.authorization,
        validate: (pairs) => Authorize.validate(sandbox, pairs, Authorize.smartRules)
      },
      ...authorizationEndpoints
    ])
    const handle = Routes.make(sandbox, consent, faults, requestLog, routeOf)
    const service: Service = {
      fhirBaseUrl,
      issuer,
      endpoints,
      approve: consent.approve,
      deny: consent.deny,
      launch: consent.launch,
      clients: Effect.sync(() => Array.from(clients.values())),
      register: (client) => Effect.sync(() => void clients.set(client.clientId, client)),
      unregister: (clientId) =>
        Effect.gen(function*() {
          const ofClient = (yield* state.access).filter((access) => access.clientId === clientId)
          yield* Effect.forEach(ofClient, ({ id }) => state.revokeAccess(id), { discard: true })
          return clients.delete(clientId)
        }),
      consent: consent.request,
      decide: consent.decide,
      access: state.access,
      revokeAccess: state.revokeAccess,
      requests: requestLog.entries,
      clearRequests: requestLog.clear,
      fault: (step, fault, times = 1) => faults.add(step, fault, times),
      clearFaults: faults.clear,
      pendingFaults: faults.pending,
      removeFault: faults.remove,
      revoke: (token) => Effect.flatMap(state.revoke(token), (found) => found ? Effect.void : unknownToken),
      issued: state.issued,
      httpApp: SandboxHttpApp.make(handle)
    }
    return { service, handle }
  })

/** The default FHIR base URL of a sandbox without a port. */
export const defaultFhirBaseUrl = "https://ehr.sandbox.test/fhir"
