/**
 * References between resources (FHIR R4, section 2.3.0): contained, relative and absolute. The link policy decides
 * whether an absolute reference is read with the token.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import { isJsonObject, reader } from "../base/JsonReader.js"
import * as SingleFlight from "../base/SingleFlight.js"
import type { FhirError } from "./FhirError.js"
import { isFhirError } from "./FhirError.js"
import type { FhirRequester } from "./internal/fhirRequester.js"
import type { AnyResource, AnySchema, Decoded, Decoding, Resource } from "./internal/resource.js"
import { decode, isId, isResource, isType, typed } from "./internal/resource.js"
import type { AnyResourceOf, FhirVersion } from "./internal/resourceTypes.js"

/**
 * A reference as a string, or a Reference element.
 *
 * @since 0.1.0
 * @category models
 */
export type ReferenceInput = string | { readonly reference?: string | undefined }

/**
 * Options of a request for a reference.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReferenceOptions<S extends AnySchema | undefined> extends Decoding<S> {
  /** The resource that contains the reference: contained references (`#id`) are resolved in it. */
  readonly within?: AnyResource | undefined
}

/**
 * Options of a resolver.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResolverOptions {
  /** How many resources are read at the same time. Default 4. */
  readonly concurrency?: number | undefined
}

/**
 * Reads each resource at most once, and caches it for the lifetime of the resolver.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolver<E, R, V extends FhirVersion = "R4"> {
  /** The resource of one reference. */
  readonly resolve: (
    reference: ReferenceInput,
    options?: { readonly within?: AnyResource | undefined }
  ) => Effect.Effect<AnyResourceOf<V>, FhirError | E, R>
  /** The resources by the text of their references. An unresolvable reference does not affect the others. */
  readonly resolveAll: (
    references: Iterable<ReferenceInput>,
    options?: { readonly within?: AnyResource | undefined }
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

type Lookup = (reference: string) => Resource | undefined

/** Finds contained resources by `#id`; the first one if several have the same id. */
const containedIn = (within: AnyResource): Lookup => {
  const resources = isJsonObject(within) ? reader(within, () => undefined).objects("contained") ?? [] : []
  const byReference = new Map<string, Resource>()
  for (const resource of resources.filter(isResource)) {
    const { id } = resource
    if (typeof id === "string" && !byReference.has(`#${id}`)) byReference.set(`#${id}`, resource)
  }
  return (reference) => reference !== "#" ? byReference.get(reference) : isResource(within) ? within : undefined
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

/** The type, the id and optionally the version at the end of a reference. */
const TARGET = /(?:^|\/)([A-Za-z]{1,64})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/

/** A resource on a server. */
interface Target {
  readonly reference: string
  readonly type: string
}

const targetOf = (reference: string): Target | undefined => {
  const [, type = "", id = "", version] = TARGET.exec(reference) ?? []
  return isType(type) && isId(id) && (version === undefined || isId(version)) ? { reference, type } : undefined
}

/** The contained resource, the target on a server, or why the reference is invalid. */
const locate = (reference: string, lookup: Lookup | undefined): Resource | Target | string => {
  if (reference.startsWith("#")) {
    return lookup?.(reference) ?? "the contained resource does not exist, or the option `within` is missing"
  }
  return targetOf(reference) ?? "the reference does not end with a resource type and an id"
}

/** @internal */
export const make = <E, R, V extends FhirVersion>(
  { errors, refuse, resolve, send }: FhirRequester<E, R>
): References<E, R, V> => {
  const INTERACTION = "read reference"

  const fetch = ({ reference, type }: Target): Effect.Effect<Resource, FhirError | E, R> =>
    Effect.flatMap(
      send({ interaction: `read ${type}`, url: reference }),
      ({ fail, json, status }) =>
        isResource(json) && json.resourceType === type
          ? Effect.succeed(json)
          : fail({ reason: "NotFhir", detail: `HTTP status ${status} without the ${type}`, status })
    )

  const lookupIn = ({ within }: { readonly within?: AnyResource | undefined } = {}): Lookup | undefined => {
    // The index is made for the first contained reference, and once for all that are resolved together.
    let lookup: Lookup | undefined
    return within === undefined ? undefined : (reference) => (lookup ??= containedIn(within))(reference)
  }

  const readWith = (
    reference: ReferenceInput,
    lookup: Lookup | undefined,
    read: (target: Target) => Effect.Effect<Resource, FhirError | E, R>
  ): Effect.Effect<Resource, FhirError | E, R> =>
    Effect.suspend(() => {
      const located = locate(textOf(reference), lookup)
      return typeof located === "string"
        ? refuse(INTERACTION, "InvalidReference", located)
        : isResource(located)
        ? Effect.succeed(located)
        : read(located)
    })

  const readReference: References<E, R, V>["readReference"] = (reference, options = {}) =>
    Effect.flatMap(
      readWith(reference, lookupIn(options), fetch),
      (resource) => Effect.flatMap(errors(INTERACTION), (fail) => decode(resource, options, fail))
    )

  const resolver: References<E, R, V>["resolver"] = ({ concurrency = 4 } = {}) => {
    const semaphore = Effect.unsafeMakeSemaphore(concurrency)
    const reads = SingleFlight.make<Resource, FhirError | E>()
    const cache = new Map<string, Either.Either<Resource, FhirError>>()

    const readCached = (target: Target): Effect.Effect<Resource, FhirError | E, R> =>
      Effect.flatMap(resolve(target.reference), (url) => {
        const key = url?.href ?? target.reference
        return cache.get(key) ?? reads.run(key, () =>
          semaphore.withPermits(1)(fetch(target)).pipe(
            Effect.tap((resource) => Effect.sync(() => cache.set(key, Either.right(resource)))),
            Effect.tapError((error) =>
              Effect.sync(() => {
                // A transient failure is not cached.
                if (isFhirError(error) && !error.isRetryable) cache.set(key, Either.left(error))
              })
            )
          ))
      })

    return {
      resolve: (reference, options) =>
        Effect.map(readWith(reference, lookupIn(options), readCached), typed<AnyResourceOf<V>>),
      resolveAll: (references, options) => {
        const lookup = lookupIn(options)
        const resolveOne = (reference: string): Effect.Effect<Either.Either<AnyResourceOf<V>, FhirError>, E, R> =>
          Effect.catchAll(
            Effect.map(
              readWith(reference, lookup, readCached),
              (resource) => Either.right(typed<AnyResourceOf<V>>(resource))
            ),
            (error: FhirError | E) => isFhirError(error) ? Effect.succeed(Either.left(error)) : Effect.fail(error)
          )
        return Effect.map(
          Effect.forEach(
            new Set(Array.from(references, textOf)),
            (reference) => Effect.map(resolveOne(reference), (result) => [reference, result] as const),
            { concurrency }
          ),
          (results) => new Map(results)
        )
      }
    }
  }

  return { readReference, resolver }
}
