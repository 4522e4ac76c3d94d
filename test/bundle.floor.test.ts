/**
 * The floor of the bundle (`bench/bundles/floor.ts`) is a bound only if it has the guarantees of the library: both get
 * the same responses here.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as FloorClient from "../bench/bundles/floorClient.js"
import * as ClientAuthentication from "../src/client/ClientAuthentication.js"
import * as HttpLimits from "../src/http/HttpLimits.js"
import * as RetryPolicy from "../src/http/RetryPolicy.js"
import type { PendingAuthorization } from "../src/launch/PendingAuthorization.js"
import * as SmartClient from "../src/smart/SmartClient.js"
import { TokenSet } from "../src/token/TokenSet.js"
import * as Http from "./support/http.js"
import * as Warnings from "./support/warnings.js"

const config = {
  fhirBaseUrl: "https://ehr.test/fhir",
  clientId: "app",
  redirectUri: "https://app.test/callback",
  scopes: ["launch/patient", "patient/*.cruds", "offline_access"]
}
const wellKnown = `${config.fhirBaseUrl}/.well-known/smart-configuration`
const tokenEndpoint = "https://login.ehr.test/token"
const metadata = {
  issuer: "https://login.ehr.test",
  authorization_endpoint: "https://login.ehr.test/authorize?tenant=1&state=fixed#top",
  token_endpoint: tokenEndpoint,
  code_challenge_methods_supported: ["S256"],
  capabilities: []
}
const tokens = {
  access_token: "access-token-1",
  token_type: "Bearer",
  expires_in: 3600,
  scope: config.scopes.join(" "),
  refresh_token: "refresh-token-1",
  patient: "p1"
}

interface Case {
  readonly config?: Partial<typeof config>
  readonly metadata?: () => Http.FakeResponse
  readonly token?: (attempt: number, form: URLSearchParams) => Http.FakeResponse
  readonly other?: (url: string) => Http.FakeResponse
  /** Changes to the parameters of the callback. */
  readonly callback?: Readonly<Record<string, string | undefined>>
  readonly launch?: { readonly iss: string; readonly launch: string }
}

const get = () => Http.json(metadata)

const serverOf = ({ metadata = get, other, token }: Case) => {
  let attempts = 0
  return Http.fake(({ body, url }) => {
    if (url === wellKnown) return metadata()
    if (url !== tokenEndpoint) return other?.(url) ?? Http.text("", { status: 404 })
    return token?.(attempts++, new URLSearchParams(body)) ?? Http.json(tokens)
  })
}

interface Launcher {
  readonly authorize: (
    launch?: Case["launch"]
  ) => Effect.Effect<{ readonly url: URL; readonly pending: PendingAuthorization }, Error, HttpClient.HttpClient>
  readonly exchange: (
    callback: URL,
    pending: PendingAuthorization
  ) => Effect.Effect<TokenSet, Error, HttpClient.HttpClient>
}

type Make = (one: typeof config) => Effect.Effect<Launcher, Error, HttpClient.HttpClient | Scope.Scope>

const floor: Make = FloorClient.make

const library: Make = (one) =>
  Effect.map(
    Layer.build(SmartClient.layer(one).pipe(Layer.provide(ClientAuthentication.layerPublic))),
    (context) => Context.get(context, SmartClient.SmartClient)
  )

/** The result, warnings and requests of a launch, without its random values. */
const run = (make: Make, one: Case) =>
  Effect.gen(function*() {
    const server = serverOf(one)
    const warnings = Warnings.recorded()
    const launch = Effect.gen(function*() {
      const { authorize, exchange } = yield* make({ ...config, ...one.config })
      const { pending, url } = yield* authorize(one.launch)
      const sent = [...url.searchParams].map(([name, value]) =>
        /^(state|nonce|code_challenge)$/.test(name) ? [name, value.length] : [name, value]
      )
      const callback = new URL(config.redirectUri)
      const params = { code: "secret-code-1", state: url.searchParams.get("state") ?? "", ...one.callback }
      for (const [name, value] of Object.entries(params)) callback.searchParams.set(name, value)
      const tokens = yield* exchange(callback, pending)
      return { sent: [url.origin, url.pathname, url.hash, sent], tokens: Schema.encodeSync(TokenSet)(tokens) }
    })
    const result = yield* launch.pipe(
      Effect.catchAll((error) => {
        const { message, name, processed, received, status } = error as Error & Readonly<Record<string, unknown>>
        return Effect.succeed({ name, message, processed, received, status })
      }),
      Effect.provide(Layer.mergeAll(
        server.layer,
        warnings.layer,
        RetryPolicy.layer(Schedule.recurs(2)),
        HttpLimits.layer({ maxResponseBytes: 10_000 })
      )),
      Effect.scoped
    )
    const requests = server.requests.map(({ headers, method, url }) => [method, url, headers["accept"]])
    return { result, requests, warnings: warnings.reported.map(({ message }) => message) }
  })

const echo = (form: URLSearchParams) => `no code ${form.get("code")} ${form.get("code_verifier")}`

