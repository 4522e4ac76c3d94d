/**
 * The RESTful interactions of FHIR R4 (section 3.1.0) on one resource: read, vread, create, update, patch, delete, and
 * their conditional forms.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { safeText } from "../../http/Redaction.js"
import { FhirError } from "../FhirError.js"
import type { FhirRequest, FhirResponse, ReadResponse } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import * as Params from "./params.js"
import type { AnySchema, Decoded, Decoding, ResourceOptions, Stored } from "./resource.js"
import { INVALID_REFERENCE, isId, isResource, isType } from "./resource.js"
import { optionalResourceIn, resourceIn, storedResourceIn } from "./resourceResponse.js"
import type { FhirVersion, ResourceInput, ResourceOf } from "./resourceTypes.js"
import { storedOf, toHttpDate } from "./stored.js"
import type { CreateOptions, MatchOptions, Patch, PatchOptions, UpdateOptions, WriteOptions } from "./writeOptions.js"
import { writeHeaders } from "./writeOptions.js"

/**
 * The version that the caller has: at least one of both.
 *
 * @since 0.1.0
 * @category models
 */
export interface IfModified {
  /** The `etag` of the version. */
  readonly ifNoneMatch?: string | undefined
  /** The `lastModified` of the version: a date of HTTP or an instant of FHIR. */
  readonly ifModifiedSince?: string | undefined
}

/**
 * The resource has not changed: the response has the status 304.
 *
 * @since 0.1.0
 * @category models
 */
export class NotModified extends Data.TaggedClass("NotModified")<{
  readonly etag: string | undefined
  readonly lastModified: string | undefined
}> {}

