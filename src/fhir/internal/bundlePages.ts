/**
 * Bundles that `next` links connect, as a stream (FHIR R4, section 3.1.1.4). A page is fetched when the page before it
 * was consumed. The link policy checks `next` links like all others.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FhirError } from "../FhirError.js"
import { bundleIn, linksOf } from "./bundle.js"
import type { FhirRequest, ReadResponse } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { Resource } from "./resource.js"

/**
 * Limits of a stream of pages.
 *
 * @since 0.1.0
 * @category models
 */
export interface PageOptions {
  /** The maximum number of pages; more are an error, not a short result. Default 10,000. */
  readonly maxPages?: number | undefined
}

const DEFAULT_MAX_PAGES = 10_000

/** A response with the Bundle in its body. */
export interface BundleResponse extends Pick<ReadResponse, "fail" | "resolve" | "url"> {
  readonly bundle: Resource
  readonly next: string | undefined
}

/** The request of a page, if there is one. */
type Next = Effect.Effect<FhirRequest | undefined, FhirError>

/**
 * What `use` makes of the Bundles that `next` links connect, from the response to `first` on. Not `Stream.mapEffect`,
 * which keeps the pages before reachable for the young generation of the garbage collector: twice the processor time.
 */
export const bundlePages = <A, E, R>(
  { send }: FhirRequester<E, R>,
  first: FhirRequest,
  { maxPages = DEFAULT_MAX_PAGES }: PageOptions,
  use: (response: BundleResponse) => Effect.Effect<A, FhirError>
): Stream.Stream<A, FhirError | E, R> =>
  Stream.suspend(() => {
    const visited = new Set<string>()

    /** The request of the next page. It is checked only when the consumer needs that page. */
    const nextOf = (
      { fail, next, resolve, url }: Omit<BundleResponse, "bundle">
    ): Next => {
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

    // Without `Effect.gen`, whose generator would keep the page reachable for the young generation.
    const pageOf = (response: ReadResponse): Effect.Effect<readonly [A, Next], FhirError> => {
      const { fail, resolve, status, url } = response
      if (visited.size === 0) visited.add(url)
      return Effect.flatMap(bundleIn(response), (bundle) => {
        const links = linksOf(bundle)
        if (links.malformed !== undefined) {
          return fail({
            reason: "NotFhir",
            detail: `HTTP status ${status} with a Bundle whose ${links.malformed} is malformed`,
            status
          })
        }
        const next = nextOf({ fail, next: links.next, resolve, url })
        return Effect.map(use({ fail, bundle, next: links.next, resolve, url }), (page) => [page, next] as const)
      })
    }

    const start: Next = Effect.succeed(first)
    return Stream.unfoldEffect(start, (next) =>
      Effect.flatMap(next, (request) =>
        request === undefined
          ? Effect.succeedNone
          : Effect.asSome(Effect.flatMap(send(request), pageOf))))
  })
