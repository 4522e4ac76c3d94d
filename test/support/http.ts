/**
 * HTTP for tests: an `HttpClient` with given responses and recorded requests, and real servers on loopback ports.
 */
import * as Http from "node:http"
import type * as Net from "node:net"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as AddressGuard from "../../src/http/AddressGuard.js"

/** A request of the client. */
export interface SentRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Milliseconds by the clock of the test. */
  readonly at: number
  readonly request: HttpClientRequest.HttpClientRequest
}

/** A connection that fails with a system error code, as Node's transports report it: in the cause of the cause. */
export class ConnectionFailure {
  constructor(readonly code: string, readonly syscall?: string) {}
}

export type FakeResponse = Response | ConnectionFailure | Effect.Effect<Response>

export interface Fake {
  readonly client: HttpClient.HttpClient
  readonly layer: Layer.Layer<HttpClient.HttpClient>
  readonly requests: ReadonlyArray<SentRequest>
  /** Seconds from the first request to each request. */
  readonly times: () => ReadonlyArray<number>
}

/** A client whose responses are from `respond`, which gets the number of earlier requests. */
export const fake = (respond: (request: SentRequest, index: number) => FakeResponse): Fake => {
  const requests: Array<SentRequest> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const one: SentRequest = {
        method: request.method,
        url: url.href,
        headers: { ...request.headers },
        body: request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "",
        at: yield* Clock.currentTimeMillis,
        request
      }
      requests.push(one)
      const outcome = respond(one, requests.length - 1)
      if (outcome instanceof ConnectionFailure) {
        const system = Object.assign(new Error(`connect ${outcome.code}`), {
          code: outcome.code,
          ...(outcome.syscall === undefined ? {} : { syscall: outcome.syscall })
        })
        return yield* new HttpClientError.RequestError({
          request,
          reason: "Transport",
          cause: new TypeError("fetch failed", { cause: system })
        })
      }
      return HttpClientResponse.fromWeb(request, outcome instanceof Response ? outcome : yield* outcome)
    })
  )
  return {
    client,
    layer: Layer.succeed(HttpClient.HttpClient, client),
    requests,
    times: () => requests.map(({ at }) => (at - (requests[0]?.at ?? 0)) / 1000)
  }
}

/** The same client, marked as guarded. */
export const guarded = (
  { client }: Fake,
  guard: AddressGuard.Service = { allows: () => true, trust: () => Effect.void }
): Layer.Layer<HttpClient.HttpClient | AddressGuard.AddressGuard> =>
  Layer.succeedContext(
    Context.make(HttpClient.HttpClient, AddressGuard.mark(client, guard)).pipe(
      Context.add(AddressGuard.AddressGuard, guard)
    )
  )

/** The responses in order, then the last one again. */
export const script = (...responses: ReadonlyArray<() => FakeResponse>): Fake =>
  fake((_, index) =>
    (responses[Math.min(index, responses.length - 1)] ?? (() => new ConnectionFailure("ECONNREFUSED")))()
  )

/** A JSON response. */
export const json = (
  value: unknown,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}
): Response =>
  new Response(JSON.stringify(value), {
    status: options.status ?? 200,
    headers: { "content-type": "application/json", ...options.headers }
  })

/** A response with any body; without a content type by default. */
export const text = (
  body: string,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {}
): Response =>
  new Response(new TextEncoder().encode(body), { status: options.status ?? 200, headers: options.headers ?? {} })

/** A response that never arrives. */
export const hang: Effect.Effect<Response> = Effect.never

export interface Server {
  readonly origin: string
  readonly requests: ReadonlyArray<{
    readonly method: string
    readonly url: string
    readonly headers: Http.IncomingHttpHeaders
    readonly body: string
  }>
  /** Connections that are open now. */
  readonly open: () => number
  /** Completes when a connection has been closed. */
  readonly closed: Effect.Effect<void>
  /** Completes when no connection is open any more. */
  readonly idle: Effect.Effect<void>
}

/** A real server on a loopback port. */
export const server = (
  handler: (request: Http.IncomingMessage, response: Http.ServerResponse, body: string) => void
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly http: Http.Server; readonly api: Server }>((resume) => {
        const requests: Array<Server["requests"][number]> = []
        const sockets = new Set<Net.Socket>()
        const waiting = new Set<() => void>()
        let closed = 0
        const until = (condition: () => boolean) =>
          Effect.async<void>((done) => {
            const check = () => {
              if (condition()) done(Effect.void)
            }
            waiting.add(check)
            check()
          })
        const http = Http.createServer((request, response) => {
          const chunks: Array<Buffer> = []
          request.on("data", (chunk: Buffer) => chunks.push(chunk))
          request.on("end", () => {
            const body = Buffer.concat(chunks).toString()
            requests.push({
              method: request.method ?? "",
              url: request.url ?? "",
              headers: request.headers,
              body
            })
            handler(request, response, body)
          })
        })
        http.on("connection", (socket) => {
          sockets.add(socket)
          socket.on("error", () => undefined)
          socket.on("close", () => {
            sockets.delete(socket)
            closed += 1
            for (const wake of waiting) wake()
          })
        })
        http.listen(0, "127.0.0.1", () => {
          const address = http.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          resume(Effect.succeed({
            http,
            api: {
              origin: `http://127.0.0.1:${port}`,
              requests,
              open: () => sockets.size,
              closed: until(() => closed > 0),
              idle: until(() => closed > 0 && sockets.size === 0)
            }
          }))
        })
      }),
      ({ http }) =>
        Effect.async<void>((resume) => {
          http.closeAllConnections()
          http.close(() => resume(Effect.void))
        })
    ),
    ({ api }) => api
  )
