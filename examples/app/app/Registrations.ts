/**
 * Dynamic registration at hospitals where the app is not registered yet: by RFC 7591, or with a certificate (UDAP). A
 * registered hospital is added to the registry of servers. The credentials are in memory here; store them with your
 * secrets.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigurationError, DiscoveryError, RegistrationError, SessionStore } from "effect-safire"
import { ClientMetadata, RegisteredClient, Registration, SigningKeys, SmartServers } from "effect-safire"
import type { ClientCertificate, TrustPolicy } from "effect-safire/udap"
import { UdapAuthentication, UdapRegistration } from "effect-safire/udap"
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
  /** For a hospital in a trust community. */
  readonly udap?: Operator | undefined
}

/** The credentials of the app's operator in a trust community. */
export interface Operator {
  readonly community: string
  readonly certificate: ClientCertificate.ClientCertificate
  readonly trust: TrustPolicy.Options
}

/** The URI of the app in its certificates. */
export const CLIENT_URI = "https://vital-lines.example.org/udap"

export type Failure = RegistrationError | DiscoveryError | ConfigurationError | UdapRegistration.Failure

/** A registration of the app. */
export type Registered =
  | { readonly _tag: "Smart"; readonly client: RegisteredClient.RegisteredClient }
  | { readonly _tag: "Udap"; readonly app: UdapRegistration.RegisteredApp; readonly operator: Operator }

export interface Service {
  readonly prospects: ReadonlyArray<Prospect>
  readonly registered: (key: string) => Effect.Effect<Registered | undefined>
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
    // Not in RFC 7591: an EHR needs it to launch the app.
    extensions: { launch_uris: [web.origin + web.paths.launch] }
  })

const insecure = { allowInsecureLocalhost: true }

export const layer = (
  prospects: ReadonlyArray<Prospect>
): Layer.Layer<
  Registrations,
  never,
  | Hospitals
  | HttpClient.HttpClient
  | Registration.Registration
  | SessionStore.SessionStore
  | SigningKeys.SigningKeys
  | SmartServers.SmartServers
  | WebApp.WebApp
> =>
  Layer.scoped(
    Registrations,
    Effect.gen(function*() {
      const hospitals = yield* Hospitals
      const registration = yield* Registration.Registration
      const servers = yield* SmartServers.SmartServers
      const signingKeys = yield* SigningKeys.SigningKeys
      const web = yield* WebApp.WebApp
      const dependencies = yield* Effect.context<HttpClient.HttpClient | SessionStore.SessionStore>()
      const known = new Map<string, Registered>()
      const scope = yield* Effect.scope
      const oneAtATime = yield* Effect.makeSemaphore(1)

      /** The services of a community, and the registration that the app requests. */
      const atCommunity = ({ fhirBaseUrl, key }: Prospect, operator: Operator) =>
        Effect.gen(function*() {
          const { certificate, community, trust } = operator
          const services = yield* Layer.buildWithScope(UdapAuthentication.layerDependencies(trust), scope)
          const metadata = {
            clientName: APP_NAME,
            contacts: ["mailto:operations@vital-lines.example.org"],
            logoUri: `${web.origin}/logo.png`,
            grantTypes: ["authorization_code", "refresh_token"] as const,
            redirectUris: [redirectUriAt(key, web)],
            scopes: DEFAULT_SCOPES
          }
          const request: UdapRegistration.Request = { fhirBaseUrl, community, certificate, metadata, ...insecure }
          return { services, metadata, request }
        }).pipe(Effect.provide(dependencies))

      const registerUdap = (prospect: Prospect, operator: Operator) =>
        Effect.gen(function*() {
          const { about, fhirBaseUrl, key, name } = prospect
          const { metadata, request, services } = yield* atCommunity(prospect, operator)
          const { certificate, community } = operator
          const { app, authentication } = yield* Effect.gen(function*() {
            const registration = yield* UdapRegistration.UdapRegistration
            return {
              app: yield* registration.current(request),
              authentication: yield* UdapAuthentication.make({ ...metadata, community, certificate })
            }
          }).pipe(Effect.provide(services))
          const server = {
            fhirBaseUrl,
            redirectUri: redirectUriAt(key, web),
            scopes: DEFAULT_SCOPES,
            authentication,
            ...insecure
          }
          yield* servers.add(key, server)
          known.set(key, { _tag: "Udap", app, operator })
          yield* hospitals.add({ key, name, about, kind: "udap", server, ehrUrl: `${new URL(fhirBaseUrl).origin}/` })
        })

      const register = (prospect: Prospect, kind: ClientKind) =>
        Effect.gen(function*() {
          if (known.has(prospect.key)) return
          if (prospect.udap !== undefined) return yield* registerUdap(prospect, prospect.udap)
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
          known.set(key, { _tag: "Smart", client: given })
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
          const prospect = prospects.find((one) => one.key === key)
          if (given._tag === "Smart") yield* registration.remove(given.client, insecure)
          else if (prospect !== undefined) {
            const { request, services } = yield* atCommunity(prospect, given.operator)
            yield* Effect.flatMap(UdapRegistration.UdapRegistration, ({ cancel }) => cancel(request)).pipe(
              Effect.provide(services)
            )
          }
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
