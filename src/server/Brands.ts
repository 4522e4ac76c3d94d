/**
 * User-access brands: what people recognise their providers by, and the FHIR servers behind it. Fetches brand bundles and revalidates them by
 * their ETag (SMART App Launch 2.2, user-access brands: caching brand bundles; requirements 413, 414, 425, 426).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { withBuildTimeDefault } from "../base/BuildTimeDefault.js"
import { failOnDefect } from "../base/FailOnDefect.js"
import * as SingleFlight from "../base/SingleFlight.js"
import * as Url from "../base/Url.js"
import { HttpLimits } from "../http/HttpLimits.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as ReceivedResponse from "../http/ReceivedResponse.js"
import * as RetryPolicy from "../http/RetryPolicy.js"
import * as TransportFailure from "../http/TransportFailure.js"
import { type BrandBundle, fromDocument, primary } from "./BrandBundle.js"
import { BrandsError, type BrandsReason } from "./BrandsError.js"
import type { Brand, BrandFinding } from "./internal/brand.js"
import type { SmartConfiguration } from "./SmartConfiguration.js"

export type { Address, Brand, BrandCode, BrandFinding, Endpoint, Identifier, Portal } from "./internal/brand.js"
export {
  type BrandBundle,
  type BrandCollection,
  fromDocument,
  type ListedServer,
  portalsOf,
  primary,
  servers
} from "./BrandBundle.js"
export { merge, type Publication } from "./internal/brandMerge.js"
export { BrandsError, BrandsReason } from "./BrandsError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * The bundle that a server's SMART configuration links to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Linked {
  readonly bundle: BrandBundle
  /** The server's own brand, where the configuration says which one it is. */
  readonly primary: Option.Option<Brand>
  /** Those of the bundle, and of how the configuration refers to it. */
  readonly findings: ReadonlyArray<BrandFinding>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The bundle at a URL: each call asks its publisher, who need not send again what has not changed. */
  readonly bundle: (url: string, request?: Request) => Effect.Effect<BrandBundle, BrandsError>
  /** The bundle of a server, with the brand that is the server's own. */
  readonly linked: (configuration: SmartConfiguration, request?: Request) => Effect.Effect<Linked, BrandsError>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Brands extends Context.Tag("effect-safire/Brands")<Brands, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many bundles are kept for revalidation. They can be large. Default 100. */
  readonly capacity?: number | undefined
}

interface CachedBundle {
  /** As it was received, weak or not: it is sent back to the letter. */
  readonly etag: string
  readonly bundle: BrandBundle
}

const ACCEPT = "application/fhir+json, application/json;q=0.9"

/** Judges an answer: a pure step. `kept` is what the request's `If-None-Match` spoke of. */
const judge = (
  url: string,
  answer: ReceivedResponse.ReceivedResponse,
  kept: CachedBundle | undefined,
  nowMillis: number
): Either.Either<BrandBundle, BrandsError> => {
  const fail = (problem: { readonly reason: BrandsReason; readonly detail: string }) =>
    new BrandsError({ ...problem, ...ReceivedResponse.errorFields(answer, nowMillis) })
  if (answer.status === 304 && kept !== undefined) return Either.right(kept.bundle)
  return Either.flatMap(
    Either.mapLeft(ReceivedResponse.parseJsonValue(answer), fail),
    (value) =>
      Either.fromOption(
        fromDocument(url, value),
        () => fail({ reason: "NotBundle", detail: `HTTP status ${answer.status}, JSON that is not a FHIR Bundle` })
      )
  )
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const policy = yield* RetryPolicy.capture
    const withLimits = yield* withBuildTimeDefault(HttpLimits)
    const capacity = options.capacity ?? 100
    // In order of use, the least recent first.
    const kept = new Map<string, CachedBundle>()
    const flights = SingleFlight.make<BrandBundle, BrandsError>()

    const keep = (
      url: string,
      answer: ReceivedResponse.ReceivedResponse,
      bundle: BrandBundle,
      before: CachedBundle | undefined
    ): void => {
      const etag = answer.headers["etag"] ?? (answer.status === 304 ? before?.etag : undefined)
      kept.delete(url)
      if (etag === undefined || etag === "") return
      kept.set(url, { etag, bundle })
      for (const oldest of kept.keys()) {
        if (kept.size <= capacity) return
        kept.delete(oldest)
      }
    }

    const attempt = Effect.fn("Brands.fetch")(function*(url: string, request: Request | undefined) {
      const before = kept.get(url)
      const limits = yield* HttpLimits
      yield* Effect.annotateCurrentSpan("smart.brand_bundle", Url.forDisplay(url))
      const answer = yield* OutgoingRequest.send(
        client,
        HttpClientRequest.get(url).pipe(
          HttpClientRequest.setHeader("accept", ACCEPT),
          // A page sees the ETag only of a publisher that exposes it, who is then prepared for the preflight that this header costs.
          before === undefined ? (same) => same : HttpClientRequest.setHeader("if-none-match", before.etag)
        ),
        {
          timeout: limits.fhirTimeout,
          maxBytes: limits.maxFhirResponseBytes,
          redirects: 3,
          allowInsecureLocalhost: request?.allowInsecureLocalhost ?? false
        }
      ).pipe(Effect.mapError((failure) => new BrandsError(TransportFailure.errorFields(failure))))
      const now = yield* Clock.currentTimeMillis
      const bundle = yield* Effect.suspend(() => judge(url, answer, before, now)).pipe(
        failOnDefect((exception) =>
          new BrandsError({
            reason: "NotBundle",
            url: Url.forDisplay(answer.url),
            detail: `it answered with a Bundle that cannot be read (${exception})`,
            status: answer.status
          })
        )
      )
      keep(url, answer, bundle, before)
      return bundle
    })

    const bundle: Service["bundle"] = (input, request) => {
      const url = Url.parse(input)
      if (url === undefined || url.username !== "" || url.password !== "") {
        return new BrandsError({
          reason: "InvalidUrl",
          url: Url.forDisplay(input),
          detail: "it is no absolute URL without credentials"
        })
      }
      const { href } = url
      // What one caller is allowed must not be had by another that is not.
      const key = `${request?.allowInsecureLocalhost === true} ${href}`
      return flights.run(key, () => attempt(href, request).pipe(RetryPolicy.retry("always"), policy, withLimits))
    }

    return {
      bundle,
      linked: (configuration, request) => {
        const url = configuration.userAccessBrandBundle
        if (url === undefined) {
          return new BrandsError({
            reason: "NotPublished",
            url: configuration.fhirBaseUrl,
            detail: "its SMART configuration has no usable user_access_brand_bundle"
          })
        }
        return Effect.map(
          bundle(url, request),
          (found) =>
            Either.match(primary(found, configuration.userAccessBrandIdentifier), {
              onLeft: (finding) => ({ bundle: found, primary: Option.none(), findings: [...found.findings, finding] }),
              onRight: (brand) => ({ bundle: found, primary: Option.some(brand), findings: found.findings })
            })
        )
      }
    }
  })

const shared = perHttpClient(Brands, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Brands, never, HttpClient.HttpClient> => shared(options)
