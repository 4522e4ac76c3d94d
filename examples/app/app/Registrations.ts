/**
 * Dynamic registration (RFC 7591) at hospitals where the app is not registered yet. A registered hospital is added to
 * the registry of servers. The credentials are in memory here; store them with your secrets.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigurationError, DiscoveryError, RegistrationError } from "effect-safire"
import { ClientMetadata, RegisteredClient, Registration, SigningKeys, SmartServers } from "effect-safire"
import { WebApp } from "effect-safire/web"
import type { ClientKind } from "./Hospital.js"
import { APP_NAME, BACKEND_SCOPES, DEFAULT_SCOPES } from "./Hospital.js"
import { Hospitals } from "./Hospitals.js"
import { JWKS_PATH } from "./Keys.js"

/** A hospital with dynamic registration. */
export interface Prospect {
  readonly key: string
  readonly name: string
  readonly about: string
  readonly fhirBaseUrl: string
}

export type Failure = RegistrationError | DiscoveryError | ConfigurationError

export interface Service {
  readonly prospects: ReadonlyArray<Prospect>
  readonly registered: (key: string) => Effect.Effect<RegisteredClient.RegisteredClient | undefined>
  /** Does nothing if the app is registered already. */
  readonly register: (prospect: Prospect, kind: ClientKind) => Effect.Effect<void, Failure>
  readonly remove: (key: string) => Effect.Effect<void, Failure>
}

export class Registrations extends Context.Tag("examples/app/Registrations")<Registrations, Service>() {}

export const METHODS = ["public", "client_secret_basic", "private_key_jwt"] as const

/** Each hospital has its own redirect URI, so that callbacks of two hospitals cannot mix. */
const redirectUriAt = (key: string, web: WebApp.Service): string => `${web.callbackUrl}/${key}`

const metadataOf = (key: string, kind: ClientKind, web: WebApp.Service): ClientMetadata.ClientMetadata =>
  new ClientMetadata.ClientMetadata({
    clientName: APP_NAME,
    redirectUris: [redirectUriAt(key, web)],
    grantTypes: ["authorization_code", "refresh_token", ...(kind === "public" ? [] : ["client_credentials"])],
    responseTypes: ["code"],
    tokenEndpointAuthMethod: kind === "public" ? "none" : kind,
    scope: [...DEFAULT_SCOPES, ...(kind === "public" ? [] : BACKEND_SCOPES)].join(" "),
    ...(kind === "private_key_jwt" ? { jwksUri: `${web.origin}${JWKS_PATH}` } : {}),
    // Not of RFC 7591, but what an EHR needs to launch the app.
    extensions: { launch_uris: [web.origin + web.paths.launch] }
  })

const insecure = { allowInsecureLocalhost: true }

export const layer = (
  prospects: ReadonlyArray<Prospect>
): Layer.Layer<
  Registrations,
  never,
  Hospitals | Registration.Registration | SigningKeys.SigningKeys | SmartServers.SmartServers | WebApp.WebApp
> =>
  Layer.effect(
    Registrations,
    Effect.gen(function*() {
      const hospitals = yield* Hospitals
      const registration = yield* Registration.Registration
      const servers = yield* SmartServers.SmartServers
      const signingKeys = yield* SigningKeys.SigningKeys
      const web = yield* WebApp.WebApp
      const known = new Map<string, RegisteredClient.RegisteredClient>()
      const oneAtATime = yield* Effect.makeSemaphore(1)

      const register = (prospect: Prospect, kind: ClientKind) =>
        Effect.gen(function*() {
          if (known.has(prospect.key)) return
          const { fhirBaseUrl, key } = prospect
          const given = yield* registration.register(metadataOf(key, kind, web), { fhirBaseUrl, ...insecure })
          const client = yield* RegisteredClient.toClient(given, {
            signingKeys,
            jwksUri: `${web.origin}${JWKS_PATH}`,
            ...insecure
          })
          const redirectUri = redirectUriAt(key, web)
          const server = { ...client, fhirBaseUrl, redirectUri, scopes: DEFAULT_SCOPES, ...insecure }
          yield* servers.add(key, server)
          // The metadata may change after the registration.
          yield* Effect.ignore(servers.invalidate(key))
          known.set(key, given)
          yield* hospitals.add({
            key,
            name: prospect.name,
            about: prospect.about,
            kind,
            server,
            ehrUrl: `${new URL(fhirBaseUrl).origin}/`,
            backendScopes: kind === "public" ? undefined : BACKEND_SCOPES
          })
        })

      const remove = (key: string) =>
        Effect.gen(function*() {
          const given = known.get(key)
          if (given === undefined) return
          yield* registration.remove(given, insecure)
          known.delete(key)
          yield* hospitals.remove(key)
          yield* servers.remove(key)
        })

      return {
        prospects,
        registered: (key) => Effect.sync(() => known.get(key)),
        register: (prospect, kind) => oneAtATime.withPermits(1)(register(prospect, kind)),
        remove: (key) => oneAtATime.withPermits(1)(remove(key))
      }
    })
  )
