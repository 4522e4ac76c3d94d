/**
 * The size that the library adds to a bundle: esbuild, and Rollup as in Vite; minified, gzip. Apps already contain
 * different parts of Effect. Therefore two apps are subtracted: one with the same modules of Effect, and one that uses
 * Effect, platform and Schema as most apps do, `bundles/app.ts`. The apps import module by module
 * (`effect-safire/SmartClient`), as docs/browser.md advises; `index` and `everything` import the index. Chunks that are
 * loaded on demand are in `total` only. `floor` is the launch without the structure of the library.
 */
import { dirname, join, relative, resolve } from "node:path"
import { gzipSync } from "node:zlib"
import { nodeResolve } from "@rollup/plugin-node-resolve"
import type { BuildOptions, Metafile, Plugin } from "esbuild"
import { build, transform } from "esbuild"
import { rollup } from "rollup"
import * as Build from "./build.js"

export type Bundler = "esbuild" | "Rollup"

export interface BundleResult {
  readonly id: string
  readonly title: string
  readonly bundler: Bundler
  /** The entry, with the chunks that it imports at once. */
  readonly gzip: number
  /** With the chunks that it imports on demand. */
  readonly total: number
  /** More than an app with the same modules of Effect: the code of the library, and of jose if it is used. */
  readonly overSameModules: number
  /** More than the app: also the modules of Effect that only the library uses. */
  readonly overApp: number
}

const entries = {
  exchange: "public client: launch and code exchange",
  floor: "the same, assembled by hand",
  index: "the same through the index",
  launch: "public client: launch, code exchange and FHIR reads",
  sessions: "many servers, sessions that renew themselves, FHIR reads",
  everything: "every module of `effect-safire`"
} as const

export type EntryId = keyof typeof entries

/** The path of a module of the library as it is published; `undefined` for other imports. */
const published = (id: string): string | undefined =>
  id === "effect-safire"
    ? join(Build.library, "index.js")
    : id.startsWith("../../src/")
    ? join(Build.library, id.slice("../../src/".length))
    : undefined

const library: Plugin = {
  name: "effect-safire",
  setup: ({ onResolve }) => {
    onResolve({ filter: /^(effect-safire$|\.\.\/\.\.\/src\/)/ }, ({ path: id }) => {
      const path = published(id)
      return path === undefined ? undefined : { path }
    })
  }
}

const zipped = (contents: string | Uint8Array): number => gzipSync(contents, { level: 9 }).byteLength

const bundle = async (what: Pick<BuildOptions, "stdin">) => {
  const { metafile, outputFiles } = await build({
    ...what,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    splitting: true,
    metafile: true,
    write: false,
    logLevel: "warning",
    absWorkingDir: Build.at(""),
    outdir: "out",
    nodePaths: [Build.at("node_modules")],
    plugins: [library]
  })
  const chunks = new Map(
    outputFiles.map(({ contents, path }) => [relative(Build.at(""), path), zipped(contents)])
  )
  const sum = (paths: Iterable<string>) => [...paths].reduce((total, path) => total + (chunks.get(path) ?? 0), 0)
  // The loop also visits the elements that it adds. esbuild also writes chunks that no other chunk imports.
  const first = new Set(
    Object.entries(metafile.outputs).flatMap(([path, { entryPoint }]) => entryPoint === "<stdin>" ? [path] : [])
  )
  for (const path of first) {
    for (const { kind, path: imported } of metafile.outputs[path]?.imports ?? []) {
      if (kind === "import-statement") first.add(imported)
    }
  }
  return { metafile, gzip: sum(first), total: sum(chunks.keys()) }
}

