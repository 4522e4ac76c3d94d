// Writes the public paths of the package into package.json: one for each line of src/index.ts, and one for each
// folder with its own index. Paths are flat, so that a file can move without a change for users. `--check` only
// compares.
import { existsSync, readFileSync, writeFileSync } from "node:fs"

const LEAVES = ["testing", "udap", "node", "browser", "redis", "sql", "persistence", "web"]

const target = (path) => ({ types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` })
const index = readFileSync("src/index.ts", "utf8")
const modules = [...index.matchAll(/^export (?:\* as (\w+)|\{ (\w+) \}) from "\.\/(.+?)\.js"$/gm)]
  .map(([, namespace, name, path]) => [`./${namespace ?? name}`, target(path)])
const leaves = LEAVES.filter((leaf) => existsSync(`src/${leaf}/index.ts`)).map((leaf) => [`./${leaf}`, target(`${leaf}/index`)])
// A part of the sandbox that needs an optional peer.
leaves.push(["./testing-udap", target("testing/udap")])
const exports = Object.fromEntries([
  [".", target("index")],
  ...[...modules, ...leaves].sort(([a], [b]) => a < b ? -1 : 1),
  ["./package.json", "./package.json"]
])

const manifest = JSON.parse(readFileSync("package.json", "utf8"))
if (process.argv.includes("--check")) {
  if (JSON.stringify(manifest.exports) !== JSON.stringify(exports)) {
    console.error("package.json's exports are not those of src/index.ts: run `npm run exports`")
    process.exit(1)
  }
} else {
  writeFileSync("package.json", `${JSON.stringify({ ...manifest, exports }, null, 2)}\n`)
}
