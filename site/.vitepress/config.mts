import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitepress"

const content = (path: string) => fileURLToPath(new URL(`../content/${path}`, import.meta.url))

const titleOf = (page: string): string => /^# (.+)$/m.exec(readFileSync(content(`${page}.md`), "utf8"))?.[1] ?? page

/** Pages that exist, by their own titles. */
const group = (text: string, pages: ReadonlyArray<string>) => ({
  text,
  items: pages.filter((page) => existsSync(content(`${page}.md`))).map((page) => ({
    text: titleOf(page).replaceAll("`", ""),
    link: `/${page}`
  }))
})

const groups = [
  group("Start", ["getting-started", "effect-4", "demo", "doctor"]),
  group("Apps", ["web", "frameworks", "browser", "react", "backend", "testing"]),
  group("Tasks", ["keys", "servers", "sessions", "retries", "observability", "tokens", "fhir", "bulk", "udap"]),
  group("Moving", ["from-safire", "moving"]),
  group("Problems", ["ehrs", "troubleshooting", "errors", "warnings"]),
  group("Reference", ["modules", "versions", "conformance", "security", "architecture", "performance"])
]
const listed = new Set(groups.flatMap(({ items }) => items.map(({ link }) => link.slice(1))))
const others = readdirSync(content(".")).filter((name) => name.endsWith(".md") && name !== "index.md")
  .map((name) => name.slice(0, -3)).filter((name) => !listed.has(name))

/** The API reference: the modules of the core, then those of each other entry point. */
const apiPages = (folder: string) =>
  readdirSync(content(`api/${folder}`)).filter((file) => file.endsWith(".md") && file !== "index.md").map((file) => ({
    text: file.slice(0, -3),
    link: `/api/${folder}${file.slice(0, -3)}`
  }))
const api = existsSync(content("api"))
  ? [
    { text: "effect-safire", items: apiPages("") },
    ...readdirSync(content("api"), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => ({
      text: `effect-safire/${name}`,
      collapsed: true,
      items: apiPages(`${name}/`)
    }))
  ]
  : []

export default defineConfig({
  title: "effect-safire",
  description: "SMART on FHIR for Effect",
  lang: "en",
  srcDir: "content",
  outDir: "dist",
  cleanUrls: true,
  metaChunk: true,
  markdown: {
    // Pages come from GitHub Markdown: `<server>` in a sentence is text.
    html: false,
    config: (markdown) => {
      const fence = markdown.renderer.rules.fence
      markdown.renderer.rules.fence = (tokens, index, options, env, self) => {
        const token = tokens[index]
        return token?.info.trim() === "mermaid"
          ? `<Mermaid code="${encodeURIComponent(token.content)}" />`
          : fence?.(tokens, index, options, env, self) ?? ""
      }
      const text = markdown.renderer.rules.text
      // Vue would run `{{ … }}`.
      markdown.renderer.rules.text = (tokens, index, options, env, self) =>
        (text?.(tokens, index, options, env, self) ?? "").replaceAll("{{", "&#123;&#123;")
    }
  },
  themeConfig: {
    search: { provider: "local" },
    nav: [
      { text: "Guides", link: "/getting-started" },
      { text: "API reference", link: "/api/" },
      { text: "Changes", link: "/source/CHANGELOG" }
    ],
    sidebar: {
      "/api/": [{ text: "API reference", link: "/api/" }, ...api],
      "/": [...groups, ...(others.length > 0 ? [group("More", others)] : [])]
    },
    outline: { level: [2, 3] }
  }
})
