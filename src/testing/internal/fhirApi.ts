/**
 * The FHIR R4 API of the store; the token's scopes limit each interaction (SMART App Launch 2.2, "Access FHIR API",
 * "Scopes for requesting FHIR Resources"; FHIR R4, "RESTful API").
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Predicate from "effect/Predicate"
import * as BulkData from "./bulkData.js"
import {
  coversResource,
  fhirJson,
  type FhirRequest,
  insufficientScope,
  isPermitted,
  notFound,
  outcome,
  scopesFor,
  unauthorized
} from "./fhirAccess.js"
import { type Filters, searchParameters } from "./fhirStore.js"
import * as FhirWrite from "./fhirWrite.js"
import * as Http from "./http.js"
import * as Metadata from "./metadata.js"
import type { Sandbox } from "./sandbox.js"
import type { FhirResource } from "./syntheticData.js"

/** Decodes a path segment; one with a malformed escape stays as it is and names no resource. */
const decodeSegment = (segment: string): string =>
  /%(?![0-9A-Fa-f]{2})/.test(segment)
    ? segment
    : new URLSearchParams(`v=${segment.replace(/\+/g, "%2B")}`).get("v") ?? segment

const read = (request: FhirRequest, type: string, id: string, versionId?: string): Http.SandboxResponse => {
  const scopes = scopesFor(request.token, type, "r")
  if (scopes.length === 0) return insufficientScope
  const versions = request.sandbox.store.versions(type, id)
  const version = versionId === undefined ? versions[0] : versions.find((one) => one.versionId === versionId)
  if (version === undefined) return notFound(`${type} with this id`)
  const { resource } = version
  if (resource === undefined) return outcome(410, "deleted", "the resource was deleted")
  if (!scopes.some((scope) => coversResource(request, scope, resource))) return insufficientScope
  const { headers } = request
  const etag = `W/"${version.versionId}"`
  const isUnchanged = headers["if-none-match"] === undefined
    ? headers["if-modified-since"] === FhirWrite.httpDate(version.lastUpdated)
    : headers["if-none-match"] === etag
  return isUnchanged ? Http.empty(304, { etag }) : FhirWrite.resourceResponse(version)
}

/** The versions of one resource, of a type, or of all types, as far as the token may read them. */
const history = (request: FhirRequest, type?: string, id?: string): Http.SandboxResponse => {
  const { store } = request.sandbox
  const resources = (type === undefined ? [...store.types] : [type]).flatMap((one) =>
    (id === undefined ? store.ids(one) : [id]).map((of) => ({ url: `${one}/${of}`, versions: store.versions(one, of) }))
  )
  const permitted = resources.filter(({ versions }) => {
    const newest = versions.find(({ resource }) => resource !== undefined)?.resource
    return newest !== undefined && isPermitted(request, "r", newest)
  })
  if (id !== undefined && permitted.length === 0) {
    return resources[0]?.versions.length === 0 ? notFound(`${type} with this id`) : insufficientScope
  }
  const entry = permitted.flatMap(({ url, versions }) =>
    versions.map(({ lastUpdated, method, resource, versionId }) => ({
      ...(resource === undefined ? {} : { resource }),
      request: { method, url },
      response: { status: "200", etag: `W/"${versionId}"`, lastModified: lastUpdated }
    }))
  )
  return Http.json({ resourceType: "Bundle", type: "history", total: entry.length, entry }, { contentType: fhirJson })
}

const DEFAULT_PAGE_SIZE = 50
const MAX_PAGE_SIZE = 100

const wholeNumber = (value: string | undefined, fallback: number): number | undefined =>
  value === undefined ? fallback : /^\d{1,6}$/.test(value) ? Number(value) : undefined

