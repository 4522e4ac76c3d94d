import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import { ConfigurationError } from "../../src/base/ConfigurationError.js"
import * as ClientAuthentication from "../../src/client/ClientAuthentication.js"
import * as ClientAuthenticationConfig from "../../src/client/ClientAuthenticationConfig.js"
import { ClientMetadata } from "../../src/client/ClientMetadata.js"
import * as KeyRotation from "../../src/client/KeyRotation.js"
import * as RegisteredClient from "../../src/client/RegisteredClient.js"
import * as Registration from "../../src/client/Registration.js"
import * as SigningKey from "../../src/client/SigningKey.js"
import * as SigningKeys from "../../src/client/SigningKeys.js"
import * as Discovery from "../../src/server/Discovery.js"
import { encodings, leak } from "../support/canary.js"
import { ConnectionFailure, fake, type FakeResponse, json, type SentRequest } from "../support/http.js"
import { ec, jwk, pem, publicJwk, rsa } from "./keys.js"

/** All texts that a value is printed as. */
const shown = (value: unknown): string =>
  [
    inspect(value, { depth: 12, showHidden: true, getters: true }),
    JSON.stringify(value) ?? "",
    String(value),
    value instanceof Error ? `${value.message} ${value.stack} ${String(value.cause)}` : ""
  ].join("\n")

/** Keeps every log line, span and metric of what runs in it. */
const recorder = () => {
  const kept: Array<unknown> = []
  const logger = Logger.make(({ annotations, cause, message, spans }) => {
    kept.push(message, [...annotations], [...spans], Cause.pretty(cause))
  })
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      kept.push(name, attributes)
      return {
        _tag: "Span",
        name,
        parent,
        context,
        links,
        kind,
        spanId: "span",
        traceId: "trace",
        sampled: true,
        status: { _tag: "Started", startTime },
        attributes,
        attribute: (key, value) => void attributes.set(key, value),
        event: (name, _, attributes) => void kept.push(name, attributes),
        addLinks: () => undefined,
        end: (_, exit) => void kept.push(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "ok")
      }
    },
    context: (run) => run()
  })
  return {
    kept,
    record: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      effect.pipe(
        Effect.withTracer(tracer),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.All)
      )
  }
}

const secrets = {
  clientSecret: "canary-client-secret",
  previousSecret: "canary-previous-secret",
  initialToken: "canary-initial-token",
  registrationToken: "canary-registration-token",
  statement: "canary-software-statement"
}
const pair = ec()
const rsaPair = rsa()
const material = [pair, rsaPair].flatMap((pair) => {
  const { d, p } = jwk(pair)
  return [d, p].filter((value): value is string => typeof value === "string")
})
const pemBody = (key: Redacted.Redacted) => Redacted.value(key).split("\n")[2] ?? ""
const canaries = [...Object.values(secrets), ...material, pemBody(pem(pair)), pemBody(pem(rsaPair))]

const check = (values: ReadonlyArray<unknown>) => {
  for (const value of values) {
    const text = shown(value)
    assert.isUndefined(leak(text, canaries))
    assert.notMatch(text, /"?client_assertion"?[=:]|eyJhbGciOi/)
  }
}

const endpoint = "https://ehr.test/token"
const authenticate = (service: ClientAuthentication.Service) =>
  service.authenticate({ endpoint, clientId: "app", params: {} })

