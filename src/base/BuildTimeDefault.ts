import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const explicit = <I, S>(reference: Context.Reference<I, S>): Effect.Effect<Option.Option<S>> =>
  Effect.map(
    Effect.context<never>(),
    (context) => context.unsafeMap.has(reference.key) ? Option.some(Context.get(context, reference)) : Option.none()
  )

const withReference = <A, E, R, I, S>(
  self: Effect.Effect<A, E, R>,
  reference: Context.Reference<I, S>,
  service: S
): Effect.Effect<A, E, R> =>
  Effect.mapInputContext<A, E, R, R>(self, (context: Context.Context<R>) => Context.add(context, reference, service))

/**
 * Makes the setting of a service's layer the default of its methods; the setting of a call has precedence. A reference
 * that is read only at call time would ignore `Layer.provide`; one that is read only at build time would ignore the
 * call. Run it once, where the service is made.
 *
 * @internal
 */
export const withBuildTimeDefault = <I, S>(
  reference: Context.Reference<I, S>
): Effect.Effect<<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>> =>
  Effect.map(
    explicit(reference),
    Option.match({
      onNone: () => (self) => self,
      onSome: (built) => (self) =>
        Effect.flatMap(explicit(reference), (now) =>
          Option.isSome(now)
            ? self
            : withReference(self, reference, built))
    })
  )
