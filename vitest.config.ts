import { defineConfig } from "vitest/config"

const src = (path: string) => new URL(`./src/${path}`, import.meta.url).pathname

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-safire$/, replacement: src("index.ts") },
      { find: /^effect-safire\/testing-udap$/, replacement: src("testing/udap.ts") },
      {
        find: /^effect-safire\/(testing|node|redis|sql|browser|persistence|web|udap)$/,
        replacement: src("$1/index.ts")
      }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    setupFiles: ["test/support/deepEqual.ts"],
    // Half of the time is spent waiting, for processes, browsers and clocks: also on two cores there is work for two.
    maxWorkers: 2,
    minWorkers: 1,
    reporters: ["default", ["json", { outputFile: "reports/tests.json" }]]
  }
})
