import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { RetryPolicy } from "effect-safire"
import { TrustPolicy } from "effect-safire/udap"
import * as pki from "pkijs"
import * as Pki from "../../src/testing/internal/pki.js"
import { ocspResponse } from "../../src/testing/internal/pkiOcsp.js"
import { base, CRL_URL, FHIR_BASE, NOW, OCSP_URL } from "./artefacts.js"
import type { Network, World } from "./server.js"
import { COMMUNITY, world } from "./server.js"

const policy = (
  layer: Layer.Layer<HttpClient.HttpClient>,
  community: Partial<TrustPolicy.Community> = {},
  options: Partial<TrustPolicy.Options> = {},
  retries: RetryPolicy.Policy = RetryPolicy.none
) =>
  Layer.unwrapEffect(Effect.map(base, ({ crls, root }) =>
    TrustPolicy.layer({
      communities: { [COMMUNITY]: { anchors: [root.der], crls: [crls.root], ...community } },
      ...options
    }).pipe(Layer.provide(layer), Layer.provide(RetryPolicy.layer(retries)))))

const validate = (chain: ReadonlyArray<Uint8Array>) =>
  Effect.flatMap(TrustPolicy.TrustPolicy, (policy) => policy.validate(chain, { subject: FHIR_BASE }))

const pointing = (...urls: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { inter, makeLeaf } = yield* base
    const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(...urls)] })
    return { leaf, inter, chain: [leaf.der, inter.der] }
  })

