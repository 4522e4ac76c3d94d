/**
 * Operations on an instance, a type, or the whole server (FHIR R4, section 3.2), and the capabilities of the server.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { isJsonObject, reader } from "../../base/JsonReader.js"
import { safeText } from "../../http/Redaction.js"
import type { FhirError } from "../FhirError.js"
import { entriesOf } from "./bundle.js"
import type { PageOptions } from "./bundlePages.js"
import { bundlePages } from "./bundlePages.js"
import { type FhirRequest, notFhir } from "./fhirMessage.js"
import type { FhirRequester } from "./fhirRequester.js"
import type * as Params from "./params.js"
import type { AnySchema, Decoded, Decoding, Stored } from "./resource.js"
import { decode, isId, isResource, isType, typed } from "./resource.js"
import { optionalResourceIn } from "./resourceResponse.js"
import type { AnyResourceOf, FhirVersion, ResourceInput, ResourceOf } from "./resourceTypes.js"

/**
 * Options of a FHIR operation (`$…`).
 *
 * @since 0.1.0
 * @category models
 */
export interface OperationOptions<V extends FhirVersion = "R4", Type = unknown> {
  /** The type or the instance of the operation, such as `Patient` or `Patient/123`. Default: the whole server. */
  readonly on?: string | undefined
  /** The parameters in the URL, for GET, or beside an `input`. */
  readonly params?: Params.Params | undefined
  /** A Parameters resource, or another resource that the operation takes. */
  readonly input?: ResourceInput<V, Type> | undefined
  /** Default: POST with an `input`, else GET. GET is only for operations that change nothing. */
  readonly method?: "GET" | "POST" | undefined
}

/**
 * Options of a GraphQL query (`$graphql`).
 *
 * @since 0.1.0
 * @category models
 */
export interface GraphqlOptions<S extends AnySchema | undefined> extends Decoding<S> {
  /** The instance of the query, such as `Patient/123`. Default: the whole server. */
  readonly on?: string | undefined
  /** The values of the variables of the query, as JSON. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined
  /** The operation to run, if the query has several. */
  readonly operationName?: string | undefined
}

/**
 * The response to a GraphQL query. `errors` are about parts of the query; their messages may name a patient.
 *
 * @since 0.1.0
 * @category models
 */
export interface GraphqlResult<A> {
  /** The data, decoded by the schema. */
  readonly data: A
  /** The `message` of each error. */
  readonly errors: ReadonlyArray<string>
}

/**
 * FHIR operations.
 *
 * @since 0.1.0
 * @category models
 */
export interface Operations<E, R, V extends FhirVersion> {
  /** Calls the operation `$name`. The result has no resource if the response has none. */
  readonly operation: <Type extends string, S extends AnySchema | undefined = undefined>(
    name: string,
    options?: OperationOptions<V, Type> & Decoding<S>
  ) => Effect.Effect<Stored<Decoded<S, AnyResourceOf<V>> | undefined>, FhirError | E, R>
  /** The resources of the Bundle that an operation returns, of all its pages, such as those of `$everything`. */
  readonly operationStream: <Type extends string>(
    name: string,
    options?: OperationOptions<V, Type> & PageOptions
  ) => Stream.Stream<AnyResourceOf<V>, FhirError | E, R>
  /** Runs a query with `$graphql`. A response without data is a `Refused`. Without a schema, the data are unknown. */
  readonly graphql: <S extends AnySchema | undefined = undefined>(
    query: string,
    options?: GraphqlOptions<S>
  ) => Effect.Effect<GraphqlResult<Decoded<S, unknown>>, FhirError | E, R>
  /** The CapabilityStatement of the server. */
  readonly capabilities: Effect.Effect<ResourceOf<V, "CapabilityStatement">, FhirError | E, R>
}

export const make = <E, R, V extends FhirVersion>(requester: FhirRequester<E, R>): Operations<E, R, V> => {
  const { refuse, send } = requester

  /** The request of an operation, or why it is not sent. */
  const requestOf = <Type>(
    name: string,
    { input, method = input === undefined ? "GET" : "POST", on = "", params }: OperationOptions<V, Type>
  ): Either.Either<FhirRequest, Effect.Effect<never, FhirError | E, R>> => {
    const bare = name.startsWith("$") ? name.slice(1) : name
    const [resourceType, ...ids] = on === "" ? [] : on.split("/")
    const isValidName = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/.test(bare)
    const isValidTarget = resourceType === undefined || (isType(resourceType) && ids.length <= 1 && ids.every(isId))
    if (!isValidName || !isValidTarget) {
      return Either.left(refuse(
        "operation",
        "InvalidReference",
        "the name of the operation, or its `on`, has characters that FHIR does not allow"
      ))
    }
    const interaction = `$${bare}${resourceType === undefined ? "" : ` ${resourceType}`}`
    return method === "GET" && input !== undefined
      ? Either.left(refuse(interaction, "InvalidRequest", "a GET has no `input`: use `params`, or POST"))
      : Either.right({
        interaction,
        method,
        url: `${on === "" ? "" : `${on}/`}$${bare}`,
        params,
        body: input === undefined ? undefined : { json: input }
      })
  }

  return {
    operation: (name, options = {}) => {
      const request = requestOf(name, options)
      return Either.isLeft(request)
        ? request.left
        : Effect.flatMap(send(request.right), (response) => optionalResourceIn(response, undefined, options))
    },
    operationStream: (name, options = {}) => {
      const request = requestOf(name, options)
      return Either.isLeft(request)
        ? Stream.fromEffect(request.left)
        : bundlePages(requester, request.right, options, Effect.succeed).pipe(
          Stream.mapConcat(({ bundle }) =>
            entriesOf(bundle).flatMap(({ resource }) =>
              resource === undefined ? [] : [typed<AnyResourceOf<V>>(resource)]
            )
          )
        )
    },
    graphql: (query, options = {}) => {
      const { on, operationName, variables } = options
      const request = requestOf("graphql", { on, method: "POST" })
      return Either.isLeft(request) ? request.left : Effect.flatMap(
        // A query changes nothing.
        send({
          ...request.right,
          headers: { accept: "application/json" },
          body: { json: { query, variables, operationName }, contentType: "application/json" },
          retry: "always"
        }),
        (response) => {
          const { fail, json, secrets, status } = response
          const errors = isJsonObject(json)
            ? (reader(json, () => undefined).objects("errors") ?? []).slice(0, 20).map((error) =>
              safeText(String(error["message"]), secrets.map(Redacted.value))
            )
            : []
          return !isJsonObject(json) || (json["data"] === undefined && errors.length === 0)
            ? notFhir(response, "without a GraphQL response")
            : json["data"] === undefined || json["data"] === null
            ? fail({
              reason: "Refused",
              detail: "the response to the query has errors and no data",
              status,
              issues: errors.map((text) => ({ code: "processing", details: { text, coding: [] } })),
              processed: "no"
            })
            : Effect.map(decode(json["data"], options, fail), (data) => ({ data, errors }))
        }
      )
    },
    capabilities: Effect.flatMap(
      send({ interaction: "capabilities", url: "metadata" }),
      (response): Effect.Effect<ResourceOf<V, "CapabilityStatement">, FhirError> => {
        const { json } = response
        return isResource(json) && json.resourceType === "CapabilityStatement"
          ? Effect.succeed(typed(json))
          : notFhir(response, "without a CapabilityStatement")
      }
    )
  }
}
