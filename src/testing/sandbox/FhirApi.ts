/**
 * The FHIR R4 API in front of the store: read and search, each only as far as the token's scopes reach (SMART App Launch 2.2, "Access FHIR
 * API", "Scopes for requesting FHIR Resources"; RFC 6750 §3).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { searchParameters } from "./FhirStore.js"
import type { Reply, SandboxRequest } from "./Message.js"
import * as Message from "./Message.js"
import * as Metadata from "./Metadata.js"
import type { ResourceScope } from "./Scope.js"
import * as Scope from "./Scope.js"
import type { AccessToken } from "./State.js"
import type { FhirResource } from "./SyntheticData.js"
import type { World } from "./World.js"

const fhirJson = "application/fhir+json"

const outcome = (
  status: number,
  code: string,
  diagnostics: string,
  headers: Readonly<Record<string, string>> = {}
): Reply =>
  Message.json(
    { resourceType: "OperationOutcome", issue: [{ severity: "error", code, diagnostics }] },
    { status, headers, contentType: fhirJson }
  )

const unauthorized = (presented: boolean): Reply =>
  outcome(401, "login", presented ? "the access token is not good, or no longer" : "an access token is required", {
    "www-authenticate": presented ? "Bearer realm=\"sandbox\", error=\"invalid_token\"" : "Bearer realm=\"sandbox\""
  })

const insufficientScope: Reply = outcome(403, "forbidden", "the granted scopes do not reach this far", {
  "www-authenticate": "Bearer realm=\"sandbox\", error=\"insufficient_scope\""
})

const notFound = (what: string): Reply => outcome(404, "not-found", `no ${what} here`)

const rulesFor = (token: AccessToken, type: string, letter: string): ReadonlyArray<ResourceScope> =>
  token.scopes.flatMap((scope) => {
    const rule = Scope.parseResourceScope(scope)
    return rule !== undefined && (rule.type === type || rule.type === "*") && rule.letters.includes(letter)
      ? [rule]
      : []
  })

/** Whether one rule lets the token see a resource; what is about no patient at all is seen by everyone whose scope covers its type. */
const visible = (world: World, token: AccessToken, rule: ResourceScope, resource: FhirResource): boolean => {
  const about = world.store.patientOf(resource)
  const user = token.grant?.user ?? ""
  const ownPatient = rule.context === "patient"
    ? token.grant?.context.patient ?? ""
    : rule.context === "user" && user.startsWith("Patient/")
    ? user.slice("Patient/".length)
    : undefined
  return (ownPatient === undefined || about === undefined || about === ownPatient) &&
    rule.constraints.every(([name, value]) => world.store.matches(resource, name, value))
}

const decodeSegment = (segment: string): string => {
  // A malformed escape is a name that nothing has.
  return /%(?![0-9A-Fa-f]{2})/.test(segment) ? segment : unescapeSegment(segment)
}

const unescapeSegment = (segment: string): string =>
  new URLSearchParams(`v=${segment.replace(/\+/g, "%2B")}`).get("v") ?? segment

const read = (world: World, token: AccessToken, type: string, id: string): Reply => {
  const rules = rulesFor(token, type, "r")
  if (rules.length === 0) return insufficientScope
  const resource = world.store.read(type, id)
  if (resource === undefined) return notFound(`${type} with this id`)
  if (!rules.some((rule) => visible(world, token, rule, resource))) return insufficientScope
  return Message.json(resource, {
    contentType: fhirJson,
    headers: { etag: "W/\"1\"", "last-modified": "Wed, 01 May 2024 00:00:00 GMT" }
  })
}

const defaultPageSize = 50
const maximumPageSize = 100

const wholeNumber = (value: string | undefined, fallback: number): number | undefined =>
  value === undefined ? fallback : /^\d{1,6}$/.test(value) ? Number(value) : undefined

const search = (world: World, token: AccessToken, type: string, request: SandboxRequest): Reply => {
  const rules = rulesFor(token, type, "s")
  if (rules.length === 0) return insufficientScope
  const params = Message.toRecord(request.query)
  const count = wholeNumber(params["_count"], defaultPageSize)
  const offset = wholeNumber(params["_offset"], 0)
  if (count === undefined || offset === undefined) {
    return outcome(400, "invalid", "_count must be a whole number")
  }
  const size = Math.min(count, maximumPageSize)
  const filters = request.query.filter(([name]) => searchParameters.has(name))
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
      entry: entries.map((resource) => ({
        fullUrl: `${base}/${resource.id}`,
        resource,
        search: { mode: "match" }
      }))
    })
  }, { contentType: fhirJson })
}

/** Answers a request below the FHIR base; `path` is what follows the base, without the first slash. */
export const handle = (world: World, request: SandboxRequest, path: string): Effect.Effect<Reply> =>
  Effect.gen(function*() {
    const [type = "", id, ...more] = path.split("/").map(decodeSegment)
    const reads = request.method === "GET" || request.method === "HEAD"
    if (type === "metadata" && id === undefined && reads) {
      return Message.json(Metadata.capabilityStatement(world), { contentType: fhirJson })
    }
    const presented = Message.bearer(request)
    const token = presented === undefined ? undefined : yield* world.state.activeAccessToken(presented)
    if (token === undefined) return unauthorized(request.headers["authorization"] !== undefined)
    if (!world.store.types.has(type) || more.length > 0) return notFound("such resource type or operation")
    if (!reads) {
      return { ...outcome(405, "not-supported", "only read and search are offered"), headers: { allow: "GET, HEAD" } }
    }
    return id === undefined || id === "" ? search(world, token, type, request) : read(world, token, type, id)
  })
