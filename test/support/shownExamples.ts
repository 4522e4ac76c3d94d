/**
 * Documents show programs that are compiled and run: each block of TypeScript equals a file of `examples/`.
 */
import { readFileSync } from "node:fs"
import { assert } from "@effect/vitest"

export const file = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

/** Each `ts` block has a comment above it with its file: `<!-- examples/readme/app.ts -->`. */
export const assertShowsExamples = (document: string, atLeast: number): void => {
  const shown = [...document.matchAll(/<!-- (examples\/\S+) -->\n\n```ts\n([\s\S]*?)```/g)]
  assert.isAtLeast(shown.length, atLeast)
  for (const [, path = "", code = ""] of shown) assert.strictEqual(code.trim(), file(path).trim(), path)
  assert.strictEqual(document.match(/```ts/g)?.length, shown.length)
}

/** `folder` is the folder of the document, relative to the root. */
export const assertLinksExist = (document: string, folder: string): void => {
  for (const [, path = ""] of document.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
    assert.isNotEmpty(file(new URL(path, `file:///${folder}`).pathname.slice(1)), path)
  }
}
