/**
 * References between resources (FHIR R4, section 2.3.0): contained, relative, absolute and versioned ones, and those
 * between the entries of a Bundle. The link policy decides whether an absolute reference is read with the token.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import { isJsonObject } from "../base/JsonReader.js"
import { type FhirError, isFhirError } from "./FhirError.js"
import type { FhirRequester } from "./internal/fhirRequester.js"
import * as Loader from "./internal/referenceLoader.js"
import { readTarget } from "./internal/referenceLoader.js"
import { containedIn, entryIn, type Located, locator, type Target, targetOf } from "./internal/referenceTarget.js"
import {
  type AnyResource,
  type AnySchema,
  decode,
  type Decoded,
  type Decoding,
  isResource,
  type Resource,
  typed
} from "./internal/resource.js"
import type { AnyResourceOf, FhirVersion } from "./internal/resourceTypes.js"

/**
 * A reference as a string, or a Reference element.
 *
 * @since 0.1.0
 * @category models
 */
export type ReferenceInput = string | { readonly reference?: string | undefined }

/**
 * The resource and the Bundle that contain a reference.
 *
 * @since 0.1.0
 * @category models
 */
export interface Surroundings {
  /** The resource that contains the reference: contained references (`#id`) are resolved in it. */
  readonly within?: AnyResource | undefined
  /** The Bundle that contains the resource: its entries are found by `fullUrl`, such as `urn:uuid:…`. */
  readonly bundle?: AnyResource | undefined
}

/**
 * Options of a request for a reference.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReferenceOptions<S extends AnySchema | undefined> extends Decoding<S>, Surroundings {}

/**
 * Options of a resolver.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResolverOptions {
  /** How many requests run at the same time. Default 4. */
  readonly concurrency?: number | undefined
  /** How many ids one search contains. 1 turns searches off. Default 50. */
  readonly batchSize?: number | undefined
  /** How long a resource is cached. Default: as long as the resolver is used. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** How many resources are cached; the oldest are dropped. Default 10,000. */
  readonly capacity?: number | undefined
}

/**
 * Reads resources in few requests, and caches them. References that are resolved together (`resolveAll`, or `resolve`
 * in an `Effect.forEach` with `batching: true`) are loaded by one search for each type: `Practitioner?_id=a,b,c`. What
 * the search does not return is read one by one; if the server rejects the search, all are.
 *
 * Versioned references and those to other servers are read one by one. Transient failures are not cached.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolver<E, R, V extends FhirVersion = "R4"> {
  /** The resource of one reference. */
  readonly resolve: (
    reference: ReferenceInput,
    options?: Surroundings
  ) => Effect.Effect<AnyResourceOf<V>, FhirError | E, R>
  /** The resources by the text of their references. An unresolvable reference does not affect the others. */
  readonly resolveAll: (
    references: Iterable<ReferenceInput>,
    options?: Surroundings
  ) => Effect.Effect<ReadonlyMap<string, Either.Either<AnyResourceOf<V>, FhirError>>, E, R>
}

/**
 * Requests for the targets of references.
 *
 * @since 0.1.0
 * @category models
 */
export interface References<E, R, V extends FhirVersion> {
  /** Reads the resource of a reference. */
  readonly readReference: <S extends AnySchema | undefined = undefined>(
    reference: ReferenceInput,
    options?: ReferenceOptions<S>
  ) => Effect.Effect<Decoded<S, AnyResourceOf<V>>, FhirError | E, R>
  /** Makes a resolver with an empty cache. */
  readonly resolver: (options?: ResolverOptions) => Resolver<E, R, V>
}

const textOf = (reference: ReferenceInput): string =>
  typeof reference === "string" ? reference : reference.reference ?? ""

/**
 * The parts of a reference to a resource on a server.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReferenceParts {
  readonly resourceType: string
  readonly id: string
  /** Absent for a reference to the current version. */
  readonly versionId: string | undefined
  /** What is before the type, without the slash. Absent for a relative reference. */
  readonly base: string | undefined
}

/**
 * The parts of `Patient/123`, `https://ehr.example.org/fhir/Patient/123` or one of these with `/_history/2`, as in the
 * `location` of a write; `undefined` for other references, such as `#id`, `urn:uuid:…` and searches.
 *
 * @since 0.1.0
 * @category accessors
 */
export const parse = (reference: ReferenceInput): ReferenceParts | undefined => {
  const target = targetOf(textOf(reference))
  return target === undefined
    ? undefined
    : { resourceType: target.type, id: target.id, versionId: target.version, base: target.base }
}

