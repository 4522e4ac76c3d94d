/**
 * What a token answer says of the circumstances of the launch (SMART App Launch 2.2, "Launch context arrives with your access token";
 * requirements 168 to 194).
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { JsonMembers } from "../base/JsonMembers.js"
import type { JsonObject, JsonReader } from "../base/JsonReader.js"
import { others, reader } from "../base/JsonReader.js"
import { skipValidation } from "../base/SkipValidation.js"

const Text = Schema.optional(Schema.String)

/**
 * One resource of the context. At least one of `reference`, `canonical` and `identifier` is there; an absent `role` means `launch`
 * (requirement 191).
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
 * @since 0.1.0
 * @category models
 */
export type FhirContextItem = typeof FhirContextItem.Type

/**
 * Where the token is good beside the FHIR base, and in which context (RFC 9396, type `smart_on_fhir`). Absent members are those of the token.
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
 * @since 0.1.0
 * @category models
 */
export type AuthorizationDetail = typeof AuthorizationDetail.Type

/**
 * @since 0.1.0
 * @category models
 */
export class LaunchContext extends Schema.Class<LaunchContext>("effect-safire/LaunchContext")({
  /** The id of the patient in context, without `Patient/`. */
  patient: Text,
  encounter: Text,
  fhirContext: Schema.optional(Schema.Array(FhirContextItem)),
  /** Whether the app must show who the patient is. */
  needPatientBanner: Schema.optional(Schema.Boolean),
  intent: Text,
  smartStyleUrl: Text,
  tenant: Text,
  authorizationDetails: Schema.optional(Schema.Array(AuthorizationDetail))
}) {}

/**
 * The members of a token answer that are launch context.
 *
 * @internal
 */
export const members: ReadonlyArray<string> = [
  "patient",
  "encounter",
  "fhirContext",
  "need_patient_banner",
  "intent",
  "smart_style_url",
  "tenant",
  "authorization_details"
]

/** A role is a URI, or a word that SMART itself defines: of these there is one. */
const isRole = (role: string): boolean => role === "launch" || /^[a-z][a-z0-9+.-]*:./i.test(role)

/** What is odd about an item that is used all the same. */
const oddities = ({ reference, role }: FhirContextItem): ReadonlyArray<string> => [
  ...(role === "launch" && /^(Patient|Encounter)\//.test(reference ?? "")
    ? ["fhirContext has a Patient or an Encounter without a role of its own; its place is beside the token"]
    : []),
  ...(reference !== undefined && /^[a-z][a-z0-9+.-]*:/i.test(reference)
    ? ["fhirContext has an absolute reference; it should be relative to the FHIR base"]
    : []),
  ...(isRole(role) ? [] : ["fhirContext has a role that is neither launch nor an absolute URI"])
]

const fhirContextOf = (
  items: unknown,
  onLegacy: () => void,
  onMalformed: (member: string, expected: string) => void,
  onOdd: (detail: string, requirement?: string) => void
): ReadonlyArray<FhirContextItem> | undefined => {
  if (items === undefined || items === null) return undefined
  if (!Array.isArray(items)) {
    onMalformed("fhirContext", "an array of objects")
    return undefined
  }
  return items.flatMap((item: unknown): ReadonlyArray<FhirContextItem> => {
    if (typeof item === "string" && item !== "") {
      onLegacy()
      return [{ reference: item, role: "launch" }]
    }
    if (typeof item !== "object" || item === null || Array.isArray(item)) {
      onMalformed("fhirContext", "an array of objects")
      return []
    }
    const { object, string } = reader(
      item as JsonObject,
      (member, expected) => onMalformed(`fhirContext.${member}`, expected)
    )
    const found = {
      reference: string("reference"),
      canonical: string("canonical"),
      identifier: object("identifier"),
      type: string("type"),
      role: string("role") ?? "launch"
    }
    if (found.reference !== undefined || found.canonical !== undefined || found.identifier !== undefined) {
      oddities(found).forEach((detail) => onOdd(detail))
      return [found]
    }
    onMalformed("fhirContext", "items with a reference, a canonical or an identifier")
    return []
  })
}

