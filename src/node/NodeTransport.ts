/**
 * An `HttpClient` for Node over undici: one pool of kept-alive connections, time and size limits applied at the
 * socket, and, with the address guard, a check of each address when a connection is made. It follows no redirect and
 * repeats no request: its callers decide about both.
 *
 * @since 0.1.0
 */
import type { TcpNetConnectOpts } from "node:net"
import type { ConnectionOptions } from "node:tls"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Undici from "undici"
import type { ConfigurationError } from "../base/ConfigurationError.js"
import { AddressGuard, mark } from "../http/AddressGuard.js"
import * as NodeAddressGuard from "./AddressGuard.js"
import * as BuiltinFetch from "./internal/builtinFetch.js"
import * as Client from "./internal/client.js"
import * as OptionalPeer from "./internal/optionalPeer.js"
import * as TransportError from "./TransportError.js"

/**
 * The settings of every request. A request or response beyond a limit fails with a `TransportError` as the cause, and
 * its connection is closed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** From the request being written to the end of the headers of its response. Default 30 seconds. */
  readonly headersTimeout?: Duration.DurationInput | undefined
  /** Between two pieces of the body. Default 30 seconds. */
  readonly bodyTimeout?: Duration.DurationInput | undefined
  /**
   * From the call to the end of the body, including the wait for a connection. No limit by default: the services of
   * this library apply `HttpLimits` to each call, and a bulk file may take long.
   */
  readonly totalTimeout?: Duration.DurationInput | undefined
  /**
   * Bytes of a body, as they are read, after decompression. Default 64 MiB; `HttpIncomingMessage.withMaxBodySize`
   * overrides it for the calls within it.
   */
  readonly maxResponseBytes?: number | undefined
  /** Ask for and undo gzip, deflate and br. Default true. */
  readonly decompress?: boolean | undefined
  /**
   * Spans and tracing headers, as `HttpClient` has them by default. Default false: FHIR URLs name patients, and third
   * parties read the headers.
   */
  readonly tracing?: boolean | undefined
}

/**
 * Limits of the pool of connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connections {
  /** DNS, TCP and TLS together. Default 10 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** Bytes of the headers of a response. Default 16 KiB. */
  readonly maxHeaderBytes?: number | undefined
  /** TLS of every connection: `ca`, and `cert` with `key` or `pfx` for mutual TLS. */
  readonly tls?:
    | Omit<ConnectionOptions, "host" | "port" | "path" | "socket" | "lookup" | "timeout" | "checkServerIdentity">
    | undefined
  /** TCP of every connection. */
  readonly tcp?:
    | Pick<TcpNetConnectOpts, "localAddress" | "family" | "autoSelectFamily" | "autoSelectFamilyAttemptTimeout">
    | undefined
  /** Other options of undici's `Agent`. Default 64 `connections` to an origin. */
  readonly agent?:
    | Omit<Undici.Agent.Options, "connect" | "connectTimeout" | "maxHeaderSize" | "factory" | "socketPath">
    | undefined
}

/**
 * Options of the transport.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Limits, Connections {
  /** A proxy for all requests: its URL, or options of undici's `ProxyAgent`. */
  readonly proxy?: string | URL | Undici.ProxyAgent.Options | undefined
}

/**
 * Options of the transport with an address guard.
 *
 * @since 0.1.0
 * @category models
 */
export interface GuardedOptions extends Limits, Connections, NodeAddressGuard.Options {}

/** undici applies no limit for 0. */
const millis = (duration: Duration.DurationInput | undefined, fallback: number): number => {
  const found = duration === undefined ? fallback : Duration.toMillis(duration)
  return Number.isFinite(found) ? found : 0
}

const settings = (limits: Limits): Client.Settings => ({
  headersTimeout: millis(limits.headersTimeout, 30_000),
  bodyTimeout: millis(limits.bodyTimeout, 30_000),
  totalTimeout: millis(limits.totalTimeout, 0),
  maxResponseBytes: limits.maxResponseBytes ?? 64 * 1024 * 1024,
  decompress: limits.decompress ?? true,
  tracing: limits.tracing ?? false
})

/** Loaded when a layer is built: the other modules of this entry point do not need undici. */
const undici = OptionalPeer.load({ install: "undici@7", neededBy: "NodeTransport" }, () => {
  BuiltinFetch.load()
  return import("undici")
})

