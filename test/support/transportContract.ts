/**
 * The contract of all transports, over real sockets. For an optional ability, the contract has one expectation for
 * transports with it and one for those without it.
 */
import * as Net from "node:net"
import * as Zlib from "node:zlib"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as UrlParams from "@effect/platform/UrlParams"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as OutgoingRequest from "../../src/http/OutgoingRequest.js"
import * as Http from "./http.js"

export interface Abilities {
  /** Decodes content codings. */
  readonly decodes: boolean
  /** Has its own limits: the layer under test allows 600 ms for headers and body, and 100 kB. */
  readonly limits: boolean
  /** Sends and reads `FormData`. */
  readonly forms: boolean
  /** Accepts a 304 with a content length. */
  readonly notModified: boolean
  /** Sends tracing headers only with an option. */
  readonly untraced: boolean
  /** Does not send a fragment. */
  readonly dropsFragment: boolean
  /** The chunks of an empty body. */
  readonly emptyStream: "ends" | "fails"
}

type Client = HttpClient.HttpClient

const get = (url: string) => HttpClientRequest.get(url)

/** A TCP server that sends these bytes. */
export const raw = (
  onConnection: (socket: Net.Socket) => void
): Effect.Effect<{ readonly port: number; readonly origin: string; readonly open: () => number }, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket>; readonly port: number }>(
        (resume) => {
          const sockets = new Set<Net.Socket>()
          const server = Net.createServer((socket) => {
            sockets.add(socket)
            socket.on("error", () => undefined)
            socket.on("close", () => sockets.delete(socket))
            onConnection(socket)
          })
          server.listen(0, "127.0.0.1", () => {
            const address = server.address()
            resume(Effect.succeed({
              server,
              sockets,
              port: typeof address === "object" && address !== null ? address.port : 0
            }))
          })
        }
      ),
      ({ server, sockets }) =>
        Effect.async<void>((done) => {
          for (const socket of sockets) socket.destroy()
          server.close(() => done(Effect.void))
        })
    ),
    ({ port, sockets }) => ({ port, origin: `http://127.0.0.1:${port}`, open: () => sockets.size })
  )

/** Responds to each request on the connection with these bytes, and closes it with `end`. */
const respondingWith = (bytes: string, then: "keep" | "end" | "reset" = "keep") =>
  raw((socket) => {
    socket.once("data", () => {
      socket.write(bytes, () => {
        if (then === "end") socket.end()
        if (then === "reset") socket.resetAndDestroy()
      })
    })
  })

/** A port without a listener. */
export const deadPort: Effect.Effect<number> = Effect.scoped(Effect.map(raw(() => undefined), ({ port }) => port))

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.fail("not yet")).pipe(
    Effect.retry(Schedule.spaced("10 millis")),
    Effect.timeout("5 seconds"),
    Effect.orDie
  )

const causeOf = (error: HttpClientError.HttpClientError): unknown => error.cause

const rules: OutgoingRequest.Rules = {
  timeout: "5 seconds",
  maxBytes: 50_000,
  redirects: 2,
  allowInsecureLocalhost: true
}