const cases: Readonly<Record<string, Case>> = {
  "a success": {},
  "an EHR launch": { launch: { iss: "https://ehr.test/fhir/", launch: "xyz 1" } },
  "a launch from another server": { launch: { iss: "https://other.test/fhir", launch: "xyz" } },
  "an insecure redirect URI": { config: { redirectUri: "http://app.test/callback" } },
  "invalid settings": { config: { fhirBaseUrl: "ehr.test", clientId: "", redirectUri: "/callback" } },
  "scopes that cannot be sent": { config: { scopes: ["openid,launch", "a\"b"] } },
  "no scopes": { config: { scopes: [] } },
  "no metadata": { metadata: () => Http.text("", { status: 404 }) },
  "a web page instead of metadata": {
    metadata: () => Http.text("<html>", { headers: { "content-type": "text/html" } })
  },
  "an array instead of metadata": { metadata: () => Http.json([]) },
  "metadata that are too long": { metadata: () => Http.json({ ...metadata, extra: "x".repeat(20_000) }) },
  "metadata without an endpoint": { metadata: () => Http.json({ ...metadata, token_endpoint: 1 }) },
  "an insecure endpoint": { metadata: () => Http.json({ ...metadata, token_endpoint: "http://login.ehr.test/token" }) },
  "deviating metadata": {
    metadata: () =>
      Http.text(
        JSON.stringify({
          ...metadata,
          issuer: [],
          authorization_endpoint: "authorize",
          code_challenge_methods_supported: 1
        })
      )
  },
  "a redirect of the metadata": {
    metadata: () => Http.text("", { status: 302, headers: { location: "https://cdn.ehr.test/smart.json" } }),
    other: () => Http.json(metadata)
  },
  "a redirect to http": {
    metadata: () => Http.text("", { status: 302, headers: { location: "http://cdn.ehr.test/smart.json" } })
  },
  "redirects without end": {
    metadata: () => Http.text("", { status: 302, headers: { location: wellKnown } })
  },
  "an unreachable server": { metadata: () => new Http.ConnectionFailure("ECONNREFUSED") },
  "a busy server": { metadata: () => Http.text("", { status: 503 }) },
  "another state": { callback: { state: "secret-state" } },
  "an error in the callback": {
    callback: { error: "access_denied", error_description: "not secret-code-1, <b>sorry</b>" }
  },
  "no code": { callback: { code: "" } },
  "another issuer": { callback: { iss: "https://evil.test" } },
  "the issuer": { callback: { iss: metadata.issuer } },
  "an issuer that is not known": {
    metadata: () => Http.json({ ...metadata, issuer: undefined }),
    callback: { iss: "https://login.ehr.test" }
  },
  "a missing issuer": {
    metadata: () => Http.json({ ...metadata, authorization_response_iss_parameter_supported: true })
  },
  "a refused code": {
    token: (_, form) => Http.json({ error: "invalid_grant", error_description: echo(form) }, { status: 400 })
  },
  "a refusal in a header": {
    token: () => Http.text("", { status: 401, headers: { "www-authenticate": "Bearer error=\"invalid_client\"" } })
  },
  "a refusal without an OAuth error": { token: (_, form) => Http.text(echo(form), { status: 403 }) },
  "a busy token endpoint, then a success": {
    token: (attempt) => attempt === 0 ? Http.text("", { status: 503 }) : Http.json(tokens)
  },
  "a token endpoint that is always busy": { token: () => Http.text("", { status: 429 }) },
  "a gateway that fails": { token: () => Http.text("", { status: 502 }) },
  "a broken connection": { token: () => new Http.ConnectionFailure("ECONNRESET") },
  "a redirect of the token endpoint": {
    token: () => Http.text("", { status: 307, headers: { location: "https://other.test/token" } })
  },
  "no access token": { token: () => Http.json({ ...tokens, access_token: 1, secret: "s" }) },
  "another token type": { token: () => Http.json({ ...tokens, token_type: "mac access-token-1" }) },
  "a web page instead of tokens": { token: (_, form) => Http.text(`<html>${echo(form)}`) },
  "deviating tokens": {
    token: () =>
      Http.text(JSON.stringify({
        access_token: "a",
        expires_in: "60",
        scope: ["patient/Observation.rs", "launch/patient"],
        id_token: {},
        need_patient_banner: "yes",
        fhirContext: ["Observation/1"],
        extra: { deep: true }
      }))
  },
  "fewer scopes and no patient": { token: () => Http.json({ ...tokens, scope: "patient/*.read", patient: undefined }) },
  "no scope and no lifetime": { token: () => Http.json({ access_token: "a", token_type: "bearer" }) }
}

describe("the floor of the bundle", () => {
  it.effect.each(Object.entries(cases))(
    "has the result, requests and warnings of the library: %s",
    ([, one]) =>
      Effect.gen(function*() {
        const expected = yield* run(library, one)
        assert.deepStrictEqual(yield* run(floor, one), expected)
      })
  )
})
