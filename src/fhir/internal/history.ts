/**
 * The versions of one resource, of one type, or of the whole server (FHIR R4, section 3.1.0.10).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FhirError } from "../FhirError.js"
import { entriesOf, stringIn } from "./bundle.js"
import type { PageOptions } from "./bundlePages.js"
import { bundlePages } from "./bundlePages.js"
import type { FhirRequester } from "./fhirRequester.js"
import type * as Params from "./params.js"
import { INVALID_REFERENCE, isId, isType, typed } from "./resource.js"
import type { AnyResourceOf, FhirVersion, ResourceOf } from "./resourceTypes.js"

/**
 * A version of a resource.
 *
 * @since 0.1.0
 * @category models
 */
export interface HistoryEntry<A> {
  /** Absent for a deletion. */
  readonly resource: A | undefined
  /** `POST`, `PUT`, `PATCH` or `DELETE`: how the version was made. */
  readonly method: string | undefined
  /** The URL of that request, relative to the FHIR base URL: it has the type and often the id. */
  readonly url: string | undefined
  /** The ETag of the version, for `ifMatch`. */
  readonly etag: string | undefined
  /** When the version was made, as an instant of FHIR. */
  readonly lastModified: string | undefined
}

/**
 * Options of a history.
 *
 * @since 0.1.0
 * @category models
 */
export interface HistoryOptions<Type extends string = string> extends PageOptions {
  /** Default: the whole server. */
  readonly resourceType?: Type | undefined
  /** Default: the whole type. */
  readonly id?: string | undefined
  /** `_since`, `_at`, `_count` or `_list`. */
  readonly params?: Params.Params | undefined
}

/**
 * Histories as streams of versions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Histories<E, R, V extends FhirVersion> {
  /** The versions of resources, the newest first. */
  readonly history: <const Type extends string = string>(
    options?: HistoryOptions<Type>
  ) => Stream.Stream<
    HistoryEntry<string extends Type ? AnyResourceOf<V> : ResourceOf<V, Type>>,
    FhirError | E,
    R
  >
}

export const make = <E, R, V extends FhirVersion>(requester: FhirRequester<E, R>): Histories<E, R, V> => ({
  history: ({ id, maxPages, params, resourceType } = {}) => {
    const isValid = resourceType === undefined
      ? id === undefined
      : isType(resourceType) && (id === undefined || isId(id))
    const interaction = `history${resourceType !== undefined && isValid ? ` ${resourceType}` : ""}`
    if (!isValid) return Stream.fromEffect(requester.refuse(interaction, "InvalidReference", INVALID_REFERENCE))
    const url = [resourceType, id, "_history"].filter((part) => part !== undefined).join("/")
    return bundlePages(requester, { interaction, url, params }, { maxPages }, Effect.succeed).pipe(
      Stream.mapConcat(({ bundle }) =>
        entriesOf(bundle).map(({ request, resource, response }) => ({
          resource: resource === undefined ? undefined : typed(resource),
          method: stringIn(request, "method"),
          url: stringIn(request, "url"),
          etag: stringIn(response, "etag"),
          lastModified: stringIn(response, "lastModified")
        }))
      )
    )
  }
})
