/**
 * What the examples of `docs/errors.md` and `docs/warnings.md` run in: one app, `growth-chart`, at one server, `north`,
 * that goes wrong.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import type { IdToken } from "effect-safire"
import {
  ClientAuthentication,
  FhirClient,
  HttpLimits,
  Jwks,
  OpenIdConfiguration,
  RetryPolicy,
  Sessions,
  SessionStore,
  SmartClient
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import * as OnDemand from "../../src/base/OnDemand.js"
import { LaunchContext } from "../../src/token/LaunchContext.js"
import { TokenSet } from "../../src/token/TokenSet.js"
import { fake, type FakeResponse } from "../support/http.js"
import { recorded } from "../support/warnings.js"

export const fhirBaseUrl = "https://ehr.example.org/fhir"
export const redirectUri = "https://app.example.org/callback"
export const clientId = "growth-chart"

/** What must never stand in a message. */
export const secrets = [
  "the-access-t0ken",
  "the-refresh-t0ken",
  "the-c0de",
  "the-client-s3cret",
  "the-launch-handle",
  "the-browser-c00kie",
  "the-session-1d"
]

/** The members of an error that programs use. */
export interface Met {
  readonly _tag: string
  readonly reason: string
  readonly message: string
  readonly isRetryable?: boolean | undefined
  readonly processed?: string | undefined
}

/** The error of a program that fails. */
export const met = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.orDieWith(Effect.flip(self), () => new Error("it succeeded"))

/**
 * Lets the test's clock run until the program is done. What it waits for may start late: cryptography is a matter of
 * the real world.
 */
export const patiently = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    while (Option.isNone(yield* Fiber.poll(fiber))) {
      yield* TestClock.adjust("1 minute")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
    return yield* Fiber.join(fiber)
  })

export const config: SmartClient.Config = {
  name: "north",
  fhirBaseUrl,
  clientId,
  redirectUri,
  scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
}

export const clients: ReadonlyArray<SandboxEhr.Client> = [
  { clientId, redirectUris: [redirectUri], authentication: { method: "none" } }
]

/** Examples show the first failure; warnings are looked at elsewhere. */
const settings = Layer.merge(RetryPolicy.layer(RetryPolicy.none), recorded().layer)

/** The app at a sandbox; its faults are the server's mistakes. */
export const atSandbox = (
  changes: Partial<SmartClient.Config> = {},
  options: SandboxEhr.Options = {},
  warnings: Layer.Layer<never> = Layer.empty
) =>
  Layer.mergeAll(
    Sessions.layerFromClient,
    FhirClient.layer
  ).pipe(
    Layer.provideMerge(SmartClient.layer({ ...config, ...changes })),
    Layer.provideMerge(SessionStore.layerMemory),
    Layer.provide(ClientAuthentication.layerPublic),
    Layer.provideMerge(SandboxEhr.layerHttpClient({ fhirBaseUrl, clients, ...options })),
    Layer.provide(warnings),
    Layer.provide(settings)
  )

/** Metadata that needs no request. */
export const metadata: NonNullable<SmartClient.Config["metadata"]> = {
  issuer: "https://ehr.example.org/auth",
  authorizationEndpoint: "https://ehr.example.org/auth/authorize",
  tokenEndpoint: "https://ehr.example.org/auth/token",
  jwksUri: "https://ehr.example.org/auth/jwks"
}

/** The app at a server that answers everything with `answer`. */
export const atServer = (
  answer: Parameters<typeof fake>[0],
  changes: Partial<SmartClient.Config> = {},
  limits: Layer.Layer<never> = Layer.empty
) =>
  Layer.mergeAll(
    SmartClient.layer({ ...config, metadata, ...changes }),
    FhirClient.layer,
    Jwks.layer(),
    OpenIdConfiguration.layer()
  ).pipe(
    Layer.provide(ClientAuthentication.layerPublic),
    Layer.provideMerge(fake(answer).layer),
    Layer.provide(limits),
    Layer.provide(settings)
  )

/** An `HttpClient` that answers everything with `answer`, under what else the examples hold to. */
export const http = (answer: () => FakeResponse): Layer.Layer<HttpClient.HttpClient> =>
  Layer.merge(fake(answer).layer, settings)

/** A page that cannot load a chunk. */
export const withoutChunks: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  OnDemand.Importer,
  () => Promise.reject(new TypeError("Failed to fetch"))
)

export const smallLimits = HttpLimits.layer({ maxResponseBytes: 1_000, maxFhirResponseBytes: 1_000 })

/** Tokens as a launch gave them. */
export const tokens = (changes: Partial<ConstructorParameters<typeof TokenSet>[0]> = {}): TokenSet =>
  new TokenSet({
    version: 1,
    fhirBaseUrl,
    accessToken: Redacted.make("the-access-t0ken"),
    refreshToken: Redacted.make("the-refresh-t0ken"),
    receivedAt: DateTime.unsafeMake(0),
    scopes: ["launch/patient", "patient/Observation.rs"],
    context: new LaunchContext({}),
    extensions: Redacted.make({}),
    ...changes
  })

/** A login at the sandbox, up to its tokens. `spoil` runs when the person has said yes. */
export const login = (spoil: (ehr: SandboxEhr.Service) => Effect.Effect<void> = () => Effect.void) =>
  Effect.gen(function*() {
    const ehr = yield* SandboxEhr.SandboxEhr
    const client = yield* SmartClient.SmartClient
    const { pending, url } = yield* client.authorize()
    const callback = yield* Effect.orDie(ehr.approve(url))
    yield* spoil(ehr)
    return yield* client.exchange(callback, pending)
  })

/** A fault of a step of the sandbox. */
export const fault = (step: Parameters<SandboxEhr.Service["fault"]>[0], what: SandboxEhr.Fault.Fault) =>
  Effect.flatMap(SandboxEhr.SandboxEhr, (ehr) => ehr.fault(step, what))

export type Policy = IdToken.Policy
