/**
 * Servers on real sockets, each with one fault. They write bytes to sockets, because no HTTP library can write these
 * responses.
 */
import * as Net from "node:net"
import * as Zlib from "node:zlib"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface FaultServer {
  readonly origin: string
  /** Connections that are open now. */
  readonly open: () => number
  /** The received requests. */
  readonly requests: ReadonlyArray<string>
}

/** Responds to one request on a connection. `self` is the origin of the server, `other` that of another one. */
export type Fault = (socket: Net.Socket, origins: { readonly self: string; readonly other: string }) => void

const head = (status: string, headers: Readonly<Record<string, string | number>> = {}): string =>
  [
    `HTTP/1.1 ${status}`,
    ...Object.entries({ "content-type": "application/json", connection: "close", ...headers }).map(
      ([name, value]) => `${name}: ${value}`
    ),
    "",
    ""
  ].join("\r\n")

const respond = (
  body: string | Uint8Array,
  { headers = {}, status = "200 OK" }: {
    readonly status?: string
    readonly headers?: Readonly<Record<string, string | number>>
  } = {}
): Fault =>
(socket) => {
  socket.write(head(status, { "content-length": Buffer.byteLength(body), ...headers }))
  socket.end(body)
}

const json = (value: unknown): Fault => respond(JSON.stringify(value))

/** Calls `write` until the connection closes. */
const repeat = (socket: Net.Socket, milliseconds: number, write: () => void): void => {
  const timer = setInterval(write, milliseconds)
  socket.on("close", () => clearInterval(timer))
}

const redirect =
  (to: (origins: { readonly self: string; readonly other: string }) => string): Fault => (socket, origins) =>
    respond("", { status: "302 Found", headers: { location: to(origins) } })(socket, origins)

const LONG = "x".repeat(2_000)

/** Limits in bytes and time with which a fault ends soon. */
export const LIMITS = {
  discoveryTimeout: "700 millis",
  tokenTimeout: "700 millis",
  fhirTimeout: "700 millis",
  maxResponseBytes: 200_000,
  maxFhirResponseBytes: 200_000
} as const

