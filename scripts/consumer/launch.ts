/**
 * A strict program of a user: `scripts/consumer.mjs` compiles it against the packed library and runs it under plain
 * Node. Its types prove that the published declarations say something; its launch proves that the published modules
 * run.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Safire from "effect-safire"
import type { SmartConfiguration, TokenSet } from "effect-safire"
import { ClientAuthentication, FhirClient, Sessions, SessionStore, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

type IsAny<T> = 0 extends 1 & T ? true : false
type IsNever<T> = [T] extends [never] ? true : false

/** Compiles only with arguments that are `true`. */
type Assert<T extends true> = T

/** True for types other than `any` and `never`, which a broken declaration has. */
type Declared<T> = IsAny<T> extends true ? false : IsNever<T> extends true ? false : true

/** Holds for a union of words; `any` and `string` would make no `switch` over it exhaustive. */
type Closed<T> = Declared<T> extends true ? string extends T ? false : true : false

type Namespaces = typeof Safire
type AnyNamespace = { [N in keyof Namespaces]: IsAny<Namespaces[N]> extends true ? N : never }[keyof Namespaces]
type AnyValue = {
  [N in keyof Namespaces]: {
    [V in keyof Namespaces[N]]: IsAny<Namespaces[N][V]> extends true ? [N, V] : never
  }[keyof Namespaces[N]]
}[keyof Namespaces]

/** The reasons of an error class that is exported by its own name. */
type ReasonOf<C> = C extends abstract new(...args: never) => { readonly _tag: string; readonly reason: infer R } ? R
  : "has no reason"
type OpenReason = { [N in keyof Namespaces]: Closed<ReasonOf<Namespaces[N]>> extends true ? never : N }[
  keyof Namespaces
]

type Read = FhirClient.ResourceOf<"R4", "Patient">
type Tokens = Effect.Effect.Success<ReturnType<Sessions.Service["tokens"]>>

export type Assertions = [
  Assert<IsNever<AnyNamespace>>,
  Assert<IsNever<AnyValue>>,
  Assert<IsNever<OpenReason>>,
  Assert<Closed<Safire.TokenError["reason"]>>,
  Assert<Declared<FhirClient.Resource>>,
  Assert<Declared<Read>>,
  Assert<Declared<FhirClient.Resource["resourceType"]>>,
  // A member of unknown type must be checked before its use.
  Assert<unknown extends FhirClient.Resource["name"] ? true : false>,
  Assert<IsAny<FhirClient.Resource["name"]> extends true ? false : true>,
  Assert<Declared<FhirClient.Service>>,
  Assert<Declared<TokenSet.TokenSet>>,
  Assert<Declared<TokenSet.TokenSet["accessToken"]>>,
  Assert<Declared<TokenSet.TokenSet["context"]["patient"]>>,
  Assert<Declared<Tokens>>,
  Assert<Declared<Sessions.Session>>,
  Assert<Declared<Sessions.SessionId>>,
  Assert<Declared<Sessions.SessionFailure>>,
  Assert<Declared<SmartClient.Config>>,
  Assert<Declared<SmartClient.Service>>,
  Assert<Declared<SmartConfiguration.SmartConfiguration["tokenEndpoint"]>>
]

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.sandbox.test/fhir",
  clientId: "sandbox-public-app",
  redirectUri: "https://app.sandbox.test/callback",
  scopes: ["launch/patient", "patient/*.rs"]
}

const Live = Layer.mergeAll(Layer.provide(Sessions.layerFromClient, SessionStore.layerMemory), FhirClient.layer).pipe(
  Layer.provide(SmartClient.layer(config)),
  Layer.provide(ClientAuthentication.layerPublic),
  Layer.provideMerge(SandboxEhr.layerHttpClient())
)

const launch = Effect.gen(function*() {
  const ehr = yield* SandboxEhr.SandboxEhr
  const sessions = yield* Sessions.Sessions
  const fhir = yield* FhirClient.FhirClient
  const { url } = yield* sessions.startLaunch()
  const session = yield* sessions.completeLaunch(yield* ehr.approve(url, { patient: "patient-beta" }))
  return yield* fhir.forSession(session).read("Patient", "patient-beta")
})

const patient = await Effect.runPromise(Effect.provide(launch, Live))
if (patient.resourceType !== "Patient" || patient["id"] !== "patient-beta") {
  throw new Error(`The launch read ${patient.resourceType} instead of the patient`)
}
