import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { SandboxEhr } from "../../src/testing/index.js"
import { freePort } from "../support/freePort.js"
import * as Http from "../support/http.js"
import * as OidcProvider from "../support/OidcProvider.js"
import { type Place, runCli } from "../support/runCli.js"
import { root } from "../support/runExample.js"

const base = "https://ehr.example/fhir"
const withoutPort = (text: string) => text.replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT")
const lines = (...text: ReadonlyArray<string>) => text.join("\n")

/** Exit code and output for a server with this response. */
const answering = (answer: () => Http.FakeResponse, args: ReadonlyArray<string> = [], place: Place = {}) =>
  runCli(["doctor", ...args, base], { ...place, http: Http.script(answer).layer })

const whole = {
  authorization_endpoint: "https://auth.example/authorize",
  token_endpoint: "https://auth.example/token",
  introspection_endpoint: "https://auth.example/introspect",
  revocation_endpoint: "https://auth.example/revoke",
  management_endpoint: "https://auth.example/manage",
  user_access_brand_bundle: "https://auth.example/brands.json",
  user_access_brand_identifier: { system: "urn:ietf:rfc:3986", value: "https://ehr.example" },
  grant_types_supported: ["authorization_code"],
  scopes_supported: ["patient/*.rs"],
  response_types_supported: ["code"],
  code_challenge_methods_supported: ["S256"],
  capabilities: [
    "launch-standalone",
    "client-public",
    "context-standalone-patient",
    "permission-patient",
    "permission-v2"
  ]
}

const server = SandboxEhr.layerServer().pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

describe("`doctor --strict`", () => {
  const codeOf = (document: object, args: ReadonlyArray<string>) =>
    Effect.map(answering(() => Http.json(document), args), ({ code }) => code)

  it.effect("exits with 1 for a finding of the severity error, with which the server is usable", () =>
    Effect.gen(function*() {
      const deviating = { ...whole, code_challenge_methods_supported: ["plain"] }
      assert.strictEqual(yield* codeOf(deviating, []), 0)
      assert.strictEqual(yield* codeOf(deviating, ["--strict"]), 1)
    }))

  it.effect("exits with 0 for warnings", () =>
    Effect.gen(function*() {
      const { code, out } = yield* answering(
        () => Http.json({ ...whole, user_access_brand_identifier: { value: "https://ehr.example" } }),
        ["--strict", "--json"]
      )
      const severities = (JSON.parse(out) as { findings: ReadonlyArray<{ severity: string }> }).findings.map((one) =>
        one.severity
      )
      assert.include(severities, "warning")
      assert.notInclude(severities, "error")
      assert.strictEqual(code, 0)
    }))
})

