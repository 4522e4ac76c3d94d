import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TrustPolicy, UdapDiscovery } from "effect-safire/udap"
import { registration } from "../../examples/udap/discover.js"
import { community, UdapLive } from "../../examples/udap/trust.js"
import { assertLinksExist, assertShowsExamples, file } from "../support/shownExamples.js"
import { base, FHIR_BASE } from "../udap/artefacts.js"
import { document, signed, wellKnown, world } from "../udap/server.js"

describe("docs/udap.md", () => {
  const text = file("docs/udap.md")

  it("shows programs that are compiled and run, and links to files that exist", () => {
    assertShowsExamples(text, 2)
    assertLinksExist(text, "docs/")
  })

  const trusting = (net: ReturnType<typeof world>) =>
    Layer.unwrapEffect(Effect.map(base, ({ crls, root }) =>
      UdapDiscovery.layer().pipe(
        Layer.provideMerge(
          TrustPolicy.layer({ communities: { [community]: { anchors: [root.der], crls: [crls.root, crls.inter] } } })
        ),
        Layer.provide(net.layer)
      )))

  it.effect("finds the registration endpoint", () =>
    Effect.gen(function*() {
      const body = { ...document, signed_metadata: yield* signed() }
      const net = world(new Map([[wellKnown(community), { body }]]))
      assert.strictEqual(
        yield* Effect.provide(registration(FHIR_BASE), trusting(net)),
        "https://auth.example.org/register"
      )
    }))

  it.effect("distinguishes a server that is not in the community from one that is not trusted", () =>
    Effect.gen(function*() {
      const outside = world(new Map([[wellKnown(community), { status: 204 }]]))
      assert.strictEqual(
        yield* Effect.provide(registration(FHIR_BASE), trusting(outside)),
        "it is not in the community"
      )
      const body = { ...document, signed_metadata: yield* signed({ claims: { sub: "x", jti: "" } }) }
      const wrong = world(new Map([[wellKnown(community), { body }]]))
      const error = yield* Effect.flip(Effect.provide(registration(FHIR_BASE), trusting(wrong)))
      assert.deepInclude(error, { _tag: "TrustError", reason: "SubjectMismatch" })
    }))

  it.scoped("its layers are built without a request", () =>
    Effect.gen(function*() {
      const { inter, root } = yield* base
      const pem = (der: Uint8Array) =>
        `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----`
      const environment = ConfigProvider.fromMap(
        new Map([["UDAP_ANCHORS", pem(root.der)], ["UDAP_INTERMEDIATES", pem(inter.der)]])
      )
      yield* Effect.withConfigProvider(Layer.build(UdapLive), environment)
    }))
})
