/**
 * What changes the store: create, update, patch and delete, with the conditions a client may set (FHIR R4, sections 3.1.0.4 to 3.1.0.8) and the rules of
 * app state (SMART App Launch 2.2, "App State").
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { fhirJson, insufficientScope, mayTouch, notFound, outcome, rulesFor } from "./fhirAccess.js"
import type { Version } from "./fhirStore.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import type { AccessToken } from "./state.js"
import type { FhirResource } from "./syntheticData.js"
import type { World } from "./world.js"

type Members = Readonly<Record<string, unknown>>

/** The JSON object a body holds. */
export const parse = (body: string): Members | undefined => {
  const value = Either.getOrUndefined(Either.try((): unknown => JSON.parse(body)))
  return Predicate.isRecord(value) ? value : undefined
}

const headersOf = ({ lastUpdated, versionId }: Version) => ({
  etag: `W/"${versionId}"`,
  "last-modified": lastUpdated
})

/** A version, as an answer. */
export const resourceReply = (version: Version, status = 200, headers: Readonly<Record<string, string>> = {}): Reply =>
  Message.json(version.resource, {
    status,
    contentType: fhirJson,
    headers: { ...headersOf(version), ...headers }
  })

const location = (world: World, type: string, id: string, { versionId }: Version) => ({
  location: `${world.fhirBaseUrl.replace(/\/$/, "")}/${type}/${id}/_history/${versionId}`
})

const MAX_STATE_BYTES = 256 * 1024

/** What the specification does not allow in app state. */
const stateProblem = (world: World, resource: Members, body: string): string | undefined => {
  if (new TextEncoder().encode(body).byteLength > MAX_STATE_BYTES) return "more than 256 KB"
  const code = resource["code"]
  if (!Predicate.isRecord(code) || !Array.isArray(code["coding"]) || code["coding"].length !== 1) {
    return "exactly one coding is needed"
  }
  const subject = resource["subject"]
  const reference = Predicate.isRecord(subject) ? subject["reference"] : undefined
  if (subject !== undefined && !String(reference).startsWith(`${world.fhirBaseUrl.replace(/\/$/, "")}/`)) {
    return "the subject must be an absolute reference to this server"
  }
  const extensions = resource["extension"] ?? []
  return Array.isArray(extensions) &&
      extensions.every((extension: unknown) =>
        Predicate.isRecord(extension) && Object.keys(extension).sort().join() === "url,valueString" &&
        typeof extension["valueString"] === "string"
      )
    ? undefined
    : "an extension holds a valueString and nothing else"
}

const sent = (world: World, type: string, body: string): Either.Either<FhirResource, Reply> => {
  const resource = parse(body)
  if (resource === undefined || resource["resourceType"] !== type) {
    return Either.left(outcome(400, "invalid", `a ${type} is wanted here`))
  }
  const problem = type === "Basic" ? stateProblem(world, resource, body) : undefined
  return problem === undefined
    ? Either.right({ ...resource, resourceType: type, id: String(resource["id"] ?? "") })
    : Either.left(outcome(422, "business-rule", problem))
}

/** Only what a program needs to see its patch arrive: `add`, `replace` and `remove` of a member of the resource itself. */
const patched = (resource: FhirResource, body: string): FhirResource | undefined => {
  const steps = Either.getOrUndefined(Either.try((): unknown => JSON.parse(body)))
  if (!Array.isArray(steps)) return undefined
  const members: Record<string, unknown> = { ...resource }
  for (const step of steps) {
    const member = Predicate.isRecord(step) ? /^\/([A-Za-z]+)$/.exec(String(step["path"]))?.[1] : undefined
    if (member === undefined || !Predicate.isRecord(step)) return undefined
    if (step["op"] === "remove") delete members[member]
    else if (step["op"] === "add" || step["op"] === "replace") members[member] = step["value"]
    else return undefined
  }
  return { ...members, resourceType: resource.resourceType, id: resource.id }
}

const create = (world: World, token: AccessToken, type: string, request: SandboxRequest, now: number): Reply => {
  if (rulesFor(token, type, "c").length === 0) return insufficientScope
  return Either.merge(Either.map(sent(world, type, request.body), (resource) => {
    const condition = request.headers["if-none-exist"]
    const same = condition === undefined ? [] : world.store.search(type, Message.parsePairs(condition))
    if (same.length > 1) return outcome(412, "multiple-matches", "the condition fits more than one")
    const [existing] = same
    const [version] = existing === undefined ? [] : world.store.versions(type, existing.id)
    if (existing !== undefined && version !== undefined) {
      return resourceReply(version, 200, location(world, type, existing.id, version))
    }
    if (!mayTouch(world, token, "c", resource)) return insufficientScope
    const id = world.store.nextId(type)
    const created = world.store.write(type, id, { method: "POST", resource }, now)
    return resourceReply(created, 201, location(world, type, id, created))
  }))
}

const change = (
  world: World,
  token: AccessToken,
  type: string,
  id: string,
  request: SandboxRequest,
  now: number
): Reply => {
  const letter = request.method === "DELETE" ? "d" : "u"
  if (rulesFor(token, type, letter).length === 0) return insufficientScope
  const [newest] = world.store.versions(type, id)
  const condition = request.headers["if-match"]
  // App state is never changed blindly, and never again once it is deleted.
  const mustMatch = type === "Basic"
  if (mustMatch && (condition === undefined || newest?.resource === undefined)) {
    return outcome(412, "conflict", "app state is changed with If-Match, and not after it was deleted")
  }
  if (condition !== undefined && condition !== `W/"${newest?.versionId ?? ""}"`) {
    return outcome(412, "conflict", "it has another version by now")
  }
  const current = newest?.resource
  if (current !== undefined && !mayTouch(world, token, letter, current)) return insufficientScope
  if (request.method === "DELETE") {
    if (current !== undefined) world.store.write(type, id, { method: "DELETE", resource: undefined }, now)
    return Message.empty(204)
  }
  if (request.method === "PATCH") {
    if (current === undefined) return notFound(`${type} with this id`)
    const resource = patched(current, request.body)
    return resource === undefined
      ? outcome(422, "processing", "the sandbox patches members of the resource itself, by JSON Patch")
      : resourceReply(world.store.write(type, id, { method: "PUT", resource }, now))
  }
  return Either.merge(Either.map(sent(world, type, request.body), (resource) => {
    if (resource.id !== id) return outcome(400, "invalid", "the id is not that of the URL")
    if (
      mustMatch && JSON.stringify([current?.["code"], current?.["subject"]]) !==
        JSON.stringify([resource["code"], resource["subject"]])
    ) {
      return outcome(422, "business-rule", "code and subject of app state stay")
    }
    const version = world.store.write(type, id, { method: "PUT", resource }, now)
    return resourceReply(version, current === undefined ? 201 : 200, location(world, type, id, version))
  }))
}

/** A request that changes the store, if it is one. */
export const write = (
  world: World,
  token: AccessToken,
  type: string,
  id: string,
  request: SandboxRequest,
  now: number
): Reply => {
  const { method } = request
  if (method === "POST" && id === "") return create(world, token, type, request, now)
  if ((method === "PUT" || method === "PATCH" || method === "DELETE") && id !== "") {
    return change(world, token, type, id, request, now)
  }
  const allow = id === "" ? "GET, HEAD, POST" : "GET, HEAD, PUT, PATCH, DELETE"
  return { ...outcome(405, "not-supported", "there is no such interaction"), headers: { allow } }
}
