/**
 * The hospitals the app works with, as its operator would list them: who the app is at each, and what to call it.
 */
import type { SmartServers } from "effect-safire"
import type { KeyKind } from "./Keys.js"

/** How the app proves at a hospital that it is the app. */
export type ClientKind = "public" | "client_secret_basic" | "client_secret_post" | "private_key_jwt"

export interface Hospital {
  /** In sessions, spans and paths. */
  readonly key: string
  readonly name: string
  readonly about: string
  readonly kind: ClientKind
  /** With what it signs, where it does. */
  readonly signsWith?: KeyKind | undefined
  readonly server: SmartServers.Server
  /** Its own system, for people who work there. */
  readonly ehrUrl?: string | undefined
  /** What the app may ask for as itself, without a person; nothing where it is not registered for that. */
  readonly backendScopes?: ReadonlyArray<string> | undefined
}

/** What the app is called, to people and where it registers. */
export const APP_NAME = "Vital Lines"

/** What it may ask for as itself, without a person. */
export const BACKEND_SCOPES: ReadonlyArray<string> = ["system/Patient.rs"]

export const KIND_NAMES: Record<ClientKind, string> = {
  public: "public, without a credential",
  client_secret_basic: "confidential, a secret in the Authorization header",
  client_secret_post: "confidential, a secret in the form",
  private_key_jwt: "confidential, a signed assertion"
}

export const kindName = ({ kind, signsWith }: Pick<Hospital, "kind" | "signsWith">): string =>
  signsWith === undefined ? KIND_NAMES[kind] : `${KIND_NAMES[kind]} (${signsWith})`

/** Scopes to choose from at a launch, and what they mean. */
export interface Offered {
  readonly scope: string
  readonly meaning: string
  readonly group: "Who is there" | "Which record" | "What may be read" | "For how long"
  /** Whether it is asked for unless somebody says otherwise. */
  readonly usual: boolean
}

export const OFFERED: ReadonlyArray<Offered> = [
  { scope: "openid", meaning: "who logged in, as a signed id_token", group: "Who is there", usual: true },
  { scope: "fhirUser", meaning: "that person's own FHIR resource; needs openid", group: "Who is there", usual: true },
  { scope: "launch/patient", meaning: "the EHR asks for a patient to be chosen", group: "Which record", usual: true },
  {
    scope: "launch/encounter",
    meaning: "the EHR asks for an encounter to be chosen, too",
    group: "Which record",
    usual: false
  },
  {
    scope: "patient/*.rs",
    meaning: "read and search everything in the chosen patient's record",
    group: "What may be read",
    usual: true
  },
  { scope: "patient/Patient.rs", meaning: "demographics", group: "What may be read", usual: false },
  { scope: "patient/Observation.rs", meaning: "vital signs and results", group: "What may be read", usual: false },
  {
    scope: "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
    meaning: "vital signs alone, of all observations",
    group: "What may be read",
    usual: false
  },
  { scope: "patient/Condition.rs", meaning: "problems", group: "What may be read", usual: false },
  { scope: "patient/MedicationRequest.rs", meaning: "medication orders", group: "What may be read", usual: false },
  {
    scope: "patient/*.read",
    meaning: "the whole record, in the words of SMART 1",
    group: "What may be read",
    usual: false
  },
  {
    scope: "user/*.rs",
    meaning: "whatever the person who logged in may see",
    group: "What may be read",
    usual: false
  },
  {
    scope: "offline_access",
    meaning: "a refresh token that is good after the person has left",
    group: "For how long",
    usual: true
  },
  {
    scope: "online_access",
    meaning: "a refresh token for as long as the person is online",
    group: "For how long",
    usual: false
  }
]

export const USUAL_SCOPES: ReadonlyArray<string> = OFFERED.filter(({ usual }) => usual).map(({ scope }) => scope)
