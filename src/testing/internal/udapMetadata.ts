/**
 * The UDAP metadata of a server (UDAP Security STU2, section 2).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Http from "./http.js"
import * as Pki from "./pki.js"
import * as UdapJwt from "./udapJwt.js"
import { serverCertificateKey } from "./udapPki.js"
import type { UdapServer } from "./udapServer.js"

const SIGNED_SECONDS = 24 * 60 * 60

/** The members without `signed_metadata`. */
const members = (server: UdapServer): Readonly<Record<string, unknown>> => {
  const { endpoints, grantTypes, requiredCertifications } = server
  const hasGrant = (grantType: string) => grantTypes.includes(grantType)
  const extensions = hasGrant("client_credentials") ? ["hl7-b2b"] : []
  return {
    udap_versions_supported: ["1"],
    udap_profiles_supported: [
      "udap_dcr",
      "udap_authn",
      ...(hasGrant("client_credentials") ? ["udap_authz"] : []),
      ...(server.tieredOAuth ? ["udap_to"] : [])
    ],
    udap_authorization_extensions_supported: extensions,
    ...(extensions.length === 0
      ? {}
      : { udap_authorization_extensions_required: server.requireB2B ? extensions : [] }),
    udap_certifications_supported: requiredCertifications,
    ...(requiredCertifications.length === 0 ? {} : { udap_certifications_required: requiredCertifications }),
    grant_types_supported: grantTypes,
    scopes_supported: server.scopes,
    authorization_endpoint: endpoints.authorization,
    token_endpoint: endpoints.token,
    token_endpoint_auth_methods_supported: ["private_key_jwt"],
    token_endpoint_auth_signing_alg_values_supported: UdapJwt.algorithms,
    registration_endpoint: endpoints.registration,
    registration_endpoint_jwt_signing_alg_values_supported: UdapJwt.algorithms
  }
}

/** Changes a byte of the signature. */
const tampered = (jwt: string): string => {
  const dot = jwt.lastIndexOf(".") + 1
  return `${jwt.slice(0, dot)}${jwt[dot] === "A" ? "B" : "A"}${jwt.slice(dot + 1)}`
}

const signedMetadata = (server: UdapServer, community: string): Effect.Effect<string> =>
  Effect.gen(function*() {
    const { endpoints, pki, sandbox: { fhirBaseUrl } } = server
    const { certificate = "Valid", claims, header, signature } = server.misbehaviour()
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const credentials = signature === "ES256"
      ? yield* pki.issue({ uri: fhirBaseUrl, community, kind: certificate, keys: "p256" })
      : yield* pki.serverCertificate(serverCertificateKey(fhirBaseUrl, community, certificate))
    const privateKey = signature === "OtherKey" ? (yield* Pki.newKeys()).privateKey : credentials.privateKey
    const jwt = yield* UdapJwt.sign(
      {
        iss: fhirBaseUrl,
        sub: fhirBaseUrl,
        iat: now,
        exp: now + SIGNED_SECONDS,
        jti: globalThis.crypto.randomUUID(),
        authorization_endpoint: endpoints.authorization,
        token_endpoint: endpoints.token,
        registration_endpoint: endpoints.registration,
        ...claims
      },
      { chain: credentials.chain, privateKey },
      header
    )
    return signature === "Tampered" ? tampered(jwt) : jwt
  })

/** Responds to a GET of the UDAP metadata. */
export const handle = (server: UdapServer, request: Http.SandboxRequest): Effect.Effect<Http.SandboxResponse> =>
  Effect.gen(function*() {
    const { ignoreCommunity, metadata, withoutUdap } = server.misbehaviour()
    if (withoutUdap === true) return Http.empty(404)
    const requested = ignoreCommunity === true ? undefined : Http.toParams(request.query).get("community")
    const community = requested ?? server.pki.firstCommunity
    if (!server.pki.communities.includes(community)) return Http.empty(204)
    return Http.json({
      ...members(server),
      signed_metadata: yield* signedMetadata(server, community),
      ...server.metadata,
      ...metadata
    })
  })
