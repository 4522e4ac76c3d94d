// Counts the files that each step of docs/architecture.md ("Paths") passes through, with V8's coverage of the compiled
// modules.
//
//   npm run build && node scripts/paths.mjs
//
// A file counts if one of its functions runs between the start and the end of the step. Not counted: src/base,
// src/testing and error classes. "cold" is a new client without cached metadata, "cached" the second run of one client.
import { Session } from "node:inspector/promises"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, FhirClient, Sessions, SessionStore, SmartClient } from "../.tsbuildinfo/src/index.js"
import { SandboxEhr } from "../.tsbuildinfo/src/testing/index.js"

const inspector = new Session()
inspector.connect()
await inspector.post("Profiler.enable")

const MODULES = new URL("../.tsbuildinfo/src/", import.meta.url).href

const isCounted = (file) => !/^(base|testing)\/|Error\.js$/.test(file)

/** The modules with a function that ran, other than the module itself, which begins at 0. */
const filesOf = ({ result }) =>
  result.flatMap(({ functions, url }) => {
    const file = url.startsWith(MODULES) ? url.slice(MODULES.length) : undefined
    const ran = functions.some(({ ranges: [{ count, startOffset }] }) => count > 0 && startOffset > 0)
    return file !== undefined && ran && isCounted(file) ? [file.replace(/\.js$/, "")] : []
  }).sort()

const measured = (name, step) =>
  Effect.gen(function*() {
    yield* Effect.promise(() => inspector.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false }))
    const result = yield* step
    const files = filesOf(yield* Effect.promise(() => inspector.post("Profiler.takePreciseCoverage")))
    yield* Effect.promise(() => inspector.post("Profiler.stopPreciseCoverage"))
    console.log(`${name}: ${files.length} files\n  ${files.join(" ")}`)
    return result
  })

const config = (scopes) => ({
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes
})
const SCOPES = ["launch/patient", "patient/*.rs", "offline_access"]
const OPENID = ["openid", "fhirUser", ...SCOPES]

const transport = SandboxEhr.layerHttpClient()
const clientFor = (scopes) =>
  Effect.map(
    Layer.build(Layer.fresh(SmartClient.layer(config(scopes)).pipe(Layer.provide(ClientAuthentication.layerPublic)))),
    Context.get(SmartClient.SmartClient)
  )

const program = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  for (const state of ["cold", "cached"]) {
    for (const [name, scopes] of [["without openid", SCOPES], ["with openid", OPENID]]) {
      const first = yield* clientFor(scopes)
      if (state === "cached") {
        const { pending, url } = yield* first.authorize()
        yield* first.exchange(yield* ehr.approve(url), pending)
      }
      const { pending, url } = yield* measured(`authorize ${name}, ${state}`, Effect.suspend(() => first.authorize()))
      const callback = yield* ehr.approve(url)
      const second = state === "cold" ? yield* clientFor(scopes) : first
      const tokens = yield* measured(`exchange ${name}, ${state}`, Effect.suspend(() => second.exchange(callback, pending)))
      if (name === "without openid") {
        const fhir = (yield* FhirClient.FhirClient).forTokens(second, tokens)
        if (state === "cached") yield* fhir.read("Patient", tokens.context.patient)
        yield* measured(`read, ${state}`, Effect.suspend(() => fhir.read("Patient", tokens.context.patient)))
        const sessions = yield* Layer.build(
          Sessions.layerFromClient.pipe(
            Layer.provide(Layer.succeed(SmartClient.SmartClient, second)),
            Layer.provide(SessionStore.layerMemory),
            Layer.fresh
          )
        ).pipe(Effect.map(Context.get(Sessions.Sessions)))
        const id = yield* sessions.importTokens(tokens)
        if (state === "cached") yield* sessions.accessToken(id)
        yield* measured(`accessToken, ${state}`, Effect.suspend(() => sessions.accessToken(id)))
      }
    }
  }
}).pipe(Effect.scoped, Effect.provide(FhirClient.layer.pipe(Layer.provideMerge(transport))))

await Effect.runPromise(program)
inspector.disconnect()
