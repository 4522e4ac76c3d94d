import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { Jwks, MetadataError } from "effect-safire"
import * as OnDemand from "../../src/base/OnDemand.js"
import { jwksUri, type Key, makeKey, makeServer, type Members } from "../support/identityServer.js"

const setUp = (keys: ReadonlyArray<Members>, options?: Jwks.Options) =>
  Effect.gen(function*() {
    const server = makeServer(keys)
    const jwks = yield* Effect.provide(Jwks.Jwks, Jwks.layer(options).pipe(Layer.provide(server.layer)))
    const outcome = (header: Jwks.Header, request?: Jwks.Request) =>
      jwks.find(jwksUri, header, request).pipe(
        Effect.map(({ type }) => type),
        Effect.catchAll((error: MetadataError) => Effect.succeed(error.reason))
      )
    const publish = (...next: ReadonlyArray<Members>) => server.responses.set(jwksUri, { keys: next })
    return { server, jwks, outcome, publish }
  })

describe("Jwks", () => {
  it.effect("[SMART-207] [SMART-208] selects by kid, type, algorithm and use, and fails where two keys match", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([makeKey("a"), makeKey("b")])
      const bare = (key: Key): Members => ({ ...key.jwk, kid: undefined, alg: undefined, use: undefined })
      const rows: ReadonlyArray<readonly [keys: ReadonlyArray<Members>, header: Jwks.Header, expected: string]> = [
        [[a.jwk, b.jwk], { alg: "ES256", kid: "b" }, "public"],
        [[a.jwk, b.jwk], { alg: "ES256", kid: "c" }, "NoSuchKey"],
        [[a.jwk], { alg: "ES256" }, "public"],
        [[a.jwk, b.jwk], { alg: "ES256" }, "AmbiguousKey"],
        [[a.jwk, { ...b.jwk, kid: "a" }], { alg: "ES256", kid: "a" }, "AmbiguousKey"],
        [[a.jwk, { ...b.jwk, kid: "a", use: "enc" }], { alg: "ES256", kid: "a" }, "public"],
        [[a.jwk, { ...b.jwk, kid: "a", alg: "ES384" }], { alg: "ES256", kid: "a" }, "public"],
        [[a.jwk, { kty: "RSA", kid: "a", n: "AQAB", e: "AQAB" }], { alg: "ES256", kid: "a" }, "public"],
        [[{ ...a.jwk, alg: "ES384" }], { alg: "ES256", kid: "a" }, "NoSuchKey"],
        [[bare(a)], { alg: "ES256" }, "public"],
        [[bare(a)], { alg: "ES256", kid: "a" }, "NoSuchKey"],
        [
          [{ kty: "AKP", kid: "x", alg: "ML-DSA-44", pub: "AAAA" }, { kty: "new" }, a.jwk],
          { alg: "ES256", kid: "a" },
          "public"
        ],
        [[{ kty: "oct", kid: "a", k: "c2VjcmV0" }], { alg: "HS256", kid: "a" }, "UnusableKey"],
        [[{ kty: "EC", crv: "P-256", kid: "a" }], { alg: "ES256", kid: "a" }, "UnusableKey"],
        [[{ ...a.jwk, d: "AAAA" }], { alg: "ES256", kid: "a" }, "UnusableKey"],
        [[{ ...a.jwk, kid: 1 }], { alg: "ES256" }, "NoSuchKey"],
        [[{ ...a.jwk, key_ops: ["verify"] }], { alg: "ES256", kid: "a" }, "public"],
        [[{ ...a.jwk, key_ops: ["sign", "verify"] }], { alg: "ES256", kid: "a" }, "public"],
        [[{ ...a.jwk, key_ops: ["verify", "encrypt", "x-vendor", "verify", 1] }], { alg: "ES256", kid: "a" }, "public"],
        [[{ ...a.jwk, key_ops: ["sign"] }], { alg: "ES256", kid: "a" }, "NoSuchKey"],
        [[{ ...a.jwk, key_ops: [] }], { alg: "ES256", kid: "a" }, "NoSuchKey"],
        [[{ ...a.jwk, key_ops: "verify" }], { alg: "ES256", kid: "a" }, "NoSuchKey"],
        [[{ ...a.jwk, key_ops: null }], { alg: "ES256", kid: "a" }, "NoSuchKey"],
        [[], { alg: "ES256", kid: "a" }, "NoSuchKey"]
      ]
      for (const [keys, header, expected] of rows) {
        const { outcome } = yield* setUp(keys)
        assert.strictEqual(yield* outcome(header), expected, JSON.stringify({ keys, header }))
      }
    }))

  it.effect("a document that is not a key set, and a set of 10,000 keys, is an error", () =>
    Effect.gen(function*() {
      const key = yield* makeKey("a")
      const { outcome, publish, server } = yield* setUp([])
      publish(...Array.from({ length: 10_000 }, (_, i) => ({ kty: "EC", kid: String(i) })))
      assert.strictEqual(yield* outcome({ alg: "ES256", kid: "1" }), "TooManyKeys")
      publish(...Array.from({ length: 10_000 }, (_, i) => ({ ...key.jwk, kid: String(i) })))
      assert.strictEqual(yield* outcome({ alg: "ES256", kid: "1" }), "TooLarge")
      const documents: ReadonlyArray<readonly [Members | (() => Response), string]> = [
        [{}, "NotAKeySet"],
        [{ keys: {} }, "NotAKeySet"],
        [{ keys: [null, 1, "x", []] }, "NoSuchKey"],
        [() => new Response("<html>"), "NotJson"],
        [() => Response.json([]), "NotObject"],
        [() => new Response("", { status: 404 }), "NotFound"],
        [() => new Response("", { status: 500 }), "Status"]
      ]
      for (const [document, expected] of documents) {
        const fresh = yield* setUp([])
        fresh.server.responses.set(jwksUri, document)
        assert.strictEqual(yield* fresh.outcome({ alg: "ES256", kid: "1" }), expected)
      }
      assert.strictEqual(server.times(jwksUri), 2)
    }))

  it.effect("a set has at most `maxKeys` keys", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([makeKey("a"), makeKey("b")])
      const full = yield* setUp([a.jwk, b.jwk], { maxKeys: 2 })
      assert.strictEqual(yield* full.outcome({ alg: "ES256", kid: "a" }), "public")
      const large = yield* setUp([a.jwk, b.jwk], { maxKeys: 1 })
      assert.strictEqual(yield* large.outcome({ alg: "ES256", kid: "a" }), "TooManyKeys")
    }))

  it.effect("a key that was found without a kid is not found for a kid that is not in the set", () =>
    Effect.gen(function*() {
      const a = yield* makeKey("a")
      const { outcome } = yield* setUp([a.jwk])
      assert.strictEqual(yield* outcome({ alg: "ES256" }), "public")
      assert.strictEqual(yield* outcome({ alg: "ES256", kid: "undefined" }), "NoSuchKey")
      assert.strictEqual(yield* outcome({ alg: "ES256", kid: "" }), "NoSuchKey")
    }))

  it.effect("the set is not fetched again for a key that is ambiguous or cannot be used", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([makeKey("a"), makeKey("b")])
      for (const keys of [[a.jwk, b.jwk], [{ ...a.jwk, d: "AAAA" }]]) {
        const { outcome, server } = yield* setUp(keys)
        const first = yield* outcome({ alg: "ES256" })
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(yield* outcome({ alg: "ES256" }), first)
        assert.strictEqual(server.times(jwksUri), 1)
      }
    }))

  it.effect("the error says that the module for signatures could not be loaded", () =>
    Effect.gen(function*() {
      const a = yield* makeKey("a")
      const { outcome } = yield* setUp([a.jwk])
      const offline = Effect.provideService(OnDemand.Importer, () => Promise.reject(new Error("offline")))
      const fiber = yield* Effect.fork(offline(outcome({ alg: "ES256", kid: "a" })))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), "ModuleUnavailable")
    }))

  it.effect("[SMART-208] concurrent calls share one request; Cache-Control sets the lifetime; `invalidate` removes the set", () =>
    Effect.gen(function*() {
      const key = yield* makeKey("a")
      const { jwks, outcome, server } = yield* setUp([key.jwk])
      const header = { alg: "ES256", kid: "a" }
      yield* Effect.all(Array.from({ length: 50 }, () => outcome(header)), { concurrency: "unbounded" })
      assert.strictEqual(server.times(jwksUri), 1)
      yield* TestClock.adjust("14 minutes")
      yield* outcome(header)
      assert.strictEqual(server.times(jwksUri), 1)
      server.responses.set(
        jwksUri,
        () => Response.json({ keys: [key.jwk] }, { headers: { "cache-control": "max-age=7200" } })
      )
      yield* TestClock.adjust("1 minute")
      yield* outcome(header)
      assert.strictEqual(server.times(jwksUri), 2)
      yield* TestClock.adjust("119 minutes")
      yield* outcome(header)
      assert.strictEqual(server.times(jwksUri), 2)
      yield* jwks.invalidate(jwksUri)
      yield* outcome(header)
      assert.strictEqual(server.times(jwksUri), 3)
    }))

  it.effect("[SMART-208] a rotated key is found: the set is fetched once more", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([makeKey("a"), makeKey("b")])
      const { outcome, publish, server } = yield* setUp([a.jwk])
      assert.strictEqual(yield* outcome({ alg: "ES256", kid: "a" }), "public")
      publish(a.jwk, b.jwk)
      yield* TestClock.adjust("61 seconds")
      const all = yield* Effect.all(Array.from({ length: 20 }, () => outcome({ alg: "ES256", kid: "b" })), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual([...new Set(all)], ["public"])
      assert.strictEqual(server.times(jwksUri), 2)
    }))

  it.effect("many unknown kids cause one request per minute, even if it fails", () =>
    Effect.gen(function*() {
      const key = yield* makeKey("a")
      const { outcome, server } = yield* setUp([key.jwk])
      const flood = Effect.forEach(Array.from({ length: 200 }, (_, i) => `random-${i}`), (kid) =>
        outcome({ alg: "ES256", kid }))
      assert.deepStrictEqual([...new Set(yield* flood)], ["NoSuchKey"])
      assert.strictEqual(server.times(jwksUri), 1)
      yield* TestClock.adjust("1 minute")
      yield* flood
      assert.strictEqual(server.times(jwksUri), 2)
      server.responses.set(jwksUri, () =>
        new Response("", { status: 500 }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([...new Set(yield* flood)], ["Status", "NoSuchKey"])
      assert.strictEqual(server.times(jwksUri), 3)
      // The failure left the good set in place.
      assert.strictEqual(yield* outcome({ alg: "ES256", kid: "a" }), "public")
      assert.strictEqual(server.times(jwksUri), 3)
    }))

  it.effect("callers with a new key join the request under way, also if its first caller is interrupted", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.all([makeKey("a"), makeKey("b")])
      const { outcome, server } = yield* setUp([a.jwk], { cooldown: "10 seconds" })
      yield* outcome({ alg: "ES256", kid: "a" })
      yield* TestClock.adjust("11 seconds")
      const gate = yield* Deferred.make<void>()
      server.responses.set(jwksUri, () => Effect.as(Deferred.await(gate), { keys: [a.jwk, b.jwk] }))
      const first = yield* Effect.fork(outcome({ alg: "ES256", kid: "b" }))
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(outcome({ alg: "ES256", kid: "b" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interruptFork(first)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(second), "public")
      assert.strictEqual(server.times(jwksUri), 2)
    }))

  it.effect("[SMART-1] sends requests over https only, and to http on loopback with allowInsecureLocalhost", () =>
    Effect.gen(function*() {
      const key = yield* makeKey("a")
      const server = makeServer([])
      const local = "http://127.0.0.1:9/jwks"
      server.responses.set(local, { keys: [key.jwk] })
      const jwks = yield* Effect.provide(Jwks.Jwks, Jwks.layer().pipe(Layer.provide(server.layer)))
      const header = { alg: "ES256", kid: "a" }
      for (const url of ["http://ehr.test/jwks", local]) {
        assert.strictEqual((yield* Effect.flip(jwks.find(url, header))).reason, "InsecureEndpoint")
      }
      assert.strictEqual((yield* jwks.find(local, header, { allowInsecureLocalhost: true })).type, "public")
      // Cached only for callers with the same permission.
      assert.strictEqual((yield* Effect.flip(jwks.find(local, header))).reason, "InsecureEndpoint")
      assert.strictEqual((yield* Effect.flip(jwks.find("https://a:b@ehr.test/jwks", header))).reason, "InvalidUrl")
      assert.strictEqual((yield* Effect.flip(jwks.find("nonsense", header))).reason, "InvalidUrl")
      assert.deepStrictEqual(server.urls, [local])
    }))

  it("an error is retryable if its cause may pass", () => {
    const isRetryable = (reason: MetadataError["reason"], status?: number) =>
      new MetadataError({ subject: "Jwks", reason, url: jwksUri, detail: "it", status }).isRetryable
    assert.isTrue(isRetryable("ModuleUnavailable"))
    assert.isTrue(isRetryable("Status", 503))
    assert.isTrue(isRetryable("TimedOut"))
    assert.isFalse(isRetryable("Status", 403))
    assert.isFalse(isRetryable("NotAKeySet"))
  })
})
