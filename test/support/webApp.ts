/**
 * A web app with its routes and pages, the sandbox, and browsers that treat cookies as real ones do; all in the test's
 * fiber, so that `TestClock` controls the time.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpLayerRouter from "@effect/platform/HttpLayerRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import { ClientAuthentication, FhirClient, Sessions, SessionStore, type SmartClient, SmartServers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { CurrentSession, SmartRoutes, WebApp } from "effect-safire/web"

export const ORIGIN = "https://app.sandbox.test"
export const EHR_ORIGIN = "https://ehr.sandbox.test"

/** The origin of a request: the address bar, a page of the app, or a page of another site. */
export type From = "address bar" | "app" | "elsewhere"

export interface BrowserRequest {
  readonly method?: "GET" | "HEAD" | "POST" | undefined
  readonly form?: URLSearchParams | Readonly<Record<string, string>> | undefined
  readonly body?: { readonly type: string; readonly text: string } | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly from?: From | undefined
}

export interface BrowserResponse {
  readonly status: number
  readonly headers: Headers
  readonly body: string
  /** The absolute URL of the redirect; empty without a redirect. */
  readonly location: string
  /** The `Set-Cookie` headers with their attributes. */
  readonly cookies: ReadonlyArray<string>
}

interface StoredCookie {
  readonly value: string
  readonly sameSite: string
  readonly expiresAt: number
}

const attributesOf = (line: string) => {
  const [pair = "", ...rest] = line.split(/; */)
  const mark = pair.indexOf("=")
  const attributes = new Map(rest.map((one) => {
    const [name = "", value = ""] = one.split("=")
    return [name.toLowerCase(), value]
  }))
  return { name: pair.slice(0, mark), value: pair.slice(mark + 1), attributes }
}

/**
 * A browser with its own cookies. It follows the rules of the prefix `__Host-` and of `SameSite`.
 */
export const makeBrowser = (send: (request: Request) => Effect.Effect<Response>) => {
  const jar = new Map<string, StoredCookie>()

  const store = (line: string, now: number) => {
    const { attributes, name, value } = attributesOf(line)
    if (!attributes.has("secure")) throw new Error(`a cookie that needs no TLS: ${line}`)
    if (!name.startsWith("__Host-") || attributes.get("path") !== "/" || attributes.has("domain")) {
      throw new Error(`no browser stores ${line}`)
    }
    const maxAge = attributes.get("max-age")
    const expiresAt = maxAge === undefined ? Infinity : now + Number(maxAge) * 1000
    if (expiresAt <= now) jar.delete(name)
    else jar.set(name, { value, sameSite: attributes.get("samesite")?.toLowerCase() ?? "lax", expiresAt })
  }

  const cookieHeader = (from: From, method: string, now: number): string =>
    Array.from(jar)
      .filter(([, { expiresAt, sameSite }]) =>
        expiresAt > now && (from !== "elsewhere" || sameSite === "none" || (sameSite === "lax" && method === "GET"))
      )
      .map(([name, { value }]) => `${name}=${value}`)
      .join("; ")

  /** One request, redirects not followed. */
  const go = (to: string | URL, options: BrowserRequest = {}): Effect.Effect<BrowserResponse> =>
    Effect.gen(function*() {
      const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const { body, form, from = "address bar" } = options
      const method = options.method ?? (form === undefined && body === undefined ? "GET" : "POST")
      const cookie = cookieHeader(from, method, now)
      const headers = new Headers({
        accept: "text/html,application/xhtml+xml",
        "sec-fetch-site": from === "app" ? "same-origin" : from === "elsewhere" ? "cross-site" : "none",
        ...(method === "POST" ? { origin: from === "app" ? ORIGIN : "https://elsewhere.example" } : {}),
        ...(cookie === "" ? {} : { cookie }),
        ...(body === undefined ? {} : { "content-type": body.type }),
        ...options.headers
      })
      const response = yield* send(
        new Request(new URL(to, ORIGIN), {
          method,
          headers,
          redirect: "manual",
          ...(form === undefined
            ? body === undefined ? {} : { body: body.text }
            : { body: form instanceof URLSearchParams ? form : new URLSearchParams(form) })
        })
      )
      const cookies = response.headers.getSetCookie()
      for (const line of cookies) store(line, now)
      const location = response.headers.get("location")
      return {
        status: response.status,
        headers: response.headers,
        body: yield* Effect.promise(() => response.text()),
        location: location === null ? "" : new URL(location, new URL(to, ORIGIN)).href,
        cookies
      }
    })

  return {
    go,
    /** Names and values, as an attacker would steal them. */
    jar: () => new Map(Array.from(jar, ([name, { value }]) => [name, value])),
    plant: (name: string, value: string) => void jar.set(name, { value, sameSite: "none", expiresAt: Infinity })
  }
}

export type Browser = ReturnType<typeof makeBrowser>

