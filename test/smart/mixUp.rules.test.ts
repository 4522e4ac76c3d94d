import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import type { SmartClient } from "effect-safire"
import { AddressGuard, ClientAuthentication, SmartServers } from "effect-safire"
import { recorded } from "../support/warnings.js"

type Metadata = Readonly<Record<string, unknown>> | "down" | "hanging"

/** Servers by the host of their FHIR base URL. Token endpoints issue a token for every request and record its URL. */
const makeNet = (metadata: Readonly<Record<string, Metadata>>) => {
  const documents: Record<string, Metadata> = { ...metadata }
  const tokens: Array<string> = []
  const discoveries: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.suspend(() => {
      if (url.pathname.endsWith("/token")) {
        tokens.push(url.href)
        return Effect.succeed(HttpClientResponse.fromWeb(
          request,
          Response.json({ access_token: "t", token_type: "Bearer", expires_in: 300, scope: "patient/*.rs" })
        ))
      }
      discoveries.push(url.host)
      const document = documents[url.host]
      return document === "hanging" ? Effect.never : Effect.succeed(HttpClientResponse.fromWeb(
        request,
        document === "down" || document === undefined
          ? new Response("", { status: 404 })
          : Response.json({
            authorization_endpoint: `https://${url.host}/authorize`,
            token_endpoint: `https://${url.host}/token`,
            code_challenge_methods_supported: ["S256"],
            capabilities: [],
            ...document
          })
      ))
    })
  )
  return { documents, tokens, discoveries, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const SHARED = "https://app.test/callback"

const at = (host: string, config: Partial<SmartClient.Config> = {}): SmartServers.Server => ({
  fhirBaseUrl: `https://${host}/fhir`,
  clientId: "the-app",
  redirectUri: SHARED,
  scopes: ["patient/*.rs"],
  authentication: ClientAuthentication.makePublic,
  ...config
})

/** A launch at a server of the registry and the callback that arrives for it. */
const launchAt = (name: string, callback: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const client = yield* servers.client(name)
    const { pending, url } = yield* client.authorize()
    const arrived = new URL(pending.redirectUri)
    for (const [name, value] of Object.entries({ code: "c0de", ...callback })) arrived.searchParams.set(name, value)
    arrived.searchParams.set("state", url.searchParams.get("state") ?? "")
    return { client, pending, arrived, servers }
  })

const outcomeOf = <A, E extends { readonly _tag: string }>(self: Effect.Effect<A, E>) =>
  Effect.map(Effect.either(self), (result) =>
    Either.match(result, {
      onLeft: (error) => "reason" in error ? String(error.reason) : error._tag,
      onRight: () => "accepted"
    }))

const exchange = (name: string, callback: Readonly<Record<string, string>>) =>
  Effect.flatMap(
    launchAt(name, callback),
    ({ arrived, client, pending }) => outcomeOf(client.exchange(arrived, pending))
  )

const run = <A, E>(
  net: ReturnType<typeof makeNet>,
  servers: Layer.Layer<SmartServers.SmartServers, unknown, HttpClient.HttpClient>,
  program: Effect.Effect<A, E, SmartServers.SmartServers>
) => {
  const { codes, layer } = recorded()
  return Effect.provide(program, Layer.provide(servers, Layer.merge(net.layer, layer))).pipe(
    Effect.map((result) => [result, codes().filter((code) => code.startsWith("Issuer"))] as const)
  )
}

const north = { issuer: "https://north.test/auth" }
const OFF = "https://login.test"

interface Case {
  readonly title: string
  readonly metadata: Readonly<Record<string, Metadata>>
  readonly servers: Readonly<Record<string, SmartServers.Server>>
  readonly at: string
  readonly iss: string
  readonly outcome: string
  readonly warnings: ReadonlyArray<string>
  /** The hosts whose metadata is read beside that of the launch's server. */
  readonly reads?: ReadonlyArray<string>
}

const evil = at("evil.test")
const own = { redirectUri: "https://app.test/callback/own" }

