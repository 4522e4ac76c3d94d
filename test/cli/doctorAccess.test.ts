/** `doctor` with a token or with scopes: what they allow, beside what the server offers. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { BackendServices, ClientAuthentication, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Http from "../support/http.js"
import { type Place, runCli } from "../support/runCli.js"

const base = "https://ehr.example/fhir"
const token = "SECRET-token.of_a~patient/1234567890=="
const lines = (...text: ReadonlyArray<string>) => text.join("\n")

/** A file for the token, which is removed at the end. */
const fileWith = (content: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-token-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const file = join(folder, "token")
      writeFileSync(file, content)
      return file
    }
  )

const jwtOf = (claims: object) => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
  return `${part({ alg: "RS256" })}.${part(claims)}.c2lnbmF0dXJl`
}

const resource = (type: string, ...codes: ReadonlyArray<string>) => ({
  type,
  interaction: codes.map((code) => ({ code })),
  searchParam: [{ name: "patient", type: "reference" }]
})

interface Server {
  readonly resources?: ReadonlyArray<object>
  readonly statement?: () => Http.FakeResponse
  readonly introspection?: (body: string) => Http.FakeResponse
  readonly search?: (url: string) => Http.FakeResponse
}

/** A server with these responses. */
const serverOf = ({ introspection, resources = [], search, statement }: Server) =>
  Http.fake(({ body, url }) => {
    if (url.endsWith("/.well-known/smart-configuration")) {
      return Http.json({
        authorization_endpoint: "https://auth.example/authorize",
        token_endpoint: "https://auth.example/token",
        ...(introspection === undefined ? {} : { introspection_endpoint: "https://auth.example/introspect" }),
        grant_types_supported: ["authorization_code"],
        code_challenge_methods_supported: ["S256"],
        capabilities: ["launch-standalone", "client-public", "permission-v2"]
      })
    }
    if (url === "https://auth.example/introspect") return introspection?.(body) ?? Http.text("", { status: 404 })
    if (url === `${base}/metadata`) {
      return statement?.() ??
        Http.json({
          resourceType: "CapabilityStatement",
          fhirVersion: "4.0.1",
          rest: [{ mode: "server", resource: resources }]
        })
    }
    return search?.(url) ?? Http.json({ resourceType: "Bundle", type: "searchset", total: 7 })
  })

const run = (http: Http.Fake, args: ReadonlyArray<string>, place: Place = {}) =>
  runCli(["doctor", ...args, base], { ...place, http: http.layer })

const withToken = (http: Http.Fake, args: ReadonlyArray<string> = [], accessToken = token) =>
  run(http, args, { environment: { SMART_ACCESS_TOKEN: accessToken } })

const accessOf = (out: string) => JSON.parse(out).access

/** The requests that carry the token. */
const carrying = (http: Http.Fake) =>
  http.requests.filter(({ body, headers }) => headers["authorization"] !== undefined || body.includes("token="))
    .map(({ url }) => url)

const observations = [
  resource("Observation", "read", "vread", "search-type", "create"),
  resource("Patient", "read", "search-type"),
  resource("Practitioner", "read", "search-type"),
  resource("Account", "read", "search-type")
]

describe("`doctor` with a token of the sandbox", () => {
  it.scoped("reports what the introspected scopes allow, and searches the allowed types", () =>
    Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      const http = Layer.succeed(HttpClient.HttpClient, client)
      const secret = yield* Effect.flatMap(BackendServices.BackendServices, ({ accessToken }) => accessToken()).pipe(
        Effect.provide(BackendServices.layerFromClient.pipe(
          Layer.provide(SmartClient.layer({
            fhirBaseUrl: "https://ehr.sandbox.test/fhir",
            clientId: "sandbox-backend",
            scopes: ["system/Observation.rs", "system/Patient.cr"]
          })),
          Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })),
          Layer.provide(http)
        ))
      )
      const file = yield* fileWith(`${Redacted.value(secret)}\n`)
      const args = ["doctor", "--json", "--search", "--token-file", file, "https://ehr.sandbox.test/fhir"]
      const { code, err, out } = yield* runCli(args, { http })
      assert.deepStrictEqual([code, err], [0, ""])
      const access = accessOf(out)
      assert.deepInclude(access, { usable: true, scopeSource: "introspection", active: true, expired: false })
      assert.deepStrictEqual(access.scopes, ["system/Observation.rs", "system/Patient.cr"])
      assert.isString(access.expiresAt)
      const typed = new Map(access.types.map((one: { readonly type: string }) => [one.type, one]))
      assert.deepInclude(typed.get("Observation") as object, {
        contexts: ["system"],
        allowedAndOffered: ["read", "vread", "search-type", "history-instance"],
        allowedOnly: ["history-type"],
        offeredOnly: ["create", "update", "patch", "delete"]
      })
      assert.deepInclude(typed.get("Encounter") as object, { contexts: [], allowedAndOffered: [], allowedOnly: [] })
      assert.deepStrictEqual(access.searches, [{ type: "Observation", status: 200 }])
      assert.notInclude(out, Redacted.value(secret))
    }).pipe(Effect.provide(SandboxEhr.layerHttpClient())), 30_000)
})

