/**
 * Authorization extension objects of requests for client credentials (UDAP Security STU2, section 5.2.1.1): the model
 * of `hl7-b2b`, those of TEFCA, and `define` for the objects of other communities.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { type ConfigurationError, configurationError } from "../base/ConfigurationError.js"
import { isJsonObject } from "../base/JsonReader.js"
import { isUri } from "./internal/communities.js"

/**
 * An extension object: its key in `extensions`, its schema, and the rule of each member for errors, by the member's
 * name.
 *
 * @since 0.1.0
 * @category models
 */
export interface Definition<A, I> {
  readonly key: string
  readonly schema: Schema.Schema<A, I>
  readonly rules?: Readonly<Record<string, string>> | undefined
}

/**
 * A definition of any object.
 *
 * @since 0.1.0
 * @category models
 */
export interface AnyDefinition extends Omit<Definition<unknown, unknown>, "schema"> {
  readonly schema: Schema.Schema.AnyNoContext
}

/**
 * The extension objects of a request, by their keys.
 *
 * @since 0.1.0
 * @category models
 */
export type Extensions = Readonly<Record<string, unknown>>

/**
 * An extension object of another community.
 *
 * @since 0.1.0
 * @category constructors
 */
export const define = <A, I>(definition: Definition<A, I>): Definition<A, I> => definition

/** The messages of a schema may quote values, which may name a patient: an error has the names of members only. */
const invalid = (definition: Omit<AnyDefinition, "schema">, error: ParseResult.ParseError): ConfigurationError => {
  const members = ParseResult.ArrayFormatter.formatErrorSync(error).map(({ path }) => String(path[0] ?? ""))
  const distinct = [...new Set(members)]
  return configurationError(
    "Invalid",
    distinct.map((member) => `extensions.${definition.key}${member === "" ? "" : `.${member}`}`),
    distinct.map((member) => definition.rules?.[member] ?? `${member || "the object"} has not the required form`)
      .join("; ")
  )
}

const whole = { errors: "all" } as const

/**
 * The extension object for a request: `extensions` of `BackendServices.accessToken` takes it. Several objects are
 * spread into one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, I>(
  definition: Definition<A, I>,
  value: A
): Either.Either<Extensions, ConfigurationError> =>
  Either.mapBoth(Schema.encodeEither(definition.schema)(value, whole), {
    onLeft: (error) => invalid(definition, error),
    onRight: (encoded) => ({ [definition.key]: encoded })
  })

/**
 * Fails for an object that violates its definition. Objects without a definition pass: communities have their own.
 *
 * @internal
 */
export const validate = (
  extensions: Extensions,
  definitions: ReadonlyArray<AnyDefinition>
): Either.Either<void, ConfigurationError> => {
  for (const [key, value] of Object.entries(extensions)) {
    if (!isJsonObject(value)) {
      return Either.left(
        configurationError("Invalid", [`extensions.${key}`], "an extension is a JSON object, not text")
      )
    }
    const definition = definitions.find((one) => one.key === key)
    if (definition === undefined) continue
    const decoded = Schema.decodeUnknownEither(definition.schema)(value, whole)
    if (Either.isLeft(decoded)) return Either.left(invalid(definition, decoded.left))
  }
  return Either.void
}

const Uri = Schema.String.pipe(Schema.filter(isUri))
const NonEmpty = Schema.NonEmptyTrimmedString
const list = <A, I>(item: Schema.Schema<A, I>) => Schema.Array(item).pipe(Schema.minItems(1))
const AbsoluteUrl = Schema.String.pipe(Schema.filter((text) => /^https?:\/\/[^\s/]+\/\S+$/.test(text)))

const required = <A, I>(name: string, schema: Schema.Schema<A, I>) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(name))
const optional = <A, I>(name: string, schema: Schema.Schema<A, I>) => Schema.optional(schema).pipe(Schema.fromKey(name))

const B2B = Schema.Struct({
  version: Schema.Literal("1"),
  subject_name: Schema.optional(NonEmpty),
  subject_id: Schema.optional(NonEmpty),
  subject_role: Schema.optional(NonEmpty),
  organization_name: Schema.optional(NonEmpty),
  organization_id: Uri,
  purpose_of_use: list(NonEmpty),
  consent_policy: Schema.optional(list(Uri)),
  consent_reference: Schema.optional(list(AbsoluteUrl))
}).pipe(Schema.filter((object) => {
  const missing = (path: string) => ({ path: [path], message: "" })
  return [
    ...(object.subject_id !== undefined && object.subject_name === undefined ? [missing("subject_id")] : []),
    ...(object.subject_role !== undefined && object.subject_name === undefined ? [missing("subject_role")] : []),
    ...(object.consent_reference !== undefined && object.consent_policy === undefined
      ? [missing("consent_reference")]
      : [])
  ]
}))

/**
 * The HL7 B2B extension object as JSON: who requests, for which organization, and for which purpose.
 *
 * @since 0.1.0
 * @category models
 */
export type Hl7B2b = typeof B2B.Encoded

/**
 * The definition of `hl7-b2b` (section 5.2.1.1).
 *
 * @since 0.1.0
 * @category constructors
 */