export const transportContract = (
  name: string,
  layer: Layer.Layer<HttpClient.HttpClient>,
  abilities: Abilities
): void => {
  const row = <E>(title: string, body: (client: Client) => Effect.Effect<void, E, Scope.Scope>): void =>
    it.scopedLive(title, () =>
      Effect.flatMap(HttpClient.HttpClient, body).pipe(
        Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
        Effect.provide(layer)
      ))

  /** One test for transports with the ability, another for those without it. */
  const either = <E, E2>(
    able: boolean,
    title: string,
    can: (client: Client) => Effect.Effect<void, E, Scope.Scope>,
    otherwise: string,
    cannot: (client: Client) => Effect.Effect<void, E2, Scope.Scope>
  ): void => able ? row(title, can) : row(`cannot: ${title}; ${otherwise}`, cannot)

  /** The error of a request or of its body. */
  const failureOf = (client: Client, request: HttpClientRequest.HttpClientRequest) =>
    Effect.flip(Effect.flatMap(client.execute(request), (response) => response.text))

  describe(name, () => {
    const echo = Http.server((request, response, body) => {
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({
        method: request.method,
        url: request.url,
        type: request.headers["content-type"] ?? null,
        length: request.headers["content-length"] ?? null,
        body
      }))
    })

    describe("requests", () => {
      row("sends every method", (client) =>
        Effect.gen(function*() {
          const server = yield* echo
          for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const) {
            const response = yield* client.execute(HttpClientRequest.make(method)(`${server.origin}/x`))
            assert.strictEqual(response.status, 200)
            assert.include(yield* response.text, `"method":"${method}"`)
          }
        }))

      row("sends path, query and parameters", (client) =>
        Effect.gen(function*() {
          const server = yield* echo
          const request = get(`${server.origin}/a%20b/c?d=e%2Ff`).pipe(HttpClientRequest.appendUrlParam("g", "h i&j"))
          yield* Effect.flatMap(client.execute(request), (response) => response.text)
          assert.strictEqual(server.requests[0]?.url, "/a%20b/c?d=e%2Ff&g=h+i%26j")
        }))

      either(
        abilities.dropsFragment,
        "a fragment stays here",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            yield* Effect.flatMap(client.get(`${server.origin}/a#secret`), (response) => response.text)
            assert.strictEqual(server.requests[0]?.url, "/a")
          }),
        "it is sent",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            yield* Effect.flatMap(client.get(`${server.origin}/a#secret`), (response) => response.text)
            assert.strictEqual(server.requests[0]?.url, "/a#secret")
          })
      )

      row("sends every kind of body", (client) =>
        Effect.gen(function*() {
          const server = yield* echo
          const post = HttpClientRequest.post(`${server.origin}/x`)
          const requests = [
            HttpClientRequest.bodyText(post, "plain ü"),
            HttpClientRequest.bodyUint8Array(post, new Uint8Array([65, 66, 67])),
            HttpClientRequest.bodyUrlParams(post, { grant_type: "x", scope: "a b" }),
            HttpClientRequest.bodyUnsafeJson(post, { a: 1 }),
            post
          ]
          for (const request of requests) {
            assert.strictEqual((yield* Effect.tap(client.execute(request), (response) => response.text)).status, 200)
          }
          const [text, bytes, params, json, nothing] = server.requests
          assert.strictEqual(text?.body, "plain ü")
          assert.strictEqual(bytes?.body, "ABC")
          assert.strictEqual(params?.body, "grant_type=x&scope=a+b")
          assert.strictEqual(params?.headers["content-type"], "application/x-www-form-urlencoded")
          assert.strictEqual(json?.body, "{\"a\":1}")
          assert.strictEqual(nothing?.body, "")
        }))

      const form = new FormData()
      form.append("field", "välue")
      form.append("file", new Blob(["content"], { type: "text/plain" }), "a.txt")
      const upload = (origin: string) =>
        HttpClientRequest.post(`${origin}/x`).pipe(HttpClientRequest.bodyFormData(form))
      either(
        abilities.forms,
        "sends a form of the platform's own FormData",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            yield* Effect.flatMap(client.execute(upload(server.origin)), (response) => response.text)
            assert.match(server.requests[0]?.headers["content-type"] ?? "", /^multipart\/form-data; ?boundary=/)
            assert.include(server.requests[0]?.body ?? "", "välue")
            assert.include(server.requests[0]?.body ?? "", "filename=\"a.txt\"")
          }),
        "it fails before anything is sent",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            assert.isTrue(Exit.isFailure(yield* Effect.exit(client.execute(upload(server.origin)))))
            assert.strictEqual(server.requests.length, 0)
          })
      )

      row("streams a body up", (client) =>
        Effect.gen(function*() {
          const server = yield* echo
          const chunks = Array.from({ length: 50 }, (_, i) => new TextEncoder().encode(`${i};`.repeat(100)))
          const request = HttpClientRequest.post(`${server.origin}/x`).pipe(
            HttpClientRequest.setBody(HttpBody.stream(Stream.fromIterable(chunks)))
          )
          yield* Effect.flatMap(client.execute(request), (response) => response.text)
          assert.strictEqual(server.requests[0]?.body, Buffer.concat(chunks).toString())
        }))

      row(
        "fails when the body it streams does, and the server sees no whole request",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            const request = HttpClientRequest.post(`${server.origin}/x`).pipe(
              HttpClientRequest.setBody(
                HttpBody.stream(Stream.concat(Stream.make(new Uint8Array(10)), Stream.fail(new Error("no more"))))
              )
            )
            const exit = yield* Effect.exit(client.execute(request))
            assert.isTrue(Exit.isFailure(exit))
            assert.strictEqual(server.requests.length, 0)
          })
      )

      either(
        abilities.untraced,
        "sends no tracing headers without an option",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            yield* Effect.withSpan(Effect.flatMap(client.get(server.origin), (response) => response.text), "caller")
            assert.notProperty(server.requests[0]?.headers, "traceparent")
            assert.notProperty(server.requests[0]?.headers, "b3")
          }),
        "the core tells it to",
        (client) =>
          Effect.gen(function*() {
            const server = yield* echo
            yield* Effect.flatMap(OutgoingRequest.prepare(client).get(server.origin), (response) => response.text)
            yield* Effect.flatMap(client.get(server.origin), (response) => response.text)
            assert.notProperty(server.requests[0]?.headers, "traceparent")
            assert.property(server.requests[1]?.headers, "traceparent")
          })
      )
    })

    describe("responses", () => {
      const answering = (body: string | Buffer, headers: Readonly<Record<string, string>> = {}, status = 200) =>
        Http.server((_, response) => {
          response.writeHead(status, headers)
          response.end(body)
        })

      row("reads a body in each form, also twice", (client) =>
        Effect.gen(function*() {
          const json = yield* Effect.flatMap(answering("{\"a\":\"ü\"}"), ({ origin }) => client.get(origin))
          assert.deepStrictEqual(yield* json.json, { a: "ü" })
          assert.deepStrictEqual(yield* json.json, { a: "ü" })
          assert.strictEqual(yield* json.text, "{\"a\":\"ü\"}")
          const params = yield* Effect.flatMap(answering("a=1&b=2+3"), ({ origin }) => client.get(origin))
          assert.deepStrictEqual(UrlParams.toRecord(yield* params.urlParamsBody), { a: "1", b: "2 3" })
          const bytes = yield* Effect.flatMap(answering(Buffer.from([0, 255, 1])), ({ origin }) => client.get(origin))
          assert.deepStrictEqual([...new Uint8Array(yield* bytes.arrayBuffer)], [0, 255, 1])
        }))

      const formAnswer = answering("f=x", { "content-type": "application/x-www-form-urlencoded" })
      either(
        abilities.forms,
        "reads a form",
        (client) =>
          Effect.gen(function*() {
            const response = yield* Effect.flatMap(formAnswer, ({ origin }) => client.get(origin))
            assert.strictEqual((yield* response.formData).get("f"), "x")
          }),
        "it fails to decode",
        (client) =>
          Effect.gen(function*() {
            const response = yield* Effect.flatMap(formAnswer, ({ origin }) => client.get(origin))
            assert.strictEqual((yield* Effect.flip(response.formData)).reason, "Decode")
          })
      )

      row("a body that is not JSON is a Decode failure, and none at all is null", (client) =>
        Effect.gen(function*() {
          const bad = yield* Effect.flatMap(answering("<html>SECRET"), ({ origin }) => client.get(origin))
          const error = yield* Effect.flip(bad.json)
          assert.strictEqual(error.reason, "Decode")
          assert.notInclude(error.message, "SECRET")
          const empty = yield* Effect.flatMap(answering(""), ({ origin }) => client.get(origin))
          assert.isNull(yield* empty.json)
        }))

      row("skips a byte order mark", (client) =>
        Effect.gen(function*() {
          const response = yield* Effect.flatMap(answering("\ufeff{}"), ({ origin }) => client.get(origin))
          assert.deepStrictEqual(yield* response.json, {})
        }))

      row(
        "streams a body that is larger than any buffer, and waits for a slow reader",
        (client) =>
          Effect.gen(function*() {
            let sent = 0
            const piece = Buffer.alloc(4096, 1)
            const server = yield* Http.server((_, response) => {
              const more = () => {
                while (sent < 20) {
                  sent += 1
                  if (!response.write(piece)) return void response.once("drain", more)
                }
                response.end()
              }
              more()
            })
            const response = yield* client.get(server.origin)
            const size = yield* response.stream.pipe(
              Stream.tap(() => Effect.sleep("2 millis")),
              Stream.runFold(0, (total, chunk) => total + chunk.byteLength)
            )
            assert.strictEqual(size, 20 * 4096)
          })
      )

      row("stops a stream that is not read to its end, and closes the connection", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            const timer = setInterval(() => response.write("x".repeat(1000)), 5)
            response.on("close", () => clearInterval(timer))
          })
          const response = yield* client.get(server.origin)
          const first = yield* Stream.runCollect(Stream.take(response.stream, 1))
          assert.strictEqual(Chunk.size(first), 1)
          yield* server.closed
        }))

      row(`an empty body, streamed, ${abilities.emptyStream}`, (client) =>
        Effect.gen(function*() {
          const server = yield* answering("", {}, 204)
          const response = yield* client.get(server.origin)
          const result = yield* Effect.either(Stream.runCollect(response.stream))
          if (abilities.emptyStream === "ends") {
            assert.isTrue(Either.isRight(result) && Chunk.isEmpty(result.right))
          } else {
            assert.isTrue(Either.isLeft(result) && result.left.reason === "EmptyBody")
          }
        }))

      const bodyless = Http.server((request, response) => {
        const status = Number(request.url?.slice(1))
        response.writeHead(status, status === 204 ? {} : { "content-length": "5000000", "content-encoding": "gzip" })
        response.end()
      })
      row("204 and HEAD have no body, also with headers of one", (client) =>
        Effect.gen(function*() {
          const server = yield* bodyless
          assert.strictEqual(yield* Effect.flatMap(client.get(`${server.origin}/204`), (r) => r.text), "")
          const head = yield* client.head(`${server.origin}/200`)
          assert.strictEqual(head.headers["content-length"], "5000000")
          assert.strictEqual(yield* head.text, "")
        }))
      either(
        abilities.notModified,
        "a 304 has none either, though it tells the length of what did not change",
        (client) =>
          Effect.gen(function*() {
            const server = yield* bodyless
            const fresh = yield* client.get(`${server.origin}/304`)
            assert.strictEqual(fresh.status, 304)
            assert.strictEqual(yield* fresh.text, "")
          }),
        "it misses the body",
        (client) =>
          Effect.gen(function*() {
            const server = yield* bodyless
            const fresh = yield* client.get(`${server.origin}/304`)
            assert.strictEqual((yield* Effect.flip(fresh.text)).reason, "Decode")
          })
      )

      row("ignores interim responses", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.writeProcessing()
            response.writeEarlyHints({ link: "</a.css>; rel=preload" })
            response.end("final")
          })
          const response = yield* client.get(server.origin)
          assert.strictEqual(response.status, 200)
          assert.strictEqual(yield* response.text, "final")
        }))

      // undici, which all three use, treats it as a violation of the protocol.
      row(
        "cannot: an unsolicited 100; the connection is closed and `processed` is unknown",
        (client) =>
          Effect.gen(function*() {
            const server = yield* respondingWith(
              "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            )
            const failure = yield* Effect.flip(OutgoingRequest.send(client, get(server.origin), rules))
            assert.strictEqual(failure.reason, "Unreachable")
            assert.strictEqual(failure.processed, "unknown")
          })
      )

      row(
        "shows headers in lower case, several of a name joined, and cookies apart",
        (client) =>
          Effect.gen(function*() {
            const server = yield* Http.server((_, response) => {
              response.setHeader("X-Thing", ["a", "b"])
              response.setHeader("Set-Cookie", ["s=1; HttpOnly", "t=2"])
              response.end()
            })
            const response = yield* client.get(server.origin)
            assert.strictEqual(response.headers["x-thing"], "a, b")
            assert.isTrue(Headers.has(response.headers, "X-Thing"))
            assert.strictEqual(response.cookies.cookies["s"]?.value, "1")
            assert.strictEqual(response.cookies.cookies["t"]?.value, "2")
          })
      )

      row("follows no redirect", (client) =>
        Effect.gen(function*() {
          const server = yield* answering("", { location: "/elsewhere" }, 302)
          const response = yield* client.get(server.origin)
          assert.strictEqual(response.status, 302)
          assert.strictEqual(response.headers["location"], "/elsewhere")
          assert.strictEqual(server.requests.length, 1)
        }))

      const content = JSON.stringify({ text: "ü".repeat(5000) })
      const codings: ReadonlyArray<readonly [string, string, Buffer]> = [
        ["gzip", "gzip", Zlib.gzipSync(content)],
        ["x-gzip", "X-GZIP", Zlib.gzipSync(content)],
        ["deflate", "deflate", Zlib.deflateSync(content)],
        ["bare deflate", "deflate", Zlib.deflateRawSync(content)],
        ["br", "br", Zlib.brotliCompressSync(content)]
      ]
      for (const [title, coding, coded] of codings) {
        either(
          abilities.decodes,
          `undoes ${title}`,
          (client) =>
            Effect.gen(function*() {
              const server = yield* answering(coded, { "content-encoding": coding })
              assert.deepStrictEqual(
                yield* Effect.flatMap(client.get(server.origin), (r) => r.json),
                JSON.parse(content)
              )
              const streamed = yield* Effect.flatMap(client.get(server.origin), (r) => Stream.runCollect(r.stream))
              assert.strictEqual(Buffer.concat(Chunk.toReadonlyArray(streamed)).toString(), content)
              assert.match(server.requests[0]?.headers["accept-encoding"] ?? "", /gzip, deflate/)
            }),
          "requests none and returns the body unchanged",
          (client) =>
            Effect.gen(function*() {
              const server = yield* answering(coded, { "content-encoding": coding })
              const bytes = yield* Effect.flatMap(client.get(server.origin), (r) => r.arrayBuffer)
              assert.isTrue(Buffer.from(bytes).equals(coded))
              assert.notProperty(server.requests[0]?.headers, "accept-encoding")
            })
        )
      }
    })

    describe("connections", () => {
      row("keeps one alive", (client) =>
        Effect.gen(function*() {
          // undici returns a connection to its pool one turn of the event loop later: the second request may open
          // another.
          const ports = new Set<number | undefined>()
          const server = yield* Http.server((request, response) => {
            ports.add(request.socket.remotePort)
            response.end("x")
          })
          for (let i = 0; i < 12; i++) yield* Effect.flatMap(client.get(server.origin), (response) => response.text)
          assert.isAtMost(ports.size, 2)
        }))

      row("takes a hundred requests at once", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((request, response) => response.end(request.url))
          const paths = Array.from({ length: 100 }, (_, i) => `/${i}`)
          const bodies = yield* Effect.forEach(
            paths,
            (path) => Effect.flatMap(client.get(`${server.origin}${path}`), (response) => response.text),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(bodies, paths)
        }))

      row("an interruption before the response closes the connection at once", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server(() => undefined)
          const fiber = yield* Effect.fork(client.get(server.origin))
          yield* until(() => server.requests.length === 1)
          yield* Fiber.interrupt(fiber)
          yield* server.closed
        }))

      row("interrupted in the body, too", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.writeHead(200)
            response.write("begun")
          })
          const response = yield* client.get(server.origin)
          const fiber = yield* Effect.fork(response.text)
          yield* Effect.sleep("50 millis")
          assert.strictEqual(server.open(), 1)
          yield* Fiber.interrupt(fiber)
          yield* server.closed
        }))

      row("an unread response is closed with its scope", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => {
            response.writeHead(200)
            response.write("begun")
          })
          yield* Effect.scoped(HttpClient.withScope(client).get(server.origin))
          yield* server.closed
        }))
    })

    describe("slow and broken peers", () => {
      const outcomeOf = (client: Client, url: string) => Effect.flip(OutgoingRequest.send(client, get(url), rules))

      row("a connection that is refused never left", (client) =>
        Effect.gen(function*() {
          const failure = yield* outcomeOf(client, `http://127.0.0.1:${yield* deadPort}/`)
          assert.strictEqual(failure.reason, "Unreachable")
          assert.strictEqual(failure.processed, "no")
          assert.include(failure.detail, "ECONNREFUSED")
        }))

      row("a host that does not exist never left", (client) =>
        Effect.gen(function*() {
          const failure = yield* Effect.flip(
            OutgoingRequest.send(client, get("https://no-such-host.invalid/"), { ...rules, timeout: "20 seconds" })
          )
          assert.strictEqual(failure.processed, "no")
        }))

      for (
        const [title, bytes, then] of [
          ["closes without a response", "", "end"],
          ["resets the connection", "", "reset"],
          ["breaks off in the headers", "HTTP/1.1 200 OK\r\ncontent-", "end"],
          ["speaks another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "keep"],
          ["breaks off in the body", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "end"],
          ["breaks off in a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "end"],
          [
            "has two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            "end"
          ],
          [
            "has a length and chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "end"
          ]
        ] as const
      ) {
        row(
          `a peer that ${title}: a failure with an unknown processed, never half a response`,
          (client) =>
            Effect.gen(function*() {
              const server = yield* respondingWith(bytes, then)
              const failure = yield* outcomeOf(client, server.origin)
              assert.strictEqual(failure.reason, "Unreachable")
              assert.strictEqual(failure.processed, "unknown")
              yield* until(() => server.open() === 0)
            })
        )
      }

      row("fails on endless headers", (client) =>
        Effect.gen(function*() {
          const server = yield* raw((socket) => {
            socket.write("HTTP/1.1 200 OK\r\n")
            const timer = setInterval(() => socket.write(`x-${"y".repeat(1000)}: z\r\n`), 1)
            socket.on("close", () => clearInterval(timer))
          })
          const failure = yield* outcomeOf(client, server.origin)
          assert.strictEqual(failure.reason, "TooLarge")
          yield* until(() => server.open() === 0)
        }))

      either(
        abilities.limits,
        "gives up headers that do not come",
        (client) =>
          Effect.gen(function*() {
            const server = yield* Http.server(() => undefined)
            const error = yield* failureOf(client, get(server.origin))
            assert.propertyVal(causeOf(error), "reason", "HeadersTimeout")
            assert.propertyVal(causeOf(error), "processed", "unknown")
            yield* server.closed
          }),
        "the caller's Effect.timeout does",
        (client) =>
          Effect.gen(function*() {
            const server = yield* Http.server(() => undefined)
            const exit = yield* Effect.exit(Effect.timeout(client.get(server.origin), "300 millis"))
            assert.isTrue(Exit.isFailure(exit))
            yield* server.closed
          })
      )

      either(
        abilities.limits,
        "gives up a body that stops coming",
        (client) =>
          Effect.gen(function*() {
            const server = yield* Http.server((_, response) => void response.write("begun"))
            const error = yield* failureOf(client, get(server.origin))
            assert.propertyVal(causeOf(error), "reason", "BodyTimeout")
            yield* server.closed
          }),
        "the caller's Effect.timeout does",
        (client) =>
          Effect.gen(function*() {
            const server = yield* Http.server((_, response) => void response.write("begun"))
            const response = yield* client.get(server.origin)
            assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.timeout(response.text, "300 millis"))))
            yield* server.closed
          })
      )

      const endless = Http.server((_, response) => {
        const timer = setInterval(() => response.write("x".repeat(20_000)), 2)
        response.on("close", () => clearInterval(timer))
      })

      either(
        abilities.limits,
        "gives up a body without end when it passes the limit",
        (client) =>
          Effect.gen(function*() {
            const server = yield* endless
            const error = yield* failureOf(client, get(server.origin))
            assert.propertyVal(causeOf(error), "reason", "BodyTooLarge")
            yield* server.closed
          }),
        "the core counts the bytes that it reads",
        (client) =>
          Effect.gen(function*() {
            const server = yield* endless
            const failure = yield* outcomeOf(client, server.origin)
            assert.strictEqual(failure.reason, "TooLarge")
            yield* server.closed
          })
      )

      row("the size limit of the library applies", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((_, response) => response.end("x".repeat(60_000)))
          const failure = yield* outcomeOf(client, server.origin)
          assert.strictEqual(failure.reason, "TooLarge")
          assert.strictEqual(failure.status, 200)
        }))

      row("the time limit of the library applies to body and redirects", (client) =>
        Effect.gen(function*() {
          const server = yield* Http.server((request, response) => {
            const n = Number(request.url?.slice(1) ?? 0)
            setTimeout(() => {
              response.writeHead(n < 2 ? 302 : 200, n < 2 ? { location: `/${n + 1}` } : {})
              response.end("x")
            }, 200)
          })
          const failure = yield* Effect.flip(
            OutgoingRequest.send(client, get(`${server.origin}/0`), { ...rules, timeout: "500 millis" })
          )
          assert.strictEqual(failure.reason, "TimedOut")
          assert.strictEqual(failure.processed, "unknown")
          const response = yield* OutgoingRequest.send(client, get(`${server.origin}/1`), rules)
          assert.strictEqual(response.body, "x")
        }))
    })

    describe("combinators of HttpClient", () => {
      row("mapRequest, filterStatusOk, retry, tap and transformResponse", (client) =>
        Effect.gen(function*() {
          let count = 0
          const server = yield* Http.server((_, response) => {
            count += 1
            response.writeHead(count < 3 ? 503 : 200)
            response.end("done")
          })
          const tapped = yield* Ref.make(0)
          const combined = client.pipe(
            HttpClient.mapRequest(HttpClientRequest.prependUrl(server.origin)),
            HttpClient.mapRequest(HttpClientRequest.setHeader("x-mapped", "yes")),
            HttpClient.filterStatusOk,
            HttpClient.retry({ times: 5 }),
            HttpClient.tap(() => Ref.update(tapped, (n) => n + 1)),
            HttpClient.transformResponse(Effect.timeout("5 seconds"))
          )
          assert.strictEqual(yield* Effect.flatMap(combined.get("/x"), (response) => response.text), "done")
          assert.strictEqual(count, 3)
          assert.strictEqual(yield* Ref.get(tapped), 1)
          assert.strictEqual(server.requests[2]?.headers["x-mapped"], "yes")
        }))

      row("repeats no request", (client) =>
        Effect.gen(function*() {
          let connections = 0
          const server = yield* raw((socket) => {
            connections += 1
            socket.once("data", () => socket.destroy())
          })
          yield* Effect.flip(client.get(server.origin))
          yield* Effect.sleep("100 millis")
          assert.strictEqual(connections, 1)
        }))
    })
  })
}
