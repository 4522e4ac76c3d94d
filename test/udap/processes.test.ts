/** Ten processes that share a store and start together: see `registrationWorker.ts`. */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { server } from "../support/http.js"
import { type SharedPlace, sharedPlaces } from "../support/sharedPlaces.js"
import {
  type AuthorizationServer,
  COMMUNITY,
  issueApp,
  makePki,
  makeServer,
  pemOf,
  privateKeyOf
} from "./authorizationServer.js"

const PROCESSES = 10

const worker = fileURLToPath(new URL("./registrationWorker.ts", import.meta.url))

/** The exit code of a process, the client id that it printed, and its errors. */
const run = (settings: Readonly<Record<string, string>>) =>
  Effect.async<readonly [number | null, string, string]>((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", worker, JSON.stringify(settings)], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    let errors = ""
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString()
    })
    child.once("close", (code) => resume(Effect.succeed([code, output.split("\n").at(-1) ?? "", errors])))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** The test's authorization server on a port. */
const listening = Effect.gen(function*() {
  const current: { server?: AuthorizationServer } = {}
  const { origin } = yield* server((request, response, body) => {
    const url = `${origin}${request.url ?? ""}`
    const seen = { method: request.method ?? "", url, headers: {}, body, at: Date.now(), request: undefined as never }
    void current.server?.handle(seen).then((answer) =>
      answer.text().then((text) => response.writeHead(answer.status, { "content-type": "application/json" }).end(text))
    )
  })
  current.server = yield* makeServer({ origin })
  return current.server
})

const registeredOnce = ({ address, kind }: SharedPlace) =>
  Effect.gen(function*() {
    const { inter, root } = yield* makePki
    const issued = yield* issueApp({ key: "p256" })
    const authorizationServer = yield* listening
    const settings = {
      kind,
      address: yield* address,
      fhirBaseUrl: authorizationServer.fhirBaseUrl,
      community: COMMUNITY,
      anchor: pemOf("CERTIFICATE", root.der),
      chain: pemOf("CERTIFICATE", issued.der) + pemOf("CERTIFICATE", inter.der),
      privateKey: Redacted.value(yield* privateKeyOf(issued))
    }
    const results = yield* Effect.forEach(Array.from({ length: PROCESSES }), () => run(settings), {
      concurrency: "unbounded"
    })
    assert.deepStrictEqual(results.map(([code, clientId]) => [code, clientId]), results.map(() => [0, "client-1"]))
    assert.lengthOf(authorizationServer.of("register"), 1)
  }).pipe(Effect.scoped)

describe("ten processes that start together register once", () => {
  // The contract of the stores covers the other places.
  for (const place of sharedPlaces().filter((place) => "reason" in place || ["files", "redis"].includes(place.kind))) {
    const test = "reason" in place ? it.skip : it
    test(
      `in ${place.name}${"reason" in place ? ` (${place.reason})` : ""}`,
      () => "reason" in place ? Promise.resolve() : Effect.runPromise(registeredOnce(place)),
      180_000
    )
  }
})
