/**
 * Reads the resources of the launch context: the user, the patient, the encounter and `fhirContext` (SMART App Launch
 * 2.2, requirements 168 to 194 and 198 to 204).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { TokenSet } from "../../token/TokenSet.js"
import type { FhirError } from "../FhirError.js"
import type { References } from "../Reference.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { Interactions } from "./interaction.js"
import type { AnySchema, Decoded, Decoding } from "./resource.js"
import type { AnyResourceOf, FhirVersion, ResourceOf } from "./resourceTypes.js"

/**
 * The resources of the launch context.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchResources<E, R, V extends FhirVersion> {
  /** The patient in context. Needs the scope `launch/patient`, or an EHR launch. */
  readonly patient: <S extends AnySchema | undefined = undefined>(
    options?: Decoding<S>
  ) => Effect.Effect<Decoded<S, ResourceOf<V, "Patient">>, FhirError | E, R>
  /** The encounter in context. */
  readonly encounter: <S extends AnySchema | undefined = undefined>(
    options?: Decoding<S>
  ) => Effect.Effect<Decoded<S, ResourceOf<V, "Encounter">>, FhirError | E, R>
  /** The user, by the verified id_token. A user of another server is a `ForeignLink` (requirement 97). */
  readonly fhirUser: <S extends AnySchema | undefined = undefined>(
    options?: Decoding<S>
  ) => Effect.Effect<Decoded<S, AnyResourceOf<V>>, FhirError | E, R>
  /**
   * The resources that `fhirContext` references with a role (default `launch`). Items with only a canonical or an
   * identifier are left out.
   */
  readonly fhirContext: (options?: {
    readonly role?: string | undefined
  }) => Effect.Effect<ReadonlyArray<AnyResourceOf<V>>, FhirError | E, R>
}

export const make = <E, R, V extends FhirVersion>(
  { refuse, source }: FhirRequester<E, R>,
  { read }: Pick<Interactions<E, R, V>, "read">,
  { readReference }: Pick<References<E, R, V>, "readReference">
): LaunchResources<E, R, V> => {
  const inContext = <A>(name: string, find: (tokens: TokenSet) => A | undefined): Effect.Effect<A, FhirError | E, R> =>
    Effect.flatMap(source.tokens, (tokens) => {
      const value = find(tokens)
      return value !== undefined
        ? Effect.succeed(value)
        : refuse(`read ${name}`, "NotInContext", `the token response has no ${name}`)
    })

  return {
    patient: (options) =>
      Effect.flatMap(inContext("patient", ({ context }) => context.patient), (id) => read("Patient", id, options)),
    encounter: (options) =>
      Effect.flatMap(
        inContext("encounter", ({ context }) => context.encounter),
        (id) => read("Encounter", id, options)
      ),
    fhirUser: (options) =>
      Effect.flatMap(
        inContext("fhirUser", ({ identity }) => identity?.fhirUser),
        ({ url }) => readReference(url, options)
      ),
    fhirContext: ({ role = "launch" } = {}) =>
      Effect.flatMap(
        inContext("fhirContext", ({ context }) => context.fhirContext),
        (items) =>
          Effect.forEach(
            items.flatMap((item) => item.role === role && item.reference !== undefined ? [item.reference] : []),
            (reference) => readReference(reference),
            { concurrency: 4 }
          )
      )
  }
}
