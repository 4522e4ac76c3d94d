/**
 * The RESTful interactions of FHIR R4 (section 3.1.0) on one resource or one version: read, vread, create, update, patch, delete, and operations.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { FhirError } from "../FhirError.js"
import type { Answer, Request } from "./fhirRequest.js"
import type { FhirRequester } from "./fhirRequester.js"
import type { FhirResponse } from "./fhirResponse.js"
import * as Params from "./params.js"
import type { AnyResource, Decoding, Resource, Stored } from "./resource.js"
import { decode, isId, isResource, isType } from "./resource.js"

/**
 * One step of a JSON Patch (RFC 6902).
 *
 * @since 0.1.0
 * @category models
 */
export interface PatchStep {
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
  /** The ETag the resource must still have; without it the last writer wins. */
  readonly ifMatch?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface OperationOptions<A, I> extends Decoding<A, I> {
  /** What it is called on, such as `Patient` or `Patient/123`. Default: the whole server. */
  readonly on?: string | undefined
  readonly params?: Params.Params | undefined
  /** A Parameters resource, or whatever the operation takes. Makes it a POST. */
  readonly input?: AnyResource | undefined
  /** Default: POST with an `input`, else GET, which is for operations that change nothing. */
  readonly method?: "GET" | "POST" | undefined
}

/**
 * Each fails with a `FhirError`, or with `E` where there is no token to be had. Without a schema the result is JSON of the type that the caller
 * names, such as `fhir.read<fhir4.Patient>("Patient", id)`.
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
  /** As `read`, with the ETag for a later update. */
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
  /** With `ifNoneExist` only where no resource matches. The result has no resource where the server gives none back. */
  readonly create: <A extends AnyResource>(
    resource: A,
    options?: { readonly ifNoneExist?: Params.Params | undefined }
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
  /** Replaces the resource of the same id, or creates it where the server allows that. */
  readonly update: <A extends AnyResource & { readonly id?: string | undefined }>(
    resource: A,
    options?: ConditionOptions
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
  /** By JSON Patch, or by a Parameters resource (FHIRPath Patch). */
  readonly patch: <A = Resource, I = unknown>(
    resourceType: string,
    id: string,
    patch: ReadonlyArray<PatchStep> | AnyResource,
    options?: ConditionOptions & Decoding<A, I>
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
  readonly delete: (
    resourceType: string,
    id: string,
    options?: ConditionOptions
  ) => Effect.Effect<Stored<Resource | undefined>, FhirError | E, R>
  /** Calls `$name`. The result has no resource where the operation gives none. */
  readonly operation: <A = Resource, I = unknown>(
    name: string,
    options?: OperationOptions<A, I>
  ) => Effect.Effect<Stored<A | undefined>, FhirError | E, R>
}

const FHIR_JSON = "application/fhir+json"

/** @internal */
export const bodyOf = (value: unknown, contentType = FHIR_JSON): Request["body"] => ({
  text: JSON.stringify(value),
  contentType
})

const headersOf = ({ ifMatch }: ConditionOptions): Readonly<Record<string, string>> =>
  ifMatch === undefined ? {} : { "if-match": ifMatch }

const versionIn = (resource: unknown): string | undefined => {
  const meta = isResource(resource) ? resource["meta"] : undefined
  return typeof meta === "object" && meta !== null && "versionId" in meta && typeof meta.versionId === "string"
    ? meta.versionId
    : undefined
}

/**
 * @internal
 */
export const storedOf = <A>({ headers, json, status }: Omit<Answer, "url" | "body">, resource: A): Stored<A> => {
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

/** A name in an error is one that FHIR allows: anything else may be a value that slipped. */
const shown = (resourceType: string): string => isType(resourceType) ? resourceType : "(no type)"

/**
 * @internal
 */
export const make = <E, R>({ failing, send }: FhirRequester<E, R>): Interactions<E, R> => {
  const refuse = (interaction: string, reason: "InvalidReference" | "InvalidRequest", detail: string) =>
    Effect.flatMap(failing(interaction), (fail) => fail({ reason, detail, processed: "no" }))

  /** Builds a request, which writes its body. What cannot be written as JSON is refused: it holds itself, or nests too deep. */
  const built = <A, E1, R1>(interaction: string, build: () => Effect.Effect<A, E1, R1>) =>
    Effect.suspend(() =>
      Either.match(Either.try(build), {
        onLeft: () => refuse(interaction, "InvalidRequest", "what is to be sent cannot be written as JSON"),
        onRight: (request): Effect.Effect<A, E1 | FhirError | E, R1 | R> => request
      })
    )

  const withReference = <A, E1, R1>(
    name: string,
    resourceType: string,
    ids: ReadonlyArray<string>,
    use: (interaction: string, path: string) => Effect.Effect<A, E1, R1>
  ) => {
    const interaction = `${name} ${shown(resourceType)}`
    return ids.includes("")
      ? refuse(interaction, "InvalidReference", "the id is missing")
      : isType(resourceType) && ids.every(isId)
      ? built(interaction, () => use(interaction, [resourceType, ...ids].join("/")))
      : refuse(interaction, "InvalidReference", "the resource type or the id has characters that FHIR does not allow")
  }

  /** An answer that must hold a resource, of the type where one is named. */
  const resourceIn = <A, I>(
    { fail, json, status }: FhirResponse,
    resourceType: string | undefined,
    options: Decoding<A, I>
  ): Effect.Effect<A, FhirError> =>
    !isResource(json)
      ? fail({ reason: "NotFhir", detail: `it answered ${status} without a resource`, status })
      : resourceType !== undefined && json.resourceType !== resourceType
      ? fail({ reason: "NotFhir", detail: `it answered ${status} with a resource of another type`, status })
      : decode(json, options, fail)

  /** An answer that may hold a resource: servers are free to give none back, or an OperationOutcome in its place. */
  const maybeResourceIn = <A, I>(
    answer: FhirResponse,
    resourceType: string | undefined,
    options: Decoding<A, I>
  ): Effect.Effect<Stored<A | undefined>, FhirError> => {
    const isNone = answer.body.trim() === "" ||
      (resourceType !== undefined && isResource(answer.json) && answer.json.resourceType === "OperationOutcome" &&
        resourceType !== "OperationOutcome")
    return isNone
      ? Effect.succeed(storedOf(answer, undefined))
      : Effect.map(resourceIn(answer, resourceType, options), (resource) => storedOf(answer, resource))
  }

  const readWith = <A>(
    resourceType: string,
    id: string,
    use: (answer: FhirResponse) => Effect.Effect<A, FhirError>
  ): Effect.Effect<A, FhirError | E, R> =>
    withReference("read", resourceType, [id], (interaction, url) => Effect.flatMap(send({ interaction, url }), use))

  return {
    readStored: (resourceType, id, options = {}) =>
      readWith(
        resourceType,
        id,
        (answer) => Effect.map(resourceIn(answer, resourceType, options), (resource) => storedOf(answer, resource))
      ),
    read: (resourceType, id, options = {}) =>
      readWith(resourceType, id, (answer) => resourceIn(answer, resourceType, options)),
    vread: (resourceType, id, versionId, options = {}) =>
      withReference("vread", resourceType, [id, versionId], (interaction) =>
        Effect.flatMap(
          send({ interaction, url: `${resourceType}/${id}/_history/${versionId}` }),
          (answer) => resourceIn(answer, resourceType, options)
        )),
    create: <A extends AnyResource>(
      resource: A,
      { ifNoneExist }: { readonly ifNoneExist?: Params.Params | undefined } = {}
    ) =>
      withReference("create", resource.resourceType, [], (interaction, url) =>
        Effect.flatMap(
          send({
            interaction,
            method: "POST",
            url,
            body: bodyOf(resource),
            headers: {
              prefer: "return=representation",
              ...(ifNoneExist === undefined ? {} : { "if-none-exist": Params.print(ifNoneExist) })
            }
          }),
          (answer) => maybeResourceIn<A, unknown>(answer, resource.resourceType, {})
        )),
    update: <A extends AnyResource & { readonly id?: string | undefined }>(
      resource: A,
      options: ConditionOptions = {}
    ) =>
      resource.id === undefined || resource.id === ""
        ? refuse(
          `update ${shown(resource.resourceType)}`,
          "InvalidReference",
          "the resource has no id: give it the one it is to have, or let `create` have the server choose"
        )
        : withReference("update", resource.resourceType, [resource.id], (interaction, url) =>
          Effect.flatMap(
            send({
              interaction,
              method: "PUT",
              url,
              body: bodyOf(resource),
              headers: { prefer: "return=representation", ...headersOf(options) }
            }),
            (answer) => maybeResourceIn<A, unknown>(answer, resource.resourceType, {})
          )),
    patch: (resourceType, id, patch, options = {}) =>
      withReference("patch", resourceType, [id], (interaction, url) =>
        Effect.flatMap(
          send({
            interaction,
            method: "PATCH",
            url,
            body: bodyOf(patch, Array.isArray(patch) ? "application/json-patch+json" : FHIR_JSON),
            headers: { prefer: "return=representation", ...headersOf(options) }
          }),
          (answer) => maybeResourceIn(answer, resourceType, options)
        )),
    delete: (resourceType, id, options = {}) =>
      withReference("delete", resourceType, [id], (interaction, url) =>
        Effect.flatMap(
          send({ interaction, method: "DELETE", url, headers: headersOf(options) }),
          (answer) => Effect.succeed(storedOf(answer, isResource(answer.json) ? answer.json : undefined))
        )),
    operation: (name, options = {}) => {
      const { input, method = input === undefined ? "GET" : "POST", on = "", params } = options
      const bare = name.startsWith("$") ? name.slice(1) : name
      const [resourceType, ...ids] = on === "" ? [] : on.split("/")
      const isNamed = /^[A-Za-z][A-Za-z0-9-]{0,63}$/.test(bare)
      const isPlace = resourceType === undefined || (isType(resourceType) && ids.length <= 1 && ids.every(isId))
      if (!isNamed || !isPlace) {
        return refuse(
          "operation",
          "InvalidReference",
          "the operation's name, or what it is called on, has characters that FHIR does not allow"
        )
      }
      const interaction = `$${bare}${resourceType === undefined ? "" : ` ${resourceType}`}`
      return built(interaction, () =>
        Effect.flatMap(
          send({
            interaction,
            method,
            url: `${on === "" ? "" : `${on}/`}$${bare}`,
            params,
            body: method === "POST" && input !== undefined ? bodyOf(input) : undefined
          }),
          (answer) => maybeResourceIn(answer, undefined, options)
        ))
    }
  }
}
