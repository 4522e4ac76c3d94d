/**
 * A server gets a new secret before or after the app does. In between, `previousSecret` is sent once after
 * `invalid_client`. A secret that is an `Effect` is read for each request, without a restart.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import { ClientAuthentication, SmartClient } from "effect-safire"
import { SandboxEhr } from "effect-safire/testing"

const oldSecret = Redacted.make("the secret of last year")
const newSecret = Redacted.make("the secret of this year")

export const rotateSecret = Effect.gen(function*() {
  // The secret in your vault.
  const vault = yield* Ref.make({ current: oldSecret, previous: oldSecret })
  // The secret at the server.
  let registered = oldSecret

  const SmartLive = SmartClient.layer({
    fhirBaseUrl: "https://ehr.sandbox.test/fhir",
    clientId: "population-report",
    scopes: ["system/*.rs"]
  }).pipe(
    Layer.provide(ClientAuthentication.layerClientSecretBasic({
      clientSecret: Effect.map(Ref.get(vault), ({ current }) => current),
      previousSecret: Effect.map(Ref.get(vault), ({ previous }) => previous)
    }))
  )
  const EhrLive = SandboxEhr.layerHttpClient({
    clients: [{
      clientId: "population-report",
      redirectUris: [],
      authentication: {
        method: "client_secret_basic",
        get secret() {
          return registered
        }
      },
      grantTypes: ["client_credentials"]
    }]
  })

  yield* Effect.gen(function*() {
    const client = yield* SmartClient.SmartClient
    const ehr = yield* SandboxEhr.SandboxEhr
    const renew = (when: string) =>
      Effect.gen(function*() {
        yield* ehr.clearRequests
        yield* client.clientCredentials()
        const answers = (yield* ehr.requests).filter(({ step }) => step === "token").map(({ status }) => status)
        yield* Console.log(`  ${when}: ${answers.join(", then ")}`)
      })
    yield* renew("before")
    yield* Ref.set(vault, { current: newSecret, previous: oldSecret })
    yield* renew("the app has the new secret, the server not yet")
    registered = newSecret
    yield* renew("both have it")
  }).pipe(Effect.provide(Layer.provideMerge(SmartLive, EhrLive)))
})
