/**
 * Binary resources as bytes (FHIR R4, section 2.36): documents, images and other content that is not FHIR.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { parseJson } from "../../base/JsonReader.js"
import type { FhirError } from "../FhirError.js"
import type { FhirBody, ReadableResponse } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import { conditionHeaders, type IfModified, type NotModified, notModified } from "./interaction.js"
import { INVALID_REFERENCE, isId, isResource, type Stored } from "./resource.js"
import { optionalResourceIn } from "./resourceResponse.js"
import type { FhirVersion, ResourceOf } from "./resourceTypes.js"
import { storedOf } from "./stored.js"
import { type UpdateOptions, writeHeaders, type WriteOptions } from "./writeOptions.js"

/**
 * The metadata of a Binary, from the headers of its response.
 *
 * @since 0.1.0
 * @category models
 */
export interface BinaryInfo {
  readonly contentType: string | undefined
  readonly etag: string | undefined
  readonly versionId: string | undefined
  readonly lastModified: string | undefined
}

/**
 * The content of a Binary.
 *
 * @since 0.1.0
 * @category models
 */
export interface BinaryContent extends BinaryInfo {
  readonly bytes: Uint8Array
}

/**
 * The content of a Binary as a stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenBinary extends BinaryInfo {
  readonly stream: Stream.Stream<Uint8Array, FhirError>
}

/**
 * The content to store in a Binary.
 *
 * @since 0.1.0
 * @category models
 */
export interface BinaryInput {
  readonly contentType: string
  /** A stream is sent as it arrives, and only once: without retries, and without a repetition after a 401. */
  readonly content: Uint8Array | Stream.Stream<Uint8Array, unknown>
  /** The length of a stream in bytes; without it, the body is sent in chunks. */
  readonly contentLength?: number | undefined
  /** The resource whose access rules apply to the Binary, such as `Patient/123` (`X-Security-Context`). */
  readonly securityContext?: string | undefined
}

/**
 * Options of reading a Binary.
 *
 * @since 0.1.0
 * @category models
 */
export interface BinaryOptions {
  /** The wanted content types. Default: the type with which the content is stored. */
  readonly accept?: string | undefined
}

/**
 * Binary resources as bytes and streams.
 *
 * @since 0.1.0
 * @category models
 */
export interface Binaries<E, R, V extends FhirVersion> {
  /** The content of a Binary: by its id, by a reference (`Binary/123`), or by the URL of an Attachment. */
  readonly readBinary: (
    reference: string,
    options?: BinaryOptions
  ) => Effect.Effect<BinaryContent, FhirError | E, R>
  /** Like `readBinary`, with the content as a stream, which is open as long as the scope. */
  readonly openBinary: (
    reference: string,
    options?: BinaryOptions
  ) => Effect.Effect<OpenBinary, FhirError | E, R | Scope.Scope>
  /** Like `readBinary`, only if the Binary is another version than the one that the caller has. */
  readonly conditionalReadBinary: (
    reference: string,
    options: IfModified & BinaryOptions
  ) => Effect.Effect<BinaryContent | NotModified, FhirError | E, R>
  /** Like `openBinary`, only if the Binary is another version than the one that the caller has. */
  readonly conditionalOpenBinary: (
    reference: string,
    options: IfModified & BinaryOptions
  ) => Effect.Effect<OpenBinary | NotModified, FhirError | E, R | Scope.Scope>
  /** Creates a Binary. The `location` of the result has its id. */
  readonly createBinary: (
    input: BinaryInput,
    options?: WriteOptions<V>
  ) => Effect.Effect<Stored<ResourceOf<V, "Binary"> | undefined>, FhirError | E, R>
  /** Replaces the content of a Binary. */
  readonly updateBinary: (
    id: string,
    input: BinaryInput,
    options?: UpdateOptions<V>
  ) => Effect.Effect<Stored<ResourceOf<V, "Binary"> | undefined>, FhirError | E, R>
}

interface Opened {
  readonly response: ReadableResponse
  readonly info: BinaryInfo
  readonly isFhir: boolean
}

const isFhirType = (contentType = ""): boolean => /^application\/(fhir\+)?json\b/i.test(contentType)

/** The Binary resource in a body, if the server returned it instead of its content. */
const resourceIn = (bytes: Uint8Array) => {
  const json = parseJson(new TextDecoder().decode(bytes))?.value
  return isResource(json) && json.resourceType === "Binary" ? json : undefined
}