/** `tolerated`: a client may take the response as a valid one. */
export const faults: Readonly<Record<string, { readonly send: Fault; readonly tolerated?: true }>> = {
  "closes the connection without a response": { send: (socket) => socket.end() },
  "resets the connection before the headers": { send: (socket) => socket.resetAndDestroy() },
  "resets the connection during the headers": {
    send: (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-ty", () => socket.resetAndDestroy())
  },
  "resets the connection during the body": {
    send: (socket) => socket.write(`${head("200 OK", { "content-length": 100 })}{"a"`, () => socket.resetAndDestroy())
  },
  "never responds": { send: () => undefined },
  "stops during the headers": { send: (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-type: appli") },
  "stops after the headers": { send: (socket) => socket.write(head("200 OK", { "content-length": 100 })) },
  "stops during the body": {
    send: (socket) => socket.write(`${head("200 OK", { "content-length": 100 })}{"a":`)
  },
  "sends one byte at a time, without end": {
    send: (socket) => {
      socket.write(head("200 OK", { "content-length": 100_000 }))
      repeat(socket, 20, () => socket.write(" "))
    }
  },
  "ends the body before its length": {
    send: (socket) => socket.end(`${head("200 OK", { "content-length": 1_000 })}{"a":1}`)
  },
  "ends a chunked body without the last chunk": {
    send: (socket) => socket.end(`${head("200 OK", { "transfer-encoding": "chunked" })}5\r\n{"a":\r\n`)
  },
  "sends a chunk without a size": {
    send: (socket) => socket.end(`${head("200 OK", { "transfer-encoding": "chunked" })}zz\r\n{}\r\n0\r\n\r\n`)
  },
  "sends two lengths": {
    send: (socket) =>
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{}x")
  },
  "sends more than the length": {
    send: (socket) => socket.end(`${head("200 OK", { "content-length": 2 })}{}{"access_token":"smuggled"}`),
    tolerated: true
  },
  "sends a gzip bomb": {
    send: respond(Zlib.gzipSync(Buffer.alloc(20_000_000)), { headers: { "content-encoding": "gzip" } })
  },
  "sends damaged gzip": { send: respond("not gzip", { headers: { "content-encoding": "gzip" } }) },
  "declares 10 MB": {
    send: (socket) => {
      socket.write(head("200 OK", { "content-length": 10_000_000 }))
      socket.write("{")
    }
  },
  "sends 10 MB in chunks": {
    send: (socket) => {
      socket.write(head("200 OK", { "transfer-encoding": "chunked" }))
      const chunk = `${(64 * 1024).toString(16)}\r\n${" ".repeat(64 * 1024)}\r\n`
      let sent = 0
      const more = () => {
        while (!socket.destroyed && sent++ < 160) if (!socket.write(chunk)) return void socket.once("drain", more)
        if (!socket.destroyed) socket.end("0\r\n\r\n")
      }
      more()
    }
  },
  "nests 10,000 levels": { send: respond(`{"a":${"[".repeat(10_000)}${"]".repeat(10_000)}}`), tolerated: true },
  "repeats members": {
    send: respond(
      `{"access_token":"a","token_type":"Bearer","access_token":"b","resourceType":"A","resourceType":"B"}`
    ),
    tolerated: true
  },
  "has members named __proto__ and constructor": {
    send: respond(
      `{"__proto__":{"access_token":"a","token_type":"Bearer"},"constructor":{"prototype":{"active":true}}}`
    ),
    tolerated: true
  },
  "starts with a byte order mark": { send: respond("\uFEFF{}"), tolerated: true },
  "has invalid UTF-8": {
    send: respond(Buffer.concat([Buffer.from(`{"a":"`), Buffer.from([0xff, 0xc0, 0x80]), Buffer.from(`"}`)])),
    tolerated: true
  },
  "sends HTML with status 200": {
    send: respond("<!doctype html><title>Log in</title>", { headers: { "content-type": "text/html" } })
  },
  "sends an empty body": { send: respond(""), tolerated: true },
  "sends 204": { send: (socket) => socket.end(head("204 No Content")), tolerated: true },
  "sends null": { send: json(null), tolerated: true },
  "sends a list": { send: json([]), tolerated: true },
  "sends a string": { send: json("x"), tolerated: true },
  "sends unfinished JSON": { send: respond(`{"a":`), tolerated: true },
  "redirects to itself without end": { send: redirect(({ self }) => `${self}/again`) },
  "redirects to http on another host": { send: redirect(() => "http://ehr.invalid/") },
  "redirects to another origin": { send: redirect(({ other }) => `${other}/collect`) },
  "redirects to a private address": { send: redirect(() => "http://169.254.169.254/latest/meta-data") },
  "redirects to a URL that is not http": { send: redirect(() => "file:///etc/passwd") },
  "sends 103 without end": {
    send: (socket) => repeat(socket, 5, () => socket.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
  },
  "sends headers of 1 MB": {
    send: (socket) => socket.end(`HTTP/1.1 200 OK\r\n${`x-filler: ${LONG}\r\n`.repeat(500)}\r\n{}`)
  },
  "does not speak HTTP": { send: (socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n") },
  "sends 401 with a challenge": {
    send: respond("denied", {
      status: "401 Unauthorized",
      headers: { "www-authenticate": `Bearer error="invalid_token", error_description="${LONG}"` }
    })
  },
  "sends 429 with a Retry-After of 30 years": {
    send: respond("{}", { status: "429 Too Many Requests", headers: { "retry-after": 1_000_000_000 } })
  },
  "sends 500 with a stack trace": { send: respond(`at com.ehr.Token (${LONG})`, { status: "500 Error" }) }
}

/** A server that has the fault on each connection. */
export const make = (fault: Fault, other: string): Effect.Effect<FaultServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly server: Net.Server; readonly faulty: FaultServer; readonly sockets: Set<Net.Socket> }>(
      (resume) => {
        const sockets = new Set<Net.Socket>()
        const requests: Array<string> = []
        const server = Net.createServer((socket) => {
          sockets.add(socket)
          socket.on("error", () => undefined)
          socket.on("close", () => sockets.delete(socket))
          let received = ""
          socket.on("data", (data) => {
            received += data.toString("latin1")
            const end = received.indexOf("\r\n\r\n")
            if (end < 0) return
            const length = Number(/\r\ncontent-length: (\d+)/i.exec(received)?.[1] ?? 0)
            if (received.length < end + 4 + length) return
            requests.push(received)
            received = ""
            fault(socket, { self, other })
          })
        })
        let self = ""
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          self = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
          resume(Effect.succeed({ server, sockets, faulty: { origin: self, open: () => sockets.size, requests } }))
        })
      }
    ),
    ({ server, sockets }) =>
      Effect.async<void>((done) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => done(Effect.void))
      })
  ).pipe(Effect.map(({ faulty }) => faulty))