/** The modules of Effect that the library's files in the bundle import. */
const modulesOf = ({ inputs, outputs }: Metafile): ReadonlyArray<string> => {
  const ours = `${relative(Build.at(""), Build.library)}/`
  const found = new Set<string>()
  for (const output of Object.values(outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      if (!path.startsWith(ours) || bytesInOutput === 0) continue
      for (const { original } of inputs[path]?.imports ?? []) {
        if (original !== undefined && /^(effect|@effect\/[^/]+)\//.test(original)) found.add(original)
      }
    }
  }
  return [...found].sort()
}

const entryWith = (modules: ReadonlyArray<string>, entry: string): string =>
  [
    ...modules.map((path, index) => `import * as M${index} from "${path}"`),
    `export const modules = [${modules.map((_, index) => `M${index}`).join(", ")}]`,
    `export * from "./${entry}.js"`
  ].join("\n")

const stdin = (contents: string) => ({
  stdin: { contents, resolveDir: Build.at("bench/bundles"), loader: "ts" as const }
})

const VIRTUAL = Build.at("bench/bundles/entry.ts")

/** By Rollup, which a page is built with that uses Vite. */
const rolled = async (contents: string): Promise<{ readonly gzip: number; readonly total: number }> => {
  const built = await rollup({
    input: VIRTUAL,
    onwarn: () => undefined,
    plugins: [
      {
        name: "effect-safire",
        resolveId: (id, importer) => {
          if (id === VIRTUAL) return id
          const ours = published(id) ??
            (importer?.startsWith(Build.library) === true && id.startsWith(".") ? resolve(dirname(importer), id) : null)
          if (ours !== null) return { id: ours, moduleSideEffects: false }
          return importer?.endsWith(".ts") === true && id.startsWith(".")
            ? resolve(dirname(importer), id.replace(/js$/, "ts"))
            : null
        },
        load: (id) => id === VIRTUAL ? contents : null,
        transform: async (code, id) =>
          id.endsWith(".ts") ? (await transform(code, { loader: "ts", target: "es2022" })).code : null
      },
      nodeResolve({ browser: true, modulePaths: [Build.at("node_modules")] })
    ]
  })
  const chunks = (await built.generate({ format: "esm" })).output.flatMap((one) => one.type === "chunk" ? [one] : [])
  const sizes = new Map<string, number>()
  for (const { code, fileName } of chunks) {
    const { code: minified } = await transform(code, { minify: true, target: "es2022", legalComments: "none" })
    sizes.set(fileName, zipped(minified))
  }
  // The set grows while it is read.
  const first = new Set(chunks.flatMap(({ fileName, isEntry }) => isEntry ? [fileName] : []))
  for (const path of first) {
    for (const imported of chunks.find(({ fileName }) => fileName === path)?.imports ?? []) first.add(imported)
  }
  const sum = (paths: Iterable<string>) => [...paths].reduce((total, path) => total + (sizes.get(path) ?? 0), 0)
  return { gzip: sum(first), total: sum(sizes.keys()) }
}

const bundlers = {
  esbuild: (contents: string) => bundle(stdin(contents)),
  Rollup: rolled
} as const

/**
 * Rollup takes ten times as long: it bundles what has a target, and the floor. esbuild would add to the floor what the
 * library imports on demand, because both are in one published file.
 */
const bundlersOf = (id: EntryId): ReadonlyArray<Bundler> =>
  id === "exchange" || id === "index" ? ["esbuild", "Rollup"] : id === "floor" ? ["Rollup"] : ["esbuild"]

const isEntry = (id: string): id is EntryId => id in entries

/** Of the library that `Build.all` has built. */
export const measure = async (): Promise<ReadonlyArray<BundleResult>> => {
  const results: Array<BundleResult> = []
  const apps = new Map<Bundler, number>()
  for (const id of Object.keys(entries).filter(isEntry)) {
    // The floor has the same modules of Effect as the launch with the library.
    const { metafile } = await bundle(stdin(entryWith([], id === "floor" ? "exchange" : id)))
    const modules = modulesOf(metafile)
    for (const bundler of bundlersOf(id)) {
      const sizeOf = async (shared: ReadonlyArray<string>, entry: string) => bundlers[bundler](entryWith(shared, entry))
      const app = apps.get(bundler) ?? (await sizeOf([], "app")).gzip
      apps.set(bundler, app)
      const whole = await sizeOf([], id)
      const withIt = await sizeOf(modules, id)
      const without = await sizeOf(modules, "app")
      results.push({
        id,
        title: entries[id],
        bundler,
        gzip: whole.gzip,
        total: whole.total,
        overSameModules: withIt.gzip - without.gzip,
        overApp: whole.gzip - app
      })
    }
  }
  return results
}