describe("CRLs from distribution points", () => {
  it.effect("are fetched once, used until they expire, and fetched again after a day", () =>
    Effect.gen(function*() {
      const { chain, inter } = yield* pointing(CRL_URL)
      const net: World = world(new Map([[CRL_URL, yield* Pki.crl(inter)]]))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* validate(chain)).validUntil, NOW + Pki.DAY)
        yield* TestClock.adjust("86399 seconds")
        // Until the next look, at least a minute.
        assert.strictEqual((yield* validate(chain)).validUntil, NOW + Pki.DAY + 59_000)
        assert.strictEqual(net.requests.length, 1)
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual((yield* validate(chain)).validUntil, NOW + 2 * Pki.DAY)
        assert.strictEqual(net.requests.length, 2)
        // While the authority's server is down, the list that is held serves until it ends.
        net.network.delete(CRL_URL)
        yield* TestClock.adjust("2 days")
        assert.strictEqual((yield* validate(chain)).validUntil, NOW + 3 * Pki.DAY + 60_000)
        yield* TestClock.adjust("5 days")
        assert.deepInclude(yield* Effect.flip(validate(chain)), { reason: "RevocationUnknown" })
      }).pipe(
        Effect.provide(policy(net.layer, {
          crls: [yield* Effect.flatMap(base, ({ root }) => Pki.crl(root, [], { to: NOW + 30 * Pki.DAY }))]
        }))
      )
    }))

  it.effect("a forged list does not replace the valid one in the cache", () =>
    Effect.gen(function*() {
      const { chain, inter } = yield* pointing(CRL_URL)
      const { keys } = yield* base
      const net = world(new Map([[CRL_URL, yield* Pki.crl(inter, [], { keys: keys.evil })]]))
      yield* Effect.gen(function*() {
        assert.deepInclude(yield* Effect.flip(validate(chain)), { reason: "RevocationUnknown" })
        net.network.set(CRL_URL, yield* Pki.crl(inter, [], { to: NOW + 3 * Pki.DAY }))
        yield* validate(chain)
        net.network.set(CRL_URL, yield* Pki.crl(inter, [], { keys: keys.evil }))
        yield* TestClock.adjust("1 days")
        assert.deepInclude(yield* Effect.flip(validate(chain)), { reason: "RevocationUnknown" })
        // The valid list is still there when the network is not.
        net.network.delete(CRL_URL)
        yield* validate(chain)
      }).pipe(Effect.provide(policy(net.layer)))
    }))

  it.effect("the next distribution point is used after a failure, two at most", () =>
    Effect.gen(function*() {
      const urls = ["http://a.example/", "http://b.example/", "http://c.example/"]
      const { chain, inter } = yield* pointing(...urls)
      const crl = yield* Pki.crl(inter)
      const second = world(new Map([["http://b.example/", crl]]))
      yield* Effect.provide(validate(chain), policy(second.layer))
      assert.deepStrictEqual(second.requests, urls.slice(0, 2))
      const third = world(new Map([["http://c.example/", crl]]))
      const error = yield* Effect.flip(Effect.provide(validate(chain), policy(third.layer)))
      assert.deepInclude(error, { reason: "RevocationUnavailable", isRetryable: true })
      assert.deepStrictEqual(third.requests, urls.slice(0, 2))
    }))

  it.effect("sends no request to a distribution point at an IP address, on loopback or with another scheme", () =>
    Effect.gen(function*() {
      const urls = [
        "http://10.0.0.5/a.crl",
        "http://169.254.169.254/latest",
        "http://[::1]/a.crl",
        "http://[fd00::1]/a.crl",
        "http://0x7f.1/a.crl",
        "http://2130706433/a.crl",
        "http://localhost/a.crl",
        "http://a.localhost./a.crl",
        "ldap://ldap.example.org/cn=ca",
        "file:///etc/passwd",
        "http://user:password@crl.example.org/a.crl",
        "not a url"
      ]
      for (const url of urls) {
        const { chain } = yield* pointing(url)
        const net = world(new Map())
        const error = yield* Effect.flip(Effect.provide(validate(chain), policy(net.layer)))
        assert.deepInclude(error, { _tag: "TrustError", reason: "RevocationUnavailable" }, url)
        assert.notInclude(error.message, "password")
        assert.deepStrictEqual(net.requests, [])
      }
    }))

  it.effect("uses http on loopback only with the option for it", () =>
    Effect.gen(function*() {
      const url = "http://127.0.0.1:8080/a.crl"
      const { chain, inter } = yield* pointing(url)
      const net = world(new Map([[url, yield* Pki.crl(inter)]]))
      yield* Effect.provide(validate(chain), policy(net.layer, {}, { allowInsecureLocalhost: true }))
      assert.deepStrictEqual(net.requests, [url])
    }))

  it.effect("sends no request if the policy forbids it", () =>
    Effect.gen(function*() {
      const { chain, inter } = yield* pointing(CRL_URL)
      const net = world(new Map([[CRL_URL, yield* Pki.crl(inter)]]))
      const layer = policy(net.layer, { fetchRevocation: false })
      assert.deepInclude(yield* Effect.flip(Effect.provide(validate(chain), layer)), { reason: "RevocationUnknown" })
      assert.deepStrictEqual(net.requests, [])
    }))

  it.effect("redirects and other responses are failures", () =>
    Effect.gen(function*() {
      const { chain } = yield* pointing(CRL_URL)
      for (
        const answer of [{ status: 302, headers: { location: "http://10.0.0.1/" } }, { status: 404 }, { status: 500 }]
      ) {
        const net = world(new Map([[CRL_URL, answer]]))
        const error = yield* Effect.flip(Effect.provide(validate(chain), policy(net.layer)))
        assert.deepInclude(error, { reason: "RevocationUnavailable" })
        assert.include(error.message, String(answer.status))
        assert.strictEqual(net.requests.length, 1)
      }
    }))

  it.effect("repeats a request after a temporary failure, by the RetryPolicy", () =>
    Effect.gen(function*() {
      const { chain } = yield* pointing(CRL_URL)
      const net = world(new Map([[CRL_URL, { status: 503 }]]))
      const error = yield* Effect.flip(
        Effect.provide(validate(chain), policy(net.layer, {}, {}, Schedule.recurs(2)))
      )
      assert.deepInclude(error, { reason: "RevocationUnavailable", isRetryable: true })
      assert.strictEqual(net.requests.length, 3)
    }))

  /** A list that never ends, of which no more is read than the limit. */
  const endless = (chunk: () => Stream.Stream<Uint8Array>) => {
    const client = HttpClient.make((request) =>
      Effect.succeed(HttpClientResponse.fromWeb(request, new Response(Stream.toReadableStream(chunk()))))
    )
    return Layer.succeed(HttpClient.HttpClient, client)
  }

  it.effect("refuses a list above the limit while it is read", () =>
    Effect.gen(function*() {
      const { chain } = yield* pointing(CRL_URL)
      let sent = 0
      const network = endless(() =>
        Stream.repeatEffect(Effect.sync(() => {
          sent += 1_000_000
          return new Uint8Array(1_000_000)
        }))
      )
      const error = yield* Effect.flip(Effect.provide(validate(chain), policy(network)))
      assert.include(error.message, "sent more than 16777216 bytes")
      assert.isBelow(sent, 20_000_000)
    }))

  it.effect("stops the download of an endless list at the time limit", () =>
    Effect.gen(function*() {
      const { chain } = yield* pointing(CRL_URL)
      const asked = yield* Deferred.make<void>()
      const never = Stream.fromEffect(Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never))
      const fiber = yield* Effect.fork(Effect.flip(Effect.provide(validate(chain), policy(endless(() => never)))))
      yield* Deferred.await(asked)
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(fiber)
      assert.include(error.message, "gave no complete answer within 10s")
      assert.isTrue("isRetryable" in error && error.isRetryable)
    }))

  /** The details of the failure over a network; `requests` counts the attempts. */
  const failureOver = (
    respond: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<Response, HttpClientError.HttpClientError>,
    options: Partial<TrustPolicy.Options> = {}
  ) =>
    Effect.gen(function*() {
      const { chain } = yield* pointing(CRL_URL)
      let requests = 0
      const client = HttpClient.make((request) =>
        Effect.suspend(() => {
          requests++
          return Effect.map(respond(request), (response) => HttpClientResponse.fromWeb(request, response))
        })
      )
      const layer = policy(Layer.succeed(HttpClient.HttpClient, client), {}, options, Schedule.recurs(2))
      const error = yield* Effect.flip(Effect.provide(validate(chain), layer))
      return { detail: error._tag === "TrustError" ? error.problems[0].detail : error.message, requests }
    })
  const NOT_KNOWN = "whether it is revoked is not known: "

  it.effect("a failed connection is an error with its cause, and is repeated", () =>
    Effect.gen(function*() {
      const failed = yield* failureOver((request) => new HttpClientError.RequestError({ request, reason: "Transport" }))
      assert.deepStrictEqual(failed, {
        detail: `${NOT_KNOWN}${CRL_URL} could not be reached (no connection)`,
        requests: 3
      })
      const broken = yield* failureOver((request) =>
        new HttpClientError.ResponseError({
          request,
          response: HttpClientResponse.fromWeb(request, new Response()),
          reason: "Decode"
        })
      )
      assert.strictEqual(broken.detail, `${NOT_KNOWN}${CRL_URL} could not be reached (Decode)`)
    }))

  it.effect("a list that breaks off is fetched again; a response that will not change is not", () =>
    Effect.gen(function*() {
      const broken = (cause: unknown) => () =>
        Effect.succeed(
          new Response(new ReadableStream({ start: (controller) => controller.error(cause) }))
        )
      assert.deepStrictEqual(yield* failureOver(broken(new Error("reset"))), {
        detail: `${NOT_KNOWN}${CRL_URL}: the body is incomplete (connection lost)`,
        requests: 3
      })
      const tooLarge = Object.assign(new Error("too large"), { code: "UND_ERR_RES_EXCEEDED_MAX_SIZE" })
      assert.strictEqual((yield* failureOver(broken(tooLarge))).requests, 1)
      for (const status of [302, 404, 410]) {
        assert.deepStrictEqual(yield* failureOver(() => Effect.succeed(new Response(null, { status }))), {
          detail: `${NOT_KNOWN}${CRL_URL} answered ${status}`,
          requests: 1
        })
      }
    }))

  it.effect("`maxCrlBytes` limits a list, before it is read if it declares its length", () =>
    Effect.gen(function*() {
      const { chain, inter } = yield* pointing(CRL_URL)
      const crl = yield* Pki.crl(inter)
      const within = (maxCrlBytes: number, headers = {}) => {
        const net = world(new Map([[CRL_URL, { body: crl, headers }]]))
        return Effect.either(Effect.provide(validate(chain), policy(net.layer, {}, { maxCrlBytes })))
      }
      assert.isTrue(Either.isRight(yield* within(crl.length)))
      assert.isTrue(Either.isRight(yield* within(crl.length, { "content-length": String(crl.length) })))
      assert.isTrue(Either.isLeft(yield* within(crl.length - 1)))
      const declared = (length: number) =>
        failureOver(() =>
          Effect.succeed(
            new Response(new ReadableStream({ start: (controller) => controller.error(new Error("read")) }), {
              headers: { "content-length": String(length) }
            })
          ), { maxCrlBytes: 1_000 })
      assert.deepStrictEqual(yield* declared(1_001), {
        detail: `${NOT_KNOWN}${CRL_URL} sent more than 1000 bytes`,
        requests: 1
      })
      assert.include((yield* declared(1_000)).detail, "the body is incomplete")
      const sent = yield* failureOver(() => Effect.succeed(new Response(new Uint8Array(1_001))), { maxCrlBytes: 1_000 })
      assert.strictEqual(sent.requests, 1)
    }))

  it.effect("hosts are names; those that only look like loopback are as good as others", () =>
    Effect.gen(function*() {
      const urls = [
        "https://crl.example.org/a",
        "http://notlocalhost/a",
        "http://localhost.example.org/a",
        "http://ca1/a"
      ]
      for (const url of [...urls, "http://1.example/a", "http://example.1a/a"]) {
        const { chain, inter } = yield* pointing(url)
        const net = world(new Map([[url, yield* Pki.crl(inter)]]))
        yield* Effect.provide(validate(chain), policy(net.layer))
        assert.deepStrictEqual(net.requests, [url])
      }
      // The option is for loopback hosts alone.
      for (const url of ["http://10.0.0.5/a", "http://[fd00::1]/a", "http://localhost./a", "http://a.localhost/a"]) {
        const { chain } = yield* pointing(url)
        const net = world(new Map())
        const error = yield* Effect.flip(
          Effect.provide(validate(chain), policy(net.layer, {}, { allowInsecureLocalhost: true }))
        )
        assert.include(error.message, `${url} is not the http or https URL of a named host`)
        assert.deepStrictEqual(net.requests, [])
      }
    }))

  it.effect("a list in the cache that ended is fetched again, and one that revokes counts until it does", () =>
    Effect.gen(function*() {
      const { chain, inter, leaf } = yield* pointing(CRL_URL)
      const net = world(new Map([[CRL_URL, yield* Pki.crl(inter, [], { to: NOW + 1_000 })]]))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* validate(chain)).validUntil, NOW + 1_000)
        net.network.set(CRL_URL, yield* Pki.crl(inter, [leaf.serial]))
        yield* TestClock.adjust("2 seconds")
        assert.deepInclude(yield* Effect.flip(validate(chain)), { reason: "Revoked" })
        net.network.set(CRL_URL, yield* Pki.crl(inter))
        assert.deepInclude(yield* Effect.flip(validate(chain)), { reason: "Revoked" })
        assert.strictEqual(net.requests.length, 2)
        yield* TestClock.adjust("1 days")
        yield* validate(chain)
      }).pipe(Effect.provide(policy(net.layer)))
    }))

  it.effect("`revocationMaxAge` is the age at which a list is fetched again", () =>
    Effect.gen(function*() {
      const { chain, inter } = yield* pointing(CRL_URL)
      const net = world(new Map([[CRL_URL, yield* Pki.crl(inter)]]))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* validate(chain)).validUntil, NOW + 3_600_000)
        yield* TestClock.adjust("1 hours")
        yield* validate(chain)
        assert.strictEqual(net.requests.length, 2)
      }).pipe(Effect.provide(policy(net.layer, {}, { revocationMaxAge: "1 hour" })))
    }))

  it.effect("the lists for all certificates of a path are fetched at the same time", () =>
    Effect.gen(function*() {
      const { makeInter, makeLeaf, root } = yield* base
      const [first, second] = ["http://a.example/", "http://b.example/"] as const
      const inter = yield* makeInter({ extensions: [Pki.distributionPoints(first)] })
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(second)] }, inter)
      const lists = new Map<string, Uint8Array>([[first, yield* Pki.crl(root)], [second, yield* Pki.crl(inter)]])
      const both = yield* Deferred.make<void>()
      let requests = 0
      const client = HttpClient.make((request, url) =>
        Effect.gen(function*() {
          if (++requests === 2) yield* Deferred.succeed(both, undefined)
          yield* Deferred.await(both)
          return HttpClientResponse.fromWeb(request, new Response(new Uint8Array(lists.get(url.href) ?? [])))
        })
      )
      const layer = policy(Layer.succeed(HttpClient.HttpClient, client), { crls: [] })
      assert.lengthOf((yield* Effect.provide(validate([leaf.der, inter.der]), layer)).path, 3)
    }))

  it.effect("a list that arrives in parts is put together", () =>
    Effect.gen(function*() {
      const { chain, inter } = yield* pointing(CRL_URL)
      const crl = yield* Pki.crl(inter)
      const parts = [crl.slice(0, 100), crl.slice(100, 101), crl.slice(101)]
      yield* Effect.provide(validate(chain), policy(endless(() => Stream.fromIterable(parts))))
    }))

  it.effect("a request without a response is repeated after its time limit", () =>
    Effect.gen(function*() {
      const asked = yield* Queue.unbounded<void>()
      const fiber = yield* Effect.fork(failureOver(() => Effect.zipRight(Queue.offer(asked, undefined), Effect.never)))
      for (let n = 0; n < 3; n++) {
        yield* Queue.take(asked)
        yield* TestClock.adjust("10 seconds")
      }
      const { detail, requests } = yield* Fiber.join(fiber)
      assert.strictEqual(detail, `${NOT_KNOWN}${CRL_URL} gave no complete answer within 10s`)
      assert.strictEqual(requests, 3)
    }))
})

