// Writes docs/conformance.md: which requirement is proven by which test. A test names what it proves, as in "[SMART-41]
// aud is the FHIR base".
import { readdirSync, readFileSync, writeFileSync } from "node:fs"

/** The prefix of its numbers in test titles, and where they are from. */
const SPECIFICATIONS = [
  { name: "SMART App Launch 2.2", prefix: "SMART", file: "scripts/smart-client-requirements.json" },
  { name: "UDAP Security", prefix: "UDAP", file: "scripts/udap-client-requirements.json" }
]
const files = readdirSync("test", { recursive: true }).map(String).filter((file) => file.endsWith(".test.ts")).sort()

const proofs = new Map()
for (const file of files) {
  for (const [name] of readFileSync(`test/${file}`, "utf8").matchAll(/["'`](\[[A-Z]+-[\w-]+\][^"'`\n]*)["'`]/g)) {
    const title = name.slice(1, -1)
    for (const [, id] of title.matchAll(/\[([A-Z]+-[\w-]+)\]/g)) {
      const tests = proofs.get(id) ?? []
      tests.push({ file, title: title.replace(/(\[[A-Z]+-[\w-]+\]\s*)+/g, "").replaceAll("|", "\\|") })
      proofs.set(id, tests)
    }
  }
}

const cell = (tests) => tests.map(({ file, title }) => `${title} (\`${file}\`)`).join("<br>")
const specifications = SPECIFICATIONS.map(({ file, name, prefix }) => {
  const { requirements, source } = JSON.parse(readFileSync(file, "utf8"))
  const numbered = requirements.map(({ id, level, url }) => ({ id, level, url, tests: proofs.get(`${prefix}-${id}`) ?? [] }))
  return { name, prefix, source, numbered, proven: numbered.filter(({ tests }) => tests.length > 0) }
})
const known = new Set(specifications.flatMap(({ numbered, prefix }) => numbered.map(({ id }) => `${prefix}-${id}`)))
const others = [...proofs].filter(([id]) => !known.has(id)).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))

const chapter = ({ name, numbered, proven, source }) => `## Client requirements of ${name}

Numbers:
${source}.
Of ${numbered.length} client requirements ${proven.length} are named by a test here.

| requirement | level | proven by |
|---|---|---|
${proven.map(({ id, level, tests, url }) => `| [${id}](${url}) | ${level} | ${cell(tests)} |`).join("\n")}

Not named by a test: ${numbered.filter(({ tests }) => tests.length === 0).map(({ id, url }) => `[${id}](${url})`).join(",\n")}
`

writeFileSync(
  "docs/conformance.md",
  `# Conformance

\`npm run conformance\` writes this page from the names of the tests. Most of the requirements that no test names concern
what an app does beyond this library (how it registers, stores, shows), or repeat one that is named. Of UDAP, trust and
discovery are implemented; registration, authentication, B2B and Tiered OAuth are not.

${specifications.map(chapter).join("\n")}
## What servers must do and a client has to judge, and rules of other specifications

| rule | proven by |
|---|---|
${others.map(([id, tests]) => `| ${id} | ${cell(tests)} |`).join("\n")}
`
)