/** A page that reads the patient, and a public one. */
const Pages = (path: `/${string}`) =>
  HttpLayerRouter.addAll(
    Effect.map(Effect.context<FhirClient.FhirClient | Sessions.Sessions>(), (services) => {
      const patient = Effect.gen(function*() {
        const session = yield* CurrentSession.CurrentSession
        const fhir = (yield* FhirClient.FhirClient).forSession(session.id)
        const { patient } = (yield* session.tokens).context
        const resource = yield* fhir.read("Patient", patient ?? "")
        return HttpServerResponse.text(`patient ${resource.id} log out at ${session.logoutPath}`)
      }).pipe(Effect.provide(services))
      return [
        HttpLayerRouter.route("GET", path, patient),
        HttpLayerRouter.route("POST", path, patient)
      ]
    })
  ).pipe(Layer.provide(CurrentSession.required.layer))

const Start = HttpLayerRouter.addAll(Effect.succeed([
  HttpLayerRouter.route(
    "*",
    "/",
    Effect.map(
      CurrentSession.MaybeSession,
      (session) => HttpServerResponse.text(Option.isSome(session) ? "with a session" : "without a session")
    )
  )
])).pipe(Layer.provide(CurrentSession.optional.layer))

/** Moves the clock by minutes during the effect: enough for each retry. */
export const withPassingMinutes = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.fork(self), (fiber) => Effect.zipRight(TestClock.adjust("5 minutes"), Fiber.join(fiber)))

export interface Options {
  readonly web?: Partial<WebApp.Options> | undefined
  readonly ehr?: SandboxEhr.Options | undefined
  readonly client?: Partial<SmartClient.Config> | undefined
  readonly authentication?: SmartServers.Server["authentication"] | undefined
  readonly store?: Layer.Layer<SessionStore.SessionStore> | undefined
  /** In addition to the server `hospital` of the sandbox. */
  readonly servers?: Readonly<Record<string, SmartServers.Server>> | undefined
  readonly routes?: Layer.Layer<never, never, Layer.Layer.Context<typeof SmartRoutes.layer>> | undefined
  /** Public pages. */
  readonly pages?: Layer.Layer<never, never, HttpLayerRouter.HttpRouter> | undefined
}

/** The app, for as long as the scope is open. */
export const start = (options: Options = {}) =>
  Effect.gen(function*() {
    const perSession = options.web?.afterLogin?.includes(":session") === true
    const basePath = new URL(options.web?.baseUrl ?? ORIGIN).pathname.slice(1)
    const sandbox = yield* Layer.build(SandboxEhr.layerHttpClient(options.ehr))
    const ehr = Context.get(sandbox, SandboxEhr.SandboxEhr)
    const server: SmartServers.Server = {
      fhirBaseUrl: ehr.fhirBaseUrl,
      clientId: "sandbox-public-app",
      redirectUri: `${ORIGIN}/callback`,
      scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"],
      authentication: options.authentication ?? ClientAuthentication.layerPublic,
      ...options.client
    }
    const services = yield* Layer.build(
      Layer.mergeAll(Sessions.layer, FhirClient.layer, SmartServers.layerTrustedIssuers).pipe(
        Layer.provide(options.store ?? SessionStore.layerMemory),
        Layer.provideMerge(SmartServers.layer({ hospital: server, ...options.servers })),
        Layer.provide(Layer.succeed(HttpClient.HttpClient, Context.get(sandbox, HttpClient.HttpClient)))
      )
    )
    const app = yield* HttpLayerRouter.toHttpEffect(
      Layer.mergeAll(
        SmartRoutes.layer,
        Pages(`/${basePath}${basePath === "" ? "" : "/"}${perSession ? "sessions/:session/" : ""}patient`),
        Start,
        options.routes ?? Layer.empty,
        Layer.provide(options.pages ?? Layer.empty, CurrentSession.optional.layer)
      ).pipe(
        Layer.provide(WebApp.layer({
          baseUrl: ORIGIN,
          afterLogin: perSession ? "/sessions/:session/patient" : "/patient",
          ...options.web
        })),
        Layer.provide(Layer.succeedContext(services))
      )
      // A new router, also if a test starts two apps.
    ).pipe(Effect.provideServiceEffect(Layer.CurrentMemoMap, Layer.makeMemoMap))

    /** A request without cookies. */
    const send = (request: Request): Effect.Effect<Response> =>
      app.pipe(
        Effect.catchTag("RouteNotFound", () => Effect.succeed(HttpServerResponse.empty({ status: 404 }))),
        Effect.map((response) => HttpServerResponse.toWeb(response)),
        Effect.provideService(HttpServerRequest.HttpServerRequest, HttpServerRequest.fromWeb(request)),
        Effect.scoped,
        Effect.orDie
      )

    const browser = () => makeBrowser(send)

    /** From the launch URL to the page after the callback, as a user who grants everything. */
    const walk = (browser: Browser, launch: string, decision?: SandboxEhr.Decision) =>
      Effect.gen(function*() {
        const begun = yield* browser.go(launch)
        const callback = yield* ehr.approve(begun.location, decision)
        const done = yield* browser.go(callback, { from: "elsewhere" })
        return { begun, callback, done, page: yield* browser.go(done.location) }
      })

    return {
      app,
      ehr,
      services,
      send,
      browser,
      browserOf: makeBrowser,
      walk,
      sessions: Context.get(services, Sessions.Sessions)
    }
  })
