/**
 * Every request that the library makes, against every fault of a server, over every transport, on real sockets. Each
 * ends in a typed error within its time limit: no defect, no secret in the error, no connection left open, and no
 * secret at the server that a redirect names.
 */
import { inspect } from "node:util"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import { NodeTransport } from "effect-safire/node"
import { Agent } from "undici"
import * as Pki from "../../src/testing/internal/pki.js"
import { leak } from "../support/canary.js"
import * as FaultServer from "../support/faultServer.js"
import type { Call } from "../support/outgoingCalls.js"
import { calls, CANARIES, services } from "../support/outgoingCalls.js"
import { tlsServer } from "../support/tlsServer.js"

const NO_RESULT = "no result within its time limit"

const transports: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient>>> = {
  NodeTransport: NodeTransport.layer(),
  "stock undici": NodeHttpClient.layerUndici,
  "stock fetch": FetchHttpClient.layer
}

const closes = (server: FaultServer.FaultServer) =>
  Effect.suspend(() => server.open() === 0 ? Effect.void : Effect.fail(server.open())).pipe(
    Effect.retry(Schedule.spaced("20 millis")),
    Effect.timeoutFail({ duration: "5 seconds", onTimeout: () => "timeout" }),
    Effect.match({ onFailure: () => false, onSuccess: () => true })
  )

/** The violations of one call at a server with one fault. */
const violations = (call: Call, name: string) =>
  Effect.gen(function*() {
    const fault = FaultServer.faults[name]!
    const other = yield* FaultServer.make((socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), "")
    const server = yield* FaultServer.make(fault.send, other.origin)
    const logged: Array<string> = []
    const logger = Logger.make(({ annotations, cause, message }) =>
      void logged.push(inspect([message, [...annotations]]), Cause.pretty(cause))
    )
    const exit = yield* Effect.timeoutFail(call.run(server.origin), {
      duration: call.limitedByPiece === true ? "5 seconds" : "20 seconds",
      onTimeout: () => NO_RESULT
    }).pipe(Effect.exit, Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    const found: Array<string> = []
    if (Exit.isSuccess(exit)) {
      const tolerated = fault.tolerated === true || call.statusOnly === true ||
        (call.followsRedirects === true && name === "redirects to another origin")
      if (!tolerated) found.push(`succeeded with ${JSON.stringify(exit.value)}`)
    } else {
      const failures = [...Cause.failures(exit.cause)] as ReadonlyArray<
        { _tag?: string; reason?: string; message?: string }
      >
      const [error] = failures
      if (call.limitedByPiece === true && (error as unknown) === NO_RESULT) {
        // The interruption is the limit of the caller.
      } else if (failures.length !== 1 || Cause.isInterrupted(exit.cause) || !Cause.isFailType(exit.cause)) {
        found.push(`ended with ${Cause.pretty(exit.cause)}`)
      } else if (typeof error?._tag !== "string" || typeof error.reason !== "string") {
        found.push(`failed with ${String(error)}`)
      } else if (!String(error.message).includes("127.0.0.1")) found.push(`does not name the server: ${error.message}`)
    }
    const shown = [
      ...logged,
      inspect(exit, { depth: 8 }),
      JSON.stringify(exit),
      Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
    ]
    const leaked = leak(shown.join("\n"), Object.values(CANARIES))
    if (leaked !== undefined) found.push(`shows ${leaked}`)
    const collected = leak(other.requests.join("\n"), Object.values(CANARIES))
    if (collected !== undefined) found.push(`sends ${collected} to another origin`)
    if (!(yield* closes(server))) found.push(`leaves ${server.open()} connections open`)
    return { found: found.map((violation) => `${name}: ${violation}`), sent: server.requests.length }
  })

for (const [transport, layer] of Object.entries(transports)) {
  describe(`over ${transport}`, () => {
    it.scopedLive.each(Object.entries(calls))(
      "%s ends in a typed error at each faulty server",
      ([, call]) =>
        Effect.gen(function*() {
          const results = yield* Effect.forEach(Object.keys(FaultServer.faults), (name) => violations(call, name), {
            concurrency: 20
          })
          assert.deepStrictEqual(results.flatMap(({ found }) => found), [])
          // A busy machine may end an attempt before it connects.
          assert.isAbove(results.filter(({ sent }) => sent > 0).length, results.length / 2)
        }).pipe(Effect.provide(services(layer))),
      60_000
    )
  })
}

const DAY = 86_400_000

/** Certificates for localhost, each with one fault; `ca` trusts all but the last. */
const certificates = Effect.gen(function*() {
  const now = yield* Clock.currentTimeMillis
  const root = yield* Pki.issue({ commonName: "Root", authority: true, keys: yield* Pki.newKeys() })
  const stranger = yield* Pki.issue({ commonName: "Other root", authority: true, keys: yield* Pki.newKeys() })
  const one = (options: Partial<Pki.CertificateOptions>) =>
    Effect.gen(function*() {
      const keys = yield* Pki.newKeys()
      const { der } = yield* Pki.issue({ commonName: "EHR", by: root, names: [Pki.dns("localhost")], keys, ...options })
      const key = yield* Effect.promise(() => globalThis.crypto.subtle.exportKey("pkcs8", keys.privateKey))
      return { cert: pem("CERTIFICATE", der), key: pem("PRIVATE KEY", new Uint8Array(key)) }
    })
  return {
    ca: pem("CERTIFICATE", root.der),
    faulty: {
      "has expired": yield* one({ from: now - 2 * DAY, to: now - DAY }),
      "is not valid yet": yield* one({ from: now + DAY, to: now + 2 * DAY }),
      "is for another name": yield* one({ names: [Pki.dns("other.example")] }),
      "is of an unknown authority": yield* one({ by: stranger }),
      "is signed by itself": yield* one({ by: undefined })
    }
  }
})

const pem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Encoding.encodeBase64(der).replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`

const trusting = (ca: string): Readonly<Record<string, Layer.Layer<HttpClient.HttpClient>>> => ({
  NodeTransport: NodeTransport.layer({ tls: { ca } }),
  "stock undici": Layer.provide(
    NodeHttpClient.layerUndiciWithoutDispatcher,
    Layer.scoped(
      NodeHttpClient.Dispatcher,
      Effect.acquireRelease(
        Effect.sync(() => new Agent({ connect: { ca } })),
        (agent) => Effect.promise(() => agent.destroy())
      )
    )
  ),
  "stock fetch, which trusts none of them": FetchHttpClient.layer
})

/** One call of each part of the library. */
const SENT = ["SMART configuration", "key set", "code exchange", "registration", "FHIR read", "download"]

describe("over TLS", () => {
  it.scopedLive("sends no request to a server whose certificate is invalid", () =>
    Effect.gen(function*() {
      const { ca, faulty } = yield* certificates
      for (const [transport, layer] of Object.entries(trusting(ca))) {
        yield* Effect.gen(function*() {
          for (const [fault, certificate] of Object.entries(faulty)) {
            const server = yield* tlsServer(certificate)
            for (const name of SENT) {
              const error = yield* Effect.flip(calls[name]!.run(`https://localhost:${server.port}`))
              assert.match(String(error), /certificate/i, `${transport}, ${fault}, ${name}`)
            }
            assert.strictEqual(server.served(), 0, `${transport}, ${fault}`)
          }
        }).pipe(Effect.provide(services(layer)))
      }
    }), 60_000)
})
