/**
 * What the launch brought, read as resources: who logged in, the patient, the encounter, and what else is in `fhirContext` (SMART App Launch 2.2,
 * requirements 168 to 194 and 198 to 204).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { TokenSet } from "../../token/TokenSet.js"
import type { FhirError } from "../FhirError.js"
import type { References } from "../Reference.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { Interactions } from "./interaction.js"
import type { Decoding, Resource } from "./resource.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface LaunchResources<E, R> {
  /** The patient in context. Asks for the scope `launch/patient`, or an EHR launch. */
  readonly patient: <A = Resource, I = unknown>(options?: Decoding<A, I>) => Effect.Effect<A, FhirError | E, R>
  readonly encounter: <A = Resource, I = unknown>(options?: Decoding<A, I>) => Effect.Effect<A, FhirError | E, R>
  /** Who logged in, by the verified id_token. Whose resource is at another server is a `ForeignLink` (requirement 97). */
  readonly fhirUser: <A = Resource, I = unknown>(options?: Decoding<A, I>) => Effect.Effect<A, FhirError | E, R>
  /** The references of `fhirContext` with a role, `launch` unless another is named; canonicals and identifiers lead to no one place. */
  readonly fhirContext: (options?: {
    readonly role?: string | undefined
  }) => Effect.Effect<ReadonlyArray<Resource>, FhirError | E, R>
}

/**
 * @internal
 */
export const make = <E, R>(
  { failing, source }: FhirRequester<E, R>,
  { read }: Pick<Interactions<E, R>, "read">,
  { readReference }: Pick<References<E, R>, "readReference">
): LaunchResources<E, R> => {
  const given = <A>(name: string, find: (tokens: TokenSet) => A | undefined): Effect.Effect<A, FhirError | E, R> =>
    Effect.flatMap(source.tokens, (tokens) => {
      const found = find(tokens)
      return found !== undefined ?
        Effect.succeed(found) :
        Effect.flatMap(
          failing(`read ${name}`),
          (fail) => fail({ reason: "NotInContext", detail: `the token came without ${name}`, processed: "no" })
        )
    })

  return {
    patient: (options) =>
      Effect.flatMap(given("patient", ({ context }) => context.patient), (id) => read("Patient", id, options)),
    encounter: (options) =>
      Effect.flatMap(given("encounter", ({ context }) => context.encounter), (id) => read("Encounter", id, options)),
    fhirUser: (options) =>
      Effect.flatMap(given("fhirUser", ({ identity }) => identity?.fhirUser), ({ url }) => readReference(url, options)),
    fhirContext: ({ role = "launch" } = {}) =>
      Effect.flatMap(
        given("fhirContext", ({ context }) => context.fhirContext),
        (items) =>
          Effect.forEach(
            items.flatMap((item) => item.role === role && item.reference !== undefined ? [item.reference] : []),
            (reference) => readReference(reference),
            { concurrency: 4 }
          )
      )
  }
}
