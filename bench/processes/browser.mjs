/**
 * A browser of many people: for `{ origin, concurrency, millis }` it logs in again and again (a launch, then its
 * callback with the cookies of the launch) and says how often. A process of its own, so that its work is not the app's.
 */
import { Agent } from "undici"

const agent = new Agent({ connections: 64 })

const get = async (origin, path, cookie) => {
  const { body, headers, statusCode } = await agent.request({
    origin,
    path,
    method: "GET",
    headers: cookie === undefined ? {} : { cookie }
  })
  await body.dump()
  if (statusCode !== 302 && statusCode !== 303) throw new Error(`${path} has the status ${statusCode}`)
  return headers
}

const CODE = "code-0123456789abcdef"

const logIn = async (origin) => {
  const launched = await get(origin, "/launch")
  const state = new URL(launched.location).searchParams.get("state") ?? ""
  const cookies = [launched["set-cookie"] ?? []].flat().map((cookie) => cookie.split(";")[0]).join("; ")
  const done = await get(origin, `/callback?${new URLSearchParams({ code: CODE, state })}`, cookies)
  if (![done["set-cookie"] ?? []].flat().some((cookie) => cookie.includes("session="))) throw new Error("no session")
}

const run = async ({ concurrency, millis, origin }) => {
  const deadline = performance.now() + millis
  let logins = 0
  const one = async () => {
    do {
      await logIn(origin)
      logins++
    } while (performance.now() < deadline)
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return { logins }
}

process.on("message", (job) => {
  run(job).then(
    (done) => process.send(done),
    (cause) => process.send({ failure: String(cause?.stack ?? cause) })
  )
})
process.on("disconnect", () => process.exit(0))
process.send({ ready: true })
