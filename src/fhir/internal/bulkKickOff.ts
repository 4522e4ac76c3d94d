/**
 * The kick-off request of an export (Bulk Data Access 3.0, "Kick-off Request"), by GET or POST.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Fields } from "../FhirError.js"
import { isNdjson } from "./bulkManifest.js"
import type { FhirRequest } from "./fhirMessage.js"
import * as Params from "./params.js"
import { isId, isType } from "./resource.js"

/**
 * Which data the server exports. Servers may refuse or ignore all parameters but `since` and `outputFormat`.
 *
 * @since 0.1.0
 * @category models
 */
export interface KickOffOptions {
  /** Everything (the default), all patients, or a group. */
  readonly of?: "system" | "patients" | { readonly group: string } | undefined
  readonly types?: ReadonlyArray<string> | undefined
  /** An instant, such as the `transactionTime` of the previous export: resources that changed later. */
  readonly since?: string | undefined
  /** An instant: resources that changed earlier (Bulk Data Access 3.0). */
  readonly until?: string | undefined
  /** Searches for one type each, such as `Observation?category=vital-signs`. Each is a parameter of its own. */
  readonly typeFilters?: ReadonlyArray<string> | undefined
  /** The elements that the resources should contain, such as `Patient.name` or `id`. */
  readonly elements?: ReadonlyArray<string> | undefined
  /** Only these patients, such as `Patient/123`; not of the whole system. The request is a POST. */
  readonly patients?: ReadonlyArray<string> | undefined
  /** `LatestProvenanceResources`, `RelevantProvenanceResources`, or a value of the server that begins with `_`. */
  readonly includeAssociatedData?: ReadonlyArray<string> | undefined
  /** A resource type: each file has blocks of one instance and the resources that refer to it. See `Item.organizer`. */
  readonly organizeOutputBy?: string | undefined
  /** Lets the server return manifests with the files that are ready. All manifests are read in any case. */
  readonly allowPartialManifests?: boolean | undefined
  /** A spelling of NDJSON. By default the parameter is not sent. */
  readonly outputFormat?: string | undefined
  /** `lenient` lets the server ignore parameters that it does not support. */
  readonly handling?: "strict" | "lenient" | undefined
  /** Other parameters. */
  readonly params?: Params.Params | undefined
  /** Default: POST with `patients`, else GET. Not all servers support POST. */
  readonly method?: "GET" | "POST" | undefined
}

type Pair = readonly [name: string, valueType: string, value: Params.ParamValue]

const joined = (name: string, values: ReadonlyArray<string> | undefined): ReadonlyArray<Pair> =>
  values === undefined || values.length === 0 ? [] : [[name, "valueString", values.join(",")]]

const one = (name: string, type: string, value: Params.ParamValue | undefined): ReadonlyArray<Pair> =>
  value === undefined ? [] : [[name, type, value]]

const pairsOf = (options: KickOffOptions): ReadonlyArray<Pair> => [
  ...one("_outputFormat", "valueString", options.outputFormat),
  ...one("_since", "valueInstant", options.since),
  ...one("_until", "valueInstant", options.until),
  ...joined("_type", options.types),
  // A filter may contain commas, so the filters are not joined.
  ...(options.typeFilters ?? []).map((filter): Pair => ["_typeFilter", "valueString", filter]),
  ...joined("_elements", options.elements),
  ...(options.includeAssociatedData ?? []).map((value): Pair => ["includeAssociatedData", "valueCode", value]),
  ...one("organizeOutputBy", "valueString", options.organizeOutputBy),
  ...one("allowPartialManifests", "valueBoolean", options.allowPartialManifests)
]

const parameterOf = (value: Params.ParamValue): Readonly<Record<string, Params.ParamValue>> => {
  switch (typeof value) {
    case "boolean":
      return { valueBoolean: value }
    case "number":
      return Number.isInteger(value) ? { valueInteger: value } : { valueDecimal: value }
    case "string":
      return { valueString: value }
  }
}

/** The reference of a patient; an id alone is one, too. */
const patientReference = (patient: string): string | undefined => {
  const id = patient.startsWith("Patient/") ? patient.slice("Patient/".length) : patient
  return isId(id) ? `Patient/${id}` : undefined
}

const parameters = (options: KickOffOptions, references: ReadonlyArray<string>) => ({
  resourceType: "Parameters",
  parameter: [
    ...pairsOf(options).map(([name, type, value]) => ({ name, [type]: value })),
    ...references.map((reference) => ({ name: "patient", valueReference: { reference } })),
    ...Params.pairs(options.params ?? {}).map(([name, value]) => ({ name, ...parameterOf(value) }))
  ]
})

/** The request, or why it would be invalid. */
export const kickOffRequest = (options: KickOffOptions): Either.Either<FhirRequest, Fields> => {
  const { handling, of = "system", organizeOutputBy, outputFormat, params = {}, patients, types = [] } = options
  const { method = patients === undefined ? "GET" : "POST" } = options
  const refuse = (reason: "InvalidReference" | "InvalidRequest", detail: string) =>
    Either.left<Fields>({ reason, detail, processed: "no" })
  const references = patients?.map(patientReference) ?? []
  if (typeof of === "object" && !isId(of.group)) {
    return refuse("InvalidReference", "the id of the group has characters that FHIR does not allow")
  }
  if (references.includes(undefined)) {
    return refuse("InvalidReference", "a patient is neither an id nor a reference of the form Patient/id")
  }
  if (patients !== undefined && of === "system") {
    return refuse("InvalidRequest", "`patients` is for exports of patients or of a group: set `of`")
  }
  if (patients !== undefined && method === "GET") return refuse("InvalidRequest", "`patients` needs a POST")
  if (![...types, ...(organizeOutputBy === undefined ? [] : [organizeOutputBy])].every(isType)) {
    return refuse("InvalidReference", "a resource type has characters that FHIR does not allow")
  }
  if (outputFormat !== undefined && !isNdjson(outputFormat)) {
    return refuse("InvalidRequest", "only NDJSON can be read: set `outputFormat` to `application/fhir+ndjson`")
  }
  const level = of === "system" ? "" : of === "patients" ? "Patient/" : `Group/${of.group}/`
  return Either.right({
    interaction: "export",
    method,
    url: `${level}$export`,
    headers: {
      accept: "application/fhir+json",
      prefer: handling === undefined ? "respond-async" : `respond-async, handling=${handling}`
    },
    retry: "never",
    ...(method === "POST"
      ? { body: { json: parameters(options, references.filter((one) => one !== undefined)) } }
      : { params: [...pairsOf(options).map(([name, , value]) => [name, value] as const), ...Params.pairs(params)] })
  })
}
