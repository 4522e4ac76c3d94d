/** Reads the launch context from the members of a token response or an introspection response. */
import type { JsonObject } from "../../base/JsonReader.js"
import { isJsonObject, others, reader } from "../../base/JsonReader.js"
import { skipValidation } from "../../base/SchemaFields.js"
import type { FhirContextItem } from "../LaunchContext.js"
import { LaunchContext } from "../LaunchContext.js"
import type { Warn } from "./oauthResponse.js"

/** A role is `launch` or a URI. */
const isRole = (role: string): boolean => role === "launch" || /^[a-z][a-z0-9+.-]*:./i.test(role)

/** The rules that an item breaks although it can be used. */
const deviationsOf = ({ reference, role }: FhirContextItem): ReadonlyArray<string> => [
  ...(role === "launch" && /^(Patient|Encounter)\//.test(reference ?? "")
    ? ["fhirContext has a Patient or an Encounter without a role; it belongs in patient or encounter"]
    : []),
  ...(reference !== undefined && /^[a-z][a-z0-9+.-]*:/i.test(reference)
    ? ["fhirContext has an absolute reference; it should be relative to the FHIR base"]
    : []),
  ...(isRole(role) ? [] : ["fhirContext has a role that is neither launch nor an absolute URI"])
]

export const readLaunchContext = (members: JsonObject, warn: Warn): LaunchContext => {
  const onMalformed = (prefix: string) => (member: string, expected: string) =>
    warn("TokenMemberMalformed", `${prefix}${member} is not ${expected}; it counts as absent`)
  const read = reader(members, onMalformed(""))

  const fhirContextOf = (items: unknown): ReadonlyArray<FhirContextItem> | undefined => {
    if (items === undefined || items === null) return undefined
    if (!Array.isArray(items)) {
      onMalformed("")("fhirContext", "an array of objects")
      return undefined
    }
    return items.flatMap((item: unknown): ReadonlyArray<FhirContextItem> => {
      if (typeof item === "string" && item !== "") {
        warn("LaunchContextLegacy", "fhirContext holds strings, as in SMART 2.0", "177")
        return [{ reference: item, role: "launch" }]
      }
      if (!isJsonObject(item)) {
        onMalformed("")("fhirContext", "an array of objects")
        return []
      }
      const { object, string } = reader(item, onMalformed("fhirContext."))
      const found = {
        reference: string("reference"),
        canonical: string("canonical"),
        identifier: object("identifier"),
        type: string("type"),
        role: string("role") ?? "launch"
      }
      if (found.reference === undefined && found.canonical === undefined && found.identifier === undefined) {
        onMalformed("")("fhirContext", "items with a reference, a canonical or an identifier")
        return []
      }
      for (const detail of deviationsOf(found)) warn("LaunchContextMalformed", detail)
      return [found]
    })
  }

  /** Some servers send a reference in place of the id. */
  const idOf = (value: string | undefined, type: "Patient" | "Encounter"): string | undefined => {
    if (value === undefined || !value.startsWith(`${type}/`)) return value
    const detail = `${type.toLowerCase()} is a reference; it was read as the id in it`
    warn("LaunchContextMalformed", detail, type === "Patient" ? "170" : "171")
    return value.slice(type.length + 1)
  }

  const details = read.objects("authorization_details")?.filter((detail) => detail["type"] === "smart_on_fhir")
  return new LaunchContext({
    patient: idOf(read.string("patient"), "Patient"),
    encounter: idOf(read.string("encounter"), "Encounter"),
    fhirContext: fhirContextOf(members["fhirContext"]),
    needPatientBanner: read.boolean("need_patient_banner"),
    intent: read.string("intent"),
    smartStyleUrl: read.string("smart_style_url"),
    tenant: read.string("tenant"),
    authorizationDetails: details?.map((detail) => {
      const { string, strings } = reader(detail, onMalformed("authorization_details."))
      return {
        locations: strings("locations") ?? [],
        fhirVersions: strings("fhirVersions") ?? [],
        scope: string("scope"),
        patient: idOf(string("patient"), "Patient"),
        encounter: idOf(string("encounter"), "Encounter"),
        fhirContext: fhirContextOf(detail["fhirContext"])
      }
    })
  }, skipValidation)
}

const KNOWN: ReadonlySet<string> = new Set([
  "patient",
  "encounter",
  "fhirContext",
  "need_patient_banner",
  "intent",
  "smart_style_url",
  "tenant",
  "authorization_details",
  "access_token",
  "token_type",
  "expires_in",
  "scope",
  "refresh_token",
  "id_token"
])

/** The members of a response that neither OAuth nor the launch context defines. */
export const extensionsOf = (members: JsonObject): Record<string, unknown> => others(members, KNOWN)
