/**
 * Layers of services with a cache: one service for each `HttpClient` of a build.
 *
 * Effect memoises a layer by its reference and ignores its environment: a constant layer would use the first
 * `HttpClient` for all. Each call therefore returns a new layer, and only the registry, which requires nothing, is a
 * constant. The registry lives as long as the build: a module-level `WeakMap` would share caches between builds.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { ConformanceWarnings } from "../base/ConformanceWarning.js"
import { HttpLimits } from "./HttpLimits.js"
import { RetryPolicy } from "./RetryPolicy.js"

/** The settings that an environment provides explicitly. */
const settingsOf: (environment: Context.Context<never>) => Context.Context<never> = Context.pick(
  RetryPolicy,
  HttpLimits,
  ConformanceWarnings
)

/** Equal if the options are equal member by member and the settings are the same objects. */
const keyOf = (options: object, { unsafeMap }: Context.Context<never>): object =>
  Data.tuple(
    Data.struct(options),
    ...[RetryPolicy, HttpLimits, ConformanceWarnings].map(({ key }): unknown => unsafeMap.get(key))
  )

/**
 * Layers share a service if they have the same `HttpClient`, equal options and equal settings: a failure because of one
 * client's limit must not reach another client.
 *
 * @internal
 */
export const perHttpClient = <I, S, O extends object>(
  tag: Context.Tag<I, S>,
  make: (options: O) => Effect.Effect<S, never, HttpClient.HttpClient | Scope.Scope>
): (options: O) => Layer.Layer<I, never, HttpClient.HttpClient> => {
  const Registry = Context.GenericTag<
    (client: HttpClient.HttpClient, options: O, settings: Context.Context<never>) => Effect.Effect<S>
  >(`${tag.key}/perHttpClient`)

  const registry = Layer.scoped(
    Registry,
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const lock = yield* Effect.makeSemaphore(1)
      const made = new WeakMap<HttpClient.HttpClient, MutableHashMap.MutableHashMap<object, S>>()
      return (client, options, settings) =>
        lock.withPermits(1)(Effect.suspend(() => {
          const key = keyOf(options, settings)
          const services = made.get(client) ?? MutableHashMap.empty<object, S>()
          made.set(client, services)
          return Option.match(MutableHashMap.get(services, key), {
            onSome: Effect.succeed,
            onNone: () =>
              make(options).pipe(
                Effect.mapInputContext((_: Context.Context<never>) =>
                  Context.add(Context.add(settings, HttpClient.HttpClient, client), Scope.Scope, scope)
                ),
                Effect.tap((service) => {
                  MutableHashMap.set(services, key, service)
                }),
                Effect.uninterruptible
              )
          })
        }))
    })
  )

  return (options) =>
    Layer.effect(
      tag,
      Effect.gen(function*() {
        const shared = yield* Registry
        const client = yield* HttpClient.HttpClient
        return yield* shared(client, options, settingsOf(yield* Effect.context<never>()))
      })
    ).pipe(Layer.provide(registry))
}
