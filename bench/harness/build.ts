/**
 * Builds the library as it is published, and each contender as one file that imports it.
 */
import { existsSync } from "node:fs"
import { mkdir, readdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Plugin } from "esbuild"
import { build } from "esbuild"

const root = new URL("../../", import.meta.url)

export const at = (path: string): string => fileURLToPath(new URL(path, root))

/** Below `node_modules`: not linted, and imports are found. */
const output = "node_modules/.cache/effect-safire-bench"

/** The folder of the built library. */
export const library: string = at(`${output}/lib`)

/** The library compiled file by file, before it is bundled. */
export const modules: string = at(`${output}/modules`)

/** Modules without a public path that contenders import, and the floor of the bundle. */
const INTERNAL = [
  "session/internal/sessionEntry",
  "testing/internal/pki",
  "base/FailOnDefect",
  "base/HttpStatus",
  "base/JsonReader",
  "base/MediaType",
  "base/SchemaFields",
  "base/Url",
  "http/OAuthError",
  "http/ReceivedResponse",
  "http/Redaction",
  "http/TransportFailure"
]

/** By its path, because plain JavaScript has no types. */
const script: string = at("scripts/bundle.mjs")
const { bundle, publicModules } = (await import(script)) as {
  readonly bundle: (names: ReadonlyArray<string>, from: string, to: string) => Promise<void>
  readonly publicModules: (manifest: string) => ReadonlyArray<string>
}

const files = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts")).map((name) => `${folder}/${name}`)

/**
 * Resolves `effect-safire` and its paths to the built files; other imports are resolved as usual.
 */
const ourselves: Plugin = {
  name: "effect-safire",
  setup: ({ onResolve }) => {
    const lib = (path: string) => ({ path: join(library, path), external: true })
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
  // Node does not search for package.json above a folder with the name node_modules. As in package.json of the library.
  await writeFile(at(`${output}/package.json`), JSON.stringify({ type: "module", sideEffects: false }))
  await build({ ...common, entryPoints: [...await files(source)], outdir: modules, outbase: source })
  const internal = INTERNAL.filter((name) => existsSync(join(source, `${name}.ts`)))
  await bundle([...publicModules(join(source, "../package.json")), ...internal], modules, library)
  await build({
    ...common,
    entryPoints: [
      ...await files(at("bench/contenders")),
      ...await files(at("bench/startups")),
      at("bench/processes/bulk.ts"),
      at("bench/processes/bulkServer.ts"),
      at("bench/processes/worker.ts"),
      at("bench/processes/heap.ts"),
      at("bench/processes/parts.ts")
    ],
    bundle: true,
    platform: "node",
    packages: "external",
    plugins: [ourselves],
    outdir: at(`${output}/bench`),
    outbase: at("bench")
  })
}
