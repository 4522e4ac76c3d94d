/**
 * Heap while a search streams 100,000 resources: flat, whatever the number of pages. `npm run bench:memory`; exits with
 * 1 if it grows by more than 32 MB.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { ClientAuthentication, FhirClient, LaunchContext, SmartClient, TokenSet } from "effect-safire"

const RESOURCES = 100_000
const PAGE = 500
const fhirBaseUrl = "https://ehr.example.test/fhir"

const page = (start: number) => ({
  resourceType: "Bundle",
  type: "searchset",
  link: start + PAGE < RESOURCES ? [{ relation: "next", url: `${fhirBaseUrl}/Observation?start=${start + PAGE}` }] : [],
  entry: Array.from({ length: PAGE }, (_, i) => ({
    search: { mode: "match" },
    resource: { resourceType: "Observation", id: `o-${start + i}`, valueString: "x".repeat(500) }
  }))
})

const server = HttpClient.make((request, url) =>
  Effect.sync(() =>
    HttpClientResponse.fromWeb(request, Response.json(page(Number(url.searchParams.get("start") ?? 0))))
  )
)

const tokens = new TokenSet.TokenSet({
  version: 1,
  accessToken: Redacted.make("token"),
  receivedAt: DateTime.unsafeMake(0),
  scopes: [],
  context: new LaunchContext.LaunchContext({}),
  extensions: Redacted.make({})
})

const megabytes = Effect.sync(() => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1024 / 1024
})

const program = Effect.gen(function*() {
  const client = yield* SmartClient.SmartClient
  const fhir = yield* FhirClient.FhirClient
  const search = fhir.forTokens(client, tokens).search("Observation", {}, { maxPages: RESOURCES / PAGE })
  const heap: Array<number> = []
  let count = 0
  yield* Stream.runForEach(search, () => {
    count += 1
    return count % 10_000 === 0 ? Effect.map(megabytes, (size) => void heap.push(size)) : Effect.void
  })
  yield* Console.log(
    `${count} resources, heap in MB after each 10,000: ${heap.map((size) => size.toFixed(0)).join(" ")}`
  )
  const growth = Math.max(...heap.slice(1)) - (heap[0] ?? 0)
  if (count !== RESOURCES || growth > 32) return yield* Effect.dieMessage(`heap grew by ${growth.toFixed(0)} MB`)
})

const layer = Layer.mergeAll(SmartClient.layer({ fhirBaseUrl, clientId: "bench" }), FhirClient.layer).pipe(
  Layer.provide(ClientAuthentication.layerPublic),
  Layer.provide(Layer.succeed(HttpClient.HttpClient, server))
)

await Effect.runPromise(Effect.provide(program, layer))
