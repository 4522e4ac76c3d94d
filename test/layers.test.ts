/**
 * Which `HttpClient`, cache and settings a layer uses when several are built together: see "Sharing by layers" in
 * docs/architecture.md.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import {
  BackendServices,
  ClientAuthentication,
  ClientAuthenticationConfig,
  Discovery,
  HttpLimits,
  Pkce,
  RetryPolicy,
  SecureRandom,
  Sessions,
  SessionStore,
  SmartClient,
  SmartServers
} from "effect-safire"
import { json, text } from "./support/http.js"
import { clientId, entries, type Entry, fhirBaseUrl, tokens, transport, type Use } from "./support/layerContract.js"
import { recorded } from "./support/warnings.js"

/** Two users of the same layer in one program. */
class A extends Context.Tag("test/A")<A, Use>() {}
class B extends Context.Tag("test/B")<B, Use>() {}

const run = <I>(tag: Context.Tag<I, Use>) => Effect.flatMap(tag, (use) => use.run)

/** First A's request, then B's. */
const both = Effect.all([Effect.exit(run(A)), Effect.exit(run(B))])

const succeeded = Effect.map(both, (exits) => exits.map(({ _tag }) => _tag))

const of = (kinds: ReadonlyArray<Entry["kind"]>): ReadonlyArray<readonly [string, Entry]> =>
  Object.entries(entries).filter(([, { kind }]) => kinds.includes(kind))

describe("layers that need an HttpClient", () => {
  describe.each(of(["Shared", "Fresh", "Own"]))("%s", (_, { kind, requests, user }) => {
    it.effect("uses its own HttpClient, also beside another one in the same build", () => {
      const [plain, guarded] = [transport(), transport()]
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* succeeded, ["Success", "Success"])
        assert.deepStrictEqual([plain.sent(), guarded.sent()], [requests, requests])
      }).pipe(Effect.provide(Layer.mergeAll(
        user(A).pipe(Layer.provide(plain.layer)),
        user(B).pipe(Layer.provide(guarded.layer))
      )))
    })

    it.effect("shares its state only with layers over the same HttpClient", () => {
      const [once, each] = [transport(), transport()]
      const expected = kind === "Shared" ? requests : 2 * requests
      return Effect.gen(function*() {
        yield* Effect.provide(both, Layer.mergeAll(user(A), user(B)).pipe(Layer.provide(once.layer)))
        yield* Effect.provide(
          both,
          Layer.mergeAll(user(A).pipe(Layer.provide(each.layer)), user(B).pipe(Layer.provide(each.layer)))
        )
        assert.deepStrictEqual([once.sent(), each.sent()], [expected, expected])
      })
    })

    it.effect("does not share its state between builds, or with `Layer.fresh`", () => {
      const net = transport()
      return Effect.gen(function*() {
        yield* Effect.provide(run(A), user(A).pipe(Layer.provide(net.layer)))
        yield* Effect.provide(run(A), user(A).pipe(Layer.provide(net.layer)))
        assert.strictEqual(net.sent(), 2 * requests)
        yield* Effect.provide(both, Layer.merge(user(A), Layer.fresh(user(B))).pipe(Layer.provide(net.layer)))
        assert.strictEqual(net.sent(), 4 * requests)
      })
    })

    it.effect("does not use the HttpLimits of another layer", () => {
      const net = transport()
      const small = HttpLimits.layer({ maxResponseBytes: 1, maxFhirResponseBytes: 1 })
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* succeeded, ["Failure", "Success"])
      }).pipe(Effect.provide(
        Layer.mergeAll(user(A).pipe(Layer.provide(small)), user(B)).pipe(Layer.provide(net.layer))
      ))
    })

    it.effect("does not use the RetryPolicy of another layer", () => {
      const net = transport(() => text("", { status: 503 }))
      const twice = RetryPolicy.layer(Schedule.recurs(1))
      return Effect.gen(function*() {
        yield* Effect.exit(run(A))
        const alone = net.requests.length
        yield* Effect.exit(run(B))
        assert.deepStrictEqual([alone, net.requests.length], [1, 3])
      }).pipe(Effect.provide(
        Layer.mergeAll(
          user(A).pipe(Layer.provide(RetryPolicy.layer(RetryPolicy.none))),
          user(B).pipe(Layer.provide(twice))
        ).pipe(Layer.provide(net.layer))
      ))
    })
  })

  describe.each(of(["Memoised"]))("%s", (_, { requests, user }) => {
    it.effect("is built once by Effect; `layerWith({})` makes another layer", () => {
      const [first, second] = [transport(), transport()]
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* succeeded, ["Success", "Success"])
        assert.deepStrictEqual([first.sent(), second.sent()], [requests, 0])
      }).pipe(Effect.provide(Layer.mergeAll(
        user(A).pipe(Layer.provide(first.layer)),
        user(B).pipe(Layer.provide(second.layer))
      )))
    })
  })
})

