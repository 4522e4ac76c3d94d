// Checks what no linter knows: the size of files, the width of prose, and words that hide who does what.
//
//   node scripts/style.mjs            prints the number of lines of code in src and every violation
//   node scripts/style.mjs --check    and exits with 1 when there is a violation
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"

const MAX_FILE_LINES = 350
const MAX_PROSE_COLUMNS = 120
const AVOIDED = /\b(nobody|somebody|whoever|whatever|whomever|is none|is no(?! longer| more)|are none)\b/i

const files = execFileSync("git", ["ls-files"], { encoding: "utf8" }).split("\n").filter((file) => file !== "")
const read = (file) => readFileSync(file, "utf8").split("\n")

const isComment = (line) => /^\s*(\/\/|\/\*|\*)/.test(line)
const isSource = (file) => /\.(ts|mjs)$/.test(file)
const isPage = (file) => file === "README.md" || (/^(docs|examples)\/.*\.md$/.test(file))

/** A line of a page that is prose: not a table row, not code, not one long link. */
const proseOf = (file) => {
  let inCode = false
  return read(file).map((line, index) => ({ line, number: index + 1 })).filter(({ line }) => {
    if (/^\s*```/.test(line)) {
      inCode = !inCode
      return false
    }
    return !inCode && !/^\s*\|/.test(line)
  })
}

const commentsOf = (file) =>
  read(file).map((line, index) => ({ line, number: index + 1 })).filter(({ line }) => isComment(line))

const violations = []
const report = (file, number, what) => violations.push(`${file}:${number}: ${what}`)

for (const file of files) {
  const prose = isPage(file) ? proseOf(file) : isSource(file) && /^(src|test|examples|scripts|bench)\//.test(file) ? commentsOf(file) : []
  for (const { line, number } of prose) {
    // A URL cannot be broken.
    if (line.length > MAX_PROSE_COLUMNS && !/https?:\/\/\S{40,}/.test(line)) report(file, number, `${line.length} columns`)
  }
  if (file === "scripts/style.mjs") continue
  const worded = isPage(file) || (isSource(file) && /^(src|examples|test)\//.test(file)) ? read(file) : []
  worded.forEach((line, index) => {
    // The name of a Unix account and a variable are not words of a sentence.
    if (line.includes('"nobody"') || /\bnoBody\b/.test(line)) return
    const word = AVOIDED.exec(line)?.[0]
    if (word !== undefined) report(file, index + 1, `"${word}": name who does what, in an active sentence`)
  })
  if (/^src\/.*\.ts$/.test(file)) {
    const lines = read(file).length - 1
    if (lines > MAX_FILE_LINES) report(file, 1, `${lines} lines: perhaps two concepts`)
  }
}

const code = files.filter((file) => /^src\/.*\.ts$/.test(file)).flatMap(read)
  .filter((line) => line.trim() !== "" && !isComment(line)).length
for (const violation of violations) console.log(violation)
console.log(`${code} lines of code in src without comments and blank lines; ${violations.length} violations of the style`)
if (process.argv.includes("--check") && violations.length > 0) process.exit(1)
