/**
 * The heap of one more instance: `node --expose-gc heap <module> <name> <count>`.
 */
import type { ContenderModule } from "../harness/Contender.js"

const [, , path = "", name = "", count = "10000"] = process.argv

const heapUsed = (): number => {
  for (let i = 0; i < 4; i++) globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const measure = async (): Promise<object> => {
  const module = (await import(path)) as ContenderModule
  const begin = module.heap?.[name]
  if (begin === undefined) throw new Error(`no ${name}`)
  const fill = await begin()
  const kept: Array<unknown> = Array.from({ length: Number(count) })
  // The first instances also allocate shared objects.
  const first: Array<unknown> = []
  for (let i = 0; i < 100; i++) first.push(await fill(-2 - i))
  const before = heapUsed()
  for (let i = 0; i < kept.length; i++) kept[i] = await fill(i)
  const bytes = Math.round((heapUsed() - before) / kept.length)
  // Printed, so that the instances are not garbage before they are counted.
  return { bytes, kept: kept.length + first.length + fill.length }
}

process.on("message", () => {
  measure().then(
    (result) => process.send?.(result),
    (cause: unknown) => process.send?.({ failure: cause instanceof Error ? cause.stack : String(cause) })
  )
})
process.on("disconnect", () => process.exit(0))
process.send?.({ ready: true })
