// Uses the library as a stranger would: packs it and installs the tarball into empty projects outside the checkout.
//
// 1. Two projects with as few packages as possible (peers are links: no network): a strict program against every public
//    path compiles without `skipLibCheck` and runs under plain Node.
// 2. Vite, esbuild and Rollup bundle a launch for a page without peers beside the required ones; the bundles run.
// 3. With `--install`: npm installs the tarball with the versions that README.md names, and the launch runs.
//
// Also checked: the tarball has every file that its README links to. Needs `npm run build` first.
import { execFileSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { nodeResolve } from "@rollup/plugin-node-resolve"
import * as esbuild from "esbuild"
import { rollup } from "rollup"
import ts from "typescript"
import * as vite from "vite"
import { fhirCalls } from "./consumer/fhirCalls.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const { bin, dependencies, exports, name, peerDependencies, peerDependenciesMeta, version } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
)

const entryPoints = Object.keys(exports).filter((path) => path !== "./package.json")
const peers = Object.keys(peerDependencies)

/**
 * Two programs with as little as each may have. Together they import every public path; what only one can import is
 * listed here.
 */
const PROJECTS = [
  {
    title: "a page with the required peers",
    packages: peers.filter((peer) => peerDependenciesMeta[peer]?.optional !== true),
    paths: entryPoints.filter((path) => !["./node", "./persistence", "./redis", "./sql", "./udap", "./testing-udap"].includes(path)),
    resources: "withoutFhirTypes.ts",
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    types: []
  },
  {
    title: "a Node program with all peers",
    packages: [...peers, "@types/node"],
    paths: entryPoints.filter((path) => path !== "./browser"),
    resources: "withFhirTypes.ts",
    lib: ["lib.es2022.d.ts"],
    types: ["node"]
  }
]

const RESOLUTIONS = {
  nodenext: { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }
}

const failures = []

const run = (title, cwd, file, ...args) => {
  try {
    return execFileSync(file, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 180_000 })
  } catch (error) {
    failures.push(`${title}:\n${error.stderr || error.stdout || error.message}`)
    return ""
  }
}

const link = (folder, pkg) => {
  const path = join(folder, "node_modules", pkg)
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(join(root, "node_modules", pkg), path, "junction")
}

/** A project that has the unpacked library, what the library says it needs, and nothing else. */
const create = (folder, tarball, { packages, paths, resources }) => {
  const library = join(folder, "node_modules", name)
  mkdirSync(library, { recursive: true })
  execFileSync("tar", ["-xzf", tarball, "-C", library, "--strip-components=1"])
  for (const pkg of [...Object.keys(dependencies), ...packages]) link(folder, pkg)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  const specifiers = paths.map((path) => `${name}${path.slice(1)}`)
  const imports = specifiers.map((specifier, i) => `import * as M${i} from ${JSON.stringify(specifier)}`)
  const checks = specifiers.map((specifier, i) => `notAny<typeof M${i}>(${JSON.stringify(specifier)}, M${i})`)
  writeFileSync(
    join(folder, "entryPoints.ts"),
    `${imports.join("\n")}
const notAny = <T>(path: 0 extends 1 & T ? never : string, module: object): void => {
  if (Object.keys(module).length === 0) throw new Error(path + " exports nothing")
}
${checks.join("\n")}
`
  )
  for (const file of ["launch.ts", resources]) copyFileSync(join(root, "scripts/consumer", file), join(folder, file))
}

/**
 * Errors in a peer's own declarations are the peer's; a name that our declarations miss in a peer is reported in our
 * file.
 */
const compile = (folder, { lib, resources, title, types }, resolution) => {
  const files = ["entryPoints.ts", "launch.ts", resources].map((file) => join(folder, file))
  const program = ts.createProgram(files, {
    ...RESOLUTIONS[resolution],
    target: ts.ScriptTarget.ES2022,
    lib,
    types,
    strict: true,
    exactOptionalPropertyTypes: resolution === "nodenext",
    noUncheckedIndexedAccess: true,
    noPropertyAccessFromIndexSignature: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    outDir: join(folder, "out")
  })
  const ours = ts.getPreEmitDiagnostics(program).filter(({ file }) =>
    file === undefined || file.fileName.startsWith(folder.split(sep).join("/"))
  )
  if (ours.length > 0) {
    const host = { getCanonicalFileName: (path) => path, getCurrentDirectory: () => folder, getNewLine: () => "\n" }
    failures.push(`the types in ${title}, ${resolution}:\n${ts.formatDiagnostics(ours, host)}`)
  }
  program.emit()
}

/** The cost of types does not depend on the machine. 500 calls took 75,000 instantiations in November 2026. */
const FHIR_CALLS = 500
const MAX_INSTANTIATIONS = 100_000

