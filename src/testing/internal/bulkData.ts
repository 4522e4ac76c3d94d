/**
 * Bulk export of the sandbox: kick-off, a status that is not ready at once, a manifest, files of a few resources each (Bulk Data Access 2.0).
 *
 * @since 0.1.0
 */
import { fhirJson, insufficientScope, mayTouch, notFound, outcome } from "./fhirAccess.js"
import type { Reply, SandboxRequest } from "./message.js"
import * as Message from "./message.js"
import type { AccessToken } from "./state.js"
import type { FhirResource } from "./syntheticData.js"
import type { World } from "./world.js"

/** An export under way, or finished. */
export interface Job {
  readonly request: string
  readonly files: ReadonlyArray<{ readonly type: string; readonly resources: ReadonlyArray<FhirResource> }>
  /** How often its status has been asked for. */
  polls: number
}

const resourcesPerFile = 5
const pollsUntilReady = 2

const filesOf = (world: World, token: AccessToken, types: ReadonlyArray<string>): Job["files"] =>
  types.flatMap((type) => {
    const found = world.store.search(type, []).filter((resource) => mayTouch(world, token, "s", resource))
    return Array.from({ length: Math.ceil(found.length / resourcesPerFile) }, (_, index) => ({
      type,
      resources: found.slice(index * resourcesPerFile, (index + 1) * resourcesPerFile)
    }))
  })

const kickOff = (world: World, token: AccessToken, request: SandboxRequest, base: string): Reply => {
  if (!token.scopes.some((scope) => scope.startsWith("system/"))) return insufficientScope
  if (request.headers["prefer"] !== "respond-async") return outcome(400, "invalid", "Prefer: respond-async is needed")
  const asked = Message.toRecord(request.query)["_type"]
  const types = asked === undefined ? [...world.store.types] : asked.split(",")
  const id = `job-${world.exports.size + 1}`
  world.exports.set(id, { request: `${base}/$export`, files: filesOf(world, token, types), polls: 0 })
  return Message.empty(202, { "content-location": `${base}/bulk/${id}` })
}

const status = (job: Job, statusUrl: string): Reply => {
  job.polls += 1
  return job.polls < pollsUntilReady
    ? Message.empty(202, { "x-progress": "half done", "retry-after": "1" })
    : Message.json({
      transactionTime: "2024-05-01T00:00:00Z",
      request: job.request,
      requiresAccessToken: true,
      output: job.files.map(({ resources, type }, index) => ({
        type,
        url: `${statusUrl}/${index}.ndjson`,
        count: resources.length
      })),
      error: []
    })
}

/** The answer, if the request is about an export. */
export const handle = (world: World, token: AccessToken, request: SandboxRequest, path: string): Reply | undefined => {
  const base = world.fhirBaseUrl.replace(/\/$/, "")
  if (request.method === "GET" && (path === "$export" || path === "Patient/$export")) {
    return kickOff(world, token, request, base)
  }
  const [, id = "", file] = /^bulk\/(job-\d+)(?:\/(\d+)\.ndjson)?$/.exec(path) ?? []
  if (id === "") return undefined
  const job = world.exports.get(id)
  if (job === undefined) return notFound("such export")
  if (request.method === "DELETE" && file === undefined) {
    world.exports.delete(id)
    return Message.empty(202)
  }
  if (request.method !== "GET") return Message.methodNotAllowed("GET, DELETE")
  if (file === undefined) return status(job, `${base}/bulk/${id}`)
  const found = job.files[Number(file)]
  return found === undefined
    ? notFound("such file")
    : Message.text(found.resources.map((resource) => `${JSON.stringify(resource)}\n`).join(""), {
      contentType: fhirJson.replace("json", "ndjson")
    })
}
