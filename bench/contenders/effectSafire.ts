/**
 * This library as in an app: layers are built once, the work runs in fibers.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  ClientAuthentication,
  Discovery,
  FhirClient,
  IdToken,
  Jwks,
  Sessions,
  SessionStore,
  SigningKeys,
  SmartServers,
  TokenSet
} from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import type { ContenderModule, Filler, Work } from "../harness/Contender.js"
import { SERVERS } from "../harness/growthSizes.js"
import { NONCE, signedIdToken } from "../harness/idToken.js"
import type { Setting } from "../harness/Setting.js"
import * as Transaction from "../harness/transaction.js"
import * as ExchangeByHand from "./exchangeByHand.js"

const transportOf = async (variant: string): Promise<Layer.Layer<HttpClient.HttpClient>> => {
  switch (variant) {
    case "undici":
    case "bare-undici":
      return (await import("@effect/platform-node/NodeHttpClient")).layerUndici
    case "fetch":
    case "bare-fetch":
      return FetchHttpClient.layer
    default:
      return NodeTransport.layer()
  }
}

const authenticationWith = (key: object) =>
  ClientAuthentication.makePrivateKeyJwt().pipe(
    Effect.provide(SigningKeys.layerJwk({ jwk: Redacted.make(key) }))
  )

const services = (setting: Setting, transport: Layer.Layer<HttpClient.HttpClient>) => {
  const { clientId, fhirBaseUrl, redirectUri, scopes } = setting
  const app = { fhirBaseUrl, clientId, redirectUri, scopes, allowInsecureLocalhost: true }
  const servers = SmartServers.layer({
    public: { ...app, authentication: ClientAuthentication.makePublic },
    basic: {
      ...app,
      authentication: ClientAuthentication.makeClientSecretBasic({
        clientSecret: Redacted.make(setting.clientSecret)
      })
    },
    backend: {
      ...app,
      fhirBaseUrl: setting.backendBaseUrl,
      authentication: Layer.effect(
        ClientAuthentication.ClientAuthentication,
        authenticationWith(setting.keys.RS384)
      )
    }
  })
  return Sessions.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(
      servers,
      SessionStore.layerMemory,
      FhirClient.layer,
      Discovery.layer(),
      Jwks.layer(),
      IdToken.layer()
    )),
    Layer.provideMerge(transport)
  )
}

type Services = Layer.Layer.Success<ReturnType<typeof services>>

type Operation = Effect.Effect<unknown, unknown, Services>

/** Runs `concurrency` fibers, each of which repeats the work. */
const looping =
  <R>(run: (loop: Effect.Effect<number, unknown, R>) => Promise<number>) =>
  (operation: Effect.Effect<unknown, unknown, R>): Work => ({
    loop: (concurrency, deadline) =>
      run(Effect.suspend(() => {
        let operations = 0
        const one = Effect.whileLoop({
          while: () => performance.now() < deadline,
          body: () => operation,
          step: () => {
            operations++
          }
        })
        const all = Effect.replicateEffect(one, concurrency, { concurrency: "unbounded", discard: true })
        return Effect.map(all, () => operations)
      }))
  })

const isBare = (variant: string) => variant.startsWith("bare")

const traced = (variant: string) => Effect.withTracerEnabled(variant !== "node-untraced" && !isBare(variant))

const expired = (tokens: TokenSet.TokenSet) =>
  new TokenSet.TokenSet({
    ...tokens,
    receivedAt: DateTime.unsafeMake(Date.now() - 7_200_000),
    expiresAt: DateTime.unsafeMake(Date.now() - 3_600_000)
  })

/** The transport without the rest of this library. */
const bareWorks = (setting: Setting) =>
  Effect.map(HttpClient.HttpClient, (client) => {
    const json = (request: HttpClientRequest.HttpClientRequest) =>
      Effect.flatMap(client.execute(request), (response) =>
        response.status === 200 ? response.json : Effect.dieMessage(`status ${response.status}`))
    const patient = `${setting.fhirBaseUrl}/Patient/${setting.patientId}`
    const bearer = { authorization: `Bearer ${setting.accessToken}`, accept: "application/fhir+json" }
    const entries = Transaction.requests(setting)
    const form = new URLSearchParams({
      grant_type: "authorization_code",
      code: setting.code,
      redirect_uri: setting.redirectUri,
      code_verifier: "v".repeat(43),
      client_id: setting.clientId
    })
    return {
      "fhir-get": Effect.suspend(() =>
        json(HttpClientRequest.get(patient, { headers: bearer }))
      ),
      "exchange-public": Effect.suspend(() =>
        json(HttpClientRequest.post(setting.tokenEndpoint, {
          acceptJson: true,
          body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded")
        }))
      ),
      "discovery-cold": Effect.suspend(() =>
        json(HttpClientRequest.get(`${setting.fhirBaseUrl}/.well-known/smart-configuration`, { acceptJson: true }))
      ),
      "fhir-transaction": Effect.suspend(() =>
        json(HttpClientRequest.post(setting.fhirBaseUrl, {
          headers: bearer,
          body: HttpBody.text(Transaction.encode(entries), "application/fhir+json")
        }))
      )
    }
  })

