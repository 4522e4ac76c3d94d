/**
 * The FHIR R4 API in front of the store, each interaction only as far as the token's scopes reach (SMART App Launch 2.2, "Access FHIR API", "Scopes for
 * requesting FHIR Resources"; FHIR R4, "RESTful API").
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as BulkData from "./bulkData.js"
import {
  fhirJson,
  insufficientScope,
  mayTouch,
  notFound,
  outcome,
  rulesFor,
  unauthorized,
  visible
} from "./fhirAccess.js"
import { searchParameters } from "./fhirStore.js"
import * as FhirWrite from "./fhirWrite.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import * as Metadata from "./metadata.js"
import type { AccessToken } from "./state.js"
import type { FhirResource } from "./syntheticData.js"
import type { World } from "./world.js"

const decodeSegment = (segment: string): string => {
  // A malformed escape is a name that nothing has.
  return /%(?![0-9A-Fa-f]{2})/.test(segment) ? segment : unescapeSegment(segment)
}

const unescapeSegment = (segment: string): string =>
  new URLSearchParams(`v=${segment.replace(/\+/g, "%2B")}`).get("v") ?? segment

const read = (world: World, token: AccessToken, type: string, id: string, versionId?: string): Reply => {
  const rules = rulesFor(token, type, "r")
  if (rules.length === 0) return insufficientScope
  const versions = world.store.versions(type, id)
  const version = versionId === undefined ? versions[0] : versions.find((one) => one.versionId === versionId)
  if (version === undefined) return notFound(`${type} with this id`)
  if (version.resource === undefined) return outcome(410, "deleted", "it was deleted")
  return rules.some((rule) => visible(world, token, rule, version.resource ?? { resourceType: type, id }))
    ? FhirWrite.resourceReply(version)
    : insufficientScope
}

const history = (world: World, token: AccessToken, type: string, id: string): Reply => {
  const versions = world.store.versions(type, id)
  if (versions.length === 0) return notFound(`${type} with this id`)
  const known = versions.find(({ resource }) => resource !== undefined)?.resource
  if (known === undefined || !mayTouch(world, token, "r", known)) return insufficientScope
  return Message.json({
    resourceType: "Bundle",
    type: "history",
    total: versions.length,
    entry: versions.map(({ lastUpdated, method, resource, versionId }) => ({
      ...(resource === undefined ? {} : { resource }),
      request: { method, url: `${type}/${id}` },
      response: { status: "200", etag: `W/"${versionId}"`, lastModified: lastUpdated }
    }))
  }, { contentType: fhirJson })
}

const defaultPageSize = 50
const maximumPageSize = 100

const wholeNumber = (value: string | undefined, fallback: number): number | undefined =>
  value === undefined ? fallback : /^\d{1,6}$/.test(value) ? Number(value) : undefined

/** The patients that the matches are about: the one kind of `_include` there is (`Observation:subject`, `Encounter:patient`). */
const included = (
  world: World,
  token: AccessToken,
  matches: ReadonlyArray<FhirResource>,
  include: string | undefined
): ReadonlyArray<FhirResource> => {
  if (include === undefined || !/:(?:subject|patient)$/.test(include)) return []
  const ids = new Set(matches.flatMap((resource) => world.store.patientOf(resource) ?? []))
  return [...ids].flatMap((id) => world.store.read("Patient", id) ?? []).filter((patient) =>
    mayTouch(world, token, "r", patient)
  )
}

const search = (
  world: World,
  token: AccessToken,
  type: string,
  request: Pick<SandboxRequest, "query">
): Reply => {
  const rules = rulesFor(token, type, "s")
  if (rules.length === 0) return insufficientScope
  const params = Message.toRecord(request.query)
  const count = wholeNumber(params["_count"], defaultPageSize)
  const offset = wholeNumber(params["_offset"], 0)
  if (count === undefined || offset === undefined) {
    return outcome(400, "invalid", "_count and _offset must be whole numbers")
  }
  const size = Math.min(count, maximumPageSize)
  const filters = request.query.filter(([name]) => searchParameters.has(name) || name === "_include")
  const found = world.store.search(type, filters).filter((resource) =>
    rules.some((rule) => visible(world, token, rule, resource))
  )
  const base = `${world.fhirBaseUrl.replace(/\/$/, "")}/${type}`
  const link = (relation: string, at: number) => {
    const query = new URLSearchParams(filters.map(([name, value]) => [name, value]))
    query.set("_count", String(size))
    if (at > 0) query.set("_offset", String(at))
    return { relation, url: `${base}?${query.toString()}` }
  }
  const entries = found.slice(offset, offset + size)
  const next = size > 0 && offset + size < found.length ? [link("next", offset + size)] : []
  return Message.json({
    resourceType: "Bundle",
    type: "searchset",
    total: found.length,
    link: [link("self", offset), ...next],
    ...(entries.length === 0 ? {} : {
      entry: [
        ...entries.map((resource) => ({
          fullUrl: `${base}/${resource.id}`,
          resource,
          search: { mode: "match" }
        })),
        ...included(world, token, entries, params["_include"]).map((resource) => ({
          fullUrl: `${world.fhirBaseUrl.replace(/\/$/, "")}/${resource.resourceType}/${resource.id}`,
          resource,
          search: { mode: "include" }
        }))
      ]
    })
  }, { contentType: fhirJson })
}

