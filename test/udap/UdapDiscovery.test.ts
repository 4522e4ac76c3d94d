import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import { UdapDiscovery } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import { recorded } from "../support/warnings.js"
import { base, CRL_URL, FHIR_BASE, NOW } from "./artefacts.js"
import type { Answer, Json, World } from "./server.js"
import {
  base64,
  claims,
  COMMUNITY,
  discovery,
  document,
  serving,
  signed,
  WELL_KNOWN,
  wellKnown,
  world
} from "./server.js"

const metadata = (request?: UdapDiscovery.Request, fhirBaseUrl = FHIR_BASE) =>
  Effect.flatMap(UdapDiscovery.UdapDiscovery, (service) => service.metadata(fhirBaseUrl, request))

const good = (plain: Json = document) => Effect.map(signed(), (jwt) => serving(plain, jwt))

const answering = (answer: Answer): World => world(new Map([[wellKnown(), answer], [wellKnown(COMMUNITY), answer]]))

const failing = (answer: Answer, request?: UdapDiscovery.Request) => {
  const net = answering(answer)
  return Effect.map(
    Effect.flip(Effect.provide(metadata(request), discovery(net, { retries: Schedule.recurs(2) }))),
    (error) => ({ error, requests: net.requests.length })
  )
}

describe("UdapDiscovery.metadata", () => {
  it.effect("[UDAP-16] 404 means that the server does not support UDAP, and the request is not repeated", () =>
    Effect.gen(function*() {
      for (const status of [404, 410]) {
        const { error, requests } = yield* failing({ status, body: "<html>" })
        assert.deepInclude(error, { _tag: "UdapDiscoveryError", reason: "NotSupported", status })
        assert.notInclude(error.message, "STU1")
        assert.notInclude(error.message, "community")
        const named = yield* failing({ status }, { community: COMMUNITY })
        assert.include(named.error.message, "which a server of STU1 also sends for an unknown community")
        assert.include(named.error.message, ` for the community ${COMMUNITY} failed`)
        assert.strictEqual(requests, 1)
      }
    }))

  it.effect("[UDAP-16] 204 means that the server does not know the community, which is another reason", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* failing({ status: 204 }, { community: COMMUNITY })
      assert.deepInclude(error, { reason: "CommunityUnknown", status: 204, community: COMMUNITY })
      assert.include(error.message, COMMUNITY)
      assert.isFalse(error.isRetryable)
      assert.strictEqual(requests, 1)
    }))

  it.effect("a document that is not a JSON object, and an error status, have their own reasons", () =>
    Effect.gen(function*() {
      assert.deepInclude((yield* failing({ body: "<html>" })).error, { reason: "NotJson" })
      assert.deepInclude((yield* failing({ body: [] })).error, { reason: "NotObject" })
      assert.deepInclude((yield* failing({ status: 400 })).error, { reason: "Status", isRetryable: false })
      assert.deepInclude((yield* failing({ body: "x".repeat(2_000_000) })).error, { reason: "TooLarge" })
      const busy = yield* failing({ status: 503 })
      assert.deepInclude(busy.error, { reason: "Status", isRetryable: true })
      assert.strictEqual(busy.requests, 3)
    }))

  it.effect("[UDAP-60] [UDAP-61] sends the community in the query, encoded once", () =>
    Effect.gen(function*() {
      const net = yield* good()
      const found = yield* Effect.provide(metadata({ community: COMMUNITY }), discovery(net))
      assert.strictEqual(found.community, COMMUNITY)
      assert.deepStrictEqual(net.requests, [
        `${WELL_KNOWN}?community=https%3A%2F%2Fcommunity.example.org%2Fudap%3Ftier%3D1`
      ])
    }))

  it.effect("[UDAP-61] refuses a community that is not a URI or has no anchors, before any request", () =>
    Effect.gen(function*() {
      const net = yield* good()
      const refused = (community: string) => Effect.flip(Effect.provide(metadata({ community }), discovery(net)))
      for (const community of ["", "tefca", " https://x.example", "https://x.example/ä"]) {
        assert.deepInclude(yield* refused(community), { _tag: "UdapDiscoveryError", reason: "InvalidCommunity" })
      }
      for (const community of ["urn:oid:1.2.3", "did:example:1"]) {
        assert.deepInclude(yield* refused(community), { _tag: "TrustError", reason: "CommunityUnknown" })
      }
      const invalid = yield* Effect.flip(Effect.provide(metadata({}, "ftp://x"), discovery(net)))
      assert.deepInclude(invalid, { reason: "InvalidUrl" })
      assert.deepStrictEqual(net.requests, [])
    }))

  it.effect("without a community, the certificate that the server chooses must lead to the anchors of the only community", () =>
    Effect.gen(function*() {
      const net = yield* good()
      assert.strictEqual((yield* Effect.provide(metadata(), discovery(net))).community, COMMUNITY)
      const { otherRoot } = yield* base
      const error = yield* Effect.flip(
        Effect.provide(metadata(), discovery(net, { community: { anchors: [otherRoot.der] } }))
      )
      assert.deepInclude(error, { _tag: "TrustError", reason: "Untrusted" })
    }))

  it.effect("[UDAP-21] [UDAP-47] uses the signed values, and no unsigned endpoint", () =>
    Effect.gen(function*() {
      const plain = {
        ...document,
        token_endpoint: "https://evil.example/token",
        scopes_supported: ["plain"],
        introspection_endpoint: "https://evil.example/introspect",
        vendor: { a: 1 }
      }
      const jwt = yield* signed({ claims: { scopes_supported: ["signed"] } })
      const found = yield* Effect.provide(metadata(), discovery(serving(plain, jwt)))
      assert.strictEqual(found.tokenEndpoint, claims["token_endpoint"])
      assert.deepStrictEqual(found.scopesSupported, ["signed"])
      assert.deepStrictEqual(found.extensions, { vendor: { a: 1 } })
      assert.deepStrictEqual(found.unsignedEndpoints, ["introspection_endpoint"])
      assert.deepStrictEqual(found.certificatePath, [
        "CN=Server, O=Test community",
        "CN=Intermediate A, O=Test community",
        "CN=Root A, O=Test community"
      ])
    }))

  it.effect("[UDAP-20] an empty list means that the capability is absent", () =>
    Effect.gen(function*() {
      const net = yield* good({ ...document, grant_types_supported: [], udap_profiles_supported: [] })
      const found = yield* Effect.provide(metadata(), discovery(net))
      assert.isFalse(found.supportsRegistration || found.supportsAuthentication || found.supportsClientCredentials)
      assert.isFalse(found.supportsAuthorizationCode || found.supportsTieredOAuth)
    }))

  it.effect("[UDAP-20] a text that contains a value does not count as a list with it", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const net = yield* good({ ...document, udap_profiles_supported: "udap_dcr udap_authn" })
      const layer = discovery(net).pipe(Layer.provide(warnings.layer))
      const found = yield* Effect.provide(metadata(), layer)
      assert.isFalse(found.supportsRegistration)
      assert.deepStrictEqual(warnings.codes(), ["MetadataMemberMalformed"])
    }))

  it.effect("concurrent and later callers share one request, also if one of them is interrupted", () =>
    Effect.gen(function*() {
      const net = yield* good()
      yield* Effect.gen(function*() {
        const { metadata } = yield* UdapDiscovery.UdapDiscovery
        const first = yield* Effect.fork(metadata(FHIR_BASE))
        const others = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.fork(metadata(`${FHIR_BASE}/`)))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(first)
        yield* Effect.forEach(others, Fiber.join)
        yield* metadata(FHIR_BASE)
        assert.strictEqual(net.requests.length, 1)
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("caches metadata separately for each of several communities", () =>
    Effect.gen(function*() {
      const { crls, root } = yield* base
      const body = { ...document, signed_metadata: yield* signed() }
      const others = ["urn:a", "urn:b"] as const
      const net = world(new Map(others.map((uri) => [wellKnown(uri), { body }])))
      const community = { anchors: [root.der], crls: [crls.root, crls.inter] }
      yield* Effect.gen(function*() {
        const found = yield* Effect.forEach(others, (community) => metadata({ community }))
        assert.deepStrictEqual(found.map(({ community }) => community), [...others])
        assert.strictEqual(net.requests.length, 2)
      }).pipe(Effect.provide(discovery(net, { policy: { communities: { "urn:a": community, "urn:b": community } } })))
    }))

  it.effect("a server on a loopback host over http needs the option, and is not asked without it", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const iss = "http://localhost:8080/r4"
      const leaf = yield* makeLeaf({ names: [Pki.uri(iss)] })
      const jwt = yield* signed({ claims: { iss, sub: iss }, x5c: [base64(leaf.der), base64(inter.der)] })
      const net = world(new Map([[`${iss}/.well-known/udap`, { body: { ...document, signed_metadata: jwt } }]]))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(metadata({}, iss)))._tag, "UdapDiscoveryError")
        assert.deepStrictEqual(net.requests, [])
        assert.strictEqual((yield* metadata({ allowInsecureLocalhost: true }, iss)).fhirBaseUrl, iss)
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("`make` makes the service without a layer", () =>
    Effect.gen(function*() {
      const net = yield* good()
      const service = yield* UdapDiscovery.make()
      const found = yield* service.metadata(FHIR_BASE).pipe(Effect.provide(net.layer))
      assert.strictEqual(found.tokenEndpoint, "https://auth.example.org/token")
    }).pipe(Effect.provide(Layer.unwrapEffect(Effect.map(good(), (net) => Layer.merge(discovery(net), net.layer))))))

  it.effect("caches metadata separately for each community, and for http on loopback", () =>
    Effect.gen(function*() {
      const net = yield* good()
      yield* Effect.gen(function*() {
        yield* metadata()
        yield* metadata({ community: COMMUNITY })
        yield* metadata({ allowInsecureLocalhost: true })
        assert.strictEqual(net.requests.length, 3)
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("`refresh` sends a request, and `invalidate` makes the next call send one", () =>
    Effect.gen(function*() {
      const net = yield* good()
      yield* Effect.gen(function*() {
        const { invalidate, refresh } = yield* UdapDiscovery.UdapDiscovery
        yield* metadata()
        yield* refresh(FHIR_BASE)
        yield* metadata()
        assert.strictEqual(net.requests.length, 2)
        yield* invalidate(`${FHIR_BASE}/`)
        yield* metadata()
        assert.strictEqual(net.requests.length, 3)
        yield* metadata({ community: COMMUNITY })
        yield* metadata({ community: COMMUNITY })
        assert.strictEqual(net.requests.length, 4)
        yield* invalidate(FHIR_BASE)
        yield* metadata({ community: COMMUNITY })
        assert.strictEqual(net.requests.length, 5)
        yield* invalidate("not a URL")
        net.network.set(WELL_KNOWN, { status: 404 })
        assert.deepInclude(yield* Effect.flip(refresh(FHIR_BASE)), { reason: "NotSupported" })
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("caches a failure for three seconds", () =>
    Effect.gen(function*() {
      const net = answering({ status: 404 })
      yield* Effect.gen(function*() {
        yield* Effect.flip(metadata())
        yield* Effect.flip(metadata())
        assert.strictEqual(net.requests.length, 1)
        yield* TestClock.adjust("3 seconds")
        yield* Effect.flip(metadata())
        assert.strictEqual(net.requests.length, 2)
      }).pipe(Effect.provide(discovery(net)))
    }))
})

describe("trust in cached metadata", () => {
  /** The leaf's CRL is fetched, and ends in an hour. */
  const withCrl = Effect.gen(function*() {
    const { crls, inter, makeLeaf } = yield* base
    const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL)] })
    const jwt = yield* signed({ x5c: [base64(leaf.der), base64(inter.der)] })
    const net = serving(document, jwt)
    net.network.set(CRL_URL, yield* Pki.crl(inter, [], { to: NOW + 3_600_000 }))
    return { net, leaf, inter, layer: discovery(net, { community: { crls: [crls.root] } }) }
  })
  const refused = Effect.flip(metadata())

  it.effect("ends with the CRL if the certificate was revoked meanwhile", () =>
    Effect.gen(function*() {
      const { inter, layer, leaf, net } = yield* withCrl
      yield* Effect.gen(function*() {
        yield* metadata()
        net.network.set(CRL_URL, yield* Pki.crl(inter, [leaf.serial]))
        yield* TestClock.adjust("59 minutes")
        yield* metadata()
        yield* TestClock.adjust("2 minutes")
        const error = yield* refused
        assert.deepInclude(error, { _tag: "TrustError", reason: "Revoked" })
        assert.include(error.message, "certificate CN=Server, O=Test community: its issuer revoked it")
      }).pipe(Effect.provide(layer))
    }))

  it.effect("ends with the CRL if another cannot be fetched", () =>
    Effect.gen(function*() {
      const { layer, net } = yield* withCrl
      yield* Effect.gen(function*() {
        yield* metadata()
        net.network.delete(CRL_URL)
        yield* TestClock.adjust("61 minutes")
        assert.deepInclude(yield* refused, { reason: "RevocationUnknown" })
      }).pipe(Effect.provide(layer))
    }))

  it.effect("continues with a new CRL", () =>
    Effect.gen(function*() {
      const { inter, layer, net } = yield* withCrl
      yield* Effect.gen(function*() {
        yield* metadata()
        net.network.set(CRL_URL, yield* Pki.crl(inter))
        yield* TestClock.adjust("61 minutes")
        yield* metadata()
        assert.strictEqual(net.requests.filter((url) => url === CRL_URL).length, 2)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("ends at the expiry of the server's certificate", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ to: NOW + 600_000 })
      const net = serving(document, yield* signed({ x5c: [base64(leaf.der), base64(inter.der)] }))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* metadata()).trustedUntil, NOW + 600_000)
        yield* TestClock.adjust("601 seconds")
        assert.deepInclude(yield* refused, { reason: "Expired" })
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("ends with exp of the JWT, and continues with a new one", () =>
    Effect.gen(function*() {
      const net = serving(document, yield* signed({ claims: { exp: NOW / 1000 + 300 } }))
      yield* Effect.gen(function*() {
        yield* metadata()
        yield* TestClock.adjust("5 minutes")
        assert.deepInclude(yield* refused, { reason: "SignedMetadataExpired" })
        net.network.set(WELL_KNOWN, { body: { ...document, signed_metadata: yield* signed() } })
        yield* TestClock.setTime(NOW + 400_000)
        yield* metadata()
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("verified metadata are used while the server is unavailable, as long as they are trusted", () =>
    Effect.gen(function*() {
      const warnings = recorded()
      const net = serving(document, yield* signed({ claims: { exp: NOW / 1000 + 7_200 } }))
      yield* Effect.gen(function*() {
        yield* metadata()
        net.network.set(WELL_KNOWN, { status: 503 })
        yield* TestClock.adjust("61 minutes")
        yield* metadata()
        assert.deepStrictEqual(warnings.codes(), ["MetadataStale"])
        yield* TestClock.adjust("2 hours")
        assert.deepInclude(yield* refused, { _tag: "UdapDiscoveryError", reason: "Status" })
      }).pipe(Effect.provide(discovery(net).pipe(Layer.provide(warnings.layer))))
    }))

  it.effect("a failure that does not pass, or of trust, is not hidden by verified metadata", () =>
    Effect.gen(function*() {
      const { makeLeaf, root } = yield* base
      const net = yield* good()
      const inter = yield* Pki.issue({ commonName: "Intermediate B", authority: true, by: root })
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL)] }, inter)
      const other = yield* signed({ x5c: [base64(leaf.der), base64(inter.der)] })
      yield* Effect.gen(function*() {
        yield* metadata()
        net.network.set(WELL_KNOWN, { status: 404 })
        yield* TestClock.adjust("61 minutes")
        assert.deepInclude(yield* refused, { reason: "NotSupported" })
      }).pipe(Effect.provide(discovery(net)))
      yield* TestClock.setTime(NOW)
      const second = yield* good()
      yield* Effect.gen(function*() {
        yield* metadata()
        // The CRL of the new certificate cannot be fetched.
        second.network.set(WELL_KNOWN, { body: { ...document, signed_metadata: other } })
        yield* TestClock.adjust("61 minutes")
        assert.deepInclude(yield* refused, { reason: "RevocationUnavailable", isRetryable: true })
        assert.strictEqual(second.requests.filter((url) => url === WELL_KNOWN).length, 2)
      }).pipe(Effect.provide(discovery(second, { retries: Schedule.recurs(2) })))
    }))

  it.effect("a request for a CRL is repeated by itself, and the metadata are not fetched again for it", () =>
    Effect.gen(function*() {
      const { layer, net } = yield* withCrl
      assert.isDefined(layer)
      net.network.delete(CRL_URL)
      const { crls } = yield* base
      const error = yield* Effect.flip(metadata()).pipe(
        Effect.provide(discovery(net, { community: { crls: [crls.root] }, retries: Schedule.recurs(2) }))
      )
      assert.deepInclude(error, { _tag: "TrustError", reason: "RevocationUnavailable", isRetryable: true })
      assert.deepStrictEqual(net.requests, [WELL_KNOWN, CRL_URL, CRL_URL, CRL_URL])
    }))

  it.effect("metadata that were invalidated during a failing load are not used again", () =>
    Effect.gen(function*() {
      const net = yield* good()
      yield* Effect.gen(function*() {
        const { invalidate } = yield* UdapDiscovery.UdapDiscovery
        yield* metadata()
        net.network.set(WELL_KNOWN, { status: 503 })
        yield* TestClock.adjust("61 minutes")
        const load = yield* Effect.fork(Effect.flip(metadata()))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* invalidate(FHIR_BASE)
        assert.deepInclude(yield* Fiber.join(load), { reason: "Status", status: 503 })
        assert.strictEqual(net.requests.length, 2)
      }).pipe(Effect.provide(discovery(net)))
    }))

  it.effect("hostile documents end in a typed error", () =>
    Effect.gen(function*() {
      const { leaf } = yield* base
      const entry = base64(leaf.der)
      const header = (x5c: unknown) => Buffer.from(JSON.stringify({ alg: "RS256", x5c })).toString("base64url")
      const body = Buffer.from(JSON.stringify(claims)).toString("base64url")
      const jwts = [
        `${header(Array.from({ length: 60 }, () => entry))}.${body}.AA`,
        `${header(["A".repeat(100_000)])}.${body}.AA`,
        `${header([{}, [], entry])}.${body}.AA`,
        `${header([Buffer.from(new Uint8Array(16_000).fill(0x30)).toString("base64")])}.${body}.AA`,
        `${Buffer.from("{\"alg\":\"RS256\",\"__proto__\":{\"x5c\":[]}}").toString("base64url")}.${body}.AA`,
        `${header([entry])}.${Buffer.from("[".repeat(50_000)).toString("base64url")}.AA`
      ]
      for (const jwt of jwts) {
        const exit = yield* Effect.exit(Effect.provide(metadata(), discovery(serving(document, jwt))))
        assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause) && exit.cause.error._tag === "TrustError")
      }
    }))
})
