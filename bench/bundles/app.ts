/**
 * An app that already uses Effect, platform and Schema: it fetches data from its own server, decodes and stores them,
 * and refreshes them by a schedule.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Cache from "effect/Cache"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

class Reading extends Schema.Class<Reading>("Reading")({
  version: Schema.Literal(1),
  at: Schema.DateTimeUtc,
  value: Schema.Number,
  unit: Schema.optional(Schema.String),
  by: Schema.Redacted(Schema.String),
  tags: Schema.Array(Schema.String),
  more: Schema.Record({ key: Schema.String, value: Schema.Unknown })
}) {}

class ReadingError extends Schema.TaggedError<ReadingError>("ReadingError")("ReadingError", {
  reason: Schema.Literal("Unreachable", "Malformed")
}) {}

interface Service {
  readonly latest: (id: string) => Effect.Effect<Option.Option<Reading>, ReadingError>
  readonly all: Stream.Stream<Reading, ReadingError>
}

class Readings extends Context.Tag("Readings")<Readings, Service>() {}

const Stored = Schema.parseJson(Schema.Union(Reading, Schema.Struct({ none: Schema.Literal(true) })))

const asked = Metric.counter("readings_asked")

const make = Effect.gen(function*() {
  const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
  const base = yield* Config.string("BASE")
  const secret = yield* Config.redacted("SECRET")
  const news = yield* PubSub.sliding<Reading>(16)
  const fetch = (id: string) =>
    HttpClientRequest.get(`${base}/${id}`).pipe(
      HttpClientRequest.bearerToken(Redacted.value(secret)),
      client.execute,
      Effect.flatMap(HttpClientResponse.schemaBodyJson(Reading)),
      Effect.scoped,
      Effect.timeout("5 seconds"),
      Effect.retry(Schedule.exponential("100 millis").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(3)))),
      Effect.mapError((error) =>
        new ReadingError({ reason: error._tag === "ParseError" ? "Malformed" : "Unreachable" })
      ),
      Effect.tap((reading) => PubSub.publish(news, reading)),
      Effect.withSpan("Readings.fetch")
    )
  const cache = yield* Cache.make({ capacity: 100, timeToLive: Duration.minutes(1), lookup: fetch })
  const latest: Service["latest"] = (id) =>
    Effect.zipLeft(cache.get(id), Metric.increment(asked)).pipe(
      Effect.zipWith(DateTime.now, (reading, now) =>
        DateTime.lessThan(reading.at, now) ? Option.some(reading) : Option.none())
    )
  return Readings.of({ latest, all: Stream.fromPubSub(news) })
})

const runtime = ManagedRuntime.make(Layer.effect(Readings, make).pipe(Layer.provide(FetchHttpClient.layer)))

export const show = (id: string): Promise<string> =>
  runtime.runPromise(
    Effect.flatMap(Readings, (readings) => readings.latest(id)).pipe(
      Effect.flatMap(Option.match({
        onNone: () => Effect.succeed("nothing"),
        onSome: (reading) => Schema.encode(Stored)(reading)
      })),
      Effect.tapErrorCause(Effect.logError)
    )
  )