/** The patients of the matches, for `_include=Observation:subject` and the like; other includes are ignored. */
const included = (
  request: FhirRequest,
  matches: ReadonlyArray<FhirResource>,
  include: string | undefined
): ReadonlyArray<FhirResource> => {
  if (include === undefined || !/:(?:subject|patient)$/.test(include)) return []
  const { store } = request.sandbox
  return [...new Set(matches.flatMap((resource) => store.patientOf(resource) ?? []))]
    .flatMap((id) => store.read("Patient", id) ?? [])
    .filter((patient) => isPermitted(request, "r", patient))
}

const search = (request: FhirRequest, type: string): Http.SandboxResponse => {
  const { query, sandbox, token } = request
  const scopes = scopesFor(token, type, "s")
  if (scopes.length === 0) return insufficientScope
  const filters = query.filter(([name]) => searchParameters.has(name) || name === "_include")
  const isStrict = request.headers["prefer"]?.includes("handling=strict") === true
  if (isStrict && query.some(([name]) => !name.startsWith("_") && !searchParameters.has(name))) {
    return outcome(400, "not-supported", "the sandbox does not support a search parameter")
  }
  const found = sandbox.store.search(type, filters).filter((resource) =>
    scopes.some((scope) => coversResource(request, scope, resource))
  )
  return searchset(request, type, filters, found)
}

/** All resources of a patient that the token may read (`Patient/[id]/$everything`). */
const everything = (request: FhirRequest, id: string): Http.SandboxResponse => {
  const { sandbox: { store } } = request
  if (store.read("Patient", id) === undefined) return notFound("Patient with this id")
  const found = [...store.types].flatMap((type) => store.search(type, [])).filter((resource) =>
    store.patientOf(resource) === id && isPermitted(request, "r", resource)
  )
  return searchset(request, `Patient/${id}/$everything`, [], found)
}

/** One page of the resources that were found at a path. */
const searchset = (
  request: FhirRequest,
  path: string,
  filters: Filters,
  found: ReadonlyArray<FhirResource>
): Http.SandboxResponse => {
  const { query, sandbox } = request
  const params = Http.toRecord(query)
  const count = wholeNumber(params["_count"], DEFAULT_PAGE_SIZE)
  const offset = wholeNumber(params["_offset"], 0)
  if (count === undefined || offset === undefined) {
    return outcome(400, "invalid", "_count and _offset must be whole numbers")
  }
  const size = Math.min(count, MAX_PAGE_SIZE)
  const link = (relation: string, at: number) => {
    const parameters = new URLSearchParams(filters.map(([name, value]) => [name, value]))
    parameters.set("_count", String(size))
    if (at > 0) parameters.set("_offset", String(at))
    return { relation, url: `${sandbox.fhirRoot}/${path}?${parameters.toString()}` }
  }
  const page = found.slice(offset, offset + size)
  const entry = (resource: FhirResource, mode: "match" | "include") => ({
    fullUrl: `${sandbox.fhirRoot}/${resource.resourceType}/${resource.id}`,
    resource,
    search: { mode }
  })
  const entries = [
    ...page.map((resource) => entry(resource, "match")),
    ...included(request, page, params["_include"]).map((resource) => entry(resource, "include"))
  ]
  const next = size > 0 && offset + size < found.length ? [link("next", offset + size)] : []
  return Http.json({
    resourceType: "Bundle",
    type: "searchset",
    total: found.length,
    link: [link("self", offset), ...next],
    ...(entries.length === 0 ? {} : { entry: entries })
  }, { contentType: fhirJson })
}

/** The response to one request, or to one entry of a Bundle. */
const respond = (request: FhirRequest): Http.SandboxResponse => {
  const { body, method, query, sandbox } = request
  const [type = "", id = "", ...more] = request.path.split("/").map(decodeSegment)
  const reads = method === "GET" || method === "HEAD"
  if (reads && type === "_history" && id === "") return history(request)
  if (!sandbox.store.types.has(type)) return notFound("such resource type or operation")
  if (method === "POST" && id === "_search") {
    return search({ ...request, query: [...query, ...Http.parsePairs(body)] }, type)
  }
  if (reads && id === "_history" && more.length === 0) return history(request, type)
  if (type === "Patient" && more.length === 1 && more[0] === "$everything") return everything(request, id)
  if (reads && id !== "" && more[0] === "_history" && more.length <= 2) {
    return more[1] === undefined ? history(request, type, id) : read(request, type, id, more[1])
  }
  if (more.length > 0) return notFound("such resource type or operation")
  if (reads) return id === "" ? search(request, type) : read(request, type, id)
  return FhirWrite.write(request, type, id)
}

