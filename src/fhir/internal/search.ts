/**
 * Search as a stream (FHIR R4, section 3.1.1).
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { FhirError } from "../FhirError.js"
import type { PagePosition } from "../FhirSearch.js"
import { bundleIn, entriesOf, type Entry, stringIn } from "./bundle.js"
import type { BundleResponse, PageOptions } from "./bundlePages.js"
import { bundlePages } from "./bundlePages.js"
import { type FhirRequest, notFhir } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import { nameOf } from "./interaction.js"
import * as Params from "./params.js"
import type { AnySchema, Decoded, Decoding, Resource } from "./resource.js"
import { decode, INVALID_REFERENCE, isId, isType, typed } from "./resource.js"
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
  /** Only resources in the compartment of this resource, such as `Patient/123` (FHIR R4, "Compartments"). */
  readonly compartment?: string | undefined
  /**
   * `strict` asks the server to reject parameters that it does not know, `lenient` to ignore them (`Prefer: handling`,
   * FHIR R4, "Search", "Handling Errors"). Default: the server decides, and may return more than the search means.
   */
  readonly handling?: "strict" | "lenient" | undefined
}

/**
 * Options of a search for the number of matches.
 *
 * @since 0.1.0
 * @category models
 */
export type TotalOptions = Omit<SearchOptions<undefined>, keyof ReadOptions<undefined>>

/**
 * The type of the matches of a search; `*` matches resources of any type.
 *
 * @since 0.1.0
 * @category models
 */
export type MatchOf<V extends FhirVersion, Type> = Type extends "*" ? AnyResourceOf<V> : ResourceOf<V, Type>

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
  /** The page as received. Its `self` link has the parameters that the server respected. */
  readonly bundle: ResourceOf<V, "Bundle">
}

/**
 * Searches as streams. The next page is requested when the program needs it. The type `*` searches all types; servers
 * may require the parameter `_type` with it.
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
  ) => Stream.Stream<Decoded<S, MatchOf<V, Type>>, FhirError | E, R>
  /** The pages of a search. */
  readonly searchPages: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    params?: Params.Params,
    options?: SearchOptions<S>
  ) => Stream.Stream<Page<Decoded<S, MatchOf<V, Type>>, V>, FhirError | E, R>
  /** The pages from a position on, which an earlier page had as `next`. */
  readonly resumeSearch: <S extends AnySchema | undefined = undefined>(
    position: PagePosition,
    options?: ReadOptions<S>
  ) => Stream.Stream<Page<Decoded<S, AnyResourceOf<V>>, V>, FhirError | E, R>
  /** How many resources match (`_summary=count`). The server may estimate. */
  readonly searchTotal: (
    resourceType: string,
    params?: Params.Params,
    options?: TotalOptions
  ) => Effect.Effect<number, FhirError | E, R>
}

/** Stands for all types, as in the URLs of compartments. */
const ANY_TYPE = "*"

const isSearchable = (resourceType: string): boolean => resourceType === ANY_TYPE || isType(resourceType)

const interactionOf = (resourceType: string): string =>
  resourceType === ANY_TYPE ? "search" : `search ${nameOf(resourceType)}`

/** The search mode of an entry. Some servers omit it: then the resource type decides. */
const modeOf = ({ resource, search }: Entry, resourceType: string): "match" | "include" | "outcome" => {
  const mode = stringIn(search, "mode")
  if (mode === "match" || mode === "include" || mode === "outcome") return mode
  if (resource?.resourceType === resourceType) return "match"
  if (resource?.resourceType === "OperationOutcome") return "outcome"
  return resourceType === ANY_TYPE ? "match" : "include"
}

const totalOf = ({ total }: Resource): number | undefined =>
  typeof total === "number" && Number.isSafeInteger(total) && total >= 0 ? total : undefined

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
    next: next === undefined ? undefined : { resourceType, url: resolve(next)?.href ?? next },
    bundle: typed(bundle)
  })
  return options.schema === undefined
    ? Effect.succeed(page(typed<ReadonlyArray<Decoded<S, A>>>(byMode.match)))
    : Effect.map(Effect.forEach(byMode.match, (resource) => decode<S, A, FhirError>(resource, options, fail)), page)
}

