import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { ClientAuthentication, LaunchRequest, SmartServers } from "effect-safire"
import { AddressGuard, NodeTransport } from "effect-safire/node"
import * as Http from "../support/http.js"

const us = {
  clientId: "growth-chart",
  redirectUri: "https://app.test/callback",
  authentication: ClientAuthentication.makePublic
}

/** EHRs that answer whatever they are asked, and a guard that notes what it is told to trust. */
const makeNet = () => {
  const asked: Array<string> = []
  const trusted = new Set<string>()
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      asked.push(url.href)
      return HttpClientResponse.fromWeb(
        request,
        Response.json({
          token_endpoint: `${url.origin}/token`,
          authorization_endpoint: `${url.origin}/authorize`,
          capabilities: ["launch-ehr"]
        })
      )
    })
  )
  const guard = {
    allows: () => true,
    trust: (url: string) =>
      Effect.acquireRelease(
        Effect.sync(() => void trusted.add(url)),
        () => Effect.sync(() => void trusted.delete(url))
      )
  }
  return {
    asked,
    trusted,
    layer: Layer.merge(
      Layer.succeed(HttpClient.HttpClient, AddressGuard.mark(client, guard)),
      Layer.succeed(AddressGuard.AddressGuard, guard)
    )
  }
}

describe("SmartServers.layerOpen", () => {
  it("over a transport that does not judge addresses it does not type-check", () => {
    const open = SmartServers.layerOpen(() => us)
    const guarded: Layer.Layer<SmartServers.SmartServers, unknown> = Layer.provide(open, NodeTransport.layerGuarded())
    // @ts-expect-error fetch provides no AddressGuard
    const overFetch: Layer.Layer<SmartServers.SmartServers, unknown> = Layer.provide(open, FetchHttpClient.layer)
    // @ts-expect-error nor does the transport without the guard
    const unguarded: Layer.Layer<SmartServers.SmartServers, unknown> = Layer.provide(open, NodeTransport.layer())
    for (const layer of [guarded, overFetch, unguarded]) assert.isTrue(Layer.isLayer(layer))
  })

  it.effect("follows a launch from a server nobody configured, as the template says", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const launch = yield* LaunchRequest.decode("https://app.test/launch?iss=https://ehr.example/fhir&launch=xyz")
      assert.strictEqual(launch.server, "https://ehr.example/fhir")
      const client = yield* Effect.flatMap(SmartServers.SmartServers, (servers) => servers.client(launch.server))
      const { url } = yield* client.authorize(launch)
      assert.strictEqual(url.origin, "https://ehr.example")
      assert.strictEqual(url.searchParams.get("client_id"), "growth-chart")
      assert.strictEqual(url.searchParams.get("aud"), "https://ehr.example/fhir")
      assert.isTrue(net.asked.every((one) => one.startsWith("https://ehr.example/fhir/.well-known/")))
    }).pipe(
      Effect.provide(
        SmartServers.layerTrustedIssuers.pipe(
          Layer.provideMerge(SmartServers.layerOpen(() => us)),
          Layer.provide(net.layer)
        )
      )
    )
  })

  it.effect("one server however it is spelled, found again by its key, and never listed", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const first = yield* servers.forIssuer("https://ehr.example/fhir/")
      assert.strictEqual(yield* servers.forIssuer("HTTPS://EHR.example:443/fhir"), first)
      assert.strictEqual(yield* servers.client(first.name), first)
      assert.deepStrictEqual(yield* servers.keys, [])
      assert.strictEqual((yield* Effect.flip(servers.only)).reason, "UnknownKey")
      // After a restart, a session knows the key and the registry does not.
      assert.strictEqual(
        (yield* servers.client("https://other.example/r4")).config.fhirBaseUrl,
        "https://other.example/r4"
      )
      yield* servers.invalidate("https://ehr.example/fhir")
      assert.deepStrictEqual(net.asked, [])
    }).pipe(Effect.provide(SmartServers.layerOpen(() => us).pipe(Layer.provide(net.layer))))
  })

  it.effect("https only, no credentials, no monsters, and nothing the template turns down", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      for (
        const iss of [
          "http://ehr.example/fhir",
          "http://localhost/fhir",
          "http://127.0.0.1/fhir",
          "https://user:pass@ehr.example/fhir",
          "https://ehr.example/fhir?x=1",
          "javascript:alert(1)",
          "file:///etc/passwd",
          "ehr.example/fhir",
          "",
          `https://ehr.example/${"x".repeat(3000)}`,
          "https://no.example/fhir"
        ]
      ) {
        assert.strictEqual((yield* Effect.flip(servers.forIssuer(iss))).reason, "UnknownIssuer", iss)
        assert.strictEqual((yield* Effect.flip(servers.client(iss))).reason, "UnknownKey", iss)
      }
      assert.deepStrictEqual(net.asked, [])
    }).pipe(
      Effect.provide(
        SmartServers.layerOpen((iss) => iss.startsWith("https://no.example") ? undefined : us).pipe(
          Layer.provide(net.layer)
        )
      )
    )
  })

  it.effect("remembers so many and forgets the least recently named", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const at = (n: number) => servers.forIssuer(`https://ehr${n}.example/fhir`)
      const first = yield* at(1)
      const second = yield* at(2)
      yield* at(3)
      assert.strictEqual(yield* at(1), first)
      yield* at(4)
      assert.strictEqual(yield* at(1), first)
      assert.notStrictEqual(yield* at(2), second)
    }).pipe(Effect.provide(SmartServers.layerOpen(() => us, { maxServers: 3 }).pipe(Layer.provide(net.layer))))
  })

  it.effect("servers configured by hand come first, are trusted while they are, and only they are listed", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.5/fhir"])
      assert.strictEqual((yield* servers.forIssuer("https://10.0.0.5/fhir/")).name, "ward")
      assert.strictEqual((yield* servers.only).config.clientId, "ward-client")
      yield* servers.add("lab", { ...us, fhirBaseUrl: "https://10.0.0.6/fhir" })
      assert.deepStrictEqual(yield* servers.keys, ["ward", "lab"])
      assert.isTrue(net.trusted.has("https://10.0.0.6/fhir"))
      yield* servers.forIssuer("https://ehr.example/fhir")
      assert.isFalse(net.trusted.has("https://ehr.example/fhir"))
      yield* servers.remove("lab")
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.5/fhir"])
      assert.strictEqual((yield* servers.forIssuer("https://10.0.0.6/fhir")).name, "https://10.0.0.6/fhir")
    }).pipe(
      Effect.provide(
        SmartServers.layerOpen(() => us, {
          servers: { ward: { ...us, clientId: "ward-client", fhirBaseUrl: "https://10.0.0.5/fhir" } }
        }).pipe(Layer.provide(net.layer))
      )
    )
  })

  it.effect("a template that is no use refuses the server instead of failing the program", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.strictEqual((yield* Effect.flip(servers.forIssuer("https://ehr.example/fhir"))).reason, "UnknownIssuer")
    }).pipe(
      Effect.provide(
        SmartServers.layerOpen(() => ({ ...us, redirectUri: "not a URL" })).pipe(Layer.provide(net.layer))
      ),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  })

  it.scopedLive("[X-SSRF-1] end to end: an iss on this machine is followed nowhere", () =>
    Effect.gen(function*() {
      const server = yield* Http.server((_, response) => response.end("{}"))
      const port = server.origin.split(":")[2]
      const program = Effect.gen(function*() {
        const servers = yield* SmartServers.SmartServers
        for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "10.0.0.1", "169.254.169.254"]) {
          const client = yield* servers.forIssuer(`https://${host}:${port}/fhir`)
          const error = yield* Effect.flip(client.configuration)
          assert.strictEqual(error._tag, "DiscoveryError")
          assert.strictEqual(error.reason, "Unreachable")
        }
      })
      yield* Effect.provide(
        program,
        SmartServers.layerOpen(() => us).pipe(Layer.provide(NodeTransport.layerGuarded({ connectTimeout: "1 second" })))
      )
      assert.strictEqual(server.requests.length, 0)
      assert.strictEqual(server.open(), 0)
    }))
})
