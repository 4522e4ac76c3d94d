/**
 * The CapabilityStatement of a FHIR server (FHIR R4, section 3.1.0.8), cached by FHIR base URL, and whether it lists an
 * interaction. The document is public: it is fetched without a token.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { type JsonObject, reader } from "../base/JsonReader.js"
import * as Url from "../base/Url.js"
import { perHttpClient } from "../http/PerHttpClient.js"
import * as metadataDocument from "./internal/metadataDocument.js"
import { MetadataError } from "./MetadataError.js"

/**
 * The capabilities for one type of resource. A list that the server omits is empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResourceCapabilities {
  /** Codes such as `read`, `search-type`, `create`. */
  readonly interactions: ReadonlySet<string>
  /** The interactions (`read`, `create`, `update`, …) whose conditional form the server declares as not supported. */
  readonly unconditional: ReadonlySet<string>
  /** Names such as `patient`. */
  readonly searchParams: ReadonlySet<string>
  /** Values of `_include`, such as `Observation:subject`. */
  readonly includes: ReadonlySet<string>
  /** Values of `_revinclude`, such as `Provenance:target`. */
  readonly revIncludes: ReadonlySet<string>
  /** Names without `$`. */
  readonly operations: ReadonlySet<string>
}

/**
 * The server's part of a CapabilityStatement.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerCapabilities {
  /** Such as `4.0.1`. */
  readonly fhirVersion: string | undefined
  /** Codes such as `transaction`, `batch`, `history-system`. */
  readonly interactions: ReadonlySet<string>
  /** Names without `$`, of operations on the whole server. */
  readonly operations: ReadonlySet<string>
  /** The search parameters of all resource types. */
  readonly searchParams: ReadonlySet<string>
  /** By the type of the resource. */
  readonly resources: ReadonlyMap<string, ResourceCapabilities>
}

/**
 * An interaction, to look up in a CapabilityStatement.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interaction {
  /** A code of FHIR (`read`, `search-type`, `transaction`), or an operation with `$`. */
  readonly code: string
  /** Absent for an interaction with the whole server. */
  readonly resourceType?: string | undefined
  /** Whether it has a condition: criteria, or a header such as `If-None-Exist`. Default false. */
  readonly isConditional?: boolean | undefined
  /** The names of search parameters, with modifiers and chains, and the values of `_include` and `_revinclude`. */
  readonly params?: ReadonlyArray<readonly [name: string, value: string]> | undefined
}

/**
 * Options of one call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Accept `http` for loopback hosts. Default false. */
  readonly allowInsecureLocalhost?: boolean | undefined
}

/**
 * Fetches and caches CapabilityStatements. Failures are `MetadataError`s.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The cached statement while it is fresh, else a fetched one (`/metadata`). */
  readonly capabilities: (fhirBaseUrl: string, request?: Request) => Effect.Effect<ServerCapabilities, MetadataError>
  /** Removes the document from the cache: the next call fetches it. */
  readonly invalidate: (fhirBaseUrl: string) => Effect.Effect<void>
}

/**
 * The tag of the service.
 *
 * @since 0.1.0
 * @category tags
 */
export class CapabilityStatements extends Context.Tag("effect-safire/CapabilityStatements")<
  CapabilityStatements,
  Service
>() {}

/**
 * Options of the cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a response without `Cache-Control` and `Expires` is fresh. Default 1 hour; bounds 1 minute and 1 day. */
  readonly timeToLive?: Duration.DurationInput | undefined
  /** How many documents are cached. Default 100. */
  readonly capacity?: number | undefined
}

const ignore = () => undefined

const textsIn = (entries: ReadonlyArray<JsonObject> | undefined, member: string): ReadonlySet<string> =>
  new Set((entries ?? []).flatMap((entry) => reader(entry, ignore).string(member) ?? []))

/** The conditional interactions. A server that does not mention one may support it. */
const CONDITIONS = {
  read: "conditionalRead",
  create: "conditionalCreate",
  update: "conditionalUpdate",
  patch: "conditionalPatch",
  delete: "conditionalDelete"
}

const resourceCapabilities = (resource: JsonObject): ResourceCapabilities => {
  const { objects, strings } = reader(resource, ignore)
  return {
    interactions: textsIn(objects("interaction"), "code"),
    unconditional: new Set(
      Object.entries(CONDITIONS).flatMap(([code, member]) =>
        resource[member] === false || resource[member] === "not-supported" ? [code] : []
      )
    ),
    searchParams: textsIn(objects("searchParam"), "name"),
    includes: new Set(strings("searchInclude")),
    revIncludes: new Set(strings("searchRevInclude")),
    operations: textsIn(objects("operation"), "name")
  }
}

