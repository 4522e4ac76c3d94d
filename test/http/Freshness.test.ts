import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { freshnessMillis } from "../../src/http/ReceivedResponse.js"

const now = Date.UTC(2026, 0, 5, 12, 0, 0)

describe("freshnessMillis", () => {
  it.each<[Record<string, string>, number | undefined]>([
    [{}, undefined],
    [{ "cache-control": "" }, undefined],
    [{ "cache-control": "public" }, undefined],
    [{ "cache-control": "max-age=60" }, 60_000],
    [{ "cache-control": "public, MAX-AGE=60" }, 60_000],
    [{ "cache-control": "max-age=\"60\"" }, 60_000],
    [{ "cache-control": "max-age=60", age: "20" }, 40_000],
    [{ "cache-control": "max-age=60", age: "600" }, 0],
    [{ "cache-control": "max-age=60", age: "nonsense" }, 60_000],
    [{ "cache-control": "max-age=0" }, 0],
    [{ "cache-control": "max-age=-1" }, undefined],
    [{ "cache-control": "x-max-age=60" }, undefined],
    [{ "cache-control": "max-age=60s" }, undefined],
    [{ "cache-control": "no-store" }, 0],
    [{ "cache-control": "max-age=60, no-cache" }, 0],
    [{ "cache-control": "max-age=60", expires: "Mon, 05 Jan 2026 13:00:00 GMT" }, 60_000],
    [{ expires: "Mon, 05 Jan 2026 12:01:00 GMT" }, 60_000],
    [{ expires: "Mon, 05 Jan 2026 11:00:00 GMT" }, 0],
    [{ expires: "Mon Jan  5 12:01:00 2026" }, 60_000],
    [{ expires: "05 Jan 2026 12:01:00 GMT" }, 0],
    [{ expires: "0" }, 0],
    [{ expires: "never" }, 0]
  ])("%j", (headers, expected) => assert.strictEqual(freshnessMillis(headers, now), expected))

  it.prop("any headers give no number, or one that is not negative", [FastCheck.string(), FastCheck.string()], (
    [cacheControl, expires]
  ) => {
    const millis = freshnessMillis({ "cache-control": cacheControl, expires }, now)
    assert.isTrue(millis === undefined || millis >= 0)
  })
})
