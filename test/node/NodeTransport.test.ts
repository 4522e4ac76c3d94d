import { execFileSync } from "node:child_process"
import * as Diagnostics from "node:diagnostics_channel"
import * as Http2 from "node:http2"
import { inspect } from "node:util"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as Zlib from "node:zlib"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { Agent, type Dispatcher, interceptors } from "undici"
import * as OutgoingRequest from "../../src/http/OutgoingRequest.js"
// The buffer of one response, without sockets: their chunks have another size each time.
import { Exchange } from "../../src/node/internal/undiciExchange.js"
import * as NodeTransport from "../../src/node/NodeTransport.js"
import { TransportError } from "../../src/node/TransportError.js"
import * as Certificates from "../support/certificates.js"
import * as Http from "../support/http.js"
import { heldBytes } from "../support/memory.js"
import { tlsServer } from "../support/tlsServer.js"
import { raw } from "../support/transportContract.js"

const rules: OutgoingRequest.Rules = {
  timeout: "5 seconds",
  maxBytes: 50_000,
  redirects: 3,
  allowInsecureLocalhost: true
}

const using = <A, E>(
  options: NodeTransport.Options,
  use: (client: HttpClient.HttpClient) => Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E, Scope.Scope> => Effect.flatMap(NodeTransport.make(options), use)

const textOf = (client: HttpClient.HttpClient, url: string) => Effect.flatMap(client.get(url), (r) => r.text)

const causeOf = (error: { readonly cause?: unknown }): TransportError => {
  assert.instanceOf(error.cause, TransportError)
  return error.cause
}

// As telemetry of a program does: the transport's own subscriber must not depend on being the only one.
Diagnostics.subscribe("undici:client:sendHeaders", () => undefined)

describe("NodeTransport", () => {
  describe("a limit for each part of a stream", () => {
    /** Parts in intervals of 60 ms; the last one is not the end. */
    const slow = Http.server((_, response) => {
      let sent = 0
      const timer = setInterval(() => {
        sent += 1
        response.write("part")
        if (sent === 5) clearInterval(timer)
      }, 60)
    })
    const opened = (client: HttpClient.HttpClient, url: string, stallMillis: number) =>
      Effect.map(client.get(url), (response) => {
        assert.isTrue(OutgoingRequest.isFastResponse(response))
        return OutgoingRequest.isFastResponse(response) ? response.streamWithin(stallMillis) : Stream.empty
      })

    it.scopedLive("a stream of parts may take longer; one that stops fails, and its connection is closed", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* slow
          let text = ""
          const error = yield* Effect.flip(
            Stream.runForEach(yield* opened(client, server.origin, 250), (part) =>
              Effect.sync(() => {
                text += Buffer.from(part).toString()
              }))
          )
          assert.strictEqual(text, "part".repeat(5))
          assert.deepInclude(causeOf(error), { reason: "BodyTimeout", code: "UND_ERR_BODY_TIMEOUT" })
          yield* server.closed
        })))

    it.scopedLive("the time in which the program reads no part does not count", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.write("first")
            setTimeout(() => response.end("last"), 50)
          })
          const parts = yield* Stream.runCollect(Stream.mapEffect(
            yield* opened(client, server.origin, 200),
            (part) => Effect.delay(Effect.succeed(Buffer.from(part).toString()), "500 millis")
          ))
          assert.deepStrictEqual([...parts], ["first", "last"])
        })))
  })

  describe("limits in size", () => {
    const bomb = (size: number) => {
      const packed = Zlib.gzipSync(Buffer.alloc(size))
      return Http.server((_, response) => {
        response.writeHead(200, { "content-encoding": "gzip" })
        response.end(packed)
      })
    }

    it.scopedLive("stops a decompression bomb at the limit", () =>
      using({ maxResponseBytes: 1_000_000 }, (client) =>
        Effect.gen(function*() {
          const server = yield* bomb(400_000_000)
          const before = process.memoryUsage().rss
          const error = yield* Effect.flip(textOf(client, server.origin))
          assert.strictEqual(causeOf(error).reason, "BodyTooLarge")
          assert.isBelow(process.memoryUsage().rss - before, 100_000_000)
        })))

    it.scopedLive("a stream returns the bytes up to the limit, then fails", () =>
      using({ maxResponseBytes: 1_000_000 }, (client) =>
        Effect.gen(function*() {
          const server = yield* bomb(50_000_000)
          const response = yield* client.get(server.origin)
          let seen = 0
          const error = yield* Effect.flip(
            Stream.runForEach(response.stream, (chunk) => Effect.sync(() => seen += chunk.byteLength))
          )
          assert.strictEqual(causeOf(error).reason, "BodyTooLarge")
          assert.isAtMost(seen, 1_000_000)
        })))

    it.scopedLive("refuses a declared length above the limit without reading the body", () =>
      using({ maxResponseBytes: 1000 }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.writeHead(200, { "content-length": "1001" })
            response.flushHeaders()
          })
          const response = yield* client.get(server.origin)
          assert.strictEqual(causeOf(yield* Effect.flip(response.text)).reason, "BodyTooLarge")
          yield* server.closed
        })))

    it.scopedLive("a call may have a limit of its own", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => response.end("x".repeat(2000)))
          const limited = HttpIncomingMessage.withMaxBodySize(textOf(client, server.origin), Option.some(1999))
          assert.strictEqual(causeOf(yield* Effect.flip(limited)).reason, "BodyTooLarge")
          const roomy = HttpIncomingMessage.withMaxBodySize(textOf(client, server.origin), Option.some(2000))
          assert.strictEqual((yield* roomy).length, 2000)
        })))

    it.scopedLive("limits the size of headers", () =>
      using({ maxHeaderBytes: 1000 }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.setHeader("x-large", "y".repeat(2000))
            response.end()
          })
          assert.strictEqual(causeOf(yield* Effect.flip(client.get(server.origin))).reason, "HeadersTooLarge")
        })))

    it.scopedLive("fails for a truncated or damaged content coding, and does not decode a body with several codings", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const packed = Zlib.gzipSync("x".repeat(100_000))
          const twice = Zlib.gzipSync(packed)
          const server = yield* Http.server((request, response) => {
            const [coding, body] = request.url === "/cut"
              ? ["gzip", packed.subarray(0, packed.length - 20)]
              : request.url === "/damaged"
              ? ["gzip", Buffer.from("<html>SECRET")]
              : request.url === "/empty"
              ? ["gzip", Buffer.alloc(0)]
              : ["gzip, gzip", twice]
            response.writeHead(200, { "content-encoding": String(coding) })
            response.end(body)
          })
          for (const path of ["/cut", "/damaged"]) {
            const error = yield* Effect.flip(textOf(client, server.origin + path))
            assert.strictEqual(causeOf(error).reason, "Malformed", path)
            assert.notInclude(inspect(error, { depth: 9 }), "SECRET")
          }
          assert.strictEqual(yield* textOf(client, `${server.origin}/empty`), "")
          const chained = yield* client.get(server.origin)
          assert.strictEqual(chained.headers["content-encoding"], "gzip, gzip")
          assert.isTrue(Buffer.from(yield* chained.arrayBuffer).equals(twice))
        })))
  })

  describe("limits in time", () => {
    it.scopedLive("connect: a handshake that never ends is an error with processed `no`", () =>
      using({ connectTimeout: "500 millis" }, (client) =>
        Effect.gen(function*() {
          const server = yield* raw(() => undefined)
          const error = yield* Effect.flip(client.get(`https://127.0.0.1:${server.port}/`))
          assert.strictEqual(causeOf(error).reason, "ConnectTimeout")
          assert.strictEqual(causeOf(error).processed, "no")
        })))

    it.scopedLive("connect: a name service that does not respond is an error with processed `no`", () =>
      Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const error = yield* Effect.flip(client.get("https://slow.example/"))
        assert.strictEqual(causeOf(error).reason, "ConnectTimeout")
        assert.strictEqual(causeOf(error).processed, "no")
      }).pipe(Effect.provide(NodeTransport.layerGuarded({ connectTimeout: "500 millis", lookup: () => undefined }))))

    it.scopedLive("total: a body that arrives byte by byte is an error after the time limit", () =>
      using({ totalTimeout: "300 millis" }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            const timer = setInterval(() => response.write("."), 20)
            response.on("close", () => clearInterval(timer))
          })
          const error = yield* Effect.flip(textOf(client, server.origin))
          assert.strictEqual(causeOf(error).reason, "TotalTimeout")
          assert.strictEqual(causeOf(error).processed, "unknown")
          yield* server.closed
        })))

    it.scopedLive("total: a request that waits for a connection is an error with processed `no`", () =>
      using({ agent: { connections: 1 } }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server(() => undefined)
          const sent = (timeout: "200 millis" | "1 second") =>
            Effect.flip(OutgoingRequest.send(client, HttpClientRequest.get(server.origin), { ...rules, timeout }))
          const first = yield* Effect.fork(sent("1 second"))
          yield* Effect.sleep("50 millis")
          const second = yield* sent("200 millis")
          assert.strictEqual(second.reason, "TimedOut")
          assert.strictEqual(second.processed, "no")
          assert.strictEqual((yield* Fiber.join(first)).processed, "unknown")
          assert.strictEqual(server.requests.length, 1)
        })))

    it.scopedLive("an HttpLimits of one call applies to the socket", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => void response.write("begun"))
          const failure = yield* Effect.flip(
            OutgoingRequest.send(client, HttpClientRequest.get(server.origin), { ...rules, timeout: "200 millis" })
          )
          assert.strictEqual(failure.reason, "TimedOut")
          yield* server.closed
        })))
  })

  describe("TLS", () => {
    it.scopedLive("trusts the configured authority, and sends no request over a wrong certificate", () =>
      Effect.gen(function*() {
        const authority = yield* Certificates.authority
        const right = yield* tlsServer(authority.issue("127.0.0.1"))
        const wrong = yield* tlsServer(authority.issue("other.example"))
        const client = yield* NodeTransport.make({ tls: { ca: authority.ca } })
        assert.strictEqual(yield* textOf(client, `https://127.0.0.1:${right.port}/`), "secure")
        const error = causeOf(yield* Effect.flip(client.get(`https://127.0.0.1:${wrong.port}/`)))
        assert.strictEqual(error.reason, "CertificateRefused")
        assert.strictEqual(error.processed, "no")
        const stranger = yield* NodeTransport.make()
        const untrusted = causeOf(yield* Effect.flip(stranger.get(`https://127.0.0.1:${right.port}/`)))
        assert.strictEqual(untrusted.reason, "CertificateRefused")
        assert.strictEqual(untrusted.processed, "no")
        assert.strictEqual(wrong.served(), 0)
        assert.strictEqual(right.served(), 1)
      }))

    it.scopedLive("[SMART-318] sends nothing to a server that speaks TLS 1.1 at most", () =>
      Effect.gen(function*() {
        const authority = yield* Certificates.authority
        // The security level lets the server itself speak TLS 1.1.
        const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" } as const
        const server = yield* tlsServer({ ...authority.issue("127.0.0.1"), ...old })
        const client = yield* NodeTransport.make({ tls: { ca: authority.ca } })
        const error = causeOf(yield* Effect.flip(client.get(`https://127.0.0.1:${server.port}/`)))
        assert.deepStrictEqual([error.reason, error.processed], ["HandshakeFailed", "no"])
        assert.include(error.code, "PROTOCOL_VERSION")
        assert.strictEqual(server.served(), 0)
      }))

    it.scopedLive("mutual TLS: accepts a client with a certificate; a request without one has processed `no`", () =>
      Effect.gen(function*() {
        const authority = yield* Certificates.authority
        const client = authority.issue("client.example")
        for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
          const server = yield* tlsServer({
            ...authority.issue("127.0.0.1"),
            ca: authority.ca,
            requestCert: true,
            rejectUnauthorized: true,
            maxVersion
          })
          const url = `https://127.0.0.1:${server.port}/`
          const known = yield* NodeTransport.make({ tls: { ca: authority.ca, ...client } })
          assert.strictEqual(yield* textOf(known, url), "secure")
          const unknown = yield* NodeTransport.make({ tls: { ca: authority.ca } })
          const failure = yield* Effect.flip(OutgoingRequest.send(unknown, HttpClientRequest.post(url), rules))
          assert.strictEqual(failure.reason, "Unreachable", maxVersion)
          assert.strictEqual(failure.processed, "no", `${maxVersion} ${failure.detail}`)
          assert.strictEqual(server.served(), 1)
        }
      }))

    it.scopedLive("a server without TLS is an error with processed `no`", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* raw((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
          const error = causeOf(yield* Effect.flip(client.get(`https://127.0.0.1:${server.port}/`)))
          assert.strictEqual(error.processed, "no")
        })))
  })

  describe("dispatchers", () => {
    it.scopedLive("uses a dispatcher of the app with its interceptors", () =>
      Effect.gen(function*() {
        const server = yield* Http.server((request, response) => response.end(request.url))
        const agent = yield* Effect.acquireRelease(
          Effect.sync(() => new Agent({ connections: 1 })),
          (one) => Effect.promise(() => one.destroy())
        )
        const layer = NodeTransport.layerDispatcher(agent.compose(interceptors.redirect({ maxRedirections: 1 })))
        const text = yield* Effect.flatMap(HttpClient.HttpClient, (client) => textOf(client, `${server.origin}/a`))
          .pipe(
            Effect.provide(layer)
          )
        assert.strictEqual(text, "/a")
        assert.isFalse(agent.destroyed)
      }))

    it.scopedLive("connects through a proxy", () =>
      Effect.gen(function*() {
        const tunnels: Array<string> = []
        const target = yield* Http.server((_, response) => response.end("behind"))
        const proxy = yield* raw((socket) => {
          socket.once("data", (head) => {
            tunnels.push(head.toString().split("\r\n")[0] ?? "")
            socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
            socket.once("data", () =>
              socket.end("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nbehind"))
          })
        })
        const client = yield* NodeTransport.make({ proxy: proxy.origin })
        assert.strictEqual(yield* textOf(client, target.origin), "behind")
        assert.deepStrictEqual(tunnels, [`CONNECT ${target.origin.slice("http://".length)} HTTP/1.1`])
        assert.strictEqual(target.requests.length, 0)
      }))

    it.live("closes its connections with its scope", () =>
      Effect.gen(function*() {
        const server = yield* Http.server((_, response) => response.end("x"))
        yield* Effect.scoped(using({}, (client) => textOf(client, server.origin)))
        yield* server.idle
        assert.strictEqual(server.open(), 0)
      }).pipe(Effect.scoped))

    it.scopedLive("rejects URLs that are neither https nor http", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(client.get("ftp://127.0.0.1/"))
          assert.propertyVal(error, "reason", "InvalidUrl")
          const invalid = yield* Effect.flip(
            client.execute(HttpClientRequest.get("http://127.0.0.1:1/").pipe(HttpClientRequest.setHeader("x", "a\nb")))
          )
          assert.strictEqual(causeOf(invalid).reason, "InvalidRequest")
          assert.strictEqual(causeOf(invalid).processed, "no")
        })))
  })

  describe("bodies", () => {
    it.scopedLive.each([["of its length", 70_000], ["without its last bytes", 80_000]] as const)(
      "a connection that ends while its response %s is paused does not end the process",
      ([, length]) =>
        using({}, (client) =>
          Effect.gen(function*() {
            const sent = new Uint8Array(70_000)
            const server = yield* raw((socket) =>
              socket.once("data", () => {
                socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n`)
                socket.end(sent)
              })
            )
            const response = yield* client.get(server.origin)
            yield* Effect.sleep("200 millis")
            const read = yield* Effect.either(
              Stream.runFold(response.stream, 0, (size, chunk) => size + chunk.byteLength)
            )
            assert.deepStrictEqual(
              Either.match(read, { onLeft: ({ reason }) => reason, onRight: (size) => size }),
              length === sent.byteLength ? length : "Decode"
            )
          }))
    )

    // The defect of undici's that `connectionEnd` avoids is in its parser of HTTP/1.
    it.scopedLive("over HTTP/2, a connection that ends while its response is paused does not end the process", () =>
      Effect.gen(function*() {
        const authority = yield* Certificates.authority
        let version = ""
        const server = Http2.createSecureServer(authority.issue("127.0.0.1"), (request, response) => {
          version = request.httpVersion
          response.stream.on("error", () => undefined)
          response.writeHead(200, { "content-length": "3000000" })
          response.write(new Uint8Array(3_000_000))
          server.once("end-connection", () => response.stream.session?.destroy())
        })
        yield* Effect.acquireRelease(
          Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
          () => Effect.sync(() => server.close())
        )
        const client = yield* NodeTransport.make({ tls: { ca: authority.ca }, agent: { allowH2: true } })
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        const response = yield* client.get(`https://127.0.0.1:${port}/`)
        yield* Effect.sleep("200 millis")
        server.emit("end-connection")
        yield* Effect.sleep("200 millis")
        const read = yield* Effect.flip(Stream.runDrain(response.stream))
        assert.strictEqual(version, "2.0")
        assert.strictEqual(causeOf(read).processed, "unknown")
      }))

    it.scopedLive("the connection of an unread short response is reused", () =>
      using({ agent: { connections: 1 } }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => response.end("short"))
          for (let i = 0; i < 3; i++) assert.strictEqual((yield* client.get(server.origin)).status, 200)
          assert.strictEqual(server.requests.length, 3)
        })))

    const controllerOf = (onEvent: (event: "pause" | "resume") => void): Dispatcher.DispatchController => ({
      aborted: false,
      paused: false,
      reason: null,
      abort: () => undefined,
      pause: () => onEvent("pause"),
      resume: () => onEvent("resume")
    })

    const oneByOne = (exchange: Exchange, count: number) => {
      const controller = controllerOf(() => undefined)
      exchange.onRequestStart(controller)
      exchange.onResponseStart(controller, 200, {})
      for (let index = 0; index < count; index++) exchange.onResponseData(controller, Buffer.from([120]))
      exchange.onResponseEnd()
    }

    it("buffers 2 MB in chunks of one byte without an object for each chunk", () => {
      const exchange = new Exchange(false, Infinity, undefined)
      exchange.readAll()
      const before = heldBytes()
      oneByOne(exchange, 2_000_000)
      assert.isBelow(heldBytes() - before, 20_000_000)
      assert.strictEqual(exchange.readBuffered().toString(), "x".repeat(2_000_000))
      assert.strictEqual(exchange.readBuffered().byteLength, 2_000_000)
    })

    it("a stream receives all unread bytes at once", () => {
      const exchange = new Exchange(false, Infinity, undefined)
      exchange.isStreamed = true
      oneByOne(exchange, 10_000)
      assert.strictEqual(Buffer.concat(exchange.readParts()).toString(), "x".repeat(10_000))
      assert.strictEqual(exchange.readParts().length, 0)
    })

    it("a stream that is not read pauses its connection after 64 parts, however small, and resumes it when read", () => {
      const events: Array<string> = []
      const exchange = new Exchange(false, Infinity, undefined)
      exchange.isStreamed = true
      const controller = controllerOf((event) => void events.push(event))
      exchange.onRequestStart(controller)
      exchange.onResponseStart(controller, 200, {})
      const receive = (count: number) => {
        for (let index = 0; index < count; index++) exchange.onResponseData(controller, Buffer.from([120]))
      }
      receive(63)
      assert.deepStrictEqual(events, [])
      receive(1)
      assert.deepStrictEqual(events, ["pause"])
      assert.strictEqual(exchange.readParts().length, 64)
      assert.deepStrictEqual(events, ["pause", "resume"])
      receive(1)
      assert.deepStrictEqual(events, ["pause", "resume"])
    })

    it.scopedLive("the connection of an unread response is closed when the response is garbage-collected", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          V8.setFlagsFromString("--expose-gc")
          const gc: unknown = Vm.runInNewContext("gc")
          const server = yield* Http.server((_, response) => void response.write(Buffer.alloc(300_000)))
          yield* client.get(server.origin)
          yield* Effect.sync(() => typeof gc === "function" ? gc() : undefined).pipe(
            Effect.zipRight(Effect.sleep("20 millis")),
            Effect.repeat({ until: () => server.open() === 0 }),
            Effect.timeout("10 seconds")
          )
          assert.strictEqual(server.open(), 0)
        })))

    it.scopedLive("two readers share one body; an interrupted reader does not affect the other", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.write("one,")
            setTimeout(() => response.end("two"), 150)
          })
          const response = yield* client.get(server.origin)
          const leaves = yield* Effect.fork(response.text)
          const stays = yield* Effect.fork(response.text)
          yield* Effect.sleep("30 millis")
          yield* Fiber.interrupt(leaves)
          assert.strictEqual(yield* Fiber.join(stays), "one,two")
          const again = yield* Stream.runCollect(Stream.decodeText(response.stream))
          assert.deepStrictEqual([...again], ["one,two"])
        })))

    it.scopedLive("a body that was streamed cannot be read again", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => response.end("once"))
          const response = yield* client.get(server.origin)
          yield* Stream.runDrain(response.stream)
          assert.strictEqual(causeOf(yield* Effect.flip(response.text)).reason, "BodyUsed")
          assert.strictEqual(causeOf(yield* Effect.flip(Stream.runDrain(response.stream))).reason, "BodyUsed")
        })))

    it.scopedLive("a large body that is read late arrives whole", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const content = "0123456789".repeat(300_000)
          const packed = Zlib.gzipSync(content)
          const server = yield* Http.server((request, response) => {
            if (request.url === "/plain") return void response.end(content)
            response.writeHead(200, { "content-encoding": "gzip" })
            response.end(packed)
          })
          for (const path of ["/plain", "/packed"]) {
            const response = yield* client.get(server.origin + path)
            yield* Effect.sleep("100 millis")
            assert.strictEqual(yield* response.text, content)
            const streamed = yield* client.get(server.origin + path)
            yield* Effect.sleep("50 millis")
            assert.strictEqual(yield* Stream.mkString(Stream.decodeText(streamed.stream)), content)
          }
        })))

    it.scopedLive("a logged request or response contains no body, token or query", () =>
      using({}, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.writeHead(200, { "content-type": "application/json", "set-cookie": "SECRET=SECRET" })
            response.end("{\"access_token\":\"SECRET\"}")
          })
          const response = yield* client.execute(
            HttpClientRequest.bearerToken(HttpClientRequest.get(server.origin), Redacted.make("SECRET"))
          )
          yield* response.json
          assert.notProperty(response.toJSON(), "body")
          assert.notInclude(
            JSON.stringify(new TransportError({ reason: "Closed", code: "X", processed: "unknown" })),
            "SECRET"
          )
        })))
  })

  describe("tracing and scoped requests of HttpClient", () => {
    it.scopedLive("makes spans with headers redacted, and passes the trace on", () =>
      using({ tracing: true }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => response.end("{}"))
          const spans: Array<Tracer.Span> = []
          const request = HttpClientRequest.bearerToken(HttpClientRequest.get(server.origin), Redacted.make("SECRET"))
          yield* Effect.withSpan(
            Effect.gen(function*() {
              const response = yield* client.execute(request)
              yield* response.json
              spans.push(yield* Effect.currentSpan)
            }),
            "caller"
          )
          assert.strictEqual(spans[0]?.name, "caller")
          assert.include(server.requests[0]?.headers["traceparent"] ?? "", spans[0]?.traceId ?? "?")
          assert.strictEqual(server.requests[0]?.headers["authorization"], "Bearer SECRET")
        })))

    it.scopedLive("an interruption cancels the request", () =>
      using({ tracing: true }, (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => void response.write("begun"))
          const response = yield* client.get(server.origin)
          assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.timeout(response.text, "100 millis"))))
          yield* server.closed
        })))
  })

  it("does not change the dispatcher of the global fetch", () => {
    const program = `
      import { Effect, Layer } from "effect"
      import { NodeTransport } from "./src/node/index.js"
      const behind = () => globalThis[Symbol.for("undici.globalDispatcher.1")]
      if (behind() !== undefined) throw new Error("too early")
      await Effect.runPromise(Effect.scoped(Layer.build(NodeTransport.layer())))
      const { Agent } = await import("undici")
      if (behind() instanceof Agent) throw new Error("replaced")
      process.stdout.write(String(behind() !== undefined))`
    const out = execFileSync(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "-e", program],
      { encoding: "utf8", timeout: 25_000 }
    )
    assert.strictEqual(out, "true")
  })

  it("a TransportError can be encoded and decoded", () => {
    const error = new TransportError({ reason: "AddressRefused", code: "ERR_ADDRESS_REFUSED", processed: "no" })
    const back = Schema.decodeSync(TransportError)(Schema.encodeSync(TransportError)(error))
    assert.instanceOf(back, TransportError)
    assert.strictEqual(back.message, error.message)
    assert.include(back.message, "the server did not act")
  })

  it.scopedLive("as a layer", () =>
    Effect.gen(function*() {
      const server = yield* Http.server((_, response) => response.end("x"))
      const program = Effect.flatMap(HttpClient.HttpClient, (client) => textOf(client, server.origin))
      assert.strictEqual(yield* Effect.provide(program, Layer.fresh(NodeTransport.layer())), "x")
    }))
})
