import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { ConfigurationError, SigningKeys, SmartClient, UnknownServerError } from "effect-safire"
import { Brands, ClientAuthentication, SmartServers, TrustedIssuers } from "effect-safire"

/** EHRs that respond to every request; requests are recorded by host. */
const makeNet = () => {
  const seen: Array<
    { readonly host: string; readonly path: string; readonly authorization: string | undefined; readonly body: string }
  > = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
      seen.push({ host: url.host, path: url.pathname, authorization: request.headers["authorization"], body })
      const origin = url.origin
      return HttpClientResponse.fromWeb(
        request,
        url.pathname.endsWith("smart-configuration")
          ? Response.json({
            token_endpoint: `${origin}/token`,
            authorization_endpoint: `${origin}/authorize`,
            capabilities: []
          })
          : Response.json({ access_token: "t", token_type: "Bearer", expires_in: 300, scope: "system/*.rs" })
      )
    })
  )
  return { seen, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const server = (host: string, more?: Partial<SmartClient.Config>) => ({
  fhirBaseUrl: `https://${host}/fhir`,
  clientId: `client-of-${host}`,
  redirectUri: "https://app.test/callback",
  scopes: ["system/*.rs"],
  ...more
})

const basic = (secret: string) => ClientAuthentication.makeClientSecretBasic({ clientSecret: Redacted.make(secret) })

const two = {
  north: { ...server("north.test"), authentication: ClientAuthentication.layerPublic },
  south: { ...server("south.test"), authentication: basic("south-secret") }
} satisfies SmartServers.Servers

describe("SmartServers", () => {
  it.effect("finds configured servers by key and by issuer", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.deepStrictEqual(yield* servers.keys, ["north", "south"])
      assert.strictEqual((yield* servers.client("south")).config.clientId, "client-of-south.test")
      for (const iss of ["https://north.test/fhir", "https://north.test/fhir/", "HTTPS://NORTH.test:443/fhir"]) {
        assert.strictEqual((yield* servers.forLaunchIss(iss)).name, "north")
      }
      const refusals: ReadonlyArray<
        readonly [Effect.Effect<unknown, UnknownServerError>, UnknownServerError["reason"]]
      > = [
        [servers.client("west"), "UnknownKey"],
        [servers.forLaunchIss("https://north.test/fhir2"), "UnknownIssuer"],
        [servers.forLaunchIss("http://north.test/fhir"), "UnknownIssuer"],
        [servers.forLaunchIss("https://north.test@evil.test/fhir"), "UnknownIssuer"],
        [servers.forLaunchIss("not a URL"), "UnknownIssuer"],
        [servers.forLaunchIss(""), "UnknownIssuer"],
        [servers.only, "Ambiguous"]
      ]
      for (const [effect, reason] of refusals) {
        assert.strictEqual((yield* Effect.flip(effect)).reason, reason)
      }
      assert.include((yield* Effect.flip(servers.client("west"))).message, "north, south")
      assert.deepStrictEqual(net.seen, [])
    }).pipe(Effect.provide(SmartServers.layer(two)), Effect.provide(net.layer))
  })

  it.effect("an error names the request without credentials and query, and at most twenty servers", () => {
    const many = Object.fromEntries(
      Array.from({ length: 25 }, (_, index) => [
        `s${index}`,
        { ...server("many.test"), authentication: ClientAuthentication.makePublic }
      ])
    )
    const firstTwenty = Array.from({ length: 20 }, (_, index) => `s${index}`)
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const unknown = yield* Effect.flip(servers.client(`secret\n${"k".repeat(300)}`))
      assert.strictEqual(unknown.reason, "UnknownKey")
      assert.isAtMost(unknown.requested.length, 201)
      assert.deepStrictEqual(unknown.candidates, firstTwenty)
      assert.isFalse(unknown.isRetryable)
      const foreign = yield* Effect.flip(servers.forLaunchIss("https://me:pw@foreign.test/fhir?launch=secret"))
      assert.deepStrictEqual([foreign.requested, foreign.candidates], ["https://foreign.test/fhir", firstTwenty])
      const both = yield* Effect.flip(servers.forLaunchIss("https://many.test/fhir"))
      assert.deepStrictEqual([both.reason, both.candidates], ["Ambiguous", firstTwenty])
      assert.strictEqual((yield* servers.forLaunchIss("https://many.test/fhir", { server: "s7" })).name, "s7")
      const only = yield* Effect.flip(servers.only)
      assert.deepStrictEqual([only.reason, only.requested, only.candidates], ["Ambiguous", "", firstTwenty])
      assert.match(only.message, /^No single server can be chosen \(Ambiguous; fitting: s0, s1/)
      assert.match(
        foreign.message,
        /^Server "https:\/\/foreign\.test\/fhir" cannot be chosen \(UnknownIssuer; configured: s0/
      )
    }).pipe(Effect.provide(SmartServers.layer(many)), Effect.provide(makeNet().layer))
  })

  it.effect("the error of an untrusted launch tells whether none, another or several servers have its iss", () => {
    const twin = { ...server("twin.test"), authentication: ClientAuthentication.makePublic }
    const local = {
      ...server("x"),
      fhirBaseUrl: "http://localhost/fhir",
      allowInsecureLocalhost: true,
      authentication: ClientAuthentication.makePublic
    }
    return Effect.gen(function*() {
      const { find } = yield* TrustedIssuers.TrustedIssuers
      const refused = (iss: string, server?: string) =>
        Effect.map(Effect.flip(find(iss, { server })), ({ detail, reason }) => `${reason}: ${detail}`)
      assert.strictEqual(yield* refused("https://x.test/fhir"), "IssUntrusted: no configured server has its iss")
      assert.strictEqual(
        yield* refused("https://twin.test/fhir", "local"),
        "IssUntrusted: the server that the app expects does not have its iss"
      )
      assert.strictEqual(
        yield* refused("https://twin.test/fhir"),
        "IssAmbiguous: several configured servers have its iss"
      )
      assert.include((yield* Effect.flip(find("https://x.test/fhir"))).detail, "no configured server")
      assert.deepStrictEqual(yield* find("http://localhost/fhir"), { server: "local", allowInsecureLocalhost: true })
      assert.deepStrictEqual(yield* find("https://twin.test/fhir", { server: "a" }), {
        server: "a",
        allowInsecureLocalhost: false
      })
    }).pipe(
      Effect.provide(Layer.provide(SmartServers.layerTrustedIssuers, SmartServers.layer({ a: twin, b: twin, local }))),
      Effect.provide(makeNet().layer)
    )
  })

  it.effect("a registry without servers has no server to choose and no redirect URI", () =>
    Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const none = yield* Effect.flip(servers.only)
      assert.deepStrictEqual([none.reason, none.candidates], ["UnknownKey", []])
      assert.match(none.message, /^No single server can be chosen \(UnknownKey; configured: none\)/)
      assert.deepStrictEqual(yield* servers.redirectUris, [])
      yield* servers.add("east", { ...server("east.test"), redirectUri: undefined, authentication: basic("x") })
      assert.strictEqual((yield* servers.only).name, "east")
      assert.deepStrictEqual(yield* servers.redirectUris, [])
      yield* servers.add("west", { ...server("west.test"), authentication: basic("x") })
      yield* servers.add("south", { ...server("south.test"), authentication: basic("x") })
      assert.deepStrictEqual(yield* servers.redirectUris, ["https://app.test/callback"])
      yield* servers.remove("west")
      yield* servers.remove("south")
      assert.strictEqual((yield* servers.only).name, "east")
      assert.deepStrictEqual(yield* servers.keys, ["east"])
    }).pipe(Effect.scoped, Effect.provide(SmartServers.layer({})), Effect.provide(makeNet().layer)))

  it.scoped("a server whose authentication cannot be built is not added, and replaces no other", () => {
    const failing = Layer.fail("no key" as const)
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const failure = servers.add("north", { ...server("other.test"), authentication: failing })
      assert.strictEqual(yield* Effect.flip(failure), "no key")
      const withoutId = yield* Effect.flip(
        servers.add("west", { ...server("west.test"), clientId: undefined, authentication: basic("x") })
      )
      assert.deepStrictEqual([withoutId.reason, withoutId.fields, withoutId.server], ["Missing", ["clientId"], "west"])
      const invalid = yield* Effect.flip(
        servers.add("west", { ...server("west.test"), fhirBaseUrl: "nonsense", authentication: basic("x") })
      )
      assert.deepStrictEqual([invalid.reason, invalid.fields, invalid.server], ["Invalid", ["fhirBaseUrl"], "west"])
      assert.deepStrictEqual(yield* servers.keys, ["north", "south"])
      assert.strictEqual((yield* servers.client("north")).config.fhirBaseUrl, "https://north.test/fhir")
    }).pipe(Effect.provide(SmartServers.layer(two)), Effect.provide(makeNet().layer))
  })

  it.effect("sends the credentials of each server to that server only", () => {
    const net = makeNet()
    const servers = {
      north: { ...server("north.test"), authentication: basic("north-secret") },
      south: {
        ...server("south.test"),
        authentication: ClientAuthentication.layerClientSecretPost({ clientSecret: Redacted.make("south-secret") })
      }
    }
    return Effect.gen(function*() {
      const { client } = yield* SmartServers.SmartServers
      yield* Effect.all([
        Effect.flatMap(client("north"), (north) => north.clientCredentials()),
        Effect.flatMap(client("south"), (south) => south.clientCredentials())
      ], { concurrency: 2 })
      const tokenRequests = net.seen.filter(({ path }) => path === "/token")
      assert.strictEqual(tokenRequests.length, 2)
      for (const { authorization, body, host } of tokenRequests) {
        const all = `${Buffer.from(authorization?.slice(6) ?? "", "base64").toString()} ${body}`
        assert.include(all, host === "north.test" ? "north-secret" : "south-secret")
        assert.notInclude(all, host === "north.test" ? "south-secret" : "north-secret")
      }
    }).pipe(Effect.provide(SmartServers.layer(servers)), Effect.provide(net.layer))
  })

  it.effect("shares one metadata cache, which can be invalidated for one server", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const twin = yield* servers.client("twin")
      const north = yield* servers.client("north")
      yield* north.configuration
      yield* twin.configuration
      assert.strictEqual(net.seen.length, 1)
      yield* servers.invalidate("north")
      yield* twin.configuration
      assert.strictEqual(net.seen.length, 2)
      assert.strictEqual((yield* Effect.flip(servers.invalidate("west"))).reason, "UnknownKey")
      assert.strictEqual((yield* Effect.flip(servers.forLaunchIss("https://north.test/fhir"))).reason, "Ambiguous")
    }).pipe(
      Effect.provide(SmartServers.layer({ ...two, twin: { ...server("north.test"), authentication: basic("x") } })),
      Effect.provide(net.layer)
    )
  })

  it.scoped("adds, replaces and removes servers while running, and releases their resources", () => {
    const net = makeNet()
    const released: Array<string> = []
    const held = (name: string) =>
      Layer.scoped(
        ClientAuthentication.ClientAuthentication,
        Effect.acquireRelease(Effect.succeed(basic(name)), () => Effect.sync(() => void released.push(name)))
      )
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      yield* servers.add("east", { ...server("east.test"), authentication: held("first") })
      assert.strictEqual((yield* servers.forLaunchIss("https://east.test/fhir")).name, "east")
      yield* servers.add("east", { ...server("east2.test"), authentication: held("second") })
      assert.deepStrictEqual(released, ["first"])
      assert.strictEqual((yield* Effect.flip(servers.forLaunchIss("https://east.test/fhir"))).reason, "UnknownIssuer")
      assert.strictEqual((yield* servers.forLaunchIss("https://east2.test/fhir")).name, "east")
      const refused = yield* Effect.flip(
        servers.add("east", {
          ...server("east3.test", { redirectUri: "http://app.test/" }),
          authentication: held("third")
        })
      )
      assert.strictEqual(refused.reason, "Insecure")
      assert.deepStrictEqual(released, ["first", "third"])
      assert.strictEqual((yield* servers.client("east")).config.fhirBaseUrl, "https://east2.test/fhir")
      yield* servers.remove("east")
      yield* servers.remove("east")
      assert.deepStrictEqual(released, ["first", "third", "second"])
      assert.strictEqual((yield* Effect.flip(servers.client("east"))).reason, "UnknownKey")
    }).pipe(Effect.provide(SmartServers.layer(two)), Effect.provide(net.layer))
  })

  it.effect("`layerConfig` reads the environment", () => {
    const net = makeNet()
    const environment = ConfigProvider.fromMap(
      new Map(Object.entries({
        SMART_SERVERS: "north,south-2",
        NORTH_FHIR_BASE_URL: "https://north.test/fhir",
        NORTH_CLIENT_ID: "n",
        NORTH_ISSUER: "https://login.north.test",
        SOUTH_2_FHIR_BASE_URL: "https://south.test/fhir",
        SOUTH_2_CLIENT_ID: "s",
        SOUTH_2_CLIENT_SECRET: "s:s€cret",
        SOUTH_2_CLIENT_SECRET_ENCODING: "form",
        SOUTH_2_SCOPES: "system/*.rs"
      })),
      { pathDelim: "_" }
    )
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.deepStrictEqual(yield* servers.keys, ["north", "south-2"])
      assert.strictEqual((yield* servers.client("north")).config.issuer, "https://login.north.test")
      assert.isUndefined((yield* servers.client("south-2")).config.issuer)
      yield* Effect.flatMap(servers.client("south-2"), (south) => south.clientCredentials())
      assert.strictEqual(
        net.seen.at(-1)?.authorization,
        `Basic ${Buffer.from("s:s%3As%E2%82%ACcret").toString("base64")}`
      )
    }).pipe(
      Effect.provide(SmartServers.layerConfig().pipe(Layer.provide(Layer.setConfigProvider(environment)))),
      Effect.provide(net.layer)
    )
  })

  it.effect("the variables of a server begin with its key in capitals, with one underscore for other characters", () => {
    const environment = ConfigProvider.fromMap(
      new Map([
        ["SMART_SERVERS", "north--2.x"],
        ["NORTH_2_X_FHIR_BASE_URL", "https://north.test/fhir"],
        ["NORTH_2_X_CLIENT_ID", "n"],
        ["NORTH_2_X_ALLOW_INSECURE_LOCALHOST", "true"]
      ]),
      { pathDelim: "_" }
    )
    return Effect.gen(function*() {
      const { config, name } = yield* Effect.flatMap(SmartServers.SmartServers, ({ only }) => only)
      assert.deepStrictEqual([name, config.clientId, config.allowInsecureLocalhost], ["north--2.x", "n", true])
    }).pipe(
      Effect.provide(SmartServers.layerConfig().pipe(Layer.provide(Layer.setConfigProvider(environment)))),
      Effect.provide(makeNet().layer)
    )
  })

  it.effect("refuses keys that would share variables", () =>
    Effect.gen(function*() {
      const environment = ConfigProvider.fromMap(new Map([["SMART_SERVERS", "a-1,a.1"]]), { pathDelim: "_" })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(
        SmartServers.layerConfig().pipe(
          Layer.provide(Layer.setConfigProvider(environment)),
          Layer.provide(makeNet().layer)
        )
      )))
      assert.strictEqual(error._tag, "ConfigurationError")
      assert.include(error.message, "a.1 would share variables")
      assert.notInclude(error.message, "a-1")
    }))

  it.effect("`layerFromClient` makes a registry of one client, and `client` returns one of a registry", () => {
    const net = makeNet()
    const single = SmartServers.layerFromClient.pipe(
      Layer.provide(SmartServers.layerClient("south")),
      Layer.provide(SmartServers.layer(two))
    )
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      assert.strictEqual((yield* servers.only).name, "south")
      assert.strictEqual((yield* servers.forLaunchIss("https://south.test/fhir/")).name, "south")
      assert.strictEqual((yield* Effect.flip(servers.forLaunchIss("https://north.test/fhir"))).reason, "UnknownIssuer")
      assert.strictEqual((yield* Effect.flip(servers.client("north"))).reason, "UnknownKey")
      const refused = yield* Effect.flip(servers.add("x", two.north))
      assert.strictEqual(refused.reason, "Conflict")
      yield* servers.remove("south")
      assert.deepStrictEqual(yield* servers.keys, ["south"])
      assert.deepStrictEqual(yield* servers.redirectUris, ["https://app.test/callback"])
      for (const iss of ["", "not a URL"]) {
        const unknown = yield* Effect.flip(servers.forLaunchIss(iss))
        assert.deepStrictEqual([unknown.reason, unknown.candidates], ["UnknownIssuer", ["south"]])
      }
      const named = (name: string) => Effect.either(servers.forLaunchIss("https://south.test/fhir", { server: name }))
      assert.deepStrictEqual([(yield* named("south"))._tag, (yield* named("north"))._tag], ["Right", "Left"])
      const configuration = Effect.flatMap(servers.only, (client) => client.configuration)
      yield* configuration
      yield* configuration
      assert.lengthOf(net.seen, 1)
      yield* servers.invalidate("south")
      yield* configuration
      assert.lengthOf(net.seen, 2)
      assert.strictEqual((yield* Effect.flip(servers.invalidate("north"))).reason, "UnknownKey")
    }).pipe(Effect.provide(single), Effect.provide(net.layer))
  })

  it.effect("[SMART-435] adds the servers of a brand bundle for which `configure` returns a configuration", () => {
    const net = makeNet()
    const endpoint = (id: string, address: string, status = "active") => ({
      fullUrl: `https://brands.test/Endpoint/${id}`,
      resource: {
        resourceType: "Endpoint",
        id,
        status,
        address,
        connectionType: {
          system: "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
          code: "hl7-fhir-rest"
        }
      }
    })
    const bundle = Brands.fromDocument("https://brands.test/bundle", {
      resourceType: "Bundle",
      type: "collection",
      timestamp: "2024-01-01T00:00:00Z",
      entry: [
        {
          fullUrl: "https://brands.test/Organization/hospital",
          resource: {
            resourceType: "Organization",
            id: "hospital",
            name: "Example Hospital",
            endpoint: ["a", "b", "off", "http"].map((id) => ({ reference: `Endpoint/${id}` }))
          }
        },
        endpoint("a", "https://a.test/fhir"),
        endpoint("b", "https://b.test/fhir"),
        endpoint("off", "https://off.test/fhir", "off"),
        endpoint("http", "http://insecure.test/fhir")
      ]
    })
    const servers = SmartServers.fromBrands(
      Option.getOrThrow(bundle),
      ({ fhirBaseUrl, name }) =>
        fhirBaseUrl === "https://b.test/fhir"
          ? undefined
          : { clientId: `at ${name}`, scopes: ["system/*.rs"], authentication: ClientAuthentication.makePublic }
    )
    return Effect.gen(function*() {
      const registry = yield* SmartServers.SmartServers
      assert.deepStrictEqual(yield* registry.keys, ["https://a.test/fhir"])
      const client = yield* registry.forLaunchIss("https://a.test/fhir/")
      assert.strictEqual(client.config.clientId, "at Example Hospital")
      assert.strictEqual(client.name, "https://a.test/fhir")
      assert.strictEqual((yield* Effect.flip(registry.forLaunchIss("https://b.test/fhir"))).reason, "UnknownIssuer")
    }).pipe(Effect.provide(SmartServers.layer(servers)), Effect.provide(net.layer))
  })

  it.effect("makes a client once, at its first use, with the settings of the registry", () => {
    const net = makeNet()
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      const [north, again] = [yield* servers.client("north"), yield* servers.client("north")]
      assert.strictEqual(north, again)
      assert.strictEqual(north, yield* servers.forLaunchIss("https://north.test/fhir"))
    }).pipe(Effect.provide(SmartServers.layer(two)), Effect.provide(net.layer))
  })

  it.effect("sends no discovery request to a server with configured metadata", () => {
    const net = makeNet()
    const given = {
      north: {
        ...server("north.test", { metadata: { tokenEndpoint: "https://given.test/token" } }),
        authentication: basic("x")
      }
    }
    return Effect.gen(function*() {
      const servers = yield* SmartServers.SmartServers
      yield* Effect.flatMap(servers.client("north"), (north) => north.clientCredentials())
      yield* servers.invalidate("north")
      yield* Effect.flatMap(servers.client("north"), (north) => north.clientCredentials())
      assert.deepStrictEqual(net.seen.map(({ host }) => host), ["given.test", "given.test"])
    }).pipe(Effect.provide(SmartServers.layer(given)), Effect.provide(net.layer))
  })

  it("the type has the requirements and errors of each server's authentication", () => {
    const mixed = SmartServers.layer({
      a: { ...server("a.test"), authentication: basic("x") },
      b: { ...server("b.test"), authentication: ClientAuthentication.layerPrivateKeyJwt() },
      c: { ...server("c.test"), authentication: ClientAuthentication.layerPublic }
    })
    const typed: Layer.Layer<
      SmartServers.SmartServers,
      ConfigurationError,
      HttpClient.HttpClient | SigningKeys.SigningKeys
    > = mixed
    // @ts-expect-error the signing keys are not optional
    const wrong: Layer.Layer<SmartServers.SmartServers, ConfigurationError, HttpClient.HttpClient> = mixed
    assert.strictEqual(typed, wrong)
  })
})
