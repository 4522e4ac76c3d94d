/**
 * User-access brands: the organizations that people know, and their FHIR servers. Fetches brand bundles and revalidates
 * them by `ETag` (SMART App Launch 2.2, user-access brands: caching brand bundles; requirements 413, 414, 425, 426).
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { failOnDefect } from "../base/FailOnDefect.js"
import type { JsonObject } from "../base/JsonReader.js"
import { span } from "../base/Span.js"
import * as Url from "../base/Url.js"
import * as OutgoingRequest from "../http/OutgoingRequest.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import { type BrandBundle, fromDocument, primary } from "./BrandBundle.js"
import { BrandsError } from "./BrandsError.js"
import type { Brand, BrandFinding } from "./internal/brand.js"
import * as DocumentRequest from "./internal/documentRequest.js"
import * as PublishedDocument from "./PublishedDocument.js"
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
 * Options of one call.
 *
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
  /** The server's own brand, where the configuration identifies it. */
  readonly primary: Option.Option<Brand>
  /** The findings of the bundle and of the reference to it. */
  readonly findings: ReadonlyArray<BrandFinding>
}

/**
 * Fetches and caches user-access brand bundles.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The bundle at a URL. Each call sends a request, which is conditional where the cached bundle has an `ETag`. */
  readonly bundle: (url: string, request?: Request) => Effect.Effect<BrandBundle, BrandsError>
  /** The bundle of a server, with the server's own brand. */
  readonly linked: (configuration: SmartConfiguration, request?: Request) => Effect.Effect<Linked, BrandsError>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class Brands extends Context.Tag("effect-safire/Brands")<Brands, Service>() {}

/**
 * Options of the cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many bundles are cached for revalidation. Bundles can be large. Default 100. */
  readonly capacity?: number | undefined
}

const ACCEPT = "application/fhir+json, application/json;q=0.9"

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    // A bundle is revalidated at each call: it is not fresh for any time, and stays in the cache where it has an ETag.
    const bundles = yield* PublishedDocument.make<BrandBundle, BrandsError>({
      capacity: options.capacity ?? 100,
      timeToLive: 0,
      minTimeToLive: 0,
      maxTimeToLive: 0
    })

    const decode = (url: string, members: JsonObject, status: number) =>
      Effect.sync(() => fromDocument(url, members)).pipe(
        failOnDefect((exception) => `the Bundle cannot be read (${exception})`),
        Effect.flatMap(Either.fromOption(() => "the JSON object is not a FHIR Bundle")),
        Effect.mapError((detail) => new BrandsError({ reason: "NotBundle", url: Url.forDisplay(url), detail, status }))
      )

    const load =
      (url: string, request: Request | undefined) => (cached: PublishedDocument.Cached<BrandBundle> | undefined) =>
        Effect.gen(function*() {
          const { members, response } = yield* DocumentRequest.fetch({
            client,
            url,
            accept: ACCEPT,
            limits: "fhir",
            allowInsecureLocalhost: request?.allowInsecureLocalhost,
            // A page can read the ETag only of a publisher that exposes it, and so expects the preflight of this
            // header.
            etag: cached?.etag
          }).pipe(
            Effect.mapError((problem) =>
              new BrandsError({ ...problem, reason: problem.reason === "NotObject" ? "NotBundle" : problem.reason })
            )
          )
          const { etag = "" } = response.headers
          if (members === undefined && cached !== undefined) {
            return { value: cached.value, etag: etag === "" ? cached.etag : etag }
          }
          const value = yield* decode(url, members ?? {}, response.status)
          return { value, etag: etag === "" ? undefined : etag }
        }).pipe(span("Brands.fetch", { kind: "client", attributes: { "smart.brand_bundle": Url.forDisplay(url) } }))

    const bundle: Service["bundle"] = (input, request) => {
      const url = Url.parse(input)?.href ?? input
      return bundles.get(PublishedDocument.cacheKey(url, request), load(url, request))
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
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see
 * `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Brands, never, HttpClient.HttpClient> => shared.layer(options)