describe("`doctor` with a SMART server", () => {
  it.effect("prints text", () =>
    Effect.gen(function*() {
      const { code, err, out } = yield* answering(() =>
        Http.json({ ...whole, code_challenge_methods_supported: ["plain"] })
      )
      assert.strictEqual(code, 0)
      assert.strictEqual(err, "")
      assert.strictEqual(
        out,
        lines(
          "https://ehr.example/fhir",
          "",
          "✓ Usable: standalone launch.",
          "",
          "Launches",
          "  – EHR launch",
          "  ✓ standalone launch",
          "  – authorization requests by POST",
          "",
          "Clients",
          "  ✓ public",
          "  – confidential, with a client secret",
          "  – confidential, with a private key",
          "  – backend services",
          "  – dynamic registration",
          "",
          "Other features",
          "  – PKCE with S256",
          "  – OpenID Connect",
          "  ✓ scopes of SMART 2 (patient/Observation.rs)",
          "  – scopes of SMART 1 (patient/Observation.read)",
          "  ✓ token introspection",
          "  ✓ token revocation",
          "",
          "Algorithms for client assertions",
          "  ES384, RS384",
          "",
          "Capability sets",
          "  ✓ Patient access for standalone apps",
          "  – Patient access for EHR launch",
          "  – Clinician access for standalone apps",
          "  – Clinician access for EHR launch",
          "",
          "Endpoints",
          "  authorization  https://auth.example/authorize",
          "  token          https://auth.example/token",
          "  introspection  https://auth.example/introspect",
          "  revocation     https://auth.example/revoke",
          "  management     https://auth.example/manage",
          "",
          "Findings: 2 errors",
          "  error    code_challenge_methods_supported does not list S256 [14]",
          "           → support S256; this client sends it in any case",
          "  error    code_challenge_methods_supported lists plain [15]",
          "           → remove it: plain protects no code"
        )
      )
    }))

  it.effect("prints one line of printable text for a text of a hostile server", () =>
    Effect.gen(function*() {
      const hostile = {
        ...whole,
        authorization_endpoint: "https://auth.example/\u001b[2J\u0007a?b=\u001b]0;owned\u0007",
        token_endpoint: "https://auth.example/to\r\n✓ Usable\u202eken",
        revocation_endpoint: `https://auth.example/${"a".repeat(5000)}`,
        capabilities: [...whole.capabilities, "\u001b[31mred"]
      }
      const { out } = yield* answering(() => Http.json(hostile), [], { isTTY: true, environment: { NO_COLOR: "1" } })
      assert.notMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
      assert.include(out, "  authorization  https://auth.example/%1B[2J%07a?b=%1B]0;owned\n")
      assert.include(out, "  token          https://auth.example/to%E2%9C%93%20Usable%E2%80%AEken\n")
      assert.isTrue(out.split("\n").every((line) => line.length < 400))
    }))

  it.effect("prints that there are no findings", () =>
    Effect.gen(function*() {
      const { out } = yield* answering(() => Http.json(whole))
      assert.isTrue(out.endsWith("\n\nNo findings"))
    }))

  it.effect("accepts the sandbox over a port", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl } = yield* SandboxEhr.SandboxEhr
      const { code, out } = yield* runCli(["doctor", "--allow-insecure-localhost", fhirBaseUrl])
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(withoutPort(out).split("\n").slice(0, 8), [
        "http://127.0.0.1:PORT/fhir",
        "",
        "✓ Usable: EHR launch, standalone launch, backend services.",
        "",
        "Launches",
        "  ✓ EHR launch",
        "  ✓ standalone launch",
        "  ✓ authorization requests by POST"
      ])
      assert.include(withoutPort(out), "  token          http://127.0.0.1:PORT/auth/token")
      assert.notInclude(out, "  error ")
      // The findings agree that the server is usable.
      assert.notInclude(out, "does not use it")
      assert.notInclude(out, "  warning ")
      assert.include(
        withoutPort(out),
        lines(
          "  note     token_endpoint is not https [1]",
          "           → accepted for development, because allowInsecureLocalhost is on"
        )
      )
    }).pipe(Effect.provide(server)), 30_000)

  it.effect("the environment variable has the effect of the option", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl } = yield* SandboxEhr.SandboxEhr
      const allowed = yield* runCli(["doctor", fhirBaseUrl], {
        environment: { SMART_ALLOW_INSECURE_LOCALHOST: "true" }
      })
      assert.strictEqual(allowed.code, 0)
      const refused = yield* runCli(["doctor", fhirBaseUrl], {
        environment: { SMART_ALLOW_INSECURE_LOCALHOST: "false" }
      })
      assert.strictEqual(refused.code, 1)
      const blank = yield* runCli(["doctor", "--json", fhirBaseUrl], {
        environment: { SMART_ALLOW_INSECURE_LOCALHOST: " " }
      })
      assert.deepStrictEqual([blank.code, JSON.parse(blank.out).error.reason], [1, "InsecureEndpoint"])
      const unclear = yield* runCli(["doctor", fhirBaseUrl], {
        environment: { SMART_ALLOW_INSECURE_LOCALHOST: "maybe" }
      })
      assert.strictEqual(unclear.code, 2)
      assert.strictEqual(unclear.err, "SMART_ALLOW_INSECURE_LOCALHOST must be true or false")
    }).pipe(Effect.provide(server)), 30_000)

  it.effect("accepts oidc-provider over a port", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl, issuer, metadata } = yield* OidcProvider.OidcProvider
      const { code, out } = yield* runCli(["doctor", "--json", "--allow-insecure-localhost", fhirBaseUrl])
      assert.strictEqual(code, 0)
      const printed = JSON.parse(out)
      assert.isTrue(printed.usable)
      assert.strictEqual(printed.issuer, issuer)
      assert.strictEqual(printed.endpoints.token, metadata["token_endpoint"])
      assert.isTrue(printed.clients.asymmetric)
      const text = yield* runCli(["doctor", "--allow-insecure-localhost", fhirBaseUrl])
      assert.include(text.out, "✓ Usable")
      assert.include(text.out, "  ✓ confidential, with a private key")
    }).pipe(Effect.provide(OidcProvider.layer())), 30_000)

  it.effect("a server from which no client can get a token is not usable", () =>
    Effect.gen(function*() {
      const without = yield* answering(() => Http.json({ ...whole, token_endpoint: undefined }))
      assert.strictEqual(without.code, 1)
      assert.include(without.out, "✗ Not usable: its SMART configuration has no usable token_endpoint.")
      const insecure = yield* answering(() => Http.json({ ...whole, token_endpoint: "http://auth.example/token" }))
      assert.strictEqual(insecure.code, 1)
      assert.include(insecure.out, "✗ Not usable: its SMART configuration has a token_endpoint that is not https.")
      const neither = yield* answering(() => Http.json({ token_endpoint: "https://auth.example/token" }))
      assert.strictEqual(neither.code, 1)
      assert.include(neither.out, "no usable authorization_endpoint, and the server does not support backend services.")
      const backend = yield* answering(() =>
        Http.json({ token_endpoint: "https://auth.example/token", capabilities: ["client-confidential-asymmetric"] })
      )
      assert.strictEqual(backend.code, 0)
      assert.include(backend.out, "✓ Usable: backend services.")
    }))

  it.effect("[SMART-374] another content type is a finding", () =>
    Effect.gen(function*() {
      const { code, out } = yield* answering(() => Http.text(JSON.stringify(whole)))
      assert.strictEqual(code, 0)
      assert.isTrue(out.endsWith(lines(
        "Findings: 1 warning",
        "  warning  the SMART configuration has the content type (none) [374]",
        "           → respond with application/json"
      )))
    }))

  it.effect("a CapabilityStatement with oauth-uris is usable, with the setting in the advice", () =>
    Effect.gen(function*() {
      const statement = {
        resourceType: "CapabilityStatement",
        rest: [{
          security: {
            extension: [{
              url: "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
              extension: [
                { url: "token", valueUri: "https://auth.example/token" },
                { url: "authorize", valueUri: "https://auth.example/authorize" }
              ]
            }]
          }
        }]
      }
      const http = Http.script(() => Http.text("", { status: 404 }), () => Http.json(statement))
      const { code, out } = yield* runCli(["doctor", base], { http: http.layer })
      assert.strictEqual(code, 0)
      assert.include(out, "✓ Usable, but it claims no launch and no backend services.")
      assert.include(
        out,
        lines(
          "  error    the server has no SMART configuration, only the deprecated oauth-uris of its CapabilityStatement",
          "           → serve /.well-known/smart-configuration; until then clients need the setting legacyMetadata"
        )
      )
    }))

  it.effect("`--json` prints one JSON document", () =>
    Effect.gen(function*() {
      const { code, out } = yield* answering(() => Http.json({ ...whole, capabilities: undefined }), ["--json"])
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(JSON.parse(out), {
        fhirBaseUrl: base,
        usable: true,
        blockers: [],
        source: "smart-configuration",
        issuer: null,
        launches: { ehr: false, standalone: false, post: false },
        clients: {
          public: false,
          symmetric: false,
          asymmetric: false,
          backendServices: false,
          dynamicRegistration: false
        },
        supports: {
          pkce: true,
          openIdConnect: false,
          v1Permissions: false,
          v2Permissions: true,
          introspection: true,
          revocation: true
        },
        signingAlgorithms: ["ES384", "RS384"],
        capabilities: [],
        capabilitySets: {
          PatientAccessForStandaloneApps: false,
          PatientAccessForEhrLaunch: false,
          ClinicianAccessForStandalone: false,
          ClinicianAccessForEhrLaunch: false
        },
        endpoints: {
          authorization: "https://auth.example/authorize",
          token: "https://auth.example/token",
          registration: null,
          introspection: "https://auth.example/introspect",
          revocation: "https://auth.example/revoke",
          management: "https://auth.example/manage",
          jwks: null
        },
        findings: [{
          code: "MemberMissing",
          severity: "error",
          member: "capabilities",
          requirement: "393",
          message: "capabilities is missing",
          advice: "capabilities is required: add it"
        }]
      })
    }))
})

