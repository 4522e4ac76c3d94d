import { execFileSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as HttpDate from "../../src/base/HttpDate.js"

const at = Date.UTC(2026, 0, 5, 12, 0, 10)

describe("HttpDate", () => {
  it.each([
    "Mon, 05 Jan 2026 12:00:10 GMT",
    "Monday, 05-Jan-26 12:00:10 GMT",
    "Mon Jan  5 12:00:10 2026"
  ])("%s is a date in UTC", (text) => assert.strictEqual(HttpDate.parse(text), at))

  const isNode = !("bun" in process.versions) && !("deno" in process.versions)
  it.skipIf(!isNode)("the form of asctime, which has no time zone, is UTC on a machine with any time zone", () => {
    const program = `import { parse } from "./src/base/HttpDate.ts"
      process.stdout.write(String(parse("Mon Jan  5 12:00:10 2026")))`
    for (const TZ of ["America/New_York", "Asia/Kolkata"]) {
      const args = ["--import", "tsx", "--input-type=module", "-e", program]
      assert.strictEqual(Number(execFileSync(process.execPath, args, { env: { ...process.env, TZ } })), at, TZ)
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
