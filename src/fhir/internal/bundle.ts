/**
 * Bundles (FHIR R4, sections 3.1.0.11 and 3.3): their entries and links, and batches and transactions.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type * as Redacted from "effect/Redacted"
import * as HttpStatus from "../../base/HttpStatus.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import type { EntryResult, FhirError, Fields, Issue } from "../FhirError.js"
import { reasonOf } from "../FhirError.js"
import { notFhir, type ReadResponse } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { IssueBudget, Resource, Stored } from "./resource.js"
import { isResource, issueBudget, issuesOf, typed } from "./resource.js"
import type { AnyResourceOf, FhirVersion, ResourceInput } from "./resourceTypes.js"
import { etagOf, toInstant, versionIdOf } from "./stored.js"
import type { PatchOperation, WriteOptions } from "./writeOptions.js"
import { writeHeaders } from "./writeOptions.js"

/**
 * One request of a batch or a transaction.
 *
 * @since 0.1.0
 * @category models
 */
export interface BundleRequest<V extends FhirVersion = "R4", Type = unknown> {
  /** The HTTP method of the request. */
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Relative to the FHIR base: `Patient`, `Patient/123`, `Patient?name=x`. */
  readonly url: string
  /** The resource of a POST, PUT or PATCH. */
  readonly resource?: ResourceInput<V, Type> | undefined
  /** The JSON Patch of a PATCH. A FHIRPath Patch is a `resource`. */
  readonly patch?: ReadonlyArray<PatchOperation> | undefined
  /** The `urn:uuid:…` by which other entries reference the resource before it has an id. */
  readonly fullUrl?: string | undefined
  /** The ETag that the resource must still have (`If-Match`). */
  readonly ifMatch?: string | undefined
  /** Search parameters such as `identifier=x`: a POST creates a resource only if none matches. */
  readonly ifNoneExist?: string | undefined
  /** An ETag: a GET then returns 304 without a resource if the version has not changed. */
  readonly ifNoneMatch?: string | undefined
  /** The `lastModified` of a version: a GET then returns 304 without a resource if the version is not newer. */
  readonly ifModifiedSince?: string | undefined
}

/**
 * The response to one request, by its index from 0 on. A 304 has no resource. `issues` may be warnings.
 *
 * @since 0.1.0
 * @category models
 */
export interface BundleEntry<A> extends Stored<A | undefined> {
  /** The index of the request, from 0 on. */
  readonly index: number
  /** The issues of the OperationOutcome of the entry. Their texts may name a patient. */
  readonly issues: ReadonlyArray<Issue>
}

/**
 * The result of one request. An error has its `index`.
 *
 * @since 0.1.0
 * @category models
 */
export type BundleResult<V extends FhirVersion = "R4"> = Either.Either<BundleEntry<AnyResourceOf<V>>, FhirError>

/** The requests, with the resource of each checked by its type. */
type BundleRequests<V extends FhirVersion, Types extends ReadonlyArray<unknown>> = {
  readonly [K in keyof Types]: BundleRequest<V, Types[K]>
}

/**
 * Batches and transactions.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bundles<E, R, V extends FhirVersion> {
  /** Independent requests. The results are in the order of the requests. */
  readonly batch: <const Types extends ReadonlyArray<unknown>>(
    requests: BundleRequests<V, Types>,
    options?: WriteOptions<V>
  ) => Effect.Effect<ReadonlyArray<BundleResult<V>>, FhirError | E, R>
  /**
   * Requests of which the server processes all or none. If it processes some, the error has `processed: "partly"` and
   * `entries`: sending all requests again would repeat the processed ones.
   */
  readonly transaction: <const Types extends ReadonlyArray<unknown>>(
    requests: BundleRequests<V, Types>,
    options?: WriteOptions<V>
  ) => Effect.Effect<ReadonlyArray<BundleEntry<AnyResourceOf<V>>>, FhirError | E, R>
}

const ignore = () => undefined

export interface Entry {
  readonly resource: Resource | undefined
  readonly search: JsonObject | undefined
  readonly request: JsonObject | undefined
  readonly response: JsonObject | undefined
}

// Without a reader: a Bundle may have thousands of entries.
const memberIn = (object: JsonObject | undefined, member: string): unknown =>
  object !== undefined && Object.hasOwn(object, member) ? object[member] : undefined

const objectIn = (object: JsonObject, member: string): JsonObject | undefined => {
  const value = memberIn(object, member)
  return isJsonObject(value) ? value : undefined
}

export const stringIn = (object: JsonObject | undefined, member: string): string | undefined => {
  const value = memberIn(object, member)
  return typeof value === "string" && value !== "" ? value : undefined
}

