/**
 * Bulk export (Bulk Data Access 2.0): kick-off, a status that completes at the second request, a manifest, and at
 * most four files of each type.
 *
 * @since 0.1.0
 */
import type { FhirRequest } from "./fhirAccess.js"
import { fhirJson, insufficientScope, isPermitted, notFound, outcome } from "./fhirAccess.js"
import type { ExportJob } from "./fhirStore.js"
import type { SandboxResponse } from "./http.js"
import * as Http from "./http.js"

const MIN_RESOURCES_PER_FILE = 5
const MAX_FILES_PER_TYPE = 4
const POLLS_UNTIL_COMPLETE = 2

const filesOf = (request: FhirRequest, types: ReadonlyArray<string>): ExportJob["files"] =>
  types.flatMap((type) => {
    const found = request.sandbox.store.search(type, []).filter((resource) => isPermitted(request, "s", resource))
    const size = Math.max(MIN_RESOURCES_PER_FILE, Math.ceil(found.length / MAX_FILES_PER_TYPE))
    return Array.from({ length: Math.ceil(found.length / size) }, (_, index) => ({
      type,
      resources: found.slice(index * size, (index + 1) * size)
    }))
  })

const kickOff = (request: FhirRequest): SandboxResponse => {
  const { headers, query, sandbox, token } = request
  if (!token.scopes.some((scope) => scope.startsWith("system/"))) return insufficientScope
  if (headers["prefer"] !== "respond-async") return outcome(400, "invalid", "Prefer: respond-async is required")
  const types = Http.toRecord(query)["_type"]?.split(",") ?? [...sandbox.store.types]
  const id = `job-${sandbox.exports.size + 1}`
  const job = { request: `${sandbox.fhirRoot}/$export`, files: filesOf(request, types), polls: 0 }
  sandbox.exports.set(id, job)
  return Http.empty(202, { "content-location": `${sandbox.fhirRoot}/bulk/${id}` })
}

const status = (job: ExportJob, statusUrl: string): SandboxResponse => {
  job.polls += 1
  return job.polls < POLLS_UNTIL_COMPLETE
    ? Http.empty(202, { "x-progress": "half done", "retry-after": "1" })
    : Http.json({
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

/** The response to a request of a bulk export; undefined for another request. */
export const handle = (request: FhirRequest): SandboxResponse | undefined => {
  const { method, path, sandbox } = request
  if (method === "GET" && (path === "$export" || path === "Patient/$export")) return kickOff(request)
  const [, id = "", file] = /^bulk\/(job-\d+)(?:\/(\d+)\.ndjson)?$/.exec(path) ?? []
  if (id === "") return undefined
  const job = sandbox.exports.get(id)
  if (job === undefined) return notFound("such export")
  if (method === "DELETE" && file === undefined) {
    sandbox.exports.delete(id)
    return Http.empty(202)
  }
  if (method !== "GET") return Http.methodNotAllowed("GET, DELETE")
  if (file === undefined) return status(job, `${sandbox.fhirRoot}/bulk/${id}`)
  const found = job.files[Number(file)]
  return found === undefined
    ? notFound("such file")
    : Http.text(found.resources.map((resource) => `${Http.stringify(resource)}\n`).join(""), {
      contentType: fhirJson.replace("json", "ndjson")
    })
}
