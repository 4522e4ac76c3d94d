/**
 * A backend service that counts the patients of three hospitals at once: one registry, each server with its own kind of
 * authentication, tokens cached and renewed for each. `npx tsx examples/backend-service/main.ts`; here the hospitals
 * are sandboxes on loopback ports.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { BackendServices, ClientAuthentication, SigningKeys, SmartServers } from "effect-safire"
import { NodeTransport } from "effect-safire/node"
import type { SandboxEhr } from "effect-safire/testing"
import * as Keys from "../support/keys.js"
import * as Sandbox from "../support/sandbox.js"

const clientId = "population-report"
const secret = Redacted.make("a secret the two of them share")

/** The program knows the keys of the servers, and not how it authenticates. */
export const report = Effect.gen(function*() {
  const servers = yield* SmartServers.SmartServers
  const backend = yield* BackendServices.BackendServices
  return yield* Effect.forEach(yield* servers.keys, (server) =>
    Effect.gen(function*() {
      const { config } = yield* servers.client(server)
      const client = HttpClient.filterStatusOk(backend.httpClient({ server }))
      const response = yield* client.get(`${config.fhirBaseUrl}/Patient?_count=100`)
      const bundle = (yield* response.json) as { readonly entry?: ReadonlyArray<unknown> }
      return { server, patients: bundle.entry?.length ?? 0 }
    }), { concurrency: "unbounded" })
})

const hospital = (authentication: SandboxEhr.Client["authentication"]) =>
  Effect.map(
    Sandbox.start({ clients: [{ clientId, redirectUris: [], authentication, grantTypes: ["client_credentials"] }] }),
    ({ fhirBaseUrl }) => fhirBaseUrl
  )

export const main = Effect.gen(function*() {
  const { privateJwk, publicJwk } = yield* Keys.generate("2026-a")
  const server = (fhirBaseUrl: string) => ({
    fhirBaseUrl,
    clientId,
    scopes: ["system/Patient.rs"],
    allowInsecureLocalhost: true
  })
  const servers = SmartServers.layer({
    north: {
      ...server(yield* hospital({ method: "private_key_jwt", jwks: { keys: [publicJwk] } })),
      authentication: ClientAuthentication.layerPrivateKeyJwt().pipe(
        Layer.provide(SigningKeys.layerJwk({ jwk: privateJwk }))
      )
    },
    south: {
      ...server(yield* hospital({ method: "client_secret_basic", secret })),
      authentication: ClientAuthentication.layerClientSecretBasic({ clientSecret: secret })
    },
    west: {
      ...server(yield* hospital({ method: "client_secret_post", secret })),
      authentication: ClientAuthentication.makeClientSecretPost({ clientSecret: secret })
    }
  })
  const counted = yield* report.pipe(
    Effect.provide(BackendServices.layer.pipe(Layer.provideMerge(servers), Layer.provide(NodeTransport.layer())))
  )
  for (const { patients, server } of counted) yield* Console.log(`${server}: ${patients} patients`)
  return counted
}).pipe(Effect.scoped)

if (process.argv[1]?.endsWith("backend-service/main.ts") === true) NodeRuntime.runMain(main)