const cases: ReadonlyArray<Case> = [
  {
    title: "an iss that is the issuer at the server's own origin is accepted, and other servers are not asked",
    metadata: { "north.test": north, "south.test": "hanging" },
    servers: { north: at("north.test"), south: at("south.test") },
    at: "north",
    iss: north.issuer,
    outcome: "accepted",
    warnings: []
  },
  {
    title: "a hostile server whose metadata has no issuer gets no code of another server",
    metadata: { "north.test": north, "evil.test": {} },
    servers: { north: at("north.test"), evil },
    at: "evil",
    iss: north.issuer,
    outcome: "IssuerNotComparable",
    warnings: []
  },
  {
    title: "a hostile server that copies the issuer of another server gets no code of that server",
    metadata: { "north.test": north, "evil.test": north },
    servers: { north: at("north.test"), evil },
    at: "evil",
    iss: north.issuer,
    outcome: "IssuerMismatch",
    warnings: ["IssuerShared"],
    reads: ["north.test"]
  },
  {
    title: "nor does it while that server's metadata cannot be read",
    metadata: { "north.test": "down", "evil.test": north },
    servers: { north: at("north.test"), evil },
    at: "evil",
    iss: north.issuer,
    outcome: "IssuerNotComparable",
    warnings: [],
    reads: ["north.test"]
  },
  {
    title: "nor while that server names no issuer, but says that its callbacks have one",
    metadata: { "north.test": { authorization_response_iss_parameter_supported: true }, "evil.test": north },
    servers: { north: at("north.test"), evil },
    at: "evil",
    iss: north.issuer,
    outcome: "IssuerNotComparable",
    warnings: [],
    reads: ["north.test"]
  },
  {
    title: "nor where its redirect URI is its own and the other server takes that, too",
    metadata: { "north.test": north, "evil.test": {} },
    servers: { north: at("north.test"), evil: at("evil.test", own) },
    at: "evil",
    iss: north.issuer,
    outcome: "IssuerMismatch",
    warnings: [],
    reads: ["north.test"]
  },
  {
    title: "nor where the issuer is configured for that server",
    metadata: { "north.test": {}, "evil.test": { issuer: OFF } },
    servers: { north: at("north.test", { issuer: OFF }), evil },
    at: "evil",
    iss: OFF,
    outcome: "IssuerMismatch",
    warnings: ["IssuerShared"],
    reads: ["north.test"]
  },
  {
    title: "a configured issuer has priority over the metadata of other servers",
    metadata: { "north.test": {}, "evil.test": { issuer: OFF } },
    servers: { north: at("north.test", { issuer: OFF }), evil },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: []
  },
  {
    title: "an issuer in metadata that is given by hand counts as configured",
    metadata: { "evil.test": { issuer: OFF } },
    servers: {
      north: at("north.test", {
        metadata: {
          issuer: OFF,
          authorizationEndpoint: "https://north.test/authorize",
          tokenEndpoint: "https://north.test/token"
        }
      }),
      evil
    },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: []
  },
  {
    title: "a configured issuer is compared in place of the metadata's",
    metadata: { "north.test": north },
    servers: { north: at("north.test", { issuer: OFF }) },
    at: "north",
    iss: north.issuer,
    outcome: "IssuerMismatch",
    warnings: []
  },
  {
    title: "an issuer that two servers with different endpoints claim identifies neither",
    metadata: { "north.test": { issuer: OFF }, "evil.test": { issuer: OFF } },
    servers: { north: at("north.test"), evil },
    at: "north",
    iss: OFF,
    outcome: "IssuerNotComparable",
    warnings: ["IssuerShared"],
    reads: ["evil.test"]
  },
  {
    title: "such an iss is accepted at a redirect URI of the server's own",
    metadata: { "north.test": { issuer: OFF }, "evil.test": { issuer: OFF } },
    servers: { north: at("north.test", own), evil },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: ["IssuerShared", "IssuerUnknown"],
    reads: ["evil.test"]
  },
  {
    title: "redirect URIs that differ in a query or in a slash at the end are no redirect URIs of one server's own",
    metadata: { "north.test": {}, "evil.test": {} },
    servers: { north: at("north.test", { redirectUri: `${SHARED}/?server=north` }), evil },
    at: "north",
    iss: OFF,
    outcome: "IssuerNotComparable",
    warnings: []
  },
  {
    title: "two FHIR servers behind one authorization server may both name its issuer",
    metadata: {
      "north.test": { issuer: OFF, authorization_endpoint: `${OFF}/authorize`, token_endpoint: `${OFF}/token` },
      "south.test": { issuer: OFF, authorization_endpoint: `${OFF}/authorize`, token_endpoint: `${OFF}/token` }
    },
    servers: { north: at("north.test"), south: at("south.test") },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: [],
    reads: ["south.test"]
  },
  {
    title: "a server that copies the issuer and the token endpoint, and sends people elsewhere, is another server",
    metadata: {
      "north.test": { issuer: OFF, authorization_endpoint: `${OFF}/authorize`, token_endpoint: `${OFF}/token` },
      "evil.test": { issuer: OFF, token_endpoint: `${OFF}/token` }
    },
    servers: { north: at("north.test"), evil },
    at: "evil",
    iss: OFF,
    outcome: "IssuerNotComparable",
    warnings: ["IssuerShared"],
    reads: ["north.test"]
  },
  {
    title:
      "a server that copies the issuer and the authorization endpoint, and has its own token endpoint, is another server",
    metadata: {
      "north.test": { issuer: OFF, authorization_endpoint: `${OFF}/authorize`, token_endpoint: `${OFF}/token` },
      "evil.test": { issuer: OFF, authorization_endpoint: `${OFF}/authorize` }
    },
    servers: { north: at("north.test"), evil },
    at: "evil",
    iss: OFF,
    outcome: "IssuerNotComparable",
    warnings: ["IssuerShared"],
    reads: ["north.test"]
  },
  {
    title: "a server with another configured issuer does not claim this one, also while its metadata cannot be read",
    metadata: { "north.test": { issuer: OFF }, "south.test": "down" },
    servers: { north: at("north.test"), south: at("south.test", { issuer: "https://south.test" }) },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: []
  },
  {
    title: "an issuer at the server's own origin is accepted while another server with it has no readable metadata",
    metadata: { "north.test": north, "south.test": "down" },
    servers: { north: at("north.test"), south: at("south.test", { issuer: north.issuer }) },
    at: "north",
    iss: north.issuer,
    outcome: "accepted",
    warnings: [],
    reads: ["south.test"]
  },
  {
    title: "an issuer that one server alone claims is accepted where the others name theirs or say nothing of an iss",
    metadata: { "north.test": { issuer: OFF }, "south.test": { issuer: "https://south.test" }, "west.test": {} },
    servers: { north: at("north.test"), south: at("south.test"), west: at("west.test") },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: [],
    reads: ["south.test", "west.test"]
  },
  {
    title: "two registrations at one FHIR server are no danger to each other",
    metadata: { "north.test": {} },
    servers: { clinicians: at("north.test"), patients: at("north.test") },
    at: "patients",
    iss: OFF,
    outcome: "accepted",
    warnings: ["IssuerUnknown"]
  },
  {
    title: "a server that is alone, as a client without a registry is, may leave its issuer out",
    metadata: { "north.test": {} },
    servers: { north: at("north.test") },
    at: "north",
    iss: OFF,
    outcome: "accepted",
    warnings: ["IssuerUnknown"]
  }
]