const config: SmartClient.Config = { fhirBaseUrl, clientId, scopes: ["system/*.rs"] }
const server = { ...config, authentication: ClientAuthentication.makePublic }

const single = <I>(
  tag: Context.Tag<I, SmartClient.Service>,
  layer: ReturnType<typeof SmartClient.layer> = SmartClient.layer(config)
) =>
  Layer.effect(tag, SmartClient.SmartClient).pipe(Layer.provide(layer), Layer.provide(ClientAuthentication.layerPublic))

class North extends Context.Tag("test/North")<North, SmartClient.Service>() {}
class South extends Context.Tag("test/South")<South, SmartClient.Service>() {}

const configurations = Effect.all([
  Effect.flatMap(North, ({ configuration }) => configuration),
  Effect.flatMap(South, ({ configuration }) => configuration)
])

describe("several clients in one program", () => {
  it.effect("an open registry uses its guarded transport beside a client with a plain one", () => {
    const [plain, guarded] = [transport(), transport()]
    return Effect.gen(function*() {
      const client = yield* North
      yield* client.configuration
      const servers = yield* SmartServers.SmartServers
      const met = yield* servers.forLaunchIss("https://stranger.example/fhir")
      yield* Effect.exit(met.configuration)
      yield* Effect.exit(met.clientCredentials())
      assert.isTrue(plain.requests.every(({ url }) => url.startsWith(fhirBaseUrl)))
      assert.isTrue(guarded.requests.some(({ url }) => url.startsWith("https://stranger.example/fhir")))
    }).pipe(Effect.provide(Layer.mergeAll(
      single(North).pipe(Layer.provide(plain.layer)),
      SmartServers.layerOpen(() => server).pipe(Layer.provide(guarded.layer))
    )))
  })

  it.effect("two clients with different TLS certificates send all requests with their own certificate", () => {
    const [north, south] = [transport(), transport()]
    const authorize = <I>(tag: Context.Tag<I, SmartClient.Service>) =>
      Effect.flatMap(tag, (client) => Effect.zipRight(client.configuration, client.clientCredentials()))
    return Effect.gen(function*() {
      yield* authorize(North)
      yield* authorize(South)
      const paths = [`${fhirBaseUrl}/.well-known/smart-configuration`, "https://ehr.test/token"]
      assert.deepStrictEqual(north.requests.map(({ url }) => url), paths)
      assert.deepStrictEqual(south.requests.map(({ url }) => url), paths)
    }).pipe(Effect.provide(Layer.mergeAll(
      single(North).pipe(Layer.provide(north.layer)),
      single(South).pipe(Layer.provide(south.layer))
    )))
  })

  it.effect("clients, a registry and `Discovery` over one transport fetch a server's metadata once", () => {
    const net = transport()
    return Effect.gen(function*() {
      yield* configurations
      const servers = yield* SmartServers.SmartServers
      yield* Effect.flatMap(servers.client("east"), ({ configuration }) => configuration)
      const discovery = yield* Discovery.Discovery
      yield* discovery.configuration(fhirBaseUrl)
      assert.strictEqual(net.requests.length, 1)
      // What one of them invalidates is invalid for all.
      yield* Effect.flatMap(North, ({ invalidate }) => invalidate)
      yield* discovery.configuration(fhirBaseUrl)
      assert.strictEqual(net.requests.length, 2)
    }).pipe(Effect.provide(
      Layer.mergeAll(
        single(North),
        single(South),
        SmartServers.layer({ east: server }),
        Discovery.layer()
      ).pipe(Layer.provide(net.layer))
    ))
  })

  it.effect("layers with equal options share their state, and layers with other options do not", () => {
    const net = transport()
    const parts = (timeToLive: string) =>
      SmartClient.layerWithoutDependencies(config).pipe(
        Layer.provide(Discovery.layer({ timeToLive: timeToLive as "1 minute" })),
        Layer.provide(SmartClient.layerDependencies())
      )
    class West extends Context.Tag("test/West")<West, SmartClient.Service>() {}
    return Effect.gen(function*() {
      yield* configurations
      assert.strictEqual(net.requests.length, 1)
      yield* Effect.flatMap(West, ({ configuration }) => configuration)
      assert.strictEqual(net.requests.length, 2)
    }).pipe(Effect.provide(
      Layer.mergeAll(
        single(North, parts("5 minutes")),
        single(South, parts("5 minutes")),
        single(West, parts("6 minutes"))
      ).pipe(Layer.provide(net.layer))
    ))
  })

  it.effect("conformance warnings of a client go to the subscriber of its layer", () => {
    const [north, south] = [recorded(), recorded()]
    const net = transport((seen) =>
      seen.url.endsWith("smart-configuration")
        ? json({ token_endpoint: "https://ehr.test/token", capabilities: "launch-ehr" })
        : json({ access_token: "a", token_type: "bearer", expires_in: "300", scope: "system/*.rs" })
    )
    return Effect.gen(function*() {
      yield* configurations
      yield* Effect.flatMap(South, (client) => client.clientCredentials())
      assert.deepStrictEqual(north.codes(), ["MetadataMemberMalformed"])
      assert.deepStrictEqual(south.codes(), ["MetadataMemberMalformed", "ExpiresInNotNumber"])
    }).pipe(Effect.provide(
      Layer.mergeAll(
        single(North).pipe(Layer.provide(north.layer)),
        single(South).pipe(Layer.provide(south.layer))
      ).pipe(Layer.provide(net.layer))
    ))
  })

  it.effect("a SecureRandom of one client's layer is not used by another client", () => {
    const zeros = SecureRandom.layer({ bytes: (count) => Effect.succeed(new Uint8Array(count)) })
    class Known extends Context.Tag("test/Known")<Known, Pkce.Service>() {}
    class Unknown extends Context.Tag("test/Unknown")<Unknown, Pkce.Service>() {}
    return Effect.gen(function*() {
      const challenges = yield* Effect.all([
        Effect.flatMap(Known, ({ generate }) => generate),
        Effect.flatMap(Unknown, ({ generate }) => generate)
      ])
      assert.notStrictEqual(challenges[0].challenge, challenges[1].challenge)
    }).pipe(Effect.provide(Layer.mergeAll(
      Layer.effect(Known, Pkce.Pkce).pipe(Layer.provide(Pkce.layer), Layer.provide(zeros)),
      Layer.effect(Unknown, Pkce.Pkce).pipe(Layer.provide(Pkce.layer))
    )))
  })

  it.effect("each `layerConfig` reads its own ConfigProvider", () => {
    const environment = (secret: string) =>
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["SMART.CLIENT_SECRET", secret]])))
    class Secret extends Context.Tag("test/Secret")<Secret, ClientAuthentication.Service>() {}
    class None extends Context.Tag("test/None")<None, ClientAuthentication.Service>() {}
    return Effect.gen(function*() {
      assert.strictEqual((yield* Secret).method, "client_secret_basic")
      assert.strictEqual((yield* None).method, "none")
    }).pipe(
      Effect.provide(Layer.mergeAll(
        Layer.effect(Secret, ClientAuthentication.ClientAuthentication).pipe(
          Layer.provide(ClientAuthenticationConfig.layer),
          Layer.provide(environment("s3cret"))
        ),
        Layer.effect(None, ClientAuthentication.ClientAuthentication).pipe(
          Layer.provide(ClientAuthenticationConfig.layer),
          Layer.provide(environment(""))
        )
      )),
      Effect.provide(Logger.remove(Logger.defaultLogger))
    )
  })

  it.effect("`layerFromClient` of two clients gives each its own registry, sessions and backend", () => {
    const net = transport()
    const named = (name: string) =>
      Layer.provide(SmartClient.layer({ ...config, name }), ClientAuthentication.layerPublic)
    class First extends Context.Tag("test/First")<First, SmartServers.Service>() {}
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* (yield* First).keys, ["first"])
      const backend = yield* BackendServices.BackendServices
      assert.strictEqual((yield* backend.client()).name, "second")
      const sessions = yield* Sessions.Sessions
      const session = yield* sessions.session(yield* sessions.importTokens(tokens))
      assert.strictEqual(session.server, "third")
    }).pipe(Effect.provide(
      Layer.mergeAll(
        Layer.effect(First, SmartServers.SmartServers).pipe(
          Layer.provide(SmartServers.layerFromClient),
          Layer.provide(named("first"))
        ),
        BackendServices.layerFromClient.pipe(Layer.provide(named("second"))),
        Sessions.layerFromClient.pipe(Layer.provide(named("third")), Layer.provide(SessionStore.layerMemory))
      ).pipe(Layer.provide(net.layer))
    ))
  })

  it.effect("Effect builds a layer in a const once, also if two transports are provided", () => {
    const [first, second] = [transport(), transport()]
    const bound = SmartClient.layer(config)
    return Effect.gen(function*() {
      yield* configurations
      assert.deepStrictEqual([first.requests.length, second.requests.length], [1, 0])
    }).pipe(Effect.provide(Layer.mergeAll(
      single(North, bound).pipe(Layer.provide(first.layer)),
      single(South, bound).pipe(Layer.provide(second.layer))
    )))
  })
})
