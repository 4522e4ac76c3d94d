import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { MetadataError, RegistrationError, TokenError } from "effect-safire"
import { main } from "../../examples/opentelemetry/main.js"
import { toText } from "../../examples/opentelemetry/waterfall.js"
import { file } from "../support/shownExamples.js"

const page = file("docs/observability.md")

const sources = readdirSync(new URL("../../src", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.startsWith("testing"))
  .map((path) => readFileSync(join(new URL("../../src", import.meta.url).pathname, path), "utf8"))

/** The values of an expression in the name of a span. */
const VALUES: Readonly<Record<string, ReadonlyArray<string>>> = {
  "TokenEndpoint.*": TokenError.fields.operation.literals,
  "Registration.*": RegistrationError.fields.operation.literals,
  "UdapRegistration.*": ["register", "cancel"],
  "FhirClient.*": ["<interaction>"],
  "*.fetch": MetadataError.fields.subject.literals
}

const SPAN = /\b(?:span|step|withSpan|fn|handleSafely)\(\s*(?:errors,\s*)?(?:"([A-Z]\w+\.\w+)"|`([^`]*\$\{[^`]*)`)/g

/** The names of all spans in `src`; `<interaction>` stands for the name of a FHIR request. */
const spans = [
  ...new Set(sources.flatMap((source) =>
    [...source.matchAll(SPAN)].flatMap(([, name, template = ""]) => {
      if (name !== undefined) return [name]
      const pattern = template.replace(/\$\{[^}]*\}/, "*")
      return VALUES[pattern]?.map((value) => pattern.replace("*", value)) ?? [template]
    })
  ))
]

const section = (heading: string): string => page.split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? ""

describe("docs/observability.md", () => {
  it("lists every span of the library, and no other", () => {
    const listed = [
      ...section("Spans").split("\n").filter((line) => line.startsWith("| `")).join("\n")
        .matchAll(/`([A-Z]\w+\.(?:\w+|<interaction>))`/g)
    ].map(([, name = ""]) => name)
    assert.isAtLeast(spans.length, 25)
    assert.sameMembers(listed, spans)
  })

  it("lists every metric of the library, and no other", () => {
    const used = new Set(
      sources.flatMap((source) =>
        [...source.matchAll(/"(effect_safire_\w+_(?:total|seconds))"/g)].map(([, name]) => name)
      )
    )
    const listed = [...section("Metrics").matchAll(/^\| `(effect_safire_\w+)` \|/gm)].map(([, name]) => name)
    assert.sameMembers(listed, [...used])
  })

  it.live("one launch is a trace whose code exchange has an event for the retry", () =>
    Effect.gen(function*() {
      const rows = yield* main
      assert.deepStrictEqual(rows.map(({ depth, name }) => `${"  ".repeat(depth)}${name}`), [
        "one launch",
        "  Sessions.startLaunch",
        "    SmartClient.authorize",
        "      Discovery.fetch",
        "  Sessions.completeLaunch",
        "    SmartClient.exchange",
        "      TokenEndpoint.exchangeCode",
        "      IdToken.verify",
        "        Jwks.fetch",
        "  FhirClient.read Patient"
      ])
      const events = rows.flatMap(({ events, name }) => events.map((event) => ({ span: name, ...event })))
      assert.strictEqual(events.length, 1)
      const [retry] = events
      assert.strictEqual(retry?.span, "TokenEndpoint.exchangeCode")
      assert.strictEqual(retry?.name, "retry")
      assert.include(retry?.attributes, {
        "error.type": "TokenError",
        "error.reason": "Unavailable",
        "http.response.status_code": 503
      })
      assert.include(toText(rows), "◆ retry")
    }))

  it.live("the histogram has the duration of each step of a launch", () =>
    Effect.gen(function*() {
      yield* main
      const steps = new Map(
        (yield* Metric.snapshot).filter(({ metricKey }) => metricKey.name === "effect_safire_step_duration_seconds")
          .map(({ metricKey, metricState }) => [
            metricKey.tags.map(({ key, value }) => `${key}=${value}`).sort().join(" "),
            metricState as unknown as { readonly count: number; readonly max: number }
          ])
      )
      for (const step of ["SmartClient.authorize", "TokenEndpoint.exchangeCode", "FhirClient.read"]) {
        const state = steps.get(`result=success step=${step}`)
        assert.isAtLeast(state?.count ?? 0, 1, step)
        assert.isAbove(state?.max ?? 0, 0, step)
      }
    }))
})
