/**
 * One contender in its own process: `worker <module> <variant> <setting>`. It repeats the requested work for the
 * requested time, and reports the number of repetitions, the time and the processor time.
 */
import type { ContenderModule, Job, Sample } from "../harness/Contender.js"

const [, , path = "", variant = "", setting = "{}"] = process.argv
const module = (await import(path)) as ContenderModule
const works = await module.make(JSON.parse(setting), variant)

/** Runs `concurrency` loops of the work. */
const loop = async (operation: () => unknown, concurrency: number, deadline: number): Promise<number> => {
  let operations = 0
  const one = async () => {
    do {
      await operation()
      operations++
    } while (performance.now() < deadline)
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return operations
}

const run = async ({ concurrency, millis, work }: Job): Promise<Sample> => {
  const operation = works[work]
  if (operation === undefined) throw new Error(`${variant} does not do ${work}`)
  const start = performance.now()
  const cpu = process.cpuUsage()
  const deadline = start + millis
  const operations = typeof operation === "function"
    ? await loop(operation, concurrency, deadline)
    : await operation.loop(concurrency, deadline)
  const { system, user } = process.cpuUsage(cpu)
  return { operations, wallMicros: (performance.now() - start) * 1000, cpuMicros: system + user }
}

process.on("message", (job: Job) => {
  run(job).then(
    (sample) => process.send?.(sample),
    (cause: unknown) => process.send?.({ failure: `${job.work}: ${cause instanceof Error ? cause.stack : cause}` })
  )
})
process.on("disconnect", () => process.exit(0))
process.send?.({ works: Object.keys(works) })
