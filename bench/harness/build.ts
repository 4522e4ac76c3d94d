/**
 * Builds the library as it is published, one JavaScript file for each module, and each contender as one file that
 * imports those.
 */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import type { Plugin } from "esbuild"
import { build } from "esbuild"

const root = new URL("../../", import.meta.url)

export const at = (path: string): string => fileURLToPath(new URL(path, root))

/** Below `node_modules`: not linted, and imports are found. */
const output = "node_modules/.cache/effect-safire-bench"

const files = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name}`)

/**
 * Resolves `effect-safire` and its paths to the built files; other imports are resolved as usual.
 */
const ourselves: Plugin = {
  name: "effect-safire",
  setup: ({ onResolve }) => {
    const lib = (path: string) => ({ path: at(`${output}/lib/${path}`), external: true })
    onResolve({ filter: /^effect-safire$/ }, () => lib("index.js"))
    onResolve({ filter: /^effect-safire\/\w+$/ }, ({ path }) => lib(`${path.split("/")[1]}/index.js`))
    onResolve({ filter: /^\.\.\/\.\.\/src\// }, ({ path }) => lib(path.slice("../../src/".length)))
  }
}

const common = { format: "esm", target: "es2022", logLevel: "warning", tsconfig: at("tsconfig.json") } as const

/** The path of a built module of a contender or a process; `.mjs` is not built. */
export const built = (path: string): string =>
  path.endsWith(".mjs") ? at(`bench/${path}`) : at(`${output}/bench/${path}.js`)

export const all = async (source: string): Promise<void> => {
  await rm(at(output), { recursive: true, force: true })
  await mkdir(at(output), { recursive: true })
  // Node does not search for package.json above a folder with the name node_modules.
  await writeFile(at(`${output}/package.json`), JSON.stringify({ type: "module" }))
  await build({ ...common, entryPoints: [...await files(source)], outdir: at(`${output}/lib`), outbase: source })
  await build({
    ...common,
    entryPoints: [
      ...await files(at("bench/contenders")),
      ...await files(at("bench/startups")),
      at("bench/processes/bulk.ts"),
      at("bench/processes/bulkServer.ts"),
      at("bench/processes/worker.ts"),
      at("bench/processes/heap.ts")
    ],
    bundle: true,
    platform: "node",
    packages: "external",
    plugins: [ourselves],
    outdir: at(`${output}/bench`),
    outbase: at("bench")
  })
}
