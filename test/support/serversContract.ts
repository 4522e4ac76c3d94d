/**
 * The contract of all registries of servers, run for each of them.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { ClientAuthentication, LaunchRequest, SmartServers } from "effect-safire"

/** The servers that a registry under test has. Those of one `iss` are registrations of one app at one EHR. */
export interface Registered {
  readonly name: string
  readonly fhirBaseUrl: string
}

export interface Subject {
  readonly layer: Layer.Layer<SmartServers.SmartServers, unknown, HttpClient.HttpClient>
  readonly servers: readonly [Registered, ...ReadonlyArray<Registered>]
  /** The servers in `keys` and `only`; the others are discovered. */
  readonly listed: ReadonlyArray<string>
  /** The redirect URIs of the listed servers. */
  readonly redirectUris: ReadonlyArray<string>
  readonly canChange: boolean
}

/** Responds to each request with endpoints at its origin, and records it. */
export const makeNet = () => {
  const requests: Array<string> = []
  const client = HttpClient.make((request, url) =>
    Effect.sync(() => {
      requests.push(url.href)
      return HttpClientResponse.fromWeb(
        request,
        Response.json({
          authorization_endpoint: `${url.origin}/authorize`,
          token_endpoint: `${url.origin}/token`,
          capabilities: ["launch-ehr"]
        })
      )
    })
  )
  return { requests, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

const reasonOf = <A, E extends { readonly reason: string }, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<string, never, R> =>
  Effect.map(Effect.either(self), Either.match({ onLeft: ({ reason }) => reason, onRight: () => "found" }))

export const serversContract = (name: string, subject: Subject): void => {
  const { servers } = subject
  const [first] = servers
  const namesOf = (fhirBaseUrl: string) =>
    servers.filter((server) => server.fhirBaseUrl === fhirBaseUrl).map((server) => server.name)

  const run = <A, E>(
    test: (
      registry: SmartServers.Service,
      net: ReturnType<typeof makeNet>
    ) => Effect.Effect<A, E, SmartServers.SmartServers>
  ) =>
    Effect.suspend(() => {
      const net = makeNet()
      return Effect.flatMap(SmartServers.SmartServers, (registry) => test(registry, net)).pipe(
        Effect.provide(Layer.provide(subject.layer, net.layer))
      )
    })

  describe(name, () => {
    it.effect("lists its servers and finds each by its name", () =>
      run((registry, net) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* registry.keys, subject.listed)
          for (const { fhirBaseUrl, name } of servers) {
            const client = yield* registry.client(name)
            assert.deepStrictEqual([client.name, client.config.fhirBaseUrl], [name, fhirBaseUrl])
            assert.strictEqual(yield* registry.client(name), client)
          }
          assert.deepStrictEqual(yield* registry.redirectUris, subject.redirectUris)
          assert.strictEqual(yield* reasonOf(registry.client("no such server")), "UnknownKey")
          assert.strictEqual(
            yield* reasonOf(registry.only),
            subject.listed.length === 1 ? "found" : subject.listed.length === 0 ? "UnknownKey" : "Ambiguous"
          )
          assert.deepStrictEqual(net.requests, [])
        })
      ))

    it.effect("finds a server by its FHIR base URL, however it is spelled", () =>
      run((registry) =>
        Effect.forEach(servers, ({ fhirBaseUrl }) =>
          Effect.gen(function*() {
            const names = namesOf(fhirBaseUrl)
            for (
              const iss of [
                fhirBaseUrl,
                `${fhirBaseUrl}/`,
                fhirBaseUrl.replace("https", "HTTPS").replace(".test", ".TEST:443")
              ]
            ) {
              if (names.length === 1) assert.strictEqual((yield* registry.forLaunchIss(iss)).name, names[0])
              else assert.strictEqual(yield* reasonOf(registry.forLaunchIss(iss)), "Ambiguous")
            }
          }))
      ))

    it.effect("finds a registration by its FHIR base URL and its name, and refuses a name that is not of that URL", () =>
      run((registry, net) =>
        Effect.gen(function*() {
          for (const { fhirBaseUrl, name } of servers) {
            for (const iss of [fhirBaseUrl, `${fhirBaseUrl}/`]) {
              assert.strictEqual((yield* registry.forLaunchIss(iss, { server: name })).name, name)
            }
            const others = servers.filter((server) => server.fhirBaseUrl !== fhirBaseUrl).map((server) => server.name)
            for (const wrong of ["no such server", "", `${name} `, "https://elsewhere.test/fhir", ...others]) {
              assert.strictEqual(
                yield* reasonOf(registry.forLaunchIss(fhirBaseUrl, { server: wrong })),
                "UnknownIssuer",
                wrong
              )
            }
            // The key of a listed server is its name, not its URL.
            if (fhirBaseUrl !== name) {
              assert.strictEqual(
                yield* reasonOf(registry.forLaunchIss(fhirBaseUrl, { server: fhirBaseUrl })),
                "UnknownIssuer"
              )
            }
          }
          assert.deepStrictEqual(yield* registry.keys, subject.listed)
          assert.deepStrictEqual(net.requests, [])
        })
      ))

    it.effect("refuses an iss that none of its servers has, with and without a name", () =>
      run((registry, net) =>
        Effect.gen(function*() {
          const { host, protocol } = new URL(first.fhirBaseUrl)
          for (
            const iss of [
              `${first.fhirBaseUrl}2`,
              `http://${host}/fhir`,
              `${protocol}//${host}@evil.test/fhir`,
              `${first.fhirBaseUrl}?x=1`,
              "not a URL",
              ""
            ]
          ) {
            assert.strictEqual(yield* reasonOf(registry.forLaunchIss(iss)), "UnknownIssuer", iss)
            assert.strictEqual(
              yield* reasonOf(registry.forLaunchIss(iss, { server: first.name })),
              "UnknownIssuer",
              iss
            )
          }
          assert.deepStrictEqual(net.requests, [])
        })
      ))

    it.effect("a launch is followed at the registration that its URL names [SMART-35]", () =>
      run(() =>
        Effect.forEach(servers, ({ fhirBaseUrl, name }) =>
          Effect.gen(function*() {
            const url = `https://app.test/launch?${new URLSearchParams({ iss: fhirBaseUrl, launch: "xyz" }).toString()}`
            const launch = yield* LaunchRequest.decode(url, { server: name })
            assert.deepStrictEqual([launch.server, launch.iss], [name, fhirBaseUrl])
            assert.strictEqual(yield* reasonOf(LaunchRequest.decode(url, { server: "no such server" })), "IssUntrusted")
            assert.strictEqual(
              yield* reasonOf(LaunchRequest.decode(url)),
              namesOf(fhirBaseUrl).length === 1 ? "found" : "IssAmbiguous"
            )
          })).pipe(Effect.provide(SmartServers.layerTrustedIssuers))
      ))

    it.effect(
      subject.canChange ? "adds, replaces and removes servers" : "refuses to change, and says so",
      () =>
        run((registry) =>
          Effect.gen(function*() {
            const added = (host: string) => ({
              fhirBaseUrl: `https://${host}/fhir`,
              clientId: "the-app",
              authentication: ClientAuthentication.makePublic
            })
            if (!subject.canChange) {
              assert.strictEqual(yield* reasonOf(registry.add("added", added("added.test"))), "Conflict")
              yield* registry.remove(first.name)
              assert.deepStrictEqual(yield* registry.keys, subject.listed)
              return
            }
            const redirectUri = "https://app.test/callback/added"
            yield* registry.add("added", { ...added("added.test"), redirectUri })
            assert.deepStrictEqual(yield* registry.redirectUris, [...subject.redirectUris, redirectUri])
            assert.strictEqual(
              (yield* registry.forLaunchIss("https://added.test/fhir", { server: "added" })).name,
              "added"
            )
            yield* registry.add("added", added("replaced.test"))
            assert.strictEqual(yield* reasonOf(registry.forLaunchIss("https://added.test/fhir")), "UnknownIssuer")
            assert.strictEqual((yield* registry.forLaunchIss("https://replaced.test/fhir")).name, "added")
            assert.deepStrictEqual(yield* registry.redirectUris, subject.redirectUris)
            yield* registry.remove("added")
            assert.strictEqual(
              yield* reasonOf(registry.forLaunchIss("https://replaced.test/fhir", { server: "added" })),
              "UnknownIssuer"
            )
            assert.strictEqual(yield* reasonOf(registry.client("added")), "UnknownKey")
            assert.deepStrictEqual(yield* registry.keys, subject.listed)
          })
        )
    )

    it.effect("forgets the metadata of one server", () =>
      run((registry, net) =>
        Effect.gen(function*() {
          const client = yield* registry.client(first.name)
          yield* client.configuration
          yield* client.configuration
          assert.strictEqual(net.requests.length, 1)
          yield* registry.invalidate(first.name)
          yield* client.configuration
          assert.strictEqual(net.requests.length, 2)
          assert.strictEqual(yield* reasonOf(registry.invalidate("no such server")), "UnknownKey")
        })
      ))
  })
}