describe("OCSP", () => {
  const answering = (status: "good" | "revoked") =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ extensions: [Pki.ocspResponder(OCSP_URL)] })
      const net = world(new Map([[OCSP_URL, yield* ocspResponse(leaf, inter, status)]]))
      return { chain: [leaf.der, inter.der], net, leaf, inter }
    })

  it.effect("is used if no CRL covers the certificate, and its response is cached until it expires", () =>
    Effect.gen(function*() {
      const { chain, net } = yield* answering("good")
      yield* Effect.gen(function*() {
        yield* validate(chain)
        yield* validate(chain)
        assert.deepStrictEqual(net.requests, [OCSP_URL])
      }).pipe(Effect.provide(policy(net.layer)))
    }))

  it.effect("a request is a POST of its media type to two responders at most, and a response has 32 KiB at most", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const urls = ["http://a.example/", "http://b.example/", "http://c.example/"]
      const info = new pki.InfoAccess({
        accessDescriptions: urls.map((url) =>
          new pki.AccessDescription({ accessMethod: "1.3.6.1.5.5.7.48.1", accessLocation: Pki.uri(url) })
        )
      })
      const leaf = yield* makeLeaf({
        extensions: [Pki.extension(Pki.Oid.authorityInfoAccess, false, info.toSchema().toBER())]
      })
      const requests: Array<HttpClientRequest.HttpClientRequest> = []
      const answering = (respond: (url: string) => Uint8Array) => {
        const client = HttpClient.make((request) => {
          requests.push(request)
          return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(new Uint8Array(respond(request.url)))))
        })
        const layer = policy(Layer.succeed(HttpClient.HttpClient, client))
        return Effect.either(Effect.provide(validate([leaf.der, inter.der]), layer))
      }
      const good = yield* ocspResponse(leaf, inter, "good")
      const onlyFrom = (url: string) => answering((asked) => asked === url ? good : new Uint8Array(32_769))
      assert.isTrue(Either.isRight(yield* onlyFrom("http://b.example/")))
      const refused = yield* onlyFrom("http://c.example/")
      if (Either.isRight(refused) || refused.left._tag !== "TrustError") return assert.fail("not refused")
      assert.deepInclude(refused.left.problems[0], {
        reason: "RevocationUnavailable",
        detail: "whether it is revoked is not known: http://a.example/ sent more than 32768 bytes, "
          + "http://b.example/ sent more than 32768 bytes"
      })
      assert.deepStrictEqual(
        requests.map(({ body, headers, method, url }) => [
          method,
          url,
          headers["accept"],
          body._tag === "Uint8Array" ? body.contentType : body._tag
        ]),
        [...urls.slice(0, 2), ...urls.slice(0, 2)].map((url) => [
          "POST",
          url,
          "application/ocsp-response",
          "application/ocsp-request"
        ])
      )
    }))

  it.effect("an unusable response counts as the reason, also if the CRL could not be fetched", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL), Pki.ocspResponder(OCSP_URL)] })
      const problemsOver = (network: Network, community: Partial<TrustPolicy.Community> = {}) =>
        Effect.map(
          Effect.flip(Effect.provide(validate([leaf.der, inter.der]), policy(world(network).layer, community))),
          (error) =>
            error._tag === "TrustError"
              ? error.problems.map(({ detail, reason, rule }) => [reason, rule, detail])
              : [error.message]
        )
      const crlFailed = `whether it is revoked is not known: ${CRL_URL} could not be reached (no connection)`
      assert.deepStrictEqual(yield* problemsOver(new Map()), [
        [
          "RevocationUnavailable",
          "RFC 5280, 6.1.3 (a)(3)",
          `${crlFailed}, ${OCSP_URL} could not be reached (no connection)`
        ]
      ])
      const unknown = yield* ocspResponse(leaf, inter, "unknown")
      assert.deepStrictEqual(yield* problemsOver(new Map([[OCSP_URL, unknown]])), [
        ["RevocationUnknown", "RFC 6960, 2.2", `${crlFailed}, the responder does not know the certificate`]
      ])
      assert.deepStrictEqual(yield* problemsOver(new Map([[CRL_URL, leaf.der]])), [
        [
          "RevocationUnknown",
          "RFC 5280, 5.1",
          "whether it is revoked is not known: it is not one DER-encoded CRL of version 2, "
          + `${OCSP_URL} could not be reached (no connection)`
        ]
      ])
      const good = world(new Map([[OCSP_URL, yield* ocspResponse(leaf, inter, "good")]]))
      yield* Effect.provide(validate([leaf.der, inter.der]), policy(good.layer))
      assert.deepStrictEqual(good.requests, [CRL_URL, OCSP_URL])
    }))

  it.effect("a delegate that a CRL revokes does not count, and one that it does not revoke counts", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ extensions: [Pki.ocspResponder(OCSP_URL)] })
      const signer = yield* Pki.issue({
        commonName: "Responder",
        by: inter,
        extensions: [Pki.extendedKeyUsage("1.3.6.1.5.5.7.3.9"), Pki.distributionPoints(CRL_URL)]
      })
      const response = yield* ocspResponse(leaf, inter, "good", { signer })
      const outcome = (crl: Uint8Array) =>
        Effect.either(
          Effect.provide(
            validate([leaf.der, inter.der]),
            policy(world(new Map([[OCSP_URL, response], [CRL_URL, crl]])).layer)
          )
        )
      assert.isTrue(Either.isRight(yield* outcome(yield* Pki.crl(inter))))
      const refused = yield* outcome(yield* Pki.crl(inter, [signer.serial]))
      assert.isTrue(Either.isLeft(refused) && refused.left._tag === "TrustError")
      const unknown = yield* outcome(new Uint8Array())
      assert.isTrue(Either.isLeft(unknown) && unknown.left._tag === "TrustError")
    }))

  it.effect("a certificate that is revoked has the rule of the source", () =>
    Effect.gen(function*() {
      const { inter, makeLeaf } = yield* base
      const leaf = yield* makeLeaf({ extensions: [Pki.distributionPoints(CRL_URL), Pki.ocspResponder(OCSP_URL)] })
      const rulesOver = (...network: ReadonlyArray<readonly [string, Uint8Array]>) =>
        Effect.map(
          Effect.flip(
            Effect.provide(validate([leaf.der, inter.der]), policy(world(new Map<string, Uint8Array>(network)).layer))
          ),
          (error) => error._tag === "TrustError" ? error.problems.map(({ reason, rule }) => `${reason} ${rule}`) : []
        )
      const crl = yield* Pki.crl(inter, [leaf.serial])
      const response = yield* ocspResponse(leaf, inter, "revoked")
      assert.deepStrictEqual(yield* rulesOver([CRL_URL, crl]), ["Revoked RFC 5280, 6.1.3 (a)(3)"])
      assert.deepStrictEqual(yield* rulesOver([OCSP_URL, response]), ["Revoked RFC 6960, 2.2"])
    }))

  it.effect("is not used if a CRL covers the certificate", () =>
    Effect.gen(function*() {
      const { chain, net } = yield* answering("good")
      const { crls } = yield* base
      yield* Effect.provide(validate(chain), policy(net.layer, { crls: [crls.root, crls.inter] }))
      assert.deepStrictEqual(net.requests, [])
    }))

  it.effect("a runtime without SHA-1 makes no request", () =>
    Effect.gen(function*() {
      const { chain, net } = yield* answering("good")
      const { subtle } = globalThis.crypto
      const { digest } = subtle
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          subtle.digest = () => Promise.reject(new Error("not in this mode"))
        }),
        () =>
          Effect.sync(() => {
            subtle.digest = digest
          })
      )
      const error = yield* Effect.flip(Effect.provide(validate(chain), policy(net.layer)))
      assert.include(error.message, "whether it is revoked is not known: no request can be made for it [RFC 6960, 4.1]")
      assert.deepStrictEqual(net.requests, [])
    }).pipe(Effect.scoped))

  it.effect("invalid bytes end in a typed error", () =>
    Effect.gen(function*() {
      const { chain, leaf, net } = yield* answering("good")
      const bodies = [
        new Uint8Array(),
        new Uint8Array([0x30, 0x03, 0x0a, 0x01, 0x06]),
        new Uint8Array(70_000),
        leaf.der,
        new Uint8Array(60_000).fill(0x30)
      ]
      for (const body of bodies) {
        net.network.set(OCSP_URL, body)
        const error = yield* Effect.flip(Effect.provide(validate(chain), policy(net.layer)))
        assert.strictEqual(error._tag, "TrustError")
      }
    }))
})