const textOf = (value: unknown): string => typeof value === "string" ? value : ""

/** The JSON Patch of an entry, which is the content of a Binary (FHIR R4, section 3.1.0.8.1). */
const patchOf = (resource: unknown): string => {
  const data = Predicate.isRecord(resource) && resource["resourceType"] === "Binary" ? textOf(resource["data"]) : ""
  return Either.getOrElse(Encoding.decodeBase64String(data), () => "")
}

const entryRequest = (bundle: FhirRequest, entry: unknown): FhirRequest => {
  const { request: sent = {}, resource = "" } = Predicate.isRecord(entry) ? entry : {}
  const request = Predicate.isRecord(sent) ? sent : {}
  const url = textOf(request["url"])
  const [path = "", query = ""] = url.split("?")
  const header = (name: string, value: unknown) => typeof value === "string" ? { [name]: value } : {}
  const method = textOf(request["method"])
  return {
    ...bundle,
    method,
    url,
    path,
    query: Http.parsePairs(query),
    headers: { ...header("if-match", request["ifMatch"]), ...header("if-none-exist", request["ifNoneExist"]) },
    body: method === "PATCH" ? patchOf(resource) : Http.stringify(resource)
  }
}

/** A batch (each entry independently) or a transaction (all entries or none). */
const bundle = (request: FhirRequest): Http.SandboxResponse => {
  const { entry: entries, resourceType, type } = FhirWrite.parse(request.body) ?? {}
  if (resourceType !== "Bundle" || (type !== "batch" && type !== "transaction") || !Array.isArray(entries)) {
    return outcome(400, "invalid", "the body must be a Bundle of type batch or transaction, in JSON")
  }
  const restore = request.sandbox.store.snapshot()
  const responses = entries.map((entry: unknown) => respond(entryRequest(request, entry)))
  const failed = responses.find(({ status }) => status >= 400)
  if (type === "transaction" && failed !== undefined) {
    restore()
    return failed
  }
  return Http.json({
    resourceType: "Bundle",
    type: `${type}-response`,
    entry: responses.map(({ body, headers, status }) => ({
      ...(body._tag === "Json" && status < 400 ? { resource: body.value } : {}),
      response: {
        status: String(status),
        etag: headers["etag"],
        location: headers["location"],
        lastModified: headers["last-modified"] === undefined
          ? undefined
          : DateTime.formatIso(DateTime.unsafeMake(Date.parse(headers["last-modified"]))),
        ...(body._tag === "Json" && status >= 400 ? { outcome: body.value } : {})
      }
    }))
  }, { contentType: fhirJson })
}

/** Responds to a request below the FHIR base URL; `path` is relative to it. */
export const handle = (
  sandbox: Sandbox,
  request: Http.SandboxRequest,
  path: string
): Effect.Effect<Http.SandboxResponse> =>
  Effect.gen(function*() {
    const { headers, method } = request
    if (path === "metadata" && (method === "GET" || method === "HEAD")) {
      return Http.json(Metadata.capabilityStatement(sandbox), { contentType: fhirJson })
    }
    const now = yield* Clock.currentTimeMillis
    const file = BulkData.handleSigned(sandbox, request, path, now)
    if (file !== undefined) return file
    const token = yield* sandbox.state.activeAccessToken(Http.bearer(request) ?? "")
    if (token === undefined) return unauthorized(headers["authorization"] !== undefined)
    const fhirRequest: FhirRequest = { ...request, path, sandbox, token, now }
    if (path === "" && method === "POST") return bundle(fhirRequest)
    return BulkData.handle(fhirRequest) ?? respond(fhirRequest)
  })
