/** The pages of the documentation: README, docs/ and examples/README.md. */
import { existsSync, readdirSync } from "node:fs"
import { file } from "./shownExamples.js"

export interface Page {
  /** Relative to the root of the checkout. */
  readonly path: string
  readonly text: string
}

/** The text without blocks of code, in which `](` is not a link. */
const withoutCode = (text: string): string => text.replace(/^( *)```[\s\S]*?^\1```/gm, "").replace(/`[^`\n]*`/g, "")

export const pages: ReadonlyArray<Page> = [
  "README.md",
  "CHANGELOG.md",
  "SECURITY.md",
  "CONTRIBUTING.md",
  "examples/README.md",
  ...readdirSync(new URL("../../docs", import.meta.url)).filter((name) => name.endsWith(".md")).map((name) =>
    `docs/${name}`
  )
].map((path) => ({ path, text: file(path) }))

/** The fragment that GitHub and VitePress give to a heading. */
const slug = (heading: string): string =>
  heading.trim().toLowerCase().replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-")

const anchors = ({ text }: Page): ReadonlySet<string> =>
  new Set([...text.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => slug(heading)))

/** Links and pictures whose file or heading does not exist. */
export const deadLinks = (page: Page): ReadonlyArray<string> =>
  [...withoutCode(page.text).matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
    const url = new URL(link, `file:///${page.path}`)
    const path = decodeURIComponent(url.pathname.slice(1))
    if (!existsSync(new URL(`../../${path}`, import.meta.url))) return [`${page.path}: ${link}`]
    const fragment = url.hash.slice(1)
    if (fragment === "") return []
    const target = pages.find((other) => other.path === path)
    return target !== undefined && anchors(target).has(fragment) ? [] : [`${page.path}: ${link}`]
  })
