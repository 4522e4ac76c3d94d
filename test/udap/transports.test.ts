import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RetryPolicy } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { TrustPolicy } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import { ocspResponse } from "../../src/testing/internal/pkiOcsp.js"
import { base, FHIR_BASE } from "./artefacts.js"
import { COMMUNITY } from "./server.js"

/** An authority's web server on loopback; `answers` says what it sends for a path. */
const webServer = (answers: Map<string, Uint8Array>) =>
  Effect.acquireRelease(
    Effect.async<{ readonly server: Http.Server; readonly seen: Array<string>; readonly port: number }>((resume) => {
      const seen: Array<string> = []
      const server = Http.createServer((request, response) => {
        seen.push(`${request.method} ${request.url} ${request.headers["content-type"] ?? ""}`.trim())
        const body = answers.get(request.url ?? "")
        response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/pkix-crl" })
        response.end(body)
      })
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({ server, seen, port: (server.address() as AddressInfo).port })))
    }),
    ({ server }) =>
      Effect.async<void>((resume) => {
        server.close(() =>
          resume(Effect.void)
        )
        server.closeAllConnections()
      })
  )

const validate = (
  chain: ReadonlyArray<Uint8Array>,
  transport: Layer.Layer<HttpClient.HttpClient, unknown>,
  allowInsecureLocalhost = true
) =>
  Effect.gen(function*() {
    const { crls, root } = yield* base
    const policy = TrustPolicy.layer({
      communities: { [COMMUNITY]: { anchors: [root.der], crls: [crls.root] } },
      allowInsecureLocalhost
    }).pipe(Layer.provide(Layer.orDie(transport)))
    return yield* Effect.flatMap(
      TrustPolicy.TrustPolicy,
      ({ validate }) => validate(chain, { subject: FHIR_BASE })
    ).pipe(Effect.provide(policy), RetryPolicy.withPolicy(RetryPolicy.none))
  })

describe.each(
  [
    ["NodeTransport", NodeTransport.layer()],
    ["fetch", FetchHttpClient.layer]
  ] as const
)("over %s", (_, transport) => {
  it.scoped("a CRL and an OCSP response are fetched byte for byte", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const answers = new Map<string, Uint8Array>()
      const { port, seen } = yield* webServer(answers)
      const at = `http://127.0.0.1:${port}`
      answers.set("/a.crl", yield* Pki.crl(inter))
      const byCrl = yield* makeLeaf({ extensions: [Pki.distributionPoints(`${at}/a.crl`)] })
      yield* validate([byCrl.der, inter.der], transport)
      const byOcsp = yield* makeLeaf({ extensions: [Pki.ocspResponder(`${at}/ocsp`)] })
      answers.set("/ocsp", yield* ocspResponse(byOcsp, inter, "good"))
      yield* validate([byOcsp.der, inter.der], transport)
      assert.deepStrictEqual(seen, ["GET /a.crl", "POST /ocsp application/ocsp-request"])
    }))

  it.scoped("stops a response above the limit", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const { port } = yield* webServer(new Map([["/a.crl", new Uint8Array(17 * 1024 * 1024)]]))
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(`http://127.0.0.1:${port}/a.crl`)] })
      const error = yield* Effect.flip(validate([leaf.der, inter.der], transport))
      assert.deepInclude(error, { _tag: "TrustError", reason: "RevocationUnavailable" })
      assert.include(error.message, "more than 16777216 bytes")
    }))
})

describe("over a guarded transport", () => {
  it.scoped("does not connect to a distribution point with a private address", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const { port, seen } = yield* webServer(new Map())
      const guarded = NodeTransport.layerGuarded({
        lookup: (_, __, callback) => callback(null, [{ address: "127.0.0.1", family: 4 }])
      })
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(`http://crl.example.org:${port}/a.crl`)] })
      const error = yield* Effect.flip(validate([leaf.der, inter.der], guarded, false))
      assert.deepInclude(error, { _tag: "TrustError", reason: "RevocationUnavailable" })
      assert.include(error.message, "ERR_ADDRESS_REFUSED")
      assert.deepStrictEqual(seen, [])
    }))
})
