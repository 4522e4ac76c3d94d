/**
 * FHIR requests over answers that are written down, or over the sandbox.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import {
  BackendServices,
  ClientAuthentication,
  FhirClient,
  LaunchContext,
  RateLimit,
  RetryPolicy,
  SmartClient,
  TokenSet
} from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"
import type * as Http from "../support/http.js"

export const base = "https://ehr.example/fhir"
export const token = "the-access-t0ken"

export const tokensWith = (changes: Partial<ConstructorParameters<typeof TokenSet.TokenSet>[0]> = {}) =>
  new TokenSet.TokenSet({
    version: 1,
    accessToken: Redacted.make(token),
    receivedAt: DateTime.unsafeMake(0),
    scopes: ["patient/*.rs"],
    context: new LaunchContext.LaunchContext({}),
    extensions: Redacted.make({}),
    ...changes
  })

export interface Settings extends FhirClient.RequestOptions {
  readonly fhirBaseUrl?: string | undefined
  readonly tokens?: TokenSet.TokenSet | undefined
  readonly retry?: RetryPolicy.Policy | undefined
  readonly rateLimit?: RateLimit.Options | undefined
}

/** Requests with one fixed token, over any client, for as long as the scope is open. */
export const over = (http: Layer.Layer<HttpClient.HttpClient>, settings: Settings = {}) =>
  Layer.build(
    Layer.merge(
      FhirClient.layer,
      SmartClient.layer({
        fhirBaseUrl: settings.fhirBaseUrl ?? base,
        clientId: "app",
        allowInsecureLocalhost: settings.fhirBaseUrl !== undefined
      })
    ).pipe(
      Layer.provide([
        http,
        ClientAuthentication.layerPublic,
        RetryPolicy.layer(settings.retry ?? RetryPolicy.none),
        settings.rateLimit === undefined ? Layer.empty : RateLimit.layer(settings.rateLimit)
      ])
    )
  ).pipe(
    Effect.map((context) =>
      Context.get(context, FhirClient.FhirClient).forTokens(
        Context.get(context, SmartClient.SmartClient),
        settings.tokens ?? tokensWith(),
        settings
      )
    )
  )

export const written = (http: Http.Fake, settings: Settings = {}) => Effect.scoped(over(http.layer, settings))

/** A backend service at the sandbox. */
export const backend = (options: SandboxEhr.Options = {}, scopes: ReadonlyArray<string> = ["system/*.cruds"]) =>
  Layer.merge(FhirClient.layer, BackendServices.layerFromClient).pipe(
    Layer.provideMerge(
      SmartClient.layer({ fhirBaseUrl: "https://ehr.sandbox.test/fhir", clientId: "sandbox-backend", scopes })
    ),
    Layer.provide(ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })),
    Layer.provide(RetryPolicy.layer(RetryPolicy.none)),
    Layer.provideMerge(SandboxEhr.layerHttpClient(options))
  )

export const sandbox = Effect.map(FhirClient.FhirClient, (fhir) => fhir.forBackend())
