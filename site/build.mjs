/**
 * Builds the documentation site into `site/dist`: the pages of docs/, the programs that they link to, and the API
 * reference. It needs no network. Links that lead nowhere make it fail.
 *
 *   node site/build.mjs            the whole site
 *   node site/build.mjs --no-api   without the API reference, for a quick look
 *   node site/build.mjs --strict   fails if a public symbol has no description, or a type of a signature is not public
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vitepress"
import * as Api from "./api.mjs"

const site = fileURLToPath(new URL(".", import.meta.url))
const root = join(site, "..")
const content = join(site, "content")
const withApi = !process.argv.includes("--no-api")

const write = (path, text) => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** Files outside of docs/ that pages link to; each becomes a page. */
const linked = new Set()

/** A link of a page in docs/ or at the root, as a link within the site. */
const rewrite = (page, link) => {
  const [path = "", fragment] = link.split("#")
  const target = relative(root, join(root, dirname(page), path))
  const hash = fragment === undefined ? "" : `#${fragment}`
  if (target.startsWith("docs/")) return `/${target.slice("docs/".length)}${hash}`
  if (target === "README.md") return `/${hash}`
  if (!existsSync(join(root, target))) throw new Error(`${page} links to ${link}, which does not exist`)
  linked.add(target)
  return `/source/${target.replace(/\.md$/, "")}.md${hash}`
}

const convert = (page) =>
  readFileSync(join(root, page), "utf8")
    // Comments name the file of a program; the site escapes HTML.
    .replaceAll(/^<!-- (examples\/\S+) -->$/gm, (_, path) => `[${path}](${rewrite("README.md", path)}):`)
    .replaceAll(/^<!--[\s\S]*?-->$/gm, "")
    .replaceAll(/(\]\()(?![a-z]+:|#|\/)([^)\s]+)(\))/g, (_, before, link, after) => `${before}${rewrite(page, link)}${after}`)

const copyLinked = () => {
  const done = new Set()
  for (let pending = [...linked]; pending.length > 0; pending = [...linked].filter((path) => !done.has(path))) {
    for (const path of pending) {
      done.add(path)
      const source = join(root, path)
      const target = join(content, "source", `${path.replace(/\.md$/, "")}.md`)
      if (statSync(source).isDirectory()) {
        const files = readdirSync(source).filter((name) => statSync(join(source, name)).isFile())
        write(target, `# ${path}\n\n${files.map((name) => `- [${name}](${rewrite("README.md", join(path, name))})`).join("\n")}\n`)
      } else if (path.endsWith(".md")) write(target, convert(path))
      else {
        const language = /\.(ts|tsx|mjs|json|css|html)$/.exec(path)?.[1] ?? "text"
        write(target, `---\noutline: false\n---\n\n# ${path}\n\n\`\`\`${language}\n${readFileSync(source, "utf8").trimEnd()}\n\`\`\`\n`)
      }
    }
  }
}

rmSync(content, { recursive: true, force: true })
for (const name of readdirSync(join(root, "docs"))) {
  if (name.endsWith(".md")) write(join(content, name), convert(`docs/${name}`))
}
cpSync(join(root, "docs/images"), join(content, "images"), { recursive: true })
cpSync(join(site, "home.md"), join(content, "index.md"))
for (const path of ["CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "examples/README.md"]) linked.add(path)
copyLinked()

if (withApi) {
  const problems = await Api.build(join(content, "api"))
  if (problems.length > 0) {
    console.error(`${problems.join("\n")}\n${problems.length} problems of the API reference`)
    if (process.argv.includes("--strict")) process.exitCode = 1
  }
} else write(join(content, "api/index.md"), "# API reference\n\nBuilt without it.\n")

await build(site)
console.log("The site is in site/dist: npx vitepress preview site")
