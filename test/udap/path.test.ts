import * as HttpClient from "@effect/platform/HttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { TrustPolicy } from "effect-safire/udap"
import * as Pki from "../../src/testing/internal/pki.js"
import { base, FHIR_BASE, NOW } from "./artefacts.js"

const COMMUNITY = "urn:example:community"
const quiet = Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.never))

/** The path of a trusted chain; or the problems, each with its certificate. */
const validate = (
  chain: ReadonlyArray<Uint8Array>,
  community: Partial<TrustPolicy.Community> = {}
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const { root } = yield* base
    const layer = TrustPolicy.layer({
      communities: { [COMMUNITY]: { anchors: [root.der], revocation: "off", ...community } }
    }).pipe(Layer.provide(quiet))
    const outcome = yield* Effect.flatMap(
      TrustPolicy.TrustPolicy,
      (policy) => Effect.either(policy.validate(chain, { subject: FHIR_BASE }))
    ).pipe(Effect.provide(layer), Effect.orDie)
    return Either.match(outcome, {
      onLeft: ({ problems }) => problems.map(({ certificate, reason }) => `${reason}: ${certificate}`),
      onRight: ({ path }) => path
    })
  })

const O = ", O=Test community"
const TRUSTED = [`CN=Server${O}`, `CN=Intermediate A${O}`, `CN=Root A${O}`]

const times = <A>(count: number, make: Effect.Effect<A>) => Effect.all(Array.from({ length: count }, () => make))

describe("the search for a path", () => {
  it.effect("finds the issuer by its key identifier among more namesakes than signatures are verified", () =>
    Effect.gen(function*() {
      const { inter, leaf, makeInter, makeLeaf } = yield* base
      const namesakes = yield* times(30, Effect.flatMap(Pki.newKeys("p256"), (keys) => makeInter({ keys })))
      const others = namesakes.map(({ der }) => der)
      assert.deepStrictEqual(yield* validate([leaf.der], { intermediates: [...others, inter.der] }), TRUSTED)
      assert.deepStrictEqual(yield* validate([leaf.der], { intermediates: [inter.der, ...others] }), TRUSTED)
      // Without a key identifier on either side, any namesake may be the issuer.
      const unmarked = yield* makeInter({ keyIdentifiers: false })
      assert.deepStrictEqual(yield* validate([leaf.der], { intermediates: [...others, unmarked.der] }), TRUSTED)
      const plain = yield* makeLeaf({ keyIdentifiers: false })
      assert.deepStrictEqual(yield* validate([plain.der], { intermediates: [inter.der, ...others] }), TRUSTED)
      // More namesakes than signatures: the search ends without the issuer.
      assert.deepStrictEqual(yield* validate([plain.der], { intermediates: [...others, inter.der] }), [
        `BadSignature: CN=Server${O}`
      ])
    }))

  it.effect("finds the issuer that is valid now among more certificates of one key than paths are checked", () =>
    Effect.gen(function*() {
      const { leaf, makeInter } = yield* base
      const found = (others: Parameters<typeof makeInter>[0], valid: Parameters<typeof makeInter>[0]) =>
        Effect.gen(function*() {
          const unusable = yield* times(9, makeInter(others))
          const last = yield* makeInter(valid)
          return yield* validate([leaf.der], { intermediates: [...unusable, last].map(({ der }) => der) })
        })
      assert.deepStrictEqual(yield* found({ to: NOW - 1_000 }, {}), TRUSTED)
      assert.deepStrictEqual(yield* found({ to: NOW - 1_000 }, { to: NOW }), TRUSTED)
      assert.deepStrictEqual(yield* found({ from: NOW + 61_000 }, {}), TRUSTED)
      assert.deepStrictEqual(yield* found({ from: NOW + 61_000 }, { from: NOW + 60_000 }), TRUSTED)
    }))

  it.effect("validity has a higher rank than the key identifier", () =>
    Effect.gen(function*() {
      const { leaf, makeInter } = yield* base
      const expired = yield* times(9, makeInter({ to: NOW - 1_000 }))
      const unmarked = yield* makeInter({ keyIdentifiers: false })
      assert.deepStrictEqual(
        yield* validate([leaf.der], { intermediates: [...expired, unmarked].map(({ der }) => der) }),
        TRUSTED
      )
    }))

  it.effect("a self-signed certificate does not count as its own issuer", () =>
    Effect.gen(function*() {
      const { keys } = yield* base
      const { der } = yield* Pki.issue({ commonName: "Server", keys: keys.leaf, names: [Pki.uri(FHIR_BASE)] })
      assert.deepStrictEqual(yield* validate([der, der]), [`Untrusted: CN=Server${O}`])
    }))

  it.effect("a path has ten certificates at most", () =>
    Effect.gen(function*() {
      const { keys, makeLeaf, root } = yield* base
      const authorities: Array<Pki.Issued> = []
      for (let n = 1; n <= 9; n++) {
        authorities.push(
          yield* Pki.issue({
            commonName: `L${n}`,
            authority: true,
            keys: keys.inter,
            by: authorities.at(-1) ?? root
          })
        )
      }
      const [eighth, ninth] = authorities.slice(-2)
      if (eighth === undefined || ninth === undefined) return assert.fail("no authorities")
      const intermediates = authorities.map(({ der }) => der)
      const below = yield* makeLeaf({}, eighth)
      assert.strictEqual((yield* validate([below.der], { intermediates })).length, 10)
      const tooDeep = yield* makeLeaf({}, ninth)
      assert.deepStrictEqual(yield* validate([tooDeep.der], { intermediates }), [`Untrusted: CN=L2${O}`])
    }))
})
