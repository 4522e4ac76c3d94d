/**
 * Makes the published modules from those that tsc compiles. Node takes longer to find, open and link many small files
 * than to run them: therefore one file has all that a launch needs, and a second one all that a server-side app needs
 * beside it. The files of public paths export from them, so that bundlers still leave out what an app does not use.
 *
 *   node scripts/bundle.mjs        from .tsbuildinfo/src to dist, where tsc has written the declarations
 */
import { existsSync, readFileSync } from "node:fs"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join, relative, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { rollup } from "rollup"
import { annotate } from "./annotate-pure.mjs"

/** A chunk has these modules and all that they import, without those of the chunks before it. */
const CHUNKS = {
  launch: ["smart/SmartClient", "client/ClientAuthentication"],
  openId: ["smart/internal/verifyIdentity"],
  app: ["app/SmartApp", "session/BackendServices"]
}

/** The chunk that a launch loads on demand. */
const ON_DEMAND = "chunks/openId.js"

/** An index has namespaces only. Bundlers look into them if they are files, and not if they are objects in a chunk. */
const isIndex = (name) => /\bindex$/.test(name)

const isExternal = (id) => /^[^./]/.test(id)

/** The modules of the public paths in package.json, as paths without `.js`. */
export const publicModules = (manifest) =>
  Object.values(JSON.parse(readFileSync(manifest, "utf8")).exports).flatMap(({ default: path }) =>
    path === undefined ? [] : [path.replace(/^\.\/dist\/|\.js$/g, "")]
  )

/** The chunk of each module. */
const chunksBy = (getModuleInfo, idOf) => {
  const chunks = new Map()
  for (const [chunk, first] of Object.entries(CHUNKS)) {
    const found = new Set(first.map(idOf))
    // The set grows while it is read.
    for (const id of found) {
      if (isExternal(id) || chunks.has(id)) continue
      chunks.set(id, chunk)
      for (const imported of getModuleInfo(id).importedIds) found.add(imported)
    }
  }
  return chunks
}

/** What tsc or esbuild compiled, with its source map. */
const compiled = {
  name: "compiled modules",
  load: async (path) => ({
    code: annotate(await readFile(path, "utf8")),
    map: existsSync(`${path}.map`) ? await readFile(`${path}.map`, "utf8") : null
  })
}

/**
 * A file for each public module, for each module that an index exports from, and for each that is imported on demand:
 * an app that needs one of these does not load the others.
 */
const files = (modules, indexes, nameOf) => {
  const emitted = new Set()
  const emit = (context, id) => {
    if (isExternal(id) || emitted.has(id)) return
    emitted.add(id)
    context.emitFile({ type: "chunk", id, fileName: `${nameOf(id)}.js` })
  }
  return {
    name: "files",
    async buildStart() {
      for (const id of modules) emit(this, id)
      for (const id of indexes) {
        const { importedIds } = await this.load({ id, resolveDependencies: true })
        for (const imported of importedIds) emit(this, imported)
      }
    },
    moduleParsed({ dynamicallyImportedIds }) {
      for (const id of dynamicallyImportedIds) emit(this, id)
    },
    // Rollup writes an empty chunk for modules that only export from a package.
    generateBundle(_, bundle) {
      for (const [name, { exports, isEntry }] of Object.entries(bundle)) {
        if (isEntry === false && exports.length === 0) for (const path of [name, `${name}.map`]) delete bundle[path]
      }
    }
  }
}

/**
 * A public module in the chunk that is loaded on demand declares what it exports. If it exported from the chunk,
 * esbuild would add the chunk to the entry of every app that imports the index.
 */
const declarations = ({ source, specifiers }) => {
  const names = specifiers.map(({ exported, local }) => [local.name, exported.name])
  return [
    `import { ${names.map(([local, name]) => `${local} as ${name}$`).join(", ")} } from ${source.raw};`,
    ...names.map(([, name]) => `export const ${name} = ${name}$;`)
  ].join("\n")
}

const statements = {
  name: "statements",
  renderChunk(code, { imports, moduleIds }) {
    const isOnDemand = moduleIds.length === 0 && imports.includes(ON_DEMAND)
    const rendered = this.parse(code).body.reduceRight((text, statement) => {
      const { end, source, specifiers, start, type } = statement
      const isReplaced = type === "ImportDeclaration"
        // For side effects, which no module has: esbuild warns of it. Its line stays, for the source map.
        ? specifiers.length === 0
        : isOnDemand && type === "ExportNamedDeclaration" && source?.value.endsWith(ON_DEMAND) === true
      if (!isReplaced) return text
      return `${text.slice(0, start)}${specifiers.length === 0 ? "" : declarations(statement)}${text.slice(end)}`
    }, code)
    return { code: rendered, map: null }
  }
}

/** Writes the modules `names` of the folder `from` to the same paths in `to`, and the chunks that they share. */
export const bundle = async (names, from, to) => {
  const idOf = (name) => resolve(from, `${name}.js`)
  const nameOf = (id) => relative(from, id).slice(0, -".js".length)
  const indexes = names.filter(isIndex)
  const built = await rollup({
    input: [],
    external: isExternal,
    treeshake: { moduleSideEffects: false },
    preserveEntrySignatures: "strict",
    onwarn: ({ message }) => {
      throw new Error(message)
    },
    plugins: [compiled, files(names.filter((name) => !isIndex(name)).map(idOf), indexes.map(idOf), nameOf), statements]
  })
  let chunks
  await built.write({
    dir: to,
    format: "esm",
    sourcemap: true,
    sourcemapExcludeSources: true,
    hoistTransitiveImports: false,
    chunkFileNames: "chunks/[name].js",
    manualChunks: (id, { getModuleInfo }) => {
      chunks ??= chunksBy(getModuleInfo, idOf)
      return chunks.get(id)
    }
  })
  for (const index of indexes) {
    const text = await readFile(idOf(index), "utf8")
    await writeFile(join(to, `${index}.js`), text.replace(/^\/\/# sourceMappingURL=.*\n?/m, ""))
  }
}

const run = async () => {
  for (const path of await readdir("dist", { recursive: true })) {
    if (/\.js(?:\.map)?$/.test(path)) await rm(join("dist", path))
  }
  await bundle(publicModules("package.json"), ".tsbuildinfo/src", "dist")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await run()