/**
 * The capabilities in a CapabilityStatement. Malformed members count as absent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromResource = (resource: Readonly<Record<string, unknown>>): ServerCapabilities => {
  const { objects, string } = reader(resource, ignore)
  const rest = (objects("rest") ?? []).find(({ mode }) => mode !== "client") ?? {}
  const server = reader(rest, ignore)
  return {
    fhirVersion: string("fhirVersion"),
    interactions: textsIn(server.objects("interaction"), "code"),
    operations: textsIn(server.objects("operation"), "name"),
    searchParams: textsIn(server.objects("searchParam"), "name"),
    resources: new Map(
      (server.objects("resource") ?? []).flatMap((each) => {
        const type = reader(each, ignore).string("type")
        return type === undefined ? [] : [[type, resourceCapabilities(each)] as const]
      })
    )
  }
}

/** A parameter without modifiers and chains. */
const baseName = (name: string): string => /^[^:.]*/.exec(name)?.[0] ?? name

const unlistedParam =
  ({ searchParams }: ServerCapabilities, { includes, revIncludes, searchParams: own }: ResourceCapabilities) =>
  ([name, value]: readonly [name: string, value: string]): ReadonlyArray<string> => {
    const base = baseName(name)
    const listed = base === "_include" ? includes : base === "_revinclude" ? revIncludes : undefined
    if (listed !== undefined) {
      const path = value.split(":").slice(0, 2).join(":")
      return listed.size === 0 || listed.has("*") || listed.has(value) || listed.has(path) ? [] : [`${base}=${path}`]
    }
    // Servers seldom list the parameters that FHIR defines for all resources.
    return base.startsWith("_") || own.size === 0 || own.has(base) || searchParams.has(base) ? [] : [base]
  }

/**
 * The parts of an interaction that the server does not list: the interaction itself, or its search parameters. A server
 * may support more than it lists.
 *
 * @since 0.1.0
 * @category accessors
 */
export const unlisted: {
  (interaction: Interaction): (self: ServerCapabilities) => ReadonlyArray<string>
  (self: ServerCapabilities, interaction: Interaction): ReadonlyArray<string>
} = dual(2, (self: ServerCapabilities, interaction: Interaction): ReadonlyArray<string> => {
  const { code, isConditional = false, params = [], resourceType } = interaction
  const isOperation = code.startsWith("$")
  if (resourceType === undefined) {
    return (isOperation ? self.operations.has(code.slice(1)) : self.interactions.has(code)) ? [] : [code]
  }
  const resource = self.resources.get(resourceType)
  if (resource === undefined) return [resourceType]
  if (isOperation) {
    const name = code.slice(1)
    return resource.operations.has(name) || self.operations.has(name) ? [] : [code]
  }
  if (!resource.interactions.has(code)) return [code]
  return isConditional && resource.unconditional.has(code)
    ? [`conditional ${code}`]
    : params.flatMap(unlistedParam(self, resource))
})

const decode = (members: JsonObject, fhirBaseUrl: string): Effect.Effect<ServerCapabilities, MetadataError> =>
  // The resource type of DSTU2 is Conformance.
  members["resourceType"] === "CapabilityStatement" || members["resourceType"] === "Conformance"
    ? Effect.succeed(fromResource(members))
    : new MetadataError({
      subject: "CapabilityStatement",
      reason: "NotACapabilityStatement",
      url: Url.forDisplay(fhirBaseUrl),
      detail: "its resource type is another"
    })

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.map(
    metadataDocument.make({
      subject: "CapabilityStatement",
      accept: "application/fhir+json, application/json;q=0.9",
      limits: "fhir",
      capacity: options.capacity ?? 100,
      timeToLive: options.timeToLive ?? "1 hour",
      failureTimeToLive: "1 minute",
      urls: (fhirBaseUrl) => [FhirBaseUrl.append(fhirBaseUrl as FhirBaseUrl.FhirBaseUrl, "metadata")],
      decode
    }),
    (documents): Service => ({ capabilities: documents.get, invalidate: documents.invalidate })
  )

const shared = perHttpClient(CapabilityStatements, make)

/**
 * Layers that are built together share one cache where they have the same `HttpClient` and equal options: see
 * `Discovery.layer`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<CapabilityStatements, never, HttpClient.HttpClient> =>
  shared.layer(options)
