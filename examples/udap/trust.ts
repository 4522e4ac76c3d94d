import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeTransport } from "effect-safire/node"
import { TrustPolicy, UdapDiscovery } from "effect-safire/udap"

/** The URI that the community publishes. */
export const community = "https://community.example.org/udap"

/**
 * The anchors, and the authorities that servers omit from their chains, as PEM with one or several certificates.
 */
const TrustLive = Layer.unwrapEffect(
  Effect.map(
    Config.all({ anchors: Config.string("UDAP_ANCHORS"), intermediates: Config.string("UDAP_INTERMEDIATES") }),
    ({ anchors, intermediates }) =>
      TrustPolicy.layer({ communities: { [community]: { anchors: [anchors], intermediates: [intermediates] } } })
  )
)

/** CRLs and OCSP responses are fetched from URLs in certificates, over a transport that refuses private addresses. */
export const UdapLive = UdapDiscovery.layer().pipe(
  Layer.provideMerge(TrustLive),
  Layer.provide(NodeTransport.layerGuarded())
)
