/**
 * Every request that the library makes, with responses that no server should send: documents of the specifications in
 * which any members are replaced, any bytes, any status, any headers. Each ends in a result or in a typed error.
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { leak } from "../support/canary.js"
import * as Http from "../support/http.js"
import { calls, CANARIES, services } from "../support/outgoingCalls.js"
import { document as udap } from "../udap/server.js"

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [name: string]: Json }

const RUNS = 60

const base = "https://ehr.sandbox.test"

/** A valid document for each kind of response. */
const documents: ReadonlyArray<Json> = [
  {
    issuer: base,
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/token`,
    jwks_uri: `${base}/jwks`,
    grant_types_supported: ["authorization_code", "client_credentials"],
    scopes_supported: ["openid", "patient/*.rs"],
    code_challenge_methods_supported: ["S256"],
    capabilities: ["launch-ehr", "client-public", "permission-v2"],
    associated_endpoints: [{ url: `${base}/state`, capabilities: ["smart-app-state"] }],
    user_access_brand_bundle: `${base}/brands`
  },
  {
    access_token: "a",
    token_type: "Bearer",
    expires_in: 300,
    scope: "patient/*.rs",
    refresh_token: "r",
    patient: "1",
    fhirContext: [{ reference: "ImagingStudy/1", role: "launch" }],
    authorization_details: [{
      type: "smart_on_fhir",
      locations: [base],
      fhirVersions: ["4.0.1"],
      scope: "patient/*.rs"
    }]
  },
  { error: "invalid_grant", error_description: "expired", error_uri: `${base}/help` },
  {
    active: true,
    scope: "patient/*.rs",
    client_id: "app",
    exp: 2_000_000_000,
    sub: "1",
    fhirUser: `${base}/Patient/1`
  },
  { sub: "1", name: "A", fhirUser: `${base}/Patient/1`, updated_at: 1_700_000_000 },
  { keys: [{ kty: "EC", crv: "P-384", x: "AA", y: "AA", kid: "1", alg: "ES384", use: "sig", key_ops: ["verify"] }] },
  {
    client_id: "app",
    client_secret: "s",
    client_secret_expires_at: 0,
    redirect_uris: [base],
    grant_types: ["refresh_token"]
  },
  { color_background: "#ffffff", dim_border_radius: "6px", font_family_body: "Arial" },
  {
    resourceType: "Patient",
    id: "1",
    meta: { versionId: "2", lastUpdated: "2024-01-01T00:00:00Z" },
    name: [{ family: "A" }]
  },
  {
    resourceType: "Bundle",
    type: "searchset",
    total: 1,
    link: [{ relation: "next", url: `${base}/fhir?page=2` }],
    entry: [{
      fullUrl: `${base}/fhir/Patient/1`,
      resource: { resourceType: "Patient", id: "1" },
      search: { mode: "match" }
    }]
  },
  {
    resourceType: "Bundle",
    type: "batch-response",
    entry: [{ response: { status: "200 OK", etag: "W/\"1\"", location: "Patient/1/_history/1" } }]
  },
  {
    resourceType: "OperationOutcome",
    issue: [{ severity: "error", code: "not-found", details: { text: "t" }, expression: ["Patient"], diagnostics: "d" }]
  },
  udap as Json,
  JSON.parse(readFileSync("test/vectors/Bundle-example1.json", "utf8")) as Json
]

const hostile: FastCheck.Arbitrary<Json> = FastCheck.oneof(
  FastCheck.jsonValue({ maxDepth: 2 }) as FastCheck.Arbitrary<Json>,
  FastCheck.constantFrom<Json>(
    "",
    "__proto__",
    "\ud800",
    "javascript:alert(1)",
    "http://169.254.169.254/",
    `${base}@evil.test/`,
    "1e309",
    -1,
    1.5,
    Number.MAX_SAFE_INTEGER,
    1e300,
    [],
    {},
    [null],
    { toString: "x", valueOf: 1 },
    "x".repeat(10_000)
  )
)

/** The document with values replaced, at places that `seeds` choose. */
const mutated = (json: Json, seeds: ReadonlyArray<readonly [number, Json]>): Json =>
  seeds.reduce<Json>((document, [seed, value]) => replace(document, seed, value), json)

const replace = (json: Json, seed: number, value: Json): Json => {
  if (typeof json !== "object" || json === null) return value
  const keys = Object.keys(json)
  if (keys.length === 0 || seed % 5 === 0) return value
  const key = keys[seed % keys.length] ?? ""
  const rest = Math.floor(seed / keys.length)
  if (Array.isArray(json)) {
    return json.map((one: Json, index) => String(index) === key ? replace(one, rest, value) : one)
  }
  const entries = Object.entries(json as Readonly<Record<string, Json>>)
  return Object.fromEntries(entries.map(([name, one]) => [name, name === key ? replace(one, rest, value) : one]))
}

const body = FastCheck.oneof(
  {
    weight: 6,
    arbitrary: FastCheck.tuple(
      FastCheck.constantFrom(...documents),
      FastCheck.array(FastCheck.tuple(FastCheck.nat({ max: 100_000 }), hostile), { minLength: 0, maxLength: 4 })
    ).map(([document, seeds]) => new TextEncoder().encode(JSON.stringify(mutated(document, seeds))))
  },
  { weight: 1, arbitrary: FastCheck.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: hostile.map((json) => new TextEncoder().encode(JSON.stringify(json))) }
)

const text = FastCheck.string({ unit: "grapheme-ascii", maxLength: 60 }).map((value) =>
  value.replace(/[^\x20-\x7e]/g, "")
)

const response = FastCheck.record({
  body,
  status: FastCheck.oneof(
    { weight: 4, arbitrary: FastCheck.constantFrom(200, 201) },
    { weight: 2, arbitrary: FastCheck.constantFrom(202, 204, 301, 302, 304, 400, 401, 403, 404, 412, 429, 500, 503) },
    { weight: 1, arbitrary: FastCheck.integer({ min: 200, max: 599 }) }
  ),
  headers: FastCheck.record({
    "content-type": FastCheck.oneof(
      FastCheck.constantFrom("application/json", "application/fhir+json", "text/html", ""),
      text
    ),
    "retry-after": text,
    "www-authenticate": FastCheck.oneof(text, text.map((value) => `Bearer error="${value}"`)),
    etag: text,
    "cache-control": FastCheck.oneof(text, FastCheck.integer().map((seconds) => `max-age=${seconds}`)),
    location: FastCheck.oneof(text, FastCheck.webUrl()),
    "last-modified": text,
    ratelimit: text
  }, { requiredKeys: ["content-type"] })
})

const isBodiless = (status: number) => status === 204 || status === 205 || status === 304

describe("any response", () => {
  it.live.each(Object.entries(calls))(
    "to %s ends in a result or a typed error without a secret",
    ([name, call]) =>
      Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(FastCheck.array(response, { minLength: 1, maxLength: 3 }), (responses) => {
            const server = Http.script(
              ...responses.map(({ body, headers, status }) => () =>
                new Response(isBodiless(status) ? null : body as Uint8Array<ArrayBuffer>, { status, headers })
              )
            )
            const run = call.run(base).pipe(
              Effect.timeout("10 seconds"),
              Logger.withMinimumLogLevel(LogLevel.None),
              Effect.provide(services(server.layer)),
              Effect.exit
            )
            return Effect.runPromise(run).then((exit) => {
              if (Exit.isSuccess(exit)) {
                return
              }
              assert.isTrue(Cause.isFailType(exit.cause), `${name}: ${Cause.pretty(exit.cause)}`)
              const [error] = [...Cause.failures(exit.cause)]
              assert.property(error, "_tag")
              assert.notPropertyVal(error, "_tag", "TimeoutException", name)
              assert.isUndefined(leak(`${Cause.pretty(exit.cause)} ${JSON.stringify(error)}`, Object.values(CANARIES)))
            })
          }),
          { numRuns: RUNS }
        )
      ),
    60_000
  )
})
