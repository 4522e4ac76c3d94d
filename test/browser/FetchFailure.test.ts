import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { DiscoveryError, FhirError, TokenError } from "effect-safire"
import { FetchFailure, type Page } from "effect-safire/browser"
import * as FakePage from "./fakePage.js"

const unreachable = new DiscoveryError({
  reason: "Unreachable",
  fhirBaseUrl: "https://ehr.example/fhir",
  url: "https://ehr.example/fhir/.well-known/smart-configuration",
  detail: "no connection"
})

/** Explains with a `fetch` that answers or does not, and records how it was asked. */
const explain = (
  error: FetchFailure.Failed,
  { answers = false, network }: { readonly answers?: boolean; readonly network?: Partial<Page.Network> } = {}
) =>
  Effect.suspend(() => {
    const asked: Array<{ readonly url: string; readonly init: RequestInit | undefined }> = []
    const fetch: typeof globalThis.fetch = (input, init) => {
      asked.push({ url: String(input), init })
      return answers ? Promise.resolve(new Response()) : Promise.reject(new TypeError("Failed to fetch"))
    }
    return FetchFailure.explain(error).pipe(
      Effect.map((explanation) => ({ asked, explanation: Option.getOrUndefined(explanation) })),
      Effect.provide(FetchHttpClient.layer),
      Effect.provide(Layer.succeed(FetchHttpClient.Fetch, fetch)),
      Effect.provide(
        FakePage.make("https://app.example/?code=c&state=s", network === undefined ? {} : { network }).layer
      )
    )
  })

describe("FetchFailure", () => {
  it.effect("finds Cors when the server does not allow this page to read its response", () =>
    Effect.gen(function*() {
      const { asked, explanation } = yield* explain(unreachable, { answers: true })
      assert.deepInclude(explanation, { cause: "Cors", url: unreachable.url })
      assert.include(explanation?.message, "\"Access-Control-Allow-Origin: https://app.example\"")
      assert.lengthOf(asked, 1)
      assert.strictEqual(asked[0]?.url, unreachable.url)
      assert.deepInclude(asked[0]?.init, { mode: "no-cors", credentials: "omit", method: "GET" })
      assert.deepStrictEqual({ ...asked[0]?.init?.headers }, {})
    }))

  it.effect("finds Unreachable when the server does not respond", () =>
    Effect.gen(function*() {
      const { explanation } = yield* explain(unreachable)
      assert.deepInclude(explanation, { cause: "Unreachable" })
      assert.include(explanation?.message, "ehr.example does not respond")
    }))

  it.effect("finds Offline, ContentSecurityPolicy and MixedContent without a request", () =>
    Effect.gen(function*() {
      const offline = yield* explain(unreachable, { network: { isOnline: false } })
      const refused = yield* explain(unreachable, { network: { refusedByPolicy: new Set(["https://ehr.example"]) } })
      const mixed = yield* explain({ reason: "Unreachable", url: "http://ehr.example/fhir" })
      assert.deepStrictEqual(
        [offline, refused, mixed].map(({ explanation }) => explanation?.cause),
        ["Offline", "ContentSecurityPolicy", "MixedContent"]
      )
      assert.include(refused.explanation?.message, "add https://ehr.example to its connect-src")
      assert.lengthOf([offline, refused, mixed].flatMap(({ asked }) => asked), 0)
    }))

  it.effect("explains the errors of each step without the query of the URL, and no other errors", () =>
    Effect.gen(function*() {
      const token = new TokenError({
        reason: "Unreachable",
        operation: "refresh",
        server: "hospital",
        url: "https://ehr.example/token?tenant=secret",
        detail: "no connection",
        processed: "unknown"
      })
      const fhir = new FhirError({
        reason: "Unreachable",
        fhirBaseUrl: "https://ehr.example/fhir",
        interaction: "read Patient",
        detail: "no connection",
        issues: []
      })
      for (const error of [token, fhir]) {
        const { explanation } = yield* explain(error, { answers: true })
        assert.deepInclude(explanation, { cause: "Cors" })
        assert.notInclude(JSON.stringify(explanation), "secret")
      }
      for (
        const error of [
          new TokenError({ ...token, reason: "Refused", processed: "no" }),
          { reason: "Unreachable", url: "not a URL" },
          { reason: "Unreachable" },
          {}
        ]
      ) {
        const { asked, explanation } = yield* explain(error)
        assert.isUndefined(explanation)
        assert.lengthOf(asked, 0)
      }
    }))
})
