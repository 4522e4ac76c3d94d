import type { JsonObject } from "../../base/JsonReader.js"
import type { Change } from "../ClientMetadata.js"

/**
 * A text that is equal for equal values: neither the lists of RFC 7591 nor the members of an object have an order.
 * Each level is written once, so that nesting does not multiply the work.
 */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).sort().join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  return `{${
    Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join()
  }}`
}

const comparable = (member: string, value: unknown): string =>
  canonical(member === "scope" && typeof value === "string" ? value.split(" ").filter((scope) => scope !== "") : value)

/**
 * How the response to a registration differs from the request. Servers unpack a software statement: it is not
 * compared.
 */
export const metadataChanges = (request: JsonObject, response: JsonObject): ReadonlyArray<Change> =>
  Object.entries(request).flatMap(([member, requested]): ReadonlyArray<Change> => {
    if (member === "software_statement") return []
    const registered = Object.hasOwn(response, member) ? response[member] ?? undefined : undefined
    if (registered === undefined) return [{ member, kind: "NotEchoed", requested, registered }]
    return comparable(member, requested) === comparable(member, registered)
      ? []
      : [{ member, kind: "Changed", requested, registered }]
  })
