import { assert, describe, it } from "@effect/vitest"
import { deadLinks, pages } from "../support/pages.js"
import { file } from "../support/shownExamples.js"

/** Their own tests generate these pages and run their programs. */
const GENERATED = ["docs/errors.md", "docs/warnings.md"]

const documents = pages.filter(({ path }) => path !== "CHANGELOG.md")

describe("the documentation", () => {
  it("shows programs that are compiled and run", () => {
    const problems = documents.filter(({ path }) => !GENERATED.includes(path)).flatMap(({ path, text }) => {
      const shown = [...text.matchAll(/<!-- (examples\/\S+) -->\n\n```tsx?\n([\s\S]*?)```/g)]
      const different = shown.filter(([, name = "", code = ""]) => code.trim() !== file(name).trim())
      const blocks = text.match(/^\s*```(ts|tsx|js|jsx)\b/gm)?.length ?? 0
      return [
        ...different.map(([, name]) => `${path}: ${name} has changed; run \`npm run snippets\``),
        ...(blocks === shown.length ? [] : [`${path}: ${blocks - shown.length} programs without a file in examples/`])
      ]
    })
    assert.deepStrictEqual(problems, [])
  })

  it("begins each block of code with its language, and ends it with a line that has the fence only", () => {
    const problems = documents.flatMap(({ path, text }) => {
      const fences = text.split("\n").filter((line) => /^\s*```/.test(line))
      return fences.flatMap((line, index) => (index % 2 === 1) === (line.trim() === "```") ? [] : [`${path}: ${line}`])
    })
    assert.deepStrictEqual(problems, [])
  })

  it("has no dead links", () => {
    assert.isAtLeast(pages.length, 20)
    assert.deepStrictEqual(pages.flatMap(deadLinks), [])
  })

  it("has no page without a link from the README or another page", () => {
    const linked = new Set(
      documents.flatMap(({ path, text }) =>
        [...text.matchAll(/\]\(([^)#\s]+\.md)/g)].map(([, link = ""]) =>
          new URL(link, `file:///${path}`).pathname.slice(1)
        )
      )
    )
    const unlinked = documents.filter(({ path }) => path.startsWith("docs/") && !linked.has(path))
    assert.deepStrictEqual(unlinked.map(({ path }) => path), [])
  })

  it("names each optional peer with its purpose, in the README and in docs/troubleshooting.md", () => {
    const { peerDependenciesMeta } = JSON.parse(file("package.json")) as {
      readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>
    }
    for (const page of ["README.md", "docs/troubleshooting.md"]) {
      const rows = file(page).split("\n").filter((line) => line.startsWith("|"))
      for (const peer of Object.keys(peerDependenciesMeta)) {
        assert.isTrue(rows.some((row) => row.includes(`\`${peer}`)), `${page} does not name ${peer}`)
      }
    }
  })

  it("has a README of at most 1,800 words", () => {
    assert.isAtMost(file("README.md").split(/\s+/).length, 1800)
  })
})
