/**
 * Small things an app wants to find again, kept by the EHR: preferences, not clinical data (SMART App Launch 2.2, "App State", experimental; rules
 * X-AS-1 to X-AS-11). Not for what FHIR has a resource for; nobody but the app reads it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { DiscoveryError } from "../server/DiscoveryError.js"
import type { Authorized } from "./FhirClient.js"
import type { Fields } from "./FhirError.js"
import { FhirError } from "./FhirError.js"
import type { Code, Parts, Values } from "./internal/appStateResource.js"
import { DEFAULT_MAX_BYTES, endpointOf, fromResource, subjectOf, toResource } from "./internal/appStateResource.js"
import type { Answer, Request } from "./internal/fhirRequest.js"
import { storedOf } from "./internal/interaction.js"
import { isId, isResource } from "./internal/resource.js"

export type { Code, Values } from "./internal/appStateResource.js"

/**
 * Stored state. Its texts may have been written by anybody who can write there: they come out through a schema only (X-AS-8).
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  readonly id: string
  readonly etag: string | undefined
  readonly code: Code
  /** Absolute; absent for state that is about nobody. */
  readonly subject: string | undefined
  /** The extensions there are. */
  readonly urls: ReadonlyArray<string>
  /** One text, as the schema wants it: `Schema.parseJson(Preferences)`, or at least a `Schema.maxLength` and a `Schema.pattern`. */
  readonly value: <A>(url: string, schema: Schema.Schema<A, string>) => Effect.Effect<A, FhirError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface NewState {
  readonly code: Code
  /** At most one: a Patient, Practitioner, PractitionerRole, RelatedPerson or Person of this server, and whatever else it takes. */
  readonly subject?: string | undefined
  readonly values: Values
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Query {
  readonly code: Code
  /** State about somebody, or with `none` only what is about nobody. Without it, all. */
  readonly subject?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface AppState<E, R> {
  readonly create: (state: NewState) => Effect.Effect<State, FhirError | DiscoveryError | E, R>
  /** New values for old; code and subject stay. `Conflict` where somebody changed the state meanwhile. */
  readonly update: (state: State, values: Values) => Effect.Effect<State, FhirError | DiscoveryError | E, R>
  readonly remove: (state: State) => Effect.Effect<void, FhirError | DiscoveryError | E, R>
  readonly find: (query: Query) => Stream.Stream<State, FhirError | DiscoveryError | E, R>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The size of one state, where the server takes more than the 256 KB that every server has to. */
  readonly maxBytes?: number | undefined
}

/**
 * The app state behind a session or a backend service: `AppState.make(fhir.forSession(id))`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R>(fhir: Authorized<E, R>, options: Options = {}): AppState<E, R> => {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  // A deleted id must never be written again (X-AS-5): the server would refuse it, and we know before.
  const removed = new WeakSet<State>()

  const failing = (interaction: string): Effect.Effect<(fields: Fields) => FhirError, E, R> =>
    Effect.map(
      fhir.fhirBaseUrl,
      (fhirBaseUrl) => (fields) => new FhirError({ issues: [], ...fields, fhirBaseUrl, interaction })
    )

  const endpoint = (fail: (fields: Fields) => FhirError) =>
    Effect.flatMap(fhir.configuration, (configuration) => {
      const url = endpointOf(configuration)
      return url === undefined
        ? fail({ reason: "NotSupported", detail: "no endpoint with smart-app-state", processed: "no" })
        : Effect.succeed(url)
    })

  const stateOf = (
    { code, id, subject, values }: Parts,
    etag: string | undefined,
    fail: (fields: Fields) => FhirError
  ): State => ({
    id,
    etag,
    code,
    subject,
    urls: Object.keys(values),
    value: (url, schema) =>
      Effect.gen(function*() {
        const text = Object.hasOwn(values, url) ? values[url] : undefined
        return yield* Schema.decodeUnknown(schema)(text)
      }).pipe(
        // The message of a ParseError holds the value.
        Effect.mapError(() =>
          fail({
            reason: "Undecodable",
            detail: Object.hasOwn(values, url) ? "the stored text does not fit the schema" : "there is no such value"
          })
        )
      )
  })

  const valid = <A>(outcome: Either.Either<A, string>, fail: (fields: Fields) => FhirError) =>
    Either.match(outcome, {
      onRight: (value) => Effect.succeed(value),
      onLeft: (detail) => fail({ reason: "InvalidRequest", detail, processed: "no" })
    })

  const received = (answer: Omit<Answer, "url" | "body">, sent: Parts, fail: (fields: Fields) => FhirError) => {
    const { etag } = storedOf(answer, undefined)
    return isResource(answer.json) && answer.json.resourceType !== "OperationOutcome"
      ? Either.match(fromResource(answer.json), {
        onRight: (parts) => Effect.succeed(stateOf(parts, etag, fail)),
        onLeft: (detail) => fail({ reason: "NotFhir", detail, status: answer.status })
      })
      : isId(sent.id)
      ? Effect.succeed(stateOf(sent, etag, fail))
      : fail({ reason: "NotFhir", detail: "neither a resource nor a Location came back", status: answer.status })
  }

  /** What only a state with an ETag may be used for. */
  const existing = (state: State, interaction: string) =>
    Effect.gen(function*() {
      const fail = yield* failing(interaction)
      if (removed.has(state)) {
        return yield* fail({ reason: "Gone", detail: "it was removed, and its id is used up", processed: "no" })
      }
      if (state.etag === undefined) {
        return yield* fail({
          reason: "InvalidRequest",
          detail: "the server gave no ETag, and nothing is changed without",
          processed: "no"
        })
      }
      return { fail, base: yield* endpoint(fail), headers: { "if-match": state.etag } }
    })

  const bodyOf = (text: string): Request["body"] => ({ text, contentType: "application/fhir+json" })
  const representation = { prefer: "return=representation" }

  return {
    create: ({ code, subject, values }) =>
      Effect.gen(function*() {
        const interaction = "create app state"
        const fail = yield* failing(interaction)
        const fhirBaseUrl = yield* fhir.fhirBaseUrl
        const text = yield* valid(toResource({ code, subject, values }, fhirBaseUrl, maxBytes), fail)
        const base = yield* endpoint(fail)
        const answer = yield* fhir.request({
          interaction,
          method: "POST",
          base,
          url: "Basic",
          body: bodyOf(text),
          headers: representation
        })
        const id = /\/Basic\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[^/]+)?$/.exec(answer.headers["location"] ?? "")?.[1]
        const absolute = subject === undefined ? undefined : Either.getOrUndefined(subjectOf(subject, fhirBaseUrl))
        return yield* received(answer, { id: id ?? "", code, subject: absolute, values }, fail)
      }),
    update: (state, values) =>
      Effect.gen(function*() {
        const interaction = "update app state"
        const { base, fail, headers } = yield* existing(state, interaction)
        const parts = { ...state, values }
        const text = yield* valid(toResource(parts, yield* fhir.fhirBaseUrl, maxBytes), fail)
        const answer = yield* fhir.request({
          interaction,
          method: "PUT",
          base,
          url: `Basic/${state.id}`,
          body: bodyOf(text),
          headers: { ...representation, ...headers }
        })
        return yield* received(answer, parts, fail)
      }),
    remove: (state) =>
      Effect.gen(function*() {
        const interaction = "delete app state"
        const { base, headers } = yield* existing(state, interaction)
        yield* fhir.request({ interaction, method: "DELETE", base, url: `Basic/${state.id}`, headers })
        removed.add(state)
      }),
    find: ({ code, subject }) =>
      Stream.unwrap(Effect.gen(function*() {
        const fail = yield* failing("search app state")
        const about = subject === undefined
          ? {}
          : subject === "none"
          ? { "subject:missing": true }
          : { subject: yield* valid(subjectOf(subject, yield* fhir.fhirBaseUrl), fail) }
        const base = yield* endpoint(fail)
        return fhir.search("Basic", { code: `${code.system}|${code.code}`, ...about }, { base }).pipe(
          Stream.mapEffect((resource) =>
            Either.match(fromResource(resource), {
              onRight: (parts) =>
                Effect.succeed(
                  stateOf(parts, storedOf({ headers: {}, json: resource, status: 200 }, undefined).etag, fail)
                ),
              onLeft: (detail) => fail({ reason: "NotFhir", detail })
            })
          )
        )
      }))
  }
}
