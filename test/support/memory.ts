/**
 * How much memory a program holds.
 */
import * as V8 from "node:v8"
import * as Vm from "node:vm"

/** Bytes of objects and buffers that are still reachable. */
export const heldBytes = (): number => {
  V8.setFlagsFromString("--expose-gc")
  const gc: unknown = Vm.runInNewContext("gc")
  // The memory of buffers is given back after the collection that found them unreachable.
  if (typeof gc === "function") { for (let round = 0; round < 2; round++) gc() }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}