describe("`doctor` with a token", () => {
  it.effect("prints what is allowed and offered, allowed only, and offered only", () =>
    Effect.gen(function*() {
      const http = serverOf({
        resources: observations,
        introspection: () =>
          Http.json({
            active: true,
            exp: 4_102_444_800,
            scope:
              "openid patient/Observation.rs?category=laboratory patient/Observation.c patient/Condition.r user/Patient.rs user/Practitioner.rs"
          })
      })
      const { code, out } = yield* withToken(http)
      assert.strictEqual(code, 0)
      assert.strictEqual(
        out.slice(out.indexOf("Access")),
        lines(
          "Access",
          "  ✓ Token with scopes from the server's introspection, valid until 2100-01-01T00:00:00.000Z.",
          "",
          "Granted scopes: 6",
          "  openid patient/Observation.rs?category=laboratory patient/Observation.c patient/Condition.r",
          "  user/Patient.rs user/Practitioner.rs",
          "",
          "Allowed and offered by the server",
          "  read*, vread*, search-type*, create (patient)",
          "    Observation",
          "  read, search-type (user)",
          "    Patient, Practitioner",
          "",
          "Allowed, but not in the CapabilityStatement of the server",
          "  read, vread, history-instance (patient)",
          "    Condition",
          "  history-instance*, history-type* (patient)",
          "    Observation",
          "  vread, history-instance, history-type (user)",
          "    Patient, Practitioner",
          "",
          "Offered by the server, but not allowed",
          "  read, search-type",
          "    Account",
          "",
          "  * only for the search parameters in the scope"
        )
      )
      assert.deepStrictEqual(carrying(http), ["https://auth.example/introspect"])
    }))

  it.effect("takes the scopes from the option, the token response, the introspection or the JWT, in this order", () =>
    Effect.gen(function*() {
      const jwt = jwtOf({ scope: "user/Account.r" })
      const response = JSON.stringify({ access_token: jwt, scope: "user/Patient.r" })
      const introspection = () => Http.json({ active: true, scope: "user/Practitioner.r" })
      const refused = () => Http.text("", { status: 401 })
      const cases = [
        [response, ["--scope", "user/Observation.r"], introspection],
        [response, [], introspection],
        [jwt, [], introspection],
        [jwt, [], refused],
        [jwtOf({ scp: ["user/Account.s", 7] }), [], undefined],
        [token, [], refused]
      ] as const
      const found = yield* Effect.forEach(cases, ([accessToken, args, respond]) =>
        Effect.gen(function*() {
          const http = serverOf({
            resources: observations,
            ...(respond === undefined ? {} : { introspection: respond })
          })
          const { code, out } = yield* withToken(http, ["--json", ...args], accessToken)
          const { introspectionFailure, scopes, scopeSource } = accessOf(out)
          return [code, scopeSource, scopes, introspectionFailure, carrying(http).length]
        }))
      assert.deepStrictEqual(found, [
        [0, "option", ["user/Observation.r"], null, 0],
        [0, "tokenResponse", ["user/Patient.r"], null, 0],
        [0, "introspection", ["user/Practitioner.r"], null, 1],
        [0, "jwt", ["user/Account.r"], "HTTP status 401 (Refused)", 1],
        [0, "jwt", ["user/Account.s"], "the server has no introspection endpoint", 0],
        [1, null, [], "HTTP status 401 (Refused)", 1]
      ])
    }))

  it.effect("`--scope` without a token compares scopes that an app would request, without a credential", () =>
    Effect.gen(function*() {
      const http = serverOf({ resources: observations })
      const { code, out } = yield* run(http, ["--scope", "patient/*.rs launch/patient"])
      assert.strictEqual(code, 0)
      assert.include(out, "  ✓ Scopes stated by --scope.")
      assert.include(out, lines("  read, search-type (patient)", "    Account, Patient, Practitioner"))
      assert.deepStrictEqual(carrying(http), [])
    }))

  it.effect("`--search` sends one search for each allowed and offered type, within the patient in context", () =>
    Effect.gen(function*() {
      const http = serverOf({
        resources: observations,
        search: (url) =>
          url.includes("/Account") ? Http.text("", { status: 403 }) : Http.json({ resourceType: "Bundle" })
      })
      const response = JSON.stringify({ access_token: token, scope: "patient/*.rs", patient: "p1" })
      const { code, out } = yield* withToken(http, ["--search"], response)
      assert.strictEqual(code, 0)
      assert.isTrue(out.endsWith(lines(
        "Searches",
        "  ✗ Account: HTTP status 403 (Forbidden)",
        "  ✓ Observation",
        "  ✓ Patient",
        "  ✓ Practitioner"
      )))
      assert.deepStrictEqual(carrying(http), [
        `${base}/Account?patient=p1&_summary=count`,
        `${base}/Observation?patient=p1&_summary=count`,
        `${base}/Patient?_id=p1&_summary=count`,
        `${base}/Practitioner?patient=p1&_summary=count`
      ])
      assert.notInclude(out, "p1")
      assert.strictEqual((yield* withToken(http, ["--search", "--strict"], response)).code, 1)
    }))

  it.effect("exits with 1 for a token that is inactive, expired or refused, and sends no further search", () =>
    Effect.gen(function*() {
      const inactive = serverOf({ resources: observations, introspection: () => Http.json({ active: false }) })
      const first = yield* withToken(inactive, ["--search"])
      assert.strictEqual(first.code, 1)
      assert.include(first.out, "✗ The server says that the token is not active")
      assert.deepStrictEqual(carrying(inactive), ["https://auth.example/introspect"])

      yield* TestClock.setTime(2_000_000)
      const expired = serverOf({ resources: observations })
      const second = yield* withToken(expired, ["--search"], jwtOf({ scope: "user/*.rs", exp: 2_000 }))
      assert.strictEqual(second.code, 1)
      assert.include(second.out, "✗ The token expired at 1970-01-01T00:33:20.000Z.")
      assert.deepStrictEqual(carrying(expired), [])
      const valid = yield* withToken(expired, ["--json"], jwtOf({ scope: "user/*.rs", exp: 2_001 }))
      assert.deepStrictEqual([valid.code, accessOf(valid.out).expiresAt], [0, "1970-01-01T00:33:21.000Z"])

      const refusing = serverOf({ resources: observations, search: () => Http.text("", { status: 401 }) })
      const third = yield* withToken(refusing, ["--search", "--scope", "user/*.rs"])
      assert.strictEqual(third.code, 1)
      assert.include(third.out, "✗ The server refuses the token.")
      assert.deepStrictEqual(carrying(refusing), [`${base}/Account?_summary=count`])
    }))

  it.effect("exits with 1 if the CapabilityStatement cannot be read", () =>
    Effect.gen(function*() {
      const http = serverOf({ statement: () => Http.text("<html>", { status: 401 }) })
      const { code, out } = yield* run(http, ["--scope", "user/*.rs"])
      assert.strictEqual(code, 1)
      assert.include(out, "CapabilityStatement")
      const { out: json } = yield* run(http, ["--json", "--scope", "user/*.rs"])
      assert.strictEqual(accessOf(json).error.status, 401)
    }))
})

