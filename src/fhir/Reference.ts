/**
 * References between resources (FHIR R4, section 2.3.0): contained, relative and absolute ones, read with the token only where it may go.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { isJsonObject, reader } from "../base/JsonReader.js"
import * as SingleFlight from "../base/SingleFlight.js"
import type { FhirError, Fields } from "./FhirError.js"
import { isFhirError } from "./FhirError.js"
import type { FhirRequester } from "./internal/fhirRequester.js"
import type { AnyResource, Decoding, Resource } from "./internal/resource.js"
import { decode, isId, isResource, isType } from "./internal/resource.js"

/**
 * A reference as text, or the element that holds it.
 *
 * @since 0.1.0
 * @category models
 */
export type ReferenceInput = string | { readonly reference?: string | undefined }

/**
 * @since 0.1.0
 * @category models
 */
export interface ReferenceOptions<A, I> extends Decoding<A, I> {
  /** The resource the reference stands in: where contained ones (`#id`) are looked for. */
  readonly within?: AnyResource | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ResolverOptions {
  /** How many are read at once. Default 4. */
  readonly concurrency?: number | undefined
}

/**
 * Reads each resource at most once, however many references lead to it: for as long as it is kept, it keeps what it has read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolver<E, R> {
  readonly resolve: (
    reference: ReferenceInput,
    options?: { readonly within?: AnyResource | undefined }
  ) => Effect.Effect<Resource, FhirError | E, R>
  /** All references, by their text; one that leads nowhere does not cost the others. */
  readonly resolveAll: (
    references: Iterable<ReferenceInput>,
    options?: { readonly within?: AnyResource | undefined }
  ) => Effect.Effect<ReadonlyMap<string, Either.Either<Resource, FhirError>>, E, R>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface References<E, R> {
  readonly readReference: <A = Resource, I = unknown>(
    reference: ReferenceInput,
    options?: ReferenceOptions<A, I>
  ) => Effect.Effect<A, FhirError | E, R>
  readonly resolver: (options?: ResolverOptions) => Resolver<E, R>
}

const textOf = (reference: ReferenceInput): string =>
  typeof reference === "string" ? reference : reference.reference ?? ""

/**
 * Every reference in a resource, contained resources included, each once, in the order they stand there.
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
    // One by one: as arguments of one call, a long list overflows the stack.
    for (const value of Object.values(next ?? {}).reverse()) {
      if (typeof value === "object" && value !== null) queue.push(value)
    }
  }
  return [...found]
}

type Lookup = (reference: string) => Resource | undefined

/** The contained resources by `#id`, the first one of each id: for one look-up or for many. */
const containedIn = (within: AnyResource): Lookup => {
  const inside = isJsonObject(within) ? reader(within, () => undefined).objects("contained") ?? [] : []
  const byReference = new Map<string, Resource>()
  for (const resource of inside.filter(isResource)) {
    const { id } = resource
    if (typeof id === "string" && !byReference.has(`#${id}`)) byReference.set(`#${id}`, resource)
  }
  return (reference) => reference !== "#" ? byReference.get(reference) : isResource(within) ? within : undefined
}

/**
 * A resource that stands inside of another; `#` alone is that other itself.
 *
 * @since 0.1.0
 * @category accessors
 */
export const contained = (within: AnyResource, reference: string): Resource | undefined =>
  containedIn(within)(reference)

/** The type and the id at the end of a reference, with the version where it names one. */
const TARGET = /(?:^|\/)([A-Za-z]{1,64})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/

interface Target {
  readonly reference: string
  readonly type: string
}

/** Where a resource is: at hand, or to be fetched. */
type Found =
  | { readonly _tag: "Inside"; readonly resource: Resource }
  | { readonly _tag: "Elsewhere"; readonly target: Target }

const targetOf = (reference: string): Target | undefined => {
  const [, type = "", id = "", version] = TARGET.exec(reference) ?? []
  return isType(type) && isId(id) && (version === undefined || isId(version))
    ? { reference, type }
    : undefined
}

/**
 * @internal
 */
export const make = <E, R>({ failing, resolve, send }: FhirRequester<E, R>): References<E, R> => {
  const invalid = (detail: string): Fields => ({ reason: "InvalidReference", detail, processed: "no" })

  const fetch = ({ reference, type }: Target): Effect.Effect<Resource, FhirError | E, R> =>
    Effect.flatMap(
      send({ interaction: `read ${type}`, url: reference }),
      ({ fail, json, status }) =>
        isResource(json) && json.resourceType === type
          ? Effect.succeed(json)
          : fail({ reason: "NotFhir", detail: `it answered ${status} without the ${type}`, status })
    )

  const find = (
    reference: ReferenceInput,
    lookup: Lookup | undefined
  ): Either.Either<Found, Fields> => {
    const text = textOf(reference)
    if (text.startsWith("#")) {
      const inside = lookup?.(text)
      return inside === undefined
        ? Either.left(invalid("a contained resource is not there, or it was not said in which resource to look"))
        : Either.right({ _tag: "Inside", resource: inside })
    }
    const target = targetOf(text)
    return target === undefined
      ? Either.left(invalid("the reference is none to a type and an id on a server"))
      : Either.right({ _tag: "Elsewhere", target })
  }

  const lookupIn = ({ within }: { readonly within?: AnyResource | undefined } = {}): Lookup | undefined => {
    // Read when the first contained resource is asked for, and once for all that are asked for together.
    let lookup: Lookup | undefined
    return within === undefined ? undefined : (reference) => (lookup ??= containedIn(within))(reference)
  }

  const readReference: References<E, R>["readReference"] = (reference, options = {}) =>
    Effect.gen(function*() {
      const found = find(reference, lookupIn(options))
      const fail = yield* failing("read reference")
      if (Either.isLeft(found)) return yield* fail(found.left)
      const resource = found.right._tag === "Inside" ? found.right.resource : yield* fetch(found.right.target)
      return yield* decode(resource, options, fail)
    })

  const resolver: References<E, R>["resolver"] = ({ concurrency = 4 } = {}) => {
    const semaphore = Effect.unsafeMakeSemaphore(concurrency)
    const flights = SingleFlight.make<Resource, FhirError | E>()
    const known = new Map<string, Either.Either<Resource, FhirError>>()

    /** What a repeat could cure is not kept. */
    const keep = (key: string) => (error: FhirError | E) =>
      Effect.sync(() => {
        if (isFhirError(error) && !error.isRetryable) known.set(key, Either.left(error))
      })

    const resolveOne = (
      reference: ReferenceInput,
      lookup: Lookup | undefined
    ): Effect.Effect<Resource, FhirError | E, R> =>
      Effect.gen(function*() {
        const found = find(reference, lookup)
        if (Either.isLeft(found)) return yield* (yield* failing("read reference"))(found.left)
        if (found.right._tag === "Inside") return found.right.resource
        const { target } = found.right
        const key = (yield* resolve(target.reference))?.href ?? target.reference
        const before = known.get(key)
        if (before !== undefined) return yield* before
        return yield* flights.run(key, () =>
          semaphore.withPermits(1)(fetch(target)).pipe(
            Effect.tap((resource) => Effect.sync(() => known.set(key, Either.right(resource)))),
            Effect.tapError(keep(key))
          ))
      })

    return {
      resolve: (reference, options) => resolveOne(reference, lookupIn(options)),
      resolveAll: (references, options) => {
        const lookup = lookupIn(options)
        const distinct = new Map(Array.from(references, (reference) => [textOf(reference), reference] as const))
        return Effect.map(
          Effect.forEach(
            distinct,
            ([text, reference]) =>
              resolveOne(reference, lookup).pipe(
                Effect.map((resource) => Either.right(resource)),
                Effect.catchAll((error: FhirError | E): Effect.Effect<Either.Either<Resource, FhirError>, E> =>
                  isFhirError(error) ? Effect.succeed(Either.left(error)) : Effect.fail(error)
                ),
                Effect.map((outcome) => [text, outcome] as const)
              ),
            { concurrency }
          ),
          (outcomes) => new Map(outcomes)
        )
      }
    }
  }

  return { readReference, resolver }
}
