/**
 * A server of two trust communities for the examples: a sandbox on a free loopback port. It issues the app's
 * certificate, too; an operator gets that from the community, and the anchors from what the community publishes.
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SandboxEhr } from "effect-safire/testing"
import { SandboxUdap } from "effect-safire/testing-udap"
import type { TrustPolicy } from "effect-safire/udap"
import { ClientCertificate } from "effect-safire/udap"

/** The data of an operator: the server's URL, the community with its anchors, and a certificate. */
export const start = (clientUri: string, options: SandboxUdap.Options = {}) =>
  Effect.gen(function*() {
    const services = yield* Layer.build(
      SandboxUdap.layerServer({ ...options, udap: { allowInsecureLocalhost: true, ...options.udap } }).pipe(
        Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" }))
      )
    )
    const ehr = Context.get(services, SandboxEhr.SandboxEhr)
    const udap = Context.get(services, SandboxUdap.SandboxUdap)
    const community = SandboxUdap.communityOne
    const { chainPem, privateKeyPem } = yield* udap.issueCertificate({ uri: clientUri, community })
    const certificate = yield* ClientCertificate.fromPem({ chain: chainPem, privateKey: privateKeyPem })
    const anchors = yield* udap.anchors(community)
    const trust: TrustPolicy.Options = { communities: { [community]: { anchors } }, allowInsecureLocalhost: true }
    return { ehr, udap, community, certificate, trust }
  })
