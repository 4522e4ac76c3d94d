// A test runner for Stryker that keeps the library in memory. Stryker's own runner for Vitest starts a worker and
// imports everything again for each mutant, which takes a hundred times longer than the tests. This one imports the
// library once and for each mutant only the test files that cover it; it runs them with Vitest's own runner. Mutants
// of code that runs only while a module is imported are not visible to it: the configuration ignores them.
import { commonTokens, declareFactoryPlugin, PluginKind } from "@stryker-mutator/api/plugin"
import { determineHitLimitReached, DryRunStatus, TestStatus, toMutantRunResult } from "@stryker-mutator/api/test-runner"
import { getFn, startTests } from "@vitest/runner"
import { configureGlobal } from "effect/FastCheck"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { basename, relative, resolve } from "node:path"
import { performance } from "node:perf_hooks"
import { pathToFileURL } from "node:url"
import { register } from "tsx/esm/api"

const NAMESPACE = "__stryker__"
/**
 * With a mutant, a test that waits for ever has failed: when it has been idle five times as long as without a mutant,
 * and three seconds more. On a loaded machine, only the time without work tells a hang from a slow test.
 */
const idleLimit = (idle) => 5 * idle + 3_000
/** In Stryker's copy of the project. */
const TIMES = ".mutation-times.json"
/** Runs of a property: few, because a mutant is tested by many properties. */
const PROPERTY_RUNS = 20

/** A test that needs more milliseconds of the processor runs only for mutants that no faster test kills. */
const SLOW = 300

/** No time limit of Vitest: the runner has its own. */
const NO_TIMEOUT = 0

const config = {
  allowOnly: true,
  chaiConfig: undefined,
  diffOptions: undefined,
  expect: { poll: {}, requireAssertions: false },
  hookTimeout: NO_TIMEOUT,
  includeTaskLocation: false,
  maxConcurrency: 1,
  name: "",
  passWithNoTests: true,
  retry: 0,
  root: process.cwd(),
  sequence: { concurrent: false, hooks: "stack", seed: 1, setupFiles: "list", shuffle: false },
  setupFiles: [],
  snapshotOptions: { resolveSnapshotPath: (path) => `${path}.snap`, snapshotEnvironment: undefined, updateSnapshot: "none" },
  testNamePattern: undefined,
  testTimeout: NO_TIMEOUT
}

// The state that Vitest's modules expect in a worker.
const worker = {
  config,
  ctx: { pool: "threads" },
  environment: { name: "node" },
  metaEnv: process.env,
  moduleCache: new Map(),
  onCleanup: () => {},
  providedContext: {},
  rpc: {}
}
Object.defineProperty(globalThis, "__vitest_worker__", { configurable: true, value: worker, writable: true })
process.env.VITEST = "true"
process.env.NODE_ENV = "test"

const fullName = (test) => {
  const names = [test.name]
  for (let suite = test.suite; suite !== undefined; suite = suite.suite) names.unshift(suite.name)
  return names.join(" ").trim()
}
const fileOf = (id) => resolve(id.slice(0, id.indexOf("#")))
const filesOf = (ids) => ids && [...new Set(ids.map(fileOf))]
const testsOf = (task) => task.type === "test" ? [task] : task.tasks.flatMap(testsOf)

class Hang extends Error {}

class InProcessRunner {
  static inject = [commonTokens.options, commonTokens.logger]

  constructor(options, log) {
    this.files = options.inProcess.testFiles.map((file) => resolve(file))
    this.onDemand = options.inProcess.onDemand
    this.skip = new RegExp(options.inProcess.skip)
    this.log = log
    this.round = 0
    /** Of each test, in milliseconds without a mutant: the time of the processor, and the time without work. */
    this.times = new Map()
    /** The round in which a test last killed a mutant. */
    this.kills = new Map()
    /** Whether the run repeats tests without a mutant, after one. */
    this.isCheck = false
    this.space = globalThis[NAMESPACE] ??= {}
  }

  capabilities() {
    return { reloadEnvironment: false }
  }

