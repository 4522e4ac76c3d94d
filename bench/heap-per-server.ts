/**
 * How much heap a configured server costs before anybody has used it: 10,000 of them in one registry, without metadata. Prints one line and exits with
 * 1 where a server costs more than it may: `npx tsx bench/heap-per-server.ts`.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { ClientAuthentication, SmartServers } from "effect-safire"

const SERVERS = 10_000
const MAX_BYTES = 4_096

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

const heap = (): number => {
  for (let i = 0; i < 4; i++) collect()
  return process.memoryUsage().heapUsed
}

const server = (i: number) => ({
  fhirBaseUrl: `https://fhir-${i}.example.org/tenants/${i}/r4`,
  clientId: `client-${i}`,
  redirectUri: "https://app.example.org/callback",
  scopes: ["launch/patient", "patient/*.rs", "openid", "fhirUser", "offline_access"],
  authentication: ClientAuthentication.makeClientSecretBasic({ clientSecret: Redacted.make(`secret-${i}`) })
})

/** Bytes of heap for each of `SERVERS` that are added to a registry, their settings included. */
const measure = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(
    SmartServers.layer({ first: server(SERVERS) }).pipe(Layer.provide(FetchHttpClient.layer)),
    scope
  )
  const servers = yield* Effect.provide(SmartServers.SmartServers, context)
  // The first ones pay for what all share.
  yield* Effect.forEach(Array.from({ length: 100 }, (_, i) => i), (i) => servers.add(`warm-${i}`, server(i)))
  const before = heap()
  for (let i = 0; i < SERVERS; i++) yield* servers.add(`server-${i}`, server(i))
  const configured = (heap() - before) / SERVERS
  for (let i = 0; i < SERVERS; i++) yield* servers.client(`server-${i}`)
  const inUse = (heap() - before) / SERVERS
  yield* Scope.close(scope, Exit.void)
  return { configured: Math.round(configured), inUse: Math.round(inUse) }
})

const { configured, inUse } = Effect.runSync(measure)
const fits = configured < MAX_BYTES
process.stdout.write(
  `${SERVERS} servers: ${configured} bytes of heap each (${
    fits ? "within" : "more than"
  } ${MAX_BYTES}), ${inUse} once in use\n`
)
process.exitCode = fits ? 0 : 1
