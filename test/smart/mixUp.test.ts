/**
 * The mix-up attack (RFC 9700, section 4.4.1) over real sockets: two sandboxes, one of them hostile. A person starts a
 * launch at the hostile one, which sends them on to the honest one. The honest server's code arrives for the hostile
 * launch.
 */
import { createServer, get } from "node:http"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type { SmartClient } from "effect-safire"
import { ClientAuthentication, Sessions, SessionStore, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { SmartRoutes, WebApp } from "effect-safire/web"
import { freePort } from "../support/freePort.js"

const { Fault } = SandboxEhr

const onPort = (port: number) => NodeHttpServer.layer(() => createServer(), { port, host: "127.0.0.1" })

/** A sandbox that takes the app at any of these redirect URIs: the worst case. */
const sandbox = (redirectUris: ReadonlyArray<string>) =>
  Effect.map(
    Layer.build(
      SandboxEhr.layerServer({
        clients: [{ clientId: "the-app", redirectUris, authentication: { method: "none" } }]
      }).pipe(Layer.provide(onPort(0)), Layer.orDie)
    ),
    Context.get(SandboxEhr.SandboxEhr)
  )

type Claims = (honest: SandboxEhr.Service) => Readonly<Record<string, unknown>>

interface Setting {
  /** What the hostile server's metadata says in place of its own. */
  readonly claims: Claims
  readonly redirectUris?: { readonly honest: string; readonly hostile: string } | undefined
  readonly honest?: ((honest: SandboxEhr.Service) => Partial<SmartClient.Config>) | undefined
}

const start = ({ claims, honest: configured, redirectUris = { honest: "/callback", hostile: "/callback" } }: Setting) =>
  Effect.gen(function*() {
    const port = yield* freePort
    const baseUrl = `http://127.0.0.1:${port}`
    const uris = [baseUrl + redirectUris.honest, baseUrl + redirectUris.hostile]
    const [honest, hostile] = [yield* sandbox(uris), yield* sandbox(uris)]
    yield* hostile.fault("discovery", Fault.mutate((members) => ({ ...members, ...claims(honest) })), 100)
    const server = (ehr: SandboxEhr.Service, path: string) => ({
      fhirBaseUrl: ehr.fhirBaseUrl,
      clientId: "the-app",
      redirectUri: baseUrl + path,
      scopes: ["launch/patient", "patient/*.rs"],
      allowInsecureLocalhost: true,
      authentication: ClientAuthentication.makePublic
    })
    const services = yield* Layer.build(
      Layer.mergeAll(Sessions.layer, SmartServers.layerTrustedIssuers).pipe(
        Layer.provide(SessionStore.layerMemory),
        Layer.provideMerge(SmartServers.layer({
          honest: { ...server(honest, redirectUris.honest), ...configured?.(honest) },
          hostile: server(hostile, redirectUris.hostile)
        })),
        Layer.provide(FetchHttpClient.layer)
      )
    )
    yield* Layer.build(
      HttpLayerRouter.serve(SmartRoutes.layer, { disableListenLog: true, disableLogger: true }).pipe(
        Layer.provide(WebApp.layer({ baseUrl, allowInsecureLocalhost: true })),
        Layer.provide(Layer.succeedContext(services)),
        Layer.provide(onPort(port))
      )
    )
    return {
      baseUrl,
      honest,
      hostile,
      servers: Context.get(services, SmartServers.SmartServers),
      sessions: Context.get(services, Sessions.Sessions)
    }
  })

type World = Effect.Effect.Success<ReturnType<typeof start>>

/**
 * What the hostile authorization endpoint does with the person: `state`, challenge and redirect URI go on to the
 * honest one.
 */
const passOn = ({ honest }: World, launched: URL) => {
  const url = new URL(honest.endpoints.authorization)
  for (const [name, value] of launched.searchParams) url.searchParams.set(name, value)
  url.searchParams.set("aud", honest.fhirBaseUrl)
  return honest.approve(url)
}

/** The honest code and the verifier reached neither server. */
const assertUnspent = ({ honest, hostile }: World, callback: URL) =>
  Effect.gen(function*() {
    const code = callback.searchParams.get("code") ?? ""
    assert.isAtLeast(code.length, 20)
    for (const request of yield* hostile.requests) {
      assert.notStrictEqual(request.step, "token")
      assert.notInclude(JSON.stringify(request), code)
      assert.notInclude(JSON.stringify(request), "code_verifier")
    }
    assert.isFalse((yield* honest.requests).some(({ step }) => step === "token"))
  })

/** One request of a browser that takes every cookie. */
const visit = (url: string, cookie = "") =>
  Effect.async<{ readonly status: number | undefined; readonly location: string; readonly cookie: string }>(
    (resume) => {
      get(url, { headers: { cookie, accept: "text/html" } }, (response) => {
        response.resume()
        resume(Effect.succeed({
          status: response.statusCode,
          location: response.headers.location ?? "",
          cookie: (response.headers["set-cookie"] ?? []).map((line) => line.split(";")[0]).join("; ")
        }))
      }).on("error", (error) => resume(Effect.die(error)))
    }
  )

const attacks: ReadonlyArray<readonly [string, Setting]> = [
  ["has no issuer", { claims: () => ({ issuer: undefined }) }],
  [
    "has no issuer and promises no iss",
    { claims: () => ({ issuer: undefined, authorization_response_iss_parameter_supported: undefined }) }
  ],
  ["copies the honest issuer", { claims: ({ issuer }) => ({ issuer }) }],
  ["keeps its own issuer", { claims: () => ({}) }],
  [
    "copies the honest issuer and token endpoint",
    { claims: ({ endpoints, issuer }) => ({ issuer, token_endpoint: endpoints.token }) }
  ],
  [
    "has no issuer and a redirect URI of its own, which the honest server takes, too",
    {
      claims: () => ({ issuer: undefined }),
      redirectUris: { honest: "/callback/honest", hostile: "/callback/hostile" }
    }
  ],
  [
    "copies an issuer that is configured for the honest server",
    { claims: ({ issuer }) => ({ issuer }), honest: ({ issuer }) => ({ issuer }) }
  ]
]

describe("mix-up: a hostile server of the registry redirects a launch to an honest server", () => {
  it.scopedLive.each(attacks)(
    "whose metadata %s: `exchange` sends no code of the honest server",
    ([, setting]) =>
      Effect.gen(function*() {
        const world = yield* start(setting)
        const client = yield* world.servers.client("hostile")
        const { pending, url } = yield* client.authorize()
        const callback = yield* passOn(world, url)
        const error = yield* Effect.flip(client.exchange(callback, pending))
        assert.strictEqual(error._tag, "AuthorizationError")
        yield* assertUnspent(world, callback)
      })
  )

  it.scopedLive.each(attacks)(
    "whose metadata %s: `Sessions` and the routes end the launch",
    ([, setting]) =>
      Effect.gen(function*() {
        const world = yield* start(setting)
        const { url } = yield* world.sessions.startLaunch({ server: "hostile" })
        const callback = yield* passOn(world, url)
        const completed = yield* Effect.either(world.sessions.completeLaunch(callback))
        assert.isTrue(Either.isLeft(completed))
        yield* assertUnspent(world, callback)

        const begun = yield* visit(`${world.baseUrl}/launch?server=hostile`)
        assert.strictEqual(begun.status, 303)
        const second = yield* passOn(world, new URL(begun.location))
        const refused = yield* visit(second.href, begun.cookie)
        assert.include([400, 500], refused.status)
        yield* assertUnspent(world, second)
      })
  )

  it.scopedLive("is detected while the metadata of the honest server are unavailable", () =>
    Effect.gen(function*() {
      const world = yield* start({ claims: ({ issuer }) => ({ issuer }) })
      yield* world.honest.fault("discovery", Fault.status(404), 100)
      const client = yield* world.servers.client("hostile")
      const { pending, url } = yield* client.authorize()
      const callback = yield* passOn(world, url)
      assert.strictEqual((yield* Effect.flip(client.exchange(callback, pending)))._tag, "AuthorizationError")
      yield* assertUnspent(world, callback)
    }))

  it.scopedLive("launches of the honest server continue, with a shared redirect URI and with one for each server", () =>
    Effect.gen(function*() {
      for (
        const redirectUris of [undefined, { honest: "/callback/honest", hostile: "/callback/hostile" }, {
          honest: "/from-honest",
          hostile: "/elsewhere/from-hostile"
        }]
      ) {
        const world = yield* start({ claims: ({ issuer }) => ({ issuer }), redirectUris })
        const begun = yield* visit(`${world.baseUrl}/launch?server=honest`)
        const callback = yield* world.honest.approve(begun.location)
        const done = yield* visit(callback.href, begun.cookie)
        assert.strictEqual(done.status, 303)
        assert.strictEqual(done.location, `${world.baseUrl}/`)
        assert.isFalse((yield* world.hostile.requests).some(({ step }) => step === "token"))
      }
    }))

  it.scopedLive("a callback at another redirect URI than its launch sent is refused, at every entry", () =>
    Effect.gen(function*() {
      const world = yield* start({
        claims: () => ({}),
        redirectUris: { honest: "/callback/honest", hostile: "/callback/hostile" }
      })
      const moved = (callback: URL) => new URL(callback.href.replace("/callback/honest", "/callback/hostile"))
      const client = yield* world.servers.client("honest")
      const launched = yield* client.authorize()
      const callback = yield* world.honest.approve(launched.url)
      for (const given of [moved(callback), moved(callback).href]) {
        const error = yield* Effect.flip(client.exchange(given, launched.pending))
        assert.strictEqual(error._tag === "AuthorizationError" ? error.reason : error._tag, "WrongRedirectUri")
      }

      const { url } = yield* world.sessions.startLaunch({ server: "honest" })
      const second = yield* world.honest.approve(url)
      const error = yield* Effect.flip(world.sessions.completeLaunch(moved(second)))
      assert.strictEqual(error._tag === "AuthorizationError" ? error.reason : error._tag, "WrongRedirectUri")

      const begun = yield* visit(`${world.baseUrl}/launch?server=honest`)
      const third = yield* world.honest.approve(begun.location)
      assert.strictEqual((yield* visit(moved(third).href, begun.cookie)).status, 400)
      assert.isFalse((yield* world.honest.requests).some(({ step }) => step === "token"))
    }))
})
