/**
 * The launch context a token answer carries (SMART App Launch 2.2, "Launch context arrives with your access_token").
 *
 * @since 0.1.0
 */

/**
 * The context values of a launch, or of a person's decision.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchContext {
  /** The id of a patient in the store. */
  readonly patient?: string | undefined
  /** The id of an encounter in the store. */
  readonly encounter?: string | undefined
  /** The reference of the person at the screen, for instance `Practitioner/practitioner-one`. */
  readonly user?: string | undefined
  readonly intent?: string | undefined
  readonly fhirContext?: ReadonlyArray<Readonly<Record<string, unknown>>> | undefined
  readonly needPatientBanner?: boolean | undefined
  readonly smartStyleUrl?: string | undefined
  readonly tenant?: string | undefined
  /** Members of one's own (`https://…` or `__name`), put beside the others as they are. */
  readonly extensions?: Readonly<Record<string, unknown>> | undefined
}

const present = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** The members of the token answer. */
export const toMembers = (context: LaunchContext): Readonly<Record<string, unknown>> =>
  present({
    patient: context.patient,
    encounter: context.encounter,
    fhirContext: context.fhirContext,
    need_patient_banner: context.needPatientBanner,
    intent: context.intent,
    smart_style_url: context.smartStyleUrl,
    tenant: context.tenant,
    ...context.extensions
  })