describe("mix-up: the rules of RFC 9207 and of RFC 9700, section 4.4", () => {
  it.effect.each(cases)("$title", ({ at, iss, metadata, outcome, reads = [], servers, warnings: expected }) => {
    const net = makeNet(metadata)
    return Effect.gen(function*() {
      const [result, warnings] = yield* run(net, SmartServers.layer(servers), exchange(at, { iss }))
      assert.strictEqual(result, outcome)
      assert.deepStrictEqual(warnings, expected)
      assert.strictEqual(net.tokens.length, outcome === "accepted" ? 1 : 0)
      const { host } = new URL(servers[at]?.fhirBaseUrl ?? "")
      assert.sameMembers([...new Set(net.discoveries)].filter((one) => one !== host), [...reads])
    })
  })

  it.effect("the message has both remedies and the servers that share the redirect URI", () => {
    const net = makeNet({ "north.test": north, "evil.test": {} })
    return Effect.gen(function*() {
      const [error] = yield* run(
        net,
        SmartServers.layer({ north: at("north.test"), evil }),
        Effect.flatMap(
          launchAt("evil", { iss: north.issuer }),
          ({ arrived, client, pending }) => Effect.flip(client.exchange(arrived, pending))
        )
      )
      assert.include(error.message, `its redirect URI ${SHARED} is also that of north`)
      assert.include(error.message, "configure the server's issuer")
      assert.include(error.message, "SMART_ISSUER")
      assert.include(error.message, "its own redirect URI")
      assert.notInclude(error.message, "c0de")
    })
  })

  it.effect("an error response of another server does not count as the server's", () => {
    const net = makeNet({ "north.test": north, "evil.test": {} })
    return Effect.gen(function*() {
      const [result] = yield* run(
        net,
        SmartServers.layer({ north: at("north.test"), evil }),
        exchange("evil", { iss: north.issuer, error: "access_denied" })
      )
      assert.strictEqual(result, "IssuerNotComparable")
    })
  })

  it.effect("waits five seconds at most for the metadata of other servers", () => {
    const net = makeNet({ "north.test": { issuer: OFF }, "south.test": "hanging" })
    return Effect.gen(function*() {
      const [result] = yield* run(
        net,
        SmartServers.layer({ north: at("north.test"), south: at("south.test") }),
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(exchange("north", { iss: OFF }))
          yield* TestClock.adjust("5 seconds")
          return yield* Fiber.join(fiber)
        })
      )
      assert.strictEqual(result, "IssuerNotComparable")
    })
  })

  it.effect("a server without a response does not hide that another one claims the issuer", () => {
    const net = makeNet({ "north.test": { issuer: OFF }, "south.test": "hanging", "evil.test": { issuer: OFF } })
    return Effect.gen(function*() {
      const [result, warnings] = yield* run(
        net,
        SmartServers.layer({ north: at("north.test"), south: at("south.test"), evil }),
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(exchange("north", { iss: OFF }))
          yield* TestClock.adjust("5 seconds")
          return yield* Fiber.join(fiber)
        })
      )
      assert.strictEqual(result, "IssuerNotComparable")
      assert.deepStrictEqual(warnings, ["IssuerShared"])
    })
  })

  it.effect("refuses a callback without iss if the metadata of the launch announced one", () => {
    const promise = { authorization_response_iss_parameter_supported: true }
    const net = makeNet({ "north.test": { ...north, ...promise }, "south.test": {} })
    return Effect.gen(function*() {
      const servers = SmartServers.layer({ north: at("north.test"), south: at("south.test") })
      const [results] = yield* run(net, servers, Effect.all([exchange("north", {}), exchange("south", {})]))
      assert.deepStrictEqual(results, ["IssuerMissing", "accepted"])
    })
  })

  describe("while a launch is pending", () => {
    const pendingAtEvil = (
      metadata: Readonly<Record<string, Metadata>>,
      servers: Readonly<Record<string, SmartServers.Server>>,
      meanwhile: (servers: SmartServers.Service, net: ReturnType<typeof makeNet>) => Effect.Effect<void, unknown>,
      iss = north.issuer
    ) =>
      Effect.suspend(() => {
        const net = makeNet(metadata)
        return Effect.map(
          run(
            net,
            SmartServers.layer(servers),
            Effect.gen(function*() {
              const { arrived, client, pending, servers } = yield* launchAt("evil", { iss })
              yield* TestClock.adjust("1 minute")
              yield* meanwhile(servers, net)
              yield* TestClock.adjust("1 minute")
              const current = yield* Effect.orElseSucceed(servers.client("evil"), () => client)
              return yield* outcomeOf(current.exchange(arrived, pending))
            })
          ),
          ([outcome]) => ({ outcome, tokens: net.tokens })
        )
      })

    it.effect("a server that is removed still counts, by its redirect URI and by its issuer", () =>
      Effect.gen(function*() {
        const servers = { north: at("north.test"), evil }
        const remove = (servers: SmartServers.Service) => servers.remove("north")
        const silent = yield* pendingAtEvil({ "north.test": north, "evil.test": {} }, servers, remove)
        assert.deepStrictEqual(silent, { outcome: "IssuerNotComparable", tokens: [] })
        const copying = yield* pendingAtEvil({ "north.test": north, "evil.test": north }, servers, remove)
        assert.deepStrictEqual(copying, { outcome: "IssuerMismatch", tokens: [] })
        const replaced = yield* pendingAtEvil(
          { "north.test": north, "evil.test": north },
          servers,
          (servers) => servers.add("north", at("elsewhere.test"))
        )
        assert.deepStrictEqual(replaced, { outcome: "IssuerMismatch", tokens: [] })
      }))

    it.effect("a server that was removed before the launch does not count", () =>
      Effect.gen(function*() {
        const net = makeNet({ "north.test": "down", "south.test": { issuer: OFF } })
        const [result] = yield* run(
          net,
          SmartServers.layer({ north: at("north.test"), south: at("south.test") }),
          Effect.gen(function*() {
            const servers = yield* SmartServers.SmartServers
            yield* servers.remove("north")
            yield* TestClock.adjust("1 minute")
            return yield* exchange("south", { iss: OFF })
          })
        )
        assert.strictEqual(result, "accepted")
      }))

    it.effect("a server counts from the time it is added", () =>
      Effect.gen(function*() {
        const result = yield* pendingAtEvil(
          { "north.test": north, "evil.test": {} },
          { evil },
          (servers) => servers.add("north", at("north.test"))
        )
        assert.deepStrictEqual(result, { outcome: "IssuerNotComparable", tokens: [] })
      }))

    it.effect("a launch does not continue at another server with the same key", () =>
      Effect.gen(function*() {
        const result = yield* pendingAtEvil(
          { "evil.test": {}, "other.test": {} },
          { evil },
          (servers) => servers.add("evil", at("other.test")),
          OFF
        )
        assert.deepStrictEqual(result, { outcome: "WrongServer", tokens: [] })
      }))

    it.effect("changed metadata do not change where the code is sent", () =>
      Effect.gen(function*() {
        const asNorth = {
          ...north,
          authorization_endpoint: "https://north.test/authorize",
          token_endpoint: "https://north.test/token"
        }
        const change = (to: Metadata) => (servers: SmartServers.Service, net: ReturnType<typeof makeNet>) => {
          net.documents["evil.test"] = to
          return servers.invalidate("evil")
        }
        const servers = { north: at("north.test"), evil }
        const tokenEndpoint = yield* pendingAtEvil(
          { "north.test": north, "evil.test": asNorth },
          servers,
          change(north)
        )
        assert.deepStrictEqual(tokenEndpoint, { outcome: "accepted", tokens: ["https://north.test/token"] })
        const authorizationEndpoint = yield* pendingAtEvil(
          { "north.test": north, "evil.test": { ...asNorth, authorization_endpoint: "https://evil.test/authorize" } },
          servers,
          change(asNorth)
        )
        assert.deepStrictEqual(authorizationEndpoint, { outcome: "IssuerMismatch", tokens: [] })
        const issuer = yield* pendingAtEvil(
          { "north.test": north, "evil.test": { issuer: "https://evil.test" } },
          servers,
          change(north)
        )
        assert.deepStrictEqual(issuer, { outcome: "IssuerMismatch", tokens: [] })
      }))
  })

  describe("an open registry", () => {
    const guarded = Layer.effectContext(Effect.map(HttpClient.HttpClient, (client) => {
      const guard = { allows: () => true, trust: () => Effect.void }
      return Context.make(HttpClient.HttpClient, AddressGuard.mark(client, guard)).pipe(
        Context.add(AddressGuard.AddressGuard, guard)
      )
    }))
    const open = (
      servers: Readonly<Record<string, SmartServers.Server>> = {},
      template: Partial<SmartClient.Config> = {}
    ) => SmartServers.layerOpen(() => at("", template), { servers }).pipe(Layer.provide(guarded))
    const outcome = (
      metadata: Readonly<Record<string, Metadata>>,
      layer: ReturnType<typeof open>,
      name: string,
      iss: string
    ) => Effect.map(run(makeNet(metadata), layer, exchange(name, { iss })), ([result]) => result)

    it.effect("accepts from discovered servers an issuer at their origin, or one that `configure` returns", () =>
      Effect.gen(function*() {
        const evil = "https://evil.test/fhir"
        assert.strictEqual(
          yield* outcome({ "north.test": north }, open(), "https://north.test/fhir", north.issuer),
          "accepted"
        )
        assert.strictEqual(yield* outcome({ "evil.test": {} }, open(), evil, north.issuer), "IssuerNotComparable")
        assert.strictEqual(yield* outcome({ "evil.test": north }, open(), evil, north.issuer), "IssuerNotComparable")
        const configured = { north: at("north.test", own) }
        assert.strictEqual(
          yield* outcome({ "evil.test": north, "north.test": north }, open(configured), evil, north.issuer),
          "IssuerNotComparable"
        )
        assert.strictEqual(
          yield* outcome({ "x.test": {} }, open({}, { issuer: OFF }), "https://x.test/fhir", OFF),
          "accepted"
        )
      }))

    it.effect("a configured server with an issuer at another origin needs a configured issuer", () =>
      Effect.gen(function*() {
        const metadata = { "north.test": { issuer: OFF } }
        assert.strictEqual(
          yield* outcome(metadata, open({ north: at("north.test", own) }), "north", OFF),
          "IssuerNotComparable"
        )
        assert.strictEqual(
          yield* outcome(metadata, open({ north: at("north.test", { issuer: OFF }) }), "north", OFF),
          "accepted"
        )
      }))

    it.effect("a discovered server cannot claim the issuer of another server", () =>
      Effect.gen(function*() {
        const net = makeNet({ "north.test": north })
        const [result] = yield* run(
          net,
          open(),
          Effect.gen(function*() {
            const servers = yield* SmartServers.SmartServers
            for (const path of ["a", "b", "c"]) yield* servers.forLaunchIss(`https://north.test/${path}`)
            return yield* exchange("https://north.test/fhir", { iss: north.issuer })
          })
        )
        assert.strictEqual(result, "accepted")
      }))
  })
})
