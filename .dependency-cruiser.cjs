// Which folder of src may import from which: docs/architecture.md has the table. Type imports count like any other.
const FOLDERS = ["base", "http", "server", "client", "launch", "token", "smart", "session", "fhir", "app"]
const ENTRY_POINTS = ["udap", "web", "node", "browser", "redis", "sql", "persistence", "cli", "workflow"]
const later = (folder) => [...FOLDERS.slice(FOLDERS.indexOf(folder) + 1), ...ENTRY_POINTS, "testing"]

module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      severity: "error",
      comment: "Two files that import each other are one file, or need a third.",
      from: {},
      to: { circular: true }
    },
    ...FOLDERS.map((folder) => ({
      name: `${folder}-imports-earlier-folders-only`,
      severity: "error",
      from: { path: `^src/${folder}/` },
      to: { path: `^src/(${later(folder).join("|")})/|^src/index.ts$` }
    })),
    ...ENTRY_POINTS.map((folder) => ({
      name: `${folder}-is-imported-by-nothing-else`,
      severity: "error",
      // The doctor probes UDAP servers, too.
      from: { path: "^src/", pathNot: folder === "udap" ? "^src/(udap|cli)/" : `^src/${folder}/` },
      to: { path: `^src/${folder}/` }
    })),
    {
      name: "testing-shares-no-code-with-the-library",
      severity: "error",
      from: { path: "^src/testing/" },
      to: { path: "^src/", pathNot: "^src/(testing/|base/Html\\.ts)" }
    },
    {
      name: "internal-is-private-to-its-folder",
      severity: "error",
      from: { path: "^src/([^/]+)/" },
      to: { path: "^src/[^/]+/internal/", pathNot: "^src/$1/internal/" }
    },
    {
      name: "index-exports-no-internals",
      severity: "error",
      from: { path: "^src/index.ts$" },
      to: { path: "/internal/" }
    },
    {
      name: "core-needs-no-node",
      severity: "error",
      from: { path: `^src/(${FOLDERS.join("|")})/` },
      to: { dependencyTypes: ["core"] }
    },
    {
      name: "core-needs-no-optional-peer",
      severity: "error",
      from: { path: `^src/(${FOLDERS.join("|")}|web)/` },
      to: {
        path:
          "node_modules/(undici|ioredis|@effect/sql|@effect/experimental|@effect/platform-node|ipaddr\\.js|pkijs|asn1js)"
      }
    }
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      extensions: [".ts", ".js"],
      exportsFields: ["exports"],
      conditionNames: ["import", "default"]
    }
  }
}