describe("`doctor` with a token and a hostile server", () => {
  const hostileType = "Observation\u001b[2J"
  const hostile = () =>
    serverOf({
      resources: [
        ...observations,
        resource(hostileType, "read"),
        resource("constructor", "read"),
        resource("__proto__", "read"),
        resource("X\u202e", "\u001b]0;owned\u0007"),
        ...Array.from({ length: 5_000 }, (_, index) => {
          const letters = index.toString(26).replace(/\d/g, (digit) => "ABCDEFGHIJ".charAt(Number(digit)))
          return resource(`Z${letters}`, "read")
        })
      ],
      introspection: () =>
        Http.json({
          active: true,
          scope: [
            `user/*.rs user/${hostileType}.r user/\u202eX.r ${token} x${Buffer.from(token).toString("base64")}`,
            ...Array.from({ length: 20_000 }, (_, index) => `user/T${index}.rs`)
          ].join(" ")
        }),
      search: () =>
        Http.json({ resourceType: "OperationOutcome", issue: [{ diagnostics: token }] }, {
          status: 403,
          headers: { "www-authenticate": `Bearer error="${token}", scope="\u00801b[31m${token}"` }
        })
    })

  it.effect("prints printable text of limited length, without the token", () =>
    Effect.gen(function*() {
      for (const args of [["--search"], ["--search", "--json"]]) {
        const { out } = yield* withToken(hostile(), args)
        assert.notMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
        assert.notInclude(out, token)
        assert.notInclude(out, Buffer.from(token).toString("base64").slice(0, 20))
        assert.isBelow(out.length, 1_000_000)
        assert.isTrue(out.split("\n").every((line) => line.length < 400))
      }
    }), 60_000)

  it.effect("prints no token that is the name of a resource type", () =>
    Effect.gen(function*() {
      const word = "Abcdefghijklmnop"
      const http = serverOf({ resources: [resource(word, "read", "search-type")] })
      for (const args of [["--search"], ["--search", "--json"]]) {
        const { out } = yield* withToken(http, ["--scope", "user/*.rs", ...args], word)
        assert.notInclude(out, word)
        assert.include(out, "<redacted>")
      }
    }))
})

