/**
 * UDAP: verification of metadata, cached metadata, the most expensive chain within the limits, and the engine of pkijs
 * alone. All in one process, without a network.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as asn1 from "asn1js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { TrustPolicy, UdapDiscovery } from "effect-safire/udap"
import * as jose from "jose"
import * as pki from "pkijs"
import * as Pki from "../../src/testing/internal/pki.js"
import type { ContenderModule, Work } from "../harness/Contender.js"

const fhirBaseUrl = "https://fhir.example.org/r4"
const community = "https://community.example.org/udap"

/** A certificate with nearly the maximum number of elements. */
const padding = Pki.extension(
  "1.3.6.1.4.1.99999.1",
  false,
  new asn1.Sequence({ value: Array.from({ length: 400 }, () => new asn1.Sequence({ value: [] })) }).toBER()
)

const material = Effect.gen(function*() {
  const root = yield* Pki.issue({ commonName: "Root", authority: true })
  const inter = yield* Pki.issue({ commonName: "Intermediate", authority: true, by: root })
  const leaf = yield* Pki.issue({ commonName: "Server", by: inter, names: [Pki.uri(fhirBaseUrl)] })
  const crls = [yield* Pki.crl(root), yield* Pki.crl(inter)]
  const namesake = (serial: number) =>
    Pki.issue({ commonName: "Intermediate", authority: true, by: root, serial, extensions: [padding] })
  const hostile = [
    yield* Pki.issue({ commonName: "Server", by: inter, extensions: [padding] }),
    ...(yield* Effect.forEach([1, 2, 3, 4, 5], namesake))
  ].map(({ der }) => der)
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: fhirBaseUrl,
    sub: fhirBaseUrl,
    iat: now,
    exp: now + 86_400,
    jti: "1",
    token_endpoint: "https://auth.example.org/token",
    registration_endpoint: "https://auth.example.org/register"
  }
  const jwt = yield* Effect.promise(() =>
    new jose.CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
      .setProtectedHeader({
        alg: "RS256",
        x5c: [leaf, inter].map(({ der }) => Buffer.from(der).toString("base64"))
      }).sign(leaf.keys.privateKey)
  )
  return {
    root: root.der,
    chain: [leaf.der, inter.der],
    crls,
    hostile,
    document: JSON.stringify({ signed_metadata: jwt })
  }
})

type Material = Effect.Effect.Success<typeof material>

const ours = async ({ chain, crls, document, hostile, root }: Material): Promise<Record<string, Work>> => {
  const network = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) => Effect.succeed(HttpClientResponse.fromWeb(request, new Response(document))))
  )
  const runtime = ManagedRuntime.make(
    UdapDiscovery.layer().pipe(
      Layer.provideMerge(TrustPolicy.layer({ communities: { [community]: { anchors: [root], crls } } })),
      Layer.provide(network)
    )
  )
  const [policy, discovery] = await runtime.runPromise(
    Effect.all([TrustPolicy.TrustPolicy, UdapDiscovery.UdapDiscovery])
  )
  const loop = (operation: Effect.Effect<unknown, unknown>): Work => ({
    loop: (_, deadline) =>
      runtime.runPromise(Effect.suspend(() => {
        let operations = 0
        const one = Effect.whileLoop({
          while: () => performance.now() < deadline,
          body: () => operation,
          step: () => {
            operations++
          }
        })
        return Effect.map(one, () => operations)
      }))
  })
  await runtime.runPromise(discovery.metadata(fhirBaseUrl))
  return {
    "udap-chain": loop(policy.validate(chain, { subject: fhirBaseUrl })),
    "udap-verify": loop(discovery.refresh(fhirBaseUrl)),
    "udap-cached": loop(discovery.metadata(fhirBaseUrl)),
    "udap-hostile": loop(
      Effect.flatMap(
        Effect.either(policy.validate(hostile, { subject: fhirBaseUrl })),
        (outcome) => Either.isLeft(outcome) ? Effect.void : Effect.dieMessage("it is trusted")
      )
    )
  }
}

/**
 * As in its README: certificates with the leaf last, and CRLs. The result is not compared.
 */
const engine = ({ chain, crls, root }: Material): Record<string, Work> => ({
  "udap-chain": async () => {
    const certificate = (der: Uint8Array) => pki.Certificate.fromBER(new Uint8Array(der))
    const { result } = await new pki.CertificateChainValidationEngine({
      trustedCerts: [certificate(root)],
      certs: chain.map(certificate).reverse(),
      crls: crls.map((der) => pki.CertificateRevocationList.fromBER(new Uint8Array(der))),
      checkDate: new Date()
    }).verify({})
    if (!result) throw new Error("it is not trusted")
  }
})

export const make: ContenderModule["make"] = async (_, variant) => {
  const made = await Effect.runPromise(material)
  return variant === "engine" ? engine(made) : await ours(made)
}
