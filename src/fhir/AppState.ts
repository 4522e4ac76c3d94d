/**
 * Small state of an app, such as preferences, stored by the EHR (SMART App Launch 2.2, "App State", experimental).
 * It is not for clinical data: other apps do not read it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as ClientAuthentication from "../client/ClientAuthentication.js"
import type { Authorized } from "./FhirClient.js"
import type { FhirError, Fields } from "./FhirError.js"
import { errorsAt } from "./FhirError.js"
import type { Code, Parts, Values } from "./internal/appStateResource.js"
import { DEFAULT_MAX_BYTES, endpointOf, fromResource, subjectOf, toResource } from "./internal/appStateResource.js"
import type { FhirRequest, FhirResponse } from "./internal/fhirMessage.js"
import type { Resource } from "./internal/resource.js"
import { isId, isResource, issuePathsOf, typed } from "./internal/resource.js"
import type { FhirVersion } from "./internal/resourceTypes.js"
import { storedOf } from "./internal/stored.js"

export type { Code, Values } from "./internal/appStateResource.js"

/**
 * Stored state. Other writers may have changed its texts, so they are only available through a schema.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  /** The id of the Basic resource. */
  readonly id: string
  /** The ETag of this version, for a later write. */
  readonly etag: string | undefined
  /** What kind of state it is. */
  readonly code: Code
  /** An absolute reference; absent if the state has no subject. */
  readonly subject: string | undefined
  /** The URLs of the values. */
  readonly urls: ReadonlyArray<string>
  /** Decodes a value by a schema, such as `Schema.parseJson(Preferences)`; limit the length of a plain text. */
  readonly value: <A>(url: string, schema: Schema.Schema<A, string>) => Effect.Effect<A, FhirError>
}

/**
 * A state to store.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewState {
  readonly code: Code
  /** A Patient, Practitioner, PractitionerRole, RelatedPerson, Person or other resource of this server. */
  readonly subject?: string | undefined
  readonly values: Values
}

/**
 * Which states to find.
 *
 * @since 0.1.0
 * @category models
 */
export interface Query {
  readonly code: Code
  /** Only the state of this subject, or with `none` only state without one. Default: all. */
  readonly subject?: string | undefined
}

/**
 * Operations on the states of an app at one server. They fail with `FhirError`, or with `E` if the source of the
 * token fails.
 *
 * @since 0.1.0
 * @category models
 */
export interface AppState<E, R> {
  /** Creates a state. */
  readonly create: (state: NewState) => Effect.Effect<State, FhirError | ClientAuthentication.EndpointsError | E, R>
  /** Replaces the values; code and subject stay. `PreconditionFailed` if another writer changed the state. */
  readonly update: (
    state: State,
    values: Values
  ) => Effect.Effect<State, FhirError | ClientAuthentication.EndpointsError | E, R>
  /** Deletes the state. Its id cannot be used again. */
  readonly remove: (state: State) => Effect.Effect<void, FhirError | ClientAuthentication.EndpointsError | E, R>
  /** The states with a code. */
  readonly find: (query: Query) => Stream.Stream<State, FhirError | ClientAuthentication.EndpointsError | E, R>
}

/**
 * Options of the states of an app.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The maximum size of a state. Default 256 KB, which every server must accept. */
  readonly maxBytes?: number | undefined
}

type Fail = (fields: Fields) => FhirError

/** The value, or an error for the problem. */
const orFail = <A>(
  result: Either.Either<A, string>,
  fail: Fail,
  fields: Pick<Fields, "reason" | "processed" | "status">
): Effect.Effect<A, FhirError> =>
  Either.isRight(result) ? Effect.succeed(result.right) : fail({ ...fields, detail: result.left })

const INVALID = { reason: "InvalidRequest", processed: "no" } as const

const stateOf = ({ code, id, subject, values }: Parts, etag: string | undefined, fail: Fail): State => ({
  id,
  etag,
  code,
  subject,
  urls: Object.keys(values),
  value: (url, schema) =>
    Effect.suspend(() => Schema.decodeUnknown(schema)(Object.hasOwn(values, url) ? values[url] : undefined)).pipe(
      // The message of a ParseError contains the value.
      Effect.mapError((error) =>
        fail({
          reason: "Undecodable",
          ...(Object.hasOwn(values, url)
            ? { detail: "the stored text does not match the schema", issuePaths: issuePathsOf(error) }
            : { detail: "the state has no value with this URL" })
        })
      )
    )
})

