import { inspect } from "node:util"
import * as UrlParams from "@effect/platform/UrlParams"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import { ClientAuthentication, LaunchRequest, SmartClient, SmartServers, TrustedIssuers } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { makeServer } from "../support/identityServer.js"

const iss = "https://ehr.sandbox.test/fhir"
const app = { clientId: "sandbox-public-app", redirectUri: "https://app.sandbox.test/callback" }
const authentication = ClientAuthentication.layerPublic

const net = makeServer([])
const layer = SmartServers.layerTrustedIssuers.pipe(
  Layer.provide(SmartServers.layer({
    sandbox: { ...app, fhirBaseUrl: iss, authentication },
    slashed: { ...app, fhirBaseUrl: "https://slash.test/fhir/", authentication },
    local: { ...app, fhirBaseUrl: "http://127.0.0.1:9000/fhir", allowInsecureLocalhost: true, authentication },
    twin1: { ...app, fhirBaseUrl: "https://twin.test/fhir", authentication },
    twin2: { ...app, fhirBaseUrl: "https://twin.test/fhir", authentication }
  })),
  Layer.provide(net.layer)
)

const outcome = (input: LaunchRequest.Input) =>
  LaunchRequest.decode(input).pipe(
    Effect.map(({ server }) => `followed: ${server}`),
    Effect.catchAll(({ reason }) => Effect.succeed(reason)),
    Effect.provide(layer)
  )

const url = (from: string, launch = "xyz") =>
  `https://app.test/launch?iss=${encodeURIComponent(from)}&launch=${encodeURIComponent(launch)}`

