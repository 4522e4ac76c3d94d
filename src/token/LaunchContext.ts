/**
 * The launch context in a token response (SMART App Launch 2.2, "Launch context arrives with your access token";
 * requirements 168 to 194).
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FhirBaseUrl from "../base/FhirBaseUrl.js"
import { JsonMembers, skipValidation } from "../base/SchemaFields.js"

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
  return new LaunchContext({ ...previous, ...present }, skipValidation)
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
 * The context at a FHIR server of `authorization_details`: its own members, and those of the token where it has none.
 * None for a server that is not in `authorization_details`.
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