describe("`doctor` without a SMART server", () => {
  it.effect("a closed port", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const { code, err, out } = yield* runCli([
        "doctor",
        "--allow-insecure-localhost",
        `http://127.0.0.1:${port}/fhir`
      ])
      assert.strictEqual(code, 1)
      assert.strictEqual(err, "")
      assert.strictEqual(
        withoutPort(out),
        lines(
          "http://127.0.0.1:PORT/fhir",
          "",
          "✗ 127.0.0.1:PORT refuses connections (ECONNREFUSED).",
          "",
          "  → Is the server running?",
          "  → Is the port correct?"
        )
      )
    }))

  it.scoped("a page of HTML", () =>
    Effect.gen(function*() {
      const site = yield* Http.server((_, response) => {
        response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>SECRET</title>")
      })
      const { code, out } = yield* runCli(["doctor", "--allow-insecure-localhost", `${site.origin}/fhir`])
      assert.strictEqual(code, 1)
      assert.strictEqual(
        withoutPort(out),
        lines(
          "http://127.0.0.1:PORT/fhir",
          "",
          "✗ No SMART configuration was found at http://127.0.0.1:PORT/fhir/.well-known/smart-configuration: HTTP status 200,"
            + " a body that is not JSON (text/html), and the server has no CapabilityStatement with endpoints.",
          "",
          "  → Web sites and login pages respond like this: is it the FHIR base URL, with its whole path?",
          "  → A proxy or a network that requires a login may have responded instead of the server."
        )
      )
    }))

  it.effect.each<readonly [string, () => Http.FakeResponse, string, string]>([
    [
      "404",
      () => Http.text("", { status: 404 }),
      "HTTP status 404",
      "with its whole path? Such a path often ends in"
    ],
    [
      "401",
      () => Http.text("", { status: 401 }),
      "ehr.example requires authentication for its SMART configuration (status 401).",
      "public"
    ],
    [
      "429",
      () => Http.text("", { status: 429 }),
      "ehr.example receives too many requests (status 429).",
      "Try again later."
    ],
    ["503", () => Http.text("", { status: 503 }), "ehr.example is running but fails (status 503).", "operator"],
    [
      "418",
      () => Http.text("", { status: 418 }),
      "ehr.example does not return its SMART configuration (status 418).",
      "with its whole path?"
    ],
    [
      "no host",
      () => new Http.ConnectionFailure("ENOTFOUND"),
      "The host name ehr.example cannot be resolved",
      "Is the name correct?"
    ],
    [
      "a certificate",
      () => new Http.ConnectionFailure("CERT_HAS_EXPIRED"),
      "does not trust the certificate",
      "NODE_EXTRA_CA_CERTS"
    ],
    [
      "a private authority",
      () => new Http.ConnectionFailure("SELF_SIGNED_CERT_IN_CHAIN"),
      "does not trust",
      "NODE_EXTRA_CA_CERTS"
    ],
    [
      "no TLS",
      () => new Http.ConnectionFailure("EPROTO"),
      "ehr.example does not use TLS on this port (EPROTO).",
      "the port for https?"
    ],
    [
      "a reset",
      () => new Http.ConnectionFailure("ECONNRESET"),
      "The connection to ehr.example failed (ECONNRESET)",
      "firewall"
    ],
    [
      "an array",
      () => Http.json([]),
      "is not a SMART configuration: HTTP status 200, a body that is an array.",
      "FHIR base URL?"
    ],
    ["too much", () => Http.text("x".repeat(2 ** 20 + 1)), "too large for a SMART configuration", "FHIR base URL?"],
    [
      "a redirect to http",
      () => new Response(null, { status: 302, headers: { location: "http://ehr.example/x" } }),
      "ehr.example redirects to a URL that is not safe to follow",
      "use its own URL"
    ]
  ])("%s", ([, answer, what, advice]) =>
    Effect.gen(function*() {
      const text = yield* answering(answer)
      assert.strictEqual(text.code, 1)
      const [first, , headline = "", , ...rest] = text.out.split("\n")
      assert.strictEqual(first, base)
      assert.isTrue(headline.startsWith("✗ "))
      assert.include(headline, what)
      assert.include(rest.join("\n"), advice)
      const json = yield* answering(answer, ["--json"])
      assert.strictEqual(json.code, 1)
      const printed = JSON.parse(json.out)
      assert.isFalse(printed.usable)
      assert.include(printed.error.message, what)
      assert.hasAllKeys({ status: 0, code: "", ...printed.error }, [
        "reason",
        "url",
        "code",
        "status",
        "detail",
        "message",
        "advice",
        "retryable"
      ])
    }))

  it.effect("uses the code of a failure, also where the response is incomplete", () =>
    Effect.gen(function*() {
      const breaksOff = () =>
        new Response(
          new ReadableStream({
            pull: (controller) => controller.error(Object.assign(new Error("read"), { code: "CERT_HAS_EXPIRED" }))
          }),
          { headers: { "content-type": "application/json" } }
        )
      const text = yield* answering(breaksOff)
      assert.include(text.out, "✗ This machine does not trust the certificate of ehr.example (CERT_HAS_EXPIRED).")
      const { error } = JSON.parse((yield* answering(breaksOff, ["--json"])).out)
      assert.deepStrictEqual([error.reason, error.code, error.status], ["Unreachable", "CERT_HAS_EXPIRED", 200])
    }))

  it.effect("waits for a server that hangs until the time limit", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(answering(() => Http.hang, ["--timeout", "20"]))
      while ((yield* Fiber.poll(fiber))._tag === "None") {
        yield* Effect.yieldNow()
        yield* TestClock.adjust("1 second")
      }
      const { code, out } = yield* Fiber.join(fiber)
      assert.strictEqual(code, 1)
      assert.include(out, "✗ ehr.example did not respond within 20 seconds.")
      assert.include(out, "--timeout 120")
    }))

  it.effect("[SMART-1] advises the option for http on this machine, and https for other hosts", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json(whole))
      const local = yield* runCli(["doctor", "http://localhost:8080/fhir"], { http: http.layer })
      assert.strictEqual(local.code, 1)
      assert.include(local.out, "--allow-insecure-localhost")
      const away = yield* runCli(["doctor", "--allow-insecure-localhost", "http://ehr.example/fhir"], {
        http: http.layer
      })
      assert.strictEqual(away.code, 1)
      assert.include(away.out, "others on the network could read the tokens")
      assert.strictEqual(http.requests.length, 0)
    }))
})

