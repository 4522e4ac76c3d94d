/**
 * The API reference: one page for each public module, from the docstrings, by TypeDoc. It fails if a public symbol has no
 * description, or if a public signature mentions a type that is not public.
 */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Application, LogLevel, ReflectionKind } from "typedoc"

const root = new URL("..", import.meta.url)
const read = (path) => readFileSync(new URL(path, root), "utf8")

/** `./dist/session/Sessions.js` is made from `src/session/Sessions.ts`. */
const sourceOf = (target) => target.replace("./dist/", "src/").replace(/\.js$/, ".ts")

/** The modules of an entry point that exports namespaces, such as `effect-safire/web`. */
const modulesOf = (index) =>
  [...read(index).matchAll(/from "\.\/(.+?)\.js"/g)].map(([, path]) => index.replace("index.ts", `${path}.ts`))

/** Files of src, by the name that users import: `Sessions`, `web/SmartRoutes`. */
const modules = new Map(
  Object.entries(JSON.parse(read("package.json")).exports)
    .filter(([path]) => path !== "." && path !== "./package.json")
    .flatMap(([path, { default: target }]) => {
      const file = sourceOf(target)
      return file.endsWith("/index.ts")
        ? modulesOf(file).map((module) => [`${path.slice(2)}/${/([^/]+)\.ts$/.exec(module)[1]}`, module])
        : [[path.slice(2), file]]
    })
)

const SYMBOLS = ReflectionKind.Class | ReflectionKind.Interface | ReflectionKind.Function | ReflectionKind.Variable |
  ReflectionKind.TypeAlias

const hasSummary = (symbol) =>
  [symbol.comment, ...(symbol.signatures ?? []).map(({ comment }) => comment)]
    .some((comment) => comment !== undefined && comment.summary.length > 0)

/** Writes the pages to the folder `out` and returns the problems. */
export const build = async (out) => {
  const application = await Application.bootstrapWithPlugins({
    entryPoints: [...new Set(modules.values())].map((path) => fileURLToPath(new URL(path, root))),
    tsconfig: fileURLToPath(new URL("tsconfig.src.json", root)),
    basePath: fileURLToPath(new URL("src", root)),
    plugin: ["typedoc-plugin-markdown"],
    out,
    readme: "none",
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    skipErrorChecking: true,
    categorizeByGroup: false,
    excludeTags: ["@since"],
    // Types that compute: letters of scopes, algorithms, resources by version.
    intentionallyNotExported: [
      "AnyLetters",
      "BundleRequests",
      "ByVersion",
      "Immutable",
      "Lower",
      "NotAResourceType",
      "Rest",
      "openIdPrefix",
      "smartPrefix",
      "src/token/internal/idTokenHeader.ts:ALGORITHMS"
    ],
    validation: { notExported: true, invalidLink: true, notDocumented: false, rewrittenLink: true },
    entryFileName: "index",
    outputFileStrategy: "modules",
    hidePageHeader: true,
    hideBreadcrumbs: true,
    parametersFormat: "table",
    logLevel: "Warn"
  })
  const problems = []
  application.logger.log = (message, level) => {
    if (level >= LogLevel.Warn) problems.push(message)
  }
  const project = await application.convert()
  if (project === undefined) return ["TypeDoc found no modules"]
  const names = new Map([...modules].reverse().map(([name, file]) => [file.replace(/^src\/|\.ts$/g, ""), name]))
  for (const module of project.children ?? []) module.name = names.get(module.name) ?? module.name
  application.validate(project)
  for (const module of project.children ?? []) {
    for (const symbol of module.children ?? []) {
      if (symbol.kindOf(SYMBOLS) && !hasSummary(symbol)) problems.push(`${module.name}.${symbol.name} has no description`)
    }
  }
  await application.generateOutputs(project)
  return problems
}
