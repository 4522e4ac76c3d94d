// Uses the library as a stranger would: packs it, unpacks the tarball into temporary projects outside the checkout,
// compiles a strict program against every public path without `skipLibCheck`, and runs it under plain Node. Needs `npm
// run build` first and no network: peers are links.
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, sep } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"
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
    paths: entryPoints.filter((path) => !["./node", "./persistence", "./redis", "./sql", "./udap"].includes(path)),
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
    return execFileSync(file, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 })
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

/** The cost of types does not depend on the machine. 500 calls took 68,000 instantiations in November 2026. */
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
} finally {
  rmSync(temporary, { recursive: true, force: true })
}

if (failures.length > 0) {
  console.error(failures.join("\n"))
  process.exit(1)
}
