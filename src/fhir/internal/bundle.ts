/**
 * Bundles: the pages of a search or a history, and requests that travel together as a batch or a transaction (FHIR R4, sections 3.1.0.11 and 3.3).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { processedAtStatus } from "../../http/ReceivedResponse.js"
import type { EntryResult, FhirError, Fields } from "../FhirError.js"
import { reasonOf } from "../FhirError.js"
import type { FhirRequester } from "./fhirRequester.js"
import { bodyOf, storedOf } from "./interaction.js"
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
  /** What other entries call the resource by before it has an id: `urn:uuid:…`. */
  readonly fullUrl?: string | undefined
  readonly ifMatch?: string | undefined
  readonly ifNoneExist?: string | undefined
  /** The ETag of the version at hand: a GET is then answered with 304 and without a resource if nothing has changed. */
  readonly ifNoneMatch?: string | undefined
}

/**
 * What became of one request. The error names it by its `index`. A 304 is a result without a resource.
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
  /**
   * All or nothing, by the rules of FHIR. A server that breaks them, and processes some of the requests, gives an error with `processed: "partly"` and
   * `entries`: sending them all again would do twice what was done.
   */
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
 * The `next` link, and which member cannot be read: a link or an entry of the wrong shape does not count as absent, because the result would be short.
 *
 * @internal
 */
export const linksOf = (
  bundle: Resource
): { readonly next: string | undefined; readonly unusable: string | undefined } => {
  let unusable: string | undefined
  const refuse = (member: string) => {
    unusable ??= member
  }
  const { objects } = reader(bundle, refuse)
  objects("entry")
  const link = (objects("link") ?? []).find(({ relation }) => relation === "next")
  const next = link === undefined ? undefined : reader(link, refuse).string("url")
  if (link !== undefined && next === undefined) refuse("url")
  return { next, unusable: unusable === "url" ? "next link" : unusable }
}

/** @internal */
export const isBundle = (value: unknown): value is Resource => isResource(value) && value.resourceType === "Bundle"

/** @internal */
export const text = (object: JsonObject | undefined, member: string): string | undefined =>
  isJsonObject(object) ? reader(object, ignore).string(member) : undefined

interface Submitted {
  readonly answers: ReadonlyArray<EntryAnswer>
  readonly fail: (fields: Fields) => FhirError
}

/** What one entry of the answer says. */
interface EntryAnswer {
  readonly result: EntryResult
  readonly stored: Stored<Resource | undefined>
}

const entryAnswer = (
  { resource, response }: Entry,
  index: number,
  secrets: ReadonlyArray<Redacted.Redacted>
): EntryAnswer => {
  const status = Number(/^\d{3}/.exec(text(response, "status") ?? "")?.[0] ?? 0)
  const isDone = (status >= 200 && status <= 299) || status === 304
  const location = text(response, "location")
  const etag = text(response, "etag")
  const lastModified = text(response, "lastModified")
  return {
    result: {
      index,
      ...(status === 0 ? {} : { status }),
      processed: isDone ? "yes" : processedAtStatus(status),
      location,
      etag,
      issues: issuesOf(response?.["outcome"] ?? resource, secrets)
    },
    stored: storedOf({ status, json: resource, headers: { etag, location, "last-modified": lastModified } }, resource)
  }
}

/** What became of requests that belong together. */
const processedTogether = (results: ReadonlyArray<EntryResult>): "no" | "partly" | "unknown" =>
  results.some(({ processed }) => processed === "yes")
    ? "partly"
    : results.some(({ processed }) => processed === "unknown")
    ? "unknown"
    : "no"

const whatWentWrong = ({ index, status }: EntryResult): string =>
  `entry ${index + 1} of the answer ${status === undefined ? "has no status" : `has the status ${status}`}`

/**
 * @internal
 */
export const make = <E, R>({ failing, send }: FhirRequester<E, R>): Bundles<E, R> => {
  const submit = (
    type: "batch" | "transaction",
    requests: ReadonlyArray<BundleRequest>
  ): Effect.Effect<Submitted, FhirError | E, R> =>
    Effect.gen(function*() {
      const bundle = {
        resourceType: "Bundle",
        type,
        entry: requests.map(({ fullUrl, ifMatch, ifNoneExist, ifNoneMatch, method, resource, url }) => ({
          fullUrl,
          resource,
          request: { method, url, ifMatch, ifNoneExist, ifNoneMatch }
        }))
      }
      const body = Either.try(() => bodyOf(bundle))
      if (Either.isLeft(body)) {
        const refuse = yield* failing(type)
        return yield* refuse({
          reason: "InvalidRequest",
          detail: "what is to be sent cannot be written as JSON",
          processed: "no"
        })
      }
      const { fail, json, secrets, status } = yield* send({
        interaction: type,
        method: "POST",
        url: "",
        body: body.right
      })
      if (!isBundle(json)) {
        return yield* fail({
          reason: "NotFhir",
          detail: `it answered ${status} without a Bundle`,
          status,
          processed: "unknown"
        })
      }
      const answers = entriesOf(json).map((entry, index) => entryAnswer(entry, index, secrets))
      if (answers.length !== requests.length) {
        return yield* fail({
          reason: "NotFhir",
          detail: `${requests.length} requests got ${answers.length} answers`,
          status,
          processed: "unknown",
          entries: answers.map(({ result }) => result)
        })
      }
      return { answers, fail }
    })

  /** The error of the first entry that went wrong is that of the whole. */
  const errorOf = (
    fail: Submitted["fail"],
    { index, issues, processed, status }: EntryResult,
    whole?: Partial<Fields>
  ) =>
    fail({
      reason: status === undefined ? "NotFhir" : reasonOf(status),
      detail: whatWentWrong({ index, issues, processed, status }),
      status,
      issues,
      processed: processed === "yes" ? "unknown" : processed,
      index,
      ...whole
    })

  return {
    batch: (requests) =>
      Effect.map(
        submit("batch", requests),
        ({ answers, fail }) =>
          answers.map(({ result, stored }): BundleResult =>
            result.processed === "yes" ? Either.right(stored) : Either.left(errorOf(fail, result))
          )
      ),
    transaction: (requests) =>
      Effect.flatMap(submit("transaction", requests), ({ answers, fail }) => {
        const results = answers.map(({ result }) => result)
        const failed = results.find(({ processed }) => processed !== "yes")
        if (failed === undefined) return Effect.succeed(answers.map(({ stored }) => stored))
        const done = results.filter(({ processed }) => processed === "yes").length
        const processed = processedTogether(results)
        return errorOf(fail, failed, {
          detail: `the server processed ${done} of ${results.length} requests, and ${whatWentWrong(failed)}`,
          processed,
          entries: results
        })
      })
  }
}
