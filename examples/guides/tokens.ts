import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { FhirClient, LaunchContext, Sessions, SmartClient, TokenSet } from "effect-safire"

/** A token response (RFC 6749, section 5.1) that another part of the system has received. */
export interface Received {
  readonly access_token: string
  readonly expires_in: number
  readonly scope: string
  readonly refresh_token?: string
  readonly patient?: string
}

export const toTokenSet = (received: Received, fhirBaseUrl: string) =>
  Effect.map(DateTime.now, (receivedAt) =>
    new TokenSet.TokenSet({
      version: 1,
      fhirBaseUrl,
      accessToken: Redacted.make(received.access_token),
      refreshToken: received.refresh_token === undefined ? undefined : Redacted.make(received.refresh_token),
      receivedAt,
      expiresAt: DateTime.addDuration(receivedAt, Duration.seconds(received.expires_in)),
      scopes: received.scope.split(" "),
      context: new LaunchContext.LaunchContext({ patient: received.patient }),
      extensions: Redacted.make({})
    }))

/** One request. The caller handles the expiry of the token. */
export const readOnce = (received: Received) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const fhir = yield* FhirClient.FhirClient
    const tokens = yield* toTokenSet(received, client.config.fhirBaseUrl)
    return yield* fhir.forTokens(client, tokens).patient()
  })

/** A session: `Sessions` renews the token from now on. */
export const importSession = (received: Received) =>
  Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const sessions = yield* Sessions.Sessions
    return yield* sessions.importTokens(yield* toTokenSet(received, client.config.fhirBaseUrl))
  })
