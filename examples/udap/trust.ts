import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeTransport } from "effect-safire/node"
import { TrustPolicy, UdapDiscovery } from "effect-safire/udap"

/** As the community publishes it. */
export const community = "https://community.example.org/udap"

/**
 * The anchors, and authorities that servers leave out of their chains, as PEM: several certificates in one text are
 * fine.
 */
const TrustLive = Layer.unwrapEffect(
  Effect.map(
    Config.all({ anchors: Config.string("UDAP_ANCHORS"), intermediates: Config.string("UDAP_INTERMEDIATES") }),
    ({ anchors, intermediates }) =>
      TrustPolicy.layer({ communities: { [community]: { anchors: [anchors], intermediates: [intermediates] } } })
  )
)

/** CRLs and OCSP responses are fetched from where certificates say: over a transport that refuses private addresses. */
export const UdapLive = UdapDiscovery.layer().pipe(
  Layer.provideMerge(TrustLive),
  Layer.provide(NodeTransport.layerGuarded())
)