/**
 * The distinct references in a resource and its contained resources, in document order.
 *
 * @since 0.1.0
 * @category accessors
 */
export const collect = (resource: AnyResource): ReadonlyArray<string> => {
  const found = new Set<string>()
  const queue: Array<unknown> = [resource]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (isJsonObject(next) && typeof next["reference"] === "string" && next["reference"] !== "") {
      found.add(next["reference"])
    }
    // A long list as arguments of one `push` would overflow the stack.
    for (const value of Object.values(next ?? {}).reverse()) {
      if (typeof value === "object" && value !== null) queue.push(value)
    }
  }
  return [...found]
}

/**
 * The contained resource of a reference `#id`; `#` is the container itself.
 *
 * @since 0.1.0
 * @category accessors
 */
export const contained: {
  (reference: string): (within: AnyResource) => Resource | undefined
  (within: AnyResource, reference: string): Resource | undefined
} = dual(2, (within: AnyResource, reference: string): Resource | undefined => containedIn(within)(reference))

/**
 * The resource of an entry of a Bundle by its `fullUrl` (FHIR R4, section 2.36.4.1): `urn:uuid:…`, an absolute URL, or
 * a relative reference. `within`, the resource with the reference, gives a relative reference its base.
 *
 * @since 0.1.0
 * @category accessors
 */
export const inBundle: {
  (reference: string, within?: AnyResource): (bundle: AnyResource) => Resource | undefined
  (bundle: AnyResource, reference: string, within?: AnyResource): Resource | undefined
} = dual(
  ([first]: IArguments) => typeof first !== "string",
  (bundle: AnyResource, reference: string, within?: AnyResource): Resource | undefined =>
    entryIn(bundle, within)(reference)
)

/** @internal */
export const make = <E, R, V extends FhirVersion>(requester: FhirRequester<E, R>): References<E, R, V> => {
  const INTERACTION = "read reference"

  const load = (
    located: Located,
    read: (target: Target) => Effect.Effect<Resource, FhirError | E, R>
  ): Effect.Effect<Resource, FhirError | E, R> =>
    typeof located === "string"
      ? requester.refuse(INTERACTION, "InvalidReference", located)
      : isResource(located)
      ? Effect.succeed(located)
      : read(located)

  const readReference: References<E, R, V>["readReference"] = (reference, options = {}) =>
    Effect.flatMap(
      Effect.suspend(() => load(locator(options)(textOf(reference)), (target) => readTarget(requester, target))),
      (resource) => Effect.flatMap(requester.errors(INTERACTION), (fail) => decode(resource, options, fail))
    )

  const resolver: References<E, R, V>["resolver"] = (
    { batchSize = 50, capacity = 10_000, concurrency = 4, timeToLive = Infinity } = {}
  ) => {
    const read = Loader.make(requester, {
      batchSize: Math.max(1, batchSize),
      capacity,
      concurrency: Math.max(1, concurrency),
      timeToLive
    })
    return {
      resolve: (reference, options = {}) =>
        Effect.map(Effect.suspend(() => load(locator(options)(textOf(reference)), read)), typed<AnyResourceOf<V>>),
      resolveAll: (references, options = {}) =>
        Effect.suspend(() => {
          const locate = locator(options)
          const resolved = new Map<string, Either.Either<AnyResourceOf<V>, FhirError>>()
          const resolveOne = (reference: string, located: Located) =>
            Effect.map(
              Effect.either(load(located, read)),
              (result): Effect.Effect<void, E> => {
                if (Either.isRight(result)) {
                  resolved.set(reference, Either.right(typed<AnyResourceOf<V>>(result.right)))
                  return Effect.void
                }
                const error = result.left
                if (!isFhirError(error)) return Effect.fail(error)
                resolved.set(reference, Either.left(error))
                return Effect.void
              }
            ).pipe(Effect.flatten)
          const remaining: Array<Effect.Effect<void, E, R>> = []
          for (const reference of new Set(Array.from(references, textOf))) {
            const located = locate(reference)
            if (isResource(located)) resolved.set(reference, Either.right(typed<AnyResourceOf<V>>(located)))
            else remaining.push(resolveOne(reference, located))
          }
          return Effect.as(
            Effect.all(remaining, { batching: true, concurrency: "unbounded", discard: true }),
            resolved
          )
        })
    }
  }

  return { readReference, resolver }
}