/**
 * The floor of the stampede: fibers that wait for the result of one token request, and nothing else. Each is started as
 * in the row.
 */
const bareStampede = (setting: Setting) =>
  Effect.map(HttpClient.HttpClient, (client) => (callers: number) =>
    Effect.gen(function*() {
      const waiting: Array<(tokens: Effect.Effect<unknown>) => void> = []
      const caller = Effect.async<unknown>((resume) => void waiting.push(resume))
      const runtime = yield* Effect.runtime<never>()
      const all = Promise.all(Array.from({ length: callers }, () => Runtime.runPromise(runtime)(caller)))
      const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: "refresh-token-0123456789abcdef" })
      const response = yield* client.execute(HttpClientRequest.post(setting.tokenEndpoint, {
        acceptJson: true,
        body: HttpBody.text(form.toString(), "application/x-www-form-urlencoded")
      }))
      const tokens = Effect.succeed(yield* response.json)
      for (const resume of waiting) resume(tokens)
      yield* Effect.promise(() => all)
    }))

const DIFFERENT_SERVERS = 512

const works = (setting: Setting, variant: string) =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const sessions = yield* Sessions.Sessions
    const discovery = yield* Discovery.Discovery
    const fhir = yield* FhirClient.FhirClient
    const jwks = yield* Jwks.Jwks
    const idTokens = yield* IdToken.IdToken
    const app = yield* servers.client("public")
    const confidential = yield* servers.client("basic")
    const backend = yield* servers.client("backend")

    const { pending } = yield* app.authorize()
    const callback = `${setting.redirectUri}?code=${setting.code}&state=${Redacted.value(pending.state)}`
    const exchangeByHand = ExchangeByHand.make(yield* HttpClient.HttpClient, setting.clientId)
    const { pending: pendingBasic } = yield* confidential.authorize()
    const callbackBasic = `${setting.redirectUri}?code=${setting.code}&state=${Redacted.value(pendingBasic.state)}`
    const tokens = yield* app.exchange(callback, pending)
    const session = yield* sessions.importTokens(tokens, { server: "public" })
    const patients = fhir.forSession(session)

    const authorizationServer = { endpoint: setting.backendTokenEndpoint, clientId: setting.clientId, params: {} }
    const rs384 = yield* authenticationWith(setting.keys.RS384)
    const es384 = yield* authenticationWith(setting.keys.ES384)
    const transaction = Transaction.requests(setting)
    let next = 0
    const insecure = { allowInsecureLocalhost: true }
    const idToken = Redacted.make(yield* Effect.promise(() => signedIdToken(setting)))
    const idTokenRequest: IdToken.Request = {
      ...insecure,
      server: "public",
      configuration: yield* app.configuration,
      clientId: setting.clientId,
      nonce: Redacted.make(NONCE)
    }
    const keyHeader = { alg: "RS384", kid: setting.keys.RS384.kid }
    return {
      operations: {
        "authorization-url": app.authorize(),
        // Concurrent callers for one server share a request, so each caller uses another server.
        "discovery-cold": Effect.suspend(() =>
          discovery.refresh(`${setting.origin}/${next++ % DIFFERENT_SERVERS}/fhir`, insecure)
        ),
        "discovery-warm": discovery.configuration(setting.fhirBaseUrl, insecure),
        "exchange-public": variant === "by-hand"
          ? exchangeByHand(callback, pending)
          : app.exchange(callback, pending),
        "exchange-basic": confidential.exchange(callbackBasic, pendingBasic),
        "assertion-RS384": rs384.authenticate(authorizationServer),
        "assertion-ES384": es384.authenticate(authorizationServer),
        "client-credentials": backend.clientCredentials(),
        "jwks-cold": Effect.suspend(() => {
          const uri = `${setting.origin}/${next++ % DIFFERENT_SERVERS}/jwks`
          return Effect.zipRight(jwks.invalidate(uri), jwks.find(uri, keyHeader, insecure))
        }),
        "id-token": idTokens.verify(idToken, idTokenRequest),
        "fresh-token": sessions.accessToken(session),
        "fhir-transaction": patients.transaction(transaction),
        "fhir-get": patients.read("Patient", setting.patientId),
        "fhir-search": Stream.runCount(patients.search("Observation"))
      },
      /**
       * The number of concurrent callers for the token of an expired session. Each is a fiber of its own, as a server
       * starts one for each request: `Effect.forEach` takes longer than all that its fibers do.
       */
      stampede: (callers: number) =>
        Effect.gen(function*() {
          const session = yield* sessions.importTokens(expired(tokens), { server: "public" })
          const asking = sessions.accessToken(session)
          const runtime = yield* Effect.runtime<never>()
          yield* Effect.promise(() =>
            Promise.all(Array.from({ length: callers }, () => Runtime.runPromise(runtime)(asking)))
          )
        })
    }
  })

