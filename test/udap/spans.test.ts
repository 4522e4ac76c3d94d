import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import { UdapRegistration } from "effect-safire/udap"
import { appCertificate, COMMUNITY, makeServer, registrations } from "./authorizationServer.js"

describe("the spans of UDAP", () => {
  it.effect("name the server and the community, and those with requests are of a client", () =>
    Effect.gen(function*() {
      const spans = new Map<string, { readonly kind: string; readonly attributes: Map<string, unknown> }>()
      const tracer = Tracer.make({
        context: (f) => f(),
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          spans.set(name, { kind, attributes })
          return {
            _tag: "Span",
            name,
            parent,
            context,
            links,
            kind,
            attributes,
            spanId: "span",
            traceId: "trace",
            sampled: true,
            status: { _tag: "Started", startTime },
            attribute: (key, value) => void attributes.set(key, value),
            event: () => {},
            end: () => {},
            addLinks: () => {}
          }
        }
      })
      const server = yield* makeServer()
      const certificate = yield* appCertificate({ key: "p256" })
      yield* Effect.flatMap(UdapRegistration.UdapRegistration, (service) =>
        service.register({
          fhirBaseUrl: server.fhirBaseUrl,
          community: COMMUNITY,
          certificate,
          metadata: {
            clientName: "App",
            contacts: ["mailto:it@example.org"],
            grantTypes: ["client_credentials"],
            scopes: ["system/*.rs"]
          }
        })).pipe(Effect.provide(registrations(server)), Effect.withTracer(tracer))
      const shown = (name: string) => {
        const span = spans.get(name) ?? assert.fail(`no span ${name} among ${[...spans.keys()].join(", ")}`)
        const own = [...span.attributes].filter(([key]) => key.startsWith("smart.") || key.startsWith("udap."))
        return [span.kind, Object.fromEntries(own)]
      }
      const at = { "smart.fhir_base_url": server.fhirBaseUrl, "udap.community": COMMUNITY }
      assert.deepStrictEqual(shown("UdapDiscovery.load"), ["client", at])
      assert.deepStrictEqual(shown("UdapRegistration.register"), ["client", at])
      assert.deepStrictEqual(shown("TrustPolicy.validate"), ["internal", { "udap.subject": server.fhirBaseUrl }])
    }))
})
