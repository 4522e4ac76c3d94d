import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { build, type BuildOptions, type Metafile, type Plugin, transform } from "esbuild"

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** By their paths, because plain JavaScript has no types. */
const scripts: ReadonlyArray<string> = [at("scripts/annotate-pure.mjs"), at("scripts/bundle.mjs")]
const { annotate, bundle, publicModules } = Object.assign(
  {},
  ...await Promise.all(scripts.map((it) => import(it)))
) as {
  readonly annotate: (text: string) => string
  readonly bundle: (names: ReadonlyArray<string>, from: string, to: string) => Promise<void>
  readonly publicModules: (manifest: string) => ReadonlyArray<string>
}

/** The sources as the build makes them: compiled, then marked. */
const asBuilt: Plugin = {
  name: "as built",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => ({
      contents: annotate((await transform(await readFile(path, "utf8"), { loader: "ts", target: "es2022" })).code)
    }))
  }
}

const PUBLISHED = at("node_modules/.cache/effect-safire-published")

/** Makes the modules of the package as `npm run build` does, and returns the names of the public ones. */
const publish = Effect.runSync(Effect.cached(Effect.promise(async () => {
  const names = publicModules(at("package.json"))
  const modules = join(PUBLISHED, "modules")
  const sources = (await readdir(at("src"), { recursive: true })).filter((path) => /^(?!cli\/).*\.ts$/.test(path))
  await rm(PUBLISHED, { recursive: true, force: true })
  await mkdir(PUBLISHED, { recursive: true })
  // Node does not search for package.json above a folder with the name node_modules.
  await writeFile(join(PUBLISHED, "package.json"), JSON.stringify({ type: "module", sideEffects: false }))
  await build({
    entryPoints: sources.map((path) => at(`src/${path}`)),
    outdir: modules,
    outbase: at("src"),
    format: "esm",
    target: "es2022"
  })
  await bundle(names, modules, join(PUBLISHED, "dist"))
  return names
})))

const EXTERNAL = ["effect", "effect/*", "@effect/*"]

const bundled = (contents: string, options: Pick<BuildOptions, "external" | "splitting">, resolveDir = at("src")) =>
  Effect.promise(() =>
    build({
      stdin: { contents, resolveDir },
      bundle: true,
      outdir: "out",
      write: false,
      metafile: true,
      minify: true,
      format: "esm",
      platform: "browser",
      ...options,
      plugins: [asBuilt],
      logLevel: "silent"
    })
  )

/** The modules of which something is left in an app's bundle. */
const modulesIn = (contents: string) =>
  Effect.map(
    bundled(contents, { external: [...EXTERNAL, "jose"] }),
    ({ metafile }) =>
      Object.values(metafile.outputs).flatMap(({ inputs }) =>
        Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => bytesInOutput > 0 ? [path] : [])
      )
  )

/** The outputs that a page loads at once: the entry and its static imports. */
const loadedAtOnce = (outputs: Metafile["outputs"]): ReadonlySet<string> => {
  const paths = new Set(Object.keys(outputs).filter((path) => /\bstdin\b/.test(path)))
  for (const path of paths) {
    for (const { external, kind, path: imported } of outputs[path]?.imports ?? []) {
      if (kind === "import-statement" && external !== true) paths.add(imported)
    }
  }
  return paths
}

/** The library and jose in what a page loads at once, minified, gzip. */
const entrySize = (contents: string, options: Pick<BuildOptions, "external" | "splitting"> = { splitting: true }) =>
  Effect.map(
    Effect.zipRight(publish, bundled(contents, { external: EXTERNAL, ...options }, join(PUBLISHED, "dist"))),
    ({ metafile, outputFiles }) => {
      const paths = [...loadedAtOnce(metafile.outputs)]
      return outputFiles.filter(({ path }) => paths.some((one) => path.endsWith(one)))
        .reduce((total, { contents }) => total + gzipSync(contents, { level: 9 }).byteLength, 0)
    }
  )

