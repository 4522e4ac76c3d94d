/**
 * The interactions of a CapabilityStatement that a FHIR request stands for.
 *
 * @internal
 */
import type { Interaction } from "../../server/CapabilityStatements.js"
import type { FhirRequest } from "./fhirMessage.js"
import * as Params from "./params.js"

/** By the name of a request of `FhirClient`. Any of the codes allows it. Other requests are not checked. */
const CODES: Readonly<Record<string, ReadonlyArray<string> | undefined>> = {
  "read": ["read"],
  "vread": ["vread"],
  "search": ["search-type"],
  "create": ["create"],
  "update": ["update"],
  "patch": ["patch"],
  "delete": ["delete"],
  "conditional update": ["update"],
  "conditional patch": ["patch"],
  "conditional delete": ["delete"],
  "history": ["history-instance", "history-type"]
}

const SYSTEM_CODES: Readonly<Record<string, ReadonlyArray<string> | undefined>> = {
  batch: ["batch"],
  transaction: ["transaction"],
  search: ["search-system"],
  history: ["history-system"]
}

/** `If-Match` is not part of a CapabilityStatement. */
const CONDITION = /^if-(?:none-exist|none-match|modified-since)$/i

const paramsOf = ({ body, params }: FhirRequest): ReadonlyArray<readonly [string, string]> =>
  body !== undefined && "text" in body && body.contentType === "application/x-www-form-urlencoded"
    ? [...new URLSearchParams(body.text)]
    : Params.pairs(params ?? {}).map(([name, value]) => [name, String(value)] as const)

export const interactionsOf = (request: FhirRequest): ReadonlyArray<Interaction> => {
  const words = request.interaction.split(" ")
  const last = words.at(-1) ?? ""
  const resourceType = /^[A-Z][A-Za-z]*$/.test(last) ? last : undefined
  const name = (resourceType === undefined ? words : words.slice(0, -1)).join(" ")
  const codes = name.startsWith("$") ? [name] : resourceType === undefined ? SYSTEM_CODES[name] : CODES[name]
  const params = name === "search" ? paramsOf(request) : []
  const isConditional = words[0] === "conditional" ||
    Object.keys(request.headers ?? {}).some((header) => CONDITION.test(header))
  return (codes ?? []).map((code) => ({ code, resourceType, isConditional, params }))
}