describe("the command line", () => {
  const escape = "\u001b["

  it.effect("prints colours on a terminal, and none in a pipe or with NO_COLOR", () =>
    Effect.gen(function*() {
      for (const answer of [() => Http.json(whole), () => Http.text("", { status: 404 })]) {
        const person = yield* answering(answer, [], { isTTY: true })
        const pipe = yield* answering(answer)
        const noColor = yield* answering(answer, [], { isTTY: true, environment: { NO_COLOR: "1" } })
        assert.include(person.out, escape)
        assert.notInclude(pipe.out, escape)
        assert.strictEqual(noColor.out, pipe.out)
      }
      assert.notInclude((yield* answering(() => Http.json(whole), ["--json"], { isTTY: true })).out, escape)
    }))

  it.effect.each<readonly [ReadonlyArray<string>, string]>([
    [["doctor"], "Missing argument <fhirBaseUrl>"],
    [
      ["doctor", "ehr.example.org/fhir"],
      "This is not a FHIR base URL: use an absolute URL such as https://ehr.example.org/fhir"
    ],
    [["doctor", "ftp://ehr.example.org"], "This is not a FHIR base URL: use https://"],
    [["doctor", "https://u:SECRET@ehr.example.org"], "This is not a FHIR base URL: remove user name and password"],
    [["doctor", "https://ehr.example.org/?a=SECRET"], "This is not a FHIR base URL: remove the query"],
    [
      ["doctor", `${base}/.well-known/smart-configuration`],
      "This is not a FHIR base URL: remove /.well-known/smart-configuration"
    ],
    [["doctor", "--timeout", "0", base], "The time limit must be a number of seconds from 1 to 3600"],
    [["doctor", base, "https://two.example/fhir"], "Received unknown argument: 'https://two.example/fhir'"],
    [["doctor", "--jsno", base], "The flag '--jsno' is not recognized. Did you mean '--json'?"],
    [["doktor", base], "Invalid subcommand for effect-safire - use 'doctor'"]
  ])("%j exits with code 2 and a message", ([args, why]) =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json(whole))
      const { code, err, out } = yield* runCli(args, { http: http.layer })
      assert.strictEqual(code, 2)
      assert.strictEqual(out, "")
      assert.include(err, why)
      assert.notInclude(err, escape)
      assert.notInclude(err, "SECRET")
      assert.strictEqual(http.requests.length, 0)
    }))

  it.effect("`--version` prints the version of the package", () =>
    Effect.gen(function*() {
      const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string }
      assert.deepStrictEqual(yield* runCli(["--version"]), { code: 0, out: `${version}\n`, err: "" })
    }))

  it.effect("`--help` prints help, without colours in a pipe", () =>
    Effect.gen(function*() {
      const { code, out } = yield* runCli(["doctor", "--help"])
      assert.strictEqual(code, 0)
      assert.include(out, "--allow-insecure-localhost")
      assert.notInclude(out, escape)
      assert.include((yield* runCli(["doctor", "--help"], { isTTY: true })).out, escape)
    }))
})