const launchWith = (imports: string) => `
  ${imports}
  export const live = [
    SmartClient.layer({ fhirBaseUrl: "https://ehr.example.org/fhir", clientId: "app" }),
    ClientAuthentication.layerPublic
  ]
`
const BY_MODULE = `
  import * as ClientAuthentication from "./client/ClientAuthentication.js"
  import * as SmartClient from "./smart/SmartClient.js"
`
const THROUGH_INDEX = `import { ClientAuthentication, SmartClient } from "./index.js"`

describe("the built modules in an app's bundle", () => {
  it.effect("a public client does not contain the signing code of a confidential client", () =>
    Effect.gen(function*() {
      const modules = yield* modulesIn(launchWith(BY_MODULE))
      assert.include(modules, "src/smart/SmartClient.ts")
      const unused = modules.filter((path) => /Sign|algorithms|PublicJwk|ClientAssertion|mixUp/.test(path))
      assert.deepStrictEqual(unused, [])
    }), 30_000)

  it.effect(
    "the launch of a public client stays within its size, also through the index",
    () =>
      Effect.gen(function*() {
        const byModule = yield* entrySize(launchWith(BY_MODULE))
        const throughIndex = yield* entrySize(launchWith(THROUGH_INDEX))
        assert.isBelow(byModule, 29_000)
        assert.isBelow(throughIndex - byModule, 2_000)
      }),
    60_000
  )

  it.effect(
    "a page that uses one module contains little of the file that it shares with others",
    () =>
      Effect.gen(function*() {
        const external = [...EXTERNAL, "jose", "*/openId.js"]
        const sizeOf = (use: string) => entrySize(`import * as M from "./${use}.js"\nexport default M`, { external })
        assert.isBelow(yield* sizeOf("launch/Pkce"), 1_500)
        assert.isBelow(yield* sizeOf("launch/AuthorizationPost"), 1_500)
        assert.isBelow(yield* sizeOf("fhir/FhirSearch"), 2_500)
      }),
    60_000
  )

  it.effect(
    "the code of jose is in chunks that are loaded on demand",
    () =>
      Effect.gen(function*() {
        const { metafile } = yield* bundled(launchWith(BY_MODULE), { splitting: true })
        const atOnce = loadedAtOnce(metafile.outputs)
        const withJose = Object.entries(metafile.outputs).flatMap(([path, { inputs }]) =>
          Object.keys(inputs).some((input) => input.includes("node_modules/jose/")) ? [path] : []
        )
        assert.isNotEmpty(withJose)
        assert.deepStrictEqual(withJose.filter((path) => atOnce.has(path)), [])
      }),
    30_000
  )

  it.effect("`SmartApp.layer` does not contain signing code or backend services", () =>
    Effect.gen(function*() {
      const modules = yield* modulesIn(`
        import * as SmartApp from "./app/SmartApp.js"
        export const live = SmartApp.layer({ fhirBaseUrl: "https://ehr.example.org/fhir", clientId: "app" })
      `)
      assert.includeMembers(modules, ["src/smart/SmartClient.ts", "src/session/Sessions.ts", "src/fhir/FhirClient.ts"])
      const unused = modules.filter((path) =>
        /Sign|algorithms|PublicJwk|ClientAssertion|BulkExport|openRegistry/.test(path)
      )
      assert.deepStrictEqual(unused, [])
    }), 30_000)

  it.effect("a tag does not contain the code of its layers", () =>
    Effect.gen(function*() {
      const modules = yield* modulesIn(`export { Sessions } from "./session/Sessions.js"`)
      assert.deepStrictEqual(modules.filter((path) => path.startsWith("src/")), ["src/session/Sessions.ts"])
    }), 30_000)
})