/** The content of a Binary, of a response with FHIR in JSON. */
const decoded = ({ bytes, fail, headers, status }: ReadableResponse, info: BinaryInfo) =>
  Effect.flatMap(bytes, (body): Effect.Effect<BinaryContent, FhirError> => {
    const resource = resourceIn(body)
    if (resource === undefined) return Effect.succeed({ ...info, bytes: body })
    const { contentType, data } = resource
    const content = Encoding.decodeBase64(typeof data === "string" ? data.replace(/\s/g, "") : "")
    if (Either.isLeft(content)) {
      return fail({ reason: "NotFhir", detail: `HTTP status ${status} with a Binary that is not base64`, status })
    }
    const { etag, lastModified, versionId } = storedOf({ headers, json: resource, status }, undefined)
    return Effect.succeed({
      etag,
      lastModified,
      versionId,
      contentType: typeof contentType === "string" ? contentType : undefined,
      bytes: content.right
    })
  })

const contentOf = ({ info, isFhir, response }: Opened): Effect.Effect<BinaryContent, FhirError> =>
  isFhir ? decoded(response, info) : Effect.map(response.bytes, (bytes) => ({ ...info, bytes }))

const streamOf = ({ info, isFhir, response }: Opened): Effect.Effect<OpenBinary, FhirError> =>
  isFhir
    ? Effect.map(decoded(response, info), ({ bytes, ...rest }) => ({ ...rest, stream: Stream.make(bytes) }))
    : Effect.succeed({ ...info, stream: response.body })

const unlessNotModified =
  <A>(options: IfModified, use: (opened: Opened) => Effect.Effect<A, FhirError>) =>
  (opened: Opened): Effect.Effect<A | NotModified, FhirError> =>
    opened.response.status === 304 ? Effect.succeed(notModified(opened.response, options)) : use(opened)

export const make = <E, R, V extends FhirVersion>({ open, refuse, send }: FhirRequester<E, R>): Binaries<E, R, V> => {
  const get = (
    reference: string,
    { accept = "*/*", ...condition }: IfModified & BinaryOptions
  ): Effect.Effect<Opened, FhirError | E, R | Scope.Scope> =>
    reference === ""
      ? refuse("read Binary", "InvalidReference", "the reference is missing")
      : Effect.map(
        open({
          interaction: "read Binary",
          url: isId(reference) ? `Binary/${reference}` : reference,
          headers: { accept, ...conditionHeaders(condition) }
        }),
        (response) => {
          const { etag, lastModified, versionId } = storedOf({ ...response, json: undefined }, undefined)
          const contentType = response.headers["content-type"]
          return {
            response,
            info: { contentType, etag, versionId, lastModified },
            isFhir: isFhirType(contentType)
          }
        }
      )

  const write = (
    interaction: string,
    method: "POST" | "PUT",
    url: string,
    { content, contentLength, contentType, securityContext }: BinaryInput,
    options: UpdateOptions<V>
  ): Effect.Effect<Stored<ResourceOf<V, "Binary"> | undefined>, FhirError | E, R> => {
    const headers = writeHeaders(options)
    if (Either.isLeft(headers)) return refuse(interaction, "InvalidRequest", headers.left)
    const body: FhirBody = content instanceof Uint8Array
      ? { bytes: content, contentType }
      : { stream: content, contentType, contentLength }
    return Effect.flatMap(
      send({
        interaction,
        method,
        url,
        body,
        headers: {
          ...headers.right,
          ...(securityContext === undefined ? {} : { "x-security-context": securityContext })
        }
      }),
      (response) =>
        isFhirType(response.headers["content-type"]) && isResource(response.json)
          ? optionalResourceIn<undefined, ResourceOf<V, "Binary">>(response, "Binary", {})
          : Effect.succeed(storedOf(response, undefined))
    )
  }

  return {
    readBinary: (reference, { accept } = {}) => Effect.scoped(Effect.flatMap(get(reference, { accept }), contentOf)),
    openBinary: (reference, { accept } = {}) => Effect.flatMap(get(reference, { accept }), streamOf),
    conditionalReadBinary: (reference, options) =>
      Effect.scoped(Effect.flatMap(get(reference, options), unlessNotModified(options, contentOf))),
    conditionalOpenBinary: (reference, options) =>
      Effect.flatMap(get(reference, options), unlessNotModified(options, streamOf)),
    createBinary: (input, options = {}) => write("create Binary", "POST", "Binary", input, options),
    updateBinary: (id, input, options = {}) =>
      isId(id)
        ? write("update Binary", "PUT", `Binary/${id}`, input, options)
        : refuse("update Binary", "InvalidReference", id === "" ? "the id is missing" : INVALID_REFERENCE)
  }
}