describe("the token of `doctor`", () => {
  const SECRET = "SECRET"
  const file = "the token file"

  it.scoped.each<readonly [string, string]>([
    ["", `${file} is empty`],
    [" \n", `${file} is empty`],
    [`${SECRET} two`, `${file} has neither an access token alone nor a token response in JSON`],
    [`<html>${SECRET}`, `${file} has neither an access token alone nor a token response in JSON`],
    [`{"access_token":"${SECRET}"`, `${file} is not valid JSON`],
    [`{"accessToken":"${SECRET}"}`, `${file} has no usable access_token`],
    [`{"access_token":"${SECRET}\\n${SECRET}"}`, `${file} has no usable access_token`],
    [SECRET.repeat(20_000), `${file} has more than 65536 characters`]
  ])(
    "file %#: exits with 2, without a request and without the content of the file",
    ([content, why]) =>
      Effect.gen(function*() {
        const http = serverOf({})
        const path = yield* fileWith(content)
        const { code, err, out } = yield* run(http, ["--token-file", path])
        assert.deepStrictEqual([code, out, err], [2, "", why])
        assert.strictEqual(http.requests.length, 0)
        const environment = yield* withToken(http, [], content)
        if (content.trim() !== "") {
          assert.deepStrictEqual([environment.code, environment.err], [2, why.replace(file, "SMART_ACCESS_TOKEN")])
          assert.strictEqual(http.requests.length, 0)
        }
      })
  )

  it.effect.each<readonly [ReadonlyArray<string>, string]>([
    [["--search"], "--search needs a token: --token-file, or SMART_ACCESS_TOKEN"],
    [["--token-file", "/nonexistent/token"], "the token file cannot be read"],
    [["--token-file", token], "the token file cannot be read"],
    [["--token", token], "This is not a FHIR base URL"],
    [["--anchor", "package.json", "--scope", "user/*.rs"], "use them without --anchor"]
  ])("%j exits with 2 and a message without the token", ([args, why]) =>
    Effect.gen(function*() {
      const http = serverOf({})
      const { code, err, out } = yield* run(http, args)
      assert.deepStrictEqual([code, out], [2, ""])
      assert.include(err, why)
      assert.notInclude(err, token)
      assert.strictEqual(http.requests.length, 0)
    }))

  it.scoped("the file has precedence over the environment", () =>
    Effect.gen(function*() {
      const http = serverOf({ resources: observations })
      const path = yield* fileWith(
        JSON.stringify({ access_token: "from-the-file", scope: ["user/Patient.rs", "openid"] })
      )
      const { out } = yield* run(http, ["--json", "--search", "--token-file", path], {
        environment: { SMART_ACCESS_TOKEN: token }
      })
      assert.deepStrictEqual(accessOf(out).scopes, ["user/Patient.rs", "openid"])
      const sent = http.requests.flatMap(({ headers }) => headers["authorization"] ?? [])
      assert.deepStrictEqual(sent, ["Bearer from-the-file"])
    }))
})
