/** What Node prints when an optional peer is missing, and where docs/troubleshooting.md explains it. */
import { execFile } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { file } from "../support/shownExamples.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

const { exports, peerDependenciesMeta } = JSON.parse(file("package.json")) as {
  readonly exports: Readonly<Record<string, unknown>>
  readonly peerDependenciesMeta: Readonly<Record<string, unknown>>
}

/** Entry points that cannot be loaded without an optional peer. */
const ENTRIES = ["redis", "sql", "persistence", "udap", "testing-udap"]

/** A project with this package and all its dependencies, and without the optional peers. */
const project = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "without-peers-"))
    const packages = readdirSync(join(root, "node_modules")).flatMap((name) =>
      name.startsWith("@") ? readdirSync(join(root, "node_modules", name)).map((inner) => `${name}/${inner}`) : [name]
    )
    for (const name of packages.filter((name) => !name.startsWith(".") && !(name in peerDependenciesMeta))) {
      const link = join(folder, "node_modules", name)
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(join(root, "node_modules", name), link)
    }
    const own = join(folder, "node_modules", "effect-safire")
    mkdirSync(own)
    // Copies, because Node looks for packages from the real path of a module.
    for (const name of ["package.json", "dist"]) cpSync(join(root, name), join(own, name), { recursive: true })
    return folder
  }),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const program = `const results = {}
for (const entry of ${JSON.stringify(ENTRIES)}) {
  results[entry] = await import("effect-safire/" + entry).then(() => "loaded", (error) => error.message)
}
const { Cause, Effect, Exit, Layer } = await import("effect")
const { NodeTransport } = await import("effect-safire/node")
for (const [name, layer] of [["undici", NodeTransport.layer()], ["ipaddr.js", NodeTransport.layerGuarded()]]) {
  const exit = await Effect.runPromiseExit(Effect.scoped(Layer.build(layer)))
  results[name] = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "built"
}
console.log(JSON.stringify(results))`

describe("optional peers", () => {
  it.scopedLive.skipIf(!existsSync(join(root, "dist/index.js")))(
    "Node's message about a missing one has the name that docs/troubleshooting.md explains for this entry point",
    () =>
      Effect.gen(function*() {
        const cwd = yield* project
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { cwd })
        )
        const messages = JSON.parse(stdout) as Readonly<Record<string, string>>
        const page = file("docs/troubleshooting.md")
        assert.include(page, "| `Cannot find package '<name>' imported from …/effect-safire/dist/…` |")
        const rows = page.split("\n").filter((line) => line.startsWith("|"))
        for (const entry of ENTRIES) {
          assert.property(exports, `./${entry}`)
          const message = messages[entry] ?? ""
          const [, name] = /^Cannot find package '([^']+)' imported from .*effect-safire\/dist\//.exec(message) ?? []
          assert.isDefined(name, `${entry}: ${message}`)
          const row = rows.find((row) => row.includes(`\`${name}\``) && row.includes(`\`effect-safire/${entry}\``))
          assert.match(row ?? "", /npm install /, `${entry}: ${message}`)
        }
        const needs = "needs an optional package that is not installed; run: npm install"
        assert.include(messages["undici"], `NodeTransport ${needs} undici@7`)
        assert.include(messages["ipaddr.js"], `The address guard ${needs} ipaddr.js`)
      }),
    60_000
  )
})
