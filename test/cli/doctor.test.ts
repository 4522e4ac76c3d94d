import { createServer } from "node:http"
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

const base = "https://ehr.example/fhir"
const withoutPort = (text: string) => text.replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:PORT")
const lines = (...text: ReadonlyArray<string>) => text.join("\n")

/** What is printed of a server that answers so. */
const answering = (answer: () => Http.Answer, args: ReadonlyArray<string> = [], place: Place = {}) =>
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

describe("doctor, a server that is one", () => {
  it.effect("in words for a person", () =>
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
          "  – from the EHR",
          "  ✓ standalone",
          "  – authorization requests by POST, too",
          "",
          "Clients",
          "  ✓ public",
          "  – with a secret",
          "  – with a key (private_key_jwt: ES384, RS384)",
          "  – backend services",
          "  – that register themselves",
          "",
          "Beyond that",
          "  – PKCE with S256",
          "  – OpenID Connect",
          "  ✓ permissions as in SMART 2 (patient/Observation.rs)",
          "  – permissions as in SMART 1 (patient/Observation.read)",
          "  ✓ token introspection",
          "  ✓ token revocation",
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
          "           → plain protects nobody: remove it"
        )
      )
    }))

  it.effect("prints what a hostile server says as one line of printable text", () =>
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

  it.effect("says so where there is nothing to find", () =>
    Effect.gen(function*() {
      const { out } = yield* answering(() => Http.json(whole))
      assert.isTrue(out.endsWith("\n\nNo findings"))
    }))

  it.effect("the sandbox, over a port", () =>
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
        "  ✓ from the EHR",
        "  ✓ standalone",
        "  ✓ authorization requests by POST, too"
      ])
      assert.include(withoutPort(out), "  token          http://127.0.0.1:PORT/auth/token")
      assert.notInclude(out, "  error ")
      // Usable, and everything that was found says so.
      assert.notInclude(out, "does not use it")
      assert.notInclude(out, "  warning ")
      assert.include(
        withoutPort(out),
        lines(
          "  note     token_endpoint is not https [1]",
          "           → accepted, because allowInsecureLocalhost is on: for development"
        )
      )
    }).pipe(Effect.provide(server)), 30_000)

  it.effect("the environment variable does what the option does", () =>
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

  it.effect("oidc-provider, over a port", () =>
    Effect.gen(function*() {
      const { fhirBaseUrl, issuer, metadata } = yield* OidcProvider.OidcProvider
      const { code, out } = yield* runCli(["doctor", "--json", "--allow-insecure-localhost", fhirBaseUrl])
      assert.strictEqual(code, 0)
      const told = JSON.parse(out)
      assert.isTrue(told.usable)
      assert.strictEqual(told.issuer, issuer)
      assert.strictEqual(told.endpoints.token, metadata["token_endpoint"])
      assert.isTrue(told.clients.asymmetric)
      const text = yield* runCli(["doctor", "--allow-insecure-localhost", fhirBaseUrl])
      assert.include(text.out, "✓ Usable")
      assert.include(text.out, "  ✓ with a key (private_key_jwt: ")
    }).pipe(Effect.provide(OidcProvider.layer())), 30_000)

  it.effect("one that nobody can get a token from is not usable", () =>
    Effect.gen(function*() {
      const without = yield* answering(() => Http.json({ ...whole, token_endpoint: undefined }))
      assert.strictEqual(without.code, 1)
      assert.include(without.out, "✗ Not usable: its SMART configuration has no usable token_endpoint.")
      const insecure = yield* answering(() => Http.json({ ...whole, token_endpoint: "http://auth.example/token" }))
      assert.strictEqual(insecure.code, 1)
      assert.include(insecure.out, "✗ Not usable: its SMART configuration gives a token_endpoint that is not https.")
      const neither = yield* answering(() => Http.json({ token_endpoint: "https://auth.example/token" }))
      assert.strictEqual(neither.code, 1)
      assert.include(neither.out, "no usable authorization_endpoint, and it does not offer backend services either.")
      const backend = yield* answering(() =>
        Http.json({ token_endpoint: "https://auth.example/token", capabilities: ["client-confidential-asymmetric"] })
      )
      assert.strictEqual(backend.code, 0)
      assert.include(backend.out, "✓ Usable: backend services.")
    }))

  it.effect("[SMART-374] the content type is a finding, too", () =>
    Effect.gen(function*() {
      const { code, out } = yield* answering(() => Http.text(JSON.stringify(whole)))
      assert.strictEqual(code, 0)
      assert.isTrue(out.endsWith(lines(
        "Findings: 1 warning",
        "  warning  the SMART configuration came as no content type [374]",
        "           → answer as application/json"
      )))
    }))

  it.effect("[X-DISC-1] the deprecated way of saying it is usable with a setting, which is said", () =>
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
      assert.include(out, "✓ Usable, though it claims no way of launching.")
      assert.include(
        out,
        lines(
          "  error    there is no SMART configuration, only the deprecated oauth-uris of the CapabilityStatement",
          "           → serve /.well-known/smart-configuration; until then clients need the setting legacyMetadata"
        )
      )
    }))

  it.effect("for a program", () =>
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

describe("doctor, what is no server", () => {
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
          "✗ Nothing listens at 127.0.0.1:PORT (ECONNREFUSED).",
          "",
          "  → Is the server running?",
          "  → Is the port right?"
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
          "✗ There is no SMART configuration at http://127.0.0.1:PORT/fhir/.well-known/smart-configuration: HTTP status 200,"
            + " a body that is not JSON (text/html), and no CapabilityStatement names endpoints instead.",
          "",
          "  → This is what web sites and log-in pages answer: is it the FHIR base URL, with its whole path?",
          "  → A proxy or a network that wants a log-in first may have answered in the server's place."
        )
      )
    }))

  it.effect.each<readonly [string, () => Http.Answer, string, string]>([
    ["404", () => Http.text("", { status: 404 }), "HTTP status 404", "with its whole path? Such a path often ends in"],
    [
      "401",
      () => Http.text("", { status: 401 }),
      "ehr.example wants a login before it says how to log in (401).",
      "public"
    ],
    [
      "429",
      () => Http.text("", { status: 429 }),
      "ehr.example has been asked too often (429).",
      "Try again in a while."
    ],
    ["503", () => Http.text("", { status: 503 }), "ehr.example is there, but in trouble: it answers 503.", "operator"],
    ["418", () => Http.text("", { status: 418 }), "ehr.example answers 418 where its SMART", "with its whole path?"],
    ["no host", () => new Http.Broken("ENOTFOUND"), "There is no host ehr.example, as far as", "Is it spelled right?"],
    [
      "a certificate",
      () => new Http.Broken("CERT_HAS_EXPIRED"),
      "does not trust the certificate",
      "NODE_EXTRA_CA_CERTS"
    ],
    [
      "a private authority",
      () => new Http.Broken("SELF_SIGNED_CERT_IN_CHAIN"),
      "does not trust",
      "NODE_EXTRA_CA_CERTS"
    ],
    ["no TLS", () => new Http.Broken("EPROTO"), "ehr.example does not speak TLS here (EPROTO).", "the one for https?"],
    [
      "a reset",
      () => new Http.Broken("ECONNRESET"),
      "There is no getting through to ehr.example (ECONNRESET)",
      "firewall"
    ],
    [
      "an array",
      () => Http.json([]),
      "is JSON, but no SMART configuration: HTTP status 200, a body that is an array.",
      "FHIR base URL?"
    ],
    ["too much", () => Http.text("x".repeat(2 ** 20 + 1)), "too large for a SMART configuration", "FHIR base URL?"],
    [
      "a redirect to http",
      () => new Response(null, { status: 302, headers: { location: "http://ehr.example/x" } }),
      "ehr.example redirects where it is not safe to follow",
      "give its own URL"
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
      const told = JSON.parse(json.out)
      assert.isFalse(told.usable)
      assert.include(told.error.message, what)
      assert.hasAllKeys({ status: 0, code: "", ...told.error }, [
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

  it.effect("decides by the code of a failure, also where the answer breaks off", () =>
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

  it.effect("one that hangs, for as long as it may", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(answering(() => Http.hang, ["--timeout", "20"]))
      while ((yield* Fiber.poll(fiber))._tag === "None") {
        yield* Effect.yieldNow()
        yield* TestClock.adjust("1 second")
      }
      const { code, out } = yield* Fiber.join(fiber)
      assert.strictEqual(code, 1)
      assert.include(out, "✗ ehr.example did not answer within 20 seconds.")
      assert.include(out, "--timeout 120")
    }))

  it.effect("[SMART-1] http: with the option for this machine, with a reason for any other", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json(whole))
      const local = yield* runCli(["doctor", "http://localhost:8080/fhir"], { http: http.layer })
      assert.strictEqual(local.code, 1)
      assert.include(local.out, "--allow-insecure-localhost")
      const away = yield* runCli(["doctor", "--allow-insecure-localhost", "http://ehr.example/fhir"], {
        http: http.layer
      })
      assert.strictEqual(away.code, 1)
      assert.include(away.out, "whoever is on the way could read the tokens")
      assert.strictEqual(http.seen.length, 0)
    }))
})

