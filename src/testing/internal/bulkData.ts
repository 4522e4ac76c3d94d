/**
 * Bulk export (Bulk Data Access 2.0 and 3.0) of the system, of all patients or of a group: kick-off by GET or POST, a
 * status that completes at the second request, manifests, files with range requests, and the deletion.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as BulkContent from "./bulkContent.js"
import * as BulkParameters from "./bulkParameters.js"
import type { ExportFile, ExportJob } from "./bulkState.js"
import { fhirJson, type FhirRequest, insufficientScope, notFound, outcome } from "./fhirAccess.js"
import type { SandboxRequest, SandboxResponse } from "./http.js"
import * as Http from "./http.js"
import type { Sandbox } from "./sandbox.js"

const POLLS_UNTIL_COMPLETE = 2

/** The instant of the initial resources: an export is not older. */
const EARLIEST = Date.parse("2024-05-01T00:00:00Z")

/** The files in groups, one for each manifest. */
const paged = <A>(files: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  files.length === 0 ? [[]] : Array.from(
    { length: Math.ceil(files.length / size) },
    (_, index) => files.slice(index * size, (index + 1) * size)
  )

const kickOff = (request: FhirRequest, group: string | undefined): SandboxResponse => {
  const { headers, now, path, sandbox, token } = request
  if (!token.scopes.some((scope) => scope.startsWith("system/"))) return insufficientScope
  const prefer = (headers["prefer"] ?? "").split(",").map((preference) => preference.trim())
  if (!prefer.includes("respond-async")) return outcome(400, "invalid", "Prefer: respond-async is required")
  const level = group === undefined ? path === "$export" ? "system" : "patients" : "group"
  const members = group === undefined ? undefined : BulkContent.membersOf(request, group)
  if (level === "group" && members === undefined) return notFound("such Group")
  const parsed = BulkParameters.parse(request, level)
  if (Either.isLeft(parsed)) return outcome(400, parsed.left.code, parsed.left.diagnostics)
  const parameters = parsed.right
  const compartments = level === "system" ? undefined : members ?? sandbox.store.ids("Patient")
  const stranger = parameters.patients?.find((id) => compartments?.includes(id) === false)
  if (stranger !== undefined) return outcome(400, "not-found", "a patient is not in the data of the export")
  const { bulk } = sandbox
  const { exportLifetime = "1 day", filesPerManifest = 2 } = bulk.options
  const files = BulkContent.filesOf(request, parameters, parameters.patients ?? compartments)
  const manifests = parameters.allowsPartialManifests ? paged(files, filesPerManifest) : [files]
  bulk.count += 1
  const id = `job-${bulk.count}`
  bulk.jobs.set(id, {
    clientId: token.clientId,
    request: `${sandbox.fhirRoot}/${path}`,
    transactionTime: DateTime.formatIso(DateTime.unsafeMake(Math.max(now, EARLIEST))).replace(".000Z", "Z"),
    expiresAt: now + Duration.toMillis(exportLifetime),
    isOrganizedByPatient: parameters.isOrganizedByPatient,
    manifests,
    polls: manifests.map(() => 0),
    signatures: new Map()
  })
  return Http.empty(202, { "content-location": `${sandbox.fhirRoot}/bulk/${id}` })
}

/** The query of a URL that needs no token. */
const signed = (job: ExportJob, lifetime: Duration.DurationInput, now: number): string => {
  const signature = globalThis.crypto.randomUUID()
  job.signatures.set(signature, now + Duration.toMillis(lifetime))
  return `?signature=${signature}`
}

const status = (job: ExportJob, statusUrl: string, page: number, { now, sandbox }: FhirRequest): SandboxResponse => {
  const files = job.manifests[page]
  if (files === undefined) return notFound("such manifest")
  const polls = (job.polls[page] ?? 0) + 1
  job.polls[page] = polls
  if (polls < POLLS_UNTIL_COMPLETE) return Http.empty(202, { "x-progress": "half done", "retry-after": "1" })
  const { fileUrlLifetime } = sandbox.bulk.options
  const query = fileUrlLifetime === undefined ? "" : signed(job, fileUrlLifetime, now)
  const entries = (kind: ExportFile["kind"]) =>
    files.flatMap((file, index) =>
      file.kind !== kind ? [] : [{
        ...(file.type === undefined ? {} : { type: file.type }),
        url: `${statusUrl}/${page}-${index}.ndjson${query}`,
        count: file.count
      }]
    )
  const deleted = entries("deleted")
  const isLast = page === job.manifests.length - 1
  return Http.json({
    transactionTime: job.transactionTime,
    request: job.request,
    requiresAccessToken: fileUrlLifetime === undefined,
    ...(job.isOrganizedByPatient ? { outputOrganizedBy: "Patient" } : {}),
    output: entries("output"),
    ...(deleted.length === 0 ? {} : { deleted }),
    error: entries("error"),
    ...(isLast ? {} : { link: [{ relation: "next", url: `${statusUrl}/manifest-${page + 1}` }] })
  }, {
    headers: { expires: DateTime.toDateUtc(DateTime.unsafeMake(job.expiresAt)).toUTCString() }
  })
}

/** A file, or the part of it that a range request asks for (RFC 9110, section 14). */
const fileOf = ({ lines }: ExportFile, headers: SandboxRequest["headers"]): SandboxResponse => {
  const bytes = new TextEncoder().encode(lines.map((line) => `${Http.stringify(line)}\n`).join(""))
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

const FILE = /^bulk\/(job-\d{1,9})\/(\d{1,6})-(\d{1,6})\.ndjson$/

const findFile = ({ bulk }: Sandbox, path: string, now: number) => {
  const [, id = "", page, index] = FILE.exec(path) ?? []
  const job = bulk.jobs.get(id)
  const file = job?.manifests[Number(page)]?.[Number(index)]
  return job === undefined || file === undefined || now >= job.expiresAt ? undefined : { job, file }
}

/** The response to a request of a file by its signed URL; undefined for another request. */
export const handleSigned = (
  sandbox: Sandbox,
  { headers, method, query }: SandboxRequest,
  path: string,
  now: number
): SandboxResponse | undefined => {
  if (sandbox.bulk.options.fileUrlLifetime === undefined || !FILE.test(path)) return undefined
  if (method !== "GET") return Http.methodNotAllowed("GET")
  if (headers["authorization"] !== undefined) return outcome(400, "invalid", "a signed URL allows no access token")
  const found = findFile(sandbox, path, now)
  if (found === undefined) return notFound("such file")
  const expiresAt = found.job.signatures.get(Http.toRecord(query)["signature"] ?? "")
  return expiresAt === undefined || now >= expiresAt
    ? outcome(403, "forbidden", "the signature is unknown or has expired")
    : fileOf(found.file, headers)
}

/** The response to a request of a bulk export with a token; undefined for another request. */
export const handle = (request: FhirRequest): SandboxResponse | undefined => {
  const { method, now, path, sandbox, token } = request
  const [, group] = /^Group\/([A-Za-z0-9\-.]{1,64})\/\$export$/.exec(path) ?? []
  if (path === "$export" || path === "Patient/$export" || group !== undefined) {
    return method === "GET" || method === "POST" ? kickOff(request, group) : Http.methodNotAllowed("GET, POST")
  }
  const [, id = "", manifest = "0"] = /^bulk\/(job-\d{1,9})(?:\/manifest-(\d{1,6})|\/[\d-]+\.ndjson)?$/.exec(path) ?? []
  if (id === "") return undefined
  const job = sandbox.bulk.jobs.get(id)
  // An export belongs to the client that started it.
  if (job === undefined || job.clientId !== token.clientId || now >= job.expiresAt) return notFound("such export")
  const statusUrl = `${sandbox.fhirRoot}/bulk/${id}`
  if (method === "DELETE" && path === `bulk/${id}`) {
    sandbox.bulk.jobs.delete(id)
    return Http.empty(202)
  }
  if (method !== "GET") return Http.methodNotAllowed("GET, DELETE")
  if (!path.endsWith(".ndjson")) return status(job, statusUrl, Number(manifest), request)
  const found = findFile(sandbox, path, now)
  return found === undefined ? notFound("such file") : fileOf(found.file, request.headers)
}
