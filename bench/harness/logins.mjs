/** Logins at an app of this process, by the browser in a process of its own. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../processes/browser.mjs", import.meta.url))

export const logins = async (port) => {
  const browser = fork(program, [], { stdio: ["ignore", "ignore", "inherit", "ipc"], execArgv: [] })
  await once(browser, "message")
  return {
    loop: async (concurrency, deadline) => {
      const done = once(browser, "message")
      browser.send({ origin: `http://127.0.0.1:${port}`, concurrency, millis: deadline - performance.now() })
      const [{ failure, logins }] = await done
      if (failure !== undefined) throw new Error(failure)
      return logins
    }
  }
}