describe("the published modules", () => {
  it.effect("a public path exports what its module exports", () =>
    Effect.gen(function*() {
      const names = yield* publish
      assert.include(names, "smart/SmartClient")
      for (const name of names) {
        const [published, source] = yield* Effect.promise(() =>
          Promise.all([import(join(PUBLISHED, "dist", `${name}.js`)), import(at(`src/${name}.ts`))])
        )
        assert.deepStrictEqual(Object.keys(published).sort(), Object.keys(source).sort(), name)
      }
    }), 60_000)

  it.effect("a launch loads one file of the library beside its public paths", () =>
    Effect.gen(function*() {
      yield* publish
      const loaded = new Set([join(PUBLISHED, "dist/smart/SmartClient.js")])
      for (const path of loaded) {
        const text = yield* Effect.promise(() => readFile(path, "utf8"))
        for (const [, imported = ""] of text.matchAll(/^(?:import|export) [^'"]*['"](\..+?)['"];$/gm)) {
          loaded.add(join(path, "..", imported))
        }
      }
      assert.deepStrictEqual([...loaded].map((path) => path.slice(PUBLISHED.length)), [
        "/dist/smart/SmartClient.js",
        "/dist/chunks/launch.js"
      ])
    }), 60_000)

  it.effect("what is imported on demand is a file for each use", () =>
    Effect.gen(function*() {
      yield* publish
      for (const name of ["base", "client", "session"]) {
        const path = join(PUBLISHED, `dist/${name}/internal/jose.js`)
        assert.match(yield* Effect.promise(() => readFile(path, "utf8")), /^export \{ \w.* \} from 'jose';/)
      }
    }), 60_000)

  for (const [name, imports] of [["by module", BY_MODULE], ["through the index", THROUGH_INDEX]] as const) {
    it.effect(
      `a launch loads OpenID Connect on demand: ${name}`,
      () =>
        Effect.gen(function*() {
          yield* publish
          const { metafile: { outputs } } = yield* bundled(
            launchWith(imports),
            { external: EXTERNAL, splitting: true },
            join(PUBLISHED, "dist")
          )
          const withOpenId = Object.entries(outputs).flatMap(([path, { inputs }]) =>
            Object.keys(inputs).some((input) => input.endsWith("chunks/openId.js")) ? [path] : []
          )
          const atOnce = loadedAtOnce(outputs)
          assert.isNotEmpty(withOpenId)
          assert.deepStrictEqual(withOpenId.filter((path) => atOnce.has(path)), [])
        }),
      60_000
    )
  }
})

describe("the package without effect-safire/udap", () => {
  it.effect("the other entry points contain no module of it or of pkijs", () =>
    Effect.gen(function*() {
      const entries = [
        "./index.js",
        "./testing/index.js",
        "./web/index.js",
        "./browser/index.js",
        "./persistence/index.js"
      ]
      const modules = yield* modulesIn(entries.map((path, i) => `export * as e${i} from "${path}"`).join("\n"))
      assert.include(modules, "src/smart/SmartClient.ts")
      assert.deepStrictEqual(modules.filter((path) => /udap|pki|asn1/i.test(path)), [])
    }), 30_000)
})

describe("annotate-pure", () => {
  it("marks what a module calls when it is loaded, and nothing that runs later", () => {
    const text = [
      `export class A extends Tag("a")() { b = later(); static c = now() }`,
      `export const d = pipe(e(), () => later()), f = new G(h())`,
      `export const i = () => ({ ...later() }), j = { ...k, l: m() }`,
      `export class N extends O({ p: [...q] })() {}`,
      `effectful()`
    ].join("\n")
    const marked = [
      `export class A extends /*#__PURE__*/ Tag("a")() { b = later(); static c = /*#__PURE__*/ now() }`,
      `export const d = /*#__PURE__*/ pipe(/*#__PURE__*/ e(), () => later()), f = /*#__PURE__*/ new G(/*#__PURE__*/ h())`,
      `export const i = () => ({ ...later() }), j = /*#__PURE__*/ (() => ({ ...k, l: m() }))()`,
      `export class N extends /*#__PURE__*/ O({ p: /*#__PURE__*/ (() => ([...q]))() })() {}`,
      `effectful()`
    ].join("\n")
    assert.strictEqual(annotate(text), marked)
    assert.strictEqual(annotate(marked), marked)
  })
})