export const hl7B2b: Definition<typeof B2B.Type, Hl7B2b> = define({
  key: "hl7-b2b",
  schema: B2B,
  rules: {
    version: "version is \"1\" [UDAP-202]",
    subject_name: "subject_name is text that is not empty [UDAP-203]",
    subject_id: "subject_id is text, and needs subject_name [UDAP-204]",
    subject_role: "subject_role is text, and needs subject_name [UDAP-208]",
    organization_name: "organization_name is text that is not empty [UDAP-210]",
    organization_id: "organization_id is a URI [UDAP-212]",
    purpose_of_use: "purpose_of_use is a list with at least one purpose [UDAP-215]",
    consent_policy: "consent_policy is a list of URIs [UDAP-217]",
    consent_reference: "consent_reference is a list of absolute URLs, and needs consent_policy [UDAP-218, UDAP-221]"
  }
})

/**
 * Who requests. A system has neither an id nor a role (UDAP-206).
 *
 * @since 0.1.0
 * @category models
 */
export type Subject =
  | {
    readonly kind: "Human"
    readonly name: string
    /** In the naming system of the community, such as `npi("…")`; absent if the person has none. */
    readonly id?: string | undefined
    readonly role?: string | undefined
  }
  | { readonly kind: "System"; readonly name: string }

/**
 * The content of `hl7-b2b`.
 *
 * @since 0.1.0
 * @category models
 */
export interface B2bOptions {
  /** The URI of the requesting organization, in a scheme of the community. A URL must be resolvable by the server. */
  readonly organizationId: string
  readonly organizationName?: string | undefined
  /** At least one, such as `purposeOfUse("TREAT")`. */
  readonly purposeOfUse: ReadonlyArray<string>
  /** Required if it is known. */
  readonly subject?: Subject | undefined
  /** URIs of policies. */
  readonly consentPolicy?: ReadonlyArray<string> | undefined
  /** URLs of `Consent` or `DocumentReference` resources that the server can resolve. Needs `consentPolicy`. */
  readonly consentReference?: ReadonlyArray<string> | undefined
}

const withoutUndefined = (object: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))

/**
 * The `hl7-b2b` object of a request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const b2b = (options: B2bOptions): Either.Either<Extensions, ConfigurationError> => {
  const { consentPolicy, consentReference, organizationId, organizationName, purposeOfUse, subject } = options
  const human = subject?.kind === "Human" ? subject : undefined
  const object = withoutUndefined({
    version: "1",
    subject_name: subject?.name,
    subject_id: human?.id,
    subject_role: human?.role,
    organization_name: organizationName,
    organization_id: organizationId,
    purpose_of_use: purposeOfUse,
    consent_policy: consentPolicy,
    consent_reference: consentReference
  })
  const extensions = { [hl7B2b.key]: object }
  return Either.map(validate(extensions, [hl7B2b]), () => extensions)
}

/**
 * A US National Provider Identifier as `subject_id`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const npi = (identifier: string): string => `urn:oid:2.16.840.1.113883.4.6#${identifier}`

/**
 * A code of HL7's PurposeOfUse, such as `TREAT`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const purposeOfUse = (code: string): string => `urn:oid:2.16.840.1.113883.5.8#${code}`

const Resource = Schema.Record({ key: Schema.String, value: Schema.Unknown })

const IAS = Schema.Struct({
  version: Schema.Literal("1"),
  purposeOfUse: required("purpose_of_use", NonEmpty),
  userInformation: optional("user_information", Resource),
  patientInformation: optional("patient_information", Resource),
  ialVetted: optional("ial_vetted", NonEmpty),
  idToken: optional("id_token", NonEmpty),
  consentPolicy: optional("consent_policy", list(Uri)),
  consentReference: optional("consent_reference", list(AbsoluteUrl))
})

/**
 * The object of TEFCA's Individual Access Services.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tefcaIas: Definition<typeof IAS.Type, typeof IAS.Encoded> = define({ key: "tefca-ias", schema: IAS })

const Smart = Schema.Struct({
  version: Schema.Literal("1"),
  purposeOfUse: required("purpose_of_use", NonEmpty),
  idToken: optional("id_token", NonEmpty),
  consentPolicy: optional("consent_policy", list(Uri)),
  consentReference: optional("consent_reference", list(AbsoluteUrl))
})

/**
 * The object of TEFCA's SMART requests.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tefcaSmart: Definition<typeof Smart.Type, typeof Smart.Encoded> = define({
  key: "tefca_smart",
  schema: Smart
})

const User = Schema.Struct({
  version: Schema.Literal("1"),
  userPerson: required("user_person", Resource),
  purposeOfUse: required("purpose_of_use", list(NonEmpty)),
  consentPolicy: optional("consent_policy", list(Uri)),
  consentReference: optional("consent_reference", list(AbsoluteUrl))
})

/**
 * `hl7-b2b-user` of HL7's Identity Matching guide.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hl7B2bUser: Definition<typeof User.Type, typeof User.Encoded> = define({
  key: "hl7-b2b-user",
  schema: User
})

/**
 * The definitions of this module, by which `UdapAuthentication` checks requests.
 *
 * @since 0.1.0
 * @category constructors
 */
export const definitions: ReadonlyArray<AnyDefinition> = [hl7B2b, hl7B2bUser, tefcaIas, tefcaSmart]
