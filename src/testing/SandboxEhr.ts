/**
 * A strict SMART App Launch 2.2 authorization server with a small synthetic FHIR R4 store, for tests and
 * demonstrations: in memory as an `HttpClient`, or on a port.
 *
 * It implements a server's side of the specification and rejects invalid requests; `fault` makes it misbehave. Do not
 * use it with real data: it records all requests with their secrets, and any user can approve any request.
 *
 * @since 0.1.0
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Client } from "./internal/client.js"
import type { AuthorizationRequest, ConsentRequest } from "./internal/consent.js"
import * as Consent from "./internal/consent.js"
import type { Fault, Step } from "./internal/fault.js"
import type { PendingFault } from "./internal/faults.js"
import * as Faults from "./internal/faults.js"
import * as IdToken from "./internal/idToken.js"
import * as InMemory from "./internal/inMemory.js"
import type { LaunchContext } from "./internal/launchContext.js"
import { SandboxError } from "./internal/oAuthError.js"
import * as OverPort from "./internal/overPort.js"
import type { RecordedRequest } from "./internal/requestLog.js"
import * as RequestLog from "./internal/requestLog.js"
import * as Routes from "./internal/routes.js"
import type { Decision, Endpoints, Options } from "./internal/sandbox.js"
import * as Sandbox from "./internal/sandbox.js"
import type { Access } from "./internal/state.js"

// ---------------------------------------------------------------------------------------------------------------------
// Models
// ---------------------------------------------------------------------------------------------------------------------

export {
  /**
   * @since 0.1.0
   * @category models
   */
  defaultClients,
  /**
   * @since 0.1.0
   * @category models
   */
  defaultClientSecret
} from "./internal/client.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  ClientAuthentication,
  /**
   * @since 0.1.0
   * @category models
   */
  GrantType
} from "./internal/client.js"

/**
 * Faults to inject into a step of the protocol.
 *
 * @since 0.1.0
 * @category models
 */
export * as Fault from "./internal/fault.js"

export {
  /**
   * @since 0.1.0
   * @category errors
   */
  SandboxError
} from "./internal/oAuthError.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  syntheticResources
} from "./internal/syntheticData.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  FhirResource
} from "./internal/syntheticData.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Access,
  /**
   * @since 0.1.0
   * @category models
   */
  AuthorizationRequest,
  /**
   * @since 0.1.0
   * @category models
   */
  Client,
  /**
   * @since 0.1.0
   * @category models
   */
  ConsentRequest,
  /**
   * @since 0.1.0
   * @category models
   */
  Decision,
  /**
   * @since 0.1.0
   * @category models
   */
  Endpoints,
  /**
   * @since 0.1.0
   * @category models
   */
  LaunchContext,
  /**
   * @since 0.1.0
   * @category models
   */
  Options,
  /**
   * @since 0.1.0
   * @category models
   */
  PendingFault,
  /**
   * @since 0.1.0
   * @category models
   */
  RecordedRequest
}

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
  readonly endpoints: Endpoints
  /**
   * Approves an authorization request as a user; the result is the callback URL. If the server must reject the request,
   * the callback URL has an `error`; an unknown client or redirect URI fails, because it must not be redirected. The
   * sandbox sends and records no HTTP request, but faults of the step `authorize` apply.
   */
  readonly approve: (request: AuthorizationRequest, decision?: Decision) => Effect.Effect<URL, SandboxError>
  /** Denies an authorization request as a user (default error: `access_denied`); the result is the callback URL. */
  readonly deny: (request: AuthorizationRequest, error?: string) => Effect.Effect<URL, SandboxError>
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
  readonly consent: (ticket: string) => Effect.Effect<ConsentRequest, SandboxError>
  /**
   * With the option `consentPage`: the user's decision; the result is the callback URL. Only the first decision counts:
   * another one, after a double click, gets the same callback URL.
   */
  readonly decide: (ticket: string, decision: Decision | "deny") => Effect.Effect<URL, SandboxError>
  /** The access of all apps, without tokens. */
  readonly access: Effect.Effect<ReadonlyArray<Access>>
  /** Revokes an access with all tokens issued for it; false if the id is unknown. */
  readonly revokeAccess: (id: string) => Effect.Effect<boolean>
  /** All HTTP requests so far, with secrets in clear. */
  readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
  readonly clearRequests: Effect.Effect<void>
  /** Adds a fault for `times` (default 1) requests of a step, after the step's pending faults. */
  readonly fault: (step: Step, fault: Fault, times?: number) => Effect.Effect<void>
  readonly clearFaults: Effect.Effect<void>
  /** The pending faults by step, the next one first. */
  readonly pendingFaults: Effect.Effect<ReadonlyArray<PendingFault>>
  /** Removes a pending fault; false if the id is unknown. */
  readonly removeFault: (id: string) => Effect.Effect<boolean>
  /** Revokes an access token, or the grant of a refresh token or a code with everything issued for it. */
  readonly revoke: (token: string) => Effect.Effect<void, SandboxError>
  /** All codes and tokens issued so far. */
  readonly issued: Effect.Effect<ReadonlyArray<string>>
  /** The sandbox as an `HttpApp`, for a server of your own at `fhirBaseUrl`'s origin. */
  readonly httpApp: HttpApp.Default
}

