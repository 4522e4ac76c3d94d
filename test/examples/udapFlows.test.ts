import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import { main as b2b } from "../../examples/udap-b2b/main.js"
import { main as consumer } from "../../examples/udap-consumer/main.js"
import { runExample } from "../support/runExample.js"

interface Step {
  readonly step: string
  readonly ok: boolean
  readonly found?: Readonly<Record<string, unknown>>
  readonly error?: Readonly<Record<string, unknown>>
}

const demo = (args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) =>
  Effect.map(runExample("demo/main.ts", { args, environment }), (ran) => ({
    ...ran,
    steps: ran.output.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Step)
  }))

describe("examples/udap-b2b", () => {
  it.live("registers once, and requests a token for each requestor and purpose", () =>
    Effect.gen(function*() {
      const { code, output } = yield* runExample("udap-b2b/main.ts")
      assert.strictEqual(code, 0, output)
      assert.include(output, "Dr. Ada Example, TREAT: 3 patients")
      assert.include(output, "1 registration, 2 tokens")
      assert.lengthOf(yield* b2b, 3)
    }), 60_000)
})

describe("examples/udap-consumer", () => {
  it.live(
    "registers, logs a person in with PKCE, reads and refreshes; also with an identity provider",
    () =>
      Effect.gen(function*() {
        const { code, output } = yield* runExample("udap-consumer/main.ts")
        assert.strictEqual(code, 0, output)
        assert.include(output, "registered: Health record for authorization_code, refresh_token")
        const withIdp = yield* consumer({ withIdp: true })
        assert.strictEqual(withIdp.patient, "patient-beta")
        assert.include(withIdp.scopes, "udap")
      }),
    60_000
  )
})

describe("npm run demo -- --udap", () => {
  const names = (steps: ReadonlyArray<Step>) => steps.map(({ ok, step }) => ok ? step : `${step} failed`)

  it.live("shows trust and registration, then the flow of an app", () =>
    Effect.gen(function*() {
      const { code, output, steps } = yield* demo(["--udap", "--json"])
      assert.strictEqual(code, 0, output)
      assert.deepStrictEqual(names(steps), [
        "start",
        "certificate",
        "trust",
        "register",
        "configure",
        "discover",
        "authorize",
        "callback",
        "exchange",
        "read",
        "chart",
        "expire",
        "refresh",
        "read",
        "introspect",
        "revoke"
      ])
      const found = (name: string) => steps.find(({ step }) => step === name)?.found ?? {}
      assert.deepInclude(found("trust"), { community: SandboxUdap.communityOne, findings: [] })
      assert.match(String(found("register")["clientId"]), /^udap-/)
      assert.deepInclude(found("introspect"), { active: true, authorization: "client" })
      assert.match(String(found("discover")["tokenEndpoint"]), /\/auth\/udap\/token$/)
      assert.notInclude(output, "PRIVATE KEY")
    }), 60_000)

  it.live("shows the token of a backend service, as JSON and as text", () =>
    Effect.gen(function*() {
      const { code, output } = yield* demo(["--udap", "--backend"])
      assert.strictEqual(code, 0, output)
      assert.match(output, /✓ register +https:\/\/demo\.example\.org\/udap has the client id udap-/)
      assert.match(output, /✓ search +3 patients/)
    }), 60_000)

  it.live(
    "uses the server and the certificate of the environment, and stops if the server is not trusted",
    () =>
      Effect.gen(function*() {
        const services = yield* Layer.build(
          SandboxUdap.layerServer().pipe(
            Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
          )
        )
        const ehr = Context.get(services, SandboxEhr.SandboxEhr)
        const udap = Context.get(services, SandboxUdap.SandboxUdap)
        const [root = new Uint8Array()] = yield* udap.anchors()
        const operator = yield* udap.issueCertificate({ uri: "https://operator.example.org/app" })
        const environment = {
          SMART_FHIR_BASE_URL: ehr.fhirBaseUrl,
          SMART_SCOPES: "system/*.rs",
          SMART_ALLOW_INSECURE_LOCALHOST: "true",
          UDAP_COMMUNITY: SandboxUdap.communityOne,
          UDAP_ANCHORS: `-----BEGIN CERTIFICATE-----\n${
            Buffer.from(root).toString("base64")
          }\n-----END CERTIFICATE-----`,
          UDAP_CERTIFICATE: operator.chainPem,
          UDAP_PRIVATE_KEY: Redacted.value(operator.privateKeyPem)
        }
        const good = yield* demo(["--udap", "--backend", "--json"], environment)
        assert.strictEqual(good.code, 0, good.output)
        assert.strictEqual((yield* udap.registrations)[0]?.clientUri, "https://operator.example.org/app")
        yield* udap.misbehave({ certificate: "Expired" })
        const expired = yield* demo(["--udap", "--backend", "--json"], environment)
        assert.strictEqual(expired.code, 1)
        assert.deepStrictEqual(names(expired.steps).at(-1), "trust failed")
        assert.deepInclude(expired.steps.at(-1)?.error, { _tag: "TrustError", reason: "Expired" })
      }).pipe(Effect.scoped),
    90_000
  )
})
