// Writes docs/conformance.md from reports/tests.json, the report of the last `npm test`: which requirement is proven by
// which tests. A test names its requirements in its title, as in "[SMART-41] aud is the FHIR base". A requirement
// without a test has a `reason` in scripts/*-client-requirements.json; a file is `partial` until it has all reasons.
// `--check` fails if a requirement has neither, or has a reason although tests prove it, or if the page is outdated.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { sep } from "node:path"

const PAGE = "docs/conformance.md"
/** So many tests of one requirement are listed; the others are counted. */
const LISTED = 6

const SPECIFICATIONS = [
  { name: "SMART App Launch 2.2", prefix: "SMART", file: "scripts/smart-client-requirements.json" },
  { name: "UDAP Security", prefix: "UDAP", file: "scripts/udap-client-requirements.json" }
]

const IDS = /\[([A-Z]+-\w+(?:,? [A-Z]+-\w+)*)\]/g
const report = JSON.parse(readFileSync("reports/tests.json", "utf8"))
const files = readdirSync("test", { recursive: true }).map((name) => String(name).replaceAll(sep, "/"))
  .filter((name) => name.endsWith(".test.ts"))
/** The file in this clone, of a report that may come from another one. */
const fileOf = (name) => {
  const path = name.replaceAll(sep, "/")
  const file = files.find((file) => path.endsWith(`/test/${file}`))
  if (file === undefined) throw new Error(`reports/tests.json has ${name}, which is not here: run npm test first`)
  return file
}
if (report.testResults.length < files.length) {
  console.error(`reports/tests.json has ${report.testResults.length} of ${files.length} files: run npm test first`)
  process.exit(1)
}
const tests = report.testResults.flatMap(({ assertionResults, name }) =>
  assertionResults.map((test) => ({
    file: fileOf(name),
    ran: test.status === "passed",
    ids: [...test.fullName.matchAll(IDS)].flatMap(([, ids]) => ids.split(/,? /)),
    title: test.title.replace(IDS, "").trim().replace(/\s+/g, " ")
  }))
).filter(({ ids }) => ids.length > 0).sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : 0)

const escaped = (text) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("*", "\\*").replaceAll("_", "\\_")
const cell = (proofs) => [
  ...proofs.slice(0, LISTED).map(({ file, title }) => `${escaped(title)} (\`${file}\`)`),
  ...(proofs.length > LISTED ? [`and ${proofs.length - LISTED} more`] : [])
].join("<br>")

const specifications = SPECIFICATIONS.map(({ file, name, prefix }) => {
  const { partial = false, requirements, source } = JSON.parse(readFileSync(file, "utf8"))
  const proven = (id) => tests.filter(({ ids }) => ids.includes(`${prefix}-${id}`))
  return { name, partial, prefix, source, requirements: requirements.map((one) => ({ ...one, proofs: proven(one.id) })) }
})

const chapter = ({ name, requirements, source }) => {
  const tested = requirements.filter(({ proofs }) => proofs.length > 0)
  const others = requirements.filter(({ proofs, reason }) => proofs.length === 0 && reason !== undefined)
  const open = requirements.filter(({ proofs, reason }) => proofs.length === 0 && reason === undefined)
  return `## Client requirements of ${name}

Numbers:
${source}.
Of ${requirements.length} client requirements, tests prove ${tested.length}; ${others.length} need no test, for a stated reason${
    open.length > 0 ? `; ${open.length} are not proven yet` : ""
  }.

| requirement | level | proven by |
|---|---|---|
${tested.map(({ id, level, proofs, url }) => `| [${id}](${url}) | ${level} | ${cell(proofs)} |`).join("\n")}
${others.length === 0 ? "" : `
| requirement | level | reason why no test proves it |
|---|---|---|
${others.map(({ id, level, reason, url }) => `| [${id}](${url}) | ${level} | ${reason} |`).join("\n")}
`}${open.length === 0 ? "" : `
Not proven yet: ${open.map(({ id, url }) => `[${id}](${url})`).join(",\n")}
`}`
}

const page = `# Conformance

\`npm run conformance\` writes this page from the report of the last \`npm test\`. \`npm run check\` fails if a
requirement has neither a test that ran nor a reason.

${specifications.map(chapter).join("\n")}`

if (process.argv.includes("--check")) {
  const problems = specifications.flatMap(({ partial, prefix, requirements }) =>
    requirements.flatMap(({ id, proofs, reason }) =>
      proofs.some(({ ran }) => ran)
        ? reason === undefined ? [] : [`${prefix}-${id} has a test and a reason why it has none`]
        : proofs.length > 0
        ? [`${prefix}-${id}: its tests did not run, or failed`]
        : reason === undefined && !partial
        ? [`${prefix}-${id} has neither a test nor a reason`]
        : []
    )
  )
  if (readFileSync(PAGE, "utf8") !== page) problems.push(`${PAGE} is outdated: npm run conformance`)
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length === 0 ? 0 : 1
} else {
  writeFileSync(PAGE, page)
}
