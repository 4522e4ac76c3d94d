import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const page = readFileSync("docs/security.md", "utf8")

describe("docs/security.md", () => {
  it("names only tests that exist, and one for each defence", () => {
    const rows = page.slice(page.indexOf("## Defences"), page.indexOf("## Tasks of your app"))
      .split("\n").filter((line) => /^\| (?!threat|-)/.test(line))
    assert.isAbove(rows.length, 20)
    for (const row of rows) {
      const tests = [...row.matchAll(/`([\w/.]+\.test\.ts)`/g)].map(([, name]) => `test/${name}`)
      assert.isNotEmpty(tests, row)
      assert.deepStrictEqual(tests.filter((name) => !existsSync(name)), [], row)
    }
  })
})