const connectOptions = ({ agent, connectTimeout, tcp, tls }: Connections) => ({
  ...tcp,
  ...tls,
  timeout: millis(connectTimeout, 10_000),
  ...(agent?.allowH2 === undefined ? {} : { allowH2: agent.allowH2 }),
  ...(agent?.maxCachedSessions === undefined ? {} : { maxCachedSessions: agent.maxCachedSessions })
})

/**
 * In TLS 1.3 a server that rejects a client certificate sends its alert after the client has begun to write. Node
 * reports the alert and reads on, and undici then sees only the end of the connection. Ending the connection here
 * makes the request fail with the alert.
 */
const withHandshakeAlerts =
  (connect: Undici.buildConnector.connector): Undici.buildConnector.connector => (target, callback) =>
    connect(target, (...result) => {
      const [, socket] = result
      socket?.on("error", (error) => {
        if (TransportError.isHandshakeAlert(error)) socket.destroy(error)
      })
      callback(...result)
    })

const agentOptions = ({ agent, maxHeaderBytes }: Connections): Undici.Agent.Options => ({
  connections: 64,
  ...agent,
  ...(maxHeaderBytes === undefined ? {} : { maxHeaderSize: maxHeaderBytes })
})

/** Requests in progress are cancelled when the scope closes. */
const scopedDispatcher = <D extends Undici.Dispatcher>(make: () => D): Effect.Effect<D, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (dispatcher) => Effect.promise(() => dispatcher.destroy()))

const dispatcherOf = (options: Options): Effect.Effect<Undici.Dispatcher, never, Scope.Scope> =>
  Effect.flatMap(undici, ({ Agent, buildConnector, ProxyAgent }) => {
    const connect = connectOptions(options)
    const { proxy } = options
    if (proxy === undefined) {
      return scopedDispatcher(() =>
        new Agent({ ...agentOptions(options), connect: withHandshakeAlerts(buildConnector(connect)) })
      )
    }
    const proxyOptions = typeof proxy === "string" || proxy instanceof URL ? { uri: proxy.toString() } : proxy
    return scopedDispatcher(() => new ProxyAgent({ ...agentOptions(options), requestTls: connect, ...proxyOptions }))
  })

/**
 * Makes the client. Its connections close with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> =>
  Effect.map(dispatcherOf(options), (dispatcher) => Client.make(dispatcher, settings(options)))

/**
 * A fast `HttpClient` over undici. It follows no redirects and retries nothing.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient> =>
  Layer.scoped(HttpClient.HttpClient, make(options))

/**
 * Over your own dispatcher, with any interceptors. You own its connections, and close it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDispatcher = (
  dispatcher: Undici.Dispatcher,
  limits: Limits = {}
): Layer.Layer<HttpClient.HttpClient> => Layer.succeed(HttpClient.HttpClient, Client.make(dispatcher, settings(limits)))

/**
 * Connects only to public addresses and to those that `allow` lists, checked for each connection after the name is
 * resolved. It accepts no proxy and no dispatcher, which would resolve names themselves. Its `HttpClient` is marked as
 * guarded; a client derived from it is not: see `AddressGuard.mark`.
 *
 * @example
 * import { NodeTransport } from "effect-safire/node"
 *
 * export const TransportLive = NodeTransport.layerGuarded({ allow: ["10.20.0.0/16"], totalTimeout: "2 minutes" })
 *
 * @since 0.1.0
 * @category layers
 */
export const layerGuarded = (
  options: GuardedOptions = {}
): Layer.Layer<HttpClient.HttpClient | AddressGuard, ConfigurationError> =>
  Layer.scopedContext(Effect.gen(function*() {
    const guard = yield* NodeAddressGuard.make(options)
    const { Agent, buildConnector } = yield* undici
    const connect = connectOptions(options)
    const plain = options.lookup === undefined ? connect : { ...connect, lookup: options.lookup }
    const dispatcher = yield* scopedDispatcher(() =>
      new Agent({
        ...agentOptions(options),
        connect: withHandshakeAlerts(
          guard.connector(buildConnector({ ...connect, lookup: guard.lookup }), buildConnector(plain))
        )
      })
    )
    const { allows, trust } = guard
    const service = { allows, trust }
    return Context.make(HttpClient.HttpClient, mark(Client.make(dispatcher, settings(options)), service)).pipe(
      Context.add(AddressGuard, service)
    )
  }))
