/**
 * A strict SMART App Launch 2.2 authorization server with a small synthetic FHIR R4 store, for tests and
 * demonstrations: in memory as an `HttpClient`, or on a port.
 *
 * It implements a server's side of the specification and rejects invalid requests; `fault` makes it misbehave. Do not
 * use it with real data: it records all requests with their secrets, and any user can approve any request.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpServer from "@effect/platform/HttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { BulkDataOptions } from "./internal/bulkState.js"
import type { Client } from "./internal/client.js"
import type { AuthorizationRequest, ConsentRequest } from "./internal/consent.js"
import type { PendingFault } from "./internal/faults.js"
import * as InMemory from "./internal/inMemory.js"
import type { LaunchContext } from "./internal/launchContext.js"
import * as OverPort from "./internal/overPort.js"
import type { RecordedRequest } from "./internal/requestLog.js"
import type { Decision, Endpoints, Options } from "./internal/sandbox.js"
import { defaultFhirBaseUrl, makeSandbox, type Service } from "./internal/service.js"
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
  BulkDataOptions,
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
  RecordedRequest,
  /**
   * @since 0.1.0
   * @category models
   */
  Service
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
      InMemory.sandbox(options),
      ({ client, service }) => Context.make(SandboxEhr, service).pipe(Context.add(HttpClient.HttpClient, client))
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
  Layer.scoped(SandboxEhr, Effect.map(OverPort.sandbox(options), ({ service }) => service))
