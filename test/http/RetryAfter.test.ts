import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as RetryAfter from "../../src/http/RetryAfter.js"

const now = Date.UTC(2026, 0, 5, 12, 0, 0)
const millis = (header: string | undefined) => {
  const parsed = RetryAfter.parse(header, now)
  return parsed === undefined ? undefined : Duration.toMillis(parsed)
}

describe("RetryAfter", () => {
  it.each([
    ["7", 7_000],
    [" 7 ", 7_000],
    ["0", 0],
    ["007", 7_000],
    ["86400", 86_400_000],
    ["Mon, 05 Jan 2026 12:00:10 GMT", 10_000],
    ["Monday, 05-Jan-26 12:00:10 GMT", 10_000],
    ["Mon Jan  5 12:00:10 2026", 10_000],
    ["Mon Jan  5 12:00:10 2026 GMT", 10_000],
    ["Mon, 05 Jan 2026 11:59:00 GMT", 0],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 0]
  ])("%j is a wait of %d ms", (header, expected) => assert.strictEqual(millis(header), expected))

  it.each([
    undefined,
    "",
    " ",
    "-5",
    "3.5",
    "1e3",
    "0x10",
    "soon",
    "Mon, 99 Foo 2026",
    "5 seconds",
    "2026-01-05",
    "05 Jan 2026 12:00:10 GMT",
    "７"
  ])(
    "%j says nothing",
    (header) => assert.isUndefined(millis(header))
  )

  it.each([
    "604800",
    "604801",
    "9".repeat(20),
    "9".repeat(309),
    "9".repeat(100_000),
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 275759 23:59:59 GMT"
  ])("a wait of more than a week is a week", (header) => assert.strictEqual(millis(header), 604_800_000))

  it.prop(
    "any header is a wait from zero to a week, or nothing, and an error that carries it can be read again",
    [FastCheck.oneof(FastCheck.string(), FastCheck.bigInt().map(String), FastCheck.date().map((at) => String(at)))],
    ([header]) => {
      const parsed = RetryAfter.parse(header, now)
      if (parsed === undefined) return
      assert.isTrue(Duration.between(parsed, { minimum: Duration.zero, maximum: Duration.days(7) }))
      const json = JSON.parse(JSON.stringify(Schema.encodeSync(RetryAfter.FromMillis)(parsed)))
      assert.strictEqual(Duration.toMillis(Schema.decodeUnknownSync(RetryAfter.FromMillis)(json)), millis(header))
    }
  )

  it("arbitrary values of `FromMillis` are waits of at most a week", () => {
    for (const wait of FastCheck.sample(Arbitrary.make(RetryAfter.FromMillis), 200)) {
      assert.isTrue(Duration.between(wait, { minimum: Duration.millis(0), maximum: Duration.days(7) }))
    }
  })

  it("`FromMillis` encodes any duration within the same limit", () => {
    for (const duration of [Duration.infinity, Duration.days(400)]) {
      assert.strictEqual(Schema.encodeSync(RetryAfter.FromMillis)(duration), 604_800_000)
    }
  })
})
