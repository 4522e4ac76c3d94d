// Makes one file of the command line tool, so that `npx effect-safire` needs nothing but Node: `node
// scripts/bundle-cli.mjs [outfile]`.
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const { version } = JSON.parse(readFileSync(at("package.json"), "utf8"))

await build({
  entryPoints: [at("src/cli/main.ts")],
  outfile: process.argv[2] ?? at("dist/cli.js"),
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
  define: { EFFECT_SAFIRE_VERSION: JSON.stringify(version) },
  banner: {
    // Some bundled modules are CommonJS and load Node's modules with `require`.
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from \"node:module\"; const require = __createRequire(import.meta.url);"
  }
})