  async init() {
    // Here and not on the command line: only now the process runs in Stryker's copy of the project.
    register({ tsconfig: resolve("tsconfig.json") })
    configureGlobal({ numRuns: PROPERTY_RUNS })
    if (existsSync(TIMES)) this.times = new Map(JSON.parse(readFileSync(TIMES, "utf8")))
    for (const file of this.onDemand) await import(pathToFileURL(resolve(file)).href)
    const { VitestTestRunner } = await import("vitest/runners")
    const { it } = await import("@effect/vitest")
    // `layer` of @effect/vitest replaces them, for all files that follow in this process.
    const methods = { ...it }
    const runner = this
    const idOf = (test) => `${relative(process.cwd(), test.file.filepath)}#${fullName(test)}`
    const sortTasks = (suite) => {
      const ranks = new Map(suite.tasks.map((task) => [task, Math.min(...testsOf(task).map((test) => runner.rankOf(idOf(test))))]))
      suite.tasks.sort((a, b) => ranks.get(a) - ranks.get(b))
      for (const task of suite.tasks) if (task.type === "suite") sortTasks(task)
    }
    this.outside = []
    process.on("unhandledRejection", (error) => this.outside.push(error))
    process.on("uncaughtException", (error) => this.outside.push(error))
    this.idOf = idOf
    this.Runner = class extends VitestTestRunner {
      snapshotClient = { clear() {}, clearTest() {}, getSnapshotState() {}, skipTest() {} }
      importFile(file) {
        Object.assign(it, methods)
        return import(`${pathToFileURL(file).href}?round=${runner.round}`)
      }
      onBeforeRunFiles(files) {
        runner.space.activeMutant = runner.activeMutant
        for (const file of files) sortTasks(file)
        for (const test of files.flatMap(testsOf)) {
          if (runner.filter === undefined ? runner.skip.test(test.name) : !runner.filter.has(idOf(test))) test.mode = "skip"
        }
      }
      async onBeforeRunSuite(suite) {
        if (runner.failed || testsOf(suite).every(({ mode }) => mode === "skip")) suite.mode = "skip"
        worker.current = suite
      }
      async onAfterRunSuite(suite) {
        worker.current = suite.suite ?? suite.file
      }
      async onBeforeRunTask(test) {
        if (runner.failed) test.mode = "skip"
        await super.onBeforeRunTask(test)
      }
      onBeforeTryTask(test) {
        if (runner.activeMutant === undefined) runner.space.currentTestId = idOf(test)
        super.onBeforeTryTask(test)
      }
      async runTask(test) {
        try {
          await runner.measure(idOf(test), getFn(test))
        } catch (error) {
          // Interrupting a test that hangs may hang, too.
          if (error instanceof Hang) test.onFinished = []
          throw error
        }
      }
      onAfterRunTask(test) {
        runner.space.currentTestId = undefined
        runner.failed ||= runner.bail && test.result?.state === "fail"
        super.onAfterRunTask(test)
      }
      onTaskUpdate() {}
    }
  }

  async dryRun() {
    const result = await this.withoutMutant(this.files)
    const mutantCoverage = this.space.mutantCoverage
    // A test that passes once only depends on state that the library keeps in memory. It would kill every mutant.
    const again = await this.withoutMutant(this.files)
    // For the processes that follow one that was ended.
    writeFileSync(TIMES, JSON.stringify([...this.times]))
    const failed = again.tests?.filter(({ status }) => status === TestStatus.Failed) ?? []
    if (result.tests?.every(({ status }) => status !== TestStatus.Failed) && failed.length > 0) {
      const list = failed.map(({ failureMessage, id }) => `${id}: ${failureMessage}`).join("\n")
      return { errorMessage: `pass only once:\n${list}`, status: DryRunStatus.Error }
    }
    return { ...result, mutantCoverage }
  }

  timeOf(id) {
    return this.times.get(id)?.work ?? 0
  }

  /** Runs a test; the first runs measure it, the others limit its time without work. */
  async measure(id, run) {
    const { system, user } = process.cpuUsage()
    const start = performance.eventLoopUtilization()
    const idleSince = () => performance.eventLoopUtilization(start).idle
    if (this.activeMutant === undefined && !this.isCheck) {
      await run()
      const now = process.cpuUsage()
      return void this.times.set(id, { idle: idleSince(), work: (now.system - system + now.user - user) / 1000 })
    }
    const limit = idleLimit(this.times.get(id)?.idle ?? 0)
    let timer
    const hang = new Promise((_, reject) => {
      timer = setInterval(() => idleSince() > limit && reject(new Hang(`waits longer than ${limit} ms`)), 100)
    })
    await Promise.race([run(), hang]).finally(() => clearInterval(timer))
  }

