/**
 * Search as a stream (FHIR R4, section 3.1.1).
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FhirError } from "../FhirError.js"
import type { PagePosition } from "../FhirSearch.js"
import { bundleIn, entriesOf, type Entry, stringIn } from "./bundle.js"
import type { BundleResponse, PageOptions } from "./bundlePages.js"
import { bundlePages } from "./bundlePages.js"
import type { FhirRequest } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import { nameOf } from "./interaction.js"
import * as Params from "./params.js"
import type { AnySchema, Decoded, Decoding, Resource } from "./resource.js"
import { decode, INVALID_REFERENCE, isType, typed } from "./resource.js"
import type { AnyResourceOf, FhirVersion, ResourceOf } from "./resourceTypes.js"

/**
 * Options of a stream of pages.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions<S extends AnySchema | undefined> extends Decoding<S>, PageOptions {
  /** How many fetched pages wait in memory while the next one is fetched. Default 0: a page is fetched on demand. */
  readonly readAhead?: number | undefined
}

/**
 * Options of a search.
 *
 * @since 0.1.0
 * @category models
 */
export interface SearchOptions<S extends AnySchema | undefined> extends ReadOptions<S> {
  /** `POST` keeps search values out of URLs and logs. Default `GET`. */
  readonly method?: "GET" | "POST" | undefined
  /** A base URL instead of the FHIR base URL, such as an associated endpoint. */
  readonly base?: string | undefined
}

/**
 * A page of a search.
 *
 * @since 0.1.0
 * @category models
 */
export interface Page<A, V extends FhirVersion = "R4"> {
  /** The resources that match the search. */
  readonly matches: ReadonlyArray<A>
  /** The resources of `_include` and `_revinclude`. */
  readonly included: ReadonlyArray<AnyResourceOf<V>>
  /** OperationOutcomes about the search. */
  readonly outcomes: ReadonlyArray<ResourceOf<V, "OperationOutcome">>
  /** How many resources match, if the server states it. */
  readonly total: number | undefined
  /** The next page, for `resumeSearch`; absent on the last one. */
  readonly next: PagePosition | undefined
}

/**
 * Searches and histories as streams. The next page is requested when the program needs it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Searches<E, R, V extends FhirVersion> {
  /** The matches. `searchPages` also has the included resources. */
  readonly search: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    params?: Params.Params,
    options?: SearchOptions<S>
  ) => Stream.Stream<Decoded<S, ResourceOf<V, Type>>, FhirError | E, R>
  /** The pages of a search. */
  readonly searchPages: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    params?: Params.Params,
    options?: SearchOptions<S>
  ) => Stream.Stream<Page<Decoded<S, ResourceOf<V, Type>>, V>, FhirError | E, R>
  /** The pages from a position on, which an earlier page had as `next`. */
  readonly resumeSearch: <S extends AnySchema | undefined = undefined>(
    position: PagePosition,
    options?: ReadOptions<S>
  ) => Stream.Stream<Page<Decoded<S, AnyResourceOf<V>>, V>, FhirError | E, R>
  /** How many resources match (`_summary=count`). The server may estimate. */
  readonly searchTotal: (
    resourceType: string,
    params?: Params.Params,
    options?: Pick<SearchOptions<undefined>, "base" | "method">
  ) => Effect.Effect<number, FhirError | E, R>
}

/** The search mode of an entry. Some servers omit it: then the resource type decides. */
const modeOf = ({ resource, search }: Entry, resourceType: string): "match" | "include" | "outcome" => {
  const mode = stringIn(search, "mode")
  if (mode === "match" || mode === "include" || mode === "outcome") return mode
  if (resource?.resourceType === resourceType) return "match"
  return resource?.resourceType === "OperationOutcome" ? "outcome" : "include"
}

const totalOf = ({ total }: Resource): number | undefined => typeof total === "number" ? total : undefined

const pageOf = <S extends AnySchema | undefined, A, V extends FhirVersion>(
  { bundle, fail, next, resolve }: BundleResponse,
  resourceType: string,
  options: Decoding<S>
): Effect.Effect<Page<Decoded<S, A>, V>, FhirError> => {
  const byMode = { match: [] as Array<Resource>, include: [] as Array<Resource>, outcome: [] as Array<Resource> }
  for (const entry of entriesOf(bundle)) {
    if (entry.resource !== undefined) byMode[modeOf(entry, resourceType)].push(entry.resource)
  }
  const page = (matches: ReadonlyArray<Decoded<S, A>>): Page<Decoded<S, A>, V> => ({
    matches,
    included: typed<ReadonlyArray<AnyResourceOf<V>>>(byMode.include),
    outcomes: typed<ReadonlyArray<ResourceOf<V, "OperationOutcome">>>(byMode.outcome),
    total: totalOf(bundle),
    next: next === undefined ? undefined : { resourceType, url: resolve(next)?.href ?? next }
  })
  return options.schema === undefined
    ? Effect.succeed(page(typed<ReadonlyArray<Decoded<S, A>>>(byMode.match)))
    : Effect.map(Effect.forEach(byMode.match, (resource) => decode<S, A, FhirError>(resource, options, fail)), page)
}

/** The first request of a search. */
const requestOf = (
  resourceType: string,
  params: Params.Params,
  { base, method }: Pick<SearchOptions<undefined>, "base" | "method">
): FhirRequest => {
  const interaction = `search ${nameOf(resourceType)}`
  return method === "POST"
    ? {
      interaction,
      base,
      method,
      url: `${resourceType}/_search`,
      body: { text: Params.print(params), contentType: "application/x-www-form-urlencoded" },
      retry: "always"
    }
    : { interaction, base, url: resourceType, params }
}

export const make = <E, R, V extends FhirVersion>(requester: FhirRequester<E, R>): Searches<E, R, V> => {
  const pages = <S extends AnySchema | undefined, A>(
    resourceType: string,
    first: FhirRequest,
    options: ReadOptions<S>
  ): Stream.Stream<Page<Decoded<S, A>, V>, FhirError | E, R> => {
    const fetched = isType(resourceType)
      ? bundlePages(requester, first, options, (response) => pageOf<S, A, V>(response, resourceType, options))
      : Stream.fromEffect(requester.refuse(first.interaction, "InvalidReference", INVALID_REFERENCE))
    const { readAhead = 0 } = options
    return readAhead > 0 ? Stream.buffer(fetched, { capacity: readAhead }) : fetched
  }

  const searchPages: Searches<E, R, V>["searchPages"] = (resourceType, params = {}, options = {}) =>
    pages(resourceType, requestOf(resourceType, params, options), options)

  return {
    searchPages,
    search: (resourceType, params, options) =>
      Stream.mapConcatChunk(
        searchPages(resourceType, params, options),
        ({ matches }) => Chunk.unsafeFromArray(matches)
      ),
    resumeSearch: ({ resourceType, url }, options = {}) =>
      pages(resourceType, { interaction: `search ${nameOf(resourceType)}`, url }, options),
    searchTotal: (resourceType, params = {}, options = {}) => {
      const request = requestOf(resourceType, [...Params.pairs(params), ["_summary", "count"]], options)
      return !isType(resourceType)
        ? requester.refuse(request.interaction, "InvalidReference", INVALID_REFERENCE)
        : Effect.flatMap(requester.send(request), (response) =>
          Effect.flatMap(bundleIn(response), (bundle) => {
            const total = totalOf(bundle)
            const { fail, status } = response
            return total === undefined
              ? fail({ reason: "NotFhir", detail: `HTTP status ${status} with a Bundle that has no total`, status })
              : Effect.succeed(total)
          }))
    }
  }
}
