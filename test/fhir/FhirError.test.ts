/** What a failed FHIR request says: what the server wrote, how often it was asked, whether it acted, and what to do. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { FhirError, RetryPolicy } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as Http from "../support/http.js"
import { backend, sandbox, token, written } from "./fixtures.js"

const observation = { resourceType: "Observation", status: "final", code: { text: "x" } }

/** The error of one read, with the test's clock moving on. */
const readAt = (http: Http.Fake, settings: Parameters<typeof written>[1] = {}) =>
  Effect.gen(function*() {
    const fhir = yield* written(http, settings)
    const fiber = yield* Effect.fork(Effect.flip(fhir.read("Patient", "1")))
    yield* TestClock.adjust("5 minutes")
    return yield* Fiber.join(fiber)
  })

const outcome = (issue: ReadonlyArray<unknown>, status = 422) =>
  Http.json({ resourceType: "OperationOutcome", issue }, { status })

describe("FhirError", () => {
  describe("attempts", () => {
    it.effect.each(
      [[408, true], [429, true], [500, false], [501, false], [502, true], [503, true], [504, true], [
        599,
        false
      ]] as const
    )(
      "after %i the message says how often the read was sent",
      ([status, isRepeated]) =>
        Effect.gen(function*() {
          const http = Http.script(() => Http.text("", { status }))
          const error = yield* readAt(http, { retry: RetryPolicy.transient })
          assert.deepStrictEqual([error.reason, error.isRetryable], ["Unavailable", isRepeated])
          assert.deepStrictEqual([error.attempts, http.requests.length], isRepeated ? [3, 3] : [1, 1])
          assert.include(error.message, isRepeated ? "tried 3 times" : "tried once")
          assert.strictEqual(error.message.includes("a retry is likely to fail too"), !isRepeated)
        })
    )

    it.effect("the number is that of the policy, of the one request of a write, and absent where nothing was sent", () =>
      Effect.gen(function*() {
        const busy = Http.script(() => Http.text("", { status: 503 }))
        const patient = yield* readAt(busy, { retry: Schedule.recurs(6) })
        assert.deepStrictEqual([patient.attempts, busy.requests.length], [7, 7])
        const down = Http.script(() => new Http.ConnectionFailure("ECONNREFUSED"))
        const unreachable = yield* readAt(down, { retry: Schedule.recurs(1) })
        assert.deepStrictEqual([unreachable.attempts, down.requests.length], [2, 2])
        const fhir = yield* written(busy, { retry: RetryPolicy.transient })
        const write = yield* Effect.flip(fhir.create(observation))
        assert.include(write.message, "tried once")
        const nothing = yield* Effect.flip(fhir.read("Patient", "1/2"))
        assert.isUndefined(nothing.attempts)
      }))
  })

  describe("texts of the server", () => {
    it.effect.each<[string, string, string]>([
      ["text", "  upstream connect error\r\n or\u0007 disconnect", "upstream connect error or disconnect"],
      [
        "a page",
        "<html><head><title>502 Bad Gateway</title></head></html>",
        "<html><head><title>502 Bad Gateway</title></head></html>"
      ],
      ["JSON", "{\"message\":\"Rate limit exceeded\"}", "{\"message\":\"Rate limit exceeded\"}"]
    ])("an excerpt of %s is kept in a field, and not in the message", ([, body, excerpt]) =>
      Effect.gen(function*() {
        const error = yield* readAt(Http.script(() => Http.text(body, { status: 502 })))
        assert.strictEqual(error.bodyExcerpt, excerpt)
        assert.notInclude(error.message, excerpt)
      }))

    it.effect.each<[string, string]>([
      ["a resource", JSON.stringify({ resourceType: "Patient", name: [{ family: "Doe" }] })],
      ["a resource inside of something else", JSON.stringify({ echo: { resourceType: "Patient", id: "Doe" } })],
      ["a resource that is quoted", JSON.stringify({ echo: JSON.stringify({ resourceType: "Patient", id: "Doe" }) })],
      ["a resource in XML", "<Patient xmlns=\"http://hl7.org/fhir\"><id value=\"Doe\"/></Patient>"],
      ["a resource in XML with a prefix", "<f:Patient xmlns:f='http://hl7.org/fhir'><f:id value='Doe'/></f:Patient>"],
      ["nothing", " \n\t "]
    ])("no excerpt of %s", ([, body]) =>
      Effect.gen(function*() {
        const error = yield* readAt(Http.script(() => Http.text(body, { status: 400 })))
        assert.isUndefined(error.bodyExcerpt)
        assert.notInclude(JSON.stringify(error), "Doe")
      }))

    it.effect("an excerpt is limited and contains no part of the token", () =>
      Effect.gen(function*() {
        for (
          const body of [
            `x ${token} y`,
            `Bearer ${encodeURIComponent(token)}`,
            "z".repeat(10_000_000),
            `${" ".repeat(16_384 - 8)}${token}${" tail".repeat(1_000)}`,
            `${"\n".repeat(16_384 - 8)}${token}`.padEnd(40_000, "w")
          ]
        ) {
          const error = yield* readAt(Http.script(() => Http.text(body, { status: 500 })))
          assert.isAtMost(error.bodyExcerpt?.length ?? 0, 501)
          assert.notInclude(JSON.stringify(error), token.slice(0, 8))
        }
      }))

    it.effect("[SMART-93] the bearer challenge is read into fields, its code shown, its description not", () =>
      Effect.gen(function*() {
        const challenge =
          "Basic realm=\"a, b\", Bearer realm=\"fhir\", error=\"insufficient_scope\", error_description=\"for \\\"Doe\\\"\", scope=\"patient/Observation.rs\""
        const error = yield* readAt(
          Http.script(() => Http.text("", { status: 403, headers: { "www-authenticate": challenge } }))
        )
        assert.deepInclude(error, {
          error: "insufficient_scope",
          errorDescription: "for \"Doe\"",
          requiredScope: "patient/Observation.rs"
        })
        assert.include(error.message, "error: insufficient_scope")
        assert.notInclude(error.message, "Doe")
      }))

    it.effect("a malformed or hostile challenge is ignored", () =>
      Effect.gen(function*() {
        for (
          const [header, code] of [
            ["Bearer", undefined],
            ["bearer error=invalid_token", "invalid_token"],
            ["Bearer,Bearer error=\"invalid_token\"", "invalid_token"],
            ["Negotiate abc==, Bearer error=\"x\"", "x"],
            ["Bearer error=\"unterminated", "\"unterminated"],
            ["Digest error=\"no\"", undefined],
            [`Bearer error="${token}"`, "<redacted>"],
            [`Bearer error="${"\\".repeat(60_000)}`, undefined],
            ["=,=;\"".repeat(10_000), undefined],
            ["Bearer a=\"".repeat(10_000), undefined]
          ] as const
        ) {
          const error = yield* readAt(
            Http.script(() => Http.text("", { status: 401, headers: { "www-authenticate": header } }))
          )
          if (!header.includes("\\")) assert.strictEqual(error.error, code, header.slice(0, 40))
          assert.notInclude(JSON.stringify(error) + error.message, token)
          assert.isBelow(error.message.length, 1_000)
        }
      }))

    it.effect("the message contains codes and element paths of issues, and no other texts", () =>
      Effect.gen(function*() {
        const error = yield* readAt(Http.script(() =>
          outcome([
            { code: "required", expression: ["Patient.birthDate"] },
            { code: "invalid", expression: ["Patient.name.where(family='Doe')", "Patient.name[0].family"] },
            { code: "value", expression: ["Patient.name.where(family='Doe')"] },
            { code: "Doe, John", diagnostics: "Doe" },
            { code: "Doe", details: { text: "Doe", coding: [{ system: "https://ehr.example/codes", code: "DOE" }] } },
            {
              code: "not-found",
              details: {
                coding: [{ system: "http://terminology.hl7.org/CodeSystem/operation-outcome", code: "MSG_NO_MATCH" }]
              }
            }
          ])
        ))
        assert.include(
          error.message,
          "issues: required at Patient.birthDate, invalid at Patient.name[0].family, value, not-found (MSG_NO_MATCH); correct "
        )
        assert.notMatch(error.message, /Doe/i)
      }))

    it.effect("the fields of an error have each issue in full", () =>
      Effect.gen(function*() {
        const coding = [{ system: "https://ehr.example/codes", code: "E7", display: "Field missing" }]
        const issue = {
          severity: "error",
          code: "required",
          details: { text: "birth date", coding },
          diagnostics: "line 7",
          expression: ["Patient.birthDate"],
          location: ["/f:Patient/f:birthDate"]
        }
        const error = yield* readAt(Http.script(() => outcome([issue])))
        assert.deepStrictEqual(error.issues, [issue])
        assert.deepStrictEqual((yield* Schema.decode(FhirError)(yield* Schema.encode(FhirError)(error))).issues, [
          issue
        ])
      }))

    it.effect("the message refers to issues only where there are some", () =>
      Effect.gen(function*() {
        const silent = yield* readAt(Http.script(() => Http.text("", { status: 400 })))
        assert.include(silent.message, "the server gave no reason")
        const spoken = yield* readAt(Http.script(() => Http.text("no such parameter", { status: 400 })))
        assert.include(spoken.message, "bodyExcerpt")
      }))
  })

  describe("advice", () => {
    it.effect("the advice after a 401 with a renewed token is not another refresh", () =>
      Effect.gen(function*() {
        const ehr = yield* SandboxEhr.SandboxEhr
        const fhir = yield* sandbox
        yield* ehr.fault("fhir", SandboxEhr.Fault.status(401), 2)
        const error = yield* Effect.flip(fhir.read("Patient", "patient-alpha"))
        assert.instanceOf(error, FhirError)
        assert.deepInclude(error, { reason: "Unauthorized", tokenRenewed: true, attempts: 2, status: 401 })
        assert.include(error.message, "also for a renewed token")
        assert.include(error.message, "another refresh will not help")
        const fixed = yield* readAt(Http.script(() => Http.text("", { status: 401 })))
        assert.isUndefined(fixed.tokenRenewed)
        assert.include(fixed.message, "start a new launch")
      }).pipe(Effect.provide(backend())))

    it.effect("[SMART-97] a link that foreignOrigins would allow names the option and what to put into it", () =>
      Effect.gen(function*() {
        const linkTo = (url: string) =>
          Effect.gen(function*() {
            const fhir = yield* written(
              Http.script(() => Http.json({ resourceType: "Bundle", link: [{ relation: "next", url }] }))
            )
            return yield* Effect.flip(Stream.runDrain(fhir.search("Patient")))
          })
        const own = yield* linkTo("https://ehr.example/pages/2?patient=Doe")
        assert.strictEqual(own.reason, "ForeignLink")
        assert.include(own.message, "foreignOrigins: { \"https://ehr.example\": \"token\" }")
        const other = yield* linkTo("https://files.example/pages/2?patient=Doe")
        assert.include(other.message, "foreignOrigins: { \"https://files.example\": \"anonymous\" }")
        const odd = yield* linkTo("https://u:p@ehr.example/fhir?patient=Doe")
        for (const error of [own, other, odd]) assert.notInclude(error.message, "Doe")
        for (const error of [odd, yield* linkTo("http://ehr.example/fhir/2")]) {
          assert.notInclude(error.message, "foreignOrigins: { \"https://ehr")
        }
        const http = Http.script(
          () => Http.json({ resourceType: "Bundle", link: [{ relation: "next", url: "https://ehr.example/pages/2" }] }),
          () => Http.json({ resourceType: "Bundle", entry: [{ resource: { resourceType: "Patient" } }] })
        )
        const following = yield* written(http, { foreignOrigins: { "https://ehr.example": "token" } })
        assert.strictEqual(yield* Stream.runCount(following.search("Patient")), 1)
      }))

    it.effect("an id that is missing is called missing", () =>
      Effect.gen(function*() {
        const http = Http.script(() => Http.json({}))
        const fhir = yield* written(http)
        for (
          const call of [
            fhir.update({ resourceType: "Patient" }),
            fhir.update({ resourceType: "Patient", id: "" }),
            fhir.read("Patient", ""),
            fhir.vread("Patient", "1", ""),
            fhir.delete("Patient", ""),
            fhir.patch("Patient", "", [])
          ]
        ) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, FhirError, never>(call))
          assert.deepStrictEqual([error.reason, error.processed], ["InvalidReference", "no"])
          assert.match(error.detail, /has no id|id is missing/)
          assert.notInclude(error.message, "characters")
        }
        assert.strictEqual(http.requests.length, 0)
      }))
  })

  describe("304", () => {
    const unchanged = () => Http.fake(() => new Response(null, { status: 304, headers: { etag: "W/\"7\"" } }))
    const condition = { "If-None-Match": "W/\"7\"" }

    it.effect("is the response to a request with a condition", () =>
      Effect.gen(function*() {
        const fhir = yield* written(unchanged())
        const answer = yield* fhir.request({ interaction: "read Patient", url: "Patient/1", headers: condition })
        assert.deepStrictEqual([answer.status, answer.body, answer.headers["etag"]], [304, "", "W/\"7\""])
        const open = fhir.open({ interaction: "read Patient", url: "Patient/1", headers: condition })
        assert.strictEqual((yield* Effect.scoped(open)).status, 304)
      }))

    it.effect("without a condition is an error, and the message does not refer to issues", () =>
      Effect.gen(function*() {
        const fhir = yield* written(unchanged())
        for (
          const call of [
            fhir.read("Patient", "1"),
            fhir.update({ resourceType: "Patient", id: "1" }),
            fhir.delete("Patient", "1"),
            fhir.request({ interaction: "read Patient", url: "Patient/1" }),
            Stream.runDrain(fhir.search("Patient"))
          ]
        ) {
          const error = yield* Effect.flip(Effect.asVoid<unknown, FhirError, never>(call))
          assert.deepStrictEqual([error.reason, error.status], ["NotFhir", 304])
          assert.notInclude(error.message, "issues")
        }
        const streamed = fhir.download({ interaction: "download Binary", url: "Binary/1", headers: condition })
        assert.strictEqual((yield* Effect.flip(Stream.runDrain(streamed))).reason, "InvalidRequest")
      }))

    it.effect("of an entry is a result without a resource, also in a transaction", () =>
      Effect.gen(function*() {
        const http = Http.script(() =>
          Http.json({
            resourceType: "Bundle",
            entry: [{ response: { status: "304 Not Modified", etag: "W/\"7\"" } }]
          })
        )
        const fhir = yield* written(http)
        const requests = [{ method: "GET", url: "Patient/1", ifNoneMatch: "W/\"7\"" }] as const
        const [result] = yield* fhir.batch(requests)
        assert.isTrue(result !== undefined && Either.isRight(result))
        const [stored] = yield* fhir.transaction(requests)
        assert.deepInclude(stored, { status: 304, resource: undefined, etag: "W/\"7\"" })
        assert.include(http.requests[0]?.body, "\"ifNoneMatch\":\"W/\\\"7\\\"\"")
      }))
  })

  describe("processed", () => {
    const requests = ["a", "b", "c"].map((id) => ({
      method: "PUT",
      url: `Patient/${id}`,
      resource: { resourceType: "Patient", id, active: true }
    } as const))
    const answering = (...statuses: ReadonlyArray<string | undefined>) =>
      Http.script(() =>
        Http.json({
          resourceType: "Bundle",
          type: "transaction-response",
          entry: statuses.map((status, index) => ({
            response: {
              status,
              location: `Patient/${index}/_history/1`,
              ...(status?.startsWith("4") === true
                ? { outcome: { resourceType: "OperationOutcome", issue: [{ code: "duplicate", diagnostics: "Doe" }] } }
                : {})
            }
          }))
        })
      )

    it.effect.each<[ReadonlyArray<string | undefined>, string, string, number]>([
      [["201 Created", "409 Conflict", "200"], "partly", "Conflict", 1],
      [["409", "201", undefined], "partly", "Conflict", 0],
      [["200", "200", "503"], "partly", "Unavailable", 2],
      [["409", "422", "404"], "no", "Conflict", 0],
      [["409", "500", "404"], "unknown", "Conflict", 0],
      [[undefined, undefined, undefined], "unknown", "NotFhir", 0]
    ])(
      "a transaction whose entries were answered with %s was processed: %s",
      ([statuses, processed, reason, index]) =>
        Effect.gen(function*() {
          const http = answering(...statuses)
          const fhir = yield* written(http, { retry: RetryPolicy.transient })
          const error = yield* Effect.flip(fhir.transaction(requests))
          assert.deepStrictEqual([error.processed, error.reason, error.index, error.attempts], [
            processed,
            reason,
            index,
            1
          ])
          assert.deepStrictEqual(
            error.entries?.map(({ index, location, status }) => [index, status, location]),
            statuses.map((status, at) => [
              at,
              status === undefined ? undefined : Number(status.slice(0, 3)),
              `Patient/${at}/_history/1`
            ])
          )
          assert.strictEqual(http.requests.length, 1)
          if (processed === "partly") {
            assert.isFalse(error.isRetryable)
            assert.include(error.message, "do not retry the whole transaction")
          }
          assert.notInclude(error.message, "Doe")
          assert.notInclude(error.message, "_history")
          assert.strictEqual(
            error.entries?.find(({ status }) => status === 409)?.issues[0]?.diagnostics,
            statuses.some((status) => status?.startsWith("409")) ? "Doe" : undefined
          )
          const decoded = yield* Schema.decode(FhirError)(yield* Schema.encode(FhirError)(error))
          assert.deepStrictEqual(decoded.entries, error.entries)
        })
    )

    it.effect("a response with too few entries has the results of these entries", () =>
      Effect.gen(function*() {
        for (const call of ["batch", "transaction"] as const) {
          const fhir = yield* written(answering("201", "409"))
          const error = yield* Effect.flip(Effect.asVoid<unknown, FhirError, never>(fhir[call](requests)))
          assert.deepStrictEqual([error.reason, error.processed], ["NotFhir", "unknown"])
          assert.deepStrictEqual(error.entries?.map(({ processed }) => processed), ["yes", "no"])
        }
      }))

    it.effect("each error of a batch names its request", () =>
      Effect.gen(function*() {
        const fhir = yield* written(answering("201", "409", "500"))
        const results = yield* fhir.batch(requests)
        assert.deepStrictEqual(
          results.map(Either.match({
            onRight: ({ location }) => location,
            onLeft: ({ index, processed, reason, status }) => [index, processed, reason, status]
          })),
          ["Patient/0/_history/1", [1, "no", "Conflict", 409], [2, "unknown", "Unavailable", 500]]
        )
      }))

    it.effect("a response without a Bundle has `processed: unknown`", () =>
      Effect.gen(function*() {
        for (
          const [answer, processed] of [
            [() => Http.text("<html>"), "unknown"],
            [() => Http.text("", { status: 500 }), "unknown"],
            [() => outcome([{ code: "invalid" }], 400), "no"],
            [() => new Response(null, { status: 204 }), "unknown"]
          ] as const
        ) {
          const fhir = yield* written(Http.script(answer))
          assert.strictEqual((yield* Effect.flip(fhir.transaction(requests))).processed, processed)
        }
      }))
  })

  it.effect("a page with a malformed link or entry is an error, not the last page", () =>
    Effect.gen(function*() {
      for (
        const member of [
          { link: "https://ehr.example/fhir?page=2" },
          { link: [null, { relation: "next", url: "?page=2" }] },
          { link: [{ relation: "next" }] },
          { link: [{ relation: "next", url: 2 }] },
          { entry: { resource: { resourceType: "Patient" } } },
          { entry: [null, { resource: { resourceType: "Patient" } }] }
        ]
      ) {
        const fhir = yield* written(Http.script(() => Http.json({ resourceType: "Bundle", ...member })))
        const error = yield* Effect.flip(Stream.runCollect(fhir.search("Patient")).pipe(Effect.map(Chunk.size)))
        assert.strictEqual(error.reason, "NotFhir", JSON.stringify(member))
      }
      const sane = yield* written(Http.script(() => Http.json({ resourceType: "Bundle", link: null, entry: [] })))
      assert.strictEqual(yield* Stream.runCount(sane.search("Patient")), 0)
    }))
})
