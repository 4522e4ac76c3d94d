/**
 * Many servers side by side, chosen at run time; an unknown server is refused: `npx tsx
 * examples/server-registry/main.ts`.
 *
 * All share one metadata cache and one connection pool, each has its own client id and its own kind of authentication.
 * Here they are sandboxes on loopback ports. A registry from the environment alone is `SmartServers.layerConfig()`, one
 * from a published list of servers `SmartServers.fromBrands`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, LaunchRequest, SmartServers } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import { SandboxEhr } from "effect-safire/testing"
import * as Sandbox from "../support/sandbox.js"

/** The handler of your launch URL: `iss` identifies the server. */
const launched = (url: string) =>
  Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const launch = yield* LaunchRequest.decode(url)
    const client = yield* servers.client(launch.server)
    const { url: destination } = yield* client.authorize(launch)
    return `${launch.server}: to ${destination.origin} as ${client.config.clientId}`
  }).pipe(
    // The app sent no request to this server.
    Effect.catchTag("LaunchError", (error) => Effect.succeed(`refused (${error.reason}) ${error.iss ?? ""}`))
  )

/** The URL an EHR opens when a clinician starts the app there. */
const launchUrlOf = (ehr: SandboxEhr.Service) =>
  Effect.map(ehr.launch(), (launch) => `https://app.sandbox.test/launch?${new URLSearchParams(launch).toString()}`)

const main = Effect.gen(function*() {
  const [north, south, west] = yield* Effect.all([Sandbox.start(), Sandbox.start(), Sandbox.start()])
  // Each server has its own redirect URI, so that a callback belongs to one server.
  const app = (server: string) => ({
    redirectUri: `https://app.sandbox.test/callback/${server}`,
    scopes: ["launch", "patient/*.rs"],
    allowInsecureLocalhost: true
  })
  const publicApp = (server: string) => ({
    ...app(server),
    clientId: "sandbox-public-app",
    authentication: ClientAuthentication.makePublic
  })

  const ServersLive = SmartServers.layer({
    north: { ...publicApp("north"), fhirBaseUrl: north.fhirBaseUrl },
    south: {
      ...app("south"),
      fhirBaseUrl: south.fhirBaseUrl,
      clientId: "sandbox-symmetric-app",
      authentication: ClientAuthentication.layerClientSecretBasic({ clientSecret: SandboxEhr.defaultClientSecret })
    }
  })

  yield* Effect.gen(function*() {
    const servers = yield* SmartServers.SmartServers
    const say = (what: string) => Console.log(`${what}\n`)

    yield* Console.log("a clinician's EHR chooses the server")
    yield* Console.log(yield* launched(yield* launchUrlOf(north)))
    yield* say(yield* launched(yield* launchUrlOf(south)))

    yield* Console.log("a link can start a launch, but only for a registered server")
    yield* say(yield* launched("https://app.sandbox.test/launch?iss=https%3A%2F%2Fehr.evil.example%2Ffhir&launch=x"))

    yield* Console.log("a program chooses by key, a typo is an error that says what there is")
    const { tokenEndpoint } = yield* Effect.flatMap(servers.client("south"), (client) => client.configuration)
    yield* Console.log(`south: tokens at ${new URL(tokenEndpoint ?? "").pathname}`)
    yield* say((yield* Effect.flip(servers.client("suoth"))).message)

    yield* Console.log("a hospital joins and leaves while the program runs")
    const launch = yield* launchUrlOf(west)
    yield* Console.log(yield* launched(launch))
    yield* servers.add("west", { ...publicApp("west"), fhirBaseUrl: west.fhirBaseUrl })
    yield* Console.log(yield* launched(launch))
    yield* servers.remove("west")
    yield* say(yield* launched(launch))

    const asked = yield* Effect.forEach([north, south, west], (ehr) => ehr.requests)
    yield* Console.log(`${asked.map(({ length }) => length).join(", ")} requests in all: one discovery for each server`)
  }).pipe(
    Effect.provide(
      SmartServers.layerTrustedIssuers.pipe(Layer.provideMerge(ServersLive), Layer.provide(NodeTransport.layer()))
    )
  )
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
