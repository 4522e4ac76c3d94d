/**
 * Search and history as streams (FHIR R4, sections 3.1.1 and 3.1.0.10). A page is fetched when the page before it was
 * consumed. The link policy checks `next` links like all others.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { FhirError, Fields } from "../FhirError.js"
import { bundleIn, entriesOf, type Entry, linksOf, stringIn } from "./bundle.js"
import type { FhirRequest } from "./fhirRequest.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { ReadResponse } from "./fhirResponse.js"
import { nameOf } from "./interaction.js"
import * as Params from "./params.js"
import type { Decoding, Resource } from "./resource.js"
import { decode, INVALID_REFERENCE, isId, isType } from "./resource.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface PageOptions {
  /** The maximum number of pages; more are an error, not a short result. Default 10,000. */
  readonly maxPages?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SearchOptions<A, I> extends Decoding<A, I>, PageOptions {
  /** `POST` keeps search values out of URLs and logs. Default `GET`. */
  readonly method?: "GET" | "POST" | undefined
  /** A base URL instead of the FHIR base URL, such as an associated endpoint. */
  readonly base?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Page<A> {
  /** The resources that match the search. */
  readonly matches: ReadonlyArray<A>
  /** The resources of `_include` and `_revinclude`. */
  readonly included: ReadonlyArray<Resource>
  /** OperationOutcomes about the search. */
  readonly outcomes: ReadonlyArray<Resource>
  readonly total: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface HistoryEntry {
  /** Absent for a deletion. */
  readonly resource: Resource | undefined
  readonly method: string | undefined
  readonly url: string | undefined
  readonly etag: string | undefined
  readonly lastModified: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface HistoryOptions extends PageOptions {
  /** Default: the whole server. */
  readonly resourceType?: string | undefined
  /** Default: the whole type. */
  readonly id?: string | undefined
  readonly params?: Params.Params | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Searches<E, R> {
  /** The matches. `searchPages` also has the included resources. */
  readonly search: <A = Resource, I = unknown>(
    resourceType: string,
    params?: Params.Params,
    options?: SearchOptions<A, I>
  ) => Stream.Stream<A, FhirError | E, R>
  /** The pages of a search. */
  readonly searchPages: <A = Resource, I = unknown>(
    resourceType: string,
    params?: Params.Params,
    options?: SearchOptions<A, I>
  ) => Stream.Stream<Page<A>, FhirError | E, R>
  /** The versions of resources, the newest first. */
  readonly history: (options?: HistoryOptions) => Stream.Stream<HistoryEntry, FhirError | E, R>
}

const DEFAULT_MAX_PAGES = 10_000

/** The search mode of an entry. Some servers omit it: then the resource type decides. */
const modeOf = ({ resource, search }: Entry, resourceType: string): "match" | "include" | "outcome" => {
  const mode = stringIn(search, "mode")
  if (mode === "match" || mode === "include" || mode === "outcome") return mode
  if (resource?.resourceType === resourceType) return "match"
  return resource?.resourceType === "OperationOutcome" ? "outcome" : "include"
}

/** A response with the Bundle in its body. */
interface BundleResponse extends Pick<ReadResponse, "fail" | "resolve" | "url"> {
  readonly bundle: Resource
  readonly next: string | undefined
}

/** The Bundles that `next` links connect, from the response to `first` on. */
const bundles = <E, R>(
  { send }: FhirRequester<E, R>,
  first: FhirRequest,
  { maxPages = DEFAULT_MAX_PAGES }: PageOptions
): Stream.Stream<BundleResponse, FhirError | E, R> =>
  Stream.suspend(() => {
    const visited = new Set<string>()

    /** The request of the next page. It is checked only when the consumer needs that page. */
    const nextOf = (
      { fail, next, resolve, url }: BundleResponse
    ): Effect.Effect<FhirRequest | undefined, FhirError> => {
      if (next === undefined) return Effect.succeed(undefined)
      const href = resolve(next)?.href ?? next
      if (visited.has(href)) {
        return fail({ reason: "PageLoop", detail: `page ${visited.size} links to a page that was already read` })
      }
      if (visited.size >= maxPages) {
        return fail({ reason: "TooManyPages", detail: `there are more than ${maxPages} pages` })
      }
      visited.add(href)
      return Effect.succeed({ interaction: first.interaction, url: next, base: first.base, page: url })
    }

    const start: Effect.Effect<FhirRequest | undefined, FhirError> = Effect.succeed(first)
    return Stream.unfoldEffect(start, (next) =>
      Effect.gen(function*() {
        const request = yield* next
        if (request === undefined) return Option.none()
        const response = yield* send(request)
        const { fail, resolve, status, url } = response
        if (request === first) visited.add(url)
        const bundle = yield* bundleIn(response)
        const links = linksOf(bundle)
        if (links.malformed !== undefined) {
          return yield* fail({
            reason: "NotFhir",
            detail: `HTTP status ${status} with a Bundle whose ${links.malformed} is malformed`,
            status
          })
        }
        const page: BundleResponse = { fail, bundle, next: links.next, resolve, url }
        return Option.some([page, nextOf(page)] as const)
      }))
  })

const pageOf = <A, I>(
  bundle: Resource,
  resourceType: string,
  options: Decoding<A, I>,
  fail: (fields: Fields) => FhirError
): Effect.Effect<Page<A>, FhirError> => {
  const byMode = { match: [] as Array<Resource>, include: [] as Array<Resource>, outcome: [] as Array<Resource> }
  for (const entry of entriesOf(bundle)) {
    if (entry.resource !== undefined) byMode[modeOf(entry, resourceType)].push(entry.resource)
  }
  const total = bundle["total"]
  return Effect.map(
    Effect.forEach(byMode.match, (resource) => decode(resource, options, fail)),
    (matches) => ({
      matches,
      included: byMode.include,
      outcomes: byMode.outcome,
      total: typeof total === "number" ? total : undefined
    })
  )
}

export const make = <E, R>(requester: FhirRequester<E, R>): Searches<E, R> => {
  const refuse = (interaction: string) =>
    Stream.fromEffect(requester.refuse(interaction, "InvalidReference", INVALID_REFERENCE))

  const searchPages: Searches<E, R>["searchPages"] = (resourceType, params = {}, options = {}) => {
    const interaction = `search ${nameOf(resourceType)}`
    if (!isType(resourceType)) return refuse(interaction)
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
    return bundles(requester, first, options).pipe(
      Stream.mapEffect(({ bundle, fail }) => pageOf(bundle, resourceType, options, fail))
    )
  }

  return {
    searchPages,
    search: (resourceType, params, options) =>
      Stream.mapConcatChunk(
        searchPages(resourceType, params, options),
        ({ matches }) => Chunk.unsafeFromArray(matches)
      ),
    history: ({ id, maxPages, params, resourceType } = {}) => {
      const isValid = resourceType === undefined
        ? id === undefined
        : isType(resourceType) && (id === undefined || isId(id))
      const interaction = `history${resourceType !== undefined && isValid ? ` ${resourceType}` : ""}`
      if (!isValid) return refuse(interaction)
      const url = [resourceType, id, "_history"].filter((part) => part !== undefined).join("/")
      return bundles(requester, { interaction, url, params }, { maxPages }).pipe(
        Stream.mapConcat(({ bundle }) =>
          entriesOf(bundle).map(({ request, resource, response }) => ({
            resource,
            method: stringIn(request, "method"),
            url: stringIn(request, "url"),
            etag: stringIn(response, "etag"),
            lastModified: stringIn(response, "lastModified")
          }))
        )
      )
    }
  }
}
