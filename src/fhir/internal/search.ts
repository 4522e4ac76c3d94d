/**
 * Search as a stream (FHIR R4, section 3.1.1).
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FhirError, Fields } from "../FhirError.js"
import { entriesOf, type Entry, stringIn } from "./bundle.js"
import type { PageOptions } from "./bundlePages.js"
import { bundlePages } from "./bundlePages.js"
import type { FhirRequest } from "./fhirRequest.js"
import type { FhirRequester } from "./fhirRequester.js"
import { nameOf } from "./interaction.js"
import * as Params from "./params.js"
import type { AnySchema, Decoded, Decoding, Resource } from "./resource.js"
import { decode, INVALID_REFERENCE, isType, typed } from "./resource.js"
import type { AnyResourceOf, FhirVersion, ResourceOf } from "./resourceTypes.js"

/**
 * Options of a search.
 *
 * @since 0.1.0
 * @category models
 */
export interface SearchOptions<S extends AnySchema | undefined> extends Decoding<S>, PageOptions {
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
  readonly total: number | undefined
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
}

/** The search mode of an entry. Some servers omit it: then the resource type decides. */
const modeOf = ({ resource, search }: Entry, resourceType: string): "match" | "include" | "outcome" => {
  const mode = stringIn(search, "mode")
  if (mode === "match" || mode === "include" || mode === "outcome") return mode
  if (resource?.resourceType === resourceType) return "match"
  return resource?.resourceType === "OperationOutcome" ? "outcome" : "include"
}

const pageOf = <S extends AnySchema | undefined, A, V extends FhirVersion>(
  bundle: Resource,
  resourceType: string,
  options: Decoding<S>,
  fail: (fields: Fields) => FhirError
): Effect.Effect<Page<Decoded<S, A>, V>, FhirError> => {
  const byMode = { match: [] as Array<Resource>, include: [] as Array<Resource>, outcome: [] as Array<Resource> }
  for (const entry of entriesOf(bundle)) {
    if (entry.resource !== undefined) byMode[modeOf(entry, resourceType)].push(entry.resource)
  }
  const total = bundle["total"]
  return Effect.map(
    Effect.forEach(byMode.match, (resource) => decode<S, A, FhirError>(resource, options, fail)),
    (matches) => ({
      matches,
      included: byMode.include.map((resource) => typed<AnyResourceOf<V>>(resource)),
      outcomes: byMode.outcome.map((resource) => typed<ResourceOf<V, "OperationOutcome">>(resource)),
      total: typeof total === "number" ? total : undefined
    })
  )
}

export const make = <E, R, V extends FhirVersion>(requester: FhirRequester<E, R>): Searches<E, R, V> => {
  const searchPages: Searches<E, R, V>["searchPages"] = (resourceType, params = {}, options = {}) => {
    const interaction = `search ${nameOf(resourceType)}`
    if (!isType(resourceType)) {
      return Stream.fromEffect(requester.refuse(interaction, "InvalidReference", INVALID_REFERENCE))
    }
    const { base } = options
    const first: FhirRequest = options.method === "POST"
      ? {
        interaction,
        base,
        method: "POST",
        url: `${resourceType}/_search`,
        body: { text: Params.print(params), contentType: "application/x-www-form-urlencoded" },
        retry: "always"
      }
      : { interaction, base, url: resourceType, params }
    return bundlePages(requester, first, options).pipe(
      Stream.mapEffect(({ bundle, fail }) => pageOf(bundle, resourceType, options, fail))
    )
  }

  return {
    searchPages,
    search: (resourceType, params, options) =>
      Stream.mapConcatChunk(
        searchPages(resourceType, params, options),
        ({ matches }) => Chunk.unsafeFromArray(matches)
      )
  }
}
