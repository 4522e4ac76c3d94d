import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import { SandboxUdap } from "effect-safire/testing-udap"
import { runCli } from "../support/runCli.js"

const base = "https://ehr.sandbox.test/fhir"

const lines = (...text: ReadonlyArray<string>) => text.join("\n")

/** The identifiers and times of a run. */
const stable = (text: string) => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "doctor-udap-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const pem = (der: Uint8Array) =>
  `-----BEGIN CERTIFICATE-----\n${Encoding.encodeBase64(der)}\n-----END CERTIFICATE-----\n`

/** Runs the doctor with the anchors of a community of the sandbox. */
const doctor = (
  args: ReadonlyArray<string>,
  options: { readonly anchorsOf?: string; readonly der?: boolean; readonly isTTY?: boolean } = {}
) =>
  Effect.gen(function*() {
    const udap = yield* SandboxUdap.SandboxUdap
    const client = yield* HttpClient.HttpClient
    const path = yield* directory
    const anchor = join(path, "anchor.pem")
    const [root = new Uint8Array()] = yield* udap.anchors(options.anchorsOf)
    writeFileSync(anchor, options.der === true ? root : pem(root))
    return yield* runCli(["doctor", "--anchor", anchor, ...args, base], {
      http: Layer.succeed(HttpClient.HttpClient, client),
      isTTY: options.isTTY ?? false
    })
  }).pipe(Effect.scoped)

const sandbox = SandboxUdap.layerHttpClient()

describe("`doctor --anchor`", () => {
  it.live("prints the certificate path, the features and the findings of a trusted server", () =>
    Effect.gen(function*() {
      const { code, err, out } = yield* doctor(["--community", SandboxUdap.communityOne])
      assert.strictEqual(err, "")
      assert.strictEqual(code, 0, out)
      assert.strictEqual(
        stable(out),
        lines(
          base,
          "in the community https://one.sandbox.test/community",
          "",
          "✓ Trusted: apps can register and authenticate.",
          "",
          "Certificate path, trusted until TIME",
          "  CN=Certificate for https://ehr.sandbox.test/fhir, O=Test community",
          "  CN=Intermediate of https://one.sandbox.test/community, O=Test community",
          "  CN=Root of https://one.sandbox.test/community, O=Test community",
          "",
          "Features",
          "  ✓ registration (udap_dcr)",
          "  ✓ authentication with a certificate (udap_authn)",
          "  ✓ apps with users (authorization_code)",
          "  ✓ B2B (client_credentials, udap_authz)",
          "  ✓ Tiered OAuth (udap_to)",
          "",
          "Required authorization extensions",
          "  hl7-b2b",
          "",
          "Required certifications",
          "  none",
          "",
          "Endpoints",
          "  registration   https://ehr.sandbox.test/auth/udap/register",
          "  authorization  https://ehr.sandbox.test/auth/udap/authorize",
          "  token          https://ehr.sandbox.test/auth/udap/token",
          "",
          "No findings"
        )
      )
    }).pipe(Effect.provide(sandbox)))

  it.live("accepts DER, and lets the server choose its certificate without a community", () =>
    Effect.gen(function*() {
      const { code, out } = yield* doctor(["--json"], { der: true })
      assert.strictEqual(code, 0, out)
      const report = JSON.parse(out)
      assert.deepInclude(report, { fhirBaseUrl: base, community: null, usable: true, findings: [] })
      assert.deepInclude(report.supports, { registration: true, clientCredentials: true, tieredOAuth: true })
      assert.lengthOf(report.certificatePath, 3)
    }).pipe(Effect.provide(sandbox)))

  it.live("prints each deviation with its requirement number, and `--strict` exits with 1", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      yield* udap.misbehave({ metadata: { udap_versions_supported: ["2"], scopes_supported: undefined } })
      const { code, out } = yield* doctor([])
      assert.strictEqual(code, 0, out)
      assert.match(out, /Findings: \d errors/)
      assert.match(out, /error {4}.*udap_versions_supported.* \[UDAP-22\]\n {11}→ /)
      assert.match(out, /scopes_supported is missing \[UDAP-STU2-2\.2\]/)
      assert.strictEqual((yield* doctor(["--strict"])).code, 1)
    }).pipe(Effect.provide(sandbox)))

  it.live("prints each problem of a server that is not trusted, with its rule and what to do", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      yield* udap.misbehave({ certificate: "Revoked" })
      const { code, out } = yield* doctor(["--community", SandboxUdap.communityOne])
      assert.strictEqual(code, 1)
      assert.match(
        out,
        /✗ The server is not trusted\.\n\nProblems: 1\n {2}error {4}certificate .*revoked.* \[RFC 5280.*\]\n {11}→ /
      )
      yield* udap.misbehave({ certificate: "Expired" })
      const json = JSON.parse((yield* doctor(["--json"])).out)
      assert.deepInclude(json, { usable: false })
      assert.deepInclude(json.error, { tag: "TrustError", reason: "Expired", retryable: false })
      assert.isString(json.error.problems[0].remedy)
    }).pipe(Effect.provide(sandbox)))

  it.live("requires revocation information unless `--revocation` says otherwise", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      yield* udap.misbehave({ crl: "Expired" })
      assert.strictEqual((yield* doctor([])).code, 1)
      assert.strictEqual((yield* doctor(["--revocation", "off"])).code, 0)
    }).pipe(Effect.provide(sandbox)))

  it.live("prints that the anchors are those of another community, or that the server has none", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      const other = yield* doctor(["--community", SandboxUdap.communityOne], { anchorsOf: SandboxUdap.communityTwo })
      assert.strictEqual(other.code, 1)
      assert.include(other.out, "The server is not trusted.")
      const unknown = yield* doctor(["--community", "https://unknown.sandbox.test/community"])
      assert.match(unknown.out, /✗ .*CommunityUnknown/)
      yield* udap.misbehave({ withoutUdap: true })
      const without = yield* doctor([])
      assert.strictEqual(without.code, 1)
      assert.match(without.out, /✗ .*NotSupported/)
    }).pipe(Effect.provide(sandbox)))

  it.live("prints one line of printable text for a text of a hostile server", () =>
    Effect.gen(function*() {
      const udap = yield* SandboxUdap.SandboxUdap
      yield* udap.misbehave({
        claims: { token_endpoint: "https://auth.sandbox.test/\u001b[2J\u0007token" },
        metadata: {
          udap_authorization_extensions_supported: ["\u001b[31mred", "hl7-b2b"],
          udap_authorization_extensions_required: ["\u001b[31mred\r\n✓ Trusted"]
        }
      })
      const { out } = yield* doctor([])
      assert.notMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
      assert.notInclude(out.split("\n").slice(4), "✓ Trusted")
    }).pipe(Effect.provide(sandbox)))

  it.live("exits with 2 for a community without anchors, and for an anchor that is not one", () =>
    Effect.gen(function*() {
      const without = yield* runCli(["doctor", "--community", SandboxUdap.communityOne, base])
      assert.deepStrictEqual([without.code, without.out], [2, ""])
      assert.include(without.err, "--community needs --anchor")
      const path = yield* directory
      const file = join(path, "text.pem")
      writeFileSync(file, "not a certificate")
      const invalid = yield* runCli(["doctor", "--anchor", file, base])
      assert.deepStrictEqual([invalid.code, invalid.out], [2, ""])
      assert.include(invalid.err, "entry 1")
      const missing = yield* runCli(["doctor", "--anchor", join(path, "missing.pem"), base])
      assert.strictEqual(missing.code, 2)
    }).pipe(Effect.scoped))
})
