/**
 * The launch context in a token response (SMART App Launch 2.2, "Launch context arrives with your access token";
 * requirements 168 to 194).
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Code } from "../base/ConformanceWarning.js"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { isJsonObject, type JsonObject, others, reader } from "../base/JsonReader.js"
import { construct, JsonMembers } from "../base/SchemaFields.js"

/**
 * Reports a deviation from a specification.
 *
 * @internal
 */
export type Warn = (code: Code, detail: string, requirement?: string) => void

const Text = Schema.optional(Schema.String)

/**
 * One resource of the context, with at least one of `reference`, `canonical` and `identifier`. An absent `role` is
 * read as `launch` (requirement 191).
 *
 * @since 0.1.0
 * @category schemas
 */
export const FhirContextItem = Schema.Struct({
  reference: Text,
  canonical: Text,
  identifier: Schema.optional(JsonMembers),
  type: Text,
  role: Schema.String
})

/**
 * A value of the schema `FhirContextItem`.
 *
 * @since 0.1.0
 * @category models
 */
export type FhirContextItem = typeof FhirContextItem.Type

/**
 * Further FHIR servers that accept the token, and the context there (RFC 9396, type `smart_on_fhir`). Absent members
 * have the values of the token.
 *
 * @since 0.1.0
 * @category schemas
 */
export const AuthorizationDetail = Schema.Struct({
  locations: Schema.Array(Schema.String),
  fhirVersions: Schema.Array(Schema.String),
  scope: Text,
  patient: Text,
  encounter: Text,
  fhirContext: Schema.optional(Schema.Array(FhirContextItem))
})

/**
 * A value of the schema `AuthorizationDetail`.
 *
 * @since 0.1.0
 * @category models
 */
export type AuthorizationDetail = typeof AuthorizationDetail.Type

/**
 * The context: patient, encounter and further resources that the launch selected, and hints for the app's display.
 *
 * @since 0.1.0
 * @category models
 */
export class LaunchContext extends Schema.Class<LaunchContext>("effect-safire/LaunchContext")({
  /** The id of the patient in context, without `Patient/`. */
  patient: Text,
  encounter: Text,
  fhirContext: Schema.optional(Schema.Array(FhirContextItem)),
  /** Whether the app must display the identity of the patient. */
  needPatientBanner: Schema.optional(Schema.Boolean),
  intent: Text,
  smartStyleUrl: Text,
  tenant: Text,
  authorizationDetails: Schema.optional(Schema.Array(AuthorizationDetail))
}) {}

/**
 * The context after a refresh: members that the new response does not repeat keep their values.
 *
 * @since 0.1.0
 * @category combinators
 */
export const carriedOver: {
  (next: LaunchContext): (previous: LaunchContext) => LaunchContext
  (previous: LaunchContext, next: LaunchContext): LaunchContext
} = dual(2, (previous: LaunchContext, next: LaunchContext): LaunchContext => {
  const present = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined))
  return construct(LaunchContext, { ...previous, ...present })
})

/**
 * The entry of `authorization_details` for a FHIR server, if there is one.
 *
 * @since 0.1.0
 * @category accessors
 */
export const detailFor: {
  (fhirBaseUrl: string): (self: LaunchContext) => Option.Option<AuthorizationDetail>
  (self: LaunchContext, fhirBaseUrl: string): Option.Option<AuthorizationDetail>
} = dual(2, (self: LaunchContext, fhirBaseUrl: string): Option.Option<AuthorizationDetail> =>
  Option.fromNullable(
    self.authorizationDetails?.find(({ locations }) =>
      locations.some((location) => FhirBaseUrl.areSame(location, fhirBaseUrl))
    )
  ))

/**
 * The context at a FHIR server of `authorization_details`, whose absent members have the values of the token. `None`
 * for a server that is not in `authorization_details`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const contextFor: {
  (fhirBaseUrl: string): (self: LaunchContext) => Option.Option<LaunchContext>
  (self: LaunchContext, fhirBaseUrl: string): Option.Option<LaunchContext>
} = dual(
  2,
  (self: LaunchContext, fhirBaseUrl: string): Option.Option<LaunchContext> =>
    Option.map(detailFor(self, fhirBaseUrl), ({ encounter, fhirContext, patient }) =>
      new LaunchContext({
        ...self,
        patient: patient ?? self.patient,
        encounter: encounter ?? self.encounter,
        fhirContext: fhirContext ?? self.fhirContext
      }))
)

/** A role is `launch` or a URI. */
const isRole = (role: string): boolean => role === "launch" || /^[a-z][a-z0-9+.-]*:./i.test(role)

/** The rules that an item breaks although it can be used. */
const deviationsOf = ({ reference, role }: FhirContextItem): ReadonlyArray<string> => [
  ...(role === "launch" && /^(Patient|Encounter)\//.test(reference ?? "")
    ? ["fhirContext has a Patient or an Encounter without a role; it belongs in patient or encounter"]
    : []),
  ...(/^[a-z][a-z0-9+.-]*:/i.test(reference ?? "")
    ? ["fhirContext has an absolute reference; it should be relative to the FHIR base"]
    : []),
  ...(isRole(role) ? [] : ["fhirContext has a role that is neither launch nor an absolute URI"])
]

/**
 * The context in a token response or an introspection response. A malformed member counts as absent.
 *
 * @internal
 */
export const fromMembers = (members: JsonObject, warn: Warn): LaunchContext => {
  const onMalformed = (prefix: string) => (member: string, expected: string) =>
    warn("TokenMemberMalformed", `${prefix}${member} is not ${expected}; it counts as absent`)
  const { boolean, objects, string } = reader(members, onMalformed(""))

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
      const { object, string: inItem } = reader(item, onMalformed("fhirContext."))
      const found = {
        reference: inItem("reference"),
        canonical: inItem("canonical"),
        identifier: object("identifier"),
        type: inItem("type"),
        role: inItem("role") ?? "launch"
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

  const details = objects("authorization_details")?.filter((detail) => detail["type"] === "smart_on_fhir")
  return construct(LaunchContext, {
    patient: idOf(string("patient"), "Patient"),
    encounter: idOf(string("encounter"), "Encounter"),
    fhirContext: fhirContextOf(members["fhirContext"]),
    needPatientBanner: boolean("need_patient_banner"),
    intent: string("intent"),
    smartStyleUrl: string("smart_style_url"),
    tenant: string("tenant"),
    authorizationDetails: details?.map((detail) => {
      const { string: inDetail, strings } = reader(detail, onMalformed("authorization_details."))
      return {
        locations: strings("locations") ?? [],
        fhirVersions: strings("fhirVersions") ?? [],
        scope: inDetail("scope"),
        patient: idOf(inDetail("patient"), "Patient"),
        encounter: idOf(inDetail("encounter"), "Encounter"),
        fhirContext: fhirContextOf(detail["fhirContext"])
      }
    })
  })
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

/**
 * The members of a response that neither OAuth nor the launch context defines.
 *
 * @internal
 */
export const extensionsOf = (members: JsonObject): Record<string, unknown> => others(members, KNOWN)
