import { assert, describe, it } from "@effect/vitest"
import * as HttpDate from "../../src/base/HttpDate.js"

const at = Date.UTC(2026, 0, 5, 12, 0, 10)

const forms = ["Mon, 05 Jan 2026 12:00:10 GMT", "Monday, 05-Jan-26 12:00:10 GMT", "Mon Jan  5 12:00:10 2026"]

describe("HttpDate", () => {
  it.each(forms)("%s is a date in UTC", (text) => assert.strictEqual(HttpDate.parse(text), at))

  // Only Node reads the variable again.
  const isNode = !("bun" in process.versions) && !("deno" in process.versions)
  it.skipIf(!isNode)("each form is UTC on a machine with any time zone", () => {
    const { TZ } = process.env
    try {
      for (const zone of ["America/New_York", "Asia/Kolkata"]) {
        process.env["TZ"] = zone
        assert.notStrictEqual(new Date(at).getTimezoneOffset(), 0, zone)
        for (const form of forms) assert.strictEqual(HttpDate.parse(form), at, zone)
      }
    } finally {
      if (TZ === undefined) delete process.env["TZ"]
      else process.env["TZ"] = TZ
    }
  })

  it.each([
    "",
    "0",
    "-5",
    "3.5",
    "2026-01-05T12:00:10Z",
    "05 Jan 2026 12:00:10 GMT",
    "Mo, 05 Jan 2026",
    "soon",
    "Mon, 9 Foo 2026"
  ])(
    "%j is not a date",
    (text) => assert.isNaN(HttpDate.parse(text))
  )
})
