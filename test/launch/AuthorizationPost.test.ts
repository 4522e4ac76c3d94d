import { createHash } from "node:crypto"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import { AuthorizationPost, AuthorizationRequest, ClientAuthentication, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import { layerClient, makeServer, type Members } from "../support/identityServer.js"

const unescape = (text: string): string =>
  text.replaceAll("&quot;", "\"").replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll(
    "&amp;",
    "&"
  )

/** The fields of a page, as an HTML parser would read its tags. */
const fieldsOf = (html: string): ReadonlyArray<readonly [string, string]> =>
  [...html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map(([, name = "", value = ""]) => [
    unescape(name),
    unescape(value)
  ])

const long = Array.from(
  { length: 40 },
  (_, i) => `patient/Observation.rs?category=https://terminology.test/${i}|laboratory`
)

const authorize = (
  options: SmartClient.AuthorizeOptions,
  config: Partial<SmartClient.Config> = {},
  metadata: Members = {}
) =>
  Effect.flatMap(SmartClient.SmartClient, (client) => client.authorize(options)).pipe(
    Effect.provide(layerClient(makeServer([], metadata), config))
  )

describe("AuthorizationPost", () => {
  it.effect("[SMART-133] is used if the URL would be too long and the server accepts POST", () =>
    Effect.gen(function*() {
      const isPosted = (...args: Parameters<typeof authorize>) =>
        Effect.map(authorize(...args), ({ post }) => post !== undefined)
      const without = { capabilities: ["launch-standalone"] }
      assert.isFalse(yield* isPosted({}))
      assert.isTrue(yield* isPosted({ addScopes: long }))
      assert.isFalse(yield* isPosted({ addScopes: long }, {}, without))
      assert.isFalse(yield* isPosted({ addScopes: long, method: "GET" }))
      assert.isTrue(yield* isPosted({ method: "POST" }, {}, without))
      assert.isTrue(yield* isPosted({}, { maxAuthorizationUrlLength: 200 }))
      assert.isFalse(yield* isPosted({ addScopes: long }, { maxAuthorizationUrlLength: 32_000 }))
    }))

  it.effect("[SMART-51] [SMART-52] has the parameters of the URL in its fields and in its page", () =>
    Effect.gen(function*() {
      const metadata = { authorization_endpoint: "https://login.ehr.test/authorize?tenant=1&scope=x#top" }
      const { post, url } = yield* authorize(
        { method: "POST", launch: "a\"b", params: { prompt: "login" } },
        {},
        metadata
      )
      assert.strictEqual(post?.action, "https://login.ehr.test/authorize?tenant=1")
      const sent = [...url.searchParams].filter(([name]) => name !== "tenant")
      assert.deepStrictEqual(post?.fields, sent as ReadonlyArray<[string, string]>)
      const html = post === undefined ? "" : AuthorizationPost.toHtml(post)
      assert.deepStrictEqual(fieldsOf(html), sent as ReadonlyArray<[string, string]>)
      assert.include(html, "action=\"https://login.ehr.test/authorize?tenant=1\"")
    }))

  it("[SMART-52] no value ends its HTML attribute (property)", () => {
    const hostile = FastCheck.oneof(
      FastCheck.string(),
      FastCheck.constantFrom("\"><script>alert(1)</script>", "' onload='x", "&quot;", "&#34;", "</form>", "<!--", "]]>")
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.tuple(hostile, hostile)), (fields) => {
        const post = AuthorizationPost.make("https://ehr.test/authorize?a='\"><b>", fields)
        if (post === undefined) {
          assert.isTrue(fields.some((pair) => pair.some((text) => /[\0\r\n]/.test(text))))
          return
        }
        const html = AuthorizationPost.toHtml(post)
        assert.deepStrictEqual(fieldsOf(html), fields)
        assert.strictEqual(html.split("<script>").length, 2)
        assert.strictEqual(html.split("<input").length, fields.length + 1)
        assert.strictEqual(html.split("</form>").length, 2)
      })
    )
  })

  it("allows its script by hash, and has a button for browsers without scripts", () => {
    const html = AuthorizationPost.toHtml({ action: "https://ehr.test/authorize", fields: [["a", "b"]] })
    const script = /<script>(.*)<\/script>/.exec(html)?.[1] ?? ""
    const hash = createHash("sha256").update(script).digest("base64")
    assert.include(AuthorizationPost.contentSecurityPolicy, `script-src 'sha256-${hash}'`)
    assert.notInclude(AuthorizationPost.contentSecurityPolicy, "unsafe")
    assert.include(html, "<button type=\"submit\">")
    assert.notMatch(html, /\son\w+=|style=|src=|href=/)
  })

  it.effect("sends parameters that a form would change by URL", () =>
    Effect.gen(function*() {
      const { post, url } = yield* authorize({ method: "POST", launch: "two\nlines" })
      assert.isUndefined(post)
      assert.strictEqual(url.searchParams.get("launch"), "two\nlines")
    }))

  it.effect("[SMART-51] is accepted by the sandbox", () =>
    Effect.gen(function*() {
      const ehr = yield* SandboxEhr.SandboxEhr
      const client = yield* SmartClient.SmartClient
      const http = yield* HttpClient.HttpClient
      const { pending, post } = yield* client.authorize({ method: "POST" })
      const answer = yield* http.execute(
        HttpClientRequest.post(post?.action ?? "").pipe(HttpClientRequest.bodyUrlParams(post?.fields ?? []))
      )
      const tokens = yield* client.exchange(answer.headers["location"] ?? "", pending)
      assert.strictEqual(tokens.context.patient, "patient-alpha")
      const request = (yield* ehr.requests).find(({ step }) => step === "authorize")
      assert.strictEqual(request?.method, "POST")
    }).pipe(Effect.provide(
      SmartClient.layer({
        fhirBaseUrl: "https://ehr.sandbox.test/fhir",
        clientId: "sandbox-public-app",
        redirectUri: "https://app.sandbox.test/callback",
        scopes: ["launch/patient", "patient/*.rs"]
      }).pipe(
        Layer.provide(ClientAuthentication.layerPublic),
        Layer.provideMerge(SandboxEhr.layerHttpClient({ autoApprove: true }))
      )
    )))
})

describe("AuthorizationRequest, extra parameters", () => {
  it.effect("are added to the request; one error lists all reserved names, before any request", () =>
    Effect.gen(function*() {
      const { url } = yield* authorize({ params: { prompt: "login", login_hint: "a b", resource: "x" } })
      assert.strictEqual(url.searchParams.get("login_hint"), "a b")
      assert.isFalse(url.searchParams.has("max_age"))
      const server = makeServer([])
      for (const name of AuthorizationRequest.reservedNames) {
        const error = yield* Effect.flatMap(
          SmartClient.SmartClient,
          (client) => client.authorize({ params: { [name]: "s3cret", aud: "x" } })
        ).pipe(
          Effect.as("accepted"),
          Effect.flip,
          Effect.provide(layerClient(server))
        )
        assert.strictEqual(error._tag === "ConfigurationError" ? error.reason : error._tag, "Conflict")
        assert.include(error.message, `params.${name}`)
        assert.include(error.message, "params.aud")
        assert.notInclude(error.message, "s3cret")
      }
      assert.deepStrictEqual(server.urls, [])
      const error = yield* Effect.flip(authorize({ params: { max_age: "soon" } }))
      assert.strictEqual(error._tag === "ConfigurationError" ? error.reason : error._tag, "Invalid")
    }))
})