describe("LaunchRequest", () => {
  it.effect("[SMART-35] reads a launch URL in each form that a framework uses", () =>
    Effect.gen(function*() {
      const inputs: ReadonlyArray<LaunchRequest.Input> = [
        url(iss),
        new URL(url(iss)),
        `/launch?iss=${encodeURIComponent(iss)}&launch=xyz`,
        `/launch?iss=${iss}&launch=xyz`,
        new URLSearchParams({ iss, launch: "xyz" }),
        UrlParams.fromInput({ iss, launch: "xyz" }),
        [["iss", iss], ["launch", "xyz"], ["other", "1"], ["other", "2"]],
        { iss, launch: ["xyz"], other: undefined }
      ]
      for (const input of inputs) {
        const found = yield* Effect.provide(LaunchRequest.decode(input), layer)
        assert.deepStrictEqual({ ...found }, { server: "sandbox", iss, launch: "xyz" })
      }
    }))

  it.effect("an error names the parameter, and the server that the launch claims to come from", () =>
    Effect.gen(function*() {
      const messageOf = (input: LaunchRequest.Input) =>
        Effect.map(
          Effect.flip(Effect.provide(LaunchRequest.decode(input), layer)),
          ({ message }) => message.slice(0, message.indexOf(";"))
        )
      const query = (text: string) => `https://app.test/launch?${text}`
      const messages: ReadonlyArray<readonly [string, string]> = [
        ["launch=x", "Launch is not followed (IssMissing): it has no iss"],
        ["iss=&launch=x", "Launch is not followed (IssMissing): it has no iss"],
        [`iss=${iss}`, `Launch from ${iss} is not followed (LaunchMissing): it has no launch`],
        [`iss=${iss}&launch=`, `Launch from ${iss} is not followed (LaunchMissing): it has no launch`],
        [
          `iss=${iss}&iss=x&launch=x`,
          `Launch from ${iss} is not followed (DuplicateParameter): iss occurs more than once`
        ],
        [
          `iss=${iss}&launch=x&launch=x`,
          `Launch from ${iss} is not followed (DuplicateParameter): launch occurs more than once`
        ]
      ]
      for (const [text, message] of messages) assert.strictEqual(yield* messageOf(query(text)), message)
      assert.include(yield* messageOf(url("1https://ehr.sandbox.test/fhir")), "(IssInvalid)")
    }))

  const refusals: ReadonlyArray<readonly [name: string, input: LaunchRequest.Input, expected: string]> = [
    ["nothing", "", "NotALaunch"],
    ["a URL without a query", "https://app.test/launch", "NotALaunch"],
    ["no iss", "https://app.test/launch?launch=x", "IssMissing"],
    ["an empty iss", url(""), "IssMissing"],
    ["no launch", `https://app.test/launch?iss=${encodeURIComponent(iss)}`, "LaunchMissing"],
    ["an empty launch", url(iss, ""), "LaunchMissing"],
    ["two iss", `${url(iss)}&iss=https://evil.test`, "DuplicateParameter"],
    ["two launch", `${url(iss)}&launch=y`, "DuplicateParameter"],
    ["two of the same in a record", { iss: [iss, iss], launch: "x" }, "DuplicateParameter"],
    ["an iss that is not a URL", url("ehr"), "IssInvalid"],
    ["a relative iss", url("/fhir"), "IssInvalid"],
    ["an iss that a router took a slash from", url("https:/ehr.sandbox.test/fhir"), "IssInvalid"],
    ["backslashes", url("https:\\\\ehr.sandbox.test\\fhir"), "IssInvalid"],
    ["a backslash that a parser mends", url("https://ehr.sandbox.test\\fhir"), "IssInvalid"],
    ["a blank before it", url(` ${iss}`), "IssInvalid"],
    ["a tab in it", url("https://ehr.sandbox.test/fh\tir"), "IssInvalid"],
    ["letters that are not ASCII", url("https://еhr.sandbox.test/fhir"), "IssInvalid"],
    ["credentials", url("https://u:p@ehr.sandbox.test/fhir"), "IssInvalid"],
    ["a query", url(`${iss}?x`), "IssInvalid"],
    ["an empty query", url(`${iss}?`), "IssInvalid"],
    ["a fragment", url(`${iss}#x`), "IssInvalid"],
    ["another scheme", url("javascript://ehr.sandbox.test/%0aalert(1)"), "IssInvalid"],
    ["[SMART-1] http", url("http://ehr.sandbox.test/fhir"), "IssInsecure"],
    ["an unknown host", url("https://evil.test/fhir"), "IssUntrusted"],
    ["a known host, another path", url(`${iss}2`), "IssUntrusted"],
    ["a known host, a longer path", url(`${iss}/..;/x`), "IssUntrusted"],
    ["another port", url("https://ehr.sandbox.test:8443/fhir"), "IssUntrusted"],
    ["http on loopback without allowInsecureLocalhost", url("http://localhost:9000/fhir"), "IssUntrusted"],
    ["the base URL of two servers", url("https://twin.test/fhir"), "IssAmbiguous"],
    ["the right one", url(iss), "followed: sandbox"],
    ["with a slash more", url(`${iss}/`), "followed: sandbox"],
    ["with a slash less", url("https://slash.test/fhir"), "followed: slashed"],
    ["in capitals, with the port", url("HTTPS://EHR.sandbox.test:443/fhir"), "followed: sandbox"],
    ["http on loopback that is configured", url("http://127.0.0.1:9000/fhir"), "followed: local"]
  ]
  for (const [name, input, expected] of refusals) {
    it.effect(`${name}: ${expected}`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* outcome(input), expected)
      }))
  }

  it.effect("an invalid launch causes no request, and its error contains neither the launch nor credentials of the iss", () =>
    Effect.gen(function*() {
      for (const [, input] of refusals) yield* outcome(input)
      assert.deepStrictEqual(net.urls, [])
      const hidden = [
        url("https://evil.test/fhir?token=s3cret", "h4ndle-1"),
        url("https://u:s3cret@evil.test/fhir", "h4ndle-1"),
        `${url("https://evil.test/fhir#s3cret", "h4ndle-1")}&launch=h4ndle-2`,
        url("https://evil.test/fhir", "h4ndle-1")
      ]
      for (const input of hidden) {
        const error = yield* Effect.flip(Effect.provide(LaunchRequest.decode(input), layer))
        assert.notMatch(`${error.message} ${inspect(error)} ${JSON.stringify(error)}`, /s3cret|h4ndle/)
        assert.include(error.message, "evil.test")
      }
    }))

  it("accepts https URLs only, and does not throw (property)", () => {
    const text = FastCheck.oneof(
      FastCheck.string(),
      FastCheck.webUrl(),
      FastCheck.constantFrom(iss, "https:/x", "http://x")
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.tuple(FastCheck.constantFrom("iss", "launch", "x"), text)),
        (pairs) => {
          const found = LaunchRequest.parse(pairs)
          if (found._tag === "Left") return
          assert.match(found.right.iss, /^https?:\/\/[^/?#@]+/i)
          assert.deepStrictEqual(pairs.filter(([name]) => name === "iss").map(([, value]) => value), [found.right.iss])
          assert.deepStrictEqual(pairs.filter(([name]) => name === "launch").map(([, value]) => value), [
            found.right.launch
          ])
        }
      )
    )
    FastCheck.assert(FastCheck.property(FastCheck.string(), (input) => void LaunchRequest.parse(input)))
  })
})

