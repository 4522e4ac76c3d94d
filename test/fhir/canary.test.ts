import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { AppState, BulkExport, type FhirClient } from "effect-safire"
import { encodings, leak } from "../support/canary.js"
import * as Http from "../support/http.js"
import { base, token, written } from "./fixtures.js"

const everyEncoding = Object.values(encodings).map((encode) => encode(token)).join(" ")

/** Every way to fail that can see the token. */
const answers: ReadonlyArray<readonly [string, () => Http.FakeResponse]> = [
  [
    "echo in every encoding in an outcome",
    () =>
      Http.json({
        resourceType: "OperationOutcome",
        issue: [
          ...Object.values(encodings).map((encode) => ({ code: encode(token), diagnostics: encode(token) })),
          {
            severity: everyEncoding,
            code: everyEncoding,
            diagnostics: everyEncoding,
            details: { text: everyEncoding },
            expression: [everyEncoding]
          }
        ]
      }, { status: 400 })
  ],
  [
    "echo in every encoding in a page",
    () => Http.text(everyEncoding, { status: 500, headers: { "content-type": "text/html" } })
  ],
  [
    "echo in every encoding in a challenge",
    () => {
      const quoted = Object.values(encodings).map((encode) => encode(token)).filter((text) =>
        /^[!#-[\]-~]+$/.test(text)
      )
      return Http.text("", {
        status: 401,
        headers: {
          "www-authenticate": `Bearer error="${quoted[2]}", error_description="${quoted.join(" ")}", scope="${token}"`
        }
      })
    }
  ],
  [
    "echo in the host of a redirect",
    () => new Response(null, { status: 302, headers: { location: `https://${token}.evil.example/` } })
  ],
  ["echo in the host of a next link and a file", () =>
    Http.json({
      resourceType: "Bundle",
      link: [{ relation: "next", url: `https://${token}.evil.example/` }],
      entry: [],
      transactionTime: "2026-01-01T00:00:00Z",
      requiresAccessToken: true,
      output: [{ type: token, url: `https://${token}.evil.example/` }]
    }, { headers: { "x-progress": token, "content-location": `https://${token}.evil.example/` } })],
  [
    "echo in an outcome",
    () =>
      Http.json({
        resourceType: "OperationOutcome",
        issue: [{ code: token, diagnostics: token, details: { text: token }, expression: [token] }]
      }, {
        status: 400
      })
  ],
  [
    "echo of a refused token",
    () => Http.json({ resourceType: "OperationOutcome", issue: [{ diagnostics: `Bearer ${token}` }] }, { status: 401 })
  ],
  ["echo in a page", () => Http.text(`<html>${token}</html>`)],
  [
    "echo in a redirect",
    () => new Response(null, { status: 302, headers: { location: `https://evil.example/${token}` } })
  ],
  ["no connection", () => new Http.ConnectionFailure("ECONNREFUSED")],
  ["a reset", () => new Http.ConnectionFailure("ECONNRESET")],
  ["busy", () => Http.text(token, { status: 503, headers: { "retry-after": token } })],
  ["a batch", () =>
    Http.json({
      resourceType: "Bundle",
      link: [{ relation: "next", url: `https://evil.example/${token}` }],
      entry: [{
        response: { status: "400", outcome: { resourceType: "OperationOutcome", issue: [{ diagnostics: token }] } }
      }]
    })]
]

const calls = (fhir: FhirClient.Authorized): ReadonlyArray<Effect.Effect<unknown, unknown>> => [
  fhir.read("Patient", "1"),
  fhir.read("Patient", "1", { schema: Schema.Struct({ id: Schema.Number }) }),
  fhir.create({ resourceType: "Patient" }),
  fhir.delete("Patient", "1"),
  fhir.batch([{ method: "GET", url: "Patient/1" }]),
  fhir.operation("everything"),
  fhir.readReference("Patient/1"),
  Stream.runDrain(fhir.search("Patient")),
  Stream.runDrain(fhir.history()),
  fhir.httpClient.get(`${base}/Patient/1`),
  fhir.httpClient.get(`https://evil.example/${token}`),
  Stream.runDrain(AppState.make(fhir).find({ code: { system: "s", code: "c" } })),
  Stream.runDrain(BulkExport.run(fhir, { timeout: "1 second" }))
]

describe("FHIR canary", () => {
  it.effect.each(answers)(
    "[SMART-97] no token in an error, a log line or a span: %s",
    ([, answer]) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const note = (value: unknown) => {
          const error = value instanceof Error ? `${value.message} ${String(value)} ${value.stack ?? ""}` : ""
          seen.push(`${error} ${inspect(value, { depth: 12 })} ${JSON.stringify(value) ?? ""}`)
        }
        const logger = Logger.make(({ annotations, cause, message }) => {
          note([message, Cause.pretty(cause), [...annotations]])
        })
        const tracer = Tracer.make({
          span: (name, parent, context, links, startTime, kind) => {
            const attributes = new Map<string, unknown>()
            const span: Tracer.Span = {
              _tag: "Span",
              name,
              spanId: "s",
              traceId: "t",
              parent,
              context,
              status: { _tag: "Started", startTime },
              attributes,
              links,
              sampled: true,
              kind,
              // An answer is the server's to write, and goes to the caller alone.
              end: (_, exit) => note([name, [...attributes], exit._tag === "Failure" ? exit : ""]),
              attribute: (key, value) => void attributes.set(key, value),
              event: (event, _, more) => note([event, more]),
              addLinks: () => undefined
            }
            return span
          },
          context: (f) => f()
        })
        const fhir = yield* written(
          Http.fake(({ url }) =>
            url.endsWith("/smart-configuration") ? Http.json({ capabilities: ["smart-app-state"] }) : answer()
          )
        )
        for (const call of calls(fhir)) {
          const exit = yield* call.pipe(
            Effect.tapErrorCause((cause) => Effect.logError("failed", cause)),
            Effect.exit,
            Effect.withTracer(tracer),
            Effect.provide(Logger.replace(Logger.defaultLogger, logger))
          )
          if (exit._tag === "Failure") {
            note(Cause.pretty(exit.cause))
            // What platform errors hold of their request is theirs to hide: only this library's own are looked into.
            for (const failure of Cause.failures(exit.cause)) {
              if (failure instanceof Error && "interaction" in failure) note(failure)
            }
          }
        }
        assert.isAbove(seen.length, 10)
        for (const line of seen) assert.isUndefined(leak(line, [token]))
      }).pipe(Logger.withMinimumLogLevel(LogLevel.All))
  )
})
