/**
 * The memory of this process.
 */
import * as V8 from "node:v8"
import * as Vm from "node:vm"

/** Bytes of objects and buffers that are still reachable. */
export const heldBytes = (): number => {
  V8.setFlagsFromString("--expose-gc")
  const gc: unknown = Vm.runInNewContext("gc")
  // A second collection frees the memory of buffers that the first one found unreachable.
  if (typeof gc === "function") { for (let round = 0; round < 2; round++) gc() }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}
