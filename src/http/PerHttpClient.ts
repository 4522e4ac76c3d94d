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

/** Equal if the options are equal member by member, and constructor and settings are the same objects. */
const keyOf = (make: object, options: object, { unsafeMap }: Context.Context<never>): object =>
  Data.tuple(
    make,
    Data.struct(options),
    ...[RetryPolicy, HttpLimits, ConformanceWarnings].map(({ key }): unknown => unsafeMap.get(key))
  )

type Make<S> = Effect.Effect<S, never, HttpClient.HttpClient | Scope.Scope>

interface Service {
  /** The service of an `HttpClient` and a key, made at the first call. */
  readonly get: <I, S>(
    tag: Context.Tag<I, S>,
    client: HttpClient.HttpClient,
    key: object,
    make: Make<S>,
    settings: Context.Context<never>
  ) => Effect.Effect<S>
}

/**
 * The services of a build.
 *
 * @internal
 */
export class Registry extends Context.Tag("effect-safire/http/PerHttpClient/Registry")<Registry, Service>() {}

/**
 * One for each build, because Effect memoises it.
 *
 * @internal
 */
export const layerRegistry: Layer.Layer<Registry> = Layer.scoped(
  Registry,
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const lock = yield* Effect.makeSemaphore(1)
    const made = new WeakMap<HttpClient.HttpClient, MutableHashMap.MutableHashMap<object, Context.Context<never>>>()
    return {
      get: (tag, client, key, make, settings) =>
        lock.withPermits(1)(Effect.suspend(() => {
          const services = made.get(client) ?? MutableHashMap.empty<object, Context.Context<never>>()
          made.set(client, services)
          const known = Option.flatMap(MutableHashMap.get(services, key), (service) => Context.getOption(service, tag))
          return Option.match(known, {
            onSome: Effect.succeed,
            onNone: () =>
              make.pipe(
                Effect.mapInputContext((_: Context.Context<never>) =>
                  Context.add(Context.add(settings, HttpClient.HttpClient, client), Scope.Scope, scope)
                ),
                Effect.tap((service) => {
                  MutableHashMap.set(services, key, Context.make(tag, service))
                }),
                Effect.uninterruptible
              )
          })
        }))
    }
  })
)

/**
 * The layers of a service. They share it if they have the same `HttpClient`, equal options and equal settings: a
 * failure because of one client's limit must not reach another client. `service` is for a layer that provides several.
 *
 * @internal
 */
export const perHttpClient = <I, S, O extends object>(tag: Context.Tag<I, S>, make: (options: O) => Make<S>): {
  readonly service: (options: O) => Effect.Effect<S, never, Registry | HttpClient.HttpClient>
  readonly layer: (options: O) => Layer.Layer<I, never, HttpClient.HttpClient>
} => {
  const service = (options: O) =>
    Effect.gen(function*() {
      const registry = yield* Registry
      const client = yield* HttpClient.HttpClient
      const settings = settingsOf(yield* Effect.context<never>())
      return yield* registry.get(tag, client, keyOf(make, options, settings), make(options), settings)
    })
  return { service, layer: (options) => Layer.provide(Layer.effect(tag, service(options)), layerRegistry) }
}
