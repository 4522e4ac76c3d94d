/**
 * `oidc-provider`, a certified authorization server of other authors, as a SMART server: in process on a loopback port,
 * behind a SMART configuration and a FHIR `Patient`. Users are HTTP requests with cookies.
 */
import * as Http from "node:http"
import * as Cookies from "@effect/platform/Cookies"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Runtime from "effect/Runtime"
import type Provider from "oidc-provider"
import { adminSecret } from "./oidcProviderClients.js"
import type { Options } from "./oidcProviderConfiguration.js"
import { accountId, configuration, smartConfiguration } from "./oidcProviderConfiguration.js"
import { makeStore } from "./oidcProviderStore.js"

/** A form that the provider received at an endpoint. */
export interface ReceivedForm {
  readonly path: string
  readonly authorization: string | undefined
  readonly params: Readonly<Record<string, unknown>>
}

/** The pages of the provider did not lead back to the app. */
export class LoginError extends Data.TaggedError("WalkError")<{ readonly status: number; readonly detail: string }> {}

export interface Service {
  readonly issuer: string
  readonly fhirBaseUrl: string
  /** The provider's own metadata. */
  readonly metadata: Readonly<Record<string, string>>
  /** Logs in, consents, and returns the URL of the last redirect. Each call is a new browser. */
  readonly approve: (url: URL) => Effect.Effect<URL, LoginError>
  readonly deny: (url: URL) => Effect.Effect<URL, LoginError>
  /** Runs an effect and returns the forms that the provider received meanwhile. */
  readonly received: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<readonly [result: A, forms: ReadonlyArray<ReceivedForm>], E, R>
  /** `launch` and `aud` of the last authorization request. */
  readonly lastLaunch: Effect.Effect<{ readonly aud: unknown; readonly launch: unknown }>
  /** Expires a code or a token. */
  readonly expire: (token: string) => Effect.Effect<void>
  /**
   * Why the server refused the last form at the token endpoint: a text for its operator, which the client does not get.
   */
  readonly lastRefusal: Effect.Effect<string | undefined>
  /** The state of a token at the server. */
  readonly isActive: (token: string) => Effect.Effect<boolean>
}

export class OidcProvider extends Context.Tag("test/OidcProvider")<OidcProvider, Service>() {}

/** At import the provider warns of Node before 22. Only that line is removed from the test report. */
const importProvider = Effect.acquireUseRelease(
  Effect.sync(() => {
    const { console } = globalThis
    const warn = console.warn
    console.warn = (...args: ReadonlyArray<unknown>) => {
      if (!String(args[0]).includes("oidc-provider WARNING: Unsupported runtime")) warn(...args)
    }
    return { console, warn }
  }),
  () => Effect.promise(() => import("oidc-provider")),
  ({ console, warn }) =>
    Effect.sync(() => {
      console.warn = warn
    })
)

const listen = Effect.acquireRelease(
  Effect.async<{ readonly server: Http.Server; readonly port: number }>((resume) => {
    const server = Http.createServer()
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed({ server, port: typeof address === "object" && address !== null ? address.port : 0 }))
    })
  }),
  ({ server }) =>
    Effect.async<void>((resume) => {
      server.close(() => resume(Effect.void))
      server.closeAllConnections()
    })
)

const respond = (
  response: Http.ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<void> =>
  Effect.sync(() => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
  })

const outcome = (code: string) => ({ resourceType: "OperationOutcome", issue: [{ severity: "error", code }] })

/** Reads only the patient of the bearer token. */
const readPatient = (
  provider: Provider,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  id: string
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1] ?? ""
    const found = yield* Effect.promise(() => provider.AccessToken.find(token))
    if (found === undefined || !found.isValid) {
      return yield* respond(response, 401, outcome("login"), { "www-authenticate": "Bearer error=\"invalid_token\"" })
    }
    if (found.extra?.["patient"] !== id) return yield* respond(response, 403, outcome("forbidden"))
    yield* respond(response, 200, { resourceType: "Patient", id })
  })

/** A user at the pages of the provider: logs in, then grants everything that is missing. */
const interact = (
  provider: Provider,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  decision: string | null
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { grantId, params, prompt } = yield* Effect.promise(() => provider.interactionDetails(request, response))
    if (request.method !== "POST") return yield* respond(response, 200, { prompt: prompt.name })
    if (decision === "deny") {
      const refusal = { error: "access_denied", error_description: "the user denied access" }
      return yield* Effect.promise(() => provider.interactionFinished(request, response, refusal))
    }
    if (prompt.name === "login") {
      return yield* Effect.promise(() => provider.interactionFinished(request, response, { login: { accountId } }))
    }
    const known = grantId === undefined ? undefined : yield* Effect.promise(() => provider.Grant.find(grantId))
    const grant = known ?? new provider.Grant({ accountId, clientId: String(params["client_id"]) })
    const { missingOIDCClaims, missingOIDCScope } = prompt.details
    if (Array.isArray(missingOIDCScope)) grant.addOIDCScope(missingOIDCScope.join(" "))
    if (Array.isArray(missingOIDCClaims)) grant.addOIDCClaims(missingOIDCClaims.map(String))
    const saved = yield* Effect.promise(() => grant.save())
    yield* Effect.promise(() => provider.interactionFinished(request, response, { consent: { grantId: saved } }))
  })

/**
 * OpenID Connect drops `offline_access` without `prompt=consent`, which SMART does not have: the front adds it on
 * behalf of the app. The other parameters stay unchanged.
 */
