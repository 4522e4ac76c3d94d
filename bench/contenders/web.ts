/**
 * A login over HTTP: the routes of this library, and routes of @effect/platform that do the same by hand. Both run on
 * Effect's server for Node, with `NodeTransport`, and with launches and sessions in memory.
 */
import { createServer } from "node:http"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ClientAuthentication, Sessions, SessionStore, SmartServers } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SmartRoutes, WebApp } from "effect-safire/web"
import { construct } from "../../src/base/SchemaFields.js"
import { PendingLaunch, StoredSession } from "../../src/session/internal/sessionEntry.js"
import type { ContenderModule, Work } from "../harness/Contender.js"
import type { Setting } from "../harness/Setting.js"

const ORIGIN = "https://app.example.org"

const services = (setting: Setting) => {
  const { clientId, fhirBaseUrl, redirectUri, scopes } = setting
  const servers = SmartServers.layer({
    hospital: {
      fhirBaseUrl,
      clientId,
      redirectUri,
      scopes,
      allowInsecureLocalhost: true,
      authentication: ClientAuthentication.makePublic
    }
  })
  return Layer.mergeAll(SessionStore.layerMemory, servers).pipe(Layer.provide(NodeTransport.layer()))
}

const ours = (setting: Setting) =>
  SmartRoutes.layer.pipe(
    Layer.provide(WebApp.layer({ baseUrl: ORIGIN })),
    Layer.provide(Layer.mergeAll(Sessions.layer, SmartServers.layerTrustedIssuers)),
    Layer.provide(services(setting))
  )

const random = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url")

const redirect = (location: string, name: string, value: string) =>
  HttpServerResponse.empty({
    status: 303,
    headers: { location, "set-cookie": `__Host-${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax` }
  })

const byHand = (setting: Setting, client: HttpClient.HttpClient) => {
  const pending = new Map<string, string>()
  const sessions = new Map<string, unknown>()

  const launch = Effect.promise(async () => {
    const [verifier, state] = [random(), random()]
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))
    pending.set(state, verifier)
    const params = new URLSearchParams({
      response_type: "code",
      client_id: setting.clientId,
      redirect_uri: setting.redirectUri,
      scope: setting.scopes.join(" "),
      state,
      aud: setting.fhirBaseUrl,
      code_challenge: Buffer.from(digest).toString("base64url"),
      code_challenge_method: "S256"
    })
    return redirect(`${setting.authorizationEndpoint}?${params.toString()}`, "launch", state)
  })

  const callback = Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { searchParams } = new URL(request.url, ORIGIN)
    const state = /__Host-launch=([^;]+)/.exec(request.headers["cookie"] ?? "")?.[1] ?? ""
    const verifier = pending.get(state)
    if (verifier === undefined || searchParams.get("state") !== state) return HttpServerResponse.empty({ status: 400 })
    pending.delete(state)
    const form = new URLSearchParams({
      grant_type: "authorization_code",
      code: searchParams.get("code") ?? "",
      redirect_uri: setting.redirectUri,
      code_verifier: verifier,
      client_id: setting.clientId
    })
    const response = yield* client.execute(HttpClientRequest.post(setting.tokenEndpoint, {
      acceptJson: true,
      body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded")
    }))
    const id = random()
    sessions.set(id, yield* response.json)
    return redirect(`${ORIGIN}/`, "session", id)
  })

  return Layer.mergeAll(
    HttpLayerRouter.add("GET", "/launch", launch),
    HttpLayerRouter.add("GET", "/callback", Effect.orDie(callback))
  )
}

const byHandLive = (setting: Setting) =>
  Layer.unwrapEffect(Effect.map(HttpClient.HttpClient, (client) => byHand(setting, client))).pipe(
    Layer.provide(NodeTransport.layer())
  )

const common = { version: 1, expiresAt: DateTime.unsafeMake(Date.now() + 8 * 3_600_000) } as const

/**
 * The floor of `SmartRoutes`: what a login must do, in routes by hand. The launch and the session are entries of the
 * store, and the callback is exchanged by the client. Without locks, other cookies, error pages and a second delivery.
 */
const composed = (setting: Setting) =>
  Layer.unwrapEffect(Effect.gen(function*() {
    const client = yield* Effect.flatMap(SmartServers.SmartServers, ({ only }) => only)
    const store = yield* SessionStore.SessionStore

    const launch = Effect.gen(function*() {
      const browserBinding = Redacted.make(random())
      const { pending, url } = yield* client.authorize()
      const entry = construct(PendingLaunch, { _tag: "PendingLaunch", ...common, pending, browserBinding })
      yield* store.set(SessionStore.launchKey(pending.state), entry)
      return redirect(url.href, "launch", Redacted.value(browserBinding))
    })

    const callback = Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const { search, searchParams } = new URL(request.url, ORIGIN)
      const secret = /__Host-launch=([^;]+)/.exec(request.headers["cookie"] ?? "")?.[1]
      const key = SessionStore.launchKey(Redacted.make(searchParams.get("state") ?? ""))
      const entry = Option.getOrUndefined(yield* store.take(key))
      if (entry?._tag !== "PendingLaunch" || entry.browserBinding === undefined) return yield* Effect.fail("no launch")
      if (Redacted.value(entry.browserBinding) !== secret) return yield* Effect.fail("another browser")
      const tokens = yield* client.exchange(setting.redirectUri + search, entry.pending)
      const id = random()
      const createdAt = yield* DateTime.now
      const session = construct(StoredSession, {
        _tag: "StoredSession",
        ...common,
        server: client.name,
        tokens,
        createdAt
      })
      yield* store.set(Redacted.make(`session.${id}`), session)
      return redirect(`${ORIGIN}/`, "session", id)
    })

    return Layer.mergeAll(
      HttpLayerRouter.add("GET", "/launch", Effect.orDie(launch)),
      HttpLayerRouter.add("GET", "/callback", Effect.orDie(callback))
    )
  })).pipe(Layer.provide(services(setting)))

const routesOf = (setting: Setting, variant: string) => {
  switch (variant) {
    case "by hand":
      return byHandLive(setting)
    case "composed":
      return Layer.orDie(composed(setting))
    default:
      return ours(setting)
  }
}

/** By its address, because what is plain JavaScript has no types. */
const loginsOf = async (setting: Setting, port: number): Promise<Work> => {
  const { logins } = (await import(setting.logins)) as { readonly logins: (port: number) => Promise<Work> }
  return logins(port)
}

export const make: ContenderModule["make"] = async (setting, variant) => {
  const server = NodeHttpServer.layer(() => createServer({ keepAliveTimeout: 0 }), { port: 0, host: "127.0.0.1" })
  const runtime = ManagedRuntime.make(
    HttpLayerRouter.serve(routesOf(setting, variant), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(server)
    )
  )
  const { address } = await runtime.runPromise(HttpServer.HttpServer)
  if (address._tag !== "TcpAddress") throw new Error("no port")
  return { login: await loginsOf(setting, address.port) }
}
