/**
 * Documents show programs that are compiled and run: each block of TypeScript is a file of `examples/`, to the letter.
 */
import { readFileSync } from "node:fs"
import { assert } from "@effect/vitest"

export const file = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

/** Every `ts` block has a comment above it that says which file it is: `<!-- examples/readme/app.ts -->`. */
export const assertShowsExamples = (document: string, atLeast: number): void => {
  const shown = [...document.matchAll(/<!-- (examples\/\S+) -->\n\n```ts\n([\s\S]*?)```/g)]
  assert.isAtLeast(shown.length, atLeast)
  for (const [, path = "", code = ""] of shown) assert.strictEqual(code.trim(), file(path).trim(), path)
  assert.strictEqual(document.match(/```ts/g)?.length, shown.length)
}

/** `folder` is that of the document, relative to the root. */
export const assertLinksExist = (document: string, folder: string): void => {
  for (const [, path = ""] of document.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
    assert.isNotEmpty(file(new URL(path, `file:///${folder}`).pathname.slice(1)), path)
  }
}