const withConsent = (url: URL, path: string): string => {
  const offline = url.searchParams.getAll("scope").some((scope) => scope.split(" ").includes("offline_access"))
  return url.pathname === "/auth" && offline && !url.searchParams.has("prompt") ? `${path}&prompt=consent` : path
}

const isMembers = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const visit = (client: HttpClient.HttpClient, issuer: string, decision: "approve" | "deny") => (start: URL) =>
  Effect.gen(function*() {
    const browser = client.pipe(
      HttpClient.withCookiesRef(yield* Ref.make(Cookies.empty)),
      HttpClient.withTracerPropagation(false)
    )
    let url = start
    for (let steps = 0; steps < 12; steps++) {
      if (url.origin !== issuer) return url
      const isPage = url.pathname.startsWith("/interaction/")
      if (isPage) yield* browser.execute(HttpClientRequest.get(url.href))
      const response = yield* browser.execute(
        isPage ? HttpClientRequest.post(`${url.href}?decision=${decision}`) : HttpClientRequest.get(url.href)
      )
      const location = response.headers["location"]
      if (location === undefined) {
        return yield* new LoginError({ status: response.status, detail: yield* response.text })
      }
      url = new URL(location, url)
    }
    return yield* new LoginError({ status: 0, detail: `it goes in circles at ${url.pathname}` })
  }).pipe(Effect.catchTag("RequestError", "ResponseError", Effect.die))

export const layer = (options: Options = {}): Layer.Layer<OidcProvider> =>
  Layer.scoped(
    OidcProvider,
    Effect.gen(function*() {
      const { Provider } = yield* importProvider
      const { port, server } = yield* listen
      const client = yield* HttpClient.HttpClient
      const runtime = yield* Effect.runtime()
      const run = Runtime.runFork(runtime)
      const fetch = (url: string) =>
        Runtime.runPromise(runtime)(
          Effect.flatMap(
            client.get(url),
            (response) => Effect.map(response.text, (body) => new Response(body, { status: response.status }))
          )
        )
      const issuer = `http://127.0.0.1:${port}`
      const store = makeStore()
      const provider = new Provider(issuer, configuration(issuer, store.adapter, options, fetch))
      const forms: Array<ReceivedForm> = []
      let launch: { readonly aud: unknown; readonly launch: unknown } = { aud: undefined, launch: undefined }

      provider.use((ctx, next) =>
        next().then(() => {
          const { oidc } = ctx
          if (ctx.method === "POST" && isMembers(oidc?.body)) {
            forms.push({
              path: ctx.path,
              authorization: ctx.get("authorization") || undefined,
              params: { ...oidc.body }
            })
          }
          if (oidc?.route === "authorization") {
            launch = { aud: oidc.params?.["aud"], launch: oidc.params?.["launch"] }
          }
          // SMART has the launch context beside the token.
          const patient = oidc?.entities.AccessToken?.extra?.["patient"]
          if (oidc?.route === "token" && isMembers(ctx.body) && "access_token" in ctx.body && patient !== undefined) {
            ctx.body["patient"] = patient
          }
        })
      )

      let refusal: string | undefined
      provider.on("grant.error", (_ctx, error) => {
        refusal = error.error_detail ?? error.error_description
      })

      let published: Readonly<Record<string, unknown>> = {}
      const callback = provider.callback()
      const serve = (request: Http.IncomingMessage, response: Http.ServerResponse): Effect.Effect<void> => {
        const url = new URL(request.url ?? "/", issuer)
        const [first = "", second = "", third = ""] = url.pathname.slice(1).split("/")
        if (url.pathname === "/fhir/.well-known/smart-configuration") return respond(response, 200, published)
        if (first === "fhir" && second === "Patient") return readPatient(provider, request, response, third)
        if (first === "keys") return respond(response, 200, store.jwks(second))
        if (first === "interaction") return interact(provider, request, response, url.searchParams.get("decision"))
        request.url = withConsent(url, request.url ?? "/")
        return Effect.promise(() => callback(request, response))
      }
      server.on("request", (request, response) => {
        run(Effect.catchAllCause(serve(request, response), () => respond(response, 500, {})))
      })

      const metadata = yield* client.get(`${issuer}/.well-known/openid-configuration`).pipe(
        Effect.flatMap((response) => response.json),
        Effect.filterOrDieMessage(isMembers, "the provider's metadata are not a JSON object"),
        Effect.orDie
      )
      published = smartConfiguration(metadata)

      return {
        issuer,
        fhirBaseUrl: `${issuer}/fhir`,
        metadata: Object.fromEntries(
          Object.entries(metadata).flatMap(([name, value]) => typeof value === "string" ? [[name, value] as const] : [])
        ),
        approve: visit(client, issuer, "approve"),
        deny: visit(client, issuer, "deny"),
        received: (self) =>
          Effect.suspend(() => {
            const before = forms.length
            return Effect.map(self, (result) => [result, forms.slice(before)] as const)
          }),
        lastLaunch: Effect.sync(() => launch),
        lastRefusal: Effect.sync(() => refusal),
        expire: (token) => Effect.sync(() => store.expire(token)),
        isActive: (token) =>
          client.execute(
            HttpClientRequest.post(`${issuer}/token/introspection`).pipe(
              HttpClientRequest.basicAuth("admin", adminSecret),
              HttpClientRequest.bodyUrlParams({ token })
            )
          ).pipe(
            Effect.flatMap((response) => response.json),
            Effect.map((body) => isMembers(body) && body["active"] === true),
            Effect.orDie
          )
      }
    })
  ).pipe(Layer.provide(NodeHttpClient.layer))