/**
 * The sandbox.
 *
 * @since 0.1.0
 * @category tags
 */
export class SandboxEhr extends Context.Tag("effect-safire/testing/SandboxEhr")<SandboxEhr, Service>() {}

// ---------------------------------------------------------------------------------------------------------------------
// Constructors
// ---------------------------------------------------------------------------------------------------------------------

const unknownToken = new SandboxError({
  reason: "UnknownToken",
  description: "the sandbox never issued this token"
})

const makeSandbox = (fhirBaseUrl: string, options: Options, defaults: { readonly autoApprove: boolean }) =>
  Effect.map(IdToken.make, (idTokens) => {
    const sandbox = Sandbox.make(fhirBaseUrl, options, defaults, idTokens)
    const { clients, endpoints, issuer, state } = sandbox
    const faults = Faults.make()
    const requestLog = RequestLog.make()
    const consent = Consent.make(sandbox, faults)
    const handle = Routes.make(sandbox, consent, faults, requestLog)
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
      httpApp: OverPort.make(handle)
    }
    return { service, handle }
  })

const defaultFhirBaseUrl = "https://ehr.sandbox.test/fhir"

/**
 * A sandbox without a server; mount its `httpApp`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service> =>
  Effect.map(
    makeSandbox(options.fhirBaseUrl ?? defaultFhirBaseUrl, options, { autoApprove: true }),
    ({ service }) => service
  )

// ---------------------------------------------------------------------------------------------------------------------
// Layers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The sandbox, and an `HttpClient` that sends its requests to the sandbox without a port; requests to other origins
 * fail. The sandbox runs in the caller's fiber, so that `TestClock` controls lifetimes and delays. Each call makes a
 * new sandbox: bind the layer to a const to share it.
 *
 * @example
 * ```ts
 * import { SandboxEhr } from "effect-safire/testing"
 * import * as HttpClient from "@effect/platform/HttpClient"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const ehr = yield* SandboxEhr.SandboxEhr
 *   const client = yield* HttpClient.HttpClient
 *   yield* ehr.fault("discovery", SandboxEhr.Fault.status(503))
 *   const first = yield* client.get(ehr.endpoints.smartConfiguration)
 *   const second = yield* client.get(ehr.endpoints.smartConfiguration)
 *   return [first.status, second.status] // [503, 200]
 * }).pipe(Effect.provide(SandboxEhr.layerHttpClient()))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttpClient = (options: Options = {}): Layer.Layer<SandboxEhr | HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.map(
      makeSandbox(options.fhirBaseUrl ?? defaultFhirBaseUrl, options, { autoApprove: false }),
      ({ handle, service }) =>
        Context.make(SandboxEhr, service).pipe(
          Context.add(HttpClient.HttpClient, InMemory.make(new URL(service.fhirBaseUrl).origin, handle))
        )
    )
  )

/**
 * The sandbox on an `HttpServer`. Its FHIR base URL has the server's address: `http://127.0.0.1:PORT/fhir`.
 *
 * @example
 * ```ts
 * import { SandboxEhr } from "effect-safire/testing"
 * import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
 * import * as Layer from "effect/Layer"
 * import { createServer } from "node:http"
 *
 * const SandboxOnPort = SandboxEhr.layerServer({ accessTokenLifetime: "1 minute" }).pipe(
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerServer = (options: Options = {}): Layer.Layer<SandboxEhr, never, HttpServer.HttpServer> =>
  Layer.scoped(
    SandboxEhr,
    Effect.gen(function*() {
      const server = yield* HttpServer.HttpServer
      const fhirBaseUrl = options.fhirBaseUrl ?? `${OverPort.originOf(server.address)}/fhir`
      const { service } = yield* makeSandbox(fhirBaseUrl, options, { autoApprove: true })
      yield* server.serve(service.httpApp).pipe(
        // The server's spans would put codes and states into the traces of the program under test.
        HttpMiddleware.withTracerDisabledWhenEffect(() => true)
      )
      return service
    })
  )
