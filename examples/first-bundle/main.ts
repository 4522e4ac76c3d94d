/** A backend service: it authenticates with its key and reads the first page of patients. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { BackendServices, ClientAuthenticationConfig, FhirClient, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"

const program = Effect.gen(function*() {
  const fhir = yield* FhirClient.FhirClient
  const pages = fhir.forBackend().searchPages("Patient", { _count: 100 })
  const first = yield* Stream.runHead(pages)
  const { matches, total } = yield* Option.match(first, {
    onNone: () => Effect.succeed({ matches: [], total: 0 }),
    onSome: Effect.succeed
  })
  yield* Console.log(`${matches.length} patients on the first page, of ${total ?? "an unknown number"}`)
})

/** The configuration is in the environment: see docs/backend.md. */
const MainLive = Layer.mergeAll(BackendServices.layerFromClient, FhirClient.layer).pipe(
  Layer.provide(SmartClient.layerConfig()),
  Layer.provide(ClientAuthenticationConfig.layer),
  Layer.provide(NodeTransport.layer())
)

program.pipe(Effect.provide(MainLive), NodeRuntime.runMain)
