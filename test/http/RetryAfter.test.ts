import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
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
    "７"
  ])(
    "%j says nothing",
    (header) => assert.isUndefined(millis(header))
  )

  it("a number beyond all measure is a wait beyond all measure", () => {
    assert.isTrue(Duration.greaterThan(RetryAfter.parse("9".repeat(400), now) ?? Duration.zero, Duration.days(1)))
  })

  it.prop("any header is a wait of zero or more, or nothing", [FastCheck.string()], ([header]) => {
    const parsed = millis(header)
    assert.isTrue(parsed === undefined || parsed >= 0)
  })
})