describe("the revocation rule of a community", () => {
  const unknown = Effect.map(base, ({ inter, leaf }) => [leaf.der, inter.der])

  it.effect("`required` is the default: a certificate whose status is not known is refused", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.provide(validate(yield* unknown), policy(world(new Map()).layer)))
      assert.deepInclude(error, { reason: "RevocationUnknown", isRetryable: false })
    }))

  it.effect("`whenAvailable` trusts it for a minute, and refuses one that is revoked", () =>
    Effect.gen(function*() {
      const network = world(new Map()).layer
      const lenient = { revocation: "whenAvailable" } as const
      const { validUntil } = yield* Effect.provide(validate(yield* unknown), policy(network, lenient))
      assert.strictEqual(validUntil, NOW + 60_000)
      const { crls, inter, leaf } = yield* base
      const revoked = yield* Pki.crl(inter, [leaf.serial])
      const strict = policy(network, { ...lenient, crls: [crls.root, revoked] })
      assert.deepInclude(yield* Effect.flip(Effect.provide(validate(yield* unknown), strict)), { reason: "Revoked" })
    }))

  it.effect("`whenAvailable` logs which certificate is trusted without its status", () =>
    Effect.gen(function*() {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => void lines.push([logLevel.label, String(message)]))
      yield* Effect.provide(validate(yield* unknown), [
        policy(world(new Map()).layer, { revocation: "whenAvailable" }),
        Logger.replace(Logger.defaultLogger, logger)
      ])
      const detail = "it names no source that can be used, and no CRL of its issuer was given"
      assert.deepStrictEqual(lines, [[
        "WARN",
        `${FHIR_BASE}: certificate CN=Server, O=Test community: whether it is revoked is not known: ${detail}; `
        + "it is trusted all the same"
      ]])
    }))

  it.effect("`off` trusts a chain until the first of its certificates ends", () =>
    Effect.gen(function*() {
      const { inter, leaf, makeLeaf } = yield* base
      const off = policy(world(new Map()).layer, { revocation: "off" })
      const until = (der: Uint8Array) =>
        Effect.map(Effect.provide(validate([der, inter.der]), off), ({ validUntil }) => validUntil)
      assert.strictEqual(yield* until(leaf.der), NOW + 300 * Pki.DAY)
      assert.strictEqual(yield* until((yield* makeLeaf({ to: NOW + 1_000 })).der), NOW + 1_000)
    }))

  it.effect("`off` sends no request", () =>
    Effect.gen(function*() {
      const { crls, inter, leaf } = yield* base
      const revoked = yield* Pki.crl(inter, [leaf.serial])
      const layer = policy(world(new Map()).layer, { revocation: "off", crls: [crls.root, revoked] })
      yield* Effect.provide(validate(yield* unknown), layer)
    }))
})

