// Copies programs of examples/ into the pages that show them: below a comment with the path of a file, the block of
// code becomes the content of this file. `test/docs/pages.test.ts` checks that pages and files agree.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"

const pages = ["README.md", ...readdirSync("docs").filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)]

for (const page of pages) {
  const before = readFileSync(page, "utf8")
  const after = before.replaceAll(
    /<!-- (examples\/\S+\.(tsx?)) -->\n\n(```tsx?\n[\s\S]*?\n```(?=\n))?/g,
    (_, path, language, block) => {
      const program = readFileSync(path, "utf8").trim()
      return `<!-- ${path} -->\n\n\`\`\`${language}\n${program}\n\`\`\`${block === undefined ? "\n\n" : ""}`
    }
  )
  if (after !== before) writeFileSync(page, after)
}
