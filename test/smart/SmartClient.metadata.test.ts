import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientAuthentication, LegacyMetadata, SmartClient } from "effect-safire"
import * as Http from "../support/http.js"
import { recorded } from "../support/warnings.js"

const config: SmartClient.Config = {
  fhirBaseUrl: "https://ehr.example/fhir",
  clientId: "app",
  redirectUri: "https://app.example/callback",
  scopes: ["patient/*.rs"]
}
const over = (http: Http.Fake, changes: Partial<SmartClient.Config>) =>
  Layer.build(SmartClient.layer({ ...config, ...changes })).pipe(
    Effect.flatMap((context) => Effect.provide(SmartClient.SmartClient, context)),
    Effect.provide(Layer.merge(ClientAuthentication.layerPublic, http.layer))
  )

describe("SmartClient, configured metadata", () => {
  it.scoped("is used instead of a discovery request", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const http = Http.script(() => Http.json({}))
      const client = yield* over(http, {
        metadata: {
          authorizationEndpoint: "https://auth.example/authorize",
          tokenEndpoint: "https://auth.example/token",
          issuer: "https://auth.example"
        }
      }).pipe(Effect.provide(warnings.layer))
      const { pending, url } = yield* client.authorize()
      assert.strictEqual(`${url.origin}${url.pathname}`, "https://auth.example/authorize")
      assert.strictEqual(pending.issuer, "https://auth.example")
      yield* client.invalidate
      const found = yield* client.configuration
      assert.strictEqual(found.source, "Settings")
      assert.strictEqual(found.fhirBaseUrl, "https://ehr.example/fhir")
      assert.strictEqual(http.requests.length, 0)
      assert.deepStrictEqual(warnings.codes(), [])
    }))

  it.scoped("an operation fails if its endpoint is not configured", () =>
    Effect.gen(function*() {
      const client = yield* over(Http.script(() => Http.json({})), {
        metadata: { tokenEndpoint: "https://auth.example/token" }
      })
      const error = yield* Effect.flip(client.authorize())
      assert.propertyVal(error, "reason", "EndpointMissing")
    }))

  it.scoped("[SMART-1] reports all URLs that are invalid or not https in one error", () =>
    Effect.gen(function*() {
      const http = Http.script(() => Http.json({}))
      const insecure = yield* Effect.flip(over(http, {
        metadata: {
          authorizationEndpoint: "http://auth.example/authorize",
          tokenEndpoint: "http://auth.example/token",
          jwksUri: "http://localhost/jwks"
        }
      }))
      assert.strictEqual(insecure.reason, "Insecure")
      assert.deepStrictEqual(insecure.fields, [
        "metadata.authorizationEndpoint",
        "metadata.tokenEndpoint",
        "metadata.jwksUri"
      ])
      const invalid = yield* Effect.flip(over(http, { metadata: { tokenEndpoint: "/token" } }))
      assert.strictEqual(invalid.reason, "Invalid")
      yield* over(http, { metadata: { tokenEndpoint: "http://localhost/token" }, allowInsecureLocalhost: true })
    }))

  it.scoped("passes legacyMetadata to the discovery", () =>
    Effect.gen(function*() {
      const http = Http.script(
        () => Http.text("", { status: 404 }),
        () =>
          Http.json({
            resourceType: "CapabilityStatement",
            rest: [{
              security: {
                extension: [{
                  url: "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                  extension: [{ url: "token", valueUri: "https://auth.example/token" }]
                }]
              }
            }]
          })
      )
      const client = yield* over(http, { legacyMetadata: LegacyMetadata.capabilityStatement })
      assert.strictEqual((yield* client.configuration).tokenEndpoint, "https://auth.example/token")
      assert.strictEqual(http.requests.length, 2)
    }))
})
