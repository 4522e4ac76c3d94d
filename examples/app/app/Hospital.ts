/**
 * The hospitals that the app is registered with, as its operator configures them.
 */
import type { SmartServers } from "effect-safire"
import type { KeyKind } from "./Keys.js"

/** The client type of the app at a hospital. */
export type ClientKind = "public" | "client_secret_basic" | "client_secret_post" | "private_key_jwt" | "udap"

export interface Hospital {
  /** In sessions, spans and paths. */
  readonly key: string
  readonly name: string
  readonly about: string
  readonly kind: ClientKind
  /** The algorithm of its assertions. */
  readonly signsWith?: KeyKind | undefined
  readonly server: SmartServers.Server
  /** The URL of its EHR, for clinicians. */
  readonly ehrUrl?: string | undefined
  /** The scopes of the backend service; undefined if the app is not registered as one. */
  readonly backendScopes?: ReadonlyArray<string> | undefined
}

/** The app's name for users and for registration. */
export const APP_NAME = "Vital Lines"

/** The scopes of the backend service. */
export const BACKEND_SCOPES: ReadonlyArray<string> = ["system/Patient.rs"]

export const KIND_NAMES: Record<ClientKind, string> = {
  public: "public, without a credential",
  client_secret_basic: "confidential, a secret in the Authorization header",
  client_secret_post: "confidential, a secret in the form",
  private_key_jwt: "confidential, a signed assertion",
  udap: "confidential, a certificate of a trust community"
}

export const kindName = ({ kind, signsWith }: Pick<Hospital, "kind" | "signsWith">): string =>
  signsWith === undefined ? KIND_NAMES[kind] : `${KIND_NAMES[kind]} (${signsWith})`

/** A scope to choose from at a launch. */
export interface ScopeChoice {
  readonly scope: string
  readonly meaning: string
  readonly group: "User" | "Patient" | "Data" | "Duration"
  /** Whether a launch requests it by default. */
  readonly isDefault: boolean
}

export const SCOPE_CHOICES: ReadonlyArray<ScopeChoice> = [
  { scope: "openid", meaning: "the user's identity, as a signed id_token", group: "User", isDefault: true },
  { scope: "fhirUser", meaning: "the user's FHIR resource; needs openid", group: "User", isDefault: true },
  { scope: "launch/patient", meaning: "the user chooses a patient in the EHR", group: "Patient", isDefault: true },
  {
    scope: "launch/encounter",
    meaning: "the user also chooses an encounter",
    group: "Patient",
    isDefault: false
  },
  {
    scope: "patient/*.rs",
    meaning: "read and search everything in the chosen patient's record",
    group: "Data",
    isDefault: true
  },
  { scope: "patient/Patient.rs", meaning: "demographics", group: "Data", isDefault: false },
  { scope: "patient/Observation.rs", meaning: "vital signs and results", group: "Data", isDefault: false },
  {
    scope: "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
    meaning: "vital signs only",
    group: "Data",
    isDefault: false
  },
  { scope: "patient/Condition.rs", meaning: "problems", group: "Data", isDefault: false },
  { scope: "patient/MedicationRequest.rs", meaning: "medication orders", group: "Data", isDefault: false },
  {
    scope: "patient/*.read",
    meaning: "the whole record, as a SMART v1 scope",
    group: "Data",
    isDefault: false
  },
  {
    scope: "user/*.rs",
    meaning: "all records that the user may see",
    group: "Data",
    isDefault: false
  },
  {
    scope: "offline_access",
    meaning: "a refresh token that works after the user has left",
    group: "Duration",
    isDefault: true
  },
  {
    scope: "online_access",
    meaning: "a refresh token that works while the user is online",
    group: "Duration",
    isDefault: false
  }
]

export const DEFAULT_SCOPES: ReadonlyArray<string> = SCOPE_CHOICES.filter(({ isDefault }) => isDefault).map((
  { scope }
) => scope)