/** The state in a response, or else the state that was sent. */
const stateIn = (response: FhirResponse, sent: Parts, fail: Fail): Effect.Effect<State, FhirError> => {
  const { json, status } = response
  const { etag } = storedOf(response, undefined)
  return isResource(json) && json.resourceType !== "OperationOutcome"
    ? Effect.map(
      orFail(fromResource(json), fail, { reason: "NotFhir", status }),
      (parts) => stateOf(parts, etag, fail)
    )
    : isId(sent.id)
    ? Effect.succeed(stateOf(sent, etag, fail))
    : fail({ reason: "NotFhir", detail: "the response has neither a resource nor a Location", status })
}

/**
 * The app state of a session or a backend service: `AppState.make(fhir.forSession(id))`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R, V extends FhirVersion>(
  fhir: Authorized<E, R, V>,
  options: Options = {}
): AppState<E, R> => {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  // A deleted id must not be written again.
  const removed = new WeakSet<State>()

  /** What all interactions need: errors, the FHIR base URL, and the endpoint. */
  const prepare = (interaction: string) =>
    Effect.gen(function*() {
      const fhirBaseUrl = yield* fhir.fhirBaseUrl
      const fail = errorsAt(fhirBaseUrl, interaction)
      const endpoint = Effect.flatMap(fhir.configuration, (configuration) => {
        const url = endpointOf(configuration)
        return url === undefined
          ? fail({ reason: "NotSupported", detail: "the server has no endpoint for app state", processed: "no" })
          : Effect.succeed(url)
      })
      return { endpoint, fail, fhirBaseUrl, interaction }
    })

  /** Checks that a state can be changed: it was not removed, and it has an ETag. */
  const prepareChange = (state: State, interaction: string) =>
    Effect.gen(function*() {
      const prepared = yield* prepare(interaction)
      if (removed.has(state)) {
        return yield* prepared.fail({ reason: "Gone", detail: "the state was removed", processed: "no" })
      }
      if (state.etag === undefined) {
        return yield* prepared.fail({ ...INVALID, detail: "the server returned no ETag for the state" })
      }
      return { ...prepared, headers: { "if-match": state.etag } }
    })

  const write = (request: FhirRequest, text: string) =>
    fhir.request({
      ...request,
      body: { text, contentType: "application/fhir+json" },
      headers: { prefer: "return=representation", ...request.headers }
    })

  return {
    create: ({ code, subject, values }) =>
      Effect.gen(function*() {
        const { endpoint, fail, fhirBaseUrl, interaction } = yield* prepare("create app state")
        const text = yield* orFail(toResource({ code, subject, values }, fhirBaseUrl, maxBytes), fail, INVALID)
        const response = yield* write({ interaction, method: "POST", base: yield* endpoint, url: "Basic" }, text)
        const location = response.headers["location"] ?? ""
        const id = /\/Basic\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[^/]+)?$/.exec(location)?.[1]
        const absolute = subject === undefined ? undefined : Either.getOrUndefined(subjectOf(subject, fhirBaseUrl))
        return yield* stateIn(response, { id: id ?? "", code, subject: absolute, values }, fail)
      }),
    update: (state, values) =>
      Effect.gen(function*() {
        const { endpoint, fail, fhirBaseUrl, headers, interaction } = yield* prepareChange(state, "update app state")
        const parts = { ...state, values }
        const text = yield* orFail(toResource(parts, fhirBaseUrl, maxBytes), fail, INVALID)
        const url = `Basic/${state.id}`
        const response = yield* write({ interaction, method: "PUT", base: yield* endpoint, url, headers }, text)
        return yield* stateIn(response, parts, fail)
      }),
    remove: (state) =>
      Effect.gen(function*() {
        const { endpoint, headers, interaction } = yield* prepareChange(state, "delete app state")
        const url = `Basic/${state.id}`
        yield* fhir.request({ interaction, method: "DELETE", base: yield* endpoint, url, headers })
        removed.add(state)
      }),
    find: ({ code, subject }) =>
      Stream.unwrap(Effect.gen(function*() {
        const { endpoint, fail, fhirBaseUrl } = yield* prepare("search app state")
        const subjectParams = subject === undefined
          ? {}
          : subject === "none"
          ? { "subject:missing": true }
          : { subject: yield* orFail(subjectOf(subject, fhirBaseUrl), fail, INVALID) }
        const params = { code: `${code.system}|${code.code}`, ...subjectParams }
        return fhir.search("Basic", params, { base: yield* endpoint }).pipe(
          Stream.map(typed<Resource>),
          Stream.mapEffect((resource) =>
            Effect.map(orFail(fromResource(resource), fail, { reason: "NotFhir" }), (parts) => {
              const { etag } = storedOf({ headers: {}, json: resource, status: 200 }, undefined)
              return stateOf(parts, etag, fail)
            })
          )
        )
      }))
  }
}
