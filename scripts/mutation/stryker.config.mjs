// Mutation tests of one folder of src; scripts/mutation.mjs starts them.
import { REPORTS, resultOf, testsOf } from "./folders.mjs"

const folder = process.env.MUTATION_FOLDER ?? "http"

export default {
  testRunner: "in-process",
  plugins: ["./scripts/mutation/runner.mjs"],
  // Tests of the time that something takes, because instrumented code is slower.
  inProcess: {
    // Imported on demand: before the first test, so that what runs at their import counts as static.
    onDemand: ["src/smart/internal/verifyIdentity.ts"],
    skip: "does not search all|costs little|very many|the work is linear",
    testFiles: process.env.MUTATION_TESTS?.split(",") ?? testsOf(folder)
  },
  warnings: { unknownOptions: false },
  coverageAnalysis: "perTest",
  // Constants, schemas and error classes are made once, when a module is imported.
  ignoreStatic: true,
  mutate: process.env.MUTATION_FILES?.split(",") ?? [`src/${folder}/**/*.ts`],
  // Nearly all strings are messages and names of spans; the tests compare reasons, not texts.
  mutator: { excludedMutations: ["StringLiteral"] },
  ignorePatterns: ["dist", "site", "reports", "bench", "docs", "examples", ".tsbuildinfo", ".stryker-tmp"],
  tempDirName: process.env.MUTATION_TEMP ?? ".stryker-tmp",
  disableTypeChecks: false,
  concurrency: Number(process.env.MUTATION_CONCURRENCY ?? 2),
  // The runner ends a test that waits for ever; this limit ends a loop, with its process.
  timeoutMS: 60_000,
  dryRunTimeoutMinutes: 30,
  incremental: true,
  incrementalFile: `${REPORTS}/${folder}.incremental.json`,
  reporters: ["json", "clear-text", "progress-append-only"],
  clearTextReporter: { allowColor: false, logTests: false, reportMutants: true, reportTests: false },
  jsonReporter: { fileName: resultOf(folder) }
}
