/**
 * The RESTful interactions of FHIR R4 (section 3.1.0) on one resource or one version: read, vread, create, update,
 * patch, delete, and operations.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { isJsonObject } from "../../base/JsonReader.js"
import type { FhirError } from "../FhirError.js"
import type { FhirRequest, FhirResponse } from "./fhirRequest.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { ReadResponse } from "./fhirResponse.js"
import * as Params from "./params.js"
import type { AnyResource, Decoding, Resource, Stored } from "./resource.js"
import { decode, INVALID_REFERENCE, isId, isResource, isType } from "./resource.js"

/**
 * One operation of a JSON Patch (RFC 6902, section 4).
 *
 * @since 0.1.0
 * @category models
 */
export interface PatchOperation {
  readonly op: "add" | "remove" | "replace" | "move" | "copy" | "test"
  readonly path: string
  readonly from?: string | undefined
  readonly value?: unknown
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ConditionOptions {
  /** The ETag that the resource must still have. Without it, the update overwrites any version. */
  readonly ifMatch?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface OperationOptions<A, I> extends Decoding<A, I> {
  /** The type or the instance of the operation, such as `Patient` or `Patient/123`. Default: the whole server. */
  readonly on?: string | undefined
  readonly params?: Params.Params | undefined
  /** A Parameters resource, or another resource that the operation takes. */
  readonly input?: AnyResource | undefined
  /** Default: POST with an `input`, else GET. GET is only for operations that change nothing. */
  readonly method?: "GET" | "POST" | undefined
}

/**
 * The RESTful interactions. Each fails with `FhirError`, or with `E` if the token source fails. Without a schema, the
 * result is JSON of the type that the caller names, such as `fhir.read<fhir4.Patient>("Patient", id)`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interactions<E, R> {
  readonly read: <A = Resource, I = unknown>(
    resourceType: string,
    id: string,
    options?: Decoding<A, I>
  ) => Effect.Effect<A, FhirError | E, R>
  /** Like `read`, with the ETag for a later update. */
  readonly readStored: <A = Resource, I = unknown>(
    resourceType: string,
    id: string,
    options?: Decoding<A, I>
  ) => Effect.Effect<Stored<A>, FhirError | E, R>
  /** One version of a resource. */
  readonly vread: <A = Resource, I = unknown>(
    resourceType: string,
    id: string,
    versionId: string,
    options?: Decoding<A, I>
  ) => Effect.Effect<A, FhirError | E, R>
  /**
   * Creates a resource; with `ifNoneExist` only if no resource matches. The result has no resource if the response has
   * none.
   */
  readonly create: <A extends AnyResource>(
    resource: A,
    options?: { readonly ifNoneExist?: Params.Params | undefined }
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
  /** Replaces the resource of the same id, or creates it if the server allows that. */
  readonly update: <A extends AnyResource & { readonly id?: string | undefined }>(
    resource: A,
    options?: ConditionOptions
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
  /** Changes a resource by JSON Patch, or by a Parameters resource (FHIRPath Patch). */
  readonly patch: <A = Resource, I = unknown>(
    resourceType: string,
    id: string,
    patch: ReadonlyArray<PatchOperation> | AnyResource,
    options?: ConditionOptions & Decoding<A, I>
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
  readonly delete: (
    resourceType: string,
    id: string,
    options?: ConditionOptions
  ) => Effect.Effect<Stored<Resource | undefined>, FhirError | E, R>
  /** Calls the operation `$name`. The result has no resource if the response has none. */
  readonly operation: <A = Resource, I = unknown>(
    name: string,
    options?: OperationOptions<A, I>
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
}

/** The headers of a conditional request. */
const headersOf = ({ ifMatch }: ConditionOptions): Readonly<Record<string, string>> =>
  ifMatch === undefined ? {} : { "if-match": ifMatch }

const versionIn = (resource: unknown): string | undefined => {
  const meta = isResource(resource) ? resource["meta"] : undefined
  return isJsonObject(meta) && typeof meta["versionId"] === "string" ? meta["versionId"] : undefined
}

/** The resource with what the headers of its response state: version, ETag, location. */
export const storedOf = <A>(
  { headers, json, status }: Pick<FhirResponse, "headers" | "json" | "status">,
  resource: A
): Stored<A> => {
  const etag = headers["etag"]
  const versionId = /^(?:W\/)?"(.*)"$/.exec(etag ?? "")?.[1] ?? versionIn(json)
  return {
    resource,
    status,
    etag: etag ?? (versionId === undefined ? undefined : `W/"${versionId}"`),
    versionId,
    lastModified: headers["last-modified"],
    location: headers["location"] ?? headers["content-location"]
  }
}

/** A type that FHIR does not allow may be a value in the wrong place, so errors and spans do not contain it. */
export const nameOf = (resourceType: string): string => isType(resourceType) ? resourceType : "(no type)"

export const make = <E, R>({ refuse, send }: FhirRequester<E, R>): Interactions<E, R> => {
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

  /** The resource of a response, of the type that is given. */
  const resourceIn = <A, I>(
    { fail, json, status }: ReadResponse,
    resourceType: string | undefined,
    options: Decoding<A, I>
  ): Effect.Effect<A, FhirError> =>
    !isResource(json)
      ? fail({ reason: "NotFhir", detail: `HTTP status ${status} without a resource`, status })
      : resourceType !== undefined && json.resourceType !== resourceType
      ? fail({ reason: "NotFhir", detail: `HTTP status ${status} with a resource of another type`, status })
      : decode(json, options, fail)

  /** The resource of a response that may be empty or hold an OperationOutcome instead. */
  const optionalResourceIn = <A, I>(
    response: ReadResponse,
    resourceType: string | undefined,
    options: Decoding<A, I>
  ): Effect.Effect<Stored<A | undefined>, FhirError> => {
    const isAbsent = response.body.trim() === "" ||
      (resourceType !== undefined && isResource(response.json) && response.json.resourceType === "OperationOutcome" &&
        resourceType !== "OperationOutcome")
    return isAbsent
      ? Effect.succeed(storedOf(response, undefined))
      : Effect.map(resourceIn(response, resourceType, options), (resource) => storedOf(response, resource))
  }

  const readWith = <A>(
    resourceType: string,
    id: string,
    use: (response: ReadResponse) => Effect.Effect<A, FhirError>
  ): Effect.Effect<A, FhirError | E, R> =>
    withPath("read", resourceType, [id], (interaction, url) => Effect.flatMap(send({ interaction, url }), use))

  const write = <A, I>(
    name: string,
    resourceType: string,
    ids: ReadonlyArray<string>,
    { headers, ...request }: Pick<FhirRequest, "method" | "body" | "headers">,
    options: Decoding<A, I>
  ): Effect.Effect<Stored<A | undefined>, FhirError | E, R> =>
    withPath(name, resourceType, ids, (interaction, url) =>
      Effect.flatMap(
        send({ ...request, interaction, url, headers: { prefer: "return=representation", ...headers } }),
        (response) => optionalResourceIn(response, resourceType, options)
      ))

  return {
    readStored: (resourceType, id, options = {}) =>
      readWith(
        resourceType,
        id,
        (response) =>
          Effect.map(resourceIn(response, resourceType, options), (resource) => storedOf(response, resource))
      ),
    read: (resourceType, id, options = {}) =>
      readWith(resourceType, id, (response) => resourceIn(response, resourceType, options)),
    vread: (resourceType, id, versionId, options = {}) =>
      withPath("vread", resourceType, [id, versionId], (interaction) =>
        Effect.flatMap(
          send({ interaction, url: `${resourceType}/${id}/_history/${versionId}` }),
          (response) => resourceIn(response, resourceType, options)
        )),
    create: <A extends AnyResource>(
      resource: A,
      { ifNoneExist }: { readonly ifNoneExist?: Params.Params | undefined } = {}
    ) =>
      write<A, unknown>("create", resource.resourceType, [], {
        method: "POST",
        body: { json: resource },
        headers: ifNoneExist === undefined ? {} : { "if-none-exist": Params.print(ifNoneExist) }
      }, {}),
    update: <A extends AnyResource & { readonly id?: string | undefined }>(
      resource: A,
      options: ConditionOptions = {}
    ) =>
      resource.id === undefined || resource.id === ""
        ? refuse(
          `update ${nameOf(resource.resourceType)}`,
          "InvalidReference",
          "the resource has no id: set one, or use `create` so that the server chooses it"
        )
        : write<A, unknown>("update", resource.resourceType, [resource.id], {
          method: "PUT",
          body: { json: resource },
          headers: headersOf(options)
        }, {}),
    patch: (resourceType, id, patch, options = {}) =>
      write("patch", resourceType, [id], {
        method: "PATCH",
        body: { json: patch, contentType: Array.isArray(patch) ? "application/json-patch+json" : undefined },
        headers: headersOf(options)
      }, options),
    delete: (resourceType, id, options = {}) =>
      withPath("delete", resourceType, [id], (interaction, url) =>
        Effect.map(
          send({ interaction, method: "DELETE", url, headers: headersOf(options) }),
          (response) => storedOf(response, isResource(response.json) ? response.json : undefined)
        )),
    operation: (name, options = {}) => {
      const { input, method = input === undefined ? "GET" : "POST", on = "", params } = options
      const bare = name.startsWith("$") ? name.slice(1) : name
      const [resourceType, ...ids] = on === "" ? [] : on.split("/")
      const isValidName = /^[A-Za-z][A-Za-z0-9-]{0,63}$/.test(bare)
      const isValidTarget = resourceType === undefined || (isType(resourceType) && ids.length <= 1 && ids.every(isId))
      return !isValidName || !isValidTarget
        ? refuse(
          "operation",
          "InvalidReference",
          "the name of the operation, or its `on`, has characters that FHIR does not allow"
        )
        : Effect.flatMap(
          send({
            interaction: `$${bare}${resourceType === undefined ? "" : ` ${resourceType}`}`,
            method,
            url: `${on === "" ? "" : `${on}/`}$${bare}`,
            params,
            body: method === "POST" && input !== undefined ? { json: input } : undefined
          }),
          (response) => optionalResourceIn(response, undefined, options)
        )
    }
  }
}