  /** The place of a test in the order of the tests: negative if it has killed a mutant. */
  rankOf(id) {
    const round = this.kills.get(id)
    return round === undefined ? this.timeOf(id) : -round
  }

  withoutMutant(files, filter) {
    this.activeMutant = undefined
    this.space.activeMutant = undefined
    this.space.hitLimit = undefined
    this.bail = false
    return this.run(files, filter)
  }

  async mutantRun({ activeMutant, disableBail, hitLimit, sandboxFileName, testFilter }) {
    this.activeMutant = activeMutant.id
    this.bail = !disableBail
    this.space.hitCount = 0
    this.space.hitLimit = hitLimit
    const tests = testFilter?.filter((id) => this.timeOf(id) <= SLOW)
    const slow = testFilter?.filter((id) => this.timeOf(id) > SLOW) ?? []
    // The tests that killed the mutants before this one, which are near it, come first; then those of its own module.
    const own = basename(sandboxFileName, ".ts")
    const rankOf = (file) => {
      const ids = tests?.filter((id) => fileOf(id) === file) ?? []
      const rank = Math.min(...ids.map((id) => this.rankOf(id)))
      return rank < 0 ? rank : basename(file).startsWith(`${own}.`) ? 0 : ids.reduce((sum, id) => sum + this.timeOf(id), 0)
    }
    const ranks = new Map((filesOf(tests) ?? this.files).map((file) => [file, rankOf(file)]))
    const files = [...ranks.keys()].sort((a, b) => ranks.get(a) - ranks.get(b))
    let result = await this.run(files, tests)
    if (!this.failed && result.status === DryRunStatus.Complete && slow.length > 0) {
      const more = await this.run(filesOf(slow), slow)
      result = { ...more, tests: [...result.tests, ...more.tests ?? []] }
    }
    const outcome = toMutantRunResult(determineHitLimitReached(this.space.hitCount, hitLimit) ?? result)
    // The test that failed must pass without the mutant. Otherwise an earlier mutant has left something behind:
    // Stryker then starts a new process and runs this mutant again.
    const killers = outcome.killedBy
    if (killers !== undefined) {
      for (const id of killers) this.kills.set(id, this.round)
      this.isCheck = true
      const { tests } = await this.withoutMutant(filesOf(killers), killers)
      this.isCheck = false
      if (tests?.some(({ status }) => status === TestStatus.Failed)) throw new Error(`fails without a mutant: ${killers[0]}`)
    }
    return outcome
  }

  async run(files, filter) {
    this.round++
    this.failed = false
    this.filter = filter === undefined ? undefined : new Set(filter)
    this.outside.length = 0
    const collected = []
    for (const file of files) {
      if (!this.failed) collected.push(...await startTests([file], new this.Runner(config)))
    }
    const broken = collected.find(({ result, tasks }) => tasks.length === 0 && result?.state === "fail")
    if (broken !== undefined) {
      return { errorMessage: `${broken.name}: ${broken.result.errors?.[0]?.stack}`, status: DryRunStatus.Error }
    }
    const tests = collected.flatMap(testsOf).filter(({ mode, result }) => mode !== "skip" && result !== undefined).map((test) => ({
      fileName: test.file.filepath,
      id: this.idOf(test),
      name: fullName(test),
      timeSpentMs: test.result.duration ?? 0,
      ...(test.result.state === "fail"
        ? { failureMessage: test.result.errors?.[0]?.message ?? "failed", status: TestStatus.Failed }
        : { status: test.result.state === "pass" ? TestStatus.Success : TestStatus.Skipped })
    }))
    const hook = collected.find(({ result }) => result?.state === "fail")
    if (tests.length > 0 && hook !== undefined && tests.every(({ status }) => status !== TestStatus.Failed)) {
      tests[0] = { ...tests[0], failureMessage: hook.result.errors?.[0]?.message ?? "a hook failed", status: TestStatus.Failed }
    }
    if (this.outside.length > 0) this.log.debug(`outside of a test: ${this.outside[0]?.stack ?? this.outside[0]}`)
    return { status: DryRunStatus.Complete, tests }
  }

  async dispose() {}
}

const factory = Object.assign((injector) => injector.injectClass(InProcessRunner), { inject: [commonTokens.injector] })

export const strykerPlugins = [declareFactoryPlugin(PluginKind.TestRunner, "in-process", factory)]