describe("TrustPolicy.layer", () => {
  const network = world(new Map()).layer
  const refused = (options: TrustPolicy.Options) =>
    Effect.flip(Effect.provide(TrustPolicy.TrustPolicy, TrustPolicy.layer(options).pipe(Layer.provide(network))))
  const pem = (label: string, der: Uint8Array) =>
    `-----BEGIN ${label}-----\r\n${
      Buffer.from(der).toString("base64").replace(/.{64}/g, "$&\r\n")
    }\r\n-----END ${label}-----\n`

  it.effect("takes PEM, also several certificates in one text, and DER", () =>
    Effect.gen(function*() {
      const { crls, inter, leaf, otherRoot, root } = yield* base
      const bundle = `# roots\n${pem("CERTIFICATE", otherRoot.der)}${pem("CERTIFICATE", root.der)}`
      const lists = pem("X509 CRL", crls.root) + pem("X509 CRL", crls.inter)
      const layer = policy(network, { anchors: [bundle], intermediates: [inter.der], crls: [lists] })
      const { path } = yield* Effect.provide(validate([leaf.der]), layer)
      assert.strictEqual(path.length, 3)
    }))

  it.effect("[UDAP-61] refuses an invalid configuration when it is built, with the entry in the error", () =>
    Effect.gen(function*() {
      const { leaf, root } = yield* base
      const fieldsOf = (options: TrustPolicy.Options) =>
        Effect.map(refused(options), (error) => error._tag === "ConfigurationError" ? error.fields : [error.message])
      assert.deepStrictEqual(yield* fieldsOf({ communities: {} }), ["communities"])
      for (const uri of ["tefca", " urn:x", "urn:x y", "urn:", "1urn:x", "urn:\u00fc"]) {
        assert.deepStrictEqual(yield* fieldsOf({ communities: { [uri]: { anchors: [root.der] } } }), ["communities"])
      }
      assert.deepStrictEqual(yield* fieldsOf({ communities: { "urn:x": { anchors: [] } } }), [
        "communities[urn:x].anchors"
      ])
      assert.include((yield* refused({ communities: {} })).message, "at least one")
      assert.include((yield* refused({ communities: { tefca: { anchors: [root.der] } } })).message, "URI")
      assert.include((yield* refused({ communities: { "urn:x": { anchors: [] } } })).message, "without an anchor")
      assert.include(
        (yield* refused({ communities: { "urn:x": { anchors: [leaf.der] } } })).message,
        "not an authority"
      )
      assert.include((yield* refused({ communities: { "urn:x": { anchors: ["no PEM"] } } })).message, "entry 1")
      const broken = root.der.slice(0, -1)
      const error = yield* refused({ communities: { "urn:x": { anchors: [root.der, broken] } } })
      assert.include(error.message, "entry 2: it is not one DER-encoded X.509 certificate")
    }))

  it.effect("`clockSkew` allows a validity to start later than the clock of this machine, but not to end later", () =>
    Effect.gen(function*() {
      const { crls, inter, makeLeaf } = yield* base
      const early = yield* makeLeaf({ from: NOW + 60_000 })
      const late = yield* makeLeaf({ to: NOW - 1_000 })
      const reasonOf = (der: Uint8Array, clockSkew?: number) =>
        Effect.provide(validate([der, inter.der]), policy(network, { crls: [crls.root, crls.inter] }, { clockSkew }))
          .pipe(
            Effect.match({
              onFailure: (error) => error._tag === "TrustError" ? error.reason : error.message,
              onSuccess: () => "trusted"
            })
          )
      assert.strictEqual(yield* reasonOf(early.der), "trusted")
      assert.strictEqual(yield* reasonOf(early.der, 59_000), "NotYetValid")
      assert.strictEqual(yield* reasonOf(late.der), "Expired")
    }))

  it.effect("[UDAP-8] a chain without certificates is malformed, and each broken certificate is named", () =>
    Effect.gen(function*() {
      const { leaf } = yield* base
      const problemsOf = (...chain: ReadonlyArray<Uint8Array>) =>
        Effect.map(
          Effect.flip(Effect.provide(validate(chain), policy(network))),
          (error) =>
            error._tag === "TrustError"
              ? error.problems.map(({ certificate, detail, rule }) => [rule, certificate, detail])
              : []
        )
      assert.deepStrictEqual(yield* problemsOf(), [["UDAP-8", undefined, "the chain is empty"]])
      const broken = "it is not one DER-encoded X.509 certificate of version 3"
      assert.deepStrictEqual(yield* problemsOf(leaf.der, new Uint8Array(), new Uint8Array([5, 0])), [
        ["RFC 5280, 4.1", "x5c[1]", broken],
        ["RFC 5280, 4.1", "x5c[2]", broken]
      ])
      const seven = Array.from({ length: 7 }, () => leaf.der)
      assert.deepStrictEqual(yield* problemsOf(...seven), [
        ["UDAP-8", undefined, "the chain has 7 certificates, more than 6"]
      ])
      assert.notInclude((yield* problemsOf(...seven.slice(1))).map(([rule]) => rule), "UDAP-8")
    }))

  it.effect("[UDAP-60] two communities do not share their anchors", () =>
    Effect.gen(function*() {
      const { crls, inter, leaf, otherRoot, root } = yield* base
      const layer = TrustPolicy.layer({
        communities: {
          "urn:a": { anchors: [root.der], crls: [crls.root, crls.inter] },
          "urn:b": { anchors: [otherRoot.der], crls: [crls.root, crls.inter] }
        }
      }).pipe(Layer.provide(network))
      yield* Effect.gen(function*() {
        const { validate } = yield* TrustPolicy.TrustPolicy
        const as = (community?: string) => Effect.either(validate([leaf.der, inter.der], { subject: "x", community }))
        assert.strictEqual((yield* as("urn:a"))._tag, "Right")
        for (
          const [community, reason] of [["urn:b", "Untrusted"], [undefined, "CommunityUnknown"], [
            "urn:c",
            "CommunityUnknown"
          ]]
        ) {
          const outcome = yield* as(community)
          if (community === undefined && outcome._tag === "Left") {
            assert.strictEqual(
              outcome.left.problems[0].detail,
              "several communities are configured, and none is named"
            )
          }
          assert.strictEqual(outcome._tag === "Left" ? outcome.left.reason : "trusted", reason)
        }
      }).pipe(Effect.provide(layer))
    }))
})
