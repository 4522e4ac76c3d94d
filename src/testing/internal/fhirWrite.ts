/**
 * Create, update, patch and delete, with conditions (FHIR R4, sections 3.1.0.4 to 3.1.0.8) and the rules of app state
 * (SMART App Launch 2.2, "App State").
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import {
  fhirJson,
  type FhirRequest,
  insufficientScope,
  isPermitted,
  notFound,
  outcome,
  scopesFor
} from "./fhirAccess.js"
import { type Filters, searchParameters, type Version } from "./fhirStore.js"
import * as Http from "./http.js"
import type { FhirResource } from "./syntheticData.js"

type Members = Readonly<Record<string, unknown>>

/** The JSON object of a body. */
export const parse = (body: string): Members | undefined => {
  const value = Http.parseJson(body)
  return Predicate.isRecord(value) ? value : undefined
}

/** An instant as a date of HTTP (RFC 9110, section 5.6.7). */
export const httpDate = (instant: string): string => DateTime.toDateUtc(DateTime.unsafeMake(instant)).toUTCString()

/** A response with one version of a resource. */
export const resourceResponse = (
  { lastUpdated, resource, versionId }: Version,
  status = 200,
  headers: Readonly<Record<string, string>> = {}
): Http.SandboxResponse =>
  Http.json(resource, {
    status,
    contentType: fhirJson,
    headers: { etag: `W/"${versionId}"`, "last-modified": httpDate(lastUpdated), ...headers }
  })

const location = ({ sandbox }: FhirRequest, type: string, id: string, { versionId }: Version) => ({
  location: `${sandbox.fhirRoot}/${type}/${id}/_history/${versionId}`
})

const MAX_STATE_BYTES = 256 * 1024

const isStringExtension = (extension: unknown): boolean =>
  Predicate.isRecord(extension) && Object.keys(extension).sort().join() === "url,valueString" &&
  typeof extension["valueString"] === "string"

/** The rule of app state that a resource violates. */
const stateProblem = ({ body, sandbox }: FhirRequest, resource: Members): string | undefined => {
  if (new TextEncoder().encode(body).byteLength > MAX_STATE_BYTES) return "app state is limited to 256 KB"
  const { code, extension = [], subject } = resource
  if (!Predicate.isRecord(code) || !Array.isArray(code["coding"]) || code["coding"].length !== 1) {
    return "exactly one coding is required"
  }
  const reference = Predicate.isRecord(subject) ? subject["reference"] : undefined
  const isAbsolute = typeof reference === "string" && reference.startsWith(`${sandbox.fhirRoot}/`)
  if (subject !== undefined && !isAbsolute) return "the subject must be an absolute reference to this server"
  return Array.isArray(extension) && extension.every(isStringExtension)
    ? undefined
    : "an extension must have a valueString and no other value"
}

const parseResource = (request: FhirRequest, type: string): Either.Either<FhirResource, Http.SandboxResponse> => {
  const resource = parse(request.body)
  if (resource === undefined || resource["resourceType"] !== type) {
    return Either.left(outcome(400, "invalid", `the body must be a ${type} in JSON`))
  }
  const problem = type === "Basic" ? stateProblem(request, resource) : undefined
  const { id } = resource
  return problem === undefined
    ? Either.right({ ...resource, resourceType: type, id: typeof id === "string" ? id : "" })
    : Either.left(outcome(422, "business-rule", problem))
}

/** Applies a JSON Patch whose operations `add`, `replace` or `remove` top-level members; undefined for any other. */
const patch = (resource: FhirResource, body: string): FhirResource | undefined => {
  const operations = Http.parseJson(body)
  if (!Array.isArray(operations)) return undefined
  const members: Record<string, unknown> = { ...resource }
  for (const operation of operations) {
    if (!Predicate.isRecord(operation) || typeof operation["path"] !== "string") return undefined
    const member = /^\/([A-Za-z]+)$/.exec(operation["path"])?.[1]
    if (member === undefined) return undefined
    if (operation["op"] === "remove") delete members[member]
    else if (operation["op"] === "add" || operation["op"] === "replace") members[member] = operation["value"]
    else return undefined
  }
  return { ...members, resourceType: resource.resourceType, id: resource.id }
}

/** A condition with a parameter that the store ignores would match other resources. */
const hasUnknown = (criteria: Filters): boolean => !criteria.every(([name]) => searchParameters.has(name))

const unknownCriterion = outcome(
  400,
  "not-supported",
  "the sandbox does not support a search parameter of the condition"
)

