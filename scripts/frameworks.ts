// Installs the packed library with Next.js into an empty project, starts `next dev` with examples/nextjs, and logs a
// user in with plain HTTP requests: `npm run frameworks`. The session must survive a change of the route's file, after
// which the development server loads the module again. Needs `npm run build` first. npm is the only network.
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Cookies from "@effect/platform/Cookies"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import { NodeTransport } from "effect-safire/node"
import * as PatientApp from "../examples/support/patientApp.js"
import { freePort } from "../test/support/freePort.js"

const NEXT = "^16.0.0"

const root = fileURLToPath(new URL("..", import.meta.url))
const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly devDependencies: Readonly<Record<string, string>>
}

/** What the README tells users of this library to install, and what Next.js needs for TypeScript. */
const PACKAGES = [
  "effect",
  "@effect/platform",
  "undici",
  "ipaddr.js",
  "react",
  "react-dom",
  "typescript",
  "@types/node",
  "@types/react"
]

class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

const check = (holds: boolean, message: string) => holds ? Effect.void : new Failed({ message })

const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" }

const npm = (cwd: string, ...args: ReadonlyArray<string>): string =>
  execFileSync("npm", args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const route = (folder: string) => join(folder, "app", "[...smart]", "route.ts")

/** Next.js resolves no `.js` to a file in TypeScript. */
const withoutExtensions = (source: string) => source.replaceAll(/(from "\.{1,2}\/[^"]+)\.js"/g, "$1\"")

/** The project of a user: the route handler of the example, and the part that it shares with other frameworks. */
const createProject = (folder: string) => {
  const [tarball] = JSON.parse(
    npm(root, "pack", "--json", "--ignore-scripts", "--pack-destination", folder)
  ) as ReadonlyArray<{ readonly filename: string }>
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      name: "next-app",
      private: true,
      type: "module",
      dependencies: {
        ...Object.fromEntries(PACKAGES.map((name) => [name, devDependencies[name]])),
        "effect-safire": `file:${tarball?.filename ?? ""}`,
        next: NEXT
      }
    })
  )
  npm(folder, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
  const read = (path: string) => withoutExtensions(readFileSync(join(root, "examples", path), "utf8"))
  mkdirSync(join(folder, "app", "[...smart]"), { recursive: true })
  mkdirSync(join(folder, "support"))
  writeFileSync(route(folder), read("nextjs/route.ts").replace("../support/", "../../support/"))
  writeFileSync(join(folder, "support", "patientApp.ts"), read("support/patientApp.ts"))
  // The EHR runs in this process.
  writeFileSync(join(folder, "support", "sandbox.ts"), "export const start = () => undefined\n")
}

const stop = (child: ChildProcess) =>
  Effect.async<void>((resume) => {
    if (child.exitCode !== null || child.pid === undefined) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    // The development server has processes of its own.
    process.kill(-child.pid, "SIGTERM")
  })

const startNext = (folder: string, port: number, variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const args = [join("node_modules", "next", "dist", "bin", "next"), "dev", "-H", "127.0.0.1", "-p", `${port}`]
      const child = spawn(process.execPath, args, { cwd: folder, detached: true, env: { ...env, ...variables } })
      let log = ""
      const append = (data: Buffer) => {
        log = `${log}${data.toString()}`.slice(-20_000)
      }
      child.stdout.on("data", append)
      child.stderr.on("data", append)
      return { child, log: () => log }
    }),
    ({ child }) => stop(child)
  )

/** A browser as far as a launch needs one: it stores cookies and follows redirects. */
const makeBrowser = Effect.gen(function*() {
  const jar = yield* Ref.make(Cookies.empty)
  const client = HttpClient.withCookiesRef(yield* HttpClient.HttpClient, jar)
  const send = (url: string): Effect.Effect<
    { readonly url: string; readonly status: number; readonly body: string; readonly version: string | undefined },
    unknown
  > =>
    Effect.gen(function*() {
      const response = yield* client.execute(HttpClientRequest.get(url))
      const { headers, status } = response
      const { location } = headers
      const body = yield* response.text
      return location === undefined
        ? { url, status, body, version: headers["x-version"] }
        : yield* send(new URL(location, url).href)
    })
  return send
})

/** The route of the example with another header, as if its author had changed it. */
const changed = (source: string) =>
  `${source.replace("export const GET =", "const get =")}
export const GET = async (request: Request): Promise<Response> => {
  const response = await get(request)
  const headers = new Headers(response.headers)
  headers.set("x-version", "2")
  return new Response(response.body, { status: response.status, headers })
}
`

const seconds = (from: number) => `${((Date.now() - from) / 1000).toFixed(1)} s`

const program = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "safire-next-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const start = Date.now()
  createProject(folder)
  const { version } = JSON.parse(readFileSync(join(folder, "node_modules", "next", "package.json"), "utf8")) as {
    readonly version: string
  }
  yield* Console.log(`Next.js ${version} installed in ${seconds(start)}`)

  const port = yield* freePort
  // Browsers and Next.js treat localhost and 127.0.0.1 as two sites.
  const baseUrl = `http://127.0.0.1:${port}`
  const { fhirBaseUrl } = yield* PatientApp.startEhr(baseUrl)
  const { log } = yield* startNext(folder, port, { SMART_BASE_URL: baseUrl, SMART_FHIR_BASE_URL: fhirBaseUrl })
  yield* Effect.gen(function*() {
    const get = yield* makeBrowser
    const stranger = yield* makeBrowser
    const first = yield* get(`${baseUrl}/patient`).pipe(
      Effect.retry(Schedule.intersect(Schedule.spaced("500 millis"), Schedule.recurs(120)))
    )
    yield* check(first.status === 401, `/patient without a session has the status ${first.status}`)

    const launched = yield* get(`${baseUrl}/launch`)
    yield* check(
      launched.url === `${baseUrl}/patient`,
      `the launch ended at ${launched.url}, status ${launched.status}`
    )
    const [, name = ""] = /<h1>([^<]+)<\/h1>/.exec(launched.body) ?? []
    yield* check(name !== "", "the page does not show the patient")
    yield* Console.log(`A launch through the development server shows the patient (${seconds(start)})`)

    writeFileSync(route(folder), changed(readFileSync(route(folder), "utf8")))
    yield* get(`${baseUrl}/patient`).pipe(
      Effect.repeat({
        until: (page) => page.version === "2",
        schedule: Schedule.intersect(Schedule.spaced("250 millis"), Schedule.recurs(120))
      })
    )
    const after = yield* get(`${baseUrl}/patient`)
    yield* check(after.version === "2", "the development server did not load the changed route")
    yield* check(after.status === 200, `after the change, /patient has the status ${after.status}`)
    yield* check(after.body.includes(`<h1>${name}</h1>`), "after the change, the page does not show the patient")
    yield* check((yield* stranger(`${baseUrl}/patient`)).status === 401, "a browser without a session sees the patient")
    yield* Console.log(`The session survives a change of the route (${seconds(start)})`)
  }).pipe(
    Effect.provide(NodeTransport.layer()),
    Effect.tapErrorCause(() => Console.error(log()))
  )
})

NodeRuntime.runMain(Effect.scoped(program))
