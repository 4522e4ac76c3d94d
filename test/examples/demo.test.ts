import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SandboxEhr } from "effect-safire/testing"
import { main as backendService } from "../../examples/backend-service/main.js"
import { main as bulkExport } from "../../examples/bulk-export/main.js"
import { root, runExample } from "../support/runExample.js"

interface Step {
  readonly step: string
  readonly ok: boolean
  readonly ms: number
  readonly found?: Readonly<Record<string, unknown>>
  readonly error?: Readonly<Record<string, unknown>>
  readonly warnings: ReadonlyArray<unknown>
}

/** `onLine` sees each line as it comes. */
const demo = (
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {},
  onLine: (line: string) => void = () => undefined
) =>
  Effect.map(
    runExample("demo/main.ts", { args, environment, onText: (text) => text.split("\n").forEach(onLine) }),
    (ran) => ({
      ...ran,
      steps: ran.output.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Step)
    })
  )

/** A port that was free a moment ago: the demo itself is to listen on it. */
const freeRedirectUri = Effect.async<string>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(`http://127.0.0.1:${port}/callback`)))
  })
})

/** A sandbox of the test's own, and the demo at it as a person's app; the test plays the browser. */
const demoAt = (
  authentication: SandboxEhr.ClientAuthentication,
  environment: Readonly<Record<string, string>>,
  prepare: (ehr: SandboxEhr.Service) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const redirectUri = yield* freeRedirectUri
    const clients = [{ clientId: "demo-at", redirectUris: [redirectUri], authentication }]
    const layer = SandboxEhr.layerServer({ clients }).pipe(
      Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
    )
    const ehr = Context.get(yield* Layer.build(layer), SandboxEhr.SandboxEhr)
    yield* prepare(ehr)
    const ran = yield* demo(["--json"], {
      SMART_FHIR_BASE_URL: ehr.fhirBaseUrl,
      SMART_CLIENT_ID: "demo-at",
      SMART_REDIRECT_URI: redirectUri,
      SMART_SCOPES: "launch/patient patient/*.rs",
      SMART_ALLOW_INSECURE_LOCALHOST: "true",
      ...environment
    }, (line) => {
      const url = line.startsWith("{") ? (JSON.parse(line) as Step).found?.["url"] : undefined
      if (typeof url === "string") void fetch(url)
    })
    const requests = yield* ehr.requests
    return {
      ...ran,
      introspect: ran.steps.find(({ step }) => step === "introspect"),
      /** By what each introspection was authorized. */
      schemes: requests.filter(({ path }) => path.endsWith("/introspect")).map(({ headers }) =>
        headers["authorization"]?.split(" ")[0]
      )
    }
  })

const APP = [
  "start",
  "configure",
  "discover",
  "authorize",
  "callback",
  "exchange",
  "read",
  "chart",
  "expire",
  "refresh",
  "read"
]

describe("the backend service", () => {
  it.live(
    "reads from three servers at once, each with its own kind of authentication",
    () =>
      Effect.map(backendService, (counted) =>
        assert.deepStrictEqual(counted, [
          { server: "north", patients: 3 },
          { server: "south", patients: 3 },
          { server: "west", patients: 3 }
        ])),
    60_000
  )
})

describe("the bulk export", () => {
  it.live(
    "counts all resources of the server",
    () => Effect.map(bulkExport, (counts) => assert.include(counts, { Patient: 3, Practitioner: 2 })),
    60_000
  )
})

