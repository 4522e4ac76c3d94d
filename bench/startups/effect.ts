/**
 * The modules of an app with Effect, platform and Schema.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

class Reading extends Schema.Class<Reading>("Reading")({ value: Schema.Number }) {}

await Effect.runPromise(
  Effect.flatMap(HttpClient.HttpClient, () => Stream.runCollect(Stream.make(new Reading({ value: 1 })))).pipe(
    Effect.provide(Layer.mergeAll(FetchHttpClient.layer))
  )
)
