/**
 * Makes the published modules from those that tsc compiles. Node takes longer to find, open and link many small files
 * than to run them: therefore one file has all that a launch needs, and a second one all that a server-side app needs
 * beside it. The files of public paths export from them, so that bundlers still leave out what an app does not use.
 *
 *   node scripts/bundle.mjs        from .tsbuildinfo/src to dist, where tsc has written the declarations
 */
import { existsSync, readFileSync } from "node:fs"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join, relative, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { rollup } from "rollup"
import { annotate } from "./annotate-pure.mjs"

/** A chunk has these modules and all that they import, without those of the chunk before it. */
const CHUNKS = {
  launch: ["smart/SmartClient", "client/ClientAuthentication"],
  app: ["app/SmartApp", "session/BackendServices"]
}

const matches = (pattern) => (path) =>
  [...readFileSync(path, "utf8").matchAll(pattern)].map(([, imported]) => resolve(dirname(path), imported))

const importsOf = matches(/^(?:import|export)\b[^"']*? from "(\..+?)";?$/gm)

const importsOnDemand = matches(/\bimport\("(\..+?)"\)/g)

/** The modules with all that they import at once. */
const closure = (paths) => {
  const found = new Set(paths)
  // The set grows while it is read.
  for (const path of found) for (const imported of importsOf(path)) found.add(imported)
  return found
}

/** An index has namespaces only. Bundlers look into them if they are files, and not if they are objects in a chunk. */
const isIndex = (path) => /\bindex\.js$/.test(path)

/** The modules of the public paths in package.json, as paths without `.js`. */
export const publicModules = (manifest) =>
  Object.values(JSON.parse(readFileSync(manifest, "utf8")).exports).flatMap(({ default: path }) =>
    path === undefined ? [] : [path.replace(/^\.\/dist\/|\.js$/g, "")]
  )

/** Writes the modules `names` of the folder `from` to the same paths in `to`, and the chunks that they share. */
export const bundle = async (names, from, to) => {
  const at = (name) => resolve(from, `${name}.js`)
  const modules = names.map(at)
  const indexes = modules.filter(isIndex)
  // What is imported on demand is a file of its own: an app that needs one of them does not load the others.
  const entries = new Set([
    ...modules.filter((path) => !isIndex(path)),
    ...indexes.flatMap(importsOf),
    ...[...closure(modules)].flatMap(importsOnDemand)
  ])
  const chunks = new Map()
  for (const [chunk, first] of Object.entries(CHUNKS)) {
    for (const path of closure(first.map(at))) if (!chunks.has(path)) chunks.set(path, chunk)
  }
  const built = await rollup({
    input: Object.fromEntries([...entries].map((path) => [relative(from, path).slice(0, -".js".length), path])),
    external: (id) => /^[^./]/.test(id),
    treeshake: { moduleSideEffects: false },
    preserveEntrySignatures: "strict",
    onwarn: ({ message }) => {
      throw new Error(message)
    },
    plugins: [{
      name: "marks and source maps",
      load: async (path) => ({
        code: annotate(await readFile(path, "utf8")),
        map: existsSync(`${path}.map`) ? await readFile(`${path}.map`, "utf8") : null
      }),
      // These imports are for side effects, which no module has: esbuild warns of them. The lines stay for the map.
      renderChunk: (code) => ({ code: code.replace(/^import '[^']+';$/gm, ""), map: null }),
      // Rollup writes an empty chunk for modules that only export from a package.
      generateBundle: (_, files) => {
        for (const [name, { exports, isEntry }] of Object.entries(files)) {
          if (isEntry === false && exports.length === 0) for (const path of [name, `${name}.map`]) delete files[path]
        }
      }
    }]
  })
  await built.write({
    dir: to,
    format: "esm",
    sourcemap: true,
    sourcemapExcludeSources: true,
    hoistTransitiveImports: false,
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[name].js",
    manualChunks: (path) => chunks.get(path)
  })
  for (const path of indexes) {
    const text = await readFile(path, "utf8")
    await writeFile(join(to, relative(from, path)), text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ""))
  }
}

const run = async () => {
  for (const path of await readdir("dist", { recursive: true })) {
    if (/\.js(?:\.map)?$/.test(path)) await rm(join("dist", path))
  }
  await bundle(publicModules("package.json"), ".tsbuildinfo/src", "dist")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await run()