describe("EHR launch", () => {
  const config: SmartClient.Config = { ...app, fhirBaseUrl: iss, scopes: ["openid", "fhirUser", "patient/*.rs"] }
  const client = SmartClient.layer(config).pipe(Layer.provide(authentication))
  const ehr = SmartServers.layerTrustedIssuers.pipe(
    Layer.provideMerge(SmartServers.layerFromClient),
    Layer.provideMerge(client),
    Layer.provideMerge(SandboxEhr.layerHttpClient())
  )

  it.effect("[SMART-35] [SMART-41] [SMART-161] leads from the launch URL to the patient in context and the user", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      const minted = yield* sandbox.launch({
        patient: "patient-beta",
        encounter: "encounter-beta-1",
        intent: "reconcile"
      })
      const launch = yield* LaunchRequest.decode(url(minted.iss, minted.launch))
      const smart = yield* SmartClient.SmartClient
      const { pending, url: authorization } = yield* smart.authorize({ ...launch, addScopes: ["launch/encounter"] })
      assert.strictEqual(authorization.searchParams.get("launch"), minted.launch)
      assert.strictEqual(authorization.searchParams.get("aud"), minted.iss)
      assert.isTrue(authorization.searchParams.get("scope")?.split(" ").includes("launch"))
      const tokens = yield* smart.exchange(yield* sandbox.approve(authorization), pending)
      assert.strictEqual(tokens.context.patient, "patient-beta")
      assert.strictEqual(tokens.context.encounter, "encounter-beta-1")
      assert.strictEqual(tokens.context.intent, "reconcile")
      assert.strictEqual(tokens.context.needPatientBanner, true)
      assert.strictEqual(tokens.identity?.iss, sandbox.issuer)
      assert.strictEqual(tokens.identity?.fhirUser?.resourceType, "Practitioner")
      assert.isTrue(tokens.identity?.fhirUser?.isLocal)
      const userInfo = yield* smart.userInfo(tokens)
      assert.strictEqual(userInfo.sub, tokens.identity?.sub)
    }).pipe(Effect.provide(ehr)))

  it.effect("[SMART-36] [SMART-166] a standalone launch has no launch parameter and requests its context by scopes", () =>
    Effect.gen(function*() {
      const sandbox = yield* SandboxEhr.SandboxEhr
      const smart = yield* SmartClient.SmartClient
      const { pending, url: authorization } = yield* smart.authorize({ addScopes: ["launch/patient"] })
      assert.isFalse(authorization.searchParams.has("launch"))
      const tokens = yield* smart.exchange(
        yield* sandbox.approve(authorization, { user: "Patient/patient-alpha" }),
        pending
      )
      assert.strictEqual(tokens.context.patient, "patient-alpha")
      assert.strictEqual(tokens.identity?.fhirUser?.url, `${iss}/Patient/patient-alpha`)
    }).pipe(Effect.provide(ehr)))

  it.effect("[SMART-35] sends the launch byte for byte, by URL and by form", () =>
    Effect.gen(function*() {
      const smart = yield* SmartClient.SmartClient
      for (const handle of ["a+b/c=", "%2B%", "& = ?#", "ünï", "eyJhIjoiMSJ9", "\"><script>"]) {
        const launch = yield* LaunchRequest.decode(url(iss, handle))
        assert.strictEqual(launch.launch, handle)
        const { post, url: authorization } = yield* smart.authorize({ ...launch, method: "POST" })
        assert.strictEqual(authorization.searchParams.get("launch"), handle)
        assert.deepInclude(post?.fields ?? [], ["launch", handle])
      }
    }).pipe(Effect.provide(ehr)))
})

describe("LaunchRequest and its TrustedIssuers", () => {
  it.effect("http is refused if the issuer that was found does not allow it", () =>
    Effect.gen(function*() {
      const decode = (iss: string, allowInsecureLocalhost: boolean) =>
        LaunchRequest.decode(new URLSearchParams({ iss, launch: "x" })).pipe(
          Effect.map(({ server }) => server),
          Effect.catchAll(({ reason }) => Effect.succeed(reason)),
          Effect.provideService(TrustedIssuers.TrustedIssuers, {
            find: () => Effect.succeed({ server: "local", allowInsecureLocalhost })
          })
        )
      assert.strictEqual(yield* decode("http://localhost:9000/fhir", false), "IssInsecure")
      assert.strictEqual(yield* decode("http://localhost:9000/fhir", true), "local")
      assert.strictEqual(yield* decode("http://ehr.example/fhir", true), "IssInsecure")
      assert.strictEqual(yield* decode("https://ehr.example/fhir", false), "local")
    }))
})