/** Passes each report on once: a list of many malformed items would cost a warning, and a line in the log, for each. */
const once = <Args extends ReadonlyArray<string | undefined>>(
  report: (...args: Args) => void
): (...args: Args) => void => {
  const seen = new Set<string>()
  return (...args) => {
    const key = args.join(" ")
    if (seen.has(key)) return
    seen.add(key)
    report(...args)
  }
}

/**
 * Reads the context out of an answer whose members `read` reads.
 *
 * @internal
 */
export const fromAnswer = (
  answer: JsonObject,
  read: JsonReader,
  reportLegacy: () => void,
  reportMalformed: (member: string, expected: string) => void,
  reportOdd: (detail: string, requirement?: string) => void = () => undefined
): LaunchContext => {
  const onLegacy = once(reportLegacy)
  const onMalformed = once(reportMalformed)
  const onOdd = once(reportOdd)
  /** An id, as it should be; a reference is what some servers make of it. */
  const idOf = (value: string | undefined, type: "Patient" | "Encounter"): string | undefined => {
    if (value === undefined || !value.startsWith(`${type}/`)) return value
    onOdd(`${type.toLowerCase()} is a reference; it was read as the id in it`, type === "Patient" ? "170" : "171")
    return value.slice(type.length + 1)
  }
  const details = read.objects("authorization_details")?.filter((detail) => detail["type"] === "smart_on_fhir")
  return new LaunchContext({
    patient: idOf(read.string("patient"), "Patient"),
    encounter: idOf(read.string("encounter"), "Encounter"),
    fhirContext: fhirContextOf(answer["fhirContext"], onLegacy, onMalformed, onOdd),
    needPatientBanner: read.boolean("need_patient_banner"),
    intent: read.string("intent"),
    smartStyleUrl: read.string("smart_style_url"),
    tenant: read.string("tenant"),
    authorizationDetails: details?.map((detail) => {
      const { string, strings } = reader(
        detail,
        (member, expected) => onMalformed(`authorization_details.${member}`, expected)
      )
      return {
        locations: strings("locations") ?? [],
        fhirVersions: strings("fhirVersions") ?? [],
        scope: string("scope"),
        patient: idOf(string("patient"), "Patient"),
        encounter: idOf(string("encounter"), "Encounter"),
        fhirContext: fhirContextOf(detail["fhirContext"], onLegacy, onMalformed, onOdd)
      }
    })
  }, skipValidation)
}

/**
 * The context after a refresh: an answer need not repeat it, and what it does not say stays as it was.
 *
 * @since 0.1.0
 * @category combinators
 */
export const carriedOver = (previous: LaunchContext, next: LaunchContext): LaunchContext => {
  const said = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined))
  return new LaunchContext({ ...previous, ...said }, skipValidation)
}

/**
 * The context at another FHIR server that the token is good for (`authorization_details`): its own where it has one, the token's where it has none. None
 * where the token is not known to be good there.
 *
 * @since 0.1.0
 * @category accessors
 */
export const contextFor = (self: LaunchContext, fhirBaseUrl: string): Option.Option<LaunchContext> =>
  Option.map(detailFor(self, fhirBaseUrl), ({ encounter, fhirContext, patient }) =>
    new LaunchContext({
      ...self,
      patient: patient ?? self.patient,
      encounter: encounter ?? self.encounter,
      fhirContext: fhirContext ?? self.fhirContext
    }))

/**
 * What `authorization_details` says of a FHIR server.
 *
 * @internal
 */
export const detailFor = (self: LaunchContext, fhirBaseUrl: string): Option.Option<AuthorizationDetail> =>
  Option.fromNullable(
    self.authorizationDetails?.find(({ locations }) =>
      locations.some((location) => FhirBaseUrl.areSame(location, fhirBaseUrl))
    )
  )

/**
 * The extension members of an answer: whatever is neither OAuth's nor launch context.
 *
 * @internal
 */
export const extensionsOf = (answer: JsonObject): Record<string, unknown> => others(answer, KNOWN)

const KNOWN: ReadonlySet<string> = new Set([
  ...members,
  "access_token",
  "token_type",
  "expires_in",
  "scope",
  "refresh_token",
  "id_token"
])
