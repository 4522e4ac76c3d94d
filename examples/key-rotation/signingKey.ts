/**
 * The new key is published. It signs when all servers have it. The old one stays published until its last assertion has
 * expired.
 *
 * `KeyRotation` does this by the clock. The times are seconds here, to be visible. An app sets the `max-age` of its
 * JWKS (minutes or hours), and does not change the lifetime of assertions.
 */
import { createServer } from "node:http"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { ClientAuthentication, KeyRotation, SigningKey, SigningKeys, SmartClient } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import * as jose from "jose"
import * as Sandbox from "../support/sandbox.js"

const maxAge = "1 second"
const assertionLifetime = "3 seconds"

/** With a key management service use `SigningKey.fromSigner`, with a file `SigningKey.fromPem`. */
const newKey = (kid: string) =>
  Effect.flatMap(
    Effect.promise(() => jose.generateKeyPair("ES384")),
    (pair) => SigningKey.fromCryptoKey({ ...pair, kid })
  )

/**
 * The JWKS: read for each response, and cached for no longer than the rotation waits.
 */
const jwks = HttpRouter.empty.pipe(
  HttpRouter.get(
    "/jwks.json",
    Effect.gen(function*() {
      const { maxAge, publicJwks } = yield* KeyRotation.KeyRotation
      const headers = { "cache-control": `max-age=${Duration.toSeconds(maxAge)}` }
      return yield* HttpServerResponse.json(yield* publicJwks, { headers })
    })
  )
)

/** Requests five tokens a second with new assertions, and prints the state of the keys, until the old key is gone. */
const tokensAllTheWhile = Effect.gen(function*() {
  const client = yield* SmartClient.SmartClient
  const rotation = yield* KeyRotation.KeyRotation
  const step = Effect.gen(function*() {
    yield* client.clientCredentials()
    const { signing } = yield* rotation.state
    const { keys } = yield* rotation.publicJwks
    return { signing, published: keys.map(({ kid }) => kid).join(" and ") }
  })
  const tokens = Stream.repeatEffectWithSchedule(step, Schedule.spaced("200 millis")).pipe(
    Stream.takeUntil(({ published }) => published === "new")
  )
  return yield* tokens.pipe(
    Stream.mapAccum("", (last, { published, signing }) => {
      const line = `  signed with ${signing}, published: ${published}`
      return [line, line === last ? [] : [line]]
    }),
    Stream.tap((lines) => Effect.forEach(lines, (line) => Console.log(line))),
    Stream.runCount
  )
})

export const rotateSigningKey = Effect.gen(function*() {
  const jwksUri = yield* HttpServer.addressFormattedWith((address) => Effect.succeed(`${address}/jwks.json`))
  const ehr = yield* Sandbox.start({
    clients: [{
      clientId: "population-report",
      redirectUris: [],
      authentication: { method: "private_key_jwt", jwksUri },
      grantTypes: ["client_credentials"]
    }],
    httpClient: yield* HttpClient.HttpClient
  })
  const rotation = yield* KeyRotation.KeyRotation
  yield* rotation.rotate(yield* newKey("new")).pipe(Effect.delay("700 millis"), Effect.fork)

  const count = yield* tokensAllTheWhile.pipe(
    Effect.provide(SmartClient.layer({
      fhirBaseUrl: ehr.fhirBaseUrl,
      clientId: "population-report",
      scopes: ["system/*.rs"],
      allowInsecureLocalhost: true
    })),
    Effect.provide(
      ClientAuthentication.layerPrivateKeyJwt({ jwksUri, lifetime: assertionLifetime, allowInsecureLocalhost: true })
    )
  )
  const refused = (yield* ehr.requests).filter(({ status, step }) => step === "token" && status !== 200)
  yield* Console.log(`  ${count} tokens, ${refused.length} refused`)
}).pipe(
  Effect.scoped,
  Effect.provide(
    HttpServer.serve(jwks).pipe(
      Layer.provideMerge(Layer.unwrapEffect(
        Effect.map(newKey("old"), (key) => SigningKeys.layerRotating({ key, maxAge, assertionLifetime }))
      )),
      Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
      Layer.merge(NodeTransport.layer())
    )
  ),
  Logger.withMinimumLogLevel(LogLevel.Warning)
)