/** What one request does, on its own or as an entry of a Bundle. */
const act = (world: World, token: AccessToken, request: SandboxRequest, path: string, now: number): Reply => {
  const [type = "", id = "", ...more] = path.split("/").map(decodeSegment)
  const reads = request.method === "GET" || request.method === "HEAD"
  if (!world.store.types.has(type)) return notFound("such resource type or operation")
  if (request.method === "POST" && id === "_search") {
    return search(world, token, type, { query: [...request.query, ...Message.parsePairs(request.body)] })
  }
  if (reads && id !== "" && more[0] === "_history" && more.length <= 2) {
    return more[1] === undefined ? history(world, token, type, id) : read(world, token, type, id, more[1])
  }
  if (more.length > 0) return notFound("such resource type or operation")
  if (reads) return id === "" ? search(world, token, type, request) : read(world, token, type, id)
  return FhirWrite.write(world, token, type, id, request, now)
}

/** A batch, each entry for itself, or a transaction, all or nothing. */
const bundle = (world: World, token: AccessToken, request: SandboxRequest, now: number): Reply => {
  const sent = FhirWrite.parse(request.body)
  const type = sent?.["type"]
  const entries = sent?.["entry"]
  if (sent?.["resourceType"] !== "Bundle" || (type !== "batch" && type !== "transaction") || !Array.isArray(entries)) {
    return outcome(400, "invalid", "a batch or a transaction Bundle is wanted here")
  }
  const putBack = world.store.snapshot()
  const replies = entries.map((entry: unknown): Reply => {
    const asked = Predicate.isRecord(entry) && Predicate.isRecord(entry["request"]) ? entry["request"] : {}
    const url = String(asked["url"] ?? "")
    const [path = "", query = ""] = url.split("?")
    const header = (name: string, value: unknown) => typeof value === "string" ? { [name]: value } : {}
    return act(
      world,
      token,
      {
        method: String(asked["method"] ?? ""),
        url,
        path,
        query: Message.parsePairs(query),
        headers: { ...header("if-match", asked["ifMatch"]), ...header("if-none-exist", asked["ifNoneExist"]) },
        body: Predicate.isRecord(entry) ? JSON.stringify(entry["resource"] ?? "") : ""
      },
      path,
      now
    )
  })
  const failed = replies.find(({ status }) => status >= 400)
  if (type === "transaction" && failed !== undefined) {
    putBack()
    return failed
  }
  return Message.json({
    resourceType: "Bundle",
    type: `${type}-response`,
    entry: replies.map(({ body, headers, status }) => ({
      ...(body._tag === "Json" && status < 400 ? { resource: body.value } : {}),
      response: {
        status: String(status),
        etag: headers["etag"],
        location: headers["location"],
        lastModified: headers["last-modified"],
        ...(body._tag === "Json" && status >= 400 ? { outcome: body.value } : {})
      }
    }))
  }, { contentType: fhirJson })
}

/** Answers a request below the FHIR base; `path` is what follows the base, without the first slash. */
export const handle = (world: World, request: SandboxRequest, path: string): Effect.Effect<Reply> =>
  Effect.gen(function*() {
    if (path === "metadata" && (request.method === "GET" || request.method === "HEAD")) {
      return Message.json(Metadata.capabilityStatement(world), { contentType: fhirJson })
    }
    const presented = Message.bearer(request)
    const token = presented === undefined ? undefined : yield* world.state.activeAccessToken(presented)
    if (token === undefined) return unauthorized(request.headers["authorization"] !== undefined)
    const now = yield* Clock.currentTimeMillis
    if (path === "" && request.method === "POST") return bundle(world, token, request, now)
    return BulkData.handle(world, token, request, path) ?? act(world, token, request, path, now)
  })