describe("the command line", () => {
  const escape = "\u001b["

  it.effect("has colours for a person, and none for a pipe or where NO_COLOR is set", () =>
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
      "This is no FHIR base URL: give it whole, such as https://ehr.example.org/fhir"
    ],
    [["doctor", "ftp://ehr.example.org"], "This is no FHIR base URL: it starts with https://"],
    [["doctor", "https://u:SECRET@ehr.example.org"], "This is no FHIR base URL: leave out name and password"],
    [["doctor", "https://ehr.example.org/?a=SECRET"], "This is no FHIR base URL: leave out what follows the ?"],
    [
      ["doctor", `${base}/.well-known/smart-configuration`],
      "This is no FHIR base URL: leave out /.well-known/smart-configuration"
    ],
    [["doctor", "--timeout", "0", base], "A time limit is a number of seconds from 1 to 3600"],
    [["doctor", base, "https://two.example/fhir"], "Received unknown argument: 'https://two.example/fhir'"],
    [["doctor", "--jsno", base], "The flag '--jsno' is not recognized. Did you mean '--json'?"],
    [["doktor", base], "Invalid subcommand for effect-safire - use 'doctor'"]
  ])("%j is a mistake: exit code 2, and why", ([args, why]) =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json(whole))
      const { code, err, out } = yield* runCli(args, { http: http.layer })
      assert.strictEqual(code, 2)
      assert.strictEqual(out, "")
      assert.include(err, why)
      assert.notInclude(err, escape)
      assert.notInclude(err, "SECRET")
      assert.strictEqual(http.seen.length, 0)
    }))

  it.effect("helps, without colours in a pipe", () =>
    Effect.gen(function*() {
      const { code, out } = yield* runCli(["doctor", "--help"])
      assert.strictEqual(code, 0)
      assert.include(out, "--allow-insecure-localhost")
      assert.notInclude(out, escape)
      assert.include((yield* runCli(["doctor", "--help"], { isTTY: true })).out, escape)
    }))
})