describe("the demo", () => {
  it.live("runs the app of a user and prints a line for each step", () =>
    Effect.gen(function*() {
      const { code, output } = yield* demo([])
      assert.strictEqual(code, 0, output)
      const lines = output.trim().split("\n")
      assert.isTrue(lines.every((line) => line.startsWith("✓")), output)
      assert.deepStrictEqual(lines.map((line) => line.split(/\s+/)[1]).slice(0, APP.length), APP)
    }), 60_000)

  it.live("runs each kind of client from the environment, as JSON", () =>
    Effect.gen(function*() {
      const key = readFileSync(`${root}test/vectors/ES384.private.json`, "utf8")
      const secret = "canary-client-secret"
      const runs = yield* Effect.forEach([{ SMART_CLIENT_SECRET: secret }, { SMART_PRIVATE_KEY: key }], (environment) =>
        demo(["--json"], environment as Record<string, string>), { concurrency: 2 })
      for (const { code, output, steps } of runs) {
        assert.strictEqual(code, 0, output)
        assert.deepStrictEqual(
          steps.map(({ step }) =>
            step
          ).slice(0, APP.length),
          APP
        )
        assert.isTrue(steps.every(({ ok }) => ok))
        assert.notInclude(output, secret)
        assert.notInclude(output, (JSON.parse(key) as { keys?: ReadonlyArray<{ d: string }> }).keys?.[0]?.d ?? "\"d\"")
      }
    }), 60_000)

  it.live(
    "treats a blank variable as absent, and listens at the redirect URI of the environment, also with the sandbox",
    () =>
      Effect.gen(function*() {
        const redirectUri = yield* freeRedirectUri
        const { code, output, steps } = yield* demo(["--json"], {
          SMART_CLIENT_SECRET: "",
          SMART_PRIVATE_KEY: " ",
          SMART_SCOPES: "",
          SMART_FHIR_BASE_URL: "",
          SMART_REDIRECT_URI: redirectUri
        })
        assert.strictEqual(code, 0, output)
        assert.deepStrictEqual(steps.map(({ step }) => step).slice(0, APP.length), APP)
      }),
    60_000
  )

  it.live("names all missing variables at once, before any request", () =>
    Effect.gen(function*() {
      const environment = { SMART_FHIR_BASE_URL: "https://127.0.0.1:9/fhir" }
      const app = yield* demo(["--json"], environment)
      assert.strictEqual(app.code, 1)
      assert.deepStrictEqual(app.steps.map(({ ok, step }) => ({ ok, step })), [{ ok: false, step: "start" }])
      assert.strictEqual(
        app.steps[0]?.error?.["message"],
        "set SMART_CLIENT_ID, SMART_REDIRECT_URI, SMART_SCOPES for this server; docs/demo.md describes the variables"
      )
      const backend = yield* demo(["--json", "--backend"], environment)
      assert.strictEqual(
        backend.steps[0]?.error?.["message"],
        "set SMART_CLIENT_ID, SMART_SCOPES, SMART_PRIVATE_KEY (or SMART_CLIENT_SECRET) for this server; " +
          "docs/demo.md describes the variables"
      )
    }), 60_000)

  it.scopedLive("reports a refusal in the callback under the step of the callback", () =>
    Effect.gen(function*() {
      const redirectUri = yield* freeRedirectUri
      const layer = SandboxEhr.layerServer({
        clients: [{ clientId: "demo-at", redirectUris: [redirectUri], authentication: { method: "none" } }]
      }).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })))
      const ehr = Context.get(yield* Layer.build(layer), SandboxEhr.SandboxEhr)
      const { code, steps } = yield* demo(["--json"], {
        SMART_FHIR_BASE_URL: ehr.fhirBaseUrl,
        SMART_CLIENT_ID: "demo-at",
        SMART_REDIRECT_URI: redirectUri,
        SMART_SCOPES: "launch/patient patient/*.rs",
        SMART_ALLOW_INSECURE_LOCALHOST: "true"
      }, (line) => {
        const url = line.startsWith("{") ? (JSON.parse(line) as Step).found?.["url"] : undefined
        if (typeof url === "string") {
          const state = new URL(url).searchParams.get("state") ?? ""
          void fetch(
            `${redirectUri}?${new URLSearchParams({ error: "access_denied", state, iss: ehr.issuer }).toString()}`
          )
        }
      })
      assert.strictEqual(code, 1)
      assert.deepInclude(steps.at(-1), { step: "callback", ok: false })
      assert.deepInclude(steps.at(-1)?.error, { _tag: "AuthorizationError", reason: "AccessDenied" })
    }), 60_000)

  it.live("names the variable that is wrong", () =>
    Effect.gen(function*() {
      const base = { SMART_FHIR_BASE_URL: "https://127.0.0.1:9/fhir", SMART_SCOPES: "launch/patient" }
      const errorOf = (environment: Readonly<Record<string, string>>) =>
        Effect.map(demo(["--json"], environment), ({ code, steps }) => {
          assert.strictEqual(code, 1)
          return steps.at(-1)?.error?.["message"]
        })
      assert.strictEqual(
        yield* errorOf({ ...base, SMART_CLIENT_ID: "x", SMART_REDIRECT_URI: "no URL" }),
        "the demo needs a loopback http address as SMART_REDIRECT_URI, not no URL"
      )
      assert.match(
        String(yield* errorOf({ SMART_ALLOW_INSECURE_LOCALHOST: "maybe" })),
        /^SMART_ALLOW_INSECURE_LOCALHOST: .*maybe/
      )
    }), 60_000)

  it.live("explains which options exclude each other", () =>
    Effect.gen(function*() {
      const { code, output } = yield* demo(["--backend", "--launch", "sandbox"])
      assert.strictEqual(code, 1)
      assert.include(output, "npm run demo -- [--backend | --launch <launch URL>")
    }), 60_000)

  it.live("prints why a backend service must not search", () =>
    Effect.gen(function*() {
      const { code, steps } = yield* demo(["--json", "--backend"], { SMART_SCOPES: "system/Observation.rs" })
      assert.strictEqual(code, 1)
      assert.deepInclude(steps.at(-1), { step: "search", ok: false })
      assert.deepInclude(steps.at(-1)?.error, { _tag: "FhirError", reason: "Forbidden", status: 403 })
    }), 60_000)

  it.live("runs a backend service", () =>
    Effect.gen(function*() {
      const { code, output, steps } = yield* demo(["--json", "--backend"])
      assert.strictEqual(code, 0, output)
      assert.include(steps.map(({ step }) => step), "token")
    }), 60_000)

  it.live("ends at the first step that fails, with the typed error", () =>
    Effect.gen(function*() {
      const { code, steps } = yield* demo(["--json"], {
        SMART_FHIR_BASE_URL: "http://127.0.0.1:9/fhir",
        SMART_CLIENT_ID: "x",
        SMART_REDIRECT_URI: yield* freeRedirectUri,
        SMART_SCOPES: "launch/patient",
        SMART_ALLOW_INSECURE_LOCALHOST: "true"
      })
      assert.strictEqual(code, 1)
      assert.isFalse(steps.at(-1)?.ok)
      assert.deepInclude(steps.at(-1)?.error, { _tag: "DiscoveryError", reason: "Unreachable" })
      const insecure = yield* demo(["--json"], {
        SMART_FHIR_BASE_URL: "http://ehr.example.org/fhir",
        SMART_CLIENT_ID: "x",
        SMART_REDIRECT_URI: yield* freeRedirectUri,
        SMART_SCOPES: "launch/patient"
      })
      assert.strictEqual(insecure.code, 1)
      assert.deepInclude(insecure.steps.at(-1)?.error, { _tag: "ConfigurationError", reason: "Insecure" })
    }), 60_000)

  it.scopedLive(
    "launches at the server of the environment, prints the URL on its own line and waits",
    () =>
      Effect.gen(function*() {
        const redirectUri = yield* freeRedirectUri
        const layer = SandboxEhr.layerServer({
          clients: [{ clientId: "sandbox-public-app", redirectUris: [redirectUri], authentication: { method: "none" } }]
        }).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })))
        const ehr = Context.get(yield* Layer.build(layer), SandboxEhr.SandboxEhr)
        const opened: Array<string> = []
        const { code, output } = yield* demo([], {
          SMART_FHIR_BASE_URL: ehr.fhirBaseUrl,
          SMART_CLIENT_ID: "sandbox-public-app",
          SMART_REDIRECT_URI: redirectUri,
          SMART_SCOPES: "launch/patient patient/*.rs offline_access",
          SMART_ALLOW_INSECURE_LOCALHOST: "true"
        }, (line) => {
          if (!line.startsWith("http")) return
          opened.push(line)
          // The person's browser: fetch follows the redirect to the demo's own port.
          void fetch(line)
        })
        assert.strictEqual(code, 0, output)
        assert.strictEqual(opened.length, 1)
        assert.include(output, "✓ refresh")
      }),
    60_000
  )

  const secret = { method: "client_secret_basic", secret: Redacted.make("canary-secret") } as const
  const withSecret = { SMART_CLIENT_SECRET: "canary-secret" }
  const refuses = (times: number) => (ehr: SandboxEhr.Service) =>
    ehr.fault("introspect", SandboxEhr.Fault.oauthError("invalid_client", { status: 401 }), times)

  it.scopedLive("introspects with the credentials of the client if it has any", () =>
    Effect.gen(function*() {
      const { code, introspect, output, schemes } = yield* demoAt(secret, withSecret, () => Effect.void)
      assert.strictEqual(code, 0, output)
      assert.deepStrictEqual(introspect?.found, { active: true, authorization: "client" })
      assert.deepStrictEqual(schemes, ["Basic"])
    }), 60_000)

  it.scopedLive(
    "[SMART-282] introspects with the token itself where the server refuses the client's credentials",
    () =>
      Effect.gen(function*() {
        const { code, introspect, output, schemes } = yield* demoAt(secret, withSecret, refuses(1))
        assert.strictEqual(code, 0, output)
        assert.deepStrictEqual(introspect?.found, { active: true, authorization: "bearer" })
        assert.deepStrictEqual(schemes, ["Basic", "Bearer"])
      }),
    60_000
  )

  it.scopedLive("fails with the first refusal where the server refuses both", () =>
    Effect.gen(function*() {
      const { code, introspect, schemes } = yield* demoAt(secret, withSecret, refuses(2))
      assert.strictEqual(code, 1)
      assert.deepInclude(introspect?.error, { _tag: "TokenError", reason: "Refused", error: "invalid_client" })
      assert.deepStrictEqual(schemes, ["Basic", "Bearer"])
    }), 60_000)

  it.scopedLive(
    "continues with the revocation if the server does not introspect for a public client",
    () =>
      Effect.gen(function*() {
        const { code, introspect, output, schemes, steps } = yield* demoAt({ method: "none" }, {}, refuses(1))
        assert.strictEqual(code, 0, output)
        assert.deepStrictEqual(introspect?.found, { authorization: "bearer", status: 401 })
        assert.deepStrictEqual(schemes, ["Bearer"])
        assert.deepInclude(steps.at(-1), { step: "revoke", ok: true })
      }),
    60_000
  )
})