/** The path of a search, or why it is not valid. */
const pathOf = (resourceType: string, compartment: string | undefined): Either.Either<string, string> => {
  if (!isSearchable(resourceType)) return Either.left(INVALID_REFERENCE)
  if (compartment === undefined) return Either.right(resourceType === ANY_TYPE ? "" : resourceType)
  const [type = "", id = "", ...more] = compartment.split("/")
  return isType(type) && isId(id) && more.length === 0
    ? Either.right(`${compartment}/${resourceType}`)
    : Either.left("the compartment must be a resource type and an id, such as `Patient/123`")
}

/** The first request of a search; with `summary`, the parameter `_summary`. */
const requestOf = <E, R>(
  { refuse }: FhirRequester<E, R>,
  resourceType: string,
  criteria: Params.Params,
  { base, compartment, handling, method }: TotalOptions,
  summary?: string
): Either.Either<FhirRequest, Effect.Effect<never, FhirError | E, R>> => {
  const interaction = interactionOf(resourceType)
  const path = pathOf(resourceType, compartment)
  if (Either.isLeft(path)) return Either.left(refuse(interaction, "InvalidReference", path.left))
  const nameWithoutValue = Params.nameWithoutValue(criteria)
  if (nameWithoutValue !== undefined) {
    return Either.left(refuse(interaction, "InvalidRequest", Params.noValue(nameWithoutValue)))
  }
  const params = summary === undefined ? criteria : [...Params.pairs(criteria), ["_summary", summary] as const]
  const headers = handling === undefined ? undefined : { prefer: `handling=${handling}` }
  return Either.right(
    method === "POST"
      ? {
        interaction,
        base,
        method,
        headers,
        url: path.right === "" ? "_search" : `${path.right}/_search`,
        body: { text: Params.print(params), contentType: "application/x-www-form-urlencoded" },
        retry: "always"
      }
      : { interaction, base, headers, url: path.right, params }
  )
}

export const make = <E, R, V extends FhirVersion>(requester: FhirRequester<E, R>): Searches<E, R, V> => {
  const pages = <S extends AnySchema | undefined, A>(
    resourceType: string,
    first: Either.Either<FhirRequest, Effect.Effect<never, FhirError | E, R>>,
    options: ReadOptions<S>
  ): Stream.Stream<Page<Decoded<S, A>, V>, FhirError | E, R> => {
    const fetched = Either.isRight(first)
      ? bundlePages(requester, first.right, options, (response) => pageOf<S, A, V>(response, resourceType, options))
      : Stream.fromEffect(first.left)
    const { readAhead = 0 } = options
    return readAhead > 0 ? Stream.buffer(fetched, { capacity: readAhead }) : fetched
  }

  const searchPages: Searches<E, R, V>["searchPages"] = (resourceType, params = {}, options = {}) =>
    pages(resourceType, requestOf(requester, resourceType, params, options), options)

  return {
    searchPages,
    search: (resourceType, params, options) =>
      Stream.mapConcatChunk(
        searchPages(resourceType, params, options),
        ({ matches }) => Chunk.unsafeFromArray(matches)
      ),
    resumeSearch: ({ resourceType, url }, options = {}) => {
      const interaction = interactionOf(resourceType)
      return pages(
        resourceType,
        isSearchable(resourceType)
          ? Either.right({ interaction, url })
          : Either.left(requester.refuse(interaction, "InvalidReference", INVALID_REFERENCE)),
        options
      )
    },
    searchTotal: (resourceType, params = {}, options = {}) => {
      const request = requestOf(requester, resourceType, params, options, "count")
      return Either.isLeft(request)
        ? request.left
        : Effect.flatMap(requester.send(request.right), (response) =>
          Effect.flatMap(bundleIn(response), (bundle) => {
            const total = totalOf(bundle)
            return total === undefined ? notFhir(response, "with a Bundle that has no total") : Effect.succeed(total)
          }))
    }
  }
}
