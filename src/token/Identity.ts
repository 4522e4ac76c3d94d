/**
 * The person who logged in, from a verified id_token (OpenID Connect Core, section 2; SMART App Launch 2.2, scopes for
 * requesting identity data; requirements 198 to 204).
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { JsonMembers } from "../base/SchemaFields.js"
import * as Url from "../base/Url.js"

/**
 * The types of FHIR resources that represent a person (requirements 198 and 199).
 *
 * @since 0.1.0
 * @category schemas
 */
export const FhirUserType = Schema.Literal("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person")

/**
 * The resource type of a `fhirUser`.
 *
 * @since 0.1.0
 * @category models
 */
export type FhirUserType = typeof FhirUserType.Type

/**
 * The FHIR resource of the person.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FhirUser = Schema.Struct({
  resourceType: FhirUserType,
  id: Schema.String,
  /** Absolute: a relative reference is resolved against the FHIR base URL. */
  url: Schema.String,
  /**
   * Whether it is a resource of the token's FHIR server. Any other may be displayed, but not read with the token
   * (requirement 97).
   */
  isLocal: Schema.Boolean
})

/**
 * The resource of the user who logged in.
 *
 * @since 0.1.0
 * @category models
 */
export type FhirUser = typeof FhirUser.Type

/**
 * `iss` and `sub` together identify the person permanently; `sub` alone does not. When printed, it shows no other
 * claim. Encoded with its schema, it holds all claims in clear.
 *
 * @since 0.1.0
 * @category models
 */
export class Identity extends Schema.Class<Identity>("effect-safire/Identity")({
  iss: Schema.String,
  sub: Schema.String,
  fhirUser: Schema.optional(FhirUser),
  /** All claims of the id_token: a name or an e-mail address may be among them. */
  claims: Schema.Redacted(JsonMembers)
}) {}

/**
 * Whether two identities are the same person.
 *
 * @since 0.1.0
 * @category predicates
 */
export const isSamePerson: {
  (that: Identity): (self: Identity) => boolean
  (self: Identity, that: Identity): boolean
} = dual(2, (self: Identity, that: Identity): boolean => self.iss === that.iss && self.sub === that.sub)

const isFhirUserType = Schema.is(FhirUserType)

const REFERENCE =
  /(?:^|\/)(Patient|Practitioner|PractitionerRole|RelatedPerson|Person)\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/

/**
 * The reference in a `fhirUser` claim: absolute, or relative to the FHIR base URL (requirement 202). `undefined` for
 * any other value.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseFhirUser = (claim: string, fhirBaseUrl: string): FhirUser | undefined => {
  const base = FhirBaseUrl.parse(fhirBaseUrl)
  const [reference = "", type, id = ""] = REFERENCE.exec(claim) ?? []
  if (Either.isLeft(base) || !isFhirUserType(type)) return undefined
  const local = Url.parse(FhirBaseUrl.append(base.right, reference))
  const isRelative = claim === reference
  const absolute = isRelative
    ? local
    : Either.match(FhirBaseUrl.parse(claim), { onLeft: () => undefined, onRight: Url.parse })
  if (absolute === undefined) return undefined
  return {
    resourceType: type,
    id,
    url: isRelative ? absolute.href : claim,
    isLocal: absolute.href === local?.href
  }
}
