import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import {
  AddressGuard,
  BackendServices,
  ClientAuthentication,
  FhirClient,
  LaunchContext,
  LaunchRequest,
  Sessions,
  SessionStore,
  SmartServers,
  TokenSet
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as Http from "../support/http.js"

const us = {
  clientId: "growth-chart",
  redirectUri: "https://app.test/callback",
  authentication: ClientAuthentication.makePublic
}

const refusesAll = { allows: () => false, trust: () => Effect.void }

const tokens = new TokenSet.TokenSet({
  version: 1,
  accessToken: Redacted.make("a"),
  scopes: [],
  context: new LaunchContext.LaunchContext({}),
  extensions: Redacted.make({}),
  receivedAt: DateTime.unsafeMake(0)
})

/** EHRs that answer every request, and a guard that records the trusted URLs. */
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
    guard,
    layer: Layer.merge(
      Layer.succeed(HttpClient.HttpClient, AddressGuard.mark(client, guard)),
      Layer.succeed(AddressGuard.AddressGuard, guard)
    )
  }
}

describe("SmartServers.layerOpen", () => {
  it("does not type-check over a transport without an address guard", () => {
    const open = SmartServers.layerOpen(() => us)
    const guarded: Layer.Layer<SmartServers.SmartServers, unknown> = Layer.provide(open, NodeTransport.layerGuarded())
    // @ts-expect-error fetch provides no AddressGuard
    const overFetch: Layer.Layer<SmartServers.SmartServers, unknown> = Layer.provide(open, FetchHttpClient.layer)
    // @ts-expect-error nor does the transport without the guard
    const unguarded: Layer.Layer<SmartServers.SmartServers, unknown> = Layer.provide(open, NodeTransport.layer())
    for (const layer of [guarded, overFetch, unguarded]) assert.isTrue(Layer.isLayer(layer))
  })

  it.effect("follows a launch from a server that is not configured, by the template", () => {
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

  it.effect("one server for all spellings of its URL, found by its key, and not listed", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const first = yield* servers.forLaunchIss("https://ehr.example/fhir/")
      assert.strictEqual(yield* servers.forLaunchIss("HTTPS://EHR.example:443/fhir"), first)
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

  it.effect("refuses http, credentials, very long URLs and servers that the template rejects", () => {
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
        assert.strictEqual((yield* Effect.flip(servers.forLaunchIss(iss))).reason, "UnknownIssuer", iss)
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

  it.effect("has a capacity, and removes the server that was used least recently", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const at = (n: number) => servers.forLaunchIss(`https://ehr${n}.example/fhir`)
      const first = yield* at(1)
      const second = yield* at(2)
      yield* at(3)
      assert.strictEqual(yield* at(1), first)
      yield* at(4)
      assert.strictEqual(yield* at(1), first)
      assert.notStrictEqual(yield* at(2), second)
    }).pipe(Effect.provide(SmartServers.layerOpen(() => us, { maxServers: 3 }).pipe(Layer.provide(net.layer))))
  })

  it.effect("configured servers take precedence, are trusted while they are configured, and are listed", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.5/fhir"])
      assert.strictEqual((yield* servers.forLaunchIss("https://10.0.0.5/fhir/")).name, "ward")
      assert.strictEqual((yield* servers.only).config.clientId, "ward-client")
      yield* servers.add("lab", { ...us, fhirBaseUrl: "https://10.0.0.6/fhir" })
      assert.deepStrictEqual(yield* servers.keys, ["ward", "lab"])
      assert.isTrue(net.trusted.has("https://10.0.0.6/fhir"))
      yield* servers.forLaunchIss("https://ehr.example/fhir")
      assert.isFalse(net.trusted.has("https://ehr.example/fhir"))
      yield* servers.remove("lab")
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.5/fhir"])
      assert.strictEqual((yield* servers.forLaunchIss("https://10.0.0.6/fhir")).name, "https://10.0.0.6/fhir")
    }).pipe(
      Effect.provide(
        SmartServers.layerOpen(() => us, {
          servers: { ward: { ...us, clientId: "ward-client", fhirBaseUrl: "https://10.0.0.5/fhir" } }
        }).pipe(Layer.provide(net.layer))
      )
    )
  })

  it.effect("a server that is replaced or removed is not trusted any more, and its metadata can be forgotten", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      yield* servers.add("lab", { ...us, fhirBaseUrl: "https://10.0.0.6/fhir" })
      yield* servers.add("lab", { ...us, fhirBaseUrl: "https://10.0.0.7/fhir" })
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.7/fhir"])
      const invalid = servers.add("lab", { ...us, fhirBaseUrl: "nonsense" })
      assert.strictEqual((yield* Effect.flip(invalid))._tag, "ConfigurationError")
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.7/fhir"])
      yield* servers.remove("other")
      assert.deepStrictEqual([...net.trusted], ["https://10.0.0.7/fhir"])
      yield* servers.remove("lab")
      assert.deepStrictEqual([...net.trusted], [])
      const client = yield* servers.forLaunchIss("https://ehr.example/fhir")
      for (const requests of [1, 1, 2]) {
        if (requests === 2) yield* servers.invalidate(client.name)
        yield* client.configuration
        assert.lengthOf(net.asked, requests)
      }
      assert.strictEqual((yield* Effect.flip(servers.invalidate("other"))).reason, "UnknownKey")
    }).pipe(Effect.provide(SmartServers.layerOpen(() => us).pipe(Layer.provide(net.layer))))
  })

  it.effect("a key selects a discovered server by its own URL, and no configured server by a URL", () => {
    const net = makeNet()
    const discovered = "https://ehr.example/fhir"
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const find = (iss: string, server: string) =>
        Effect.match(servers.forLaunchIss(iss, { server }), {
          onSuccess: ({ name }) => name,
          onFailure: ({ reason }) => reason
        })
      assert.strictEqual(yield* find(`${discovered}/`, discovered), discovered)
      assert.strictEqual(yield* find(discovered, "ward"), "UnknownIssuer")
      assert.strictEqual(yield* find(discovered, "https://other.example/fhir"), "UnknownIssuer")
      assert.strictEqual(yield* find("https://10.0.0.5/fhir", "ward"), "ward")
      assert.strictEqual(yield* find("https://10.0.0.5/fhir", "https://10.0.0.5/fhir"), "UnknownIssuer")
      const twins = yield* Effect.flip(servers.forLaunchIss("https://10.0.0.8/fhir"))
      assert.strictEqual(twins.reason, "Ambiguous")
      assert.strictEqual(yield* find("https://10.0.0.8/fhir", "https://10.0.0.8/fhir"), "UnknownIssuer")
    }).pipe(
      Effect.provide(
        SmartServers.layerOpen(() => us, {
          servers: {
            ward: { ...us, fhirBaseUrl: "https://10.0.0.5/fhir" },
            one: { ...us, fhirBaseUrl: "https://10.0.0.8/fhir" },
            two: { ...us, fhirBaseUrl: "https://10.0.0.8/fhir" }
          }
        }).pipe(Layer.provide(net.layer))
      )
    )
  })

  it.effect("a base URL of 2048 characters is the longest", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const base = "https://ehr.example/"
      const longest = base + "x".repeat(2048 - base.length)
      assert.strictEqual((yield* servers.forLaunchIss(longest)).name, longest)
      assert.strictEqual((yield* Effect.flip(servers.forLaunchIss(`${longest}x`))).reason, "UnknownIssuer")
    }).pipe(Effect.provide(SmartServers.layerOpen(() => us).pipe(Layer.provide(net.layer))))
  })

  it.effect("an invalid template refuses the server without a defect", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.strictEqual((yield* Effect.flip(servers.forLaunchIss("https://ehr.example/fhir"))).reason, "UnknownIssuer")
    }).pipe(
      Effect.provide(
        SmartServers.layerOpen(() => ({ ...us, redirectUri: "not a URL" })).pipe(Layer.provide(net.layer))
      ),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  })

  describe("the guard is a property of the HttpClient instance", () => {
    const built = <E>(transport: Layer.Layer<HttpClient.HttpClient | AddressGuard.AddressGuard, E>) =>
      Effect.scoped(Layer.build(SmartServers.layerOpen(() => us).pipe(Layer.provide(transport))))

    const derived = (derive: (client: HttpClient.HttpClient, guard: AddressGuard.Service) => HttpClient.HttpClient) =>
      Layer.effect(
        HttpClient.HttpClient,
        Effect.zipWith(HttpClient.HttpClient, AddressGuard.AddressGuard, derive)
      ).pipe(Layer.provideMerge(NodeTransport.layerGuarded({ connectTimeout: "1 second" })))

    const withHeader = HttpClient.mapRequest(HttpClientRequest.setHeader("user-agent", "growth-chart"))

    it.effect.each(
      [
        ["fetch, merged with a guarded transport", Layer.merge(NodeTransport.layerGuarded(), FetchHttpClient.layer)],
        [
          "a plain transport, merged with a guarded one",
          Layer.merge(NodeTransport.layerGuarded(), NodeTransport.layer())
        ],
        [
          "a guard alone beside fetch",
          Layer.merge(FetchHttpClient.layer, Layer.succeed(AddressGuard.AddressGuard, refusesAll))
        ],
        ["a client that a combinator made", derived((client) => withHeader(client))],
        ["a client that retries", derived((client) => HttpClient.retry(client, { times: 1 }))],
        ["a client that follows redirects", derived((client) => HttpClient.followRedirects(client))],
        ["a copy", derived((client) => Object.assign(Object.create(Object.getPrototypeOf(client)), client))],
        ["an heir", derived((client) => Object.create(client))]
      ] as const
    )("layerOpen refuses %s", ([, transport]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(built(transport))
        assert.strictEqual(error._tag, "ConfigurationError")
        assert.strictEqual(error.reason, "Insecure")
        assert.include(error.message, "NodeTransport.layerGuarded()")
        assert.include(error.message, "AddressGuard.mark")
      }))

    it.effect("a marked client is accepted after other layers were merged", () =>
      Effect.gen(function*() {
        const transport = derived((client, guard) => AddressGuard.mark(withHeader(client), guard))
        yield* built(transport)
        yield* built(Layer.merge(FetchHttpClient.layer, transport))
      }))

    it.scopedLive("a marked client connects through the guard of the client that it was derived from", () =>
      Effect.gen(function*() {
        const server = yield* Http.server((_, response) => response.end("{}"))
        const port = server.origin.split(":")[2]
        const transport = derived((client, guard) => AddressGuard.mark(withHeader(client), guard))
        const error = yield* Effect.flatMap(
          SmartServers.SmartServers,
          (servers) =>
            Effect.flatMap(
              servers.forLaunchIss(`https://127.0.0.1:${port}/fhir`),
              ({ configuration }) => Effect.flip(configuration)
            )
        ).pipe(
          Effect.provide(SmartServers.layerOpen(() => us).pipe(Layer.provide(transport)))
        )
        assert.strictEqual(error._tag, "DiscoveryError")
        assert.strictEqual(server.open(), 0)
      }))

    it.effect("servers that you configure are trusted by the guard of the client, not by another one in the environment", () => {
      const net = makeNet()
      const other = makeNet()
      return Effect.gen(function*() {
        yield* SmartServers.SmartServers
        assert.deepStrictEqual([...net.trusted], ["https://10.0.0.5/fhir"])
        assert.deepStrictEqual([...other.trusted], [])
      }).pipe(Effect.provide(
        SmartServers.layerOpen(() => us, { servers: { ward: { ...us, fhirBaseUrl: "https://10.0.0.5/fhir" } } }).pipe(
          Layer.provide(Layer.merge(net.layer, Layer.succeed(AddressGuard.AddressGuard, other.guard)))
        )
      ))
    })
  })

  describe("FHIR requests to a server that was discovered", () => {
    const ward = { ...us, fhirBaseUrl: "https://ward.example/fhir" }
    const stranger = "https://stranger.example/fhir"
    const patient = () => Http.json({ resourceType: "Patient", id: "1" })

    const outcome = <A, E, R>(request: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
      Effect.match(request, {
        onSuccess: () => "sent",
        onFailure: (error) => Predicate.hasProperty(error, "reason") ? error.reason : error
      })

    /** Every request that can be made, and what it fails with. */
    const requests = (fhirBaseUrl: string) =>
      Effect.gen(function*() {
        const servers = yield* SmartServers.SmartServers
        const smart = yield* servers.forLaunchIss(fhirBaseUrl)
        const fhir = yield* FhirClient.FhirClient
        const backend = yield* BackendServices.BackendServices
        const sessions = yield* Sessions.Sessions
        const session = yield* sessions.importTokens(tokens, { server: smart.name })
        const url = `${fhirBaseUrl}/Patient/1`
        const of = <E, R>(authorized: FhirClient.Authorized<E, R>) => [
          outcome(authorized.read("Patient", "1")),
          outcome(authorized.request({ interaction: "read", url })),
          outcome(Stream.runDrain(authorized.search("Patient"))),
          outcome(Stream.runDrain(authorized.download({ interaction: "read", url }))),
          outcome(authorized.httpClient.get(url))
        ]
        const all = [
          ...of(fhir.forTokens(smart, tokens)),
          ...of(fhir.forSession(session)),
          ...of(fhir.forBackend({ server: smart.name, scopes: ["system/*.rs"] })),
          outcome(backend.httpClient({ server: smart.name, scopes: ["system/*.rs"] }).get(url))
        ]
        return yield* Effect.all(all)
      })

    const program = (transport: Layer.Layer<HttpClient.HttpClient>, guarded: Http.Fake) =>
      Layer.mergeAll(FhirClient.layer, BackendServices.layer, Sessions.layer).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provide(transport),
        Layer.provideMerge(
          SmartServers.layerOpen(() => us, { servers: { ward } }).pipe(
            Layer.provide(Http.guarded(guarded))
          )
        )
      )

    const registry = () =>
      Http.fake(({ url }) =>
        url.endsWith("/token")
          ? Http.json({ access_token: "a", token_type: "bearer", expires_in: 300, scope: "system/*.rs" })
          : url.endsWith("smart-configuration")
          ? Http.json({ token_endpoint: `${new URL(url).origin}/token`, capabilities: [] })
          : patient()
      )

    it.effect("sends no request over a client without a guard, and fails with advice", () => {
      const plain = Http.fake(patient)
      return Effect.gen(function*() {
        const outcomes = yield* requests(stranger)
        assert.deepStrictEqual([...new Set(outcomes)], ["UnguardedTransport"])
        assert.strictEqual(outcomes.length, 16)
        assert.deepStrictEqual(plain.requests, [])
      }).pipe(Effect.provide(program(plain.layer, registry())))
    })

    it.effect("requests are sent over the client of the registry, and to configured servers over any client", () => {
      const plain = Http.fake(patient)
      const net = registry()
      return Effect.gen(function*() {
        const guarded = yield* Effect.provide(requests(stranger), program(Http.guarded(net), net))
        assert.notInclude(guarded, "UnguardedTransport")
        const configured = yield* Effect.provide(requests(ward.fhirBaseUrl), program(plain.layer, net))
        assert.notInclude(configured, "UnguardedTransport")
        assert.isAbove(plain.requests.length, 10)
      })
    })

    it.effect("a template cannot mark a discovered server as configured", () => {
      const net = registry()
      const template = { ...us, discovered: false, allowInsecureLocalhost: true }
      return Effect.gen(function*() {
        const servers = yield* SmartServers.SmartServers
        const { config } = yield* servers.forLaunchIss(stranger)
        assert.isTrue(config.discovered)
        assert.isFalse(config.allowInsecureLocalhost)
      }).pipe(Effect.provide(SmartServers.layerOpen(() => template).pipe(Layer.provide(Http.guarded(net)))))
    })
  })

  it.scopedLive("end to end: an iss on this machine causes no request", () =>
    Effect.gen(function*() {
      const server = yield* Http.server((_, response) => response.end("{}"))
      const port = server.origin.split(":")[2]
      const program = Effect.gen(function*() {
        const servers = yield* SmartServers.SmartServers
        for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "10.0.0.1", "169.254.169.254"]) {
          const client = yield* servers.forLaunchIss(`https://${host}:${port}/fhir`)
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