export const entriesOf = (bundle: Resource): ReadonlyArray<Entry> =>
  (reader(bundle, ignore).objects("entry") ?? []).map((entry) => {
    const resource = objectIn(entry, "resource")
    return {
      resource: isResource(resource) ? resource : undefined,
      search: objectIn(entry, "search"),
      request: objectIn(entry, "request"),
      response: objectIn(entry, "response")
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
  response: ReadResponse,
  processed?: Fields["processed"]
): Effect.Effect<Resource, FhirError> => {
  const { json } = response
  return isResource(json) && json.resourceType === "Bundle"
    ? Effect.succeed(json)
    : notFhir(response, "without a Bundle", processed)
}

/** The status of an entry, such as "201 Created"; 0 if it is not valid. */
const statusOf = (status = ""): number => /^\d{3}/.test(status) ? Number(status.slice(0, 3)) : 0

/** The response to one entry of a batch or a transaction. Its status is 0 if it is not valid. */
const bundleEntry = <A>(
  { resource, response }: Entry,
  index: number,
  secrets: ReadonlyArray<Redacted.Redacted>,
  budget: IssueBudget
): BundleEntry<A> => {
  const etag = stringIn(response, "etag")
  const versionId = versionIdOf(etag, resource)
  return {
    index,
    issues: issuesOf(memberIn(response, "outcome") ?? resource, secrets, budget),
    resource: resource === undefined ? undefined : typed<A>(resource),
    status: statusOf(stringIn(response, "status")),
    etag: etag ?? etagOf(versionId),
    versionId,
    lastModified: stringIn(response, "lastModified"),
    location: stringIn(response, "location")
  }
}

const isProcessed = ({ status }: { readonly status: number }): boolean =>
  (status >= 200 && status <= 299) || status === 304

const resultOf = ({ etag, index, issues, location, status }: BundleEntry<unknown>): EntryResult => ({
  index,
  ...(status === 0 ? {} : { status }),
  processed: isProcessed({ status }) ? "yes" : HttpStatus.processedAt(status),
  location,
  etag,
  issues
})

/** A JSON Patch is sent as a Binary (FHIR R4, section 3.1.0.8.1). */
const patchResource = (patch: ReadonlyArray<PatchOperation>) => ({
  resourceType: "Binary",
  contentType: "application/json-patch+json",
  data: Encoding.encodeBase64(JSON.stringify(patch))
})

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

/** The entries of the Bundle to send, and the headers. */
const encodeEntries = <V extends FhirVersion>(
  requests: ReadonlyArray<BundleRequest<V, unknown>>,
  options: WriteOptions<V>
) =>
  Either.all({
    headers: writeHeaders(options),
    entry: Either.try({
      try: () =>
        requests.map(({ fullUrl, patch, resource, ...request }) => ({
          fullUrl,
          resource: patch === undefined ? resource : patchResource(patch),
          request: request.ifModifiedSince === undefined
            ? request
            : { ...request, ifModifiedSince: toInstant(request.ifModifiedSince) }
        })),
      catch: () => "a patch cannot be encoded as JSON"
    })
  })

export const make = <E, R, V extends FhirVersion>({ refuse, send }: FhirRequester<E, R>): Bundles<E, R, V> => {
  const submit = (
    type: "batch" | "transaction",
    requests: ReadonlyArray<BundleRequest<V, unknown>>,
    options: WriteOptions<V>
  ) =>
    Either.match(encodeEntries(requests, options), {
      onLeft: (detail) => refuse(type, "InvalidRequest", detail),
      onRight: ({ entry, headers }) =>
        Effect.flatMap(
          send({
            interaction: type,
            method: "POST",
            url: "",
            headers,
            body: { json: { resourceType: "Bundle", type, entry } }
          }),
          (response) => Effect.flatMap(bundleIn(response, "unknown"), (bundle) => resultsOf(response, bundle, requests))
        )
    })

  /** The results of the entries. They are as many as the requests. */
  const resultsOf = (
    { fail, secrets, status }: ReadResponse,
    bundle: Resource,
    requests: ReadonlyArray<unknown>
  ) => {
    const budget = issueBudget()
    const entries = entriesOf(bundle).map((entry, index) =>
      bundleEntry<AnyResourceOf<V>>(entry, index, secrets, budget)
    )
    return entries.length === requests.length
      ? Effect.succeed({ entries, fail })
      : fail({
        reason: "NotFhir",
        detail: `the response to ${requests.length} requests has ${entries.length} entries`,
        status,
        processed: "unknown",
        entries: entries.map(resultOf)
      })
  }

  return {
    batch: (requests, options = {}) =>
      Effect.map(
        submit("batch", requests, options),
        ({ entries, fail }) =>
          entries.map((entry): BundleResult<V> =>
            isProcessed(entry) ? Either.right(entry) : Either.left(entryError(fail, resultOf(entry)))
          )
      ),
    transaction: (requests, options = {}) =>
      Effect.flatMap(submit("transaction", requests, options), ({ entries, fail }) => {
        const failed = entries.filter((entry) => !isProcessed(entry)).map(resultOf)
        const [first] = failed
        return first === undefined
          ? Effect.succeed(entries)
          : entryError(fail, first, { results: entries.map(resultOf), done: entries.length - failed.length })
      })
  }
}