describe("[SMART-295] no secret of a client appears in errors, logs, spans or printed values", () => {
  it.effect("the secrets are in the values that are searched", () =>
    Effect.sync(() => {
      assert.strictEqual(canaries.length, 5 + 3 + 2)
      assert.throws(() => check([{ secret: secrets.clientSecret }]))
      assert.throws(() => check([new Error(`x ${material[0]}`)]))
    }))

  it.effect("authentication: services, failures, logs and spans", () =>
    Effect.gen(function*() {
      const { kept, record } = recorder()
      const clientSecret = Redacted.make(secrets.clientSecret)
      const previousSecret = Redacted.make(secrets.previousSecret)
      const basic = ClientAuthentication.makeClientSecretBasic({ clientSecret, previousSecret })
      const post = ClientAuthentication.makeClientSecretPost({ clientSecret, previousSecret })
      const failing = ClientAuthentication.makeClientSecretPost({
        clientSecret: Effect.fail(new ConfigurationError({ reason: "Missing", fields: ["vault"], detail: "sealed" }))
      })
      const keys = yield* Effect.provide(
        SigningKeys.SigningKeys,
        SigningKeys.layerPem({ pem: pem(pair) }, { pem: pem(rsaPair) })
      )
      const jwt = yield* Effect.provideService(
        ClientAuthentication.makePrivateKeyJwt(),
        SigningKeys.SigningKeys,
        keys
      )
      const body = (yield* record(authenticate(jwt))).body
      const results = yield* record(Effect.all([
        Effect.exit(authenticate(failing)),
        Effect.exit(Effect.asVoid(authenticate(basic))),
        Effect.exit(Effect.asVoid(authenticate(post))),
        Effect.exit(keys.sign({}, { algs: ["RS256"] })),
        Effect.exit(keys.sign({ a: 1 }))
      ]))
      check([basic, post, jwt, keys, body, ...results, yield* keys.publicJwks, ...kept])
    }))

  it.effect("keys: every form, every refusal", () =>
    Effect.gen(function*() {
      const { kept, record } = recorder()
      const make = {
        ...yield* Effect.all({
          pem: SigningKey.fromPem({ pem: pem(pair) }),
          jwk: SigningKey.fromJwk({ jwk: Redacted.make(jwk(rsaPair)) })
        })
      }
      const text = Redacted.value(pem(pair))
      const broken: ReadonlyArray<Redacted.Redacted<string | object>> = [
        Redacted.make({ ...jwk(pair), y: "AAAA" }),
        Redacted.make({ ...jwk(pair), kty: jwk(pair)["d"] }),
        Redacted.make({ ...jwk(pair), crv: jwk(pair)["d"] }),
        Redacted.make({ ...jwk(rsaPair), alg: jwk(rsaPair)["p"] }),
        Redacted.make({ ...jwk(rsaPair), use: jwk(rsaPair)["d"] }),
        Redacted.make({ ...jwk(rsaPair), qi: undefined }),
        Redacted.make({ ...publicJwk(ec()), d: jwk(pair)["d"] }),
        Redacted.make(JSON.stringify(jwk(pair)).slice(0, -1)),
        Redacted.make(JSON.stringify([jwk(pair)])),
        Redacted.make(text)
      ]
      const texts = [
        text.slice(0, 120),
        text.replace("PRIVATE", "RSA PRIVATE"),
        text.replaceAll("A", "?"),
        text.slice(40)
      ]
      const errors = yield* record(Effect.all([
        ...broken.map((jwk) => Effect.flip(SigningKey.fromJwk({ jwk }))),
        ...texts.map((text) => Effect.flip(SigningKey.fromPem({ pem: Redacted.make(text) })))
      ]))
      const rotation = yield* KeyRotation.make({ key: make.pem })
      const rotated = yield* record(rotation.rotate(make.jwk[0] as SigningKey.SigningKey))
      check([make, rotation, rotated, yield* rotation.publicJwks, ...errors, ...kept])
    }))

  it.effect("the environment: every kind, every mistake", () =>
    Effect.gen(function*() {
      const { kept, record } = recorder()
      const run = (entries: Readonly<Record<string, string>>) =>
        record(Effect.exit(Effect.provide(
          ClientAuthentication.ClientAuthentication,
          Layer.provide(
            ClientAuthenticationConfig.layer,
            Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries)), { pathDelim: "_" }))
          )
        )))
      const key = Redacted.value(pem(pair))
      const exits = yield* Effect.forEach([
        { SMART_CLIENT_SECRET: secrets.clientSecret },
        { SMART_PRIVATE_KEY: key },
        { SMART_PRIVATE_KEY: key, SMART_CLIENT_SECRET: secrets.clientSecret },
        { SMART_PRIVATE_KEY: key.slice(30) },
        { SMART_PRIVATE_KEY: key, SMART_JWKS_URI: "http://x" },
        { SMART_CLIENT_SECRET: secrets.clientSecret, SMART_KEY_ID: "k" },
        { SMART_CLIENT_SECRET: secrets.clientSecret, SMART_ALLOW_INSECURE_LOCALHOST: "perhaps" }
      ], run)
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, false, false, false, false, false])
      check([...exits, ...kept])
    }))

  it.effect("registration: responses and each failure", () =>
    Effect.gen(function*() {
      const { kept, record } = recorder()
      const known = new RegisteredClient.RegisteredClient({
        clientId: "id",
        clientSecret: Redacted.make(secrets.clientSecret),
        registrationAccessToken: Redacted.make(secrets.registrationToken),
        registrationClientUri: `https://ehr.test/register/id?token=${secrets.registrationToken}`,
        metadata: new ClientMetadata({ softwareStatement: Redacted.make(secrets.statement) }),
        changed: [],
        deviations: []
      })
      const given = {
        client_id: "id",
        client_secret: secrets.clientSecret,
        registration_access_token: secrets.registrationToken,
        software_statement: secrets.statement
      }
      const success = RegisteredClient.fromResponse(given, { requested: known.metadata })
      /** A server that repeats all it was sent, and what it made, in everything it says. */
      const echo = ({ body, headers, url }: SentRequest) => `${headers["authorization"]} ${body} ${url}`
      const everyEncoding = (seen: SentRequest) =>
        Object.values(encodings).map((encode) => encode(echo(seen))).join(" ")
      const answers: ReadonlyArray<(seen: SentRequest) => FakeResponse> = [
        ...Object.values(encodings).map((encode) => (seen: SentRequest) =>
          json({ error: encode(echo(seen)), error_description: encode(`x ${echo(seen)}`) }, { status: 400 })
        ),
        (seen) => json({ error: "x", error_description: everyEncoding(seen) }, { status: 400 }),
        (seen) => {
          const token = (seen.headers["authorization"] ?? "").slice("Bearer ".length)
          return new Response(null, { status: 307, headers: { location: `https://${token}.test/${token}/${token}` } })
        },
        () => json({ ...given, client_id: 7, client_name: secrets.clientSecret }, { status: 201 }),
        (seen) => json({ ...given, client_id: "", error: echo(seen) }),
        (seen) =>
          json({ error: "invalid_client_metadata", error_description: echo(seen), error_uri: echo(seen) }, {
            status: 400
          }),
        (seen) => json({ ...given, error: `${secrets.clientSecret} ${echo(seen)}` }, { status: 401 }),
        (seen) => new Response(echo(seen), { status: 500 }),
        (seen) => new Response(echo(seen)),
        (seen) =>
          new Response(null, { status: 307, headers: { location: `https://y/?${encodeURIComponent(echo(seen))}` } }),
        () => new ConnectionFailure("ECONNRESET")
      ]
      const outcomes = yield* Effect.forEach(answers, (answer) => {
        const http = fake(answer)
        return record(Effect.gen(function*() {
          const service = yield* Registration.Registration
          const initialAccessToken = Redacted.make(secrets.initialToken)
          const calls = Effect.all([
            Effect.flip(
              service.register(known.metadata, { endpoint: "https://ehr.test/register", initialAccessToken })
            ),
            Effect.flip(service.register(known.metadata, {
              endpoint: `http://user:${secrets.initialToken}@ehr.test/?q=${secrets.initialToken}`,
              initialAccessToken
            })),
            Effect.flip(service.read(known)),
            Effect.flip(service.update(known, known.metadata)),
            Effect.exit(service.remove(known))
          ])
          const fiber = yield* Effect.fork(calls)
          yield* TestClock.adjust("1 hour")
          return yield* Fiber.join(fiber)
        })).pipe(
          Effect.provide(Registration.layer.pipe(
            Layer.provide(Discovery.layer()),
            Layer.provide(Layer.succeed(HttpClient.HttpClient, http.client))
          ))
        )
      })
      assert.strictEqual(outcomes.flat().length, answers.length * 5)
      check([success, ...outcomes.flat(), ...kept])
      check([yield* Metric.snapshot])
    }))
})
