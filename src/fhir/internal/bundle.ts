/**
 * Bundles (FHIR R4, sections 3.1.0.11 and 3.3): their entries and links, and batches and transactions.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import type { JsonObject } from "../../base/JsonReader.js"
import { reader } from "../../base/JsonReader.js"
import { processedAtStatus } from "../../http/ReceivedResponse.js"
import type { EntryResult, FhirError, Fields } from "../FhirError.js"
import { reasonOf } from "../FhirError.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { ReadResponse } from "./fhirResponse.js"
import { storedOf } from "./interaction.js"
import type { AnyResource, Resource, Stored } from "./resource.js"
import { isResource, issuesOf } from "./resource.js"

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
  /** The `urn:uuid:…` by which other entries reference the resource before it has an id. */
  readonly fullUrl?: string | undefined
  readonly ifMatch?: string | undefined
  readonly ifNoneExist?: string | undefined
  /** An ETag: a GET then returns 304 without a resource if the version has not changed. */
  readonly ifNoneMatch?: string | undefined
}

/**
 * The result of one request. An error has its `index`. A 304 is a result without a resource.
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
  /** Independent requests. The results are in the order of the requests. */
  readonly batch: (
    requests: ReadonlyArray<BundleRequest>
  ) => Effect.Effect<ReadonlyArray<BundleResult>, FhirError | E, R>
  /**
   * Requests of which the server processes all or none. If it processes some, the error has `processed: "partly"` and
   * `entries`: sending all requests again would repeat the processed ones.
   */
  readonly transaction: (
    requests: ReadonlyArray<BundleRequest>
  ) => Effect.Effect<ReadonlyArray<Stored<Resource | undefined>>, FhirError | E, R>
}

const ignore = () => undefined

export interface Entry {
  readonly resource: Resource | undefined
  readonly search: JsonObject | undefined
  readonly request: JsonObject | undefined
  readonly response: JsonObject | undefined
}

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
 * The `next` link, and the member that is malformed, if any. A malformed link or entry is not ignored, because the
 * result would be incomplete.
 */
export const linksOf = (
  bundle: Resource
): { readonly next: string | undefined; readonly malformed: string | undefined } => {
  let malformed: string | undefined
  const refuse = (member: string) => {
    malformed ??= member
  }
  const { objects } = reader(bundle, refuse)
  objects("entry")
  const link = (objects("link") ?? []).find(({ relation }) => relation === "next")
  const next = link === undefined ? undefined : reader(link, refuse).string("url")
  if (link !== undefined && next === undefined) refuse("url")
  return { next, malformed: malformed === "url" ? "next link" : malformed }
}

/** The Bundle of a response, or an error. */
export const bundleIn = (
  { fail, json, status }: Pick<ReadResponse, "fail" | "json" | "status">,
  processed?: Fields["processed"]
): Effect.Effect<Resource, FhirError> =>
  isResource(json) && json.resourceType === "Bundle"
    ? Effect.succeed(json)
    : fail({ reason: "NotFhir", detail: `HTTP status ${status} without a Bundle`, status, processed })

export const stringIn = (object: JsonObject | undefined, member: string): string | undefined =>
  object === undefined ? undefined : reader(object, ignore).string(member)

/** The response to one entry of a batch or a transaction. */
interface EntryResponse {
  readonly result: EntryResult
  readonly stored: Stored<Resource | undefined>
}

const entryResponse = (
  { resource, response }: Entry,
  index: number,
  secrets: ReadonlyArray<Redacted.Redacted>
): EntryResponse => {
  const status = Number(/^\d{3}/.exec(stringIn(response, "status") ?? "")?.[0] ?? 0)
  const isSuccess = (status >= 200 && status <= 299) || status === 304
  const location = stringIn(response, "location")
  const etag = stringIn(response, "etag")
  const headers = { etag, location, "last-modified": stringIn(response, "lastModified") }
  return {
    result: {
      index,
      ...(status === 0 ? {} : { status }),
      processed: isSuccess ? "yes" : processedAtStatus(status),
      location,
      etag,
      issues: issuesOf(response?.["outcome"] ?? resource, secrets)
    },
    stored: storedOf({ status, json: resource, headers }, resource)
  }
}

/** Whether the server processed a transaction of which some entries failed. */
const processedTogether = (results: ReadonlyArray<EntryResult>): "no" | "partly" | "unknown" =>
  results.some(({ processed }) => processed === "yes")
    ? "partly"
    : results.some(({ processed }) => processed === "unknown")
    ? "unknown"
    : "no"

/** The error of one entry. */
const entryError = (
  fail: (fields: Fields) => FhirError,
  { index, issues, processed, status }: EntryResult,
  transaction?: { readonly results: ReadonlyArray<EntryResult>; readonly done: number }
): FhirError => {
  const detail = `entry ${index + 1} of the response has ${status === undefined ? "no status" : `the status ${status}`}`
  return fail({
    reason: status === undefined ? "NotFhir" : reasonOf(status),
    status,
    issues,
    index,
    ...(transaction === undefined
      ? { detail, processed: processed === "yes" ? "unknown" : processed }
      : {
        detail: `the server processed ${transaction.done} of ${transaction.results.length} requests, and ${detail}`,
        processed: processedTogether(transaction.results),
        entries: transaction.results
      })
  })
}

export const make = <E, R>({ send }: FhirRequester<E, R>): Bundles<E, R> => {
  const submit = (type: "batch" | "transaction", requests: ReadonlyArray<BundleRequest>) =>
    Effect.gen(function*() {
      const response = yield* send({
        interaction: type,
        method: "POST",
        url: "",
        body: {
          json: {
            resourceType: "Bundle",
            type,
            entry: requests.map(({ fullUrl, resource, ...request }) => ({ fullUrl, resource, request }))
          }
        }
      })
      const { fail, secrets, status } = response
      const bundle = yield* bundleIn(response, "unknown")
      const entries = entriesOf(bundle).map((entry, index) => entryResponse(entry, index, secrets))
      if (entries.length !== requests.length) {
        return yield* fail({
          reason: "NotFhir",
          detail: `the response to ${requests.length} requests has ${entries.length} entries`,
          status,
          processed: "unknown",
          entries: entries.map(({ result }) => result)
        })
      }
      return { entries, fail }
    })

  return {
    batch: (requests) =>
      Effect.map(
        submit("batch", requests),
        ({ entries, fail }) =>
          entries.map(({ result, stored }): BundleResult =>
            result.processed === "yes" ? Either.right(stored) : Either.left(entryError(fail, result))
          )
      ),
    transaction: (requests) =>
      Effect.flatMap(submit("transaction", requests), ({ entries, fail }) => {
        const results = entries.map(({ result }) => result)
        const failed = results.filter(({ processed }) => processed !== "yes")
        const [first] = failed
        return first === undefined
          ? Effect.succeed(entries.map(({ stored }) => stored))
          : entryError(fail, first, { results, done: results.length - failed.length })
      })
  }
}
