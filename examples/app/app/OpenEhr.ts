/**
 * An EHR with dynamic client registration (RFC 7591; RFC 7592 for reading and removing): a registration endpoint in
 * front of a sandbox EHR.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { SandboxEhr } from "effect-safire/testing"
import * as EhrSite from "../ehr/index.js"

/** The accepted client metadata; other members are ignored. */
const Request = Schema.Struct({
  client_name: Schema.optional(Schema.String.pipe(Schema.maxLength(200))),
  redirect_uris: Schema.NonEmptyArray(Schema.String.pipe(Schema.maxLength(500))),
  launch_uris: Schema.optional(Schema.Array(Schema.String)),
  token_endpoint_auth_method: Schema.Literal("none", "client_secret_basic", "client_secret_post", "private_key_jwt"),
  jwks_uri: Schema.optional(Schema.String),
  grant_types: Schema.optional(
    Schema.Array(Schema.Literal("authorization_code", "refresh_token", "client_credentials"))
  ),
  response_types: Schema.optional(Schema.Array(Schema.Literal("code"))),
  scope: Schema.optional(Schema.String)
})
type Request = typeof Request.Type

interface Entry {
  readonly token: string
  readonly secret: string | undefined
  readonly request: Request
  readonly client: SandboxEhr.Client
}

const random = Effect.map(
  Effect.sync(() => globalThis.crypto.getRandomValues(new Uint8Array(24))),
  Encoding.encodeBase64Url
)

const json = (body: unknown, status = 200): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(JSON.stringify(body), {
    status,
    contentType: "application/json",
    headers: { "cache-control": "no-store" }
  })

const authenticationOf = (
  { jwks_uri: jwksUri, token_endpoint_auth_method: method }: Request,
  secret: string | undefined
): SandboxEhr.ClientAuthentication =>
  method === "none"
    ? { method }
    : method === "private_key_jwt"
    ? { method, jwksUri }
    : { method, secret: Redacted.make(secret ?? "") }

export const make = (port: number, options: EhrSite.Options) =>
  Effect.gen(function*() {
    const origin = `http://127.0.0.1:${port}`
    const entries = new Map<string, Entry>()
    const { httpApp: site, sandbox } = yield* EhrSite.make(origin, {
      ...options,
      clients: [],
      metadata: { ...options.metadata, registration_endpoint: `${origin}/register` }
    })

    const shown = (clientId: string, { request, secret, token }: Entry) => ({
      ...request,
      client_id: clientId,
      ...(secret === undefined ? {} : { client_secret: secret, client_secret_expires_at: 0 }),
      registration_access_token: token,
      registration_client_uri: `${origin}/register/${clientId}`
    })

    const register = Effect.gen(function*() {
      const request = yield* HttpServerRequest.schemaBodyJson(Request)
      const { redirect_uris: redirectUris, token_endpoint_auth_method: method } = request
      const clientId = yield* random
      const secret = method === "none" || method === "private_key_jwt" ? undefined : yield* random
      const entry: Entry = {
        token: yield* random,
        secret,
        request,
        client: {
          clientId,
          name: request.client_name,
          redirectUris,
          launchUris: request.launch_uris,
          authentication: authenticationOf(request, secret),
          grantTypes: request.grant_types,
          scopes: request.scope?.split(" ")
        }
      }
      entries.set(clientId, entry)
      yield* sandbox.register(entry.client)
      return json(shown(clientId, entry), 201)
    }).pipe(
      Effect.catchAll(() =>
        Effect.succeed(
          json({ error: "invalid_client_metadata", error_description: "the metadata of the client is not usable" }, 400)
        )
      )
    )

    const manage = (request: HttpServerRequest.HttpServerRequest, clientId: string) =>
      Effect.gen(function*() {
        const entry = entries.get(clientId)
        if (entry === undefined || request.headers["authorization"] !== `Bearer ${entry.token}`) {
          return json({ error: "invalid_token" }, 401)
        }
        if (request.method === "GET") return json(shown(clientId, entry))
        if (request.method !== "DELETE") return HttpServerResponse.empty({ status: 405 })
        entries.delete(clientId)
        yield* sandbox.unregister(clientId)
        return HttpServerResponse.empty({ status: 204 })
      })

    const httpApp: HttpApp.Default<never, Scope.Scope> = Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const path = request.url.replace(/[?#].*$/s, "")
      if (path === "/register") {
        return request.method === "POST" ? yield* register : HttpServerResponse.empty({ status: 405 })
      }
      if (path.startsWith("/register/")) return yield* manage(request, path.slice("/register/".length))
      return yield* site
    })

    return { httpApp, sandbox }
  })
