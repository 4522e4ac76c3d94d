import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { build, type Plugin, transform } from "esbuild"

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** By its path, because what is plain JavaScript has no types. */
const script: string = at("scripts/annotate-pure.mjs")
const { annotate } = (await import(script)) as { readonly annotate: (text: string) => string }

/** The sources as the build makes them: compiled, then marked. */
const asBuilt: Plugin = {
  name: "as built",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => ({
      contents: annotate((await transform(await readFile(path, "utf8"), { loader: "ts", target: "es2022" })).code)
    }))
  }
}

/** The modules of which something is left in an app's bundle. */
const modulesIn = (contents: string) =>
  Effect.map(
    Effect.promise(() =>
      build({
        stdin: { contents, resolveDir: at("src") },
        bundle: true,
        write: false,
        metafile: true,
        minify: true,
        format: "esm",
        platform: "browser",
        external: ["effect", "effect/*", "@effect/*", "jose"],
        plugins: [asBuilt],
        logLevel: "silent"
      })
    ),
    ({ metafile }) =>
      Object.values(metafile.outputs).flatMap(({ inputs }) =>
        Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => bytesInOutput > 0 ? [path] : [])
      )
  )

describe("the built modules in an app's bundle", () => {
  it.effect("a public client carries no signing code of a confidential one", () =>
    Effect.gen(function*() {
      const modules = yield* modulesIn(`
        import * as ClientAuthentication from "./client/ClientAuthentication.js"
        import * as SmartClient from "./smart/SmartClient.js"
        export const live = [SmartClient.layer({ fhirBaseUrl: "https://ehr.example.org/fhir", clientId: "app" }), ClientAuthentication.layerPublic]
      `)
      assert.include(modules, "src/smart/SmartClient.ts")
      const signing = modules.filter((path) => /Sign|algorithms|PublicJwk|ClientAssertion/.test(path))
      assert.deepStrictEqual(signing, [])
    }), 30_000)

  it.effect(
    "the code of jose that verifies id_tokens is in a chunk that is loaded on demand",
    () =>
      Effect.gen(function*() {
        const { metafile } = yield* Effect.promise(() =>
          build({
            stdin: {
              contents: `
              import * as SmartClient from "./smart/SmartClient.js"
              export const live = SmartClient.layer({ fhirBaseUrl: "https://ehr.example.org/fhir", clientId: "app" })
            `,
              resolveDir: at("src")
            },
            bundle: true,
            splitting: true,
            outdir: "out",
            write: false,
            metafile: true,
            minify: true,
            format: "esm",
            platform: "browser",
            plugins: [asBuilt],
            logLevel: "silent"
          })
        )
        const outputs = Object.entries(metafile.outputs)
        const onDemand = outputs.flatMap(([, { imports }]) =>
          imports.flatMap(({ kind, path }) => kind === "dynamic-import" ? [path] : [])
        )
        const withJose = outputs.flatMap(([path, { inputs }]) =>
          Object.keys(inputs).some((input) => input.includes("node_modules/jose/")) ? [path] : []
        )
        assert.lengthOf(withJose, 1)
        assert.deepStrictEqual(withJose, onDemand)
      }),
    30_000
  )

  it.effect("`SmartApp.layer` carries no signing code and no backend service", () =>
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

  it.effect("a tag carries nothing but itself", () =>
    Effect.gen(function*() {
      const modules = yield* modulesIn(`export { Sessions } from "./session/Sessions.js"`)
      assert.deepStrictEqual(modules.filter((path) => path.startsWith("src/")), ["src/session/Sessions.ts"])
    }), 30_000)
})

describe("the package without effect-safire/udap", () => {
  it.effect("no other entry point has a module of it, nor of pkijs", () =>
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
      `export const i = () => later()`,
      `effectful()`
    ].join("\n")
    const marked = [
      `export class A extends /*#__PURE__*/ Tag("a")() { b = later(); static c = /*#__PURE__*/ now() }`,
      `export const d = /*#__PURE__*/ pipe(/*#__PURE__*/ e(), () => later()), f = /*#__PURE__*/ new G(/*#__PURE__*/ h())`,
      `export const i = () => later()`,
      `effectful()`
    ].join("\n")
    assert.strictEqual(annotate(text), marked)
    assert.strictEqual(annotate(marked), marked)
  })
})
