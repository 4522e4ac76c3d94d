import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { ClientAssertion, ClientAuthentication, Sessions, SigningKeys, SmartServers } from "effect-safire"

const app = {
  redirectUri: "https://app.example.org/callback",
  scopes: ["openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access"]
}

/** A secret with special characters, at a server that decodes HTTP Basic. */
export const formEncodedSecret = Layer.unwrapEffect(
  Effect.map(
    Config.redacted("CLIENT_SECRET"),
    (clientSecret) => ClientAuthentication.layerClientSecretBasic({ clientSecret, encoding: "form" })
  )
)

/** The issuer as audience of the client assertion, and the `typ` of the revision of RFC 7523. */
export const strictAssertion = ClientAuthentication.layerPrivateKeyJwt({
  profile: ClientAssertion.strict("https://login.example.org")
}).pipe(Layer.provide(SigningKeys.layerConfig))

export const servers = SmartServers.layer({
  /** `aud` without the `/r4` of the FHIR base URL; id_tokens without a nonce. */
  clinic: {
    ...app,
    fhirBaseUrl: "https://clinic.example.org/fhir/r4",
    clientId: "growth-chart",
    audience: "https://clinic.example.org/fhir",
    idToken: { nonce: "optional" },
    authentication: ClientAuthentication.layerPublic
  },
  /** A server without `/.well-known/smart-configuration`. */
  practice: {
    ...app,
    fhirBaseUrl: "https://practice.example.org/fhir",
    clientId: "4711",
    issuer: "https://login.example.org",
    metadata: {
      authorizationEndpoint: "https://login.example.org/authorize",
      tokenEndpoint: "https://login.example.org/token"
    },
    authentication: ClientAuthentication.layerPublic
  }
})

/** Ask for consent, because this server gives a refresh token only then. */
export const login = (cookie: Redacted.Redacted) =>
  Effect.flatMap(
    Sessions.Sessions,
    (sessions) => sessions.startLaunch({ browserBinding: cookie, params: { prompt: "consent" } })
  )