/**
 * The RESTful interactions. Each fails with `FhirError`, or with `E` if the token source fails. The result has the type
 * of the `schema`, or else of the resource type. A write has no resource if the response has none.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interactions<E, R, V extends FhirVersion> {
  /** The current version of a resource (FHIR R4, section 3.1.0.1). An absent one is a `NotFound` or `Gone`. */
  readonly read: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    id: string,
    options?: ResourceOptions<S>
  ) => Effect.Effect<Decoded<S, ResourceOf<V, Type>>, FhirError | E, R>
  /** Like `read`, with the ETag for a later update. */
  readonly readStored: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    id: string,
    options?: ResourceOptions<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>>>, FhirError | E, R>
  /** Reads a resource only if it is another version than the one that the caller has. */
  readonly conditionalRead: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    id: string,
    options: IfModified & ResourceOptions<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>>> | NotModified, FhirError | E, R>
  /** One version of a resource. */
  readonly vread: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    id: string,
    versionId: string,
    options?: ResourceOptions<S>
  ) => Effect.Effect<Decoded<S, ResourceOf<V, Type>>, FhirError | E, R>
  /** Creates a resource. The server chooses its id. */
  readonly create: <Type extends string, S extends AnySchema | undefined = undefined>(
    resource: ResourceInput<V, Type>,
    options?: CreateOptions<V> & Decoding<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>> | undefined>, FhirError | E, R>
  /** Replaces the resource of the same id, or creates it if the server allows that. */
  readonly update: <Type extends string, S extends AnySchema | undefined = undefined>(
    resource: ResourceInput<V, Type>,
    options?: UpdateOptions<V> & Decoding<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>> | undefined>, FhirError | E, R>
  /** Replaces the resource that matches, or creates one. Several matches are a `PreconditionFailed`. */
  readonly conditionalUpdate: <Type extends string, S extends AnySchema | undefined = undefined>(
    criteria: Params.Params,
    resource: ResourceInput<V, Type>,
    options?: UpdateOptions<V> & Decoding<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>> | undefined>, FhirError | E, R>
  /** Changes a resource. */
  readonly patch: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    id: string,
    patch: Patch<V>,
    options?: PatchOptions<V> & Decoding<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>> | undefined>, FhirError | E, R>
  /** Changes the resource that matches. Several matches are a `PreconditionFailed`. */
  readonly conditionalPatch: <const Type extends string, S extends AnySchema | undefined = undefined>(
    resourceType: Type,
    criteria: Params.Params,
    patch: Patch<V>,
    options?: PatchOptions<V> & Decoding<S>
  ) => Effect.Effect<Stored<Decoded<S, ResourceOf<V, Type>> | undefined>, FhirError | E, R>
  /** The result has the OperationOutcome of the response, if there is one. */
  readonly delete: (
    resourceType: string,
    id: string,
    options?: MatchOptions & Pick<WriteOptions<V>, "provenance">
  ) => Effect.Effect<Stored<ResourceOf<V, "OperationOutcome"> | undefined>, FhirError | E, R>
  /** Deletes the resources that match; some servers delete one only, and refuse several with `PreconditionFailed`. */
  readonly conditionalDelete: (
    resourceType: string,
    criteria: Params.Params,
    options?: Pick<WriteOptions<V>, "provenance">
  ) => Effect.Effect<Stored<ResourceOf<V, "OperationOutcome"> | undefined>, FhirError | E, R>
}

/** The headers of a conditional read. */
export const conditionHeaders = ({ ifModifiedSince, ifNoneMatch }: IfModified): Readonly<Record<string, string>> => ({
  ...(ifNoneMatch === undefined ? {} : { "if-none-match": ifNoneMatch }),
  ...(ifModifiedSince === undefined ? {} : { "if-modified-since": toHttpDate(ifModifiedSince) })
})

/** The value for a 304. A header that the response does not have is that of the condition. */
export const notModified = (
  { headers }: Pick<FhirResponse, "headers">,
  { ifModifiedSince, ifNoneMatch }: IfModified
): NotModified =>
  new NotModified({
    etag: headers["etag"] ?? ifNoneMatch,
    lastModified: headers["last-modified"] ?? ifModifiedSince
  })

/** A type that FHIR does not allow may be a value in the wrong place, so errors and spans do not contain it. */
export const nameOf = (resourceType: string): string => isType(resourceType) ? resourceType : "(no type)"

/** Why a conditional write is not sent: it could change or delete any resource. */
const criteriaProblem = (criteria: Params.Params): string | undefined => {
  const name = Params.nameWithoutValue(criteria)
  return name !== undefined
    ? Params.noValue(name)
    : Params.pairs(criteria).length === 0
    ? "the criteria are empty"
    : undefined
}

export const make = <E, R, V extends FhirVersion>({ refuse, send }: FhirRequester<E, R>): Interactions<E, R, V> => {
  const withPath = <A>(
    name: string,
    resourceType: string,
    ids: ReadonlyArray<string>,
    use: (interaction: string, path: string) => Effect.Effect<A, FhirError | E, R>
  ): Effect.Effect<A, FhirError | E, R> => {
    const interaction = `${name} ${nameOf(resourceType)}`
    return ids.includes("")
      ? refuse(interaction, "InvalidReference", "the id is missing")
      : isType(resourceType) && ids.every(isId)
      ? use(interaction, [resourceType, ...ids].join("/"))
      : refuse(interaction, "InvalidReference", INVALID_REFERENCE)
  }

  const readWith = <A>(
    resourceType: string,
    id: string,
    { headers, params }: Pick<FhirRequest, "headers" | "params">,
    use: (response: ReadResponse) => Effect.Effect<A, FhirError>
  ): Effect.Effect<A, FhirError | E, R> =>
    withPath(
      "read",
      resourceType,
      [id],
      (interaction, url) => Effect.flatMap(send({ interaction, url, headers, params }), use)
    )

  interface Write extends Pick<FhirRequest, "method" | "body" | "params"> {
    readonly name: string
    readonly resourceType: string
    readonly ids: ReadonlyArray<string>
    readonly headers?: Readonly<Record<string, string>> | undefined
  }

  /** Sends a write. */
  const sendWrite = (
    { headers: more, ids, name, params, resourceType, ...request }: Write,
    options: UpdateOptions<V>
  ): Effect.Effect<ReadResponse, FhirError | E, R> =>
    withPath(name, resourceType, ids, (interaction, url) => {
      const headers = writeHeaders(options)
      const problem = params === undefined ? undefined : criteriaProblem(params)
      return problem !== undefined
        ? refuse(interaction, "InvalidRequest", problem)
        : Either.isLeft(headers)
        ? refuse(interaction, "InvalidRequest", headers.left)
        : send({ ...request, interaction, url, params, headers: { ...headers.right, ...more } })
    })

  /** After an invalid response, the caller knows that the server may have acted, and where the resource is. */
  const write = <S extends AnySchema | undefined, A>(
    request: Write,
    options: UpdateOptions<V> & Decoding<S>
  ): Effect.Effect<Stored<Decoded<S, A> | undefined>, FhirError | E, R> =>
    Effect.flatMap(
      sendWrite(request, { prefer: "representation", ...options }),
      (response) =>
        Effect.mapError(optionalResourceIn<S, A>(response, request.resourceType, options), (error) => {
          const { location } = storedOf(response, undefined)
          return new FhirError({
            ...error,
            processed: "unknown",
            location: location === undefined
              ? undefined
              : safeText(location, response.secrets.map(Redacted.value), 1000)
          })
        })
    )

  const remove = <A>(
    request: Write,
    options: UpdateOptions<V>
  ): Effect.Effect<Stored<A | undefined>, FhirError | E, R> =>
    Effect.flatMap(
      sendWrite({ ...request, method: "DELETE" }, options),
      (response) =>
        isResource(response.json) && response.json.resourceType === "OperationOutcome"
          ? optionalResourceIn<undefined, A>(response, undefined, {})
          : Effect.succeed(storedOf(response, undefined))
    )

  const patchBody = (patch: Patch<V>) => ({
    json: patch,
    contentType: Array.isArray(patch) ? "application/json-patch+json" : undefined
  })

  return {
    readStored: (resourceType, id, options = {}) =>
      readWith(
        resourceType,
        id,
        { params: options.params },
        (response) => storedResourceIn(response, resourceType, options, id)
      ),
    read: (resourceType, id, options = {}) =>
      readWith(
        resourceType,
        id,
        { params: options.params },
        (response) => resourceIn(response, resourceType, options, id)
      ),
    conditionalRead: (resourceType, id, options) =>
      readWith(
        resourceType,
        id,
        { headers: conditionHeaders(options), params: options.params },
        (response) =>
          Effect.if(response.status === 304, {
            onTrue: () => Effect.succeed(notModified(response, options)),
            onFalse: () => storedResourceIn(response, resourceType, options, id)
          })
      ),
    vread: (resourceType, id, versionId, options = {}) =>
      withPath("vread", resourceType, [id, versionId], (interaction) =>
        Effect.flatMap(
          send({ interaction, url: `${resourceType}/${id}/_history/${versionId}`, params: options.params }),
          (response) => resourceIn(response, resourceType, options, id)
        )),
    create: (resource, options = {}) => {
      const { resourceType } = resource
      const { ifNoneExist } = options
      const problem = ifNoneExist === undefined ? undefined : criteriaProblem(ifNoneExist)
      return problem !== undefined
        ? refuse(`create ${nameOf(resourceType)}`, "InvalidRequest", problem)
        : write({
          name: "create",
          resourceType,
          ids: [],
          method: "POST",
          body: { json: resource },
          headers: ifNoneExist === undefined ? {} : { "if-none-exist": Params.print(ifNoneExist) }
        }, options)
    },
    update: (resource, options = {}) => {
      const { resourceType } = resource
      const id = "id" in resource && typeof resource.id === "string" ? resource.id : ""
      return id === ""
        ? refuse(
          `update ${nameOf(resourceType)}`,
          "InvalidReference",
          "the resource has no id: set one, or use `create` so that the server chooses it"
        )
        : write({ name: "update", resourceType, ids: [id], method: "PUT", body: { json: resource } }, options)
    },
    conditionalUpdate: (criteria, resource, options = {}) =>
      write({
        name: "conditional update",
        resourceType: resource.resourceType,
        ids: [],
        method: "PUT",
        params: criteria,
        body: { json: resource }
      }, options),
    patch: (resourceType, id, patch, options = {}) =>
      write({ name: "patch", resourceType, ids: [id], method: "PATCH", body: patchBody(patch) }, options),
    conditionalPatch: (resourceType, criteria, patch, options = {}) =>
      write({
        name: "conditional patch",
        resourceType,
        ids: [],
        method: "PATCH",
        params: criteria,
        body: patchBody(patch)
      }, options),
    delete: (resourceType, id, options = {}) => remove({ name: "delete", resourceType, ids: [id] }, options),
    conditionalDelete: (resourceType, criteria, options = {}) =>
      remove({ name: "conditional delete", resourceType, ids: [], params: criteria }, options)
  }
}
