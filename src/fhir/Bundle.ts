/**
 * Bundles: the pages of a search or a history, and requests that travel together as a batch or a transaction (FHIR R4, sections 3.1.0.11 and 3.3).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { JsonObject } from "../base/members.js"
import { isJsonObject, reader } from "../base/members.js"
import type { Exchange } from "./Exchange.js"
import type { FhirError } from "./FhirError.js"
import { outcomeOf, reasonOf } from "./FhirError.js"
import { bodyOf, storedOf } from "./Interaction.js"
import type { AnyResource, Resource, Stored } from "./Resource.js"
import { isResource, issuesOf } from "./Resource.js"

/**
 * One request of a batch or a transaction.
 *
 * @since 0.1.0
 * @category models
 */
export interface BundleRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Relative to the FHIR base: `Patient`, `Patient/123`, `Patient?name=x`. */
  readonly url: string
  readonly resource?: AnyResource | undefined
  /** What other entries call the resource by before it has an id: `urn:uuid:…`. */
  readonly fullUrl?: string | undefined
  readonly ifMatch?: string | undefined
  readonly ifNoneExist?: string | undefined
}

/**
 * What became of one request.
 *
 * @since 0.1.0
 * @category models
 */
export type BundleResult = Either.Either<Stored<Resource | undefined>, FhirError>

/**
 * @since 0.1.0
 * @category models
 */
export interface Bundles<E, R> {
  /** Requests that stand for themselves: each has its own result, in the order they were given. */
  readonly batch: (
    requests: ReadonlyArray<BundleRequest>
  ) => Effect.Effect<ReadonlyArray<BundleResult>, FhirError | E, R>
  /** All or nothing. */
  readonly transaction: (
    requests: ReadonlyArray<BundleRequest>
  ) => Effect.Effect<ReadonlyArray<Stored<Resource | undefined>>, FhirError | E, R>
}

const ignore = () => undefined

/**
 * @internal
 */
export interface Entry {
  readonly resource: Resource | undefined
  readonly search: JsonObject | undefined
  readonly request: JsonObject | undefined
  readonly response: JsonObject | undefined
}

/**
 * @internal
 */
export const entriesOf = (bundle: Resource): ReadonlyArray<Entry> =>
  (reader(bundle, ignore).objects("entry") ?? []).map((entry) => {
    const { object } = reader(entry, ignore)
    const resource = object("resource")
    return {
      resource: isResource(resource) ? resource : undefined,
      search: object("search"),
      request: object("request"),
      response: object("response")
    }
  })

/**
 * @internal
 */
export const linkOf = (bundle: Resource, relation: string): string | undefined => {
  const links = reader(bundle, ignore).objects("link") ?? []
  const found = links.find((link) => link["relation"] === relation)
  return found === undefined ? undefined : reader(found, ignore).string("url")
}

/** @internal */
export const isBundle = (value: unknown): value is Resource => isResource(value) && value.resourceType === "Bundle"

/** @internal */
export const text = (object: JsonObject | undefined, member: string): string | undefined =>
  isJsonObject(object) ? reader(object, ignore).string(member) : undefined

/**
 * @internal
 */
export const make = <E, R>({ failing, send }: Exchange<E, R>): Bundles<E, R> => {
  const submit = (
    type: "batch" | "transaction",
    requests: ReadonlyArray<BundleRequest>
  ): Effect.Effect<ReadonlyArray<BundleResult>, FhirError | E, R> =>
    Effect.gen(function*() {
      const bundle = {
        resourceType: "Bundle",
        type,
        entry: requests.map(({ fullUrl, ifMatch, ifNoneExist, method, resource, url }) => ({
          fullUrl,
          resource,
          request: { method, url, ifMatch, ifNoneExist }
        }))
      }
      const body = Either.try(() => bodyOf(bundle))
      if (Either.isLeft(body)) {
        const refuse = yield* failing(type)
        return yield* refuse({
          reason: "InvalidRequest",
          detail: "what is to be sent cannot be written as JSON",
          outcome: "refused"
        })
      }
      const { fail, json, secrets, status } = yield* send({
        interaction: type,
        method: "POST",
        url: "",
        body: body.right
      })
      if (!isBundle(json)) {
        return yield* fail({ reason: "NotFhir", detail: `it answered ${status} without a Bundle`, status })
      }
      const entries = entriesOf(json)
      if (entries.length !== requests.length) {
        return yield* fail({
          reason: "NotFhir",
          detail: `${requests.length} requests got ${entries.length} answers`,
          status,
          outcome: "unknown"
        })
      }
      return entries.map(({ resource, response }): BundleResult => {
        const code = Number(/^\d{3}/.exec(text(response, "status") ?? "")?.[0] ?? 0)
        return code >= 200 && code <= 299
          ? Either.right(storedOf({
            status: code,
            json: resource,
            headers: {
              etag: text(response, "etag"),
              location: text(response, "location"),
              "last-modified": text(response, "lastModified")
            }
          }, resource))
          : Either.left(fail({
            reason: code === 0 ? "NotFhir" : reasonOf(code),
            detail: code === 0 ? "an entry of the answer has no status" : `an entry was answered with ${code}`,
            status: code,
            issues: issuesOf(response?.["outcome"] ?? resource, secrets),
            outcome: outcomeOf(code)
          }))
      })
    })

  return {
    batch: (requests) => submit("batch", requests),
    transaction: (requests) => Effect.flatMap(submit("transaction", requests), (results) => Effect.all(results))
  }
}
