/**
 * Bulk export (Bulk Data Access 2.0): kick-off by GET or POST, a status that completes at the second request, a
 * manifest, and at most four files of each type, with range requests.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import { fhirJson, type FhirRequest, insufficientScope, isPermitted, notFound, outcome } from "./fhirAccess.js"
import type { ExportJob } from "./fhirStore.js"
import * as FhirWrite from "./fhirWrite.js"
import * as Http from "./http.js"

const MIN_RESOURCES_PER_FILE = 5
const MAX_FILES_PER_TYPE = 4
const POLLS_UNTIL_COMPLETE = 2

/** The parameters of a kick-off, from the query of a GET or the Parameters resource of a POST. */
interface Parameters {
  readonly types: ReadonlyArray<string> | undefined
  readonly patients: ReadonlyArray<string> | undefined
  readonly outputFormat: string | undefined
}

const parametersOf = ({ body, method, query }: FhirRequest): Parameters | string => {
  const entries = method === "GET" ? query : pairsOf(FhirWrite.parse(body))
  if (entries === undefined) return "the body must be a Parameters resource in JSON"
  const values = (name: string) => {
    const found = entries.flatMap(([key, value]) => key === name ? value.split(",") : [])
    return found.length === 0 ? undefined : found
  }
  const patients = values("patient")
  if (patients !== undefined && method === "GET") return "the parameter patient is for POST requests"
  return {
    types: values("_type"),
    patients: patients?.map((reference) => reference.replace(/^Patient\//, "")),
    outputFormat: values("_outputFormat")?.[0]
  }
}

const pairsOf = (resource: unknown): Http.Pairs | undefined => {
  if (!Predicate.isRecord(resource) || resource["resourceType"] !== "Parameters") return undefined
  const { parameter = [] } = resource
  if (!Array.isArray(parameter)) return undefined
  return parameter.filter(Predicate.isRecord).flatMap((one): Http.Pairs => {
    const [, value] = Object.entries(one).find(([key]) => key.startsWith("value")) ?? []
    const text = Predicate.isRecord(value) ? value["reference"] : value
    return typeof one["name"] === "string" && text !== undefined ? [[one["name"], String(text)]] : []
  })
}

const NDJSON = ["application/fhir+ndjson", "application/ndjson", "ndjson"]

const filesOf = (request: FhirRequest, { patients, types }: Parameters): ExportJob["files"] =>
  (types ?? [...request.sandbox.store.types]).flatMap((type) => {
    const { store } = request.sandbox
    const found = store.search(type, []).filter((resource) =>
      isPermitted(request, "s", resource) &&
      (patients === undefined || patients.includes(store.patientOf(resource) ?? ""))
    )
    const size = Math.max(MIN_RESOURCES_PER_FILE, Math.ceil(found.length / MAX_FILES_PER_TYPE))
    return Array.from({ length: Math.ceil(found.length / size) }, (_, index) => ({
      type,
      resources: found.slice(index * size, (index + 1) * size)
    }))
  })

const kickOff = (request: FhirRequest): Http.SandboxResponse => {
  const { headers, path, sandbox, token } = request
  if (!token.scopes.some((scope) => scope.startsWith("system/"))) return insufficientScope
  const prefer = (headers["prefer"] ?? "").split(",").map((preference) => preference.trim())
  if (!prefer.includes("respond-async")) return outcome(400, "invalid", "Prefer: respond-async is required")
  const parameters = parametersOf(request)
  if (typeof parameters === "string") return outcome(400, "invalid", parameters)
  const { outputFormat, patients } = parameters
  if (patients !== undefined && path === "$export") {
    return outcome(400, "invalid", "the parameter patient is not for exports of the system")
  }
  if (outputFormat !== undefined && !NDJSON.includes(outputFormat)) {
    return outcome(400, "not-supported", "the output format must be NDJSON")
  }
  sandbox.exportCount += 1
  const id = `job-${sandbox.exportCount}`
  const job = { request: `${sandbox.fhirRoot}/${path}`, files: filesOf(request, parameters), polls: 0 }
  sandbox.exports.set(id, job)
  return Http.empty(202, { "content-location": `${sandbox.fhirRoot}/bulk/${id}` })
}

const status = (job: ExportJob, statusUrl: string): Http.SandboxResponse => {
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

/** A file, or the part of it that a range request asks for (RFC 9110, section 14). */
const fileOf = ({ resources }: ExportJob["files"][number], headers: FhirRequest["headers"]): Http.SandboxResponse => {
  const bytes = new TextEncoder().encode(resources.map((resource) => `${Http.stringify(resource)}\n`).join(""))
  const contentType = fhirJson.replace("json", "ndjson")
  const from = Number(/^bytes=(\d{1,15})-$/.exec(headers["range"] ?? "")?.[1] ?? Number.NaN)
  if (Number.isNaN(from)) return Http.binary(bytes, contentType)
  if (from >= bytes.length) return outcome(416, "invalid", "the range is outside of the file")
  return {
    ...Http.binary(bytes.subarray(from), contentType),
    status: 206,
    headers: { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }
  }
}

/** The response to a request of a bulk export; undefined for another request. */
export const handle = (request: FhirRequest): Http.SandboxResponse | undefined => {
  const { method, path, sandbox } = request
  if ((method === "GET" || method === "POST") && (path === "$export" || path === "Patient/$export")) {
    return kickOff(request)
  }
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
  return found === undefined ? notFound("such file") : fileOf(found, request.headers)
}
