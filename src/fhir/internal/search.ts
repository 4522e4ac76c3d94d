/**
 * Search and history as streams (FHIR R4, sections 3.1.1 and 3.1.0.10): a page is fetched when the one before has been used up, and the links between
 * pages are judged like any other.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { FhirError, Fields } from "../FhirError.js"
import { entriesOf, type Entry, isBundle, linksOf, text } from "./bundle.js"
import type { Request } from "./fhirRequest.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { FhirResponse } from "./fhirResponse.js"
import * as Params from "./params.js"
import type { Decoding, Resource } from "./resource.js"
import { decode, isId, isType } from "./resource.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface PageOptions {
  /** How many pages are fetched at most; more is an error, not a short result. Default 10,000. */
  readonly maxPages?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SearchOptions<A, I> extends Decoding<A, I>, PageOptions {
  /** `POST` keeps what is searched for out of URLs, and of the logs they end up in. Default `GET`. */
  readonly method?: "GET" | "POST" | undefined
  /** Instead of the FHIR base: another place the token may go to, such as an associated endpoint. */
  readonly base?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Page<A> {
  /** What was searched for. */
  readonly matches: ReadonlyArray<A>
  /** What `_include` and `_revinclude` brought along. */
  readonly included: ReadonlyArray<Resource>
  /** What the server has to say about the search: OperationOutcomes. */
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
  /** What was searched for, and only that: what `_include` brings along is in `searchPages`. */
  readonly search: <A = Resource, I = unknown>(
    resourceType: string,
    params?: Params.Params,
    options?: SearchOptions<A, I>
  ) => Stream.Stream<A, FhirError | E, R>
  readonly searchPages: <A = Resource, I = unknown>(
    resourceType: string,
    params?: Params.Params,
    options?: SearchOptions<A, I>
  ) => Stream.Stream<Page<A>, FhirError | E, R>
  /** Newest first. */
  readonly history: (options?: HistoryOptions) => Stream.Stream<HistoryEntry, FhirError | E, R>
}

const DEFAULT_MAX_PAGES = 10_000

/** Servers should say what an entry is there for; where one does not, its type does. */
const modeOf = ({ resource, search }: Entry, resourceType: string): "match" | "include" | "outcome" => {
  const mode = text(search, "mode")
  if (mode === "match" || mode === "include" || mode === "outcome") return mode
  if (resource?.resourceType === resourceType) return "match"
  return resource?.resourceType === "OperationOutcome" ? "outcome" : "include"
}

/** What an answer that holds a Bundle is read for. */
interface BundleAnswer extends Pick<FhirResponse, "fail" | "resolve" | "url"> {
  readonly json: Resource
  readonly next: string | undefined
}

/**
 * The Bundles that `next` links connect, beginning with the answer to `first`.
 *
 * @internal
 */
export const bundles = <E, R>(
  { send }: FhirRequester<E, R>,
  first: Request,
  { maxPages = DEFAULT_MAX_PAGES }: PageOptions
): Stream.Stream<BundleAnswer, FhirError | E, R> =>
  Stream.suspend(() => {
    const visited = new Set<string>()

    /** What to ask for after an answer, looked into only when somebody wants it. */
    const nextOf = (answer: BundleAnswer): Effect.Effect<Request | undefined, FhirError> => {
      const { next: url } = answer
      if (url === undefined) return Effect.succeed(undefined)
      const href = answer.resolve(url)?.href ?? url
      if (visited.has(href)) {
        return answer.fail({ reason: "PageLoop", detail: `the page after number ${visited.size} was there before` })
      }
      if (visited.size >= maxPages) {
        return answer.fail({ reason: "TooManyPages", detail: `there are more than ${maxPages}` })
      }
      visited.add(href)
      return Effect.succeed({ interaction: first.interaction, url, base: first.base, page: answer.url })
    }

    const start: Effect.Effect<Request | undefined, FhirError> = Effect.succeed(first)
    return Stream.unfoldEffect(start, (next) =>
      Effect.gen(function*() {
        const request = yield* next
        if (request === undefined) return Option.none()
        const answer = yield* send(request)
        if (request === first) visited.add(answer.url)
        const { fail, json, resolve, status, url } = answer
        if (!isBundle(json)) {
          return yield* fail({ reason: "NotFhir", detail: `it answered ${status} without a Bundle`, status })
        }
        const { next: link, unusable } = linksOf(json)
        if (unusable !== undefined) {
          return yield* fail({
            reason: "NotFhir",
            detail: `it answered ${status} with a Bundle whose ${unusable} cannot be read`,
            status
          })
        }
        const page: BundleAnswer = { fail, json, next: link, resolve, url }
        return Option.some([page, nextOf(page)] as const)
      }))
  })

/**
 * @internal
 */
export const make = <E, R>(exchange: FhirRequester<E, R>): Searches<E, R> => {
  const refuse = (interaction: string) =>
    Stream.unwrap(
      Effect.map(exchange.failing(interaction), (fail) =>
        Stream.fail(fail({
          reason: "InvalidReference",
          detail: "the resource type or the id has characters that FHIR does not allow",
          processed: "no"
        })))
    )

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

  const searchPages: Searches<E, R>["searchPages"] = (resourceType, params = {}, options = {}) => {
    const interaction = `search ${isType(resourceType) ? resourceType : "(no type)"}`
    if (!isType(resourceType)) return refuse(interaction)
    const { base } = options
    const first: Request = options.method === "POST"
      ? {
        interaction,
        base,
        method: "POST",
        url: `${resourceType}/_search`,
        body: { text: Params.print(params), contentType: "application/x-www-form-urlencoded" },
        repeat: "always"
      }
      : { interaction, base, url: resourceType, params }
    return bundles(exchange, first, options).pipe(
      Stream.mapEffect(({ fail, json }) => pageOf(json, resourceType, options, fail))
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
      const isPlace = resourceType === undefined
        ? id === undefined
        : isType(resourceType) && (id === undefined || isId(id))
      const interaction = `history${resourceType !== undefined && isPlace ? ` ${resourceType}` : ""}`
      if (!isPlace) return refuse(interaction)
      const url = [resourceType, id, "_history"].filter((part) => part !== undefined).join("/")
      return bundles(exchange, { interaction, url, params }, { maxPages }).pipe(
        Stream.mapConcat(({ json }) =>
          entriesOf(json).map(({ request, resource, response }) => ({
            resource,
            method: text(request, "method"),
            url: text(request, "url"),
            etag: text(response, "etag"),
            lastModified: text(response, "lastModified")
          }))
        )
      )
    }
  }
}
