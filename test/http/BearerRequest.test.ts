import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as AddressGuard from "../../src/http/AddressGuard.js"
import * as BearerRequest from "../../src/http/BearerRequest.js"
import * as TokenAudience from "../../src/http/TokenAudience.js"

const audience = TokenAudience.make(["https://ehr.example/fhir"])

/** A client whose server accepts the token `good` alone, and the requests that the server received. */
const setUp = (
  options: { readonly discovered?: boolean; readonly guarded?: boolean; readonly renewed?: string } = {}
) => {
  const sent: Array<string> = []
  const rejected: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      sent.push(`${request.headers.authorization} ${url.href}`)
      const status = request.headers.authorization === "Bearer good" ? 200 : 401
      return HttpClientResponse.fromWeb(request, new Response("{}", { status }))
    })
  )
  if (options.guarded === true) AddressGuard.mark(client, { allows: () => true, trust: () => Effect.void })
  const bearer = BearerRequest.makeClient(client, {
    authorization: Effect.succeed({
      audience: { ...audience, discovered: options.discovered },
      token: Effect.succeed(Redacted.make("old"))
    }),
    tokenAfter: (token) =>
      Effect.sync(() => {
        rejected.push(Redacted.value(token))
        return Redacted.make(options.renewed ?? "good")
      })
  })
  return { bearer, rejected, sent }
}

const refusal = (url: string, options?: Parameters<typeof setUp>[0]) => {
  const { bearer, sent } = setUp(options)
  return Effect.map(Effect.flip(bearer.get(url)), (error) => {
    assert.deepStrictEqual(sent, [])
    return error instanceof BearerRequest.TokenAudienceError ? error : assert.fail(String(error))
  })
}

describe("a request with an access token", () => {
  it.effect("[SMART-97] a request outside the audience is not sent, and the error names its origin alone", () =>
    Effect.gen(function*() {
      const foreign = yield* refusal("https://evil.example/fhir/Patient/1?name=x")
      assert.deepStrictEqual([foreign.reason, foreign.origin], ["ForeignOrigin", "https://evil.example"])
      assert.isFalse(foreign.isRetryable)
      assert.notInclude(foreign.message, "Patient")
      assert.include(foreign.message, "may be sent only over https")
      const outside = yield* refusal("https://ehr.example/admin")
      assert.strictEqual(outside.reason, "OutsideBasePath")
      for (const url of ["http://", "Patient/1", "/fhir/Patient"]) {
        const relative = yield* refusal(url)
        assert.deepStrictEqual([relative.reason, relative.origin], ["NotAUrl", "(not a URL)"])
      }
    }))

  it.effect("a request to a string that is not a URL causes no request for a token", () =>
    Effect.gen(function*() {
      const bearer = BearerRequest.makeClient(HttpClient.make(() => Effect.dieMessage("sent")), {
        authorization: Effect.dieMessage("the session is read"),
        tokenAfter: () => Effect.dieMessage("the session is renewed")
      })
      const error = yield* Effect.flip(bearer.get("Patient/1"))
      assert.strictEqual("reason" in error ? error.reason : undefined, "NotAUrl")
    }))

  it.effect("a server that was discovered in a launch needs a client with an address guard", () =>
    Effect.gen(function*() {
      const error = yield* refusal("https://ehr.example/fhir/Patient/1", { discovered: true })
      assert.strictEqual(error.reason, "UnguardedTransport")
      assert.include(error.message, "AddressGuard.mark")
      for (const options of [{ discovered: true, guarded: true }, { discovered: false }, { guarded: true }, {}]) {
        const { status } = yield* setUp(options).bearer.get("https://ehr.example/fhir/Patient/1")
        assert.strictEqual(status, 200)
      }
    }))

  it.effect("a rejected token is renewed once, and the same URL is requested again", () =>
    Effect.gen(function*() {
      const { bearer, rejected, sent } = setUp()
      const { status } = yield* bearer.get("https://ehr.example/fhir/a/../Patient", { urlParams: { _count: 1 } })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(rejected, ["old"])
      assert.deepStrictEqual(sent, [
        "Bearer old https://ehr.example/fhir/Patient?_count=1",
        "Bearer good https://ehr.example/fhir/Patient?_count=1"
      ])
    }))

  it.effect("a token that the server accepts, or refuses with another status than 401, is not renewed", () =>
    Effect.gen(function*() {
      const renewals = (status: number) =>
        Effect.gen(function*() {
          let renewed = 0
          const client = HttpClient.make((request) =>
            Effect.succeed(HttpClientResponse.fromWeb(request, new Response("{}", { status })))
          )
          const response = yield* BearerRequest.makeClient(client, {
            authorization: Effect.succeed({ audience, token: Effect.succeed(Redacted.make("old")) }),
            tokenAfter: () => Effect.sync(() => Redacted.make(`new-${++renewed}`))
          }).get("https://ehr.example/fhir")
          return [response.status, renewed]
        })
      assert.deepStrictEqual(yield* renewals(200), [200, 0])
      assert.deepStrictEqual(yield* renewals(403), [403, 0])
      assert.deepStrictEqual(yield* renewals(401), [401, 1])
    }))

  it.effect("the failure of the last attempt is known with whether its token was the renewed one", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const lastFailure = (next: string, isRejected: boolean) =>
        BearerRequest.sendRenewing(
          Redacted.make("old"),
          () => Effect.succeed(Redacted.make(next)),
          () => isRejected,
          (token) =>
            Effect.suspend(() => {
              sent.push(Redacted.value(token))
              return Effect.fail(`${Redacted.value(token)} rejected`)
            }),
          (failure, isRenewed) => Effect.succeed(`${failure}, renewed: ${isRenewed}`)
        )
      assert.strictEqual(yield* lastFailure("new", true), "new rejected, renewed: true")
      assert.strictEqual(yield* lastFailure("old", true), "old rejected, renewed: false")
      assert.strictEqual(yield* lastFailure("new", false), "old rejected, renewed: false")
      assert.deepStrictEqual(sent, ["old", "new", "old", "old"])
    }))

  it.effect("a token that is rejected again, or not renewed, gives the response of the server", () =>
    Effect.gen(function*() {
      const bad = setUp({ renewed: "bad" })
      assert.strictEqual((yield* bad.bearer.get("https://ehr.example/fhir")).status, 401)
      assert.deepStrictEqual([bad.rejected, bad.sent.length], [["old"], 2])
      const same = setUp({ renewed: "old" })
      assert.strictEqual((yield* same.bearer.get("https://ehr.example/fhir")).status, 401)
      assert.deepStrictEqual([same.rejected, same.sent.length], [["old"], 1])
    }))

  it.effect("a body that can be read once is not sent twice", () =>
    Effect.gen(function*() {
      const bytes = new TextEncoder().encode("{}")
      const statusOf = (body: HttpBody.HttpBody) => {
        const { bearer, rejected } = setUp()
        const request = HttpClientRequest.setBody(HttpClientRequest.post("https://ehr.example/fhir/Patient"), body)
        return Effect.map(bearer.execute(request), ({ status }) => [status, rejected.length])
      }
      assert.deepStrictEqual(yield* statusOf(HttpBody.stream(Stream.make(bytes))), [401, 0])
      assert.deepStrictEqual(yield* statusOf(HttpBody.raw(bytes)), [401, 0])
      assert.deepStrictEqual(yield* statusOf(HttpBody.uint8Array(bytes)), [200, 1])
      assert.deepStrictEqual(yield* statusOf(HttpBody.text("{}")), [200, 1])
    }))
})