const create = (request: FhirRequest, type: string): Http.SandboxResponse => {
  const { headers, now, sandbox: { store }, token } = request
  if (scopesFor(token, type, "c").length === 0) return insufficientScope
  return Either.merge(Either.map(parseResource(request, type), (resource) => {
    const condition = headers["if-none-exist"]
    const criteria = condition === undefined ? [] : Http.parsePairs(condition)
    if (hasUnknown(criteria)) return unknownCriterion
    const [existing, ...others] = condition === undefined ? [] : store.search(type, criteria)
    if (others.length > 0) return outcome(412, "multiple-matches", "several resources match the condition")
    const [version] = existing === undefined ? [] : store.versions(type, existing.id)
    if (existing !== undefined && version !== undefined) {
      return resourceResponse(version, 200, location(request, type, existing.id, version))
    }
    if (!isPermitted(request, "c", resource)) return insufficientScope
    const id = store.nextId(type)
    const created = store.write(type, id, { method: "POST", resource }, now)
    return resourceResponse(created, 201, location(request, type, id, created))
  }))
}

const change = (request: FhirRequest, type: string, id: string): Http.SandboxResponse => {
  const { body, headers, method, now, sandbox: { store }, token } = request
  const letter = method === "DELETE" ? "d" : "u"
  if (scopesFor(token, type, letter).length === 0) return insufficientScope
  const [newest] = store.versions(type, id)
  const current = newest?.resource
  const condition = headers["if-match"]
  const isAppState = type === "Basic"
  if (isAppState && (condition === undefined || current === undefined)) {
    return outcome(412, "conflict", "a change of app state needs If-Match; deleted app state cannot change")
  }
  if (condition !== undefined && condition !== `W/"${newest?.versionId ?? ""}"`) {
    return outcome(412, "conflict", "the resource has another version")
  }
  if (current !== undefined && !isPermitted(request, letter, current)) return insufficientScope
  if (method === "DELETE") {
    if (current !== undefined) store.write(type, id, { method: "DELETE", resource: undefined }, now)
    return Http.empty(204)
  }
  if (method === "PATCH") {
    if (current === undefined) return notFound(`${type} with this id`)
    const resource = patch(current, body)
    return resource === undefined
      ? outcome(422, "processing", "the sandbox supports JSON Patch of top-level members only")
      : resourceResponse(store.write(type, id, { method: "PUT", resource }, now))
  }
  return Either.merge(Either.map(parseResource(request, type), (resource) => {
    if (resource.id !== id) return outcome(400, "invalid", "the id differs from that of the URL")
    const identity = (state: Members | undefined) => Http.stringify([state?.["code"], state?.["subject"]])
    if (isAppState && identity(current) !== identity(resource)) {
      return outcome(422, "business-rule", "code and subject of app state cannot change")
    }
    const version = store.write(type, id, { method: "PUT", resource }, now)
    return resourceResponse(version, current === undefined ? 201 : 200, location(request, type, id, version))
  }))
}

/** A conditional update, patch or delete: of the one resource that matches the query (FHIR R4, section 3.1.0.4.3). */
const changeMatching = (request: FhirRequest, type: string): Http.SandboxResponse => {
  const { method, query, sandbox: { store } } = request
  if (hasUnknown(query)) return unknownCriterion
  const [existing, ...others] = store.search(type, query)
  if (others.length > 0) return outcome(412, "multiple-matches", "several resources match the condition")
  if (existing !== undefined) {
    const body = method === "PUT" ? { ...parse(request.body), id: existing.id } : undefined
    return change(body === undefined ? request : { ...request, body: Http.stringify(body) }, type, existing.id)
  }
  return method === "PUT" ? create(request, type) : method === "PATCH" ? notFound(`matching ${type}`) : Http.empty(204)
}

/** Without its body, if the client prefers that (FHIR R4, section 3.1.0.5.2). */
const asPreferred = ({ headers }: FhirRequest, response: Http.SandboxResponse): Http.SandboxResponse =>
  response.status < 300 && headers["prefer"]?.includes("return=minimal") === true
    ? { ...Http.empty(response.status), headers: response.headers }
    : response

/** The response to a request that changes the store. */
export const write = (request: FhirRequest, type: string, id: string): Http.SandboxResponse => {
  const { method, query } = request
  if (method === "POST" && id === "") return asPreferred(request, create(request, type))
  if (method === "PUT" || method === "PATCH" || method === "DELETE") {
    if (id !== "") return asPreferred(request, change(request, type, id))
    if (query.length > 0) return asPreferred(request, changeMatching(request, type))
  }
  const allow = id === "" ? "GET, HEAD, POST" : "GET, HEAD, PUT, PATCH, DELETE"
  return outcome(405, "not-supported", "this URL does not support the method", { allow })
}
