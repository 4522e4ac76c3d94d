/**
 * A strict SMART App Launch 2.2 authorization server with a small synthetic FHIR R4 store, for tests and demonstrations: in memory as the
 * `HttpClient` a program is given, or on a port.
 *
 * It does what the specification asks of a server and refuses what a client must not do; `fault` makes it go wrong. It is no place for real
 * data: it records what it receives, secrets included, and anybody may approve anything.
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
import type { ConsentRequest } from "./internal/consent.js"
import * as Consent from "./internal/consent.js"
import type { Fault, Step } from "./internal/fault.js"
import type { WaitingFault } from "./internal/faults.js"
import * as Faults from "./internal/faults.js"
import * as IdToken from "./internal/idToken.js"
import * as InMemory from "./internal/inMemory.js"
import type { RecordedRequest } from "./internal/journal.js"
import * as Journal from "./internal/journal.js"
import type { LaunchContext } from "./internal/launchContext.js"
import { SandboxError } from "./internal/oAuthError.js"
import * as OverPort from "./internal/overPort.js"
import type { AuthorizationRequest } from "./internal/person.js"
import * as Person from "./internal/person.js"
import * as Routes from "./internal/routes.js"
import type { Access } from "./internal/state.js"
import type { Decision, Endpoints, Options } from "./internal/world.js"
import * as World from "./internal/world.js"

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
 * Ways to go wrong.
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
  RecordedRequest,
  /**
   * @since 0.1.0
   * @category models
   */
  WaitingFault
}

/**
 * What a test does with the sandbox beside sending it requests.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The FHIR base URL: what discovery starts from and what `aud` must be. */
  readonly fhirBaseUrl: string
  /** The issuer of the id_tokens; not the FHIR base. */
  readonly issuer: string
  readonly endpoints: Endpoints
  /**
   * Acts as the person at the consent page who says yes: the result is where the browser is sent. A request that the server must refuse succeeds
   * too, with the redirect that carries the `error`, unless the app or its redirect URI is not known: then there is nowhere to redirect to.
   * No HTTP is involved and nothing is recorded, but faults of the step `authorize` apply.
   */
  readonly approve: (request: AuthorizationRequest, decision?: Decision) => Effect.Effect<URL, SandboxError>
  /** Acts as the person who says no. */
  readonly deny: (request: AuthorizationRequest, error?: string) => Effect.Effect<URL, SandboxError>
  /** Mints an EHR launch: the parameters a launch URL is called with. */
  readonly launch: (
    context?: LaunchContext
  ) => Effect.Effect<{ readonly iss: string; readonly launch: string }, SandboxError>
  /** The registered clients, their secrets among them. */
  readonly clients: Effect.Effect<ReadonlyArray<Client>>
  /** Registers a client while the sandbox runs, or replaces the one that has this id. */
  readonly register: (client: Client) => Effect.Effect<void>
  /** Takes a client away with all that was granted to it; false if none has this id. */
  readonly unregister: (clientId: string) => Effect.Effect<boolean>
  /** With the option `consentPage`: what the person is to be asked under a ticket. */
  readonly consent: (ticket: string) => Effect.Effect<ConsentRequest, SandboxError>
  /**
   * With the option `consentPage`: the person's answer; the result is where the browser is sent. Only the first answer counts, another one leads
   * where that did: two clicks on a button are one.
   */
  readonly decide: (ticket: string, decision: Decision | "deny") => Effect.Effect<URL, SandboxError>
  /** Which app may do what and for whom, without any token. */
  readonly access: Effect.Effect<ReadonlyArray<Access>>
  /** Ends an access with all that was issued for it; false if there is none with this id. */
  readonly revokeAccess: (id: string) => Effect.Effect<boolean>
  /** Every HTTP request received so far, secrets in clear. */
  readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
  readonly clearRequests: Effect.Effect<void>
  /** Makes the next `times` (default 1) requests of a step go wrong, after those that other faults wait for. */
  readonly fault: (step: Step, fault: Fault, times?: number) => Effect.Effect<void>
  readonly clearFaults: Effect.Effect<void>
  /** The faults that wait for their request, by step, the next one first. */
  readonly waitingFaults: Effect.Effect<ReadonlyArray<WaitingFault>>
  /** Takes a fault away that waits; false if none has this id, or no longer. */
  readonly removeFault: (id: string) => Effect.Effect<boolean>
  /** Ends a token as if the server had thought of it: an access token alone, a refresh token or a code with all that came of the same approval. */
  readonly revoke: (token: string) => Effect.Effect<void, SandboxError>
  /** Every code and token ever issued. */
  readonly issued: Effect.Effect<ReadonlyArray<string>>
  /** All that the sandbox answers, to be mounted in a server of one's own (at `fhirBaseUrl`'s origin). */
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

interface Sandbox {
  readonly service: Service
  readonly handle: ReturnType<typeof Routes.make>
}

const fromWorld = (world: World.World): Sandbox => {
  const faults = Faults.make()
  const journal = Journal.make()
  const handle = Routes.make({ world, faults, journal })
  const person = Person.make(world, faults)
  const consent = Consent.make(world, faults)

  const service: Service = {
    fhirBaseUrl: world.fhirBaseUrl,
    issuer: world.issuer,
    endpoints: world.endpoints,
    approve: person.approve,
    deny: person.deny,
    launch: person.launch,
    clients: Effect.sync(() => Array.from(world.clients.values())),
    register: (client) => Effect.sync(() => void world.clients.set(client.clientId, client)),
    unregister: (clientId) =>
      Effect.gen(function*() {
        const own = (yield* world.state.access).filter((access) => access.clientId === clientId)
        yield* Effect.forEach(own, ({ id }) => world.state.revokeAccess(id), { discard: true })
        return world.clients.delete(clientId)
      }),
    consent: consent.request,
    decide: consent.decide,
    access: world.state.access,
    revokeAccess: world.state.revokeAccess,
    requests: journal.entries,
    clearRequests: journal.clear,
    fault: (step, fault, times = 1) => faults.add(step, fault, times),
    clearFaults: faults.clear,
    waitingFaults: faults.waiting,
    removeFault: faults.remove,
    revoke: (token) =>
      Effect.flatMap(world.state.revoke(token), (found) =>
        found
          ? Effect.void
          : new SandboxError({ reason: "UnknownToken", description: "the sandbox never issued this token" })),
    issued: world.state.issued,
    httpApp: OverPort.make(handle)
  }
  return { service, handle }
}

const makeSandbox = (
  fhirBaseUrl: string,
  options: Options,
  defaults: { readonly autoApprove: boolean }
): Effect.Effect<Sandbox> =>
  Effect.map(IdToken.make, (idTokens) => fromWorld(World.make(fhirBaseUrl, options, defaults, idTokens)))

const defaultFhirBaseUrl = "https://ehr.sandbox.test/fhir"

/**
 * A sandbox that nothing leads to yet: mount its `httpApp`.
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
 * The sandbox, and an `HttpClient` that is the sandbox: no port is opened, and every other origin is one that cannot be resolved. Runs in the
 * caller's fiber, so that `TestClock` decides about lifetimes and delays. Every call makes another sandbox: bind it to a const to share one.
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
 * The sandbox on the `HttpServer` that is provided. Its FHIR base follows from the server's address: `http://127.0.0.1:PORT/fhir`.
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
        // Spans of the server's own would carry codes and states in their URLs, into the traces of the program under test.
        HttpMiddleware.withTracerDisabledWhenEffect(() => true)
      )
      return service
    })
  )
