/**
 * What a token answer says of the circumstances of the launch (SMART App Launch 2.2, "Launch context arrives with your access token";
 * requirements 168 to 194).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { JsonObject, Reader } from "../base/members.js"
import { others, reader } from "../base/members.js"

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
  identifier: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
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

const fhirContextOf = (
  items: unknown,
  onLegacy: () => void,
  onMalformed: (member: string, expected: string) => void
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
    if (found.reference !== undefined || found.canonical !== undefined || found.identifier !== undefined) return [found]
    onMalformed("fhirContext", "items with a reference, a canonical or an identifier")
    return []
  })
}

/**
 * Reads the context out of an answer whose members `read` reads.
 *
 * @internal
 */
export const fromAnswer = (
  answer: JsonObject,
  read: Reader,
  onLegacy: () => void,
  onMalformed: (member: string, expected: string) => void
): LaunchContext => {
  const details = read.objects("authorization_details")?.filter((detail) => detail["type"] === "smart_on_fhir")
  return new LaunchContext({
    patient: read.string("patient"),
    encounter: read.string("encounter"),
    fhirContext: fhirContextOf(answer["fhirContext"], onLegacy, onMalformed),
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
        patient: string("patient"),
        encounter: string("encounter"),
        fhirContext: fhirContextOf(detail["fhirContext"], onLegacy, onMalformed)
      }
    })
  })
}

/**
 * The context after a refresh: an answer need not repeat it, and what it does not say stays as it was.
 *
 * @since 0.1.0
 * @category combinators
 */
export const carriedOver = (previous: LaunchContext, next: LaunchContext): LaunchContext => {
  const said = Object.fromEntries(Object.entries(next).filter(([, value]) => value !== undefined))
  return new LaunchContext({ ...previous, ...said })
}

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