/** Compiles a program with many FHIR requests and `@types/fhir`. */
const measureFhirTypes = (folder) => {
  const file = join(folder, "fhirCalls.ts")
  writeFileSync(file, fhirCalls(FHIR_CALLS))
  const program = ts.createProgram([file], {
    ...RESOLUTIONS.nodenext,
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2022.d.ts"],
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    noEmit: true
  })
  const [first] = ts.getPreEmitDiagnostics(program)
  if (first !== undefined) failures.push(`the FHIR calls: ${ts.flattenDiagnosticMessageText(first.messageText, "\n")}`)
  const instantiations = program.getInstantiationCount()
  console.log(`types of ${FHIR_CALLS} FHIR calls: ${instantiations} instantiations, at most ${MAX_INSTANTIATIONS}`)
  if (instantiations > MAX_INSTANTIATIONS) failures.push("the types of FHIR calls cost more than their limit")
}

/** Each bundles `out/launch.js` of a project into the file `bundle`. */
const BUNDLERS = {
  esbuild: ({ bundle, folder }) =>
    esbuild.build({
      entryPoints: [join(folder, "out/launch.js")],
      outfile: bundle,
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      minify: true,
      logLevel: "error"
    }),
  Rollup: async ({ bundle, folder }) => {
    const build = await rollup({
      input: join(folder, "out/launch.js"),
      plugins: [nodeResolve({ browser: true })],
      onwarn: (warning) => {
        // Effect and its dependencies have both; they do no harm.
        if (!["CIRCULAR_DEPENDENCY", "THIS_IS_UNDEFINED"].includes(warning.code)) failures.push(`Rollup: ${warning.message}`)
      }
    })
    await build.write({ file: bundle, format: "es", inlineDynamicImports: true })
    await build.close()
  },
  Vite: ({ bundle, folder }) =>
    vite.build({
      root: folder,
      configFile: false,
      logLevel: "error",
      build: {
        target: "es2022",
        outDir: dirname(bundle),
        emptyOutDir: false,
        rollupOptions: {
          input: join(folder, "out/launch.js"),
          output: { entryFileNames: basename(bundle), inlineDynamicImports: true }
        }
      }
    })
}

const bundleAll = async (folder) => {
  for (const [title, bundler] of Object.entries(BUNDLERS)) {
    const bundle = join(folder, "bundles", `${title}.mjs`)
    mkdirSync(dirname(bundle), { recursive: true })
    try {
      await bundler({ bundle, folder })
    } catch (error) {
      failures.push(`${title} cannot bundle a launch: ${error.message}`)
      continue
    }
    // A bundle for a page has no import left.
    const left = /^import .*?from\s*"([^"]+)"/m.exec(readFileSync(bundle, "utf8"))?.[1]
    if (left !== undefined) failures.push(`${title} left an import of ${left}`)
    run(`the bundle of ${title}`, folder, process.execPath, bundle)
  }
}

/** Files that README.md links to. On npm, a relative link leads into the package. */
const checkLinks = (folder) => {
  const library = join(folder, "node_modules", name)
  const readme = readFileSync(join(library, "README.md"), "utf8")
  for (const [, link] of readme.matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)/g)) {
    if (!existsSync(join(library, link))) failures.push(`README.md links to ${link}, which is not in the package`)
  }
}

/** An empty project, as docs/getting-started.md makes it. */
const install = (folder, tarball, launch) => {
  mkdirSync(folder)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }))
  const line = /^npm install effect-safire (.+)$/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? ""
  const npm = process.platform === "win32" ? "npm.cmd" : "npm"
  run("npm install", folder, npm, "install", "--no-audit", "--no-fund", "--prefer-offline", tarball, ...line.split(" "))
  copyFileSync(launch, join(folder, "launch.js"))
  run("a launch in an installed project", folder, process.execPath, "launch.js")
  run("the installed command", folder, join(folder, "node_modules/.bin/effect-safire"), "--version")
}

const temporary = mkdtempSync(join(ts.sys.realpath(tmpdir()), "safire-consumer-"))
try {
  const packed = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", temporary], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32"
  })
  const tarball = join(temporary, JSON.parse(packed)[0].filename)
  for (const [index, project] of PROJECTS.entries()) {
    const folder = join(temporary, String(index))
    create(folder, tarball, project)
    for (const resolution of Object.keys(RESOLUTIONS)) compile(folder, project, resolution)
    if (project.packages.includes("@types/fhir")) measureFhirTypes(folder)
    run(`the entry points in ${project.title}`, folder, process.execPath, "out/entryPoints.js")
    run(`a launch in ${project.title}`, folder, process.execPath, "out/launch.js")
    const printed = run("the command", folder, process.execPath, join("node_modules", name, bin[name]), "--version").trim()
    if (printed !== version) failures.push(`the command says that its version is "${printed}", not ${version}`)
  }
  const page = join(temporary, "0")
  checkLinks(page)
  await bundleAll(page)
  if (process.argv.includes("--install")) install(join(temporary, "empty"), tarball, join(page, "out/launch.js"))
} finally {
  rmSync(temporary, { recursive: true, force: true })
}

if (failures.length > 0) {
  console.error(failures.join("\n"))
  process.exit(1)
}
