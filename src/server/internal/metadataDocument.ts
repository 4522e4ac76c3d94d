/**
 * Documents beside the SMART configuration whose failures are a `MetadataError`: OpenID Connect metadata, key sets,
 * styles.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import { failOnDefect } from "../../base/FailOnDefect.js"
import type { JsonObject } from "../../base/JsonReader.js"
import { span } from "../../base/Span.js"
import * as Url from "../../base/Url.js"
import * as OutgoingRequest from "../../http/OutgoingRequest.js"
import { MetadataError, type Subject } from "../MetadataError.js"
import * as PublishedDocument from "../PublishedDocument.js"
import * as DocumentRequest from "./documentRequest.js"

/** @internal */
export interface Options<A> extends PublishedDocument.Options<A, MetadataError> {
  readonly subject: Subject
  readonly accept: string
  /** Default `metadata`. */
  readonly limits?: "metadata" | "fhir" | undefined
  /** URLs of a document. The next one is tried where the server responds 404 or 410. */
  readonly urls: (id: string) => ReadonlyArray<string>
  readonly decode: (members: JsonObject, id: string, fetchedAt: number) => Effect.Effect<A, MetadataError>
}

/** @internal */
export interface MetadataDocuments<A> {
  readonly get: (id: string, request?: PublishedDocument.Request) => Effect.Effect<A, MetadataError>
  readonly refresh: (id: string, request?: PublishedDocument.Request) => Effect.Effect<A, MetadataError>
  readonly invalidate: (id: string) => Effect.Effect<void>
}

/** @internal */
export const make = <A>(
  options: Options<A>
): Effect.Effect<MetadataDocuments<A>, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const { accept, decode, limits = "metadata", subject, urls } = options
    const client = OutgoingRequest.prepare(yield* HttpClient.HttpClient)
    const documents = yield* PublishedDocument.make<A, MetadataError>(options)

    const load = (id: string, request: PublishedDocument.Request | undefined) => {
      const { allowInsecureLocalhost } = request ?? {}
      const fetch = (url: string) =>
        Effect.mapError(
          DocumentRequest.fetch({ client, url, accept, limits, allowInsecureLocalhost }),
          (problem) => new MetadataError({ subject, ...problem })
        )
      const [first = "", ...others] = urls(id)
      return others.reduce(
        (previous, url) => Effect.catchIf(previous, ({ reason }) => reason === "NotFound", () => fetch(url)),
        fetch(first)
      ).pipe(
        Effect.flatMap(({ declaredMaxAge, fetchedAt, members = {} }) =>
          Effect.suspend(() => decode(members, id, fetchedAt)).pipe(
            failOnDefect((exception) =>
              new MetadataError({
                subject,
                reason: "NotObject",
                url: Url.forDisplay(id),
                detail: `the document cannot be read (${exception})`
              })
            ),
            Effect.map((value) => ({ value, declaredMaxAge }))
          )
        ),
        span(`${subject}.fetch`, { kind: "client", attributes: { "smart.url": Url.forDisplay(id) } })
      )
    }

    return {
      get: (id, request) => documents.get(PublishedDocument.cacheKey(id, request), () => load(id, request)),
      refresh: (id, request) => documents.refresh(PublishedDocument.cacheKey(id, request), () => load(id, request)),
      invalidate: documents.invalidate
    }
  })
