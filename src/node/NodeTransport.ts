/**
 * An `HttpClient` for Node over undici: one pool of kept-alive connections, limits in time and size that hold at the socket, and where it is asked
 * for, addresses that are judged when the connection is made. It follows no redirect and repeats nothing: both are for those above it to decide.
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
import * as TransportError from "./TransportError.js"

/**
 * What holds for every request, whatever dispatcher sends it. What goes over a limit fails with a `TransportError` as the cause, and its connection is
 * closed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /** From the request being written to the end of the headers of its answer. Default 30 seconds. */
  readonly headersTimeout?: Duration.DurationInput | undefined
  /** Between two pieces of the body. Default 30 seconds. */
  readonly bodyTimeout?: Duration.DurationInput | undefined
  /**
   * From the call to the end of the body, the wait for a connection included. Default none: the services of this library limit each call as
   * `HttpLimits` says, and a bulk file takes as long as it takes.
   */
  readonly totalTimeout?: Duration.DurationInput | undefined
  /**
   * Bytes of a body, as they are read, after decompression. Default 64 MiB; `HttpIncomingMessage.withMaxBodySize` says otherwise for the calls
   * within it.
   */
  readonly maxResponseBytes?: number | undefined
  /** Ask for and undo gzip, deflate and br. Default true. */
  readonly decompress?: boolean | undefined
  /** Spans and tracing headers, as `HttpClient` has them by default. Default false: FHIR URLs name patients, and third parties read the headers. */
  readonly tracing?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Connections {
  /** Name, TCP and TLS together. Default 10 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** Bytes of the headers of an answer. Default 16 KiB. */
  readonly maxHeaderBytes?: number | undefined
  /** TLS of every connection: `ca`, and `cert` with `key` or `pfx` for mutual TLS. */
  readonly tls?:
    | Omit<ConnectionOptions, "host" | "port" | "path" | "socket" | "lookup" | "timeout" | "checkServerIdentity">
    | undefined
  /** TCP of every connection. */
  readonly tcp?:
    | Pick<TcpNetConnectOpts, "localAddress" | "family" | "autoSelectFamily" | "autoSelectFamilyAttemptTimeout">
    | undefined
  /** The rest of what undici's `Agent` can be told; 64 `connections` to an origin unless told otherwise. */
  readonly agent?:
    | Omit<Undici.Agent.Options, "connect" | "connectTimeout" | "maxHeaderSize" | "factory" | "socketPath">
    | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Limits, Connections {
  /** Everything goes through this proxy: its URL, or all that undici's `ProxyAgent` can be told. */
  readonly proxy?: string | URL | Undici.ProxyAgent.Options | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface GuardedOptions extends Limits, Connections, NodeAddressGuard.Options {}

/** For undici, 0 is no limit. */
const millis = (given: Duration.DurationInput | undefined, fallback: number): number => {
  const asked = given === undefined ? fallback : Duration.toMillis(given)
  return Number.isFinite(asked) ? asked : 0
}

const settings = (limits: Limits): Client.Settings => ({
  headersTimeout: millis(limits.headersTimeout, 30_000),
  bodyTimeout: millis(limits.bodyTimeout, 30_000),
  totalTimeout: millis(limits.totalTimeout, 0),
  maxResponseBytes: limits.maxResponseBytes ?? 64 * 1024 * 1024,
  decompress: limits.decompress ?? true,
  tracing: limits.tracing ?? false
})

/** Loaded when a layer is built, so that what else this room has needs no undici. */
const undici = Effect.promise(() => {
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
 * In TLS 1.3 a server that refuses a client's certificate says so after the client has begun to write. Node reports it and reads on; undici then hears of
 * nothing but the end. Ended here, what the server said is what the request fails with.
 */
const alerting = (connect: Undici.buildConnector.connector): Undici.buildConnector.connector => (target, callback) =>
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

/** What is under way when the scope closes is given up. */
const owned = <D extends Undici.Dispatcher>(make: () => D): Effect.Effect<D, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (dispatcher) => Effect.promise(() => dispatcher.destroy()))

const dispatcherOf = (options: Options): Effect.Effect<Undici.Dispatcher, never, Scope.Scope> =>
  Effect.flatMap(undici, ({ Agent, buildConnector, ProxyAgent }) => {
    const connect = connectOptions(options)
    const { proxy } = options
    if (proxy === undefined) {
      return owned(() => new Agent({ ...agentOptions(options), connect: alerting(buildConnector(connect)) }))
    }
    const given = typeof proxy === "string" || proxy instanceof URL ? { uri: proxy.toString() } : proxy
    return owned(() => new ProxyAgent({ ...agentOptions(options), requestTls: connect, ...given }))
  })

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<HttpClient.HttpClient, never, Scope.Scope> =>
  Effect.map(dispatcherOf(options), (dispatcher) => Client.make(dispatcher, settings(options)))

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient> =>
  Layer.scoped(HttpClient.HttpClient, make(options))

/**
 * Over a dispatcher of one's own, composed with whatever interceptors. Its connections, and when it is closed, are its owner's.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDispatcher = (
  dispatcher: Undici.Dispatcher,
  limits: Limits = {}
): Layer.Layer<HttpClient.HttpClient> => Layer.succeed(HttpClient.HttpClient, Client.make(dispatcher, settings(limits)))

/**
 * Connects to public addresses only, judged after the name is resolved, for each connection, and to what `allow` lists. It takes no proxy and no
 * dispatcher: those would resolve names by themselves. Its `HttpClient` is marked as guarded, a client derived from it is not: see
 * `AddressGuard.mark`.
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
    const dispatcher = yield* owned(() =>
      new Agent({
        ...agentOptions(options),
        connect: alerting(
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
