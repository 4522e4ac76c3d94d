/**
 * The launch context in a token response (SMART App Launch 2.2, "Launch context arrives with your access_token").
 *
 * @since 0.1.0
 */

/**
 * The context of a launch, or of a user's decision.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchContext {
  /** The id of a patient in the store. */
  readonly patient?: string | undefined
  /** The id of an encounter in the store. */
  readonly encounter?: string | undefined
  /** The FHIR reference of the user, for instance `Practitioner/practitioner-one`. */
  readonly user?: string | undefined
  readonly intent?: string | undefined
  readonly fhirContext?: ReadonlyArray<Readonly<Record<string, unknown>>> | undefined
  readonly needPatientBanner?: boolean | undefined
  readonly smartStyleUrl?: string | undefined
  readonly tenant?: string | undefined
  /** Additional members (`https://…` or `__name`) of the token response. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
}

/** The members of the token response. */
export const toMembers = (context: LaunchContext): Readonly<Record<string, unknown>> => ({
  patient: context.patient,
  encounter: context.encounter,
  fhirContext: context.fhirContext,
  need_patient_banner: context.needPatientBanner,
  intent: context.intent,
  smart_style_url: context.smartStyleUrl,
  tenant: context.tenant,
  ...context.extensions
})