export const make: ContenderModule["make"] = async (setting, variant) => {
  const transport = await transportOf(variant)
  if (isBare(variant)) {
    const runtime = ManagedRuntime.make(transport)
    const loop = looping<never>((effect) => runtime.runPromise(traced(variant)(effect)))
    const stampede = await runtime.runPromise(bareStampede(setting))
    return {
      ...Object.fromEntries(
        Object.entries(await runtime.runPromise(bareWorks(setting))).map(([name, operation]) => [name, loop(operation)])
      ),
      stampede: repeated((callers) => runtime.runPromise(traced(variant)(stampede(callers))))
    }
  }
  const runtime = ManagedRuntime.make(services(setting, transport))
  const provided = await runtime.runPromise(
    works(setting, variant).pipe(
      Effect.map(({ operations, stampede }) => ({
        stampede,
        operations: Object.entries<Operation>(operations)
      }))
    )
  )
  const within = traced(variant)
  const loop = looping<Services>((effect) => runtime.runPromise(within(effect)))
  const found: Record<string, Work> = await growingRegistry()
  for (const [name, operation] of provided.operations) found[name] = loop(operation)
  found["stampede"] = repeated((callers) => runtime.runPromise(within(provided.stampede(callers))))
  return found
}

/** One stampede after the other. */
const repeated = (stampede: (callers: number) => Promise<void>): Work => ({
  loop: async (callers, deadline) => {
    let stampedes = 0
    do {
      await stampede(callers)
      stampedes++
    } while (performance.now() < deadline)
    return stampedes
  }
})

/** The lookup of the server of an EHR launch, among more and more of them. */
const growingRegistry = async (): Promise<Record<string, Work>> => {
  const runtime = registry()
  const servers = await runtime.runPromise(SmartServers.SmartServers)
  const loop = looping<never>((effect) => runtime.runPromise(effect))
  let known = 0
  let next = 0
  const lookup = Effect.suspend(() => {
    next = (next + 7919) % known
    return servers.forLaunchIss(urlOf(next))
  })
  const fill = (count: number) =>
    Effect.suspend(() => {
      const indexes = Array.from({ length: Math.max(0, count - known) }, (_, offset) => known + offset)
      known = Math.max(known, count)
      return Effect.forEach(indexes, (index) => servers.add(`server-${index}`, server(index)), { discard: true })
    })
  return {
    "grown-servers": loop(lookup),
    ...Object.fromEntries(
      SERVERS.map((count) => [
        `fill-servers-${count}`,
        { loop: () => runtime.runPromise(Effect.as(fill(count), 1)) }
      ])
    )
  }
}

const urlOf = (index: number): string => `https://fhir-${index}.example.org/tenants/${index}/r4`

const server = (index: number) => ({
  fhirBaseUrl: urlOf(index),
  clientId: `client-${index}`,
  redirectUri: "https://app.example.org/callback",
  scopes: ["launch/patient", "patient/*.rs", "openid", "fhirUser", "offline_access"],
  authentication: ClientAuthentication.makeClientSecretBasic({ clientSecret: Redacted.make(`secret-${index}`) })
})

const registry = () =>
  ManagedRuntime.make(
    Sessions.layer.pipe(
      Layer.provideMerge(Layer.mergeAll(SmartServers.layer({ first: server(-1) }), SessionStore.layerMemory)),
      Layer.provide(FetchHttpClient.layer)
    )
  )

const aToken = (index: number): TokenSet.TokenSet => {
  const now = Date.now()
  return Schema.decodeSync(TokenSet.TokenSet)({
    version: 1,
    fhirBaseUrl: server(-1).fhirBaseUrl,
    accessToken: `access-token-${index}-0123456789abcdef0123456789abcdef`,
    refreshToken: `refresh-token-${index}-0123456789abcdef`,
    receivedAt: new Date(now).toISOString(),
    expiresAt: new Date(now + 3_600_000).toISOString(),
    scopes: ["launch/patient", "patient/*.rs", "offline_access"],
    context: { patient: `patient-${index}` },
    extensions: {}
  })
}

export const heap: Readonly<Record<string, () => Promise<Filler>>> = {
  "a server, configured": async () => {
    const runtime = registry()
    const servers = await runtime.runPromise(SmartServers.SmartServers)
    return (index) => Effect.runSync(servers.add(`server-${index}`, server(index)))
  },
  "a server, in use": async () => {
    const runtime = registry()
    const servers = await runtime.runPromise(SmartServers.SmartServers)
    return (index) =>
      Effect.runSync(
        Effect.zipRight(servers.add(`server-${index}`, server(index)), servers.client(`server-${index}`))
      )
  },
  "a session, in memory": async () => {
    const runtime = registry()
    const sessions = await runtime.runPromise(Sessions.Sessions)
    return (index) =>
      runtime.runPromise(
        Effect.tap(sessions.importTokens(aToken(index), { server: "first" }), (id) => sessions.accessToken(id))
      )
  }
}
